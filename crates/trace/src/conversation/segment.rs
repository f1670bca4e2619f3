//! A TCP segment as a capture holds it: what tracking needs of it, read leniently. Where the capture has cut the
//! packet, the lengths are still those of the wire.

use std::net::SocketAddr;

use bypath_wire::seq::SeqNum;

use crate::layers::{Dissection, Network, Tcp, TcpFlags, TcpOption, TcpOptions};
use crate::{Record, Timestamp};

/// A timestamp option (RFC 7323 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamps {
    /// The sender's clock.
    pub value: u32,
    /// The peer's clock, as the sender saw it last; valid with ACK only.
    pub echo: u32,
}

/// Most SACK blocks that fit into the options of a segment (RFC 2018 §3).
pub const MOST_BLOCKS: usize = 4;

/// What the options of a segment say. Options that are cut or malformed end the reading; those before them count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale, as sent; RFC 7323 §2.3 limits what is used to 14.
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// Timestamps.
    pub stamps: Option<Stamps>,
    blocks: [(u32, u32); MOST_BLOCKS],
    block_count: u8,
    /// Length of a Fast Open cookie (RFC 7413): 0 asks for one.
    pub fast_open: Option<u8>,
    /// An MD5 or TCP-AO signature is there.
    pub signed: bool,
    /// Multipath TCP.
    pub multipath: bool,
}

impl Options {
    /// Reads what is there.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let mut options = Self::default();
        for option in TcpOptions::new(bytes) {
            options.take(&option);
        }
        options
    }

    fn take(&mut self, option: &TcpOption<'_>) {
        match *option {
            TcpOption::MaximumSegmentSize(bytes) => self.mss = Some(bytes),
            TcpOption::WindowScale(bits) => self.window_scale = Some(bits),
            TcpOption::SackPermitted => self.sack_permitted = true,
            TcpOption::Sack(_) => {
                let free = self.blocks.iter_mut().skip(usize::from(self.block_count));
                for (place, block) in free.zip(option.sack_blocks()) {
                    *place = block;
                    self.block_count += 1;
                }
            }
            TcpOption::Timestamps { value, echo } => self.stamps = Some(Stamps { value, echo }),
            TcpOption::Other { kind: 19 | 29, .. } => self.signed = true,
            TcpOption::Other { kind: 30, .. } => self.multipath = true,
            TcpOption::Other { kind: 34, data } => self.fast_open = Some(data.len() as u8),
            // The experimental form of RFC 7413 appendix A.
            TcpOption::Other { kind: 254, data: [0xf9, 0x89, cookie @ ..] } => {
                self.fast_open = Some(cookie.len() as u8);
            }
            _ => {}
        }
    }

    /// The SACK blocks, from the first byte that has arrived to the first after it.
    pub fn blocks(&self) -> impl Iterator<Item = (SeqNum, SeqNum)> + '_ {
        let blocks = self.blocks.iter().take(usize::from(self.block_count));
        blocks.map(|&(left, right)| (SeqNum(left), SeqNum(right)))
    }
}

/// Times are held within 146 years of 1970, so that the time between any two can be told.
const FARTHEST: i64 = (1 << 62) - 1;

/// A TCP segment of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The packet's number in the capture.
    pub number: u64,
    /// When it was captured.
    pub time: Timestamp,
    /// The interface it was seen on.
    pub interface: Option<u32>,
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Sequence number.
    pub seq: SeqNum,
    /// Acknowledgment number, which means something with [`TcpFlags::ACK`].
    pub ack: SeqNum,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window as it is in the header.
    pub window: u16,
    /// The options.
    pub options: Options,
    /// Bytes of payload on the wire.
    pub len: u32,
    /// The payload, as far as it was captured.
    pub payload: &'a [u8],
    /// The IP header says that a router saw congestion (CE).
    pub congestion: bool,
    /// The checksum is wrong. Of a packet that was captured before it left, that means nothing: the NIC sums it.
    pub damaged: bool,
    /// Bytes of the whole packet on the wire.
    pub wire_len: u32,
    /// The identification in the header of IPv4.
    pub id: Option<u16>,
}

impl<'a> Segment<'a> {
    /// The TCP segment in a packet that was taken apart from `data`, if there is one with a whole header.
    #[must_use]
    pub fn of(record: &Record<'_>, packet: &Dissection<'a>, data: &[u8]) -> Option<Self> {
        let tcp = packet.tcp()?;
        let (from, to) = packet.network.addresses()?;
        let class = match &packet.network {
            Network::Ipv4(ip) => ip.tos,
            Network::Ipv6(ip) => ip.traffic_class,
            _ => 0,
        };
        Some(Self {
            number: record.number,
            time: Timestamp(record.time.0.clamp(-FARTHEST, FARTHEST)),
            interface: record.interface,
            from: SocketAddr::new(from, tcp.source),
            to: SocketAddr::new(to, tcp.destination),
            seq: SeqNum(tcp.sequence),
            ack: SeqNum(tcp.acknowledgment),
            flags: tcp.flags,
            window: tcp.window,
            options: Options::read(tcp.options),
            len: u32::try_from(packet.payload_len).unwrap_or(u32::MAX),
            payload: packet.payload,
            congestion: class & 3 == 3,
            damaged: record.missing() == 0 && is_damaged(data, packet, tcp),
            wire_len: record.original_len,
            id: match &packet.network {
                Network::Ipv4(ip) => Some(ip.id),
                _ => None,
            },
        })
    }

    /// Sequence numbers that it takes: its data, SYN and FIN.
    #[must_use]
    pub fn span(&self) -> u32 {
        let controls =
            u32::from(self.flags.contains(TcpFlags::SYN)) + u32::from(self.flags.contains(TcpFlags::FIN));
        self.len.saturating_add(controls)
    }

    /// The first sequence number after it.
    #[must_use]
    pub fn end(&self) -> SeqNum {
        self.seq + self.span()
    }

    /// Any of these bits is set.
    #[must_use]
    pub fn has(&self, flags: TcpFlags) -> bool {
        self.flags.intersects(flags)
    }

    /// The acknowledgment number, if it is one.
    #[must_use]
    pub fn acknowledges(&self) -> Option<SeqNum> {
        self.has(TcpFlags::ACK).then_some(self.ack)
    }
}

/// Whether all of a segment is there, and its checksum is wrong.
fn is_damaged(data: &[u8], packet: &Dissection<'_>, tcp: &Tcp<'_>) -> bool {
    let fragment = match &packet.network {
        Network::Ipv4(ip) => ip.more_fragments,
        Network::Ipv6(ip) => ip.fragment.is_some(),
        _ => true,
    };
    let whole = !fragment && !packet.truncated && packet.payload.len() == packet.payload_len;
    let segment =
        packet.offsets.transport.and_then(|at| data.get(at..packet.offsets.payload + packet.payload_len));
    whole && segment.is_some_and(|segment| !tcp.checksum_is_right(&packet.network, segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_syn_are_read() {
        let bytes = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 3, 3, 7];
        let options = Options::read(&bytes);
        assert_eq!(options.mss, Some(1460));
        assert!(options.sack_permitted);
        assert_eq!(options.stamps, Some(Stamps { value: 7, echo: 9 }));
        assert_eq!(options.window_scale, Some(7));
    }

    #[test]
    fn a_cut_option_ends_the_reading_and_those_before_it_count() {
        assert_eq!(Options::read(&[2, 4, 5, 0xb4, 8, 10, 0]).mss, Some(1460));
        assert_eq!(Options::read(&[2]), Options::default());
        assert_eq!(Options::read(&[2, 0, 2, 4, 5, 0xb4]), Options::default());
        assert_eq!(Options::read(&[2, 1, 2, 4, 5, 0xb4]), Options::default());
    }

    #[test]
    fn no_more_blocks_are_read_than_fit() {
        let mut bytes = vec![5, 50];
        bytes.extend([1; 48]);
        assert_eq!(Options::read(&bytes).blocks().count(), MOST_BLOCKS);
    }

    #[test]
    fn fast_open_is_read_in_both_forms() {
        assert_eq!(Options::read(&[34, 2]).fast_open, Some(0));
        assert_eq!(Options::read(&[254, 12, 0xf9, 0x89, 1, 2, 3, 4, 5, 6, 7, 8]).fast_open, Some(8));
        assert_eq!(Options::read(&[254, 4, 0, 0]).fast_open, None);
    }
}
