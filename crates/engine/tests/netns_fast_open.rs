//! TCP Fast Open with the kernel at the other end, as server and as client. Needs root.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener as KernelListener, TcpStream as KernelStream};
use std::time::Duration;

use bypath::{Engine, TcpListener, TcpStream};
use bypath_lab::Lab;
use socket2::{Domain, Socket, Type};

const LONG: Duration = Duration::from_secs(60);
/// Clients and servers, and servers without being asked by a socket option.
const EVERYBODY: &str = "1027";

fn lab() -> Lab {
    let lab = Lab::builder().name_prefix("f").up().unwrap();
    lab.far().run(|| std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", EVERYBODY)).unwrap().unwrap();
    lab
}

fn engine(lab: &Lab) -> Engine {
    Engine::builder().netns(lab.near().netns()).interface(lab.near().interface()).start().unwrap()
}

fn counted(engine: &Engine, what: &str) -> u64 {
    engine.stats().counts.iter().find(|(name, _)| name == what).map_or(0, |(_, n)| *n)
}

#[test]
fn netns_a_kernel_server_takes_the_data_of_our_second_syn() {
    let lab = lab();
    let engine = engine(&lab);
    for at in [lab.far().at(9000), lab.far().at_v6(9000)] {
        let listener = lab.far().run(|| KernelListener::bind(at)).unwrap().unwrap();
        for _ in 0..2 {
            let stream = TcpStream::connect_with_data(&engine, at, b"question", Some(LONG)).unwrap();
            let (mut peer, _) = listener.accept().unwrap();
            let mut got = [0; 8];
            peer.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"question");
            peer.write_all(b"answer").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            (&stream).read_to_end(&mut answer).unwrap();
            assert_eq!(answer, b"answer");
        }
    }
    assert_eq!((counted(&engine, "fast_open_sent"), counted(&engine, "fast_open_fallback")), (2, 0));
}

/// A stream of the kernel whose SYN carries `bytes` if it has a cookie, and asks for one if not.
fn kernel_connects_with(lab: &Lab, at: SocketAddr, bytes: &[u8]) -> KernelStream {
    let socket = lab.far().run(|| Socket::new(Domain::for_address(at), Type::STREAM, None)).unwrap().unwrap();
    let sent = socket.send_to_with_flags(bytes, &at.into(), libc::MSG_FASTOPEN).unwrap();
    assert_eq!(sent, bytes.len());
    let stream = KernelStream::from(socket);
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

#[test]
fn netns_we_take_the_data_of_the_kernels_second_syn() {
    let lab = lab();
    let engine = engine(&lab);
    for at in [lab.near().at(9000), lab.near().at_v6(9000)] {
        let before = counted(&engine, "fast_open_taken");
        let listener = TcpListener::bind(&engine, at).unwrap();
        listener.set_fast_open(16);
        listener.set_accept_timeout(Some(LONG));
        // The first asks for a cookie, and its data follow the handshake.
        for taken in 0..2 {
            let mut peer = kernel_connects_with(&lab, at, b"question");
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            let mut got = [0; 8];
            (&stream).read_exact(&mut got).unwrap();
            assert_eq!(&got, b"question");
            (&stream).write_all(b"answer").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, b"answer");
            assert_eq!(counted(&engine, "fast_open_taken") - before, taken);
        }
    }
}
