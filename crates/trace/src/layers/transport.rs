//! TCP, UDP and the two ICMPs.

use bypath_wire::tcp::TcpFlags;

use super::bytes::{array_at, from, u8_at, u16_at, u32_at, up_to};
use super::options::TcpOptions;
use super::{Network, checksum, protocol};

/// The transport layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport<'a> {
    /// TCP.
    Tcp(Tcp<'a>),
    /// UDP.
    Udp(Udp),
    /// ICMP.
    Icmpv4(Icmp),
    /// ICMPv6.
    Icmpv6(Icmp),
    /// A fragment that is not the first: there is no header in it.
    Fragment {
        /// What the whole packet carries.
        protocol: u8,
        /// Where this belongs in it, bytes.
        offset: u16,
    },
    /// The header of this protocol is not all there.
    Cut {
        /// Whose header.
        protocol: u8,
        /// The ports, where it has some and they are there.
        ports: Option<(u16, u16)>,
    },
    /// Another protocol.
    Other {
        /// Its number.
        protocol: u8,
    },
    /// There is no network layer that could carry one.
    None,
}

/// A TCP header (RFC 9293, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp<'a> {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number, whether or not the flag is set.
    pub acknowledgment: u32,
    /// The length of the header by its data offset, at least 20.
    pub header_len: usize,
    /// Flags.
    pub flags: TcpFlags,
    /// Window, not scaled.
    pub window: u16,
    /// Checksum.
    pub checksum: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// The options, raw, fewer bytes where they are cut off.
    pub options: &'a [u8],
}

/// A UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Header and data, by what it says.
    pub len: u16,
    /// Checksum, 0 for none.
    pub checksum: u16,
}

/// The four bytes that all ICMP messages begin with. The payload is what follows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum.
    pub checksum: u16,
}

impl<'a> Transport<'a> {
    pub(super) fn parse(protocol: u8, bytes: &'a [u8]) -> Transport<'a> {
        let known = match protocol {
            protocol::TCP => Tcp::parse(bytes).map(Transport::Tcp),
            protocol::UDP => Udp::parse(bytes).map(Transport::Udp),
            protocol::ICMP => Icmp::parse(bytes).map(Transport::Icmpv4),
            protocol::ICMPV6 => Icmp::parse(bytes).map(Transport::Icmpv6),
            _ => return Transport::Other { protocol },
        };
        known.unwrap_or_else(|| {
            let has_ports = matches!(protocol, protocol::TCP | protocol::UDP);
            let ports = u16_at(bytes, 0).zip(u16_at(bytes, 2)).filter(|_| has_ports);
            Transport::Cut { protocol, ports }
        })
    }
}

impl<'a> Tcp<'a> {
    /// Reads a header.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Tcp<'a>> {
        let fixed: [u8; 20] = array_at(bytes, 0)?;
        let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let header_len = (usize::from(fixed[12] >> 4) * 4).max(20);
        Some(Tcp {
            source: word(0),
            destination: word(2),
            sequence: u32_at(&fixed, 4)?,
            acknowledgment: u32_at(&fixed, 8)?,
            header_len,
            flags: TcpFlags::from_bits_truncate(word(12)),
            window: word(14),
            checksum: word(16),
            urgent: word(18),
            options: up_to(from(bytes, 20), header_len - 20),
        })
    }

    /// Whether options are missing.
    #[must_use]
    pub fn options_cut(&self) -> bool {
        self.options.len() + 20 < self.header_len
    }

    /// The options, one after the other.
    #[must_use]
    pub fn options(&self) -> TcpOptions<'a> {
        TcpOptions::new(self.options)
    }

    /// Whether the checksum is right. `segment` is header and payload, which must be all there.
    #[must_use]
    pub fn checksum_is_right(&self, network: &Network<'_>, segment: &[u8]) -> bool {
        pseudo_sum(network, protocol::TCP, segment.len())
            .is_some_and(|pseudo| checksum::fold(pseudo + checksum::of(segment)) == 0)
    }
}

impl Udp {
    fn parse(bytes: &[u8]) -> Option<Udp> {
        Some(Udp {
            source: u16_at(bytes, 0)?,
            destination: u16_at(bytes, 2)?,
            len: u16_at(bytes, 4)?,
            checksum: u16_at(bytes, 6)?,
        })
    }

    /// Whether the checksum is right, or there is none. `datagram` is header and payload, which must be all there.
    #[must_use]
    pub fn checksum_is_right(&self, network: &Network<'_>, datagram: &[u8]) -> bool {
        let pseudo = pseudo_sum(network, protocol::UDP, datagram.len());
        self.checksum == 0
            || pseudo.is_some_and(|pseudo| checksum::fold(pseudo + checksum::of(datagram)) == 0)
    }
}

impl Icmp {
    fn parse(bytes: &[u8]) -> Option<Icmp> {
        Some(Icmp { kind: u8_at(bytes, 0)?, code: u8_at(bytes, 1)?, checksum: u16_at(bytes, 2)? })
    }
}

/// What the addresses add to a checksum.
pub(crate) fn pseudo_sum(network: &Network<'_>, protocol: u8, len: usize) -> Option<u64> {
    let addresses = match network {
        Network::Ipv4(ip) => checksum::of(&ip.source.octets()) + checksum::of(&ip.destination.octets()),
        Network::Ipv6(ip) => checksum::of(&ip.source.octets()) + checksum::of(&ip.destination.octets()),
        _ => return None,
    };
    Some(addresses + u64::from(protocol) + len as u64)
}
