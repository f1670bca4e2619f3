//! Segments that nobody should send, one by one, to a whole stack in every state: every combination of flags at
//! every edge of the windows, and every option of every length. What the state refuses must be counted and must
//! leave the connection as it was: afterwards the peer, who knew nothing of it, goes on.

use bypath::Instant;
use bypath::by_hand::{TcpPort, TcpSocket};
use bypath_wire::checksum::{Sum, pseudo_header};
use bypath_wire::ip::protocol;
use bypath_wire::tcp::TcpFlags;
use proptest::prelude::*;

use crate::net::*;
use crate::raw::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

const STATES: [At; 10] = [
    At::Listen,
    At::SynSent,
    At::SynReceived,
    At::Established,
    At::FinWait1,
    At::FinWait2,
    At::CloseWait,
    At::Closing,
    At::LastAck,
    At::TimeWait,
];

/// The peer's initial number, and the first after its SYN.
const IRS: u32 = 5_000;
/// What the stack offers in its SYN-ACK, and what it still has after a byte or two.
const WINDOW: u32 = 65_535;
/// Bits that change no verdict.
const ACE: TcpFlags = TcpFlags::AE.union(TcpFlags::ECE).union(TcpFlags::CWR);

/// A stack with one connection in a state, and what its peer knows.
struct Case {
    at: At,
    lone: Lone,
    listener: Option<TcpPort>,
    socket: Option<TcpSocket>,
    /// What the stack expects next, and what of its own is acknowledged and sent.
    rcv_nxt: u32,
    una: u32,
    nxt: u32,
}

impl Case {
    fn new(at: At) -> Self {
        let mut case = if at == At::SynSent {
            let mut lone = Lone::new(&options(B));
            let socket = lone.stack.connect(address(peer(9)), 80).unwrap();
            let syn = lone.sent().remove(0);
            Self {
                at,
                lone,
                listener: None,
                socket: Some(socket),
                rcv_nxt: IRS,
                una: syn.seq,
                nxt: syn.seq + 1,
            }
        } else {
            let (lone, listener) = Lone::listening(&options(B), 4);
            Self { at, lone, listener: Some(listener), socket: None, rcv_nxt: IRS, una: 0, nxt: 0 }
        };
        if matches!(at, At::Listen | At::SynSent) {
            return case;
        }
        let syn_ack = case.lone.answer(&Tcp::new(peer(9), SYN, IRS, 0));
        case.rcv_nxt = IRS + 1;
        (case.una, case.nxt) = (syn_ack.seq, syn_ack.seq + 1);
        if at != At::SynReceived {
            case.una = case.nxt;
            case.peer_says(ACK);
            case.socket = case.lone.stack.accept(case.listener.unwrap());
            case.close();
        }
        case
    }

    /// From ESTABLISHED to the state asked for.
    fn close(&mut self) {
        let shut = |case: &mut Self| {
            case.lone.stack.shutdown(case.socket.unwrap()).unwrap();
            assert_eq!(case.lone.sent().len(), 1);
            case.nxt += 1;
        };
        let fin = |case: &mut Self| {
            case.peer_says(ACK | FIN);
            case.rcv_nxt += 1;
        };
        match self.at {
            At::FinWait1 => shut(self),
            At::FinWait2 | At::TimeWait => {
                shut(self);
                self.una = self.nxt;
                self.peer_says(ACK);
                if self.at == At::TimeWait {
                    fin(self);
                }
            }
            At::CloseWait => fin(self),
            At::Closing => {
                shut(self);
                fin(self);
            }
            At::LastAck => {
                fin(self);
                shut(self);
            }
            _ => {}
        }
    }

    fn peer_says(&mut self, flags: TcpFlags) -> Vec<Tcp> {
        self.lone.give(&Tcp::new(peer(9), flags, self.rcv_nxt, self.una))
    }

    fn drops(&self) -> u64 {
        self.lone.stack.drops().iter().map(|(_, n)| n).sum()
    }

    /// Whether the state must refuse this, or at least not be changed by it.
    fn refuses(&self, seg: &Tcp) -> bool {
        let flag = |flag| seg.flags.contains(flag);
        let text = seg.payload.len() as u32 + u32::from(flag(FIN));
        let ack_ok = seg.ack.wrapping_sub(self.una) <= self.nxt - self.una;
        match self.at {
            At::Listen => !flag(SYN) || seg.flags.intersects(ACK | RST | FIN),
            At::SynSent => {
                let ack_ok = flag(ACK) && seg.ack == self.nxt;
                (flag(ACK) && !ack_ok) || if flag(RST) { !ack_ok } else { !flag(SYN) }
            }
            At::SynReceived if flag(RST) => seg.seq != self.rcv_nxt,
            At::SynReceived if flag(SYN) => self.is_syn_again(seg) || !self.reaches_in(seg, 1 + text),
            At::SynReceived => {
                !flag(ACK)
                    || seg.ack != self.nxt
                    || seg.seq.wrapping_sub(self.rcv_nxt) >= WINDOW && !self.reaches_in(seg, text)
            }
            _ if flag(RST) => seg.seq != self.rcv_nxt,
            At::TimeWait if flag(SYN) => flag(ACK) || seg.seq.wrapping_sub(self.rcv_nxt) as i32 <= 0,
            _ if flag(SYN) => true,
            _ if !flag(ACK) || !ack_ok => !flag(ACK) || !self.is_old_ack(seg.ack) || text == 0,
            _ => (seg.ack == self.una || self.at == At::Established) && !self.reaches_in(seg, text),
        }
    }

    /// The SYN that was answered already: it is answered once more, and is no reason to count anything.
    fn is_syn_again(&self, seg: &Tcp) -> bool {
        self.at == At::SynReceived && seg.seq == IRS && seg.flags & (SYN_ACK | RST) == SYN
    }

    /// An acknowledgement of what was acknowledged before is no reason to refuse what comes with it.
    fn is_old_ack(&self, ack: u32) -> bool {
        (ack.wrapping_sub(self.una) as i32) < 0 && self.una.wrapping_sub(ack) <= 60_000
    }

    /// Whether something new lies in the window.
    fn reaches_in(&self, seg: &Tcp, text: u32) -> bool {
        text > 0
            && (seg.seq.wrapping_sub(self.rcv_nxt) <= WINDOW
                || seg.seq.wrapping_add(text - 1).wrapping_sub(self.rcv_nxt) <= WINDOW)
    }

    /// The peer goes on as if nothing had happened.
    fn goes_on(&mut self) -> bool {
        let (lone, listener) = (&mut self.lone, self.listener);
        match self.at {
            At::Listen => {
                lone.handshake(peer(10), 70);
                lone.stack.accept(listener.unwrap()).is_some() && lone.stack.connections() == 1
            }
            At::SynSent => {
                lone.give(&Tcp::new(peer(9), SYN_ACK, IRS, self.nxt));
                lone.stack.is_connected(self.socket.unwrap()).unwrap()
            }
            At::SynReceived => {
                lone.give(&Tcp::new(peer(9), ACK, self.rcv_nxt, self.nxt));
                lone.stack.accept(listener.unwrap()).is_some()
            }
            At::Established | At::FinWait1 | At::FinWait2 => {
                lone.give(&Tcp::new(peer(9), ACK, self.rcv_nxt, self.una).payload(b"hello"));
                let mut buffer = [0; 9];
                let read = lone.stack.recv(self.socket.unwrap(), &mut buffer);
                read.is_ok_and(|n| n == Some(5)) && &buffer[..5] == b"hello"
            }
            At::CloseWait => {
                let socket = self.socket.unwrap();
                lone.stack.send(socket, b"hello").is_ok_and(|n| n == 5)
                    && lone.sent().iter().any(|s| s.payload == b"hello" && s.ack == self.rcv_nxt)
            }
            At::Closing | At::LastAck => {
                lone.give(&Tcp::new(peer(9), ACK, self.rcv_nxt, self.nxt));
                // TIME-WAIT, or the end.
                lone.stack.connections() == usize::from(self.at == At::Closing)
            }
            At::TimeWait => {
                let again = lone.give(&Tcp::new(peer(9), ACK | FIN, self.rcv_nxt - 1, self.nxt));
                again.len() == 1 && (again[0].flags, again[0].ack) == (ACK, self.rcv_nxt)
            }
        }
    }
}

/// Counted if refused; and what is refused changes nothing.
fn offer(at: At, seg: impl FnOnce(&Case) -> Tcp) {
    let mut case = Case::new(at);
    let seg = seg(&case);
    let (before, refused) = (case.drops(), case.refuses(&seg));
    let sent = case.lone.give(&seg);
    assert!(sent.len() <= 2, "{at:?} {seg:?}: {sent:?}");
    if seg.flags.contains(RST) {
        assert!(sent.iter().all(|s| !s.flags.contains(RST)), "{at:?}: a reset is never answered by one");
    }
    if !refused {
        return;
    }
    let (text, flags) = (!seg.payload.is_empty(), seg.flags & !(TcpFlags::PSH | TcpFlags::URG | ACE));
    if !case.is_syn_again(&seg) && (text || flags != ACK) {
        assert!(case.drops() > before, "{at:?} {seg:?}: nothing counted, {sent:?}");
    }
    assert!(case.goes_on(), "{at:?} {seg:?}: {sent:?} {:?}", case.lone.stack.drops());
}

#[test]
fn every_combination_of_flags_at_every_edge_is_refused_and_counted_or_was_to_be_expected() {
    for at in STATES {
        for bits in 0..64u16 {
            // With the upper three now and then: they change no verdict.
            let bits = bits | (bits & 7) << 6;
            for seq in [-1i64, 0, 1, 70_000, 1 << 30, 3 << 30] {
                for (ack, len) in
                    [(-1, 0), (0, 0), (1, 0), (1 << 31, 0), (-1, 1), (0, 1), (1, 1), (70_000, 1)]
                {
                    offer(at, |case| {
                        let flags = TcpFlags::from_bits_truncate(bits);
                        let ack = if ack <= 0 { case.una } else { case.nxt }.wrapping_add(ack as u32);
                        let seq = case.rcv_nxt.wrapping_add(seq as u32);
                        Tcp::new(peer(9), flags, seq, ack).payload(&[b'x'; 1][..len])
                    });
                }
            }
        }
    }
}

/// The segment with these bytes for options, as they are; `offset` words of header are claimed.
fn with_raw_options(seg: &Tcp, options: &[u8], offset: u8) -> Vec<u8> {
    let mut packet = seg.encode();
    packet.splice(40..40, options.iter().copied());
    packet[32] = offset << 4 | packet[32] & 0xf;
    let len = packet.len() as u16;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[10..12].fill(0);
    let ip = Sum::of(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&ip.to_be_bytes());
    packet[36..38].fill(0);
    let source = address(seg.peer).ip();
    let sum = pseudo_header(source, Family::V4.ip(B), protocol::TCP, u32::from(len) - 20);
    let sum = sum.add(Sum::of(&packet[20..])).finish();
    packet[36..38].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// Whether a list of options can be read, as RFC 9293 section 3.1 and the options' own documents have it.
fn is_well_formed(mut bytes: &[u8]) -> bool {
    loop {
        match *bytes {
            [] | [0, ..] => return true,
            [1, ref rest @ ..] => bytes = rest,
            [_] => return false,
            [kind, len, ..] => {
                let len = usize::from(len);
                let fits = match kind {
                    2 => len == 4,
                    3 => len == 3,
                    4 => len == 2,
                    5 => len > 2 && (len - 2).is_multiple_of(8),
                    8 => len == 10,
                    _ => len >= 2,
                };
                if !fits || len > bytes.len() {
                    return false;
                }
                bytes = &bytes[len..];
            }
        }
    }
}

/// Gives the segment that the state waits for with these options: malformed ones are counted and change nothing.
fn offer_options(case: &mut Case, options: &[u8]) {
    let flags = match case.at {
        At::Listen => SYN,
        At::SynSent => SYN_ACK,
        _ => ACK,
    };
    let ack = if case.at == At::Listen { 0 } else { case.nxt };
    let seg = Tcp::new(peer(9), flags, case.rcv_nxt, ack);
    let before = case.lone.dropped("malformed");
    let packet = with_raw_options(&seg, options, 5 + (options.len() / 4) as u8);
    case.lone.stack.receive(Instant::from_nanos(case.lone.now), &packet);
    let sent = case.lone.sent();
    let counted = case.lone.dropped("malformed") - before;
    assert_eq!(counted, u64::from(!is_well_formed(options)), "{:?} {options:?}: {sent:?}", case.at);
    if counted > 0 {
        assert_eq!(sent, [], "{:?} {options:?}", case.at);
    }
}

/// A list of one option with padding, in `words` words.
fn one_option(kind: u8, len: u8, words: usize) -> Vec<u8> {
    let mut options = vec![1; 4 * words];
    options[0] = kind;
    options[1] = len;
    options
}

#[test]
fn every_option_of_every_length_is_read_skipped_or_refused_and_harms_nothing() {
    for at in STATES {
        // What is refused leaves the state as it was, so that the next one meets it too.
        let mut case = Case::new(at);
        for kind in 0..=255u8 {
            for len in (0..=44).chain([128, 254, 255]) {
                for words in [1, 2, 3, 5, 10] {
                    let options = one_option(kind, len, words);
                    if is_well_formed(&options) {
                        // One that is read may do what it says.
                        if matches!(kind, 0..=8 | 34) {
                            offer_options(&mut Case::new(at), &options);
                        }
                        continue;
                    }
                    offer_options(&mut case, &options);
                }
            }
        }
        assert!(case.goes_on(), "{at:?} {:?}", case.lone.stack.drops());
    }
}

#[test]
fn headers_of_every_claimed_length_in_packets_of_every_length_harm_nothing() {
    for at in STATES {
        let mut case = Case::new(at);
        for offset in 0..16u8 {
            for len in 0..=60usize {
                let whole = 20 + len >= usize::from(offset) * 4;
                if offset >= 5 && whole {
                    continue;
                }
                let seg = Tcp::new(peer(9), ACK, case.rcv_nxt, case.nxt);
                let before = case.lone.dropped("malformed");
                let packet = with_raw_options(&seg, &vec![1; len], offset);
                case.lone.stack.receive(Instant::from_nanos(case.lone.now), &packet);
                assert_eq!(case.lone.sent(), [], "{at:?} {offset} {len}");
                assert_eq!(case.lone.dropped("malformed"), before + 1, "{at:?} {offset} {len}");
            }
        }
        assert!(case.goes_on(), "{at:?}");
    }
}

#[test]
fn more_holes_than_are_kept_are_refused_and_counted_and_the_stream_is_whole_in_the_end() {
    let mut case = Case::new(At::Established);
    let byte = |case: &Case, n: u32| Tcp::new(peer(9), ACK, case.rcv_nxt + n, case.una).payload(&[n as u8]);
    // Every second byte of the window, the first missing.
    for n in (1..60_000).step_by(2) {
        let seg = byte(&case, n);
        case.lone.give(&seg);
    }
    let refused = case.lone.dropped("tcp_reassembly_full");
    assert!((20_000..22_000).contains(&refused), "{refused}");
    // A peer that is told nothing of them sends them again.
    let (mut buffer, mut stream) = (vec![0; 70_000], Vec::new());
    for n in (0..60_000).step_by(1_000) {
        let bytes: Vec<u8> = (n..n + 1_000).map(|n| n as u8).collect();
        let seg = Tcp::new(peer(9), ACK, case.rcv_nxt + n, case.una).payload(&bytes);
        case.lone.give(&seg);
        let read = case.lone.stack.recv(case.socket.unwrap(), &mut buffer).unwrap().unwrap_or(0);
        stream.extend_from_slice(&buffer[..read]);
    }
    assert!(stream == (0..60_000u32).map(|n| n as u8).collect::<Vec<_>>(), "{} bytes", stream.len());
}

#[test]
fn a_window_that_stays_shut_for_an_hour_loses_nothing() {
    let mut net = Net::clean();
    let (client, server, _) = net.connected(Family::V4);
    let (mut a, mut b) = (Pump::new(A, client, 4_000_000), Pump::new(B, server, 0));
    a.turn(&mut net);
    net.log = Some(Vec::new());
    // B reads nothing: its buffer fills, and then A asks now and then.
    for _ in 0..3_600 {
        net.run(SECOND);
        a.turn(&mut net);
    }
    assert!(a.sent < a.total);
    let asked = net.log.take().unwrap().iter().filter(|(side, _)| *side == A).count();
    assert!(asked < 4_000, "{asked} packets in an hour");
    assert!(net.stacks[A].is_connected(client).unwrap() && !net.stacks[A].is_closed(client));
    let done = net.until(60 * SECOND, |net| {
        a.turn(net);
        b.turn(net);
        b.ended
    });
    assert!(done && b.received == 4_000_000, "{} of {}", b.received, a.total);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_of_arbitrary_options_are_read_or_refused(
        words in prop::collection::vec(prop::array::uniform4(any::<u8>()), 1..=10),
        kinds in prop::collection::vec((0usize..40, prop::sample::select(vec![0u8, 1, 2, 3, 4, 5, 8, 34, 172, 174, 254])), 0..6),
        at in 0usize..10,
    ) {
        let mut options: Vec<u8> = words.concat();
        for (i, kind) in kinds {
            let i = i % options.len();
            options[i] = kind;
        }
        offer_options(&mut Case::new(STATES[at]), &options);
    }

    #[test]
    fn arbitrary_segments_one_after_the_other_end_in_nothing_worse_than_a_closed_connection(
        segments in prop::collection::vec((any::<u16>(), -3i32..70_000, -3i32..3, 0usize..20, any::<u16>()), 1..40),
        at in 0usize..10,
    ) {
        let mut case = Case::new(STATES[at]);
        for (bits, seq, ack, len, window) in segments {
            let flags = TcpFlags::from_bits_truncate(bits & 0x1ff);
            let (seq, ack) = (case.rcv_nxt.wrapping_add_signed(seq), case.nxt.wrapping_add_signed(ack));
            let seg = Tcp { window, ..Tcp::new(peer(9), flags, seq, ack).payload(&vec![7; len]) };
            let sent = case.lone.give(&seg);
            prop_assert!(sent.len() <= 8, "{:?}: {:?}", seg, sent);
        }
        // Nobody answers: it ends by itself.
        if let Some(socket) = case.socket {
            case.lone.stack.close(socket);
        }
        if let Some(listener) = case.listener {
            while let Some(socket) = case.lone.stack.accept(listener) {
                case.lone.stack.close(socket);
            }
            case.lone.stack.close_listener(listener);
        }
        case.lone.pass(3_600 * SECOND);
        prop_assert_eq!(case.lone.stack.connections(), 0);
    }
}
