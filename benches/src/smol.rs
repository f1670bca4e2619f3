//! smoltcp in the same place: two interfaces joined by queues of buffers that are used again and again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;
type Spare = Rc<RefCell<Vec<Vec<u8>>>>;

/// Packets under way each way.
const FRAMES: usize = 256;

struct End {
    to: Queue,
    from: Queue,
    spare: Spare,
    mtu: usize,
}

struct Rx {
    buffer: Vec<u8>,
    spare: Spare,
}

struct Tx<'a>(&'a End);

impl Device for End {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx<'_>)> {
        let buffer = self.from.borrow_mut().pop_front()?;
        Some((Rx { buffer, spare: self.spare.clone() }, Tx(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        (self.to.borrow().len() < FRAMES).then_some(Tx(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + 14;
        capabilities
    }
}

impl phy::RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        let result = take(&self.buffer);
        self.spare.borrow_mut().push(self.buffer);
        result
    }
}

impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut buffer = self.0.spare.borrow_mut().pop().unwrap_or_default();
        buffer.resize(len, 0);
        let result = fill(&mut buffer);
        self.0.to.borrow_mut().push_back(buffer);
        result
    }
}

struct Host {
    device: End,
    interface: Interface,
    sockets: SocketSet<'static>,
}

/// Two hosts.
pub struct SmolPair {
    client: Host,
    server: Host,
    now: Instant,
}

impl std::fmt::Debug for SmolPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmolPair").finish_non_exhaustive()
    }
}

fn host(n: u8, to: &Queue, from: &Queue, spare: &Spare) -> Host {
    let mut device = End { to: to.clone(), from: from.clone(), spare: spare.clone(), mtu: 1500 };
    let config = Config::new(EthernetAddress([2, 0, 0, 0, 0, n]).into());
    let mut interface = Interface::new(config, &mut device, Instant::ZERO);
    interface.update_ip_addrs(|all| {
        let _ = all.push(IpCidr::new(IpAddress::v4(198, 18, 0, n), 24));
    });
    Host { device, interface, sockets: SocketSet::new(Vec::new()) }
}

impl SmolPair {
    fn new() -> Self {
        let (there, back, spare) = (Queue::default(), Queue::default(), Spare::default());
        Self {
            client: host(1, &there, &back, &spare),
            server: host(2, &back, &there, &spare),
            now: Instant::ZERO,
        }
    }

    fn turn(&mut self) {
        self.now += smoltcp::time::Duration::from_micros(10);
        for host in [&mut self.client, &mut self.server] {
            host.interface.poll(self.now, &mut host.device, &mut host.sockets);
        }
    }

    /// Opens a connection: the sockets of the client and of the server.
    fn connect(&mut self, buffer: usize, port: u16) -> (SocketHandle, SocketHandle) {
        let socket = || {
            let room = || tcp::SocketBuffer::new(vec![0; buffer]);
            let mut socket = tcp::Socket::new(room(), room());
            socket.set_nagle_enabled(false);
            socket.set_ack_delay(None);
            socket
        };
        let mut listening = socket();
        listening.listen(7).unwrap_or_else(|error| panic!("smoltcp does not listen: {error}"));
        let served = self.server.sockets.add(listening);
        let mut connecting = socket();
        connecting
            .connect(self.client.interface.context(), (IpAddress::v4(198, 18, 0, 2), 7), port)
            .unwrap_or_else(|error| panic!("smoltcp does not connect: {error}"));
        let client = self.client.sockets.add(connecting);
        for _ in 0..10_000 {
            self.turn();
            let both = (
                self.client.sockets.get::<tcp::Socket<'_>>(client).may_send(),
                self.server.sockets.get::<tcp::Socket<'_>>(served).may_send(),
            );
            if both == (true, true) {
                return (client, served);
            }
        }
        panic!("smoltcp does not connect to itself");
    }
}

/// One connection that streams.
#[derive(Debug)]
pub struct SmolStream {
    pair: SmolPair,
    client: SocketHandle,
    server: SocketHandle,
    data: Vec<u8>,
}

impl SmolStream {
    /// A connection with buffers of a quarter of a megabyte.
    #[expect(clippy::new_without_default, reason = "it does much")]
    pub fn new() -> Self {
        let mut pair = SmolPair::new();
        let (client, server) = pair.connect(1 << 18, 49_152);
        Self { pair, client, server, data: vec![0x5a; 1 << 16] }
    }

    /// Moves at least so many bytes.
    pub fn run(&mut self, bytes: u64) {
        let mut received = 0;
        while received < bytes {
            let client = self.pair.client.sockets.get_mut::<tcp::Socket<'_>>(self.client);
            while matches!(client.send_slice(&self.data), Ok(n) if n > 0) {}
            self.pair.turn();
            let server = self.pair.server.sockets.get_mut::<tcp::Socket<'_>>(self.server);
            while let Ok(n) = server.recv(|bytes| (bytes.len(), bytes.len())) {
                if n == 0 {
                    break;
                }
                received += n as u64;
            }
        }
    }
}

/// Connections that ask.
#[derive(Debug)]
pub struct SmolRr {
    pair: SmolPair,
    ends: Vec<(SocketHandle, SocketHandle)>,
    asked: Vec<usize>,
    under_way: usize,
    random: Xoshiro256PlusPlus,
}

impl SmolRr {
    /// `under_way` requests at once over `connections`.
    pub fn new(connections: usize, under_way: usize) -> Self {
        let mut pair = SmolPair::new();
        let ends = (0..connections).map(|n| pair.connect(1 << 12, 49_152 + n as u16)).collect();
        let random = Xoshiro256PlusPlus::seed_from_u64(7);
        Self { pair, ends, asked: Vec::new(), under_way, random }
    }

    /// Has so many requests answered.
    pub fn run(&mut self, requests: u64) {
        let mut answered = 0;
        while answered < requests {
            while self.asked.len() < self.under_way {
                let at = (((self.random.next_u64() >> 32) * self.ends.len() as u64) >> 32) as usize;
                let client = self.pair.client.sockets.get_mut::<tcp::Socket<'_>>(self.ends[at].0);
                let _ = client.send_slice(&[1; 64]);
                self.asked.push(at);
            }
            self.pair.turn();
            for at in &self.asked {
                let server = self.pair.server.sockets.get_mut::<tcp::Socket<'_>>(self.ends[*at].1);
                let mut request = [0; 64];
                while matches!(server.recv_slice(&mut request), Ok(n) if n > 0) {
                    let _ = server.send_slice(&request);
                }
            }
            self.pair.turn();
            let (pair, ends) = (&mut self.pair, &self.ends);
            self.asked.retain(|at| {
                let client = pair.client.sockets.get_mut::<tcp::Socket<'_>>(ends[*at].0);
                let mut answer = [0; 64];
                let done = matches!(client.recv_slice(&mut answer), Ok(n) if n > 0);
                answered += u64::from(done);
                !done
            });
        }
    }
}
