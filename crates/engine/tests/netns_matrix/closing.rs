//! Ends of connections: one direction before the other, by a reset in the middle, and ten thousand times.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener as KernelListener, TcpStream as KernelStream};
use std::time::{Duration, Instant};

use bypath::{Engine, TcpListener, TcpStream};
use bypath_lab::Lab;

use crate::*;

const LEN: u64 = 300_000;

/// Sends and closes one direction. It is read meanwhile: no window and buffer need hold all of it.
fn one_way<From, To>(from: &From, to: &To, close: impl Fn(&From) + Sync, pattern: Pattern)
where
    From: Sync,
    To: Sync,
    for<'a> &'a From: Write,
    for<'a> &'a To: Read,
{
    std::thread::scope(|scope| {
        scope.spawn(|| {
            send(from, pattern, LEN);
            close(from);
        });
        receive(to, pattern, LEN);
    });
}

fn close_ours(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

fn close_theirs(stream: &KernelStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

#[test]
fn netns_the_other_direction_goes_on_when_we_have_closed_ours() {
    let lab = bad_wire(1500);
    let engine = engine(&lab, hasty()).start().unwrap();
    for way in WAYS {
        let (ours, theirs) = pair(&lab, &engine, way);
        one_way(&ours, &theirs, close_ours, OURS);
        // Its end was read: from here on the connection is half-closed.
        one_way(&theirs, &ours, close_theirs, THEIRS);
        assert_eq!((&ours).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
    wait_for_no_flows(&engine);
}

#[test]
fn netns_our_direction_goes_on_when_the_kernel_has_closed_its_own() {
    let lab = bad_wire(1500);
    let engine = engine(&lab, hasty()).start().unwrap();
    for way in WAYS {
        let (ours, theirs) = pair(&lab, &engine, way);
        one_way(&theirs, &ours, close_theirs, THEIRS);
        one_way(&ours, &theirs, close_ours, OURS);
    }
    wait_for_no_flows(&engine);
    assert_eq!(states_left(&lab).0, Vec::<String>::new());
}

/// Reads until that fails, and tells why.
fn read_until_error(mut stream: impl Read) -> ErrorKind {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => panic!("an end in order"),
            Ok(_) => {}
            Err(error) => return error.kind(),
        }
    }
}

fn write_until_error(mut stream: impl Write) -> ErrorKind {
    let bytes = vec![0; 1 << 16];
    loop {
        if let Err(error) = stream.write(&bytes) {
            return error.kind();
        }
    }
}

#[test]
fn netns_a_reset_of_the_kernel_in_mid_stream_ends_both_directions() {
    let lab = lab().up().unwrap();
    let engine = engine(&lab, hasty()).start().unwrap();
    for way in WAYS {
        let (ours, theirs) = pair(&lab, &engine, way);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| write_until_error(&ours));
            let reading = scope.spawn(|| read_until_error(&ours));
            let mut buffer = vec![0; 1 << 20];
            (&theirs).write_all(&buffer[..100_000]).unwrap();
            (&theirs).read_exact(&mut buffer).unwrap();
            // What was not sent is thrown away, and the peer is told (socket(7)).
            socket2::SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
            drop(theirs);
            assert_eq!(reading.join().unwrap(), ErrorKind::ConnectionReset, "{way:?}");
            assert_eq!(writing.join().unwrap(), ErrorKind::ConnectionReset, "{way:?}");
        });
    }
    wait_for_no_flows(&engine);
    assert_eq!(states_left(&lab), (Vec::new(), 0));
}

#[test]
fn netns_a_reset_of_ours_in_mid_stream_ends_the_kernels_connection() {
    let lab = lab().up().unwrap();
    let engine = engine(&lab, hasty()).start().unwrap();
    for way in WAYS {
        let (ours, theirs) = pair(&lab, &engine, way);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| write_until_error(&theirs));
            let mut buffer = vec![0; 1 << 20];
            (&ours).read_exact(&mut buffer).unwrap();
            // More is there, or coming, that nobody will read: RFC 9293 section 3.6.1.
            drop(ours);
            let error = writing.join().unwrap();
            assert!(matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{way:?}: {error}");
        });
    }
    wait_for_no_flows(&engine);
    assert_eq!(states_left(&lab), (Vec::new(), 0));
}

/// Who closed the last connection on each pair of addresses first: the kernel, or we.
type Closers = HashMap<(SocketAddr, SocketAddr), bool>;

/// A word there and back, and then both close, the kernel first if so.
fn talk(ours: TcpStream, theirs: KernelStream, kernel_first: bool, closers: &mut Closers) {
    let mut word = [0; 4];
    (&ours).write_all(b"word").unwrap();
    (&theirs).read_exact(&mut word).unwrap();
    (&theirs).write_all(&word).unwrap();
    (&ours).read_exact(&mut word).unwrap();
    if kernel_first {
        theirs.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&ours).read(&mut word).unwrap(), 0);
        ours.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&theirs).read(&mut word).unwrap(), 0);
    } else {
        ours.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&theirs).read(&mut word).unwrap(), 0);
        theirs.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&ours).read(&mut word).unwrap(), 0);
    }
    closers.insert((ours.peer_addr(), ours.local_addr()), kernel_first);
}

/// Many connections, one after the other.
fn many(lab: &Lab, engine: &Engine, way: Way, count: usize) -> Closers {
    let mut closers = Closers::new();
    lab.far()
        .run(|| {
            if way.we_open {
                let listener = KernelListener::bind(far_at(lab, way.v6)).unwrap();
                let at = listener.local_addr().unwrap();
                for i in 0..count {
                    let ours = TcpStream::connect_timeout(engine, at, LONG).unwrap();
                    talk(ours, listener.accept().unwrap().0, i % 2 == 0, &mut closers);
                }
            } else {
                let listener = TcpListener::bind(engine, near_at(lab, way.v6)).unwrap();
                listener.set_accept_timeout(Some(LONG));
                let at = listener.local_addr();
                for i in 0..count {
                    let theirs = KernelStream::connect(at).unwrap();
                    talk(listener.accept().unwrap().0, theirs, i % 2 == 0, &mut closers);
                }
            }
        })
        .unwrap();
    closers
}

#[test]
fn netns_ten_thousand_connections_leave_nothing_behind_on_either_side() {
    let lab = lab().up().unwrap();
    let engine = engine(&lab, hasty()).start().unwrap();
    let started = Instant::now();
    let closers: Closers = std::thread::scope(|scope| {
        let runs = WAYS.map(|way| {
            let (lab, engine) = (&lab, &engine);
            scope.spawn(move || many(lab, engine, way, 2_500))
        });
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    wait_for_no_flows(&engine);
    let (others, waiting) = states_left(&lab);
    assert_eq!(others, Vec::<String>::new());
    // TIME-WAIT of the kernel takes a minute, and is with whoever closed first. A pair of addresses that was
    // used again has left it for the later connection.
    let expected = closers.values().filter(|kernel_first| **kernel_first).count();
    assert!(waiting <= expected, "{waiting} in TIME-WAIT, {expected} expected");
    if started.elapsed() < Duration::from_secs(55) {
        assert_eq!(waiting, expected, "in TIME-WAIT");
    }
}
