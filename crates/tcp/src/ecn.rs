//! Explicit congestion notification: routers mark packets instead of dropping them, the receiver tells the sender,
//! the sender slows down. Here: the agreement in the handshake, what the receiver echoes and how the sender reads it,
//! for RFC 3168 (one bit, until the sender says that it has understood), DCTCP (RFC 8257: one bit, exact) and
//! accurate ECN (RFC 9768: a counter of marked packets).
//!
//! Only new data is sent as capable: not SYNs, bare acknowledgements, probes, retransmissions (RFC 3168 section
//! 6.1). What a mark does to the window is the congestion control's affair.

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::TcpFlags;

use crate::config::{Config, CongestionControl, EcnMode};
use crate::connection::{Bits, Connection};
use crate::segment::{Received, Segment, TxSegment};
use crate::time::Instant;

/// The two ECN bits of an IP header (RFC 3168 section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ecn {
    /// The sender does not take part: a router can only drop.
    #[default]
    NotEct = 0,
    /// The sender takes part (and, by RFC 9331, wants the low-latency treatment).
    Ect1 = 1,
    /// The sender takes part.
    Ect0 = 2,
    /// Congestion was experienced on the way.
    Ce = 3,
}

impl Ecn {
    /// From the low two bits of a traffic class; the others do not count.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// As they lie in the traffic class.
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

/// What two ends have agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EcnFeedback {
    /// No ECN.
    #[default]
    None,
    /// One bit (RFC 3168).
    Classic,
    /// A counter (RFC 9768).
    Accurate,
}

/// The three bits that a SYN asks with, and that the counter travels in.
const ACE: TcpFlags = TcpFlags::AE.union(TcpFlags::CWR).union(TcpFlags::ECE);
const CLASSIC_SYN: TcpFlags = TcpFlags::CWR.union(TcpFlags::ECE);
/// Where both counters begin (RFC 9768 section 3.2.1).
const FIRST_COUNT: u32 = 5;
/// Marks after which an acknowledgement goes out at once, so that three bits can count them (section 3.2.2.5.1).
const MARKS_PER_ACK: u32 = 6;

/// What a connection keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EcnState {
    feedback: EcnFeedback,
    /// What our SYN asks for, until it is given up.
    asked: EcnFeedback,
    /// SYNs sent.
    syns: u8,
    /// What the peer's SYN, or SYN-ACK, came with.
    opened_with: Ecn,
    /// The next bare acknowledgement says what the SYN-ACK came with (RFC 9768 section 3.2.2.1).
    answer_syn_ack: bool,
    /// Once a window: nothing more is answered until this is acknowledged.
    reduced_until: Option<SeqNum>,
    /// How often in a row a single segment was marked all the same.
    backoff: u8,
    /// Marked packets received, as counted by us; and when the last acknowledgement went out.
    marks: u32,
    marks_told: u32,
    /// Marked packets of ours, as counted by the peer.
    peer_marks: u32,
}

impl Default for EcnState {
    fn default() -> Self {
        Self {
            feedback: EcnFeedback::None,
            asked: EcnFeedback::None,
            syns: 0,
            opened_with: Ecn::NotEct,
            answer_syn_ack: false,
            reduced_until: None,
            backoff: 0,
            marks: FIRST_COUNT,
            marks_told: FIRST_COUNT,
            peer_marks: FIRST_COUNT,
        }
    }
}

/// A number below eight in the three bits.
fn in_ace(n: u32) -> TcpFlags {
    let bit = |mask, flag| if n & mask != 0 { flag } else { TcpFlags::empty() };
    bit(4, TcpFlags::AE) | bit(2, TcpFlags::CWR) | bit(1, TcpFlags::ECE)
}

fn from_ace(flags: TcpFlags) -> u32 {
    u32::from(flags.contains(TcpFlags::AE)) << 2
        | u32::from(flags.contains(TcpFlags::CWR)) << 1
        | u32::from(flags.contains(TcpFlags::ECE))
}

/// RFC 9768 table 2: how a SYN-ACK, and its acknowledgement, tell what the other came with.
const fn codepoint_in_ace(ecn: Ecn) -> u32 {
    match ecn {
        Ecn::NotEct => 0b010,
        Ecn::Ect1 => 0b011,
        Ecn::Ect0 => 0b100,
        Ecn::Ce => 0b110,
    }
}

/// What may be asked for and agreed to. DCTCP is nothing without marks; an algorithm that does not answer marks must
/// not have packets marked that would have been dropped.
fn mode_of(config: &Config) -> EcnMode {
    match (config.congestion, config.ecn) {
        (CongestionControl::Bbr | CongestionControl::None, _) => EcnMode::Off,
        (CongestionControl::Dctcp, EcnMode::Off | EcnMode::Accept) => EcnMode::Request,
        (_, mode) => mode,
    }
}

/// What a SYN with these bits gets.
fn agreed_by_listener(mode: EcnMode, bits: TcpFlags) -> EcnFeedback {
    match (mode, bits & ACE) {
        (EcnMode::Off, _) => EcnFeedback::None,
        (EcnMode::Accurate, ACE) => EcnFeedback::Accurate,
        (_, CLASSIC_SYN | ACE) => EcnFeedback::Classic,
        _ => EcnFeedback::None,
    }
}

fn flags_of_syn_ack(agreed: EcnFeedback, syn_came_with: Ecn) -> TcpFlags {
    match agreed {
        EcnFeedback::None => TcpFlags::empty(),
        EcnFeedback::Classic => TcpFlags::ECE,
        EcnFeedback::Accurate => in_ace(codepoint_in_ace(syn_came_with)),
    }
}

/// The bits with which a listener answers a SYN with the bits `syn`. What the SYN itself came with is not kept by a
/// half-open connection: nobody sends it as capable.
pub(crate) fn answer_to_syn(config: &Config, syn: TcpFlags) -> TcpFlags {
    flags_of_syn_ack(agreed_by_listener(mode_of(config), syn), Ecn::NotEct)
}

/// As [`answer_to_syn`], where only one bit of it can be remembered: no counter.
pub(crate) fn is_classic_agreed(config: &Config, syn: TcpFlags) -> bool {
    agreed_by_listener(mode_of(config), syn) != EcnFeedback::None
}

impl Connection {
    /// What the two ends have agreed on.
    pub fn ecn(&self) -> EcnFeedback {
        self.cold.ecn.feedback
    }

    /// The bits of a SYN, or of a SYN-ACK.
    pub(crate) fn ecn_flags_of_syn(&mut self, reply: bool) -> TcpFlags {
        let mode = mode_of(&self.cold.config);
        let ecn = &mut self.cold.ecn;
        ecn.syns = ecn.syns.saturating_add(1);
        if reply {
            return flags_of_syn_ack(ecn.feedback, ecn.opened_with);
        }
        // RFC 3168 section 6.1.1.1: a network that drops SYNs with these bits must not make us unreachable. RFC 9768
        // section 3.1.4 has one more try.
        ecn.asked = match mode {
            EcnMode::Request if ecn.syns <= 1 => EcnFeedback::Classic,
            EcnMode::Accurate if ecn.syns <= 2 => EcnFeedback::Accurate,
            _ => EcnFeedback::None,
        };
        match ecn.asked {
            EcnFeedback::None => TcpFlags::empty(),
            EcnFeedback::Classic => CLASSIC_SYN,
            EcnFeedback::Accurate => ACE,
        }
    }

    /// What the peer's SYN, or SYN-ACK, makes of it.
    pub(crate) fn negotiate_ecn(&mut self, syn: &Segment<'_>) {
        let bits = syn.header.flags & ACE;
        let mode = mode_of(&self.cold.config);
        let ecn = &mut self.cold.ecn;
        ecn.opened_with = syn.ecn;
        let agreed = if syn.header.flags.contains(TcpFlags::ACK) {
            match (ecn.asked, from_ace(bits)) {
                (EcnFeedback::None, _) => EcnFeedback::None,
                (EcnFeedback::Accurate, 0b010 | 0b011 | 0b100 | 0b110) => {
                    ecn.answer_syn_ack = true;
                    ecn.peer_marks += u32::from(from_ace(bits) == 0b110);
                    EcnFeedback::Accurate
                }
                // 101 has the bit that once was a nonce: the peer is classic.
                (EcnFeedback::Classic | EcnFeedback::Accurate, 0b001 | 0b101) => EcnFeedback::Classic,
                _ => EcnFeedback::None,
            }
        } else if self.cold.passive {
            agreed_by_listener(mode, bits)
        } else {
            // Both ends open at once: no answer says what the other has understood.
            EcnFeedback::None
        };
        ecn.feedback = agreed;
        if agreed == EcnFeedback::Accurate {
            ecn.marks += u32::from(syn.ecn == Ecn::Ce);
            // Every segment has the counter.
            self.hot.bits.set(Bits::ECHO);
        }
        if agreed != EcnFeedback::None {
            self.hot.bits.set(Bits::ECN);
        }
    }

    /// The acknowledgement of our SYN-ACK tells what that came with, or that the bits do not get through
    /// (RFC 9768 section 3.2.2.1).
    pub(crate) fn ecn_after_syn_ack(&mut self, segment: &Segment<'_>) {
        let bare = segment.payload_len == 0 && segment.options.sack.is_empty();
        if self.cold.ecn.feedback != EcnFeedback::Accurate || !bare {
            return;
        }
        match from_ace(segment.header.flags) {
            0b110 => self.cold.ecn.peer_marks += 1,
            0b000 => {
                self.cold.ecn.feedback = EcnFeedback::None;
                self.hot.bits.clear(Bits::ECN.or(Bits::ECHO));
            }
            _ => {}
        }
    }

    /// The window was reduced because of marks, and data sent before that is still under way.
    pub(crate) fn is_reduced_by_marks(&self) -> bool {
        self.cold.ecn.reduced_until.is_some_and(|until| self.hot.snd_una.before(until))
    }

    /// The receiver's side: what came with an acceptable segment, to be echoed.
    pub(crate) fn note_marks(&mut self, now: Instant, segment: &Segment<'_>, out: &mut Received) {
        let marked = segment.ecn == Ecn::Ce;
        self.cold.stats.ce_in += u64::from(marked);
        match self.cold.ecn.feedback {
            EcnFeedback::None => {}
            EcnFeedback::Accurate => {
                self.cold.ecn.marks = self.cold.ecn.marks.wrapping_add(u32::from(marked));
                if marked && segment.payload_len > 0 {
                    self.hot.bits.set(Bits::ACK_NOW);
                }
                if self.cold.ecn.marks.wrapping_sub(self.cold.ecn.marks_told) >= MARKS_PER_ACK {
                    out.reply = Some(self.bare_acknowledgement(now));
                }
            }
            // Marks on what carries no data do not count: it is not sent as capable.
            EcnFeedback::Classic if segment.payload_len == 0 => {}
            EcnFeedback::Classic if self.cold.config.congestion == CongestionControl::Dctcp => {
                self.echo_exactly(now, marked, out);
            }
            EcnFeedback::Classic => {
                if segment.header.flags.contains(TcpFlags::CWR) {
                    // The peer has slowed down: to perhaps one segment, whose acknowledgement it waits for.
                    self.hot.bits.clear(Bits::ECHO);
                    self.hot.bits.set(Bits::ACK_NOW);
                }
                if marked {
                    self.hot.bits.set(Bits::ECHO.or(Bits::ACK_NOW));
                }
            }
        }
    }

    /// RFC 8257 section 3.2: each acknowledgement is for segments that were all marked, or all not.
    fn echo_exactly(&mut self, now: Instant, marked: bool, out: &mut Received) {
        if marked == self.hot.bits.has(Bits::ECHO) {
            return;
        }
        if self.hot.rcv_nxt != self.hot.last_ack_sent {
            out.reply = Some(self.bare_acknowledgement(now));
        }
        if marked {
            self.hot.bits.set(Bits::ECHO);
        } else {
            self.hot.bits.clear(Bits::ECHO);
        }
    }

    /// The sender's side: how much of `acked` the peer says was marked. Once a window that is answered.
    pub(crate) fn take_echo(&mut self, now: Instant, segment: &Segment<'_>, acked: u32) -> u32 {
        if !self.hot.bits.has(Bits::ECN) {
            return 0;
        }
        let marked = self.read_echo(segment, acked);
        if marked.is_some() {
            self.answer_marks(now, acked);
        } else if acked > 0 {
            self.cold.ecn.backoff = 0;
        }
        marked.unwrap_or(0)
    }

    /// How much of `acked` was marked, if there are new marks.
    fn read_echo(&mut self, segment: &Segment<'_>, acked: u32) -> Option<u32> {
        let mss = self.hot.window.mss.max(1);
        let flags = segment.header.flags;
        let ecn = &mut self.cold.ecn;
        match ecn.feedback {
            EcnFeedback::Classic if flags.contains(TcpFlags::ECE) => Some(acked),
            EcnFeedback::None | EcnFeedback::Classic => None,
            EcnFeedback::Accurate => {
                let more = from_ace(flags).wrapping_sub(ecn.peer_marks) & 7;
                if more == 0 {
                    return None;
                }
                // Three bits may have gone round. Where there are marks at all the safe guess is that they have
                // (section 3.2.2.5.2).
                let packets = acked.div_ceil(mss);
                let most = packets.saturating_sub(packets.saturating_sub(more) & 7).max(more);
                ecn.peer_marks = ecn.peer_marks.wrapping_add(more);
                Some(most.saturating_mul(mss).min(acked.max(mss)))
            }
        }
    }

    /// Marks have come: once a window the sender slows down.
    fn answer_marks(&mut self, now: Instant, acked: u32) {
        self.cold.stats.ecn_signals += 1;
        if self.cold.ecn.reduced_until.is_some_and(|until| !self.hot.snd_una.after(until)) {
            return;
        }
        self.cold.ecn.reduced_until = Some(self.hot.snd_nxt);
        if self.cold.ecn.feedback == EcnFeedback::Classic {
            self.hot.bits.set(Bits::CWR);
        }
        // In recovery the window has come down already, for the same congestion.
        if self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS)) {
            return;
        }
        if self.hot.window.cwnd <= self.hot.window.mss {
            self.hold_for_marks(now);
        }
        let flight = acked + self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32;
        self.cold.congestion.on_marks(&mut self.hot.window, flight);
    }

    /// A window of one segment is marked: there is less than that a round trip. The next goes out after the time of a
    /// retransmission timer, twice that the next time (RFC 3168 section 6.1.2, RFC 9438 section 4.6).
    fn hold_for_marks(&mut self, now: Instant) {
        let most = u64::try_from(self.cold.config.max_rto.as_nanos()).unwrap_or(u64::MAX);
        let backoff = &mut self.cold.ecn.backoff;
        let time = self.hot.rto_ns.saturating_mul(1 << (*backoff).min(16)).min(most);
        *backoff = backoff.saturating_add(1);
        self.hold_until(now.plus_nanos(time));
    }

    /// What an outgoing segment says to the peer.
    #[inline(never)]
    pub(crate) fn echo_marks(&mut self, segment: &mut TxSegment) {
        let ecn = &mut self.cold.ecn;
        match ecn.feedback {
            EcnFeedback::None => {}
            EcnFeedback::Classic => {
                if self.hot.bits.has(Bits::ECHO) {
                    segment.flags |= TcpFlags::ECE;
                }
            }
            EcnFeedback::Accurate => {
                let bare = segment.len == 0 && segment.options.sack.is_empty();
                let answer = core::mem::take(&mut ecn.answer_syn_ack) && bare;
                let count = if answer { codepoint_in_ace(ecn.opened_with) } else { ecn.marks & 7 };
                ecn.marks_told = ecn.marks;
                segment.flags |= in_ace(count);
            }
        }
    }

    /// New data: a router may mark it. The first after a reduction tells the peer of it.
    #[inline(never)]
    pub(crate) fn mark_capable(&mut self, segment: &mut TxSegment) {
        if segment.len == 0 || segment.retransmission || self.hot.bits.has(Bits::PERSIST) {
            return;
        }
        segment.ecn = Ecn::Ect0;
        if self.hot.bits.has(Bits::CWR) {
            self.hot.bits.clear(Bits::CWR);
            segment.flags |= TcpFlags::CWR;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_bits_carry_a_number_there_and_back() {
        for n in 0..8 {
            assert_eq!(from_ace(in_ace(n)), n);
        }
        assert_eq!(in_ace(0b100), TcpFlags::AE);
        assert_eq!(in_ace(0b001), TcpFlags::ECE);
    }

    #[test]
    fn a_codepoint_is_what_the_traffic_class_ends_with() {
        for bits in 0..=255 {
            assert_eq!(Ecn::from_bits(bits).bits(), bits & 3);
        }
    }
}
