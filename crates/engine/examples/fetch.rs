//! The head of a web page over a blocking [`TcpStream`], as one would write it with `std::net`.
//!
//! Needs root (or CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON and CAP_IPC_LOCK) and an interface that
//! reaches the server; the kernel keeps using the interface meanwhile.
//!
//! ```sh
//! cargo build -p bypath --example fetch
//! sudo target/debug/examples/fetch eth0 192.0.2.80:80 example.org
//! ```

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bypath::{Engine, TcpStream};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(interface), Some(server)) = (arguments.next(), arguments.next()) else {
        return Err("usage: fetch INTERFACE ADDRESS:PORT [HOST]".into());
    };
    let server: SocketAddr = server.parse()?;
    let host = arguments.next().unwrap_or_else(|| server.ip().to_string());

    let engine = Engine::builder().interface(interface).start()?;
    let info = engine.info();
    println!("{}: {} mode, {} XDP, MTU {}", info.interface, info.mode, info.xdp, info.mtu);

    let mut stream = TcpStream::connect_timeout(&engine, server, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    print!("{answer}");
    println!("{:?}", stream.info());
    Ok(())
}
