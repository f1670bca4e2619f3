//! The reading end of a tap: the packets of all workers in the order of their times.
//!
//! Within a worker's round, packets received come before those sent, and the round's end tells when the latter were
//! handed over. Between workers the oldest goes first; while a worker has nothing to show, the others' packets wait
//! until it says that what it will record is younger.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bypath_wire::ethernet::{EtherType, EthernetHeader};
use bypath_wire::ip::protocol;
use crossbeam::channel::TryRecvError;

use super::meaning::{Note, TapMeaning, TapVerdict};
use super::record::{HEADER_LEN, Header, Kind, record_len};
use super::{ASLEEP, Clock, Interfaces, Source, SourceState, Sources, TapInterface, TapStats};
use crate::counters::cause_name;

/// Shortest and longest sleep of a reader that waits: what comes meanwhile waits in the rings.
const SHORTEST_SLEEP: Duration = Duration::from_micros(200);
const LONGEST_SLEEP: Duration = Duration::from_millis(4);

/// A packet that a worker has received or sent.
#[derive(Clone, Copy, Debug)]
pub struct TapRecord<'a> {
    /// When, in nanoseconds since 1970.
    pub time_ns: i64,
    /// Which of the tap's interfaces, see [`Tap::interfaces`].
    pub interface: usize,
    /// The worker's number.
    pub worker: usize,
    /// The interface's queue.
    pub queue: u16,
    /// Bytes on the wire, without FCS.
    pub original_len: u32,
    /// From the link header on; shorter than on the wire where the tap cuts.
    pub data: &'a [u8],
    /// Packets of this worker that are missing before this one, because the reader did not keep up.
    pub missed_before: u32,
    /// Whether it was sent, and if not, what became of it.
    pub verdict: TapVerdict,
    /// Why it was sent, or what it changed.
    pub meaning: Option<TapMeaning>,
}

impl TapRecord<'_> {
    /// Whether it was sent by us.
    pub fn is_sent(&self) -> bool {
        self.verdict == TapVerdict::Sent
    }

    /// What is worth remarking about it, in words: at most two remarks.
    pub fn remarks(&self) -> impl Iterator<Item = String> {
        let verdict = match self.verdict {
            TapVerdict::Sent | TapVerdict::Used => None,
            TapVerdict::Dropped(cause) => Some(format!("dropped: {cause}")),
            TapVerdict::PassedOn => Some(String::from("passed on to another worker")),
        };
        verdict.into_iter().chain(self.meaning.map(|meaning| meaning.to_string()))
    }
}

/// A record found in a ring.
#[derive(Clone, Copy, Debug)]
struct Found {
    header: Header,
    /// Where its bytes lie in the ring.
    at: u64,
    /// Where the round began.
    round: u64,
}

/// One worker's records that are not handed on yet.
#[derive(Debug)]
struct Lane {
    source: Source,
    /// Up to where the ring has been looked through.
    seen: u64,
    found: VecDeque<Found>,
    /// What the worker said of the time of all that follows, as Unix time.
    floor: i64,
    closed: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Tap {
    sources: Sources,
    clock: Clock,
    interfaces: Interfaces,
    lanes: Vec<Lane>,
    /// What the workers have counted that are gone, by interface.
    past: Vec<TapStats>,
    /// There will be no more lanes.
    complete: bool,
    /// Where a packet is put together that goes round the end of its ring.
    whole: Vec<u8>,
}

impl Tap {
    pub(super) fn new(sources: Sources, clock: Clock, interfaces: Interfaces) -> Self {
        let (lanes, past, whole) = (Vec::new(), Vec::new(), Vec::new());
        Self { sources, clock, interfaces, lanes, past, complete: false, whole }
    }

    /// The interfaces so far; every record's is among them.
    pub fn interfaces(&self) -> Vec<TapInterface> {
        self.interfaces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same for who takes records meanwhile.
    pub fn watch_interfaces(&self) -> impl Fn() -> Vec<TapInterface> + use<> {
        let interfaces = self.interfaces.clone();
        move || interfaces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Unix time of the moment at which the tap was made, in nanoseconds.
    pub fn began_ns(&self) -> i64 {
        self.clock.unix_ns
    }

    /// Unix time now by the tap's clock, in nanoseconds.
    pub fn now_ns(&self) -> i64 {
        self.clock.unix_of(Instant::now())
    }

    /// Hands over what is there now, in the order of time; returns how many packets that were.
    pub fn drain(&mut self, mut take: impl FnMut(&TapRecord<'_>)) -> usize {
        self.meet_workers();
        let now = self.now_ns();
        for lane in &mut self.lanes {
            lane.look(now);
        }
        let mut count = 0;
        while let Some(next) = self.next_lane() {
            let lane = &mut self.lanes[next];
            let Some(found) = lane.found.pop_front() else { break };
            take(&lane.record(&found, &mut self.whole));
            count += 1;
        }
        for lane in &mut self.lanes {
            lane.give_back();
        }
        self.part_with_workers();
        count
    }

    /// Those that have ended, with everything handed over, are forgotten but for their figures.
    fn part_with_workers(&mut self) {
        let past = &mut self.past;
        self.lanes.retain(|lane| {
            let stays = !lane.closed || !lane.found.is_empty();
            if !stays {
                let number = lane.source.interface;
                past.resize(past.len().max(number + 1), TapStats::default());
                past[number].add(&lane.source.state);
            }
            stays
        });
    }

    /// Hands over packets until all workers have ended, or `stop` says so: then what is there is the last.
    pub fn run(&mut self, mut stop: impl FnMut() -> bool, mut take: impl FnMut(&TapRecord<'_>)) {
        let mut sleep = SHORTEST_SLEEP;
        loop {
            let last = stop() || self.is_over();
            if self.drain(&mut take) > 0 {
                sleep = SHORTEST_SLEEP;
            } else if !last {
                std::thread::sleep(sleep);
                sleep = (sleep * 2).min(LONGEST_SLEEP);
            }
            if last {
                self.flush(&mut take);
                return;
            }
        }
    }

    /// Whether all workers have ended and everything was handed over, or nobody is there who could begin.
    pub fn is_over(&mut self) -> bool {
        self.meet_workers();
        self.complete && self.lanes.iter().all(|lane| lane.closed && lane.found.is_empty())
    }

    /// What the workers have counted so far.
    pub fn stats(&mut self) -> TapStats {
        let mut sum = TapStats::default();
        for number in 0..self.interfaces().len().max(1) {
            let one = self.stats_of(number);
            sum.packets += one.packets;
            sum.missed += one.missed;
            sum.missed_bytes += one.missed_bytes;
        }
        sum
    }

    /// The same for one of the interfaces.
    pub fn stats_of(&mut self, interface: usize) -> TapStats {
        self.meet_workers();
        let mut sum = self.past.get(interface).copied().unwrap_or_default();
        for lane in self.lanes.iter().filter(|lane| lane.source.interface == interface) {
            sum.add(&lane.source.state);
        }
        sum
    }

    /// Hands over what waits for others' packets that may be older: they are not waited for any more.
    fn flush(&mut self, take: &mut impl FnMut(&TapRecord<'_>)) {
        for lane in &mut self.lanes {
            lane.closed = true;
        }
        while let Some(next) = self.next_lane() {
            let lane = &mut self.lanes[next];
            let Some(found) = lane.found.pop_front() else { break };
            take(&lane.record(&found, &mut self.whole));
        }
    }

    fn meet_workers(&mut self) {
        while !self.complete {
            match self.sources.try_recv() {
                Ok(source) => {
                    let (seen, found) = (source.ring.head(), VecDeque::new());
                    self.lanes.push(Lane { source, seen, found, floor: i64::MIN, closed: false });
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.complete = true,
            }
        }
    }

    /// The lane with the oldest packet, unless another may still show an older one.
    fn next_lane(&self) -> Option<usize> {
        let first = |lane: &Lane| lane.found.front().map(|found| lane.unix(found.header.time));
        let (time, next) =
            self.lanes.iter().enumerate().filter_map(|(at, lane)| Some((first(lane)?, at))).min()?;
        let waits = |lane: &Lane| lane.found.is_empty() && !lane.closed && lane.floor <= time;
        (!self.lanes.iter().any(waits)).then_some(next)
    }
}

impl TapStats {
    fn add(&mut self, state: &SourceState) {
        self.packets += state.packets.load(Ordering::Relaxed);
        self.missed += state.missed.load(Ordering::Relaxed);
        self.missed_bytes += state.missed_bytes.load(Ordering::Relaxed);
    }
}

impl Lane {
    fn unix(&self, time: u64) -> i64 {
        self.source.base.saturating_add_unsigned(time)
    }

    /// Looks through what the worker has committed since the last time.
    fn look(&mut self, now: i64) {
        // Both before the ring: what is in there afterwards is all there was up to the floor, or all there is.
        let closed = self.source.state.closed.load(Ordering::Acquire);
        self.floor = match self.source.state.floor.load(Ordering::Acquire) {
            ASLEEP => now,
            floor => self.unix(floor),
        };
        let mut round = self.seen;
        let mut first = self.found.len();
        let mut left = self.source.ring.len() - (self.seen - self.source.ring.head()) as usize;
        while left >= HEADER_LEN {
            let header = self.header_at(self.seen);
            let len = record_len(header.captured as usize);
            if header.kind == Kind::HandedOver {
                let this = &mut self.found.make_contiguous()[first..];
                for sent in this.iter_mut().filter(|found| found.header.kind == Kind::Sent) {
                    sent.header.time = header.time;
                }
                this.sort_by_key(|found| found.header.time);
                first = self.found.len();
                round = self.seen + len as u64;
            } else {
                self.found.push_back(Found { header, at: self.seen + HEADER_LEN as u64, round });
            }
            self.seen += len as u64;
            left = left.saturating_sub(len);
        }
        self.closed |= closed;
    }

    fn header_at(&self, at: u64) -> Header {
        let (a, b) = self.source.ring.peek_at(at, HEADER_LEN);
        let mut bytes = [0; HEADER_LEN];
        bytes[..a.len()].copy_from_slice(a);
        bytes[a.len()..a.len() + b.len()].copy_from_slice(b);
        Header::from_bytes(&bytes)
    }

    fn record<'a>(&'a self, found: &Found, whole: &'a mut Vec<u8>) -> TapRecord<'a> {
        let header = &found.header;
        let (a, b) = self.source.ring.peek_at(found.at, header.captured as usize);
        let data = if b.is_empty() {
            a
        } else {
            whole.clear();
            whole.extend_from_slice(a);
            whole.extend_from_slice(b);
            whole
        };
        let [cause, note] = header.verdict;
        let (cause, note) = (cause_name(cause), Note::from_code(note));
        let verdict = match (header.kind, note, cause) {
            (Kind::Received, Note::PassedOn, _) => TapVerdict::PassedOn,
            (Kind::Received, _, Some(cause)) => TapVerdict::Dropped(cause),
            (Kind::Received, ..) => TapVerdict::Used,
            _ => TapVerdict::Sent,
        };
        let mut meaning = TapMeaning::of(note, cause);
        if meaning.is_none() && header.kind == Kind::Received && shuts_window(data) {
            meaning = Some(TapMeaning::PeerZeroWindow);
        }
        TapRecord {
            time_ns: self.unix(header.time),
            interface: self.source.interface,
            worker: self.source.worker,
            queue: header.queue,
            original_len: header.original,
            data,
            missed_before: header.missed,
            verdict,
            meaning,
        }
    }

    /// The worker may use the room again of all rounds that were handed on whole.
    fn give_back(&mut self) {
        let until = self.found.front().map_or(self.seen, |found| found.round);
        let done = until - self.source.ring.head();
        self.source.ring.consume(done as usize);
    }
}

/// Whether an Ethernet frame is a TCP segment, neither SYN nor RST, whose window is zero.
fn shuts_window(frame: &[u8]) -> bool {
    let Ok((header, network)) = EthernetHeader::parse(frame) else { return false };
    let Some(packet) = frame.get(network..) else { return false };
    let byte = |at: usize| packet.get(at).copied().unwrap_or_default();
    let (transport, next) = match header.ethertype {
        EtherType::IPV4 => (usize::from(byte(0) & 0x0f) * 4, byte(9)),
        EtherType::IPV6 => (40, byte(6)),
        _ => return false,
    };
    let Some(tcp) = packet.get(transport..transport + 20) else { return false };
    next == protocol::TCP && tcp[13] & 0b110 == 0 && tcp[14..16] == [0, 0]
}
