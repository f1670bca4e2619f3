//! Tracking of one connection: a segment goes in, an observation comes out.

use crate::layers::TcpFlags;
use std::net::SocketAddr;

use super::acknowledge::{self, News};
use super::observation::{End, Kind, Marks, Observation, Selective, Window};
use super::pass::{self, Pass};
use super::segment::Segment;
use super::side::Side;
use super::state::{self, State};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Close {
    /// By a FIN.
    Fin,
    /// By a reset.
    Reset,
}

/// One connection, as far as it was captured.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub(super) id: u64,
    pub(super) interface: Option<u32>,
    pub(super) addresses: [SocketAddr; 2],
    pub(super) sides: [Side; 2],
    pub(super) begun: i64,
    pub(super) latest: i64,
    pub(super) first_number: u64,
    /// Its ports had another connection before.
    pub(super) reuses_ports: bool,
    /// No SYN was captured: who is the client is a guess.
    pub(super) from_the_middle: bool,
    pub(super) shaken: bool,
    /// Who closed first, how, when, and by which packet.
    pub(super) closed: Option<(End, Close, i64, u64)>,
    /// From the SYN to the acknowledgment of the answer, nanoseconds.
    pub(super) handshake: Option<i64>,
    /// Payload that was there, but not captured.
    pub(super) cut_bytes: u64,
}

/// Whether a port looks like that of a server, beside the other.
fn is_server(port: u16, other: u16) -> bool {
    (port < 1_024) != (other < 1_024) && port < 1_024
}

impl Conversation {
    /// The conversation that begins with this segment.
    pub(super) fn new(id: u64, segment: &Segment<'_>) -> Self {
        let syn = segment.has(TcpFlags::SYN);
        let answers = syn && segment.has(TcpFlags::ACK);
        let from_server = answers || (!syn && is_server(segment.from.port(), segment.to.port()));
        let addresses = if from_server { [segment.to, segment.from] } else { [segment.from, segment.to] };
        Self {
            id,
            interface: segment.interface,
            addresses,
            sides: [Side::default(), Side::default()],
            begun: segment.time.0,
            latest: segment.time.0,
            first_number: segment.number,
            reuses_ports: false,
            from_the_middle: !syn,
            shaken: false,
            closed: None,
            handshake: None,
            cut_bytes: 0,
        }
    }

    /// Its number, from 1 in the order of first packets.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Addresses and ports of client and server.
    #[must_use]
    pub fn addresses(&self) -> [SocketAddr; 2] {
        self.addresses
    }

    /// Address and port of an end.
    #[must_use]
    pub fn address(&self, end: End) -> SocketAddr {
        self.addresses[end.index()]
    }

    /// Which end sends from this address and port.
    pub(super) fn end_of(&self, from: SocketAddr) -> End {
        if from == self.addresses[1] && from != self.addresses[0] { End::Server } else { End::Client }
    }

    /// From the SYN to the acknowledgment of the answer, nanoseconds.
    #[must_use]
    pub fn handshake(&self) -> Option<i64> {
        self.handshake
    }

    /// No SYN was captured: who is the client is a guess.
    #[must_use]
    pub fn begins_in_the_middle(&self) -> bool {
        self.from_the_middle
    }

    /// The states of client and server.
    #[must_use]
    pub fn states(&self) -> [State; 2] {
        let [client, server] = &self.sides;
        let reset = client.reset || server.reset;
        [
            state::state(client.life, server.life, reset, false),
            state::state(server.life, client.life, reset, true),
        ]
    }

    /// Nothing more will come of it, but for what repeats.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let [client, server] = &self.sides;
        client.reset || server.reset || (client.life.fin_acked && server.life.fin_acked)
    }

    /// What it takes in memory, in segments.
    pub(super) fn weight(&self) -> usize {
        self.sides.iter().map(Side::weight).sum()
    }

    /// Takes the next segment.
    pub(super) fn observe(&mut self, segment: &Segment<'_>) -> Observation {
        let from = self.end_of(segment.from);
        let now = segment.time.0;
        let side = &mut self.sides[from.index()];
        side.right_checksums += if segment.damaged { -1 } else { 1 };
        // Where the NIC sums, all that leaves has a wrong one.
        if segment.damaged && side.right_checksums >= 0 && side.counts.packets > 0 {
            side.counts.damaged += 1;
            return self.ignored(segment, Marks::DAMAGED);
        }
        if self.is_of_earlier(from, segment) {
            return self.ignored(segment, Marks::OF_EARLIER);
        }
        let first = self.sides.iter().all(|side| side.counts.packets == 0);
        let was_over = self.closed.is_some_and(|(_, how, ..)| how == Close::Reset);
        let half_closed = {
            let peer = &self.sides[from.other().index()];
            peer.life.fin_acked
        };
        let (since_previous, since_first) = (now - self.latest, now - self.begun);
        self.latest = self.latest.max(now);
        self.cut_bytes += u64::from(segment.len).saturating_sub(segment.payload.len() as u64);

        let shaken = self.shaken;
        let both_opened = self.sides.iter().all(|side| side.opening.is_some());
        let [a, b] = &mut self.sides;
        let (x, y) = if from == End::Client { (a, b) } else { (b, a) };
        let mut pass = Pass::begin(x, y, segment);
        pass.questions(x, y, segment);
        pass.answers(x, y, segment);
        let news = match pass.ack {
            Some(ack) => acknowledge::acknowledge(x, y, ack, segment),
            None => News::default(),
        };
        pass.data(x, y, segment);
        pass.heard(x, y, segment, &news, shaken || !both_opened);
        let window = pass::tell_window(x, y, segment, &mut pass.marks);
        pass.finish(x, segment);

        let in_flight = x.in_flight(y);
        x.counts.most_in_flight = x.counts.most_in_flight.max(in_flight);
        let edge = y.ack.zip(y.window).map(|(ack, window)| ack + window as i64);
        let room = edge.zip(x.nxt).map(|(edge, nxt)| (edge - nxt).max(0) as u64);
        let srtt = x.rtt.smoothed();
        // A SYN of each that knew nothing of the other's: it stands when both are acknowledged.
        let asked = |side: &Side| side.opening.is_some_and(|opening| !opening.flags.contains(TcpFlags::ACK));
        let crossed = pass.crosses || asked(x) && asked(y);
        let mut stands = false;
        if crossed {
            stands = !self.shaken && x.life.heard && y.life.heard;
            self.shaken |= stands;
            if stands {
                let once =
                    [&*x, &*y].iter().all(|side| side.opening.is_none_or(|opening| opening.again == 0));
                let took = now - self.begun;
                self.handshake = (took >= 0 && once && !self.from_the_middle).then_some(took);
                x.rtt.handshake = self.handshake;
                y.rtt.handshake = self.handshake;
            }
        } else if !self.shaken && from == End::Client && news.covered.is_some_and(|c| c.syn) {
            self.shaken = true;
            if let (Some(own), Some(_)) = (x.opening, y.opening) {
                let took = now - own.last_time;
                self.handshake = (took >= 0 && own.again == 0).then_some(took);
                x.rtt.handshake = self.handshake;
                y.rtt.handshake = self.handshake;
            }
        }
        let how = if segment.has(TcpFlags::RST) && !pass.marks.contains(Marks::RESET_IGNORED) {
            Some(Close::Reset)
        } else {
            segment.has(TcpFlags::FIN).then_some(Close::Fin)
        };
        if let (None, Some(how)) = (self.closed, how) {
            self.closed = Some((from, how, now, segment.number));
        }
        let mut marks = pass.marks;
        marks.set(Marks::AFTER_CLOSE, was_over);
        marks.set(Marks::HALF_CLOSED, half_closed && segment.len > 0);
        marks.set(Marks::BEGINS_IN_THE_MIDDLE, first && !segment.has(TcpFlags::SYN));
        marks.set(Marks::SIMULTANEOUS_OPEN, crossed && segment.has(TcpFlags::SYN));
        marks.set(Marks::STANDS, stands);
        marks.set(Marks::CONGESTION, segment.congestion);
        marks.set(Marks::ACKED_UNSEEN, news.unseen);
        marks.set(Marks::DUPLICATE_SACK, news.selective.twice.is_some());
        marks.set(Marks::DELAYED_ACK, news.covered.is_some_and(|c| c.held.is_some()));
        Observation {
            conversation: self.id,
            first,
            reuses_ports: first && self.reuses_ports,
            number: segment.number,
            from,
            flags: segment.flags,
            seq: pass.from,
            len: segment.len,
            ack: pass.ack,
            kind: pass.kind,
            marks,
            again: pass.again,
            gap: pass.gap,
            covered: news.covered,
            selective: news.selective,
            needless: news.needless,
            window,
            in_flight,
            room,
            states: self.states(),
            since_previous,
            since_first,
            srtt,
        }
    }

    /// Before a SYN is answered: an acknowledgment of something else, and the reset that this is answered with.
    fn is_of_earlier(&self, from: End, segment: &Segment<'_>) -> bool {
        let [client, server] = &self.sides;
        let (Some(opening), None) = (client.opening, server.opening) else { return false };
        let (first, last) = (opening.seq + 1, opening.seq + 1 + opening.len);
        match from {
            _ if segment.has(TcpFlags::SYN) => false,
            End::Server => segment.acknowledges().is_some_and(|ack| ack.before(first) || ack.after(last)),
            End::Client => segment.flags == TcpFlags::RST && segment.seq != first,
        }
    }

    /// A segment that changes nothing.
    pub(super) fn ignored(&self, segment: &Segment<'_>, marks: Marks) -> Observation {
        let from = self.end_of(segment.from);
        let side = &self.sides[from.index()];
        let now = side.window.unwrap_or_default();
        Observation {
            conversation: self.id,
            first: false,
            reuses_ports: false,
            number: segment.number,
            from,
            flags: segment.flags,
            seq: side.place(segment.seq),
            len: segment.len,
            ack: None,
            kind: Kind::Ignored,
            marks,
            again: None,
            gap: 0,
            covered: None,
            selective: Selective::default(),
            needless: None,
            window: Window { before: side.window, now, scale_unknown: false, was_closed_for: None },
            in_flight: side.in_flight(&self.sides[from.other().index()]),
            room: None,
            states: self.states(),
            since_previous: segment.time.0 - self.latest,
            since_first: segment.time.0 - self.begun,
            srtt: side.rtt.smoothed(),
        }
    }
}
