//! Neighbor Discovery (RFC 4861): solicitations and advertisements of neighbours and routers, with the
//! options that an Ethernet host acts on. Checks that need the IP header (hop limit 255, a solicited-node
//! destination) are the caller's.

use std::net::Ipv6Addr;

use arrayvec::ArrayVec;

use crate::bytes::{get, get_u16, get_u32, put, put_next, put_u16, put_u32};
use crate::checksum::{Sum, pseudo_header_v6};
use crate::ethernet::MacAddr;
use crate::ip::protocol;
use crate::{Result, WireError};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;

const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;
const PREFIX: u8 = 3;
const MTU: u8 = 5;

/// The group that a solicitation for `address` goes to: `ff02::1:ff00:0/104` and its low 24 bits
/// (RFC 4291 §2.7.1).
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    const GROUP: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from_bits(GROUP | address.to_bits() & 0x00ff_ffff)
}

/// A Prefix Information option (RFC 4861 §4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PrefixInfo {
    /// The prefix; bits beyond `len` do not count.
    pub prefix: Ipv6Addr,
    /// Leading bits that count, 0 to 128.
    pub len: u8,
    /// Addresses under it are on this link.
    pub on_link: bool,
    /// Hosts may form addresses under it.
    pub autonomous: bool,
    /// How long it is on-link, in seconds; all ones is for ever.
    pub valid_lifetime: u32,
    /// How long addresses from it are preferred, in seconds; all ones is for ever.
    pub preferred_lifetime: u32,
}

/// The options of a message; others are skipped when read. Written in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NdpOptions {
    /// Link address of the sender.
    pub source_link: Option<MacAddr>,
    /// Link address of the target.
    pub target_link: Option<MacAddr>,
    /// MTU of the link in bytes.
    pub mtu: Option<u32>,
    /// Prefixes of the link; beyond four they are dropped.
    pub prefixes: ArrayVec<PrefixInfo, 4>,
}

/// A Neighbor Discovery message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ndp {
    /// Who has `target`?
    NeighborSolicitation {
        /// The address asked for.
        target: Ipv6Addr,
        /// Usually the source link address.
        options: NdpOptions,
    },
    /// `target` is here.
    NeighborAdvertisement {
        /// The sender is a router.
        router: bool,
        /// This answers a solicitation.
        solicited: bool,
        /// Replaces what is cached.
        overrides: bool,
        /// The address told about.
        target: Ipv6Addr,
        /// Usually the target link address.
        options: NdpOptions,
    },
    /// Any router here?
    RouterSolicitation {
        /// Usually the source link address.
        options: NdpOptions,
    },
    /// A router, and how to live on its link.
    RouterAdvertisement {
        /// Hop limit to use, 0 when the router does not say.
        hop_limit: u8,
        /// Addresses come by DHCPv6.
        managed: bool,
        /// Other settings come by DHCPv6.
        other_config: bool,
        /// How long this is a default router, in seconds; 0 when it is none.
        router_lifetime: u16,
        /// How long a neighbour counts as reachable, in milliseconds; 0 when the router does not say.
        reachable_time: u32,
        /// Between solicitations, in milliseconds; 0 when the router does not say.
        retrans_timer: u32,
        /// Link address, MTU, prefixes.
        options: NdpOptions,
    },
}

impl Ndp {
    /// Reads a message, which is the whole of `message`, from its ICMPv6 type on.
    ///
    /// # Errors
    /// [`WireError::Truncated`]; [`WireError::BadLength`] for an option of length zero;
    /// [`WireError::BadValue`] for another type, a code other than 0, or a multicast target (RFC 4861 §6.1,
    /// §7.1).
    pub fn parse(message: &[u8]) -> Result<Ndp> {
        let head = message.first_chunk::<8>().ok_or(WireError::Truncated)?;
        if head[1] != 0 {
            return Err(WireError::BadValue);
        }
        match head[0] {
            NEIGHBOR_SOLICITATION | NEIGHBOR_ADVERTISEMENT => {
                let (body, options) = message.split_first_chunk::<24>().ok_or(WireError::Truncated)?;
                let target = Ipv6Addr::from(get::<8, 16, _>(body));
                if target.is_multicast() {
                    return Err(WireError::BadValue);
                }
                let options = NdpOptions::parse(options)?;
                if head[0] == NEIGHBOR_SOLICITATION {
                    return Ok(Ndp::NeighborSolicitation { target, options });
                }
                let flag = |bit: u8| head[4] & bit != 0;
                let (router, solicited, overrides) = (flag(0x80), flag(0x40), flag(0x20));
                Ok(Ndp::NeighborAdvertisement { router, solicited, overrides, target, options })
            }
            ROUTER_SOLICITATION => {
                let (_, options) = message.split_first_chunk::<8>().ok_or(WireError::Truncated)?;
                Ok(Ndp::RouterSolicitation { options: NdpOptions::parse(options)? })
            }
            ROUTER_ADVERTISEMENT => {
                let (body, options) = message.split_first_chunk::<16>().ok_or(WireError::Truncated)?;
                Ok(Ndp::RouterAdvertisement {
                    hop_limit: body[4],
                    managed: body[5] & 0x80 != 0,
                    other_config: body[5] & 0x40 != 0,
                    router_lifetime: get_u16::<6, _>(body),
                    reachable_time: get_u32::<8, _>(body),
                    retrans_timer: get_u32::<12, _>(body),
                    options: NdpOptions::parse(options)?,
                })
            }
            _ => Err(WireError::BadValue),
        }
    }

    /// The options, whichever message this is.
    #[must_use]
    pub const fn options(&self) -> &NdpOptions {
        match self {
            Ndp::NeighborSolicitation { options, .. }
            | Ndp::NeighborAdvertisement { options, .. }
            | Ndp::RouterSolicitation { options }
            | Ndp::RouterAdvertisement { options, .. } => options,
        }
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.fixed_len() + self.options().encoded_len()
    }

    /// Writes the message with its checksum, which covers the addresses; returns its length, or 0 when `out`
    /// is too short.
    pub fn emit(&self, src: Ipv6Addr, dst: Ipv6Addr, out: &mut [u8]) -> usize {
        let len = self.encoded_len();
        let Some(message) = out.get_mut(..len) else { return 0 };
        let Some((fixed, options)) = message.split_at_mut_checked(self.fixed_len()) else { return 0 };
        fixed.fill(0);
        self.put_fixed(fixed);
        self.options().put(options);
        let pseudo = pseudo_header_v6(src, dst, protocol::ICMPV6, len as u32);
        let checksum = pseudo.add(Sum::of(message)).finish();
        if let Some(head) = message.first_chunk_mut::<8>() {
            put_u16::<2, _>(head, checksum);
        }
        len
    }

    const fn fixed_len(&self) -> usize {
        match self {
            Ndp::NeighborSolicitation { .. } | Ndp::NeighborAdvertisement { .. } => 24,
            Ndp::RouterSolicitation { .. } => 8,
            Ndp::RouterAdvertisement { .. } => 16,
        }
    }

    fn put_fixed(&self, fixed: &mut [u8]) {
        match *self {
            Ndp::NeighborSolicitation { target, .. } => {
                if let Some(fixed) = fixed.first_chunk_mut::<24>() {
                    fixed[0] = NEIGHBOR_SOLICITATION;
                    put::<8, 16, _>(fixed, target.octets());
                }
            }
            Ndp::NeighborAdvertisement { router, solicited, overrides, target, .. } => {
                if let Some(fixed) = fixed.first_chunk_mut::<24>() {
                    fixed[0] = NEIGHBOR_ADVERTISEMENT;
                    fixed[4] = (router as u8) << 7 | (solicited as u8) << 6 | (overrides as u8) << 5;
                    put::<8, 16, _>(fixed, target.octets());
                }
            }
            Ndp::RouterSolicitation { .. } => {
                if let Some(kind) = fixed.first_mut() {
                    *kind = ROUTER_SOLICITATION;
                }
            }
            Ndp::RouterAdvertisement {
                hop_limit,
                managed,
                other_config,
                router_lifetime,
                reachable_time,
                retrans_timer,
                ..
            } => {
                if let Some(fixed) = fixed.first_chunk_mut::<16>() {
                    fixed[0] = ROUTER_ADVERTISEMENT;
                    put::<4, 2, _>(fixed, [hop_limit, (managed as u8) << 7 | (other_config as u8) << 6]);
                    put_u16::<6, _>(fixed, router_lifetime);
                    put_u32::<8, _>(fixed, reachable_time);
                    put_u32::<12, _>(fixed, retrans_timer);
                }
            }
        }
    }
}

impl NdpOptions {
    /// Reads options up to the end of the message. A known option that is too short for its kind is
    /// malformed; a longer one is read by its first bytes.
    ///
    /// # Errors
    /// [`WireError::BadLength`] for length zero (RFC 4861 §4.6) or too short for the kind,
    /// [`WireError::Truncated`] when an option crosses the end.
    fn parse(mut bytes: &[u8]) -> Result<NdpOptions> {
        let mut options = NdpOptions::default();
        while !bytes.is_empty() {
            let head = bytes.first_chunk::<8>().ok_or(WireError::Truncated)?;
            let len = usize::from(head[1]) * 8;
            if len == 0 {
                return Err(WireError::BadLength);
            }
            let (option, rest) = bytes.split_at_checked(len).ok_or(WireError::Truncated)?;
            bytes = rest;
            match head[0] {
                SOURCE_LINK => options.source_link = Some(MacAddr(get::<2, 6, _>(head))),
                TARGET_LINK => options.target_link = Some(MacAddr(get::<2, 6, _>(head))),
                MTU => options.mtu = Some(get_u32::<4, _>(head)),
                PREFIX => {
                    let option = option.first_chunk::<32>().ok_or(WireError::BadLength)?;
                    if option[2] > 128 {
                        return Err(WireError::BadValue);
                    }
                    // RFC 4861 §6.3.4 lets a host keep as many prefixes as it has room for.
                    let _ = options.prefixes.try_push(PrefixInfo {
                        prefix: Ipv6Addr::from(get::<16, 16, _>(option)),
                        len: option[2],
                        on_link: option[3] & 0x80 != 0,
                        autonomous: option[3] & 0x40 != 0,
                        valid_lifetime: get_u32::<4, _>(option),
                        preferred_lifetime: get_u32::<8, _>(option),
                    });
                }
                _ => {}
            }
        }
        Ok(options)
    }

    fn encoded_len(&self) -> usize {
        let short = [self.source_link.is_some(), self.target_link.is_some(), self.mtu.is_some()];
        8 * short.into_iter().filter(|&there| there).count() + 32 * self.prefixes.len()
    }

    fn put(&self, mut out: &mut [u8]) {
        for (kind, mac) in [(SOURCE_LINK, self.source_link), (TARGET_LINK, self.target_link)] {
            if let Some(MacAddr([a, b, c, d, e, f])) = mac {
                out = put_next(out, [kind, 1, a, b, c, d, e, f]);
            }
        }
        if let Some(mtu) = self.mtu {
            let [a, b, c, d] = mtu.to_be_bytes();
            out = put_next(out, [MTU, 1, 0, 0, a, b, c, d]);
        }
        for info in &self.prefixes {
            let mut option = [0; 32];
            let flags = (info.on_link as u8) << 7 | (info.autonomous as u8) << 6;
            put::<0, 4, _>(&mut option, [PREFIX, 4, info.len, flags]);
            put_u32::<4, _>(&mut option, info.valid_lifetime);
            put_u32::<8, _>(&mut option, info.preferred_lifetime);
            put::<16, 16, _>(&mut option, info.prefix.octets());
            out = put_next(out, option);
        }
    }
}
