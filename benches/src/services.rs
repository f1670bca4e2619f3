//! The applications of the benchmarks: one asks and one echoes, one streams and one discards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bypath::in_memory::{SERVER, client_address};
use bypath::{AckedSegment, ConnectionId, Desk, Instant, SendSource, Service, ServiceConnection};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Bytes of a request, and of its response.
const REQUEST: [u8; 64] = [1; 64];
/// So many connections are not all in the cache.
const MANY: usize = 256;
/// Connections that are being opened at once.
const OPENING: usize = 1_000;

/// Sends back what it gets.
#[derive(Clone, Copy, Debug)]
pub struct Echo;

impl Service for Echo {
    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        connection.write(data);
    }
}

/// Counts what it gets.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    /// Bytes so far.
    pub received: Arc<AtomicU64>,
    /// What is received is copied here.
    pub copy_to: Option<Box<[u8]>>,
}

impl Service for Sink {
    fn on_data(&mut self, _: &mut ServiceConnection<'_>, data: &[u8]) {
        if let Some(to) = self.copy_to.as_mut().and_then(|to| to.get_mut(..data.len())) {
            to.copy_from_slice(data);
        }
        self.received.fetch_add(data.len() as u64, Ordering::Relaxed);
    }
}

/// A pattern without an end that a wrap-around in mid-test could meet.
struct Pattern(Vec<u8>);

impl SendSource for Pattern {
    fn len(&self) -> u64 {
        1 << 50
    }

    fn bytes_at(&self, offset: u64) -> &[u8] {
        &self.0[offset as usize & 0xffff..]
    }
}

/// Opens `connections` and sends on them for ever.
#[derive(Debug, Default)]
pub struct Streamer {
    /// So many.
    pub connections: usize,
    /// What is sent is written, which copies it, instead of read in place.
    pub writes: bool,
}

impl Streamer {
    fn write(&self, connection: &mut ServiceConnection<'_>) {
        if self.writes {
            let room = connection.room() & !0xffff;
            for _ in 0..room >> 16 {
                connection.write(&[0x5a; 1 << 16]);
            }
        }
    }
}

impl Service for Streamer {
    fn on_wake(&mut self, desk: &mut Desk<'_>) {
        for n in 0..std::mem::take(&mut self.connections) {
            if let Err(error) = desk.connect(SocketAddr::new(SERVER, 7), Some(client_address(n))) {
                panic!("no connection: {error}");
            }
        }
    }

    fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
        if self.writes {
            self.write(connection);
        } else {
            let pattern = (0..1 << 17).map(|n: u32| (n * 31) as u8).collect();
            connection.send(Arc::new(Pattern(pattern)));
        }
    }

    fn on_acknowledged(&mut self, connection: &mut ServiceConnection<'_>) {
        self.write(connection);
    }

    fn on_data(&mut self, _: &mut ServiceConnection<'_>, _: &[u8]) {}
}

/// What an [`Asker`] has done so far.
#[derive(Debug, Default)]
pub struct Asked {
    /// Connections that are open and have had a first answer.
    pub open: AtomicU64,
    /// Requests that were answered.
    pub answered: AtomicU64,
    /// Packets whose latency was told.
    pub samples: AtomicU64,
    /// Begin to ask.
    pub go: AtomicU64,
}

/// Opens connections; then keeps requests under way on connections chosen at random.
#[derive(Clone, Debug)]
pub struct Asker {
    connections: usize,
    begun: usize,
    under_way: usize,
    credit: usize,
    ids: Vec<ConnectionId>,
    random: Xoshiro256PlusPlus,
    done: Arc<Asked>,
}

impl Asker {
    /// `under_way` requests at once over `connections`; says in `done` how far it is.
    pub fn new(connections: usize, under_way: usize, done: &Arc<Asked>) -> Self {
        Self {
            connections,
            begun: 0,
            under_way,
            credit: 0,
            ids: Vec::with_capacity(connections),
            random: Xoshiro256PlusPlus::seed_from_u64(7),
            done: done.clone(),
        }
    }

    fn ask(&mut self, desk: &mut Desk<'_>) {
        while self.credit > 0 {
            let mut next = [self.ids[0]; 16];
            let next = &mut next[..self.credit.min(16)];
            for id in &mut *next {
                *id = self.ids[(((self.random.next_u64() >> 32) * self.ids.len() as u64) >> 32) as usize];
            }
            if self.ids.len() > MANY {
                desk.prefetch(next);
            }
            for id in &*next {
                let Some(mut connection) = desk.connection(*id) else { panic!("a connection is gone") };
                connection.write(&REQUEST);
            }
            self.credit -= next.len();
        }
    }
}

impl Service for Asker {
    fn next_wake(&self) -> Option<Instant> {
        let opens = self.begun < self.connections && self.begun - self.ids.len() < OPENING;
        let asks = self.credit > 0 || (self.under_way > 0 && self.done.go.load(Ordering::Relaxed) > 0);
        (opens || asks).then_some(Instant::ZERO)
    }

    fn on_wake(&mut self, desk: &mut Desk<'_>) {
        while self.begun < self.connections && self.begun - self.ids.len() < OPENING {
            let from = client_address(self.begun);
            if let Err(error) = desk.connect(SocketAddr::new(SERVER, 7), Some(from)) {
                panic!("no connection: {error}");
            }
            self.begun += 1;
        }
        if self.done.go.load(Ordering::Relaxed) > 0 {
            self.credit += std::mem::take(&mut self.under_way);
        }
        self.ask(desk);
    }

    fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
        self.ids.push(connection.id());
        // Each is used once before it counts: no memory is taken for the first time when it does.
        connection.write(&REQUEST);
    }

    fn on_data(&mut self, _: &mut ServiceConnection<'_>, data: &[u8]) {
        let answers = data.len() / REQUEST.len();
        if self.done.go.load(Ordering::Relaxed) == 0 {
            self.done.open.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.credit += answers;
        self.done.answered.fetch_add(answers as u64, Ordering::Relaxed);
    }

    fn on_segments_acked(&mut self, _: &mut ServiceConnection<'_>, samples: &[AckedSegment]) {
        self.done.samples.fetch_add(samples.len() as u64, Ordering::Relaxed);
    }
}
