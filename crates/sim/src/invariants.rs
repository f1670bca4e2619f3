//! What must hold of every packet that a host of ours sends, whatever the network does to it afterwards. A
//! [`WireWatch`] is shown each packet as it leaves, and told what applications have offered; it knows both
//! directions of every connection, and so sees lies that no single packet gives away.
//!
//! Simulations use it, and so can a fuzz target: it needs nothing but the bytes.

use std::fmt;
use std::net::SocketAddr;

use bypath_wire::SeqNum;
use bypath_wire::tcp::TcpFlags;
use hashbrown::HashMap;

use crate::direction::{Direction, Limits};
use crate::packet::{Medium, TcpPacket};

/// What does not hold, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

/// What an application has asked its stack to carry in one direction of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Bytes given.
    pub bytes: u64,
    /// No more will come: FIN may follow.
    pub closed: bool,
    /// Seed of the [`Pattern`](bypath_lab::Pattern) that the bytes follow, if they do.
    pub pattern: Option<u64>,
    /// Bytes that the application has taken from the other direction: what may be advertised beyond them is
    /// bounded by the receive buffer.
    pub taken: u64,
    /// Largest receive buffer, bytes; `None`: not checked.
    pub receive_limit: Option<u64>,
}

/// Both ends of a connection, the lesser first.
type Key = (SocketAddr, SocketAddr);

fn key(from: SocketAddr, to: SocketAddr) -> (Key, usize) {
    if from <= to { ((from, to), 0) } else { ((to, from), 1) }
}

#[derive(Debug, Default)]
struct Pair {
    ways: [Direction; 2],
    offers: [Option<Offer>; 2],
}

/// Looks at every packet on the wire.
#[derive(Debug)]
pub struct WireWatch {
    medium: Medium,
    limits: Limits,
    pairs: HashMap<Key, Pair, ahash::RandomState>,
    seen: u64,
}

impl WireWatch {
    /// A watch on stacks whose IP packets are at most `mtu` bytes long.
    pub fn new(medium: Medium, mtu: u32) -> Self {
        Self {
            medium,
            limits: Limits { mtu: mtu as usize, replays: false },
            pairs: HashMap::with_hasher(ahash::RandomState::with_seeds(1, 2, 3, 4)),
            seen: 0,
        }
    }

    /// An old acknowledgement may open a connection again that was reset or is over: the stack answers SYNs with
    /// cookies, and keeps nothing by which it would know.
    #[must_use]
    pub fn with_replays(mut self, on: bool) -> Self {
        self.limits.replays = on;
        self
    }

    /// Knows nothing of a connection any more, until its next SYN.
    pub fn forget(&mut self, from: SocketAddr, to: SocketAddr) {
        self.pairs.remove(&key(from, to).0);
    }

    /// TCP segments seen.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// What the application at `from` has asked for on its connection to `to`. Without an offer, data and FIN
    /// of that direction are not limited: its stack may be anybody's.
    pub fn offer(&mut self, from: SocketAddr, to: SocketAddr, offer: Offer) {
        let (key, way) = key(from, to);
        self.pairs.entry(key).or_default().offers[way] = Some(offer);
    }

    /// Bytes of the stream from `from` to `to` that the receiver has acknowledged, as far as it has said so. All,
    /// where what it says may be meant for an earlier connection.
    pub fn acknowledged(&self, from: SocketAddr, to: SocketAddr) -> u64 {
        let (key, way) = key(from, to);
        let acked = |pair: &Pair| {
            if pair.ways[way].is_contested() { u64::MAX } else { pair.ways[1 - way].acked_bytes() }
        };
        self.pairs.get(&key).map_or(0, acked)
    }

    /// Takes a look at a packet that a host sends.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn sent(&mut self, packet: &[u8]) -> Result<(), Violation> {
        let parsed = TcpPacket::parse(self.medium, packet);
        let Some(tcp) = parsed.map_err(|e| Violation(format!("a malformed packet: {e}")))? else {
            return Ok(());
        };
        self.seen += 1;
        let (key, way) = key(tcp.from, tcp.to);
        let pair = self.pairs.entry(key).or_default();
        let [first, second] = &mut pair.ways;
        let (own, peer) = if way == 0 { (first, second) } else { (second, first) };
        if tcp.header.flags.contains(TcpFlags::SYN) && own.opens_anew(tcp.header.seq) {
            if tcp.header.flags.contains(TcpFlags::ACK) {
                *own = Direction::answering(peer, own);
            } else {
                *own = Direction::after(own);
                peer.belongs_to_the_past();
            }
        }
        own.sent(&self.limits, &tcp, peer, pair.offers[way].as_ref())
            .map_err(|why| Violation(format!("{why}: {tcp}")))
    }
}

/// The place of `seq` on a line on which `near` is known to lie at `at`, within half the circle of it.
pub(crate) fn unwrap_seq(seq: SeqNum, near: SeqNum, at: i64) -> i64 {
    at + i64::from(seq.offset_from(near))
}
