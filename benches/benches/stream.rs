//! One TCP connection between two stacks driven by hand, on one thread: bytes in at one end, out at the
//! other, every segment built, summed, checked and acknowledged.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bypath::Instant;
use bypath::by_hand::{Stack, StackOptions, TcpSocket};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2));
/// Bytes moved in one iteration.
const CHUNK: usize = 1 << 20;

struct Pair {
    client: Stack,
    server: Stack,
    sending: TcpSocket,
    receiving: TcpSocket,
    now_ns: u64,
}

impl Pair {
    fn open() -> std::io::Result<Self> {
        let mut client = Stack::new(&StackOptions { seed: 1, ..StackOptions::default() })?;
        let mut server = Stack::new(&StackOptions { seed: 2, ..StackOptions::default() })?;
        client.add_address(CLIENT, 24);
        server.add_address(SERVER, 24);
        let port = SocketAddr::new(SERVER, 9);
        let listener = server.listen(port, 1);
        let sending = client.connect(port, 0)?;
        let mut pair = Self { client, server, sending, receiving: sending, now_ns: 1 };
        loop {
            pair.exchange();
            if let Some(accepted) = pair.server.accept(listener) {
                pair.receiving = accepted;
                return Ok(pair);
            }
        }
    }

    /// One round trip, a microsecond each way.
    fn exchange(&mut self) {
        self.now_ns += 1_000;
        let now = Instant::from_nanos(self.now_ns);
        self.client.poll(now);
        while let Some(packet) = self.client.transmit() {
            self.server.receive(now, &packet);
        }
        self.server.poll(now);
        while let Some(packet) = self.server.transmit() {
            self.client.receive(now, &packet);
        }
    }

    fn stream(&mut self, data: &[u8], out: &mut [u8]) -> std::io::Result<usize> {
        let (mut sent, mut received) = (0, 0);
        while received < data.len() {
            sent += self.client.send(self.sending, &data[sent..])?;
            self.exchange();
            while let Some(n) = self.server.recv(self.receiving, out)? {
                received += n;
            }
        }
        Ok(received)
    }
}

fn stream(c: &mut Criterion) {
    let mut pair = Pair::open().unwrap_or_else(|error| panic!("two stacks do not connect: {error}"));
    let data = vec![0x5a; CHUNK];
    let mut out = vec![0; 1 << 16];
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Bytes(CHUNK as u64));
    group.bench_function("one flow, MSS 1448, by hand", |b| {
        b.iter(|| pair.stream(&data, &mut out));
    });
    group.finish();
}

criterion_group!(benches, stream);
criterion_main!(benches);
