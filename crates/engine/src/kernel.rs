//! What the kernel knows about one interface, and what changes there.
//!
//! [`Interface::read`] takes stock at start: link, addresses, routes and neighbours. [`KernelWatch`]
//! then reports every change as a [`KernelEvent`]. Where the engine shares an address with the kernel, the
//! kernel also resolves neighbours: [`KernelNeighbors::ask`] makes it, the answer comes as an event.
//!
//! Only the control plane calls this. Routes of the main table are followed; policy routing is not.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use bypath_wire::ethernet::MacAddr;
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHopFlags,
    RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::RouteSocket;
use crate::route::{Prefix, RouteEntry};

/// RTNLGRP_* of linux/rtnetlink.h.
const GROUP_LINK: u32 = 1;
const GROUP_NEIGH: u32 = 3;
const GROUP_IPV4_IFADDR: u32 = 5;
const GROUP_IPV4_ROUTE: u32 = 7;
const GROUP_IPV6_IFADDR: u32 = 9;
const GROUP_IPV6_ROUTE: u32 = 11;

/// A neighbour with a link address that the kernel would use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KernelNeighbor {
    /// Its address.
    pub(crate) ip: IpAddr,
    /// Its link address.
    pub(crate) mac: MacAddr,
    /// Configured by hand: never checked, never dropped.
    pub(crate) permanent: bool,
}

/// The state of an interface at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Kernel index, unique in the namespace.
    pub(crate) index: u32,
    /// Name.
    pub(crate) name: String,
    /// Link address.
    pub(crate) mac: MacAddr,
    /// Largest packet in bytes, without the link header.
    pub(crate) mtu: u32,
    /// Administratively up.
    pub(crate) up: bool,
    /// Connected to a peer.
    pub(crate) carrier: bool,
    /// Addresses, with their prefixes; those still being checked for duplicates are left out.
    pub(crate) addresses: Vec<Prefix>,
    /// Unicast routes of the main table that leave through this interface.
    pub(crate) routes: Vec<RouteEntry>,
    /// Neighbours on it.
    pub(crate) neighbors: Vec<KernelNeighbor>,
}

impl Interface {
    /// Reads the interface `name` in the namespace of the calling thread.
    ///
    /// Fails with `NotFound` if there is no such interface.
    pub(crate) fn read(name: &str) -> io::Result<Self> {
        Self::read_with(&mut RouteSocket::open()?, name)
    }

    fn read_with(socket: &mut RouteSocket, name: &str) -> io::Result<Self> {
        let mut request = LinkMessage::default();
        request.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let found =
            socket.get(RouteNetlinkMessage::GetLink(request)).map_err(|e| match e.raw_os_error() {
                Some(libc::ENODEV | libc::ERANGE | libc::EINVAL) => no_such_interface(name),
                _ => e,
            })?;
        let link = found.iter().find_map(|m| match m {
            RouteNetlinkMessage::NewLink(link) => Some(Link::from(link)),
            _ => None,
        });
        let link = link.ok_or_else(|| no_such_interface(name))?;
        let mut this = Interface {
            index: link.index,
            name: name.to_owned(),
            mac: link.mac,
            mtu: link.mtu,
            up: link.up,
            carrier: link.carrier,
            addresses: Vec::new(),
            routes: Vec::new(),
            neighbors: Vec::new(),
        };
        let tables = [
            RouteNetlinkMessage::GetAddress(AddressMessage::default()),
            RouteNetlinkMessage::GetRoute(RouteMessage::default()),
            RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()),
        ];
        for table in &tables {
            for message in socket.dump(table)? {
                match message {
                    RouteNetlinkMessage::NewAddress(m) => this.addresses.extend(address(&m, this.index)),
                    RouteNetlinkMessage::NewRoute(m) => this.routes.extend(route(&m, this.index)),
                    RouteNetlinkMessage::NewNeighbour(m) => {
                        if let Some((ip, Some((mac, permanent)))) = neighbor(&m, this.index) {
                            this.neighbors.push(KernelNeighbor { ip, mac, permanent });
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(this)
    }
}

fn no_such_interface(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no interface {name:?} in this network namespace"))
}

/// Something changed on the interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KernelEvent {
    /// Up, and connected.
    LinkUp,
    /// Set down, or the other end went away.
    LinkDown,
    /// The interface was removed or moved to another namespace.
    LinkGone,
    /// Largest packet in bytes, without the link header.
    MtuChanged(u32),
    /// The interface has another link address.
    MacChanged(MacAddr),
    /// An address can be used; also reported again when its attributes change.
    AddressAdded(Prefix),
    /// An address is gone.
    AddressRemoved(Prefix),
    /// A route appeared or changed.
    RouteAdded(RouteEntry),
    /// A route is gone.
    RouteRemoved(RouteEntry),
    /// The kernel has a link address for this neighbour, new or confirmed.
    NeighborLearned(KernelNeighbor),
    /// The kernel gave up on this neighbour, or dropped it.
    NeighborGone(IpAddr),
    /// Changes were lost: read the interface again.
    Overrun,
}

/// Reports changes of one interface. Its fd is readable when there is something to report.
#[derive(Debug)]
pub(crate) struct KernelWatch {
    socket: RouteSocket,
    link: Link,
    incoming: VecDeque<RouteNetlinkMessage>,
    events: VecDeque<KernelEvent>,
}

impl KernelWatch {
    /// Starts to watch, and takes stock after that, so that no change falls in between.
    pub(crate) fn start(name: &str) -> io::Result<(Interface, Self)> {
        let socket = RouteSocket::subscribe(&[
            GROUP_LINK,
            GROUP_NEIGH,
            GROUP_IPV4_IFADDR,
            GROUP_IPV4_ROUTE,
            GROUP_IPV6_IFADDR,
            GROUP_IPV6_ROUTE,
        ])?;
        let state = Interface::read(name)?;
        let link =
            Link { index: state.index, mac: state.mac, mtu: state.mtu, up: state.up, carrier: state.carrier };
        Ok((state, KernelWatch { socket, link, incoming: VecDeque::new(), events: VecDeque::new() }))
    }

    /// The next event, waiting up to `timeout` for it; `None` waits for ever.
    ///
    /// Changes of other interfaces end the wait early with no event.
    pub(crate) fn poll(&mut self, timeout: Option<Duration>) -> io::Result<Option<KernelEvent>> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        match self.socket.notifications(timeout, &mut self.incoming) {
            Ok(_) => {}
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Some(KernelEvent::Overrun)),
            Err(e) => return Err(e),
        }
        while let Some(message) = self.incoming.pop_front() {
            self.translate(&message);
        }
        Ok(self.events.pop_front())
    }

    fn translate(&mut self, message: &RouteNetlinkMessage) {
        let index = self.link.index;
        match message {
            RouteNetlinkMessage::NewLink(m) if m.header.index == index => self.link_changed(Link::from(m)),
            // Leaving a bridge is announced with the same message, for the bridge's own family.
            RouteNetlinkMessage::DelLink(m)
                if m.header.index == index && m.header.interface_family == AddressFamily::Unspec =>
            {
                self.events.push_back(KernelEvent::LinkGone);
            }
            RouteNetlinkMessage::NewAddress(m) => {
                self.events.extend(address(m, index).map(KernelEvent::AddressAdded));
            }
            RouteNetlinkMessage::DelAddress(m) => {
                self.events.extend(address(m, index).map(KernelEvent::AddressRemoved));
            }
            RouteNetlinkMessage::NewRoute(m) => {
                self.events.extend(route(m, index).map(KernelEvent::RouteAdded));
            }
            RouteNetlinkMessage::DelRoute(m) => {
                self.events.extend(route(m, index).map(KernelEvent::RouteRemoved));
            }
            RouteNetlinkMessage::NewNeighbour(m) => match neighbor(m, index) {
                Some((ip, Some((mac, permanent)))) => {
                    let neighbor = KernelNeighbor { ip, mac, permanent };
                    self.events.push_back(KernelEvent::NeighborLearned(neighbor));
                }
                Some((ip, None)) if m.header.state == NeighbourState::Failed => {
                    self.events.push_back(KernelEvent::NeighborGone(ip));
                }
                _ => {}
            },
            RouteNetlinkMessage::DelNeighbour(m) => {
                self.events.extend(neighbor(m, index).map(|(ip, _)| KernelEvent::NeighborGone(ip)));
            }
            _ => {}
        }
    }

    fn link_changed(&mut self, new: Link) {
        let old = std::mem::replace(&mut self.link, new);
        if new.mtu != old.mtu {
            self.events.push_back(KernelEvent::MtuChanged(new.mtu));
        }
        if new.mac != old.mac {
            self.events.push_back(KernelEvent::MacChanged(new.mac));
        }
        match (old.up && old.carrier, new.up && new.carrier) {
            (false, true) => self.events.push_back(KernelEvent::LinkUp),
            (true, false) => self.events.push_back(KernelEvent::LinkDown),
            _ => {}
        }
    }
}

impl AsFd for KernelWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Requests to the kernel about the neighbours of one interface.
#[derive(Debug)]
pub(crate) struct KernelNeighbors {
    socket: RouteSocket,
    index: u32,
}

impl KernelNeighbors {
    /// For the interface with this index, in the namespace of the calling thread.
    pub(crate) fn open(index: u32) -> io::Result<Self> {
        Ok(KernelNeighbors { socket: RouteSocket::open()?, index })
    }

    /// Makes the kernel resolve `ip`, or check it if it has not been confirmed for a while, as if it wanted
    /// to send a packet there. The result arrives as an event.
    pub(crate) fn ask(&mut self, ip: IpAddr) -> io::Result<()> {
        let mut message = self.message(ip, NeighbourState::None);
        message.header.flags = NeighbourFlags::Use;
        self.socket.request(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE)
    }

    fn message(&self, ip: IpAddr, state: NeighbourState) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        let (family, address) = match ip {
            IpAddr::V4(v4) => (AddressFamily::Inet, NeighbourAddress::Inet(v4)),
            IpAddr::V6(v6) => (AddressFamily::Inet6, NeighbourAddress::Inet6(v6)),
        };
        message.header.family = family;
        message.header.ifindex = self.index;
        message.header.state = state;
        message.header.kind = RouteType::Unicast;
        message.attributes.push(NeighbourAttribute::Destination(address));
        message
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link {
    index: u32,
    mac: MacAddr,
    mtu: u32,
    up: bool,
    carrier: bool,
}

impl From<&LinkMessage> for Link {
    fn from(message: &LinkMessage) -> Self {
        let mut mac = MacAddr::UNSPECIFIED;
        let mut mtu = 0;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::Address(bytes) => mac = mac_of(bytes).unwrap_or(mac),
                LinkAttribute::Mtu(value) => mtu = *value,
                _ => {}
            }
        }
        let flags = message.header.flags;
        Link {
            index: message.header.index,
            mac,
            mtu,
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
        }
    }
}

fn mac_of(bytes: &[u8]) -> Option<MacAddr> {
    Some(MacAddr(bytes.try_into().ok()?))
}

fn address(message: &AddressMessage, index: u32) -> Option<Prefix> {
    let unusable = AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed;
    let optimistic = message.header.flags.contains(AddressHeaderFlags::Optimistic);
    if message.header.index != index || message.header.flags.intersects(unusable) && !optimistic {
        return None;
    }
    let mut ip = None;
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link IFA_ADDRESS is the peer, IFA_LOCAL ours; IPv6 has only the first
            // unless there is a peer.
            AddressAttribute::Local(local) => ip = Some(*local),
            AddressAttribute::Address(address) => ip = ip.or(Some(*address)),
            _ => {}
        }
    }
    Some(Prefix::new(ip?, message.header.prefix_len))
}

fn route(message: &RouteMessage, index: u32) -> Option<RouteEntry> {
    let header = &message.header;
    let default = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let mut table = u32::from(header.table);
    let mut out = None;
    let (mut gateway, mut via) = (None, None);
    let mut entry = RouteEntry {
        destination: Prefix::new(default, header.destination_prefix_length),
        gateway: None,
        source: None,
        metric: 0,
        mtu: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(value) => table = *value,
            RouteAttribute::Destination(address) => {
                entry.destination = Prefix::new(ip_of(address)?, header.destination_prefix_length);
            }
            RouteAttribute::Oif(value) => out = Some(*value),
            RouteAttribute::Gateway(address) => gateway = ip_of(address),
            RouteAttribute::Via(address) => via = via_of(address),
            RouteAttribute::PrefSource(address) => entry.source = ip_of(address),
            RouteAttribute::Priority(value) => entry.metric = *value,
            RouteAttribute::Metrics(metrics) => {
                entry.mtu = metrics.iter().find_map(|m| match m {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            RouteAttribute::MultiPath(hops) => {
                let usable = |flags: RouteNextHopFlags| !flags.contains(RouteNextHopFlags::Dead);
                if let Some(hop) = hops.iter().find(|h| h.interface_index == index && usable(h.flags)) {
                    out = Some(index);
                    for attribute in &hop.attributes {
                        match attribute {
                            RouteAttribute::Gateway(address) => gateway = ip_of(address),
                            RouteAttribute::Via(address) => via = via_of(address),
                            _ => {}
                        }
                    }
                }
            }
            _ => {}
        }
    }
    entry.gateway = gateway.or(via);
    let unusable = RouteFlags::Dead | RouteFlags::Cloned;
    let ours = out == Some(index)
        && table == u32::from(RouteHeader::RT_TABLE_MAIN)
        && header.kind == RouteType::Unicast
        && !header.flags.intersects(unusable);
    ours.then_some(entry)
}

fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

fn via_of(address: &RouteVia) -> Option<IpAddr> {
    match address {
        RouteVia::Inet(v4) => Some((*v4).into()),
        RouteVia::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

/// The neighbour's address, and its link address if the kernel would use it, with whether it is permanent.
fn neighbor(message: &NeighbourMessage, index: u32) -> Option<(IpAddr, Option<(MacAddr, bool)>)> {
    if message.header.ifindex != index || message.header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let (mut ip, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => ip = Some(IpAddr::from(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => ip = Some(IpAddr::from(*v6)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = mac_of(bytes),
            _ => {}
        }
    }
    let usable = match message.header.state {
        NeighbourState::Reachable | NeighbourState::Stale | NeighbourState::Delay | NeighbourState::Probe => {
            mac.map(|mac| (mac, false))
        }
        NeighbourState::Permanent => mac.map(|mac| (mac, true)),
        // The kernel's entries for groups and for interfaces without ARP are of no use here.
        _ => None,
    };
    Some((ip?, usable))
}

#[cfg(test)]
mod tests;
