//! Two stacks that hand each other their packets at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bypath::Instant;
use bypath::by_hand::{Stack, StackOptions, TcpSocket};
use bypath_apps::serve::{Role, Root, ServeConfig, Server, Site, Trouble, WorkerTotals};

pub(crate) const HTTP: u16 = 80;
pub(crate) const FTP: u16 = 21;
const STEP_NS: u64 = 1_000_000;

/// A directory with a few files, removed with it.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bypath-serve-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("sub")).unwrap();
        std::fs::write(path.join("small"), "small\n").unwrap();
        std::fs::write(path.join("big"), vec![b'x'; 300_000]).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// See the module.
pub(crate) struct Net {
    pub(crate) client: Stack,
    server: Stack,
    pub(crate) totals: Arc<WorkerTotals>,
    now: u64,
}

impl Net {
    pub(crate) fn new(dir: &Dir) -> Self {
        let root = Root::open(&dir.0).unwrap();
        let config = ServeConfig {
            sites: vec![
                Site { port: HTTP, role: Role::Http(root.clone()) },
                Site { port: FTP, role: Role::Ftp(root) },
            ],
            writable: true,
            idle_timeout: Some(Duration::from_secs(20)),
            request_timeout: Some(Duration::from_secs(10)),
            ..ServeConfig::default()
        };
        let totals = Arc::new(WorkerTotals::default());
        let ports = [config.ports(), config.dealt_ports()].concat();
        let service = Server::new(Arc::new(config), totals.clone(), (0, 1), None);
        let mut client = Stack::new(&StackOptions::default()).unwrap();
        let mut server = Stack::with_service(&StackOptions::default(), service, &ports).unwrap();
        client.add_address("198.18.0.2".parse().unwrap(), 24);
        server.add_address("198.18.0.1".parse().unwrap(), 24);
        Self { client, server, totals, now: 0 }
    }

    /// A millisecond passes, and all that is said in it arrives.
    pub(crate) fn step(&mut self) {
        self.pass(STEP_NS);
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

    pub(crate) fn dial(&mut self, port: u16) -> TcpSocket {
        let socket = self.client.connect(SocketAddr::new("198.18.0.1".parse().unwrap(), port), 0).unwrap();
        self.step();
        socket
    }

    /// What has come so far.
    pub(crate) fn take(&mut self, socket: TcpSocket, into: &mut Vec<u8>) {
        let mut buffer = [0; 65_536];
        while let Ok(Some(n)) = self.client.recv(socket, &mut buffer) {
            if n == 0 {
                return;
            }
            into.extend_from_slice(&buffer[..n]);
        }
    }

    /// Time passes until the server has no connection left.
    pub(crate) fn wind_down(&mut self) {
        for _ in 0..1_000 {
            if self.server.connections() == 0 {
                return;
            }
            self.pass(1_000 * STEP_NS);
        }
        panic!("{} connections are left after a thousand seconds", self.server.connections());
    }

    pub(crate) fn trouble(&self, trouble: Trouble) -> u64 {
        self.totals.troubles().find(|(found, _)| *found == trouble).map_or(0, |(_, n)| n)
    }
}
