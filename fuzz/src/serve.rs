//! The HTTP and FTP servers of `bypath-apps` on a stack in memory, and a client that means ill.
//!
//! A tape is what the client sends, but for the lowest values: 0 lets a millisecond pass and what was sent arrive, 1 lets
//! ten seconds pass, 2 closes its direction, 3 takes the next byte for itself.
//!
//! What must hold: the server says nothing but answers and replies, and when the client has gone no connection is left.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bypath::Instant;
use bypath::by_hand::{Stack, StackOptions, TcpSocket};
use bypath_apps::serve::{Role, Root, ServeConfig, Server, Site, WorkerTotals};

const HTTP: u16 = 80;
const FTP: u16 = 21;
const MILLISECOND: u64 = 1_000_000;
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2));

/// What is served, made once for the process. Nothing in it is changed.
static ROOT: LazyLock<Root> = LazyLock::new(|| {
    let path = std::env::temp_dir().join("bypath-fuzz-served");
    std::fs::create_dir_all(path.join("sub")).expect("a directory for temporary files");
    std::fs::write(path.join("small"), "small\n").expect("room for a file");
    std::fs::write(path.join("big"), vec![b'x'; 200_000]).expect("room for a file");
    Root::open(&path).expect("the directory that was just made")
});

struct Net {
    client: Stack,
    server: Stack,
    now: u64,
}

impl Net {
    fn new() -> Self {
        let config = ServeConfig {
            sites: vec![
                Site { port: HTTP, role: Role::Http(ROOT.clone()) },
                Site { port: FTP, role: Role::Ftp(ROOT.clone()) },
            ],
            idle_timeout: Some(Duration::from_secs(30)),
            ..ServeConfig::default()
        };
        let ports = [config.ports(), config.dealt_ports()].concat();
        let service = Server::new(Arc::new(config), Arc::new(WorkerTotals::default()), (0, 1), None);
        let options = StackOptions { max_connections: 64, ..StackOptions::default() };
        let mut client = Stack::new(&options).expect("random numbers");
        let mut server = Stack::with_service(&options, service, &ports).expect("random numbers");
        client.add_address(CLIENT, 24);
        server.add_address(SERVER, 24);
        Self { client, server, now: 0 }
    }

    fn pass(&mut self, ns: u64) {
        self.now += ns;
        let now = Instant::from_nanos(self.now);
        let mut quiet = false;
        while !quiet {
            self.client.poll(now);
            self.server.poll(now);
            quiet = true;
            while let Some(packet) = self.client.transmit() {
                self.server.receive(now, &packet);
                quiet = false;
            }
            while let Some(packet) = self.server.transmit() {
                self.client.receive(now, &packet);
                quiet = false;
            }
        }
    }

    fn dial(&mut self, port: u16) -> Option<TcpSocket> {
        let socket = self.client.connect(SocketAddr::new(SERVER, port), 0).ok()?;
        self.pass(MILLISECOND);
        Some(socket)
    }

    fn take(&mut self, socket: TcpSocket, into: &mut Vec<u8>) {
        let mut buffer = [0; 65_536];
        while let Ok(Some(n)) = self.client.recv(socket, &mut buffer) {
            if n == 0 {
                return;
            }
            into.extend_from_slice(&buffer[..n]);
        }
    }

    fn wind_down(&mut self) {
        for _ in 0..1_000 {
            if self.server.connections() == 0 {
                return;
            }
            self.pass(1_000 * MILLISECOND);
        }
        panic!("{} connections are left after a thousand seconds", self.server.connections());
    }
}

/// Says what is on the tape to a port; calls `look` with what has come after each step.
fn talk(tape: &[u8], port: u16, mut look: impl FnMut(&mut Net, &[u8])) -> Vec<u8> {
    let mut net = Net::new();
    let Some(socket) = net.dial(port) else { return Vec::new() };
    let (mut reply, mut said) = (Vec::new(), Vec::new());
    let mut rest = tape.iter();
    while let Some(byte) = rest.next() {
        match byte {
            0..=2 => {
                let _ = net.client.send(socket, &said);
                said.clear();
                if *byte == 2 {
                    let _ = net.client.shutdown(socket);
                }
                net.pass(if *byte == 1 { 10_000 * MILLISECOND } else { MILLISECOND });
                net.take(socket, &mut reply);
                look(&mut net, &reply);
            }
            3 => said.extend(rest.next()),
            byte => said.push(*byte),
        }
    }
    let _ = net.client.send(socket, &said);
    for _ in 0..20 {
        net.pass(MILLISECOND);
        net.take(socket, &mut reply);
    }
    net.client.close(socket);
    net.wind_down();
    reply
}

/// One connection to the HTTP server.
pub fn http(data: &[u8]) {
    let reply = talk(data, HTTP, |_, _| {});
    assert!(reply.is_empty() || reply.starts_with(b"HTTP/1.1 "));
}

/// One session with the FTP server; every port that it names is connected to.
pub fn ftp(data: &[u8]) {
    let mut dialled = 0;
    let reply = talk(data, FTP, |net, reply| {
        let text = String::from_utf8_lossy(reply);
        let ports: Vec<u16> = text
            .split("(|||")
            .skip(1 + dialled)
            .filter_map(|rest| rest.split('|').next()?.parse().ok())
            .collect();
        for port in ports {
            dialled += 1;
            if let Some(data) = net.dial(port) {
                let _ = net.client.send(data, b"data");
                if dialled % 2 == 0 {
                    net.client.close(data);
                }
            }
        }
    });
    assert!(reply.is_empty() || reply.starts_with(b"220 "));
}
