//! What a conversation came to: a row of a table, and the end of a story.

use crate::layers::TcpFlags;
use std::net::SocketAddr;

use serde::Serialize;

use super::counts::Counts;
use super::observation::End;
use super::side::{Opening, Side};
use super::state::State;
use super::track::{Close, Conversation};

/// What the handshake agreed on, each as `[client, server]` where they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Agreed {
    /// Largest segments that each is ready to receive.
    pub mss: [Option<u16>; 2],
    /// By how many bits each one's windows are shifted; none if either did not offer it.
    pub window_scale: Option<[u8; 2]>,
    /// Selective acknowledgments.
    pub sack: bool,
    /// Timestamps.
    pub timestamps: bool,
    /// Explicit congestion notification.
    pub ecn: bool,
    /// Data in the SYN was taken.
    pub fast_open: bool,
}

impl Agreed {
    /// What two SYNs agree on; nothing if one was not captured.
    pub(super) fn of(client: &Side, server: &Side) -> Option<Self> {
        let (a, b) = (client.opening?, server.opening?);
        let both = |what: fn(&Opening) -> bool| what(&a) && what(&b);
        let scales = a.options.window_scale.zip(b.options.window_scale);
        Some(Self {
            mss: [a.options.mss, b.options.mss],
            window_scale: scales.map(|(a, b)| [a.min(14), b.min(14)]),
            sack: both(|o| o.options.sack_permitted),
            timestamps: both(|o| o.options.stamps.is_some()),
            ecn: a.flags.contains(TcpFlags::ECE | TcpFlags::CWR) && b.flags.contains(TcpFlags::ECE),
            fast_open: a.len > 0 && server.ack.is_some_and(|ack| ack > 1),
        })
    }
}

/// Round-trip times of data from one end, nanoseconds, as the place of capture saw them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RttSummary {
    /// Samples.
    pub samples: u64,
    /// Shortest.
    pub min_ns: Option<i64>,
    /// Average.
    pub avg_ns: Option<i64>,
    /// Longest.
    pub max_ns: Option<i64>,
}

/// What a conversation came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Its number, from 1 in the order of first packets.
    pub id: u64,
    /// The interface of the capture that it was seen on.
    pub interface: Option<u32>,
    /// Who opened it.
    pub client: SocketAddr,
    /// Who listened.
    pub server: SocketAddr,
    /// When its first packet was captured, nanoseconds since the epoch.
    pub begun_ns: i64,
    /// From its first packet to its last, nanoseconds.
    pub duration_ns: i64,
    /// Of its first packet, the number in the capture.
    pub first_packet: u64,
    /// From the SYN to the acknowledgment of its answer, nanoseconds.
    pub handshake_ns: Option<i64>,
    /// What was agreed.
    pub agreed: Option<Agreed>,
    /// What the client has sent.
    pub from_client: Counts,
    /// What the server has sent.
    pub from_server: Counts,
    /// Round-trip times of the client's data.
    pub client_rtt: RttSummary,
    /// Round-trip times of the server's data.
    pub server_rtt: RttSummary,
    /// From the first data of the end that has sent more to when the last of it was sent or acknowledged, nanoseconds.
    pub data_ns: Option<i64>,
    /// Who closed first.
    pub closed_by: Option<End>,
    /// How.
    pub closed_how: Option<Close>,
    /// From the first FIN or reset to the last packet, nanoseconds.
    pub closing_ns: Option<i64>,
    /// The states of client and server at the end of the capture.
    pub states: [State; 2],
    /// No SYN was captured; who is the client is a guess then.
    pub begins_in_the_middle: bool,
    /// Bytes of data that the capture has cut off.
    pub cut_bytes: u64,
}

impl Summary {
    /// What an end has sent.
    #[must_use]
    pub fn from(&self, end: End) -> &Counts {
        match end {
            End::Client => &self.from_client,
            End::Server => &self.from_server,
        }
    }

    /// Packets of both.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.from_client.packets + self.from_server.packets
    }

    /// Data of both, bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.from_client.bytes + self.from_server.bytes
    }

    /// Retransmissions of both.
    #[must_use]
    pub fn retransmissions(&self) -> u64 {
        self.from_client.retransmissions + self.from_server.retransmissions
    }

    /// The round-trip time that says most: of the handshake, or else the shortest sample of the end that has sent more.
    #[must_use]
    pub fn rtt(&self) -> Option<i64> {
        let more =
            if self.from_client.bytes > self.from_server.bytes { self.client_rtt } else { self.server_rtt };
        self.handshake_ns.or(more.min_ns).or(self.client_rtt.min_ns).or(self.server_rtt.min_ns)
    }
}

impl Conversation {
    /// What it came to so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let [client, server] = &self.sides;
        let rtt = |side: &Side| RttSummary {
            samples: side.rtt.samples,
            min_ns: (side.rtt.samples > 0).then_some(side.rtt.min),
            avg_ns: side.rtt.average(),
            max_ns: (side.rtt.samples > 0).then_some(side.rtt.max),
        };
        Summary {
            id: self.id,
            interface: self.interface,
            client: self.addresses[0],
            server: self.addresses[1],
            begun_ns: self.begun,
            duration_ns: self.latest - self.begun,
            first_packet: self.first_number,
            handshake_ns: self.handshake,
            agreed: self.agreed(),
            from_client: client.counts,
            from_server: server.counts,
            client_rtt: rtt(client),
            server_rtt: rtt(server),
            data_ns: self.data_ns(),
            closed_by: self.closed.map(|c| c.0),
            closed_how: self.closed.map(|c| c.1),
            closing_ns: self.closed.map(|c| self.latest - c.2),
            states: self.states(),
            begins_in_the_middle: self.from_the_middle,
            cut_bytes: self.cut_bytes,
        }
    }

    /// From the first packet with data of the end that has sent more to when the last of it was acknowledged, or sent.
    fn data_ns(&self) -> Option<i64> {
        let more = self.sides.iter().max_by_key(|side| side.counts.bytes)?;
        more.data_begun.zip(more.data_ended).map(|(begun, ended)| ended - begun)
    }

    /// What the handshake agreed on, if all of it was captured.
    #[must_use]
    pub fn agreed(&self) -> Option<Agreed> {
        Agreed::of(&self.sides[0], &self.sides[1])
    }
}
