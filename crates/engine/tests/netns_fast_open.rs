//! TCP Fast Open from the engine to a server of the kernel. Needs root.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener as KernelListener};
use std::time::Duration;

use bypath::{Engine, TcpStream};
use bypath_lab::Lab;

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
