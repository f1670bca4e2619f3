//! Segments of a made-up connection, in offsets of its streams.

#![allow(dead_code)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bypath_trace::Timestamp;
use bypath_trace::conversation::{Observation, Offset, Options, Segment, Summary, Table};
use bypath_trace::layers::TcpFlags;
use bypath_wire::seq::SeqNum;

/// Who opens.
pub(crate) const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 40_000);
/// Who listens.
pub(crate) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 80);

static ZEROS: [u8; 65_536] = [0; 65_536];

/// A segment with nothing in it.
pub(crate) fn segment(number: u64, from: SocketAddr, to: SocketAddr) -> Segment<'static> {
    Segment {
        number,
        time: Timestamp(0),
        interface: None,
        from,
        to,
        seq: SeqNum(0),
        ack: SeqNum(0),
        flags: TcpFlags::empty(),
        window: 512,
        options: Options::default(),
        len: 0,
        payload: &[],
        congestion: false,
        damaged: false,
        wire_len: 54,
        id: None,
    }
}

/// A connection that is told segment by segment.
pub(crate) struct Talk {
    pub(crate) table: Table,
    isn: [u32; 2],
    number: u64,
    now: i64,
    window: u16,
    id: Option<u16>,
}

impl Default for Talk {
    fn default() -> Self {
        Self::starting(1_000, 9_000)
    }
}

impl Talk {
    pub(crate) fn starting(client: u32, server: u32) -> Self {
        Self { table: Table::default(), isn: [client, server], number: 0, now: 0, window: 512, id: None }
    }

    /// After a handshake that took ten milliseconds.
    pub(crate) fn open() -> Self {
        let mut talk = Self::default();
        talk.syn();
        talk.after(10_000_000).syn_ack();
        talk.client(1, 0, TcpFlags::ACK, 1);
        talk
    }

    pub(crate) fn restart(&mut self, client: u32, server: u32) {
        self.isn = [client, server];
    }

    pub(crate) fn after(&mut self, ns: i64) -> &mut Self {
        self.now += ns;
        self
    }

    /// The identification of what comes next.
    pub(crate) fn id(&mut self, id: u16) -> &mut Self {
        self.id = Some(id);
        self
    }

    pub(crate) fn window(&mut self, window: u16) -> &mut Self {
        self.window = window;
        self
    }

    pub(crate) fn summary(&self) -> Summary {
        self.table.conversations()[0].summary()
    }

    fn send(
        &mut self,
        server: bool,
        seq: Offset,
        len: u32,
        flags: TcpFlags,
        ack: Offset,
        options: &[u8],
    ) -> Observation {
        self.number += 1;
        let (from, to) = if server { (SERVER, CLIENT) } else { (CLIENT, SERVER) };
        let [own, peer] = if server { [self.isn[1], self.isn[0]] } else { self.isn };
        let mut segment = segment(self.number, from, to);
        segment.time = Timestamp(self.now);
        segment.seq = SeqNum(own) + seq as u32;
        segment.ack = SeqNum(peer) + ack as u32;
        segment.flags = flags;
        segment.window = self.window;
        segment.id = self.id;
        segment.options = Options::read(options);
        segment.len = len;
        segment.payload = &ZEROS[..len as usize];
        self.table.observe(&segment)
    }

    pub(crate) fn client(&mut self, seq: Offset, len: u32, flags: TcpFlags, ack: Offset) -> Observation {
        self.send(false, seq, len, flags, ack, &[])
    }

    pub(crate) fn server(&mut self, seq: Offset, len: u32, flags: TcpFlags, ack: Offset) -> Observation {
        self.send(true, seq, len, flags, ack, &[])
    }

    pub(crate) fn syn(&mut self) -> Observation {
        self.send(false, 0, 0, TcpFlags::SYN, 0, &[2, 4, 5, 0xb4, 4, 2, 3, 3, 7])
    }

    pub(crate) fn syn_ack(&mut self) -> Observation {
        self.send(true, 0, 0, TcpFlags::SYN | TcpFlags::ACK, 1, &[2, 4, 5, 0xb4, 4, 2, 3, 3, 7])
    }

    /// The server has these blocks.
    pub(crate) fn sack(&mut self, ack: Offset, blocks: &[(u32, u32)]) -> Observation {
        let mut options = vec![5, 2 + 8 * blocks.len() as u8];
        for (left, right) in blocks {
            options.extend((self.isn[0].wrapping_add(*left)).to_be_bytes());
            options.extend((self.isn[0].wrapping_add(*right)).to_be_bytes());
        }
        self.send(true, 1, 0, TcpFlags::ACK, ack, &options)
    }
}
