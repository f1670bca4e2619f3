//! What a stack counts: packets, and for each that was not used, the cause.

use bypath_tcp::DropCause;

/// Why a packet was not used, below and above TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cause {
    /// Ethernet, ARP, IP, TCP, UDP or ICMP header that says something impossible.
    Malformed,
    /// IP header checksum.
    IpChecksum,
    /// TCP, UDP or ICMP checksum.
    TransportChecksum,
    /// A fragment: the engine does not reassemble.
    Fragment,
    /// For an address that is not ours.
    NotOurs,
    /// A protocol that the engine does not speak.
    Protocol,
    /// TCP for a port where nobody listens; answered with RST.
    NoListener,
    /// UDP for a port where nobody listens; answered with ICMP.
    NoSocket,
    /// The listener's accept queue is full: a SYN, or the end of a handshake, not taken.
    Backlog,
    /// No room for another flow.
    FlowTable,
    /// UDP: the socket's queue is full.
    UdpQueue,
    /// No route to the destination, or its neighbour does not answer.
    Unreachable,
    /// The transmit ring was full for an answer that is not kept.
    NoRoom,
    /// The hand-off ring to the owning worker was full.
    Handoff,
    /// A datagram to be sent that does not fit the MTU: the engine does not fragment.
    TooLong,
    /// Answers held back: too many resets or ICMP errors in this second.
    RateLimited,
    /// An ICMP error about a size that is not to be believed: not smaller than now, not about what is outstanding, or below
    /// what every link carries.
    IcmpRefused,
    /// Challenge acknowledgements held back: too many over all connections in this second (RFC 5961 section 7).
    ChallengeLimit,
    /// No room for another half-open connection, and no cookies.
    SynQueue,
    /// An acknowledgement of a SYN cookie that was never given, or too long ago.
    SynCookie,
    /// SYN and FIN in one segment, which no honest opener sends.
    SynFin,
    /// An IPv4 packet that says by which way it wants to go.
    SourceRoute,
}

/// What is worth counting and no loss of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tally {
    /// SYN-ACKs sent again.
    SynAckRetrans,
    /// Half-open connections given up.
    HalfOpenExpired,
    /// SYNs answered with a cookie.
    CookiesSent,
    /// Connections that came of cookies.
    CookiesAccepted,
    /// Fast Open: a SYN's data that the server took with it.
    FastOpenSent,
    /// Fast Open: a SYN's data that had to be sent again.
    FastOpenFallback,
    /// Fast Open: connections that a server opened with the SYN.
    FastOpenTaken,
    /// Fast Open: SYNs whose cookie a server did not believe.
    FastOpenBadCookie,
    /// Fast Open: SYNs that came while enough others waited.
    FastOpenLimit,
    /// Connections in TIME-WAIT whose place a SYN has taken.
    TimeWaitReopened,
    /// Connections in TIME-WAIT that one of ours has followed on.
    TimeWaitReused,
    /// Connections that ended without TIME-WAIT, for want of room.
    TimeWaitOverflow,
}

const TALLIES: [(Tally, &str); 12] = [
    (Tally::SynAckRetrans, "syn_ack_retrans"),
    (Tally::HalfOpenExpired, "half_open_expired"),
    (Tally::CookiesSent, "syn_cookies_sent"),
    (Tally::CookiesAccepted, "syn_cookies_accepted"),
    (Tally::FastOpenSent, "fast_open_sent"),
    (Tally::FastOpenFallback, "fast_open_fallback"),
    (Tally::FastOpenTaken, "fast_open_taken"),
    (Tally::FastOpenBadCookie, "fast_open_bad_cookie"),
    (Tally::FastOpenLimit, "fast_open_limit"),
    (Tally::TimeWaitReopened, "time_wait_reopened"),
    (Tally::TimeWaitReused, "time_wait_reused"),
    (Tally::TimeWaitOverflow, "time_wait_overflow"),
];

const CAUSES: [(Cause, &str); 22] = [
    (Cause::Malformed, "malformed"),
    (Cause::IpChecksum, "ip_checksum"),
    (Cause::TransportChecksum, "transport_checksum"),
    (Cause::Fragment, "fragment"),
    (Cause::NotOurs, "not_ours"),
    (Cause::Protocol, "protocol"),
    (Cause::NoListener, "no_listener"),
    (Cause::NoSocket, "no_socket"),
    (Cause::Backlog, "backlog"),
    (Cause::FlowTable, "flow_table"),
    (Cause::UdpQueue, "udp_queue"),
    (Cause::Unreachable, "unreachable"),
    (Cause::NoRoom, "no_room"),
    (Cause::Handoff, "handoff"),
    (Cause::TooLong, "too_long"),
    (Cause::RateLimited, "rate_limited"),
    (Cause::IcmpRefused, "icmp_refused"),
    (Cause::ChallengeLimit, "challenge_limit"),
    (Cause::SynQueue, "syn_queue"),
    (Cause::SynCookie, "syn_cookie"),
    (Cause::SynFin, "syn_fin"),
    (Cause::SourceRoute, "source_route"),
];

/// Counters of one stack.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    causes: [u64; CAUSES.len()],
    tcp: [u64; DropCause::COUNT],
    tallies: [u64; TALLIES.len()],
    /// Packets that came on another worker's queue and were passed on.
    pub(crate) handed_off: u64,
    /// TCP segments sent again, over all connections.
    pub(crate) segs_retrans: u64,
    /// TCP segments sent.
    pub(crate) segs_out: u64,
    /// TCP segments received.
    pub(crate) segs_in: u64,
    /// Rounds in which a flow had more to send than the device had room for.
    pub(crate) transmit_stalls: u64,
    /// What was counted first for the packet at hand; see [`cause_name`].
    blame: u8,
}

/// Where TCP's causes begin among the numbers of causes, which begin with 1.
const FIRST_OF_TCP: u8 = 128;

/// The name of a cause by its number; `None` for 0, which stands for none.
pub(crate) fn cause_name(number: u8) -> Option<&'static str> {
    if number >= FIRST_OF_TCP {
        return DropCause::ALL.get(usize::from(number - FIRST_OF_TCP)).map(|cause| cause.name());
    }
    CAUSES.get(usize::from(number.checked_sub(1)?)).map(|(_, name)| *name)
}

impl Counters {
    pub(crate) fn count(&mut self, cause: Cause) {
        self.causes[cause as usize] += 1;
        self.blame(cause as u8 + 1);
    }

    fn blame(&mut self, number: u8) {
        if self.blame == 0 {
            self.blame = number;
        }
    }

    /// Another packet is at hand, of which nothing was counted.
    pub(crate) fn forget_cause(&mut self) {
        self.blame = 0;
    }

    /// The number of the cause that was counted first since then; 0: none.
    pub(crate) fn cause(&self) -> u8 {
        self.blame
    }

    pub(crate) fn tally(&mut self, what: Tally) {
        self.tallies[what as usize] += 1;
    }

    pub(crate) fn count_tcp(&mut self, cause: DropCause) {
        self.tcp[cause as usize] += 1;
        self.blame(FIRST_OF_TCP + cause as u8);
    }

    /// Adds another stack's counters.
    pub(crate) fn add(&mut self, other: &Self) {
        for (a, b) in self.causes.iter_mut().zip(other.causes) {
            *a += b;
        }
        for (a, b) in self.tcp.iter_mut().zip(other.tcp) {
            *a += b;
        }
        for (a, b) in self.tallies.iter_mut().zip(other.tallies) {
            *a += b;
        }
        self.handed_off += other.handed_off;
        self.segs_retrans += other.segs_retrans;
        self.segs_out += other.segs_out;
        self.segs_in += other.segs_in;
        self.transmit_stalls += other.transmit_stalls;
    }

    /// Names and values of what was counted besides drops, where it happened at all.
    pub(crate) fn tallies(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        TALLIES.iter().map(|(what, name)| (*name, self.tallies[*what as usize])).filter(|(_, n)| *n > 0)
    }

    /// Names and values of all causes that were seen.
    pub(crate) fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let own = CAUSES.iter().map(|(cause, name)| (*name, self.causes[*cause as usize]));
        let tcp = DropCause::ALL.iter().map(|cause| (cause.name(), self.tcp[*cause as usize]));
        own.chain(tcp).filter(|(_, n)| *n > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_stands_at_its_own_number() {
        for (i, (cause, _)) in CAUSES.iter().enumerate() {
            assert_eq!(*cause as usize, i);
        }
        for (i, (what, _)) in TALLIES.iter().enumerate() {
            assert_eq!(*what as usize, i);
        }
        for (i, cause) in DropCause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, i);
        }
        assert!(CAUSES.len() < usize::from(FIRST_OF_TCP));
    }

    #[test]
    fn what_was_counted_first_for_a_packet_is_its_cause() {
        let mut counters = Counters::default();
        assert_eq!(cause_name(counters.cause()), None);
        counters.count(Cause::Malformed);
        counters.count(Cause::NoRoom);
        assert_eq!(cause_name(counters.cause()), Some("malformed"));
        counters.forget_cause();
        counters.count_tcp(DropCause::Duplicate);
        assert_eq!(cause_name(counters.cause()), Some("tcp_duplicate"));
        counters.forget_cause();
        assert_eq!(counters.cause(), 0);
        assert_eq!([cause_name(127), cause_name(255)], [None, None]);
    }
}
