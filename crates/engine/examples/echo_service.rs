//! An echo server that runs to completion on the worker: bytes are seen in the frame that the device received
//! them in, and no other thread is involved. Port 7, at an address of the engine's own that the kernel does not
//! have.
//!
//! Needs root (or CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON and CAP_IPC_LOCK).
//!
//! ```sh
//! cargo build -p bypath --example echo_service
//! sudo target/debug/examples/echo_service eth0 192.0.2.77 24
//! # from another host of that network:  nc 192.0.2.77 7
//! ```

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use bypath::{CloseReason, ConnectionId, Engine, Service, ServiceConnection};

/// What one worker keeps: bytes that found no room yet, for the few connections that have any.
#[derive(Default)]
struct Echo {
    waiting: HashMap<ConnectionId, VecDeque<u8>>,
    ending: Vec<ConnectionId>,
}

impl Service for Echo {
    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        let id = connection.id();
        let written = if self.waiting.contains_key(&id) { 0 } else { connection.write(data) };
        if written < data.len() {
            let waiting = self.waiting.entry(id).or_default();
            waiting.extend(&data[written..]);
            // A client that sends, but does not take the echo, is stopped by the window.
            connection.set_unread(waiting.len());
        }
    }

    fn on_acknowledged(&mut self, connection: &mut ServiceConnection<'_>) {
        let id = connection.id();
        let Some(waiting) = self.waiting.get_mut(&id) else { return };
        let written = connection.write(waiting.make_contiguous());
        waiting.drain(..written);
        connection.set_unread(waiting.len());
        if waiting.is_empty() {
            self.waiting.remove(&id);
            if self.ending.contains(&id) {
                connection.close();
            }
        }
    }

    fn on_peer_closed(&mut self, connection: &mut ServiceConnection<'_>) {
        if self.waiting.contains_key(&connection.id()) {
            self.ending.push(connection.id());
        } else {
            connection.close();
        }
    }

    fn on_closed(&mut self, id: ConnectionId, _: CloseReason) {
        self.waiting.remove(&id);
        self.ending.retain(|other| *other != id);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(interface), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: echo_service INTERFACE ADDRESS [PREFIX-LENGTH [GATEWAY]]".into());
    };
    let address: IpAddr = address.parse()?;
    let prefix_len = arguments.next().map_or(Ok(24), |text| text.parse())?;
    let mut builder = Engine::builder().interface(interface).own_address(address, prefix_len);
    if let Some(gateway) = arguments.next() {
        builder = builder.gateway(gateway.parse()?);
    }
    let engine = builder.service(vec![7], |_worker| Echo::default()).start()?;
    let info = engine.info();
    println!("{} port 7 on {}: {} mode, {} XDP", address, info.interface, info.mode, info.xdp);
    loop {
        std::thread::sleep(Duration::from_secs(5));
        let stats = engine.stats();
        println!(
            "{} connections, {} packets in, {} out, {} segments sent again",
            stats.flows, stats.rx_packets, stats.tx_packets, stats.retransmits
        );
    }
}
