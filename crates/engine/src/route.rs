//! Where to send a packet: the prefixes of the interface, its gateways, and our addresses on it.
//!
//! One table for one interface, filled from the kernel's routes or from `--ip` and `--gateway`. A lookup is
//! a walk over the routes of one family, longest prefix first; an interface has a handful, and a
//! connection looks up once and keeps the answer. Policy routing and multipath are the kernel's business:
//! of several equal routes the first known wins.

use std::cell::Cell;
use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// With more addresses than this they are looked up by their hash.
const FEW: usize = 8;

/// An address with the length of its prefix, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Prefix {
    addr: IpAddr,
    len: u8,
}

impl Prefix {
    /// A prefix; a length beyond the family's is cut to it. Host bits are kept.
    pub(crate) fn new(addr: IpAddr, len: u8) -> Self {
        Prefix { addr, len: len.min(bits_of(addr)) }
    }

    /// Everything of the family of `like`.
    pub(crate) fn default_of(like: IpAddr) -> Self {
        match like {
            IpAddr::V4(_) => Prefix { addr: Ipv4Addr::UNSPECIFIED.into(), len: 0 },
            IpAddr::V6(_) => Prefix { addr: Ipv6Addr::UNSPECIFIED.into(), len: 0 },
        }
    }

    /// The address, with its host bits.
    pub(crate) fn addr(&self) -> IpAddr {
        self.addr
    }

    /// The prefix with its host bits cleared.
    pub(crate) fn network(&self) -> Prefix {
        let addr = match self.addr {
            IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits() & mask32(self.len)).into(),
            IpAddr::V6(a) => Ipv6Addr::from_bits(a.to_bits() & mask128(self.len)).into(),
        };
        Prefix { addr, len: self.len }
    }

    /// Whether `ip` is under it.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        match (self.addr, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()) & mask32(self.len) == 0,
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()) & mask128(self.len) == 0,
            _ => false,
        }
    }

    /// The directed broadcast address, which prefixes of 31 and 32 bits do not have (RFC 3021).
    pub(crate) fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.addr {
            IpAddr::V4(a) if self.len < 31 => Some(Ipv4Addr::from_bits(a.to_bits() | !mask32(self.len))),
            _ => None,
        }
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

fn bits_of(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}

fn mask32(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
}

fn mask128(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteEntry {
    /// Destinations it is for.
    pub(crate) destination: Prefix,
    /// Router to send to; `None` if the destinations are on the link.
    pub(crate) gateway: Option<IpAddr>,
    /// Source address to prefer.
    pub(crate) source: Option<IpAddr>,
    /// Of two routes of the same length the smaller wins.
    pub(crate) metric: u32,
    /// Largest packet on this path, where it differs from the interface's.
    pub(crate) mtu: Option<u32>,
}

impl RouteEntry {
    /// A route to the prefix over the link itself.
    pub(crate) fn on_link(destination: Prefix) -> Self {
        RouteEntry { destination: destination.network(), gateway: None, source: None, metric: 0, mtu: None }
    }

    /// The route to everything else of the gateway's family.
    pub(crate) fn default_via(gateway: IpAddr) -> Self {
        let destination = Prefix::default_of(gateway);
        RouteEntry { destination, gateway: Some(gateway), source: None, metric: 0, mtu: None }
    }
}

/// How to reach a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    /// The neighbour to hand the packet to.
    pub(crate) next_hop: IpAddr,
    /// The address to send it from.
    pub(crate) source: IpAddr,
    /// Largest packet on this path, where it differs from the interface's.
    pub(crate) mtu: Option<u32>,
}

/// Addresses and routes of one interface.
#[derive(Debug, Clone, Default)]
pub(crate) struct RouteTable {
    addresses: Vec<Prefix>,
    /// The same to look up, when they are many.
    many: HashSet<IpAddr, BuildHasherDefault<ahash::AHasher>>,
    broadcasts: Vec<Ipv4Addr>,
    /// Longest prefix first, then the smaller metric, then the one known for longer.
    routes: Vec<RouteEntry>,
    /// The last answer: one destination after another is mostly the same one.
    last: Cell<Option<(IpAddr, Option<Route>)>>,
}

impl RouteTable {
    /// An empty table: everything is unreachable.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Our addresses, with their prefixes.
    pub(crate) fn addresses(&self) -> &[Prefix] {
        &self.addresses
    }

    /// Adds an address of ours and the route to its prefix.
    pub(crate) fn add_address(&mut self, prefix: Prefix) {
        self.add_address_only(prefix);
        if prefix.len < bits_of(prefix.addr) {
            self.add_route(RouteEntry::on_link(prefix));
        }
    }

    /// Adds an address of ours whose routes are added separately, as the kernel reports them.
    pub(crate) fn add_address_only(&mut self, prefix: Prefix) {
        if self.is_local(prefix.addr) {
            return;
        }
        self.addresses.push(prefix);
        self.index();
    }

    /// What is looked up follows what is there.
    fn index(&mut self) {
        self.last.set(None);
        match self.addresses.last() {
            Some(new) if self.many.len() + 1 == self.addresses.len() => drop(self.many.insert(new.addr)),
            _ => self.many = self.addresses.iter().map(Prefix::addr).collect(),
        }
        self.broadcasts = self.addresses.iter().filter_map(Prefix::broadcast).collect();
        self.broadcasts.sort_unstable();
        self.broadcasts.dedup();
    }

    /// Removes an address, and the route to its prefix unless another address is under it.
    pub(crate) fn remove_address(&mut self, addr: IpAddr) {
        let Some(at) = self.addresses.iter().position(|p| p.addr == addr) else { return };
        let gone = self.addresses.remove(at).network();
        self.many.clear();
        self.index();
        if !self.addresses.iter().any(|p| p.network() == gone) {
            self.routes.retain(|r| r.gateway.is_some() || r.destination != gone);
        }
        self.routes.retain(|r| r.source != Some(addr));
    }

    /// Adds a route; one with the same destination, gateway and metric is replaced.
    pub(crate) fn add_route(&mut self, mut entry: RouteEntry) {
        entry.destination = entry.destination.network();
        self.remove_route(&entry);
        let order = |r: &RouteEntry| (std::cmp::Reverse(r.destination.len), r.metric);
        let at = self.routes.partition_point(|r| order(r) <= order(&entry));
        self.routes.insert(at, entry);
    }

    /// Removes the route with this destination, gateway and metric.
    pub(crate) fn remove_route(&mut self, entry: &RouteEntry) {
        self.last.set(None);
        let destination = entry.destination.network();
        self.routes.retain(|r| {
            r.destination != destination || r.gateway != entry.gateway || r.metric != entry.metric
        });
    }

    /// Whether `ip` is an address of ours.
    pub(crate) fn is_local(&self, ip: IpAddr) -> bool {
        if self.addresses.len() > FEW {
            return self.many.contains(&ip);
        }
        self.addresses.iter().any(|p| p.addr == ip)
    }

    /// Whether `ip` reaches everyone on the link: limited or directed broadcast. No TCP for those (RFC 1122
    /// §4.2.3.10).
    pub(crate) fn is_broadcast(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(v4) => v4.is_broadcast() || self.broadcasts.contains(&v4),
            IpAddr::V6(_) => false,
        }
    }

    /// The way to `dst`: none without a route or an address to send from, nor to groups and broadcast, nor to
    /// ourselves, who cannot be reached over the wire.
    pub(crate) fn lookup(&self, dst: IpAddr) -> Option<Route> {
        if let Some((last, route)) = self.last.get()
            && last == dst
        {
            return route;
        }
        let route = self.find(dst);
        self.last.set(Some((dst, route)));
        route
    }

    fn find(&self, dst: IpAddr) -> Option<Route> {
        if dst.is_multicast() || dst.is_unspecified() || dst.is_loopback() || self.is_broadcast(dst) {
            return None;
        }
        if self.is_local(dst) {
            return None;
        }
        if is_link_local(dst) && dst.is_ipv6() {
            // Every interface has fe80::/10, with or without a line in the table (RFC 4291 §2.5.6).
            return Some(Route { next_hop: dst, source: self.source_for(dst, dst)?, mtu: None });
        }
        let route = self.routes.iter().find(|r| r.destination.contains(dst))?;
        let next_hop = route.gateway.unwrap_or(dst);
        let source = match route.source.filter(|&s| self.is_local(s)) {
            Some(source) => source,
            None => self.source_for(dst, next_hop)?,
        };
        Some(Route { next_hop, source, mtu: route.mtu })
    }

    /// The address of ours to send from: of the destination's family and scope, if possible under the
    /// prefix of the next hop, then sharing most bits with the destination (RFC 6724 §5, rules 2 and 8).
    fn source_for(&self, dst: IpAddr, next_hop: IpAddr) -> Option<IpAddr> {
        let candidates = self.addresses.iter().filter(|p| p.addr.is_ipv4() == dst.is_ipv4());
        let best = candidates.rev().max_by_key(|p| {
            let same_scope = is_link_local(p.addr) == is_link_local(dst);
            (same_scope, p.contains(next_hop), common_bits(p.addr, dst).min(p.len))
        })?;
        // A link-local source cannot be answered from beyond the link.
        let usable = !is_link_local(best.addr) || best.contains(dst) || is_link_local(dst);
        usable.then_some(best.addr)
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn common_bits(a: IpAddr, b: IpAddr) -> u8 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() as u8,
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() as u8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn prefix(text: &str) -> Prefix {
        let (addr, len) = text.split_once('/').unwrap();
        Prefix::new(ip(addr), len.parse().unwrap())
    }

    fn via(destination: &str, gateway: &str, metric: u32) -> RouteEntry {
        let gateway = Some(ip(gateway));
        RouteEntry { destination: prefix(destination), gateway, source: None, metric, mtu: None }
    }

    fn table() -> RouteTable {
        let mut t = RouteTable::new();
        t.add_address(prefix("198.18.0.1/24"));
        t.add_address(prefix("10.1.2.3/16"));
        t.add_address(prefix("fe80::1/64"));
        t.add_address(prefix("2001:db8::1/64"));
        t.add_route(RouteEntry::default_via(ip("198.18.0.254")));
        t.add_route(RouteEntry::default_via(ip("fe80::fe")));
        t
    }

    fn hop(t: &RouteTable, dst: &str) -> Option<(IpAddr, IpAddr)> {
        t.lookup(ip(dst)).map(|r| (r.next_hop, r.source))
    }

    #[test]
    fn a_neighbour_is_its_own_next_hop() {
        assert_eq!(hop(&table(), "198.18.0.9"), Some((ip("198.18.0.9"), ip("198.18.0.1"))));
        assert_eq!(hop(&table(), "10.1.9.9"), Some((ip("10.1.9.9"), ip("10.1.2.3"))));
    }

    #[test]
    fn everything_else_goes_to_the_gateway() {
        assert_eq!(hop(&table(), "8.8.8.8"), Some((ip("198.18.0.254"), ip("198.18.0.1"))));
    }

    #[test]
    fn the_longest_prefix_wins_then_the_smaller_metric() {
        let mut t = table();
        t.add_route(via("8.0.0.0/8", "198.18.0.8", 5));
        t.add_route(via("8.0.0.0/8", "198.18.0.7", 1));
        t.add_route(via("8.8.0.0/16", "10.1.0.1", 100));
        assert_eq!(hop(&t, "8.1.1.1"), Some((ip("198.18.0.7"), ip("198.18.0.1"))));
        assert_eq!(hop(&t, "8.8.1.1"), Some((ip("10.1.0.1"), ip("10.1.2.3"))));
        t.remove_route(&via("8.8.0.0/16", "10.1.0.1", 100));
        assert_eq!(hop(&t, "8.8.1.1"), Some((ip("198.18.0.7"), ip("198.18.0.1"))));
    }

    #[test]
    fn a_global_ipv6_destination_is_reached_from_a_global_address_by_a_link_local_gateway() {
        assert_eq!(hop(&table(), "2600::1"), Some((ip("fe80::fe"), ip("2001:db8::1"))));
        assert_eq!(hop(&table(), "fe80::5"), Some((ip("fe80::5"), ip("fe80::1"))));
        assert_eq!(hop(&table(), "2001:db8::9"), Some((ip("2001:db8::9"), ip("2001:db8::1"))));
    }

    #[test]
    fn a_link_local_source_does_not_leave_the_link() {
        let mut t = table();
        t.remove_address(ip("2001:db8::1"));
        assert_eq!(hop(&t, "2600::1"), None);
    }

    #[test]
    fn thousands_of_addresses_are_known_until_they_are_removed() {
        let mut t = RouteTable::new();
        let address = |n: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0001 + n));
        for n in 0..5_000 {
            t.add_address(Prefix::new(address(n), 8));
            assert_eq!(t.lookup(address(6_000)).map(|route| route.next_hop), Some(address(6_000)));
        }
        t.remove_address(address(17));
        assert!((0..5_000).all(|n| t.is_local(address(n)) == (n != 17)));
        assert!(!t.is_local(address(5_000)));
        assert!(t.lookup(address(17)).is_some() && t.lookup(address(18)).is_none());
        assert!(t.is_broadcast(ip("10.255.255.255")));
    }

    #[test]
    fn an_answer_is_forgotten_when_the_table_changes() {
        let mut t = table();
        let before = hop(&t, "9.9.9.9");
        t.add_route(via("9.0.0.0/8", "198.18.0.7", 0));
        assert_ne!(hop(&t, "9.9.9.9"), before);
        t.remove_route(&via("9.0.0.0/8", "198.18.0.7", 0));
        assert_eq!(hop(&t, "9.9.9.9"), before);
        t.add_address(prefix("9.9.9.9/32"));
        assert_eq!(hop(&t, "9.9.9.9"), None);
    }

    #[test]
    fn no_route_and_no_address_mean_unreachable() {
        let mut t = RouteTable::new();
        t.add_address(prefix("198.18.0.1/24"));
        assert_eq!(hop(&t, "8.8.8.8"), None);
        assert_eq!(hop(&t, "2001:db8::1"), None);
        t.add_route(RouteEntry::default_via(ip("fe80::1")));
        assert_eq!(hop(&t, "2001:db8::1"), None);
    }

    #[test]
    fn groups_broadcast_and_loopback_have_no_route() {
        for dst in ["224.0.0.1", "255.255.255.255", "198.18.0.255", "0.0.0.0", "127.0.0.1", "ff02::1", "::1"]
        {
            assert_eq!(hop(&table(), dst), None, "{dst}");
        }
        assert!(table().is_broadcast(ip("10.1.255.255")));
    }

    #[test]
    fn preferred_source_and_mtu_of_the_route_are_honoured() {
        let mut t = table();
        let entry = RouteEntry {
            source: Some(ip("10.1.2.3")),
            mtu: Some(1400),
            ..via("9.0.0.0/8", "198.18.0.254", 0)
        };
        t.add_route(entry);
        let route = t.lookup(ip("9.9.9.9")).unwrap();
        assert_eq!((route.source, route.mtu), (ip("10.1.2.3"), Some(1400)));
        t.remove_address(ip("10.1.2.3"));
        assert_eq!(hop(&t, "9.9.9.9"), Some((ip("198.18.0.254"), ip("198.18.0.1"))));
    }

    #[test]
    fn removing_an_address_removes_its_prefix_unless_shared() {
        let mut t = table();
        t.add_address(prefix("198.18.0.2/24"));
        t.remove_address(ip("198.18.0.1"));
        assert_eq!(hop(&t, "198.18.0.9"), Some((ip("198.18.0.9"), ip("198.18.0.2"))));
        t.remove_address(ip("198.18.0.2"));
        assert_eq!(hop(&t, "198.18.0.9").map(|h| h.0), Some(ip("198.18.0.254")));
    }

    proptest! {
        #[test]
        fn finds_what_a_comparison_of_bit_strings_finds(
            routes in prop::collection::vec((any::<u32>(), 0u8..=32, 0u32..3), 0..24),
            base in any::<u32>(),
            flips in 0u32..32,
        ) {
            let mut t = RouteTable::new();
            t.add_address_only(prefix("198.18.0.1/32"));
            let entries: Vec<RouteEntry> = routes
                .iter()
                .enumerate()
                .map(|(n, &(addr, len, metric))| {
                    // Half of them near the destination, so that several match.
                    let addr = if n % 2 == 0 { base } else { addr };
                    let gateway = Some(IpAddr::from([10, 0, 0, n as u8]));
                    let destination = Prefix::new(Ipv4Addr::from_bits(addr).into(), len);
                    RouteEntry { destination, gateway, source: None, metric, mtu: None }
                })
                .collect();
            for &entry in &entries {
                t.add_route(entry);
            }
            let dst = Ipv4Addr::from_bits(base ^ (1 << flips));
            prop_assume!(!dst.is_multicast() && !dst.is_loopback() && !dst.is_broadcast() && !dst.is_unspecified());
            let text = |a: IpAddr| match a { IpAddr::V4(a) => format!("{:032b}", a.to_bits()), IpAddr::V6(_) => String::new() };
            let want = entries
                .iter()
                .enumerate()
                .filter(|(_, e)| {
                    text(dst.into())[..e.destination.len as usize] == text(e.destination.addr)[..e.destination.len as usize]
                })
                .max_by_key(|(n, e)| (e.destination.len, u32::MAX - e.metric, usize::MAX - n))
                .and_then(|(_, e)| e.gateway);
            prop_assert_eq!(t.lookup(dst.into()).map(|r| r.next_hop), want);
        }
    }
}
