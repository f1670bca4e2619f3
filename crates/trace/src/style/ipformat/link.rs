//! Ethernet, ARP and PPP.

use std::fmt;
use std::io::{self, Write};

use super::separator;
use crate::layers::{Arp, Dissection, Link, Network, ethertype};
use crate::ppp::{CcpOption, Control, IpcpOption, LcpOption, Message, Protocol, Unwrapped};
use crate::record::Direction;

/// A hardware address.
struct Hardware<'a>(&'a [u8]);

impl fmt::Display for Hardware<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        self.0.iter().try_for_each(|byte| {
            write!(f, "{between}{byte:02X}")?;
            between = ":";
            Ok(())
        })
    }
}

fn type_name(ethertype: u16) -> &'static str {
    match ethertype {
        ethertype::IPV4 => "IP",
        ethertype::ARP => "ARP",
        ethertype::IPV6 => "IPv6",
        0x8035 => "RARP",
        0..1536 => "802.3 length",
        _ => "Unknown",
    }
}

/// The header of the link, where it has one that says something.
pub(super) fn header(dissection: &Dissection<'_>, out: &mut dyn Write) -> io::Result<()> {
    match &dissection.link {
        Link::Ethernet { destination, source, ethertype } => {
            separator("DIX HEADER", out)?;
            writeln!(out, " DIX:  Dest: {}   Source: {}", Hardware(destination), Hardware(source))?;
            writeln!(out, " DIX:  Type: {ethertype:04X} {}", type_name(*ethertype))?;
        }
        Link::Cooked { packet_type, address, address_len, protocol, .. } => {
            separator("LINK HEADER", out)?;
            let whither = match packet_type {
                0 => "To this host",
                1 => "Broadcast",
                2 => "Multicast",
                3 => "To another host",
                4 => "From this host",
                _ => "Unknown",
            };
            let address = &address[..usize::from(*address_len).min(address.len())];
            writeln!(out, " LINK: {whither}   Source: {}", Hardware(address))?;
            writeln!(out, " LINK: Type: {protocol:04X} {}", type_name(*protocol))?;
        }
        Link::Ppp { .. } | Link::Null { .. } | Link::Raw | Link::Unknown => {}
    }
    for vlan in &dissection.vlans {
        writeln!(out, " VLAN: Id: {}   Priority: {}", vlan.id(), vlan.priority())?;
    }
    if let Network::Other { ethertype } | Network::Cut { ethertype } = dissection.network {
        writeln!(out, " Type: {ethertype:04X} {}", type_name(ethertype))?;
    }
    Ok(())
}

/// An ARP packet.
pub(super) fn arp(arp: &Arp<'_>, out: &mut dyn Write) -> io::Result<()> {
    separator("ARP HEADER", out)?;
    let operation = match arp.operation {
        1 => "ARP Request",
        2 => "ARP Reply",
        3 => "RARP Request",
        4 => "RARP Reply",
        _ => "Unknown",
    };
    let (hardware, protocol) = (arp.hardware, arp.protocol);
    writeln!(out, " ARP:  Hardware Type: {hardware}   Protocol Type: {protocol:04X}")?;
    writeln!(out, " ARP:  Operation: {} {operation}", arp.operation)?;
    let pair = |who, hardware, protocol: &[u8], out: &mut dyn Write| {
        write!(out, " ARP:  {who} Hardware: {}   {who} IP: ", Hardware(hardware))?;
        match <[u8; 4]>::try_from(protocol) {
            Ok(address) => writeln!(out, "{}", super::ip::Padded(address.into())),
            Err(_) => writeln!(out, "{}", Hardware(protocol)),
        }
    };
    pair("Sender", arp.sender_hardware, arp.sender_protocol, out)?;
    pair("Target", arp.target_hardware, arp.target_protocol, out)
}

/// What stands before the payload of a PPP frame, and its length on the line where that is another.
pub(super) fn ppp(
    unwrapped: &Unwrapped<'_>,
    unfiltered: Option<usize>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let protocol = unwrapped.header.protocol;
    let direction = match unwrapped.direction {
        Some(Direction::Out) => "   Sent",
        Some(Direction::In) => "   Received",
        None => "",
    };
    let name = protocol.name().unwrap_or("Unknown");
    writeln!(out, " PPP:  Protocol: {:02X} {name}{direction}", protocol.0)?;
    match unfiltered {
        Some(len) => writeln!(out, " PPP:  Compressed and Unfiltered Length: {len} bytes ({len:X} hex)"),
        None => Ok(()),
    }
}

/// A packet that sets the link up.
pub(super) fn control(protocol: Protocol, message: &Message<'_>, out: &mut dyn Write) -> io::Result<()> {
    let name = protocol.name().unwrap_or("PPP");
    separator(&format!("{name} HEADER"), out)?;
    let label = format!("{name}:");
    let packet = message.packet();
    let code = message.code_name().unwrap_or("Unknown");
    writeln!(out, " {label:<5} Code: {} {code}   Id: {}", packet.code.0, packet.identifier)?;
    writeln!(out, " {label:<5} Length: {} bytes", packet.length)?;
    match message {
        Message::Lcp(packet) => options(&label, packet, LcpOption::read, out),
        Message::Ipcp(packet) => options(&label, packet, IpcpOption::read, out),
        Message::Ccp(packet) => options(&label, packet, CcpOption::read, out),
        Message::Ncp(_, packet) => options(&label, packet, |(kind, data)| LcpOption::Other(kind, data), out),
        Message::Pap(..) | Message::Chap(..) => {
            // The sentence without what was said already.
            let line = message.to_string();
            match line.split_once(": ") {
                Some((_, said)) => writeln!(out, " {label:<5} {said}"),
                None => Ok(()),
            }
        }
    }
}

fn options<'a, T: fmt::Display>(
    label: &str,
    packet: &Control<'a>,
    read: impl Fn((u8, &'a [u8])) -> T,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut items = packet.items();
    for item in items.by_ref() {
        writeln!(out, " {label:<5}     {}", read(item))?;
    }
    let has_options = matches!(packet.code.0, 1..=4);
    super::data(if has_options { items.rest() } else { packet.body }, out)
}
