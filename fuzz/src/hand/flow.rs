//! One pair of addresses and ports between the stack and the peer that the fuzzer plays: what each has said, and
//! what must hold of what the stack says.

use std::net::SocketAddr;

use bypath_sim::packet::TcpPacket;
use bypath_wire::SeqNum;
use bypath_wire::tcp::TcpFlags;

/// The byte that the peer puts at a sequence number, whichever segment carries it.
pub(super) fn peer_byte(seq: SeqNum) -> u8 {
    ((seq.0 >> 2).wrapping_mul(0x9e37_79b1) >> (8 * (seq.0 & 3))) as u8
}

/// The byte that the application of the stack writes at an offset of its stream.
pub(super) fn own_byte(offset: u64) -> u8 {
    ((offset as u32 >> 2).wrapping_mul(0x85eb_ca6b) >> (8 * (offset & 3))) as u8
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) stack: SocketAddr,
    pub(super) peer: SocketAddr,
    /// Sequence number of the peer's next SYN.
    pub(super) peer_iss: SeqNum,
    /// Next sequence number of a well-behaved peer.
    pub(super) peer_nxt: SeqNum,
    pub(super) peer_open: bool,
    /// The SYNs that the peer has sent: sequence numbers, and bytes of data that went with them.
    syns: Vec<(SeqNum, u32)>,
    /// Cookie for Fast Open that the stack has given, if it has.
    pub(super) cookie: Vec<u8>,
    /// Of the stack's present connection here.
    pub(super) iss: Option<SeqNum>,
    /// Sequence number before the peer's first byte, in the stack's eyes, where that is beyond doubt.
    pub(super) irs: Option<SeqNum>,
    /// What the stack sends next, as far as it has shown.
    pub(super) nxt: SeqNum,
    /// What the stack has acknowledged last.
    pub(super) acked: SeqNum,
    /// Furthest that the peer has ever sent, and whether that may be anything.
    furthest: Vec<SeqNum>,
    /// Furthest that the peer has ever acknowledged, if it has.
    pub(super) peer_acked: Option<SeqNum>,
    pub(super) ts_value: u32,
    /// Bytes that the present socket's application has written, if there is one.
    pub(super) offered: Option<u64>,
    pub(super) shut: bool,
    /// Bytes written by an application that opens, until its SYN is seen.
    pub(super) opening: Option<u64>,
    /// SYNs answered since the listener was last seen empty: with more than one, nobody knows which of them a
    /// socket belongs to.
    answered: u32,
    /// The listener has been seen empty since the last of them.
    drained: bool,
    /// SYNs ever answered.
    answers: u32,
}

impl Flow {
    pub(super) fn new(stack: SocketAddr, peer: SocketAddr, peer_iss: u32) -> Self {
        let peer_iss = SeqNum(peer_iss);
        Self {
            stack,
            peer,
            peer_iss,
            peer_nxt: peer_iss,
            peer_open: false,
            syns: Vec::new(),
            iss: None,
            irs: None,
            nxt: SeqNum(0),
            acked: SeqNum(0),
            furthest: Vec::new(),
            peer_acked: None,
            ts_value: 0,
            offered: None,
            shut: false,
            cookie: Vec::new(),
            opening: None,
            answered: 0,
            drained: true,
            answers: 0,
        }
    }

    /// The stack opens a connection anew, perhaps with the very sequence number that it had before.
    pub(super) fn forget(&mut self) {
        (self.iss, self.irs, self.peer_acked, self.offered) = (None, None, None, None);
    }

    /// Nothing waits to be accepted.
    pub(super) fn drained(&mut self) {
        self.drained = true;
    }

    /// Whether what is accepted now is the connection of the last answer. A cookie is good more than once, and
    /// after others were given.
    pub(super) fn accepts_last(&self, cookies: bool) -> bool {
        if cookies { self.answers == 1 } else { self.answered == 1 }
    }

    /// The application has written more.
    pub(super) fn wrote(&mut self, n: u64) {
        if let Some(written) = self.opening.as_mut().or(self.offered.as_mut()) {
            *written += n;
        }
    }

    /// The peer sends a segment.
    pub(super) fn peer_sends(&mut self, seq: SeqNum, flags: TcpFlags, len: usize, ack: SeqNum) {
        let syn = u32::from(flags.contains(TcpFlags::SYN));
        let fin = u32::from(flags.contains(TcpFlags::FIN));
        let end = seq + syn + len as u32 + fin;
        if syn > 0 {
            self.syns.push((seq, len as u32));
        }
        if end != seq {
            self.furthest.push(end);
        }
        if flags.contains(TcpFlags::ACK) && self.iss.is_some_and(|iss| ack.after(iss)) {
            self.peer_acked = Some(self.peer_acked.map_or(ack, |before| before.later(ack)));
        }
        if seq == self.peer_nxt || syn > 0 {
            self.peer_nxt = end;
            self.peer_open |= syn > 0;
        }
    }

    /// The stack sends a segment. Panics where that cannot be.
    pub(super) fn stack_sends(&mut self, tcp: &TcpPacket<'_>) {
        let flags = tcp.header.flags;
        let (syn, fin) = (flags.contains(TcpFlags::SYN), flags.contains(TcpFlags::FIN));
        assert!(!(syn && flags.intersects(TcpFlags::FIN | TcpFlags::RST)), "SYN with FIN or RST: {tcp}");
        assert!(flags.intersects(TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST), "says nothing: {tcp}");
        assert!(flags.contains(TcpFlags::URG) || tcp.header.urgent == 0, "urgent of nothing: {tcp}");
        if flags.contains(TcpFlags::RST) {
            assert!(tcp.payload.is_empty() && !fin, "a reset with more: {tcp}");
            return;
        }
        if let Some(ts) = tcp.options.timestamps {
            self.ts_value = ts.value;
        }
        let seq = tcp.header.seq;
        // In TIME-WAIT a SYN of the peer may open the same addresses again.
        let answers_another =
            flags.contains(TcpFlags::ACK) && self.irs.is_some_and(|irs| tcp.header.ack != irs + 1);
        let anew = self.iss != Some(seq) || answers_another;
        if syn && anew {
            (self.iss, self.nxt, self.irs, self.peer_acked) = (Some(seq), seq, None, None);
            (self.offered, self.shut) = (None, false);
            if flags.contains(TcpFlags::ACK) {
                self.answered = if std::mem::take(&mut self.drained) { 1 } else { self.answered + 1 };
                self.answers += 1;
            } else {
                self.offered = self.opening.take();
            }
        }
        if let (true, Some(cookie)) = (syn, &tcp.options.fast_open)
            && !cookie.is_empty()
        {
            self.cookie = cookie.to_vec();
        }
        let Some(iss) = self.iss else { return };
        let len = tcp.payload.len() as u32;
        let end = seq + u32::from(syn) + len + u32::from(fin);
        self.nxt = if syn { end } else { self.nxt.later(end) };
        if flags.contains(TcpFlags::ACK) {
            self.acked = tcp.header.ack;
            self.heard(tcp.header.ack, syn);
        }
        for block in &tcp.options.sack {
            assert!(block.left.before(block.right), "an empty block: {tcp}");
        }
        if let (Some(offered), true) = (self.offered, len > 0) {
            let offset = u64::from((seq + u32::from(syn) - 1).0.wrapping_sub(iss.0));
            assert!(offset + u64::from(len) <= offered, "more than was written, {offered}: {tcp}");
            for (at, byte) in (offset..).zip(tcp.payload) {
                assert_eq!(*byte, own_byte(at), "not what was written at {at}: {tcp}");
            }
        }
        if let (Some(offered), true) = (self.offered, fin) {
            let at = u64::from(end.0.wrapping_sub(iss.0).wrapping_sub(2));
            assert!(self.shut && at == offered, "FIN at {at} of {offered}: {tcp}");
        }
    }

    /// The stack has acknowledged `ack`: something that the peer has sent up to there must exist, and the first
    /// time that tells which SYN it goes by.
    fn heard(&mut self, ack: SeqNum, syn: bool) {
        assert!(
            self.furthest.contains(&ack) || self.covered(ack),
            "acknowledges {ack}, never sent: {self:?}"
        );
        if self.irs.is_none() {
            // The answer to a SYN acknowledges no more than came with it; what comes later may.
            let beyond = |(seq, _): &(SeqNum, u32)| ack.0.wrapping_sub(seq.0).wrapping_sub(1);
            let mut near =
                self.syns.iter().filter(|&at| beyond(at) <= if syn { at.1 } else { 1 << 18 }).map(|at| at.0);
            self.irs = near.next().filter(|first| near.all(|other| other == *first));
        }
    }

    /// Whether `ack` may lie inside something that the peer has sent: a window cuts segments anywhere.
    fn covered(&self, ack: SeqNum) -> bool {
        self.furthest.iter().any(|end| end.0.wrapping_sub(ack.0) < 1 << 16)
            || self.syns.iter().any(|(seq, _)| ack == *seq)
    }
}
