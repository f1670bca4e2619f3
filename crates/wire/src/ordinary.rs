//! Frames that are read in one go: Ethernet without tags, IPv4 without options that is no fragment, TCP with ACK and
//! perhaps PSH and no option but timestamps in their usual place. Nearly all frames of established connections are such.
//! Whatever is not, is read header by header.

use crate::bytes::{get, get_u16, get_u32};
use crate::checksum::Sum;
use crate::ethernet::MacAddr;
use crate::ip::protocol;
use crate::tcp::{TcpFlags, TcpHeader, Timestamps};
use crate::{SeqNum, ipv4, tcp};

/// Where the IPv4 header lies.
const NETWORK: usize = 14;
/// Where the TCP header lies.
const TRANSPORT: usize = NETWORK + ipv4::MIN_HEADER_LEN;
/// The shortest of these frames.
const LEAST: usize = TRANSPORT + tcp::MIN_HEADER_LEN;
/// NOP, NOP, the timestamps option and its length.
const TIMESTAMPS: u32 = 0x0101_080a;

/// What the headers of such a frame say. The checksum of the IPv4 header is right.
#[derive(Clone, Copy, Debug)]
pub struct Ordinary {
    /// The addresses, source in the high half.
    pub addresses: u64,
    /// The fixed TCP header.
    pub header: TcpHeader,
    /// The only option that there may be.
    pub timestamps: Option<Timestamps>,
    /// Type of service of the IP header.
    pub dscp_ecn: u8,
    /// Where the payload begins in the frame.
    pub payload: usize,
    /// Where the packet ends; what follows is padding of the link.
    pub end: usize,
    pseudo: Sum,
}

impl Ordinary {
    /// Reads a frame to `mac` if it is one of these.
    #[inline]
    #[must_use]
    pub fn parse(frame: &[u8], mac: MacAddr) -> Option<Self> {
        let head = frame.first_chunk::<LEAST>()?;
        let ethertype_version = get_u16::<12, _>(head) == 0x0800 && head[NETWORK] == 0x45;
        let total_len = usize::from(get_u16::<{ NETWORK + 2 }, _>(head));
        let whole = get_u16::<{ NETWORK + 6 }, _>(head) & 0x3fff == 0;
        let control = get_u16::<{ TRANSPORT + 12 }, _>(head);
        let flags = TcpFlags::from_bits_truncate(control);
        let header_len = usize::from(control >> 12) * 4;
        let plain = get::<0, 6, _>(head) == mac.0
            && ethertype_version
            && whole
            && head[NETWORK + 9] == protocol::TCP
            && flags | TcpFlags::PSH == TcpFlags::ACK | TcpFlags::PSH
            && NETWORK + total_len <= frame.len()
            && ipv4::MIN_HEADER_LEN + header_len <= total_len;
        if !plain || !Sum::of_words(&get::<NETWORK, { ipv4::MIN_HEADER_LEN }, _>(head)).is_valid() {
            return None;
        }
        let timestamps = match header_len {
            tcp::MIN_HEADER_LEN => None,
            32 => {
                let options = frame.get(LEAST..)?.first_chunk::<12>()?;
                if get_u32::<0, _>(options) != TIMESTAMPS {
                    return None;
                }
                Some(Timestamps { value: get_u32::<4, _>(options), echo: get_u32::<8, _>(options) })
            }
            _ => return None,
        };
        let addresses = get::<{ NETWORK + 12 }, 8, _>(head);
        let pseudo = Sum::of_words(&addresses)
            .add_u32((total_len - ipv4::MIN_HEADER_LEN) as u32)
            .add_u16(protocol::TCP.into());
        Some(Self {
            addresses: u64::from_be_bytes(addresses),
            header: TcpHeader {
                src_port: get_u16::<TRANSPORT, _>(head),
                dst_port: get_u16::<{ TRANSPORT + 2 }, _>(head),
                seq: SeqNum(get_u32::<{ TRANSPORT + 4 }, _>(head)),
                ack: SeqNum(get_u32::<{ TRANSPORT + 8 }, _>(head)),
                flags,
                window: get_u16::<{ TRANSPORT + 14 }, _>(head),
                checksum: get_u16::<{ TRANSPORT + 16 }, _>(head),
                urgent: get_u16::<{ TRANSPORT + 18 }, _>(head),
            },
            timestamps,
            dscp_ecn: head[NETWORK + 1],
            payload: TRANSPORT + header_len,
            end: NETWORK + total_len,
            pseudo,
        })
    }

    /// Whether the checksum of the segment in this frame is right.
    #[inline]
    #[must_use]
    pub fn is_intact(&self, frame: &[u8]) -> bool {
        frame.get(TRANSPORT..self.end).is_some_and(|segment| self.pseudo.add(Sum::of(segment)).is_valid())
    }

    /// Bytes of payload.
    #[inline]
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.end - self.payload
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::checksum::transport_ok;
    use crate::ethernet::{EtherType, EthernetHeader};
    use crate::ipv4::Ipv4Header;
    use crate::tcp::TcpOptions;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

    fn frame(header: &TcpHeader, timestamps: Option<Timestamps>, payload: &[u8]) -> Vec<u8> {
        let (src, dst) = (Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 255, 254));
        let mut bytes = vec![0; 200 + payload.len()];
        let ethernet = EthernetHeader { dst: MAC, ethertype: EtherType::IPV4, ..EthernetHeader::default() };
        assert_eq!(ethernet.emit(&mut bytes), NETWORK);
        let options = TcpOptions { timestamps, ..TcpOptions::default() };
        let n = header.emit(&options, &mut bytes[TRANSPORT..]);
        let end = TRANSPORT + n + payload.len();
        bytes[TRANSPORT + n..end].copy_from_slice(payload);
        bytes.truncate(end);
        let pseudo = crate::checksum::pseudo_header_v4(src, dst, protocol::TCP, (end - TRANSPORT) as u32);
        let checksum = pseudo.add(Sum::of(&bytes[TRANSPORT..])).finish();
        bytes[TRANSPORT + 16..TRANSPORT + 18].copy_from_slice(&checksum.to_be_bytes());
        let total_len = (end - NETWORK) as u16;
        let ip = Ipv4Header { total_len, src, dst, protocol: protocol::TCP, ..Ipv4Header::default() };
        ip.emit(&mut bytes[NETWORK..]);
        bytes
    }

    fn header() -> TcpHeader {
        TcpHeader {
            src_port: 40_000,
            dst_port: 7,
            seq: SeqNum(0xfedc_ba98),
            ack: SeqNum(0x0123_4567),
            flags: TcpFlags::ACK | TcpFlags::PSH,
            window: 0x8001,
            ..TcpHeader::default()
        }
    }

    #[test]
    fn an_ordinary_frame_is_read_with_and_without_timestamps_and_padding() {
        for timestamps in [None, Some(Timestamps { value: 7, echo: u32::MAX })] {
            let mut bytes = frame(&header(), timestamps, b"payload");
            bytes.extend([0; 6]);
            let read = Ordinary::parse(&bytes, MAC).expect("it is ordinary");
            let expected = TcpHeader { checksum: read.header.checksum, ..header() };
            assert_eq!((read.header, read.timestamps), (expected, timestamps));
            assert_eq!(&bytes[read.payload..read.end], b"payload");
            assert!(read.is_intact(&bytes));
            assert_eq!(read.addresses, 0xc612_0001_c612_fffe);
        }
    }

    #[test]
    fn what_is_for_another_station_or_says_more_is_not_ordinary() {
        let usual = frame(&header(), None, b"payload");
        assert!(Ordinary::parse(&usual, MacAddr([2; 6])).is_none());
        for more in [TcpFlags::FIN, TcpFlags::SYN, TcpFlags::RST, TcpFlags::URG, TcpFlags::ECE, TcpFlags::CWR]
        {
            let header = TcpHeader { flags: TcpFlags::ACK | more, ..header() };
            assert!(Ordinary::parse(&frame(&header, None, b""), MAC).is_none(), "{more:?}");
        }
        assert!(Ordinary::parse(&usual[..usual.len() - 1], MAC).is_none(), "cut short");
    }

    proptest! {
        #[test]
        fn it_never_reads_what_the_separate_parsers_refuse(
            changes in prop::collection::vec((0usize..80, any::<u8>()), 0..4),
            stamped in any::<bool>(),
            cut in 0usize..90,
        ) {
            let stamps = stamped.then_some(Timestamps { value: 1, echo: 2 });
            let mut bytes = frame(&header(), stamps, b"some payload");
            for (at, byte) in changes {
                if let Some(old) = bytes.get_mut(at) {
                    *old = byte;
                }
            }
            bytes.truncate(bytes.len().min(cut.max(20)));
            let Some(read) = Ordinary::parse(&bytes, MAC) else { return Ok(()) };
            let (ethernet, at) = EthernetHeader::parse(&bytes).unwrap();
            prop_assert_eq!((ethernet.dst, ethernet.ethertype, at), (MAC, EtherType::IPV4, NETWORK));
            let (ip, n) = Ipv4Header::parse(&bytes[at..]).unwrap();
            prop_assert!(ipv4::checksum_ok(&bytes[at..]) && !ip.is_fragment());
            prop_assert_eq!((ip.dscp_ecn, ip.protocol), (read.dscp_ecn, protocol::TCP));
            prop_assert_eq!(read.addresses, u64::from(ip.src.to_bits()) << 32 | u64::from(ip.dst.to_bits()));
            let segment = &bytes[at + n..at + usize::from(ip.total_len)];
            let (tcp, n) = TcpHeader::parse(segment).unwrap();
            let options = TcpOptions::parse(&segment[20..n]).unwrap();
            let only = TcpOptions { timestamps: read.timestamps, ..TcpOptions::default() };
            prop_assert_eq!((read.header, &only), (tcp, &options));
            prop_assert_eq!(&bytes[read.payload..read.end], &segment[n..]);
            let intact = transport_ok(ip.src.into(), ip.dst.into(), protocol::TCP, segment);
            prop_assert_eq!(read.is_intact(&bytes), intact);
        }
    }
}
