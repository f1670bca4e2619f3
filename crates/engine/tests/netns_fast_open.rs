//! TCP Fast Open between the engine and the kernel, both ways. Needs root.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener as KernelListener, TcpStream as KernelStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use bypath::{Engine, TcpListener, TcpStream};
use bypath_lab::Lab;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, sendto, socket};

const LONG: Duration = Duration::from_secs(60);
/// Clients and servers, and servers without being asked by a socket option.
const EVERYBODY: &str = "1027";
/// Linux's MSG_FASTOPEN.
const MSG_FASTOPEN: i32 = 0x2000_0000;

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

/// The kernel's `sendto` with MSG_FASTOPEN: connects, with a cookie and data if it has one.
fn kernel_open(lab: &Lab, at: SocketAddr, bytes: &[u8]) -> KernelStream {
    let family = if at.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = lab.far().run(|| socket(family, SockType::Stream, SockFlag::empty(), None)).unwrap().unwrap();
    let flags = MsgFlags::from_bits_retain(MSG_FASTOPEN);
    let sent = sendto(fd.as_raw_fd(), bytes, &SockaddrStorage::from(at), flags).unwrap();
    assert_eq!(sent, bytes.len());
    KernelStream::from(fd)
}

#[test]
fn netns_a_kernel_client_s_second_syn_brings_its_data() {
    let lab = lab();
    let engine = engine(&lab);
    for ip in [lab.near().at(0), lab.near().at_v6(0)] {
        let listener = TcpListener::bind(&engine, ip).unwrap();
        listener.set_fast_open(16);
        listener.set_accept_timeout(Some(LONG));
        for _ in 0..2 {
            let mut theirs = kernel_open(&lab, listener.local_addr(), b"question");
            let (ours, _) = listener.accept().unwrap();
            let mut got = [0; 8];
            (&ours).read_exact(&mut got).unwrap();
            assert_eq!(&got, b"question");
            (&ours).write_all(b"answer").unwrap();
            ours.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            theirs.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, b"answer");
        }
    }
    assert_eq!((counted(&engine, "fast_open_taken"), counted(&engine, "fast_open_bad_cookie")), (2, 0));
}
