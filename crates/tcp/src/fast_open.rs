//! TCP Fast Open (RFC 7413): data in the SYN, for a peer that has shown before that its address is its own. The
//! cookie that shows it is asked for with one connection and used with the next; who makes, checks and keeps
//! cookies is the caller's matter, except for [`FastOpenKeys`], a server's.

use core::hash::{Hash, Hasher};
use core::net::IpAddr;

use arrayvec::ArrayVec;
use bypath_wire::seq::SeqNum;
use siphasher::sip::SipHasher24;

use crate::connection::{Bits, Connection};
use crate::segment::{Events, Received, Segment};
use crate::state::State;
use crate::time::Instant;

/// A cookie as the option carries it: 4 to 16 bytes (RFC 7413 section 4.1.1).
pub type FastOpenCookie = ArrayVec<u8, 16>;

/// How long a server's cookie is good at least; at most twice as long (RFC 7413 section 4.1.2 asks for an end).
const EPOCH_NS: u64 = 4 * 3600 * 1_000_000_000;

/// What a connection keeps of it.
#[derive(Debug, Default)]
pub(crate) struct FastOpen {
    /// What our SYN carries: a cookie, or an empty one to ask for one.
    offer: Option<FastOpenCookie>,
    /// What the peer is known to take in one segment, from an earlier connection.
    known_mss: u16,
    /// Bytes of the stream that our SYN carried.
    sent: u32,
    /// And of those, what its SYN-ACK acknowledged.
    acknowledged: u32,
    /// The SYN had to be sent again, without the option.
    lost: bool,
    granted: Option<FastOpenCookie>,
    /// We are the server, and have taken data with the SYN: answers may go out before the handshake is complete.
    pub(crate) early: bool,
    /// SYN-ACKs sent again, of a passive connection.
    pub(crate) answers: u8,
}

/// What became of a client's Fast Open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FastOpenReport {
    /// The first SYN carried the option.
    pub offered: bool,
    /// Bytes that it carried, and how many of them its SYN-ACK acknowledged.
    pub sent: u32,
    /// See `sent`.
    pub acknowledged: u32,
    /// It was not answered: the path or the peer may not like the option.
    pub lost: bool,
    /// The cookie for the next connection.
    pub granted: Option<FastOpenCookie>,
}

impl Connection {
    /// The first SYN is to carry `cookie` and as much of what is queued as fits, or asks for a cookie if there is
    /// none. `known_mss` is what the peer announced to an earlier connection. Before the SYN is sent.
    pub fn offer_fast_open(&mut self, cookie: Option<FastOpenCookie>, known_mss: Option<u16>) {
        if self.hot.state == State::SynSent && self.hot.snd_nxt == self.cold.iss {
            self.cold.fast_open.offer = Some(cookie.unwrap_or_default());
            self.cold.fast_open.known_mss = known_mss.unwrap_or(DEFAULT_MSS);
        }
    }

    /// What the peer takes in one segment, options and payload.
    pub fn peer_mss(&self) -> u16 {
        self.cold.peer_mss
    }

    /// What became of it.
    pub fn fast_open(&self) -> FastOpenReport {
        let f = &self.cold.fast_open;
        FastOpenReport {
            offered: f.offer.is_some(),
            sent: f.sent,
            acknowledged: f.acknowledged,
            lost: f.lost,
            granted: f.granted.clone(),
        }
    }

    /// A server that has checked `syn`'s cookie takes the data beside it: what to do with it is in the result.
    /// Right after [`Connection::accept`].
    pub fn take_syn_data(&mut self, syn: &Segment<'_>) -> Received {
        let mut out = Received::default();
        let room = self.hot.rcv_space.min(u32::from(u16::MAX));
        let take = syn.payload_len.min(room);
        self.cold.fast_open.early = true;
        out.deliver = take;
        self.hot.rcv_nxt += take;
        self.hot.rcv_edge = self.hot.rcv_edge.later(self.hot.rcv_nxt);
        self.hot.rcv_space -= take;
        self.hot.last_ack_sent = self.hot.rcv_nxt;
        out
    }

    /// The option of our SYN, and how many bytes go with it into `room`. A SYN that is sent again goes plain
    /// (RFC 7413 section 4.1.3).
    pub(crate) fn syn_extra(&mut self, again: bool) -> Option<FastOpenCookie> {
        if again {
            self.cold.fast_open.lost = self.cold.fast_open.offer.is_some();
            return None;
        }
        self.cold.fast_open.offer.clone()
    }

    /// How many bytes of the stream go with a SYN that has `options` bytes of options.
    pub(crate) fn syn_payload(&mut self, again: bool, options: usize) -> u32 {
        let f = &mut self.cold.fast_open;
        let with_cookie = f.offer.as_ref().is_some_and(|cookie| !cookie.is_empty());
        if again || !with_cookie {
            return 0;
        }
        let whole = u32::from(f.known_mss.min(self.cold.config.mss));
        let room = whole.saturating_sub(options as u32);
        f.sent = u32::try_from(self.hot.queued).unwrap_or(u32::MAX).min(room);
        f.sent
    }

    /// Sequence number after our SYN and what it carried.
    pub(crate) fn after_syn(&self) -> SeqNum {
        self.cold.iss + 1 + self.cold.fast_open.sent
    }

    /// The SYN-ACK says how much of the SYN's data the server has taken. The rest was not sent, as it were: it
    /// goes with what follows (RFC 7413 section 4.2.1).
    pub(crate) fn take_syn_ack(&mut self, segment: &Segment<'_>, out: &mut Received) {
        let ack = segment.header.ack;
        let taken = u32::try_from(ack.offset_from(self.cold.iss + 1)).unwrap_or(0);
        self.hot.snd_una = ack;
        self.hot.snd_nxt = ack;
        self.hot.snd_wl2 = ack;
        self.hot.acknowledged = u64::from(taken);
        if taken > 0 {
            out.events.insert(Events::ACKNOWLEDGED);
        }
        let f = &mut self.cold.fast_open;
        f.acknowledged = taken;
        if f.offer.is_some() {
            f.granted = segment.options.fast_open.clone().filter(|cookie| is_cookie(cookie));
        }
    }

    /// Both ends open at once: neither has taken data, and ours goes after the handshake.
    pub(crate) fn forget_syn_data(&mut self) {
        self.cold.fast_open.sent = 0;
        self.hot.snd_nxt = self.cold.iss + 1;
    }

    /// Whether data may be sent in SYN-RECEIVED.
    pub(crate) fn answers_early(&self) -> bool {
        self.cold.fast_open.early && !self.hot.bits.has(Bits::SEND_SYN)
    }
}

/// What a peer of which nothing is known takes (RFC 9293 section 3.7.1).
const DEFAULT_MSS: u16 = 536;

/// RFC 7413 section 4.1.1: 4 to 16 bytes, an even number.
fn is_cookie(bytes: &[u8]) -> bool {
    bytes.len() >= 4 && bytes.len().is_multiple_of(2)
}

/// Makes and checks a server's cookies: a keyed hash of the client's address and of the time, in steps of hours.
#[derive(Clone, Debug)]
pub struct FastOpenKeys {
    key: (u64, u64),
}

impl FastOpenKeys {
    /// With a secret key; servers that stand in for each other have the same.
    pub const fn new(key: (u64, u64)) -> Self {
        Self { key }
    }

    fn of(&self, epoch: u64, client: IpAddr) -> FastOpenCookie {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        (client, epoch).hash(&mut hasher);
        hasher.finish().to_be_bytes().into_iter().collect()
    }

    /// The cookie for `client`.
    pub fn cookie(&self, now: Instant, client: IpAddr) -> FastOpenCookie {
        self.of(now.as_nanos() / EPOCH_NS, client)
    }

    /// Whether `cookie` was given to `client`, not too long ago.
    pub fn is_valid(&self, now: Instant, client: IpAddr, cookie: &[u8]) -> bool {
        let epoch = now.as_nanos() / EPOCH_NS;
        let epochs = [Some(epoch), epoch.checked_sub(1)];
        epochs.into_iter().flatten().any(|epoch| self.of(epoch, client).as_slice() == cookie)
    }
}
