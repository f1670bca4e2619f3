//! The tap: copies of what workers receive and send, with time, queue, verdict and meaning, for captures and for
//! whoever wants to watch the engine live. No packet of an engine is visible to the kernel's capture tools.
//!
//! [`tap`] makes both ends. [`TapSink`] goes to [`crate::EngineBuilder::tap`]; each worker then has a [`TapWriter`], which
//! copies packets into a ring of its own that was allocated before: no lock, no allocation and no system call. A
//! ring that is full makes no worker wait: what finds no room is counted, here and on the packet after it. [`Tap`] is the
//! reading end, in one thread, which puts the workers' packets in the order of their times.
//!
//! Received packets have the time at which their batch was taken from the device, sent ones the time right before
//! their batch was handed over to it.

mod meaning;
mod reader;
mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, Sender, unbounded};
use crossbeam::utils::CachePadded;

pub(crate) use self::meaning::{Note, meaning_of};
pub use self::meaning::{TapMeaning, TapVerdict};
pub use self::reader::{Tap, TapRecord};
pub use self::writer::TapWriter;
use crate::ring::{ByteConsumer, byte_ring};

/// Bytes for packets of each worker, unless told otherwise: a quarter of a second at a gigabit a second.
const RING_BYTES: usize = 32 << 20;

/// What a tap keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapOptions {
    /// Bytes of each packet, from its link header on.
    pub snap_len: u32,
    /// Memory for packets that are on their way to the reader, of each worker; rounded up to a power of two.
    pub ring_bytes: usize,
}

impl Default for TapOptions {
    fn default() -> Self {
        Self { snap_len: u32::MAX, ring_bytes: RING_BYTES }
    }
}

/// An interface whose packets a tap has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapInterface {
    /// Its name.
    pub name: String,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Kernel driver.
    pub driver: String,
    /// Largest IP packet, bytes.
    pub mtu: u32,
    /// Bits a second, where the driver tells.
    pub speed: Option<u64>,
    /// How the AF_XDP sockets are bound: `zerocopy`, `copy`.
    pub mode: String,
    /// Where the steering program runs: `native`, `generic`.
    pub xdp: String,
}

/// What has passed a tap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapStats {
    /// Packets copied.
    pub packets: u64,
    /// Packets that found no room.
    pub missed: u64,
    /// Their bytes on the wire.
    pub missed_bytes: u64,
}

/// Makes a tap: the end that workers write to, and the one that is read.
pub fn tap(options: TapOptions) -> (TapSink, Tap) {
    let (sender, receiver) = unbounded();
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let clock = Clock { at: Instant::now(), unix_ns: i64::try_from(unix).unwrap_or(i64::MAX) };
    let interfaces = Interfaces::default();
    (
        TapSink { options, clock, interfaces: interfaces.clone(), sources: sender },
        Tap::new(receiver, clock, interfaces),
    )
}

/// One moment by both clocks: all times of a tap are reckoned from it, so that a clock that is set meanwhile does
/// not tear the capture.
#[derive(Clone, Copy, Debug)]
struct Clock {
    at: Instant,
    unix_ns: i64,
}

impl Clock {
    /// Unix time of `at`.
    fn unix_of(self, at: Instant) -> i64 {
        let ns = |span: std::time::Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        match at.checked_duration_since(self.at) {
            Some(later) => self.unix_ns.saturating_add(ns(later)),
            None => self.unix_ns.saturating_sub(ns(self.at.duration_since(at))),
        }
    }
}

/// The writing end of a tap, which makes a writer for each worker.
#[derive(Clone, Debug)]
pub struct TapSink {
    options: TapOptions,
    clock: Clock,
    interfaces: Interfaces,
    sources: Sender<Source>,
}

/// By their numbers. Written when devices are opened, never by a worker.
type Interfaces = Arc<Mutex<Vec<TapInterface>>>;

impl TapSink {
    /// The number of an interface; the same one has the same number again.
    pub fn interface(&self, interface: &TapInterface) -> usize {
        let mut known = self.interfaces.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().position(|one| one == interface).unwrap_or_else(|| {
            known.push(interface.clone());
            known.len() - 1
        })
    }

    /// The writer of worker number `worker` on that interface, whose times are nanoseconds since `epoch`.
    pub fn writer(&self, interface: usize, worker: usize, epoch: Instant) -> TapWriter {
        let (producer, consumer) = byte_ring(self.options.ring_bytes.max(1 << 16));
        let state = Arc::new(SourceState::default());
        let base = self.clock.unix_of(epoch);
        // A reader that has gone wants no packets; the ring fills up and that is all.
        let _ = self.sources.send(Source { interface, worker, base, ring: consumer, state: state.clone() });
        TapWriter::new(producer, state, self.options.snap_len)
    }
}

/// What a reader is given of each writer.
#[derive(Debug)]
struct Source {
    interface: usize,
    worker: usize,
    /// Unix time of the writer's epoch, nanoseconds.
    base: i64,
    ring: ByteConsumer,
    state: Arc<SourceState>,
}

type Sources = Receiver<Source>;

/// What a writer tells besides packets.
#[derive(Debug, Default)]
struct SourceState {
    /// All that will still be written is at this time or later, in the writer's nanoseconds; [`ASLEEP`]: not before now.
    floor: CachePadded<AtomicU64>,
    packets: AtomicU64,
    missed: AtomicU64,
    missed_bytes: AtomicU64,
    /// There will be no more.
    closed: AtomicBool,
}

/// In the place of a time: the worker sleeps.
const ASLEEP: u64 = u64::MAX;
