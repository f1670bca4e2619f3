//! Anything at all: segments that no peer would send and calls that no caller would make, in any order, in
//! every state. Nothing panics, nothing grows, nothing goes on for ever.

use std::time::Duration;

use bypath_tcp::{Config, Connection, Instant, Segment, State, TxSegment};
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{SackBlock, TcpFlags, TcpHeader, TcpOptions, Timestamps};
use proptest::prelude::*;

/// A number near something that matters, or anywhere.
#[derive(Clone, Copy, Debug)]
enum Near {
    Una(i32),
    Nxt(i32),
    RcvNxt(i32),
    RightEdge(i32),
    Any(u32),
}

#[derive(Clone, Debug)]
struct Wild {
    seq: Near,
    ack: Near,
    flags: u16,
    len: u32,
    window: u16,
    stamp: Option<(i32, i32)>,
    sack: Vec<(Near, u32)>,
    mss: Option<u16>,
    scale: Option<u8>,
    sack_permitted: bool,
}

#[derive(Clone, Debug)]
enum Act {
    Segment(Wild),
    /// What the peer should say now: everything taken, and the next so many bytes.
    Polite(u32, bool),
    Queue(u64),
    Space(u32),
    Reassembly(u32),
    Wait(u64),
    Timer,
    Poll(u8),
    Close,
    Orphan,
    Abort,
    Nodelay(bool),
    PathMtu(Near, u16),
    Unreachable(Near, bool),
}

fn near() -> impl Strategy<Value = Near> {
    let small = prop_oneof![4 => -3i32..4, 2 => -3_000i32..3_000, 1 => any::<i32>()];
    prop_oneof![
        1 => small.clone().prop_map(Near::Una),
        1 => small.clone().prop_map(Near::Nxt),
        4 => small.clone().prop_map(Near::RcvNxt),
        1 => small.prop_map(Near::RightEdge),
        1 => any::<u32>().prop_map(Near::Any),
    ]
}

fn wild() -> impl Strategy<Value = Wild> {
    let flags = prop_oneof![
        6 => Just(0x10u16),
        2 => Just(0x18u16),
        2 => Just(0x11u16),
        2 => prop::sample::select(vec![0x02u16, 0x12, 0x04, 0x14]),
        1 => 0u16..0x200,
    ];
    let len = prop_oneof![3 => Just(0u32), 3 => 1u32..1_500, 1 => 1u32..70_000];
    let stamp = prop::option::weighted(0.7, (-3i32..3, -400i32..400));
    (
        (near(), near(), flags, len, prop_oneof![Just(0u16), 0u16..3_000, any::<u16>()], stamp),
        (
            prop::collection::vec((near(), prop_oneof![0u32..4_000, any::<u32>()]), 0..5),
            prop::option::weighted(0.2, any::<u16>()),
            prop::option::weighted(0.2, any::<u8>()),
            any::<bool>(),
        ),
    )
        .prop_map(|((seq, ack, flags, len, window, stamp), (sack, mss, scale, sack_permitted))| Wild {
            seq,
            ack,
            flags,
            len,
            window,
            stamp,
            sack: sack.into_iter().take(4).collect(),
            mss,
            scale,
            sack_permitted,
        })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => wild().prop_map(Act::Segment),
        6 => (0u32..3_000, any::<bool>()).prop_map(|(n, ack)| Act::Polite(n, ack)),
        3 => (0u64..100_000).prop_map(Act::Queue),
        1 => any::<u64>().prop_map(Act::Queue),
        2 => prop_oneof![0u32..70_000, any::<u32>()].prop_map(Act::Space),
        1 => any::<u32>().prop_map(Act::Reassembly),
        3 => prop_oneof![0u64..500_000_000, 0u64..400_000_000_000, any::<u64>()].prop_map(Act::Wait),
        4 => Just(Act::Timer),
        6 => any::<u8>().prop_map(Act::Poll),
        1 => Just(Act::Close),
        1 => any::<bool>().prop_map(Act::Nodelay),
        1 => (near(), any::<u16>()).prop_map(|(n, m)| Act::PathMtu(n, m)),
        1 => (near(), any::<bool>()).prop_map(|(n, h)| Act::Unreachable(n, h)),
        1 => prop::sample::select(vec![Act::Orphan, Act::Timer, Act::Timer, Act::Abort]),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let buffer = prop_oneof![0u32..3_000, 0u32..200_000, any::<u32>().prop_map(|n| n >> 1)];
    let mss = prop_oneof![Just(1_460u16), any::<u16>()];
    (buffer, mss, any::<[bool; 6]>(), 0u32..20).prop_map(|(receive_buffer, mss, b, iw)| Config {
        receive_buffer,
        mss,
        timestamps: b[0],
        sack: b[1],
        window_scaling: b[2],
        nodelay: b[3],
        keep_alive: b[4].then_some(Duration::from_secs(20)),
        congestion: if b[5] { Default::default() } else { bypath_tcp::CongestionControl::NewReno },
        initial_window_segments: iw,
        quick_acks: 2,
        ..Config::default()
    })
}

/// The connection and what an honest peer would know of it.
struct Subject {
    conn: Connection,
    now: Instant,
    una: SeqNum,
    edge: SeqNum,
    last_queued: u64,
}

impl Subject {
    fn at(&self, near: Near) -> SeqNum {
        let (base, off) = match near {
            Near::Una(n) => (self.una, n),
            Near::Nxt(n) => (self.conn.snd_nxt(), n),
            Near::RcvNxt(n) => (self.conn.rcv_nxt(), n),
            Near::RightEdge(n) => (self.edge, n),
            Near::Any(n) => (SeqNum(n), 0),
        };
        base + off as u32
    }

    fn deliver(&mut self, header: &TcpHeader, options: &TcpOptions, len: u32) {
        let before = (self.conn.acknowledged(), self.conn.rcv_nxt(), self.conn.state());
        let out = self.conn.on_segment(self.now, &Segment::new(header, options, len));
        let used = u64::from(out.skip) + u64::from(out.deliver);
        assert!(used <= u64::from(len), "{out:?}");
        if let Some(store) = out.store {
            assert!(store.len > 0 && store.skip + store.len <= len, "{out:?}");
            assert_eq!(out.deliver, 0);
        }
        assert!(self.conn.acknowledged() >= before.0);
        if before.2 != State::SynSent {
            let moved = self.conn.rcv_nxt().offset_from(before.1) as u32;
            let fin = moved - out.deliver - out.released;
            assert!(fin <= 1, "{out:?} moved {moved}");
        }
        self.una = self.una.later(header.ack.earlier(self.conn.snd_nxt()));
    }

    fn look(&mut self, tx: &TxSegment) {
        assert!(tx.offset.checked_add(u64::from(tx.len)).is_some_and(|end| end <= self.conn.queued()));
        assert!(tx.options.encoded_len() <= 40);
        assert!(tx.len <= 65_535);
        if tx.flags.contains(TcpFlags::ACK) {
            self.edge = tx.ack + u32::from(tx.window);
        }
    }

    fn poll(&mut self, most: usize) {
        for _ in 0..most {
            match self.conn.poll_transmit(self.now) {
                Some(tx) => self.look(&tx),
                None => return,
            }
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Segment(w) => {
                let header = TcpHeader {
                    seq: self.at(w.seq),
                    ack: self.at(w.ack),
                    flags: TcpFlags::from_bits_truncate(w.flags),
                    window: w.window,
                    ..TcpHeader::default()
                };
                let clock = (self.now.as_nanos() / 1_000_000) as u32;
                let stamp = |(value, echo): (i32, i32)| Timestamps {
                    value: clock.wrapping_add(value as u32),
                    echo: clock.wrapping_add(echo as u32),
                };
                let sack = w.sack.iter().map(|&(left, len)| {
                    let left = self.at(left);
                    SackBlock { left, right: left + len }
                });
                let options = TcpOptions {
                    mss: w.mss,
                    window_scale: w.scale,
                    sack_permitted: w.sack_permitted,
                    timestamps: w.stamp.map(stamp),
                    sack: sack.collect(),
                    ..TcpOptions::default()
                };
                self.deliver(&header, &options, w.len);
            }
            Act::Polite(len, acks) => {
                let clock = (self.now.as_nanos() / 1_000_000) as u32;
                let syn = self.conn.state() == State::SynSent;
                let header = TcpHeader {
                    seq: self.conn.rcv_nxt(),
                    ack: if *acks || syn { self.conn.snd_nxt() } else { self.una },
                    flags: if syn { TcpFlags::SYN | TcpFlags::ACK } else { TcpFlags::ACK },
                    window: 20_000,
                    ..TcpHeader::default()
                };
                let options = TcpOptions {
                    timestamps: Some(Timestamps { value: clock, echo: clock }),
                    sack_permitted: syn,
                    window_scale: syn.then_some(3),
                    ..TcpOptions::default()
                };
                self.deliver(&header, &options, *len);
            }
            Act::Queue(n) => {
                // An application's stream does not end near 2^64.
                self.conn.set_queued(*n >> 8);
                assert!(self.conn.queued() >= self.last_queued);
                self.last_queued = self.conn.queued();
            }
            Act::Space(n) => self.conn.set_receive_space(*n),
            Act::Reassembly(n) => self.conn.set_reassembly_limit(*n),
            Act::Wait(ns) => self.now = self.now.plus_nanos(*ns >> 8),
            Act::Timer => {
                let deadline = self.conn.next_deadline();
                if deadline != Instant::NEVER {
                    self.now = self.now.max(deadline);
                    let _ = self.conn.on_timer(self.now);
                    assert!(!self.conn.next_deadline().is_due(self.now), "a timer that stays due");
                }
            }
            Act::Poll(most) => self.poll(usize::from(*most)),
            Act::Close => self.conn.close(self.now),
            Act::Orphan => self.conn.orphan(self.now),
            Act::Abort => {
                let _ = self.conn.abort(self.now);
            }
            Act::Nodelay(on) => self.conn.set_nodelay(*on),
            Act::PathMtu(near, mss) => {
                let _ = self.conn.on_path_mtu(self.now, self.at(*near), *mss);
            }
            Act::Unreachable(near, hard) => {
                let _ = self.conn.on_unreachable(self.at(*near), *hard);
            }
        }
        assert!(self.conn.acknowledged() <= self.conn.queued());
        assert!(self.conn.cwnd() >= self.conn.mss() || self.conn.cwnd() == 0);
        assert_eq!(self.conn.state() == State::Closed, self.conn.close_reason().is_some());
        if self.conn.state() == State::Closed {
            assert_eq!(self.conn.next_deadline(), Instant::NEVER);
            assert!(self.conn.poll_transmit(self.now).is_none());
        }
    }

    /// What can go out goes out, and then there is an end of it.
    fn drain(&mut self) {
        for _ in 0..2_000_000 {
            match self.conn.poll_transmit(self.now) {
                Some(tx) => self.look(&tx),
                None => return,
            }
        }
        panic!("no end of segments: {:?}", self.conn.state());
    }

    /// A peer that is gone: sooner or later the connection is over or silent.
    fn abandon(&mut self) {
        for _ in 0..20_000 {
            let deadline = self.conn.next_deadline();
            if deadline == Instant::NEVER || self.conn.state() == State::Closed {
                return;
            }
            self.now = self.now.max(deadline);
            let _ = self.conn.on_timer(self.now);
            self.drain();
        }
        panic!("timers without end: {:?}", self.conn);
    }
}

fn subject(config: Config, passive: bool, syn: &Wild) -> Subject {
    let iss = SeqNum(u32::MAX - 2_000);
    let now = Instant::from_nanos(1 << 40);
    let conn = if passive {
        let header = TcpHeader {
            seq: SeqNum(u32::MAX - 700),
            flags: TcpFlags::SYN,
            window: syn.window,
            ..TcpHeader::default()
        };
        let options = TcpOptions {
            mss: syn.mss,
            window_scale: syn.scale,
            sack_permitted: syn.sack_permitted,
            timestamps: syn.stamp.map(|_| Timestamps::default()),
            ..TcpOptions::default()
        };
        let segment = Segment::new(&header, &options, syn.len);
        Connection::accept(config, now, iss, 7, &segment)
    } else {
        Connection::connect(config, now, iss, 7)
    };
    Subject { conn, now, una: iss, edge: iss, last_queued: 0 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]
    #[test]
    fn nothing_panics_grows_or_goes_on_for_ever(
        config in config(),
        passive in any::<bool>(),
        polite in any::<bool>(),
        syn in wild(),
        acts in prop::collection::vec(act(), 1..120),
    ) {
        let mut s = subject(config, passive, &syn);
        s.poll(1);
        if polite {
            s.act(&Act::Polite(0, true));
        }
        for act in &acts {
            s.act(act);
        }
        s.drain();
        s.abandon();
    }
}
