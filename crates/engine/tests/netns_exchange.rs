//! The engine's sockets over AF_XDP against a kernel peer: on a bad wire, with little room, and with many
//! connections. Needs root.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener as KernelListener, TcpStream as KernelStream};
use std::time::{Duration, Instant};

use bypath::{Engine, EngineBuilder, TcpConfig, TcpListener, TcpStream};
use bypath_lab::{Impairments, Lab, LabBuilder, Pattern, TcpJob, TcpService, kernel_tcp};
use nix::sys::socket::{setsockopt, sockopt};

const GIB: u64 = 1 << 30;
/// Longer than anything here takes: a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(240);
const OURS: Pattern = Pattern::new(1);
const THEIRS: Pattern = Pattern::new(2);

fn lab() -> LabBuilder {
    Lab::builder().name_prefix("e")
}

/// The wire of the proof.
fn bad_wire() -> Lab {
    let bad = Impairments { seed: 7, loss: 0.01, reorder: 0.01, corrupt: 0.001, ..Impairments::default() };
    lab().through_box(bad, bad.seeded(8)).up().unwrap()
}

fn engine(lab: &Lab) -> EngineBuilder {
    Engine::builder().netns(lab.near().netns()).interface(lab.near().interface())
}

fn connect(engine: &Engine, service: &TcpService) -> TcpStream {
    TcpStream::connect_timeout(engine, service.address(), LONG).unwrap()
}

/// Sends the first bytes of a pattern and says that there is no more.
fn send(mut stream: impl Write, pattern: Pattern, len: u64) {
    assert_eq!(std::io::copy(&mut pattern.reader(len), &mut stream).unwrap(), len);
}

/// Reads to the end, which must be the pattern's first bytes.
fn receive(stream: impl Read, pattern: Pattern, len: u64) {
    let (mut received, mut mismatch) = (0, None);
    kernel_tcp::receive(stream, Some(pattern), &mut received, &mut mismatch).unwrap();
    assert_eq!((received, mismatch), (len, None));
}

/// Waits until no connection is left, in whatever state.
fn wait_for_no_flows(engine: &Engine) {
    let started = Instant::now();
    while engine.stats().flows > 0 {
        assert!(started.elapsed() < LONG, "{:?}", engine.stats());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn netns_a_gibibyte_comes_unharmed_over_a_bad_wire() {
    let lab = bad_wire();
    let service = TcpService::start(lab.far(), lab.far().at(9000), TcpJob::Source(THEIRS, GIB)).unwrap();
    let engine = engine(&lab).start().unwrap();
    let stream = connect(&engine, &service);
    receive(&stream, THEIRS, GIB);
    let box_counts = lab.middle().unwrap().inward();
    assert!(box_counts.lost > 1000 && box_counts.reordered > 1000 && box_counts.corrupted > 100);
    drop(stream);
    let reports = service.reports(1, LONG).unwrap();
    assert_eq!((reports[0].sent, reports[0].error), (GIB, None));
}

#[test]
fn netns_a_gibibyte_goes_unharmed_over_a_bad_wire() {
    let lab = bad_wire();
    let service = TcpService::start(lab.far(), lab.far().at(9000), TcpJob::Sink(Some(OURS))).unwrap();
    let engine = engine(&lab).start().unwrap();
    let stream = connect(&engine, &service);
    send(&stream, OURS, GIB);
    stream.shutdown(Shutdown::Write).unwrap();
    let reports = service.reports(1, LONG).unwrap();
    assert_eq!((reports[0].received, reports[0].mismatch, reports[0].error), (GIB, None, None));
    let box_counts = lab.middle().unwrap().outward();
    assert!(box_counts.lost > 1000 && box_counts.reordered > 1000 && box_counts.corrupted > 100);
    // What was lost was sent again, and not much more than that.
    let info = stream.info();
    assert!(info.retransmits < info.segments_out / 20, "{info:?}, {box_counts:?}");
    // Hardly one loss in a hundred waited for a timeout.
    assert!(info.timeouts < box_counts.lost / 100, "{info:?}, {box_counts:?}");
}

#[test]
fn netns_both_ways_at_once_over_a_bad_wire_and_both_families() {
    let lab = bad_wire();
    let len = 8 << 20;
    let engine = engine(&lab).start().unwrap();
    for address in [lab.far().at(9000), lab.far().at_v6(9000)] {
        let service = TcpService::start(lab.far(), address, TcpJob::Exchange(THEIRS, len, OURS)).unwrap();
        let stream = connect(&engine, &service);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                send(&stream, OURS, len);
                stream.shutdown(Shutdown::Write).unwrap();
            });
            receive(&stream, THEIRS, len);
        });
        let reports = service.reports(1, LONG).unwrap();
        assert_eq!((reports[0].received, reports[0].mismatch, reports[0].error), (len, None, None));
    }
}

/// Reads little by little.
struct Slowly<R>(R);

impl<R: Read> Read for Slowly<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_micros(200));
        let n = out.len().min(700);
        self.0.read(&mut out[..n])
    }
}

#[test]
fn netns_a_slow_reader_with_a_tiny_buffer_gets_it_all() {
    let lab = lab().up().unwrap();
    let len = 1 << 20;
    let service = TcpService::start(lab.far(), lab.far().at(9000), TcpJob::Source(THEIRS, len)).unwrap();
    let tiny = TcpConfig { receive_buffer: 4096, ..TcpConfig::default() };
    let engine = engine(&lab).tcp(tiny).start().unwrap();
    receive(Slowly(&connect(&engine, &service)), THEIRS, len);
    let stats = engine.stats();
    assert_eq!(stats.drops, [], "a window that was kept to loses nothing");
}

#[test]
fn netns_a_peer_that_reads_slowly_and_sleeps_gets_it_all() {
    let lab = lab().up().unwrap();
    let len = 1 << 20;
    let at = lab.far().at(9000);
    let listener = lab.far().run(|| KernelListener::bind(at)).unwrap().unwrap();
    setsockopt(&listener, sockopt::RcvBuf, &4096).unwrap();
    let engine = engine(&lab).send_buffer(8192).start().unwrap();
    let stream = TcpStream::connect_timeout(&engine, at, LONG).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            send(&stream, OURS, len);
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let (peer, _) = listener.accept().unwrap();
        // Long enough for the window to close and to be probed.
        std::thread::sleep(Duration::from_millis(700));
        receive(Slowly(&peer), OURS, len);
    });
}

/// A connection whose two ends say one word to each other. `first` closes first.
fn talk(first: impl Read + Write, closes: impl FnOnce(), second: impl Read + Write, answers: impl FnOnce()) {
    let (mut first, mut second) = (first, second);
    first.write_all(b"word").unwrap();
    let mut word = [0; 4];
    second.read_exact(&mut word).unwrap();
    second.write_all(&word).unwrap();
    first.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"word");
    closes();
    assert_eq!(second.read(&mut word).unwrap(), 0);
    answers();
    assert_eq!(first.read(&mut word).unwrap(), 0);
}

fn talk_both(ours: &TcpStream, theirs: &KernelStream, we_close_first: bool) {
    let (we, they) =
        (|| ours.shutdown(Shutdown::Write).unwrap(), || theirs.shutdown(Shutdown::Write).unwrap());
    if we_close_first { talk(ours, we, theirs, they) } else { talk(theirs, they, ours, we) }
}

/// TIME-WAIT short enough to be waited for.
fn hasty() -> TcpConfig {
    TcpConfig { time_wait: Duration::from_millis(50), ..TcpConfig::default() }
}

#[test]
fn netns_two_hundred_connections_that_we_open_leave_nothing_behind() {
    let lab = lab().queues(2).up().unwrap();
    let engine = engine(&lab).tcp(hasty()).cores(vec![0, 1]).start().unwrap();
    for at in [lab.far().at(9000), lab.far().at_v6(9000)] {
        let listener = lab.far().run(|| KernelListener::bind(at)).unwrap().unwrap();
        let mut open = Vec::new();
        for i in 0..100 {
            let ours = TcpStream::connect_timeout(&engine, at, LONG).unwrap();
            let (theirs, peer) = listener.accept().unwrap();
            assert_eq!(peer, ours.local_addr());
            open.push((ours, theirs, i % 2 == 0));
        }
        assert!(engine.stats().flows >= 100);
        for (ours, theirs, we_close_first) in open {
            talk_both(&ours, &theirs, we_close_first);
        }
    }
    wait_for_no_flows(&engine);
}

#[test]
fn netns_two_hundred_connections_that_the_peer_opens_leave_nothing_behind() {
    let lab = lab().queues(2).up().unwrap();
    let engine = engine(&lab).tcp(hasty()).cores(vec![0, 1]).start().unwrap();
    for ip in [lab.near().at(0), lab.near().at_v6(0)] {
        let listener = TcpListener::bind(&engine, ip).unwrap();
        listener.set_accept_timeout(Some(LONG));
        let at = listener.local_addr();
        let mut open = Vec::new();
        for i in 0..100 {
            let theirs = lab.far().run(|| KernelStream::connect(at)).unwrap().unwrap();
            let (ours, peer) = listener.accept().unwrap();
            assert_eq!((ours.local_addr(), peer), (at, theirs.local_addr().unwrap()));
            open.push((ours, theirs, i % 2 == 0));
        }
        drop(listener);
        wait_for_refusal(&lab, at);
        for (ours, theirs, we_close_first) in open {
            talk_both(&ours, &theirs, we_close_first);
        }
    }
    wait_for_no_flows(&engine);
}

/// Connects from the far host until it is refused. A connection that was faster than the listener's end is
/// ended with it.
fn wait_for_refusal(lab: &Lab, at: SocketAddr) {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < LONG, "connections to {at} are still taken");
        match lab.far().run(|| KernelStream::connect(at)).unwrap() {
            Err(error) => return assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused),
            Ok(mut stream) => {
                stream.set_read_timeout(Some(LONG)).unwrap();
                match stream.read(&mut [0]) {
                    Ok(n) => assert_eq!(n, 0),
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
                }
            }
        }
    }
}
