//! ARP and Neighbor Discovery messages on their way into and out of the neighbour cache.
//!
//! What a message may change is decided in the parent module; here messages are checked, answered for our
//! own addresses, and questions are written. Frames are built by the stack.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bypath_wire::arp::{ArpOperation, ArpPacket};
use bypath_wire::ethernet::MacAddr;
use bypath_wire::ndp::{self, Ndp, NdpOptions};

use super::{Heard, NeighborCache};

/// All nodes of the link (RFC 4291 §2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Proof that a message was not forwarded by a router (RFC 4861 §3.1).
const ON_LINK_HOP_LIMIT: u8 = 255;

/// What became of an ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ArpOutcome {
    /// To be sent to its `target_mac`.
    pub(crate) reply: Option<ArpPacket>,
    /// Packets that waited for this neighbour can go now.
    pub(crate) resolved: Option<Ipv4Addr>,
    /// Somebody else claims an address of ours (RFC 5227 §2.4).
    pub(crate) conflict: bool,
}

/// What became of a Neighbor Discovery message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NdpOutcome {
    /// To be sent, hop limit 255.
    pub(crate) reply: Option<NdpMessage>,
    /// Packets that waited for this neighbour can go now.
    pub(crate) resolved: Option<Ipv6Addr>,
    /// Somebody else claims an address of ours (RFC 4862 §5.4.4).
    pub(crate) conflict: bool,
    /// Failed the checks of RFC 4861 §7.1 and changed nothing.
    pub(crate) invalid: bool,
}

/// A Neighbor Discovery message with the addresses it travels under; the hop limit is 255.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NdpMessage {
    /// IPv6 source.
    pub(crate) src: Ipv6Addr,
    /// IPv6 destination.
    pub(crate) dst: Ipv6Addr,
    /// Link destination.
    pub(crate) dst_mac: MacAddr,
    /// The message.
    pub(crate) message: Ndp,
}

/// A question for a link address, ready to be put into a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// For an IPv4 neighbour.
    Arp {
        /// Link destination: broadcast, or the neighbour itself.
        dst_mac: MacAddr,
        /// The request.
        packet: ArpPacket,
    },
    /// For an IPv6 neighbour.
    Ndp(NdpMessage),
}

/// Writes the question for `target` from our `source`; none if they are of different families.
pub(crate) fn question(
    our_mac: MacAddr,
    source: IpAddr,
    target: IpAddr,
    unicast: Option<MacAddr>,
) -> Option<Question> {
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let packet = ArpPacket::request(our_mac, source, target);
            Some(Question::Arp { dst_mac: unicast.unwrap_or(MacAddr::BROADCAST), packet })
        }
        (IpAddr::V6(src), IpAddr::V6(target)) => {
            let group = ndp::solicited_node(target);
            let (dst, dst_mac) = match unicast {
                Some(mac) => (target, mac),
                None => (group, MacAddr::multicast_v6(group)),
            };
            let options = NdpOptions { source_link: Some(our_mac), ..NdpOptions::default() };
            let message = Ndp::NeighborSolicitation { target, options };
            Some(Question::Ndp(NdpMessage { src, dst, dst_mac, message }))
        }
        _ => None,
    }
}

/// Takes in an ARP packet (RFC 826, with the cautions of RFC 5227).
pub(crate) fn handle_arp(
    cache: &mut NeighborCache,
    now: u64,
    packet: &ArpPacket,
    our_mac: MacAddr,
    is_ours: impl Fn(Ipv4Addr) -> bool,
) -> ArpOutcome {
    let mut outcome = ArpOutcome::default();
    if packet.sender_mac == our_mac {
        return outcome;
    }
    if is_ours(packet.sender_ip) {
        outcome.conflict = true;
        return outcome;
    }
    let for_us = is_ours(packet.target_ip);
    let how = match packet.operation {
        ArpOperation::REQUEST if for_us => Heard::Question,
        ArpOperation::REPLY if for_us && packet.target_mac == our_mac => Heard::Answer { overrides: true },
        ArpOperation::REQUEST | ArpOperation::REPLY => Heard::Announcement { overrides: true },
        _ => return outcome,
    };
    if !packet.sender_ip.is_broadcast() && cache.heard(now, packet.sender_ip.into(), packet.sender_mac, how) {
        outcome.resolved = Some(packet.sender_ip);
    }
    // An address probe, from 0.0.0.0, is answered too: that is how its sender learns of the conflict.
    if how == Heard::Question && !packet.sender_mac.is_multicast() {
        outcome.reply = Some(packet.reply_from(our_mac));
    }
    outcome
}

/// Takes in a Neighbor Discovery message that came from `src` to `dst` (RFC 4861 §7).
pub(crate) fn handle_ndp(
    cache: &mut NeighborCache,
    now: u64,
    (src, dst, hop_limit): (Ipv6Addr, Ipv6Addr, u8),
    message: &Ndp,
    our_mac: MacAddr,
    is_ours: impl Fn(Ipv6Addr) -> bool,
) -> NdpOutcome {
    let mut outcome = NdpOutcome::default();
    if hop_limit != ON_LINK_HOP_LIMIT {
        outcome.invalid = true;
        return outcome;
    }
    match message {
        Ndp::NeighborSolicitation { target, options } => {
            let probing = src.is_unspecified();
            let group = ndp::solicited_node(*target);
            outcome.invalid =
                probing && (dst != group || options.source_link.is_some()) || src.is_multicast();
            if outcome.invalid || !is_ours(*target) || is_ours(src) {
                return outcome;
            }
            if let Some(mac) = options.source_link
                && cache.heard(now, src.into(), mac, Heard::Question)
            {
                outcome.resolved = Some(src);
            }
            let (dst, known) = if probing {
                (ALL_NODES, Some(MacAddr::multicast_v6(ALL_NODES)))
            } else {
                (src, options.source_link.filter(|mac| !mac.is_multicast()))
            };
            // Without a source link address the frame's own sender is the place to answer to; the stack
            // resolves it like any destination.
            let dst_mac = known.unwrap_or(MacAddr::UNSPECIFIED);
            let options = NdpOptions { target_link: Some(our_mac), ..NdpOptions::default() };
            let message = Ndp::NeighborAdvertisement {
                router: false,
                solicited: !probing,
                overrides: true,
                target: *target,
                options,
            };
            outcome.reply = Some(NdpMessage { src: *target, dst, dst_mac, message });
        }
        Ndp::NeighborAdvertisement { solicited, overrides, target, options, .. } => {
            outcome.invalid = dst.is_multicast() && *solicited;
            if outcome.invalid {
                return outcome;
            }
            if is_ours(*target) {
                outcome.conflict = options.target_link != Some(our_mac);
                return outcome;
            }
            let overrides = *overrides;
            let how =
                if *solicited { Heard::Answer { overrides } } else { Heard::Announcement { overrides } };
            if let Some(mac) = options.target_link
                && cache.heard(now, (*target).into(), mac, how)
            {
                outcome.resolved = Some(*target);
            }
        }
        Ndp::RouterAdvertisement { options, .. } => {
            outcome.invalid = !src.is_unicast_link_local();
            if let Some(mac) = options.source_link
                && !outcome.invalid
                && !is_ours(src)
                && cache.heard(now, src.into(), mac, Heard::Announcement { overrides: true })
            {
                outcome.resolved = Some(src);
            }
        }
        Ndp::RouterSolicitation { .. } => {}
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::super::Resolution;
    use super::*;

    const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const OUR_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
    const THEIR_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

    fn v6(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn cache() -> NeighborCache {
        NeighborCache::new(8, 1)
    }

    fn arp(cache: &mut NeighborCache, packet: &ArpPacket) -> ArpOutcome {
        handle_arp(cache, 0, packet, OURS, |ip| ip == OUR_V4)
    }

    fn ndp(cache: &mut NeighborCache, src: &str, dst: &str, hop_limit: u8, message: &Ndp) -> NdpOutcome {
        handle_ndp(cache, 0, (v6(src), v6(dst), hop_limit), message, OURS, |ip| ip == v6("fe80::1"))
    }

    fn solicitation(source_link: Option<MacAddr>) -> Ndp {
        let options = NdpOptions { source_link, ..NdpOptions::default() };
        Ndp::NeighborSolicitation { target: v6("fe80::1"), options }
    }

    fn advertisement(target: &str, solicited: bool, link: MacAddr) -> Ndp {
        let options = NdpOptions { target_link: Some(link), ..NdpOptions::default() };
        Ndp::NeighborAdvertisement { router: false, solicited, overrides: true, target: v6(target), options }
    }

    #[test]
    fn a_request_for_our_address_is_answered_and_its_sender_learned() {
        let mut c = cache();
        let outcome = arp(&mut c, &ArpPacket::request(THEIRS, THEIR_V4, OUR_V4));
        let reply = outcome.reply.unwrap();
        assert_eq!(reply.operation, ArpOperation::REPLY);
        assert_eq!((reply.sender_mac, reply.sender_ip), (OURS, OUR_V4));
        assert_eq!((reply.target_mac, reply.target_ip), (THEIRS, THEIR_V4));
        assert_eq!(c.resolve(0, THEIR_V4.into()), Resolution::Known(THEIRS));
    }

    #[test]
    fn a_request_for_somebody_else_is_neither_answered_nor_learned() {
        let mut c = cache();
        let outcome = arp(&mut c, &ArpPacket::request(THEIRS, THEIR_V4, Ipv4Addr::new(198, 18, 0, 9)));
        assert_eq!((outcome, c.len()), (ArpOutcome::default(), 0));
    }

    #[test]
    fn an_address_probe_is_answered_without_learning() {
        let mut c = cache();
        let outcome = arp(&mut c, &ArpPacket::request(THEIRS, Ipv4Addr::UNSPECIFIED, OUR_V4));
        assert!(outcome.reply.is_some());
        assert_eq!(c.len(), 0);
    }

    #[test]
    fn the_reply_to_our_request_resolves() {
        let mut c = cache();
        c.resolve(0, THEIR_V4.into());
        let Some(Question::Arp { dst_mac, packet }) = question(OURS, OUR_V4.into(), THEIR_V4.into(), None)
        else {
            panic!("no question")
        };
        assert_eq!(dst_mac, MacAddr::BROADCAST);
        assert_eq!(arp(&mut c, &packet.reply_from(THEIRS)).resolved, Some(THEIR_V4));
    }

    #[test]
    fn a_claim_to_our_address_is_reported_and_not_learned() {
        let mut c = cache();
        let outcome = arp(&mut c, &ArpPacket::request(THEIRS, OUR_V4, OUR_V4));
        assert!(outcome.conflict && outcome.reply.is_none());
        assert_eq!(c.len(), 0);
    }

    #[test]
    fn a_solicitation_is_answered_with_our_link_address() {
        let mut c = cache();
        let outcome = ndp(&mut c, "fe80::2", "ff02::1:ff00:1", 255, &solicitation(Some(THEIRS)));
        let reply = outcome.reply.unwrap();
        assert_eq!((reply.src, reply.dst, reply.dst_mac), (v6("fe80::1"), v6("fe80::2"), THEIRS));
        assert_eq!(reply.message, advertisement("fe80::1", true, OURS));
        assert_eq!(c.resolve(0, v6("fe80::2").into()), Resolution::Known(THEIRS));
    }

    #[test]
    fn duplicate_address_detection_is_answered_to_all_nodes() {
        let mut c = cache();
        let outcome = ndp(&mut c, "::", "ff02::1:ff00:1", 255, &solicitation(None));
        let reply = outcome.reply.unwrap();
        assert_eq!((reply.dst, reply.dst_mac), (ALL_NODES, MacAddr([0x33, 0x33, 0, 0, 0, 1])));
        assert_eq!(reply.message, advertisement("fe80::1", false, OURS));
        assert_eq!(c.len(), 0);
    }

    #[test]
    fn messages_from_beyond_the_link_change_nothing() {
        let mut c = cache();
        let outcome = ndp(&mut c, "fe80::2", "fe80::1", 254, &solicitation(Some(THEIRS)));
        assert!(outcome.invalid && outcome.reply.is_none());
        assert!(ndp(&mut c, "::", "fe80::1", 255, &solicitation(None)).invalid);
        assert!(ndp(&mut c, "fe80::2", "ff02::1", 255, &advertisement("fe80::2", true, THEIRS)).invalid);
        assert_eq!(c.len(), 0);
    }

    #[test]
    fn the_advertisement_we_asked_for_resolves() {
        let mut c = cache();
        let target = v6("2001:db8::2");
        c.resolve(0, target.into());
        let Some(Question::Ndp(asked)) = question(OURS, v6("fe80::1").into(), target.into(), None) else {
            panic!("no question")
        };
        assert_eq!((asked.dst, asked.dst_mac), (v6("ff02::1:ff00:2"), MacAddr([0x33, 0x33, 0xff, 0, 0, 2])));
        let outcome = ndp(&mut c, "2001:db8::2", "fe80::1", 255, &advertisement("2001:db8::2", true, THEIRS));
        assert_eq!(outcome.resolved, Some(target));
        assert_eq!(c.resolve(0, target.into()), Resolution::Known(THEIRS));
    }
}
