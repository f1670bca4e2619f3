//! One connection and a peer that is played by the test, segment by segment. Sequence numbers are counted
//! from the first byte of each stream: the SYNs have -1.

use std::time::Duration;

use bypath_tcp::{Config, Connection, Ecn, Events, Instant, Received, Segment, State, TxSegment};
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{SackBlock, TcpFlags, TcpHeader, TcpOptions, Timestamps};

/// Our first byte, and the peer's: both streams cross the wrap.
pub(crate) const OURS: SeqNum = SeqNum(u32::MAX - 3_000);
pub(crate) const THEIRS: SeqNum = SeqNum(u32::MAX - 1_000);

/// Round trip of the handshake in [`Script::open`].
pub(crate) const RTT: Duration = Duration::from_millis(100);

pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// No options, acknowledgements at once, segments of 1,000 bytes.
pub(crate) fn plain() -> Config {
    Config {
        mss: 1_000,
        timestamps: false,
        sack: false,
        window_scaling: false,
        receive_buffer: 20_000,
        ..Config::default()
    }
}

/// As [`plain`], with selective acknowledgements.
pub(crate) fn with_sack() -> Config {
    Config { sack: true, ..plain() }
}

/// A segment from the peer.
#[derive(Clone, Debug)]
pub(crate) struct Seg {
    seq: i64,
    ack: i64,
    flags: TcpFlags,
    len: u32,
    window: Option<u16>,
    ecn: Ecn,
    urgent: u16,
    options: TcpOptions,
}

impl Seg {
    pub(crate) fn new(flags: TcpFlags, seq: i64, ack: i64) -> Self {
        let options = TcpOptions::default();
        Self { seq, ack, flags, len: 0, window: None, ecn: Ecn::NotEct, urgent: 0, options }
    }
    /// A bare acknowledgement of our bytes before `ack`, from a peer that has sent `seq` bytes.
    pub(crate) fn ack(seq: i64, ack: i64) -> Self {
        Self::new(TcpFlags::ACK, seq, ack)
    }
    pub(crate) fn data(seq: i64, len: u32, ack: i64) -> Self {
        Self { len, ..Self::new(TcpFlags::ACK | TcpFlags::PSH, seq, ack) }
    }
    pub(crate) fn fin(seq: i64, ack: i64) -> Self {
        Self::new(TcpFlags::ACK | TcpFlags::FIN, seq, ack)
    }
    pub(crate) fn rst(seq: i64) -> Self {
        Self::new(TcpFlags::RST, seq, 0)
    }
    pub(crate) fn syn() -> Self {
        Self::new(TcpFlags::SYN, -1, 0)
    }
    pub(crate) fn syn_ack() -> Self {
        Self::new(TcpFlags::SYN | TcpFlags::ACK, -1, 0)
    }
    pub(crate) fn len(mut self, len: u32) -> Self {
        self.len = len;
        self
    }
    pub(crate) fn with(mut self, flags: TcpFlags) -> Self {
        self.flags |= flags;
        self
    }
    pub(crate) fn ecn(mut self, ecn: Ecn) -> Self {
        self.ecn = ecn;
        self
    }
    /// A pointer, whether or not URG says that it counts.
    pub(crate) fn urgent_if(mut self, pointer: u16) -> Self {
        self.urgent = pointer;
        self
    }
    pub(crate) fn unset(&mut self, flags: TcpFlags) {
        self.flags -= flags;
    }
    pub(crate) fn window(mut self, window: u16) -> Self {
        self.window = Some(window);
        self
    }
    /// URG, with the pointer as in the header.
    pub(crate) fn urgent(mut self, pointer: u16) -> Self {
        self.flags |= TcpFlags::URG;
        self.urgent = pointer;
        self
    }
    pub(crate) fn sack(mut self, blocks: &[(i64, i64)]) -> Self {
        let block = |&(l, r): &(i64, i64)| SackBlock { left: at(OURS, l), right: at(OURS, r) };
        self.options.sack = blocks.iter().map(block).collect();
        self
    }
    pub(crate) fn stamp(mut self, value: u32, echo: u32) -> Self {
        self.options.timestamps = Some(Timestamps { value, echo });
        self
    }
    pub(crate) fn mss(mut self, mss: u16) -> Self {
        self.options.mss = Some(mss);
        self
    }
    pub(crate) fn scale(mut self, shift: u8) -> Self {
        self.options.window_scale = Some(shift);
        self
    }
    pub(crate) fn sack_permitted(mut self) -> Self {
        self.options.sack_permitted = true;
        self
    }
}

fn at(base: SeqNum, offset: i64) -> SeqNum {
    base + offset as u32
}

/// A segment of ours, as the test reads it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    /// When, since the script began.
    pub(crate) at: Duration,
    pub(crate) seq: i64,
    pub(crate) ack: i64,
    pub(crate) len: u32,
    pub(crate) flags: TcpFlags,
    /// As in the header.
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) again: bool,
    pub(crate) ecn: Ecn,
    pub(crate) options: TcpOptions,
}

impl Sent {
    pub(crate) fn fin(&self) -> bool {
        self.flags.contains(TcpFlags::FIN)
    }
    pub(crate) fn range(&self) -> (i64, u32) {
        (self.seq, self.len)
    }
    /// SACK blocks, counted from the peer's first byte.
    pub(crate) fn sack(&self) -> Vec<(i64, i64)> {
        let at = |s: SeqNum| i64::from(s.offset_from(THEIRS));
        self.options.sack.iter().map(|b| (at(b.left), at(b.right))).collect()
    }
}

/// The connection under test, its clock, and the peer's habits.
pub(crate) struct Script {
    pub(crate) conn: Connection,
    pub(crate) now: Instant,
    /// Window field of the peer's segments that do not say.
    pub(crate) window: u16,
    pub(crate) events: Events,
    stamps: bool,
}

pub(crate) const EPOCH: Instant = Instant::from_nanos(5_000_000_000);

impl Script {
    /// In SYN-SENT; the SYN has not been asked for.
    pub(crate) fn connecting(config: Config) -> Self {
        Self::with(Connection::connect(config, EPOCH, OURS - 1, 0))
    }

    fn with(conn: Connection) -> Self {
        Self { conn, now: EPOCH, window: 60_000, events: Events::none(), stamps: false }
    }

    /// In SYN-RECEIVED by the peer's `syn`; the SYN-ACK has not been asked for.
    pub(crate) fn accepting(config: Config, syn: Seg) -> Self {
        let header = header(&syn, 60_000);
        let segment = Segment::new(&header, &syn.options, syn.len).with_ecn(syn.ecn);
        Self::with(Connection::accept(config, EPOCH, OURS - 1, 0, &segment))
    }

    /// Opened from our side, over a path of [`RTT`], with a peer that agrees to what `config` offers.
    pub(crate) fn open(config: Config) -> Self {
        let mss = config.mss;
        Self::open_to(config, Seg::syn_ack().mss(mss))
    }

    /// As [`Script::open`], with the peer's SYN-ACK, to which SACK and timestamps are added if we offered.
    pub(crate) fn open_to(config: Config, mut syn_ack: Seg) -> Self {
        let mut s = Self::connecting(config);
        let syn = s.poll().expect("SYN");
        s.now = s.now + RTT;
        s.stamps = syn.options.timestamps.is_some();
        syn_ack.options.sack_permitted |= syn.options.sack_permitted;
        s.deliver(syn_ack);
        assert_eq!(s.conn.state(), State::Established);
        let ack = s.poll().expect("the last of three");
        assert_eq!((ack.seq, ack.ack, ack.len), (0, 0, 0));
        s
    }

    /// As [`Script::open`], with quick acknowledgements used up.
    pub(crate) fn open_later(config: Config) -> Self {
        Self::open(Config { quick_acks: 0, ..config })
    }

    /// From here on the peer forgets its timestamps, where the test does not set them.
    pub(crate) fn without_stamps(&mut self) {
        self.stamps = false;
    }

    /// The peer's clock for timestamps.
    pub(crate) fn stamp(&self) -> u32 {
        (self.now.as_nanos() / 1_000_000) as u32 + 77
    }

    /// Our clock for timestamps.
    pub(crate) fn own_stamp(&self) -> u32 {
        (self.now.as_nanos() / 1_000_000) as u32
    }

    /// The first byte that the peer has not acknowledged, of a stream without FIN.
    pub(crate) fn una(&self) -> i64 {
        self.conn.acknowledged() as i64
    }

    pub(crate) fn deliver(&mut self, mut seg: Seg) -> Received {
        if self.stamps && seg.options.timestamps.is_none() && !seg.flags.contains(TcpFlags::RST) {
            seg = {
                let stamp = self.stamp();
                seg.stamp(stamp, 0)
            };
        }
        let header = header(&seg, self.window);
        let segment = Segment::new(&header, &seg.options, seg.len).with_ecn(seg.ecn);
        let out = self.conn.on_segment(self.now, &segment);
        self.note(out.events);
        out
    }

    fn note(&mut self, events: Events) {
        self.events.insert(events);
    }

    pub(crate) fn read(&self, tx: TxSegment) -> Sent {
        let has_ack = tx.flags.contains(TcpFlags::ACK);
        Sent {
            at: self.now - EPOCH,
            seq: i64::from(tx.seq.offset_from(OURS)),
            ack: if has_ack { i64::from(tx.ack.offset_from(THEIRS)) } else { 0 },
            len: tx.len,
            flags: tx.flags,
            window: tx.window,
            urgent: if tx.flags.contains(TcpFlags::URG) { self.conn.urgent_pointer(&tx) } else { 0 },
            again: tx.retransmission,
            ecn: tx.ecn,
            options: tx.options,
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Sent> {
        self.conn.poll_transmit(self.now).map(|tx| self.read(tx))
    }

    pub(crate) fn poll_all(&mut self) -> Vec<Sent> {
        let sent: Vec<Sent> = std::iter::from_fn(|| self.poll()).take(10_000).collect();
        assert!(sent.len() < 10_000, "no end of segments");
        sent
    }

    /// Gives `len` more bytes to send, and returns what goes out at once.
    pub(crate) fn write(&mut self, len: u64) -> Vec<Sent> {
        self.conn.set_queued(self.conn.queued() + len);
        self.poll_all()
    }

    /// Delivers, and returns what goes out in answer.
    pub(crate) fn answer(&mut self, seg: Seg) -> Vec<Sent> {
        self.deliver(seg);
        self.poll_all()
    }

    /// Lets time pass, with every timer at its moment; returns what went out.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Sent> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while self.conn.next_deadline() <= end {
            self.now = self.now.max(self.conn.next_deadline());
            let events = self.conn.on_timer(self.now);
            self.note(events);
            sent.extend(self.poll_all());
        }
        self.now = end;
        sent
    }

    pub(crate) fn close(&mut self) -> Vec<Sent> {
        self.conn.close(self.now);
        self.poll_all()
    }

    pub(crate) fn state(&self) -> State {
        self.conn.state()
    }
}

fn header(seg: &Seg, window: u16) -> TcpHeader {
    TcpHeader {
        seq: at(THEIRS, seg.seq),
        ack: if seg.flags.contains(TcpFlags::ACK) { at(OURS, seg.ack) } else { SeqNum(0) },
        flags: seg.flags,
        window: seg.window.unwrap_or(window),
        urgent: seg.urgent,
        ..TcpHeader::default()
    }
}

/// The ranges that segments carry.
pub(crate) fn ranges(sent: &[Sent]) -> Vec<(i64, u32)> {
    sent.iter().map(Sent::range).collect()
}

/// The ranges of those that were sent before.
pub(crate) fn again(sent: &[Sent]) -> Vec<(i64, u32)> {
    sent.iter().filter(|t| t.again).map(Sent::range).collect()
}

/// So many segments out, a round trip ago: all of the first window.
pub(crate) fn out_for_a_while(segments: usize, config: Config) -> Script {
    let mut s = Script::open(config);
    assert_eq!(s.write(200_000).len(), segments);
    s.now = s.now + ms(100);
    s
}

/// Where the next new byte goes.
pub(crate) fn next_offset(s: &Script) -> i64 {
    i64::from(s.conn.snd_nxt().offset_from(OURS))
}
