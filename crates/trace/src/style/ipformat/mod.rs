//! The layout of ipformat, the tool that printed what IBM's iptrace had captured: every field of every header on a line of
//! its own, bit by bit where it has bits, checksums verified, and the data in hexadecimal.
//!
//! Frames of PPP are given their headers back where Van Jacobson's compression has taken them, and their length on the serial
//! line is told: *compressed and unfiltered*, with flag, check sequence and what is escaped. The packet's own length is then
//! that of its protocol field and the whole packet; for what is not compressed it is that of the frame with flag and check
//! sequence.

mod ip;
mod link;
mod transport;

use std::io::{self, Write};

use super::Style;
use crate::layers::{Dissection, Network, Transport, dissect};
use crate::ppp::hdlc::{AsyncMap, line_len};
use crate::ppp::{Carried, Code, LcpOption, Link, Message, Unwrapped};
use crate::record::{Direction, LinkType, Record, Timestamp};
use crate::vj::Kind;

/// The width of the lines that separate headers.
const WIDTH: usize = 57;

/// The style.
pub struct Ipformat {
    last: Option<Timestamp>,
    lines: Vec<SerialLine>,
}

/// A PPP interface of the capture.
struct SerialLine {
    interface: u32,
    link: Link,
    sent: AsyncMap,
    received: AsyncMap,
}

/// Captures have few serial lines. Others beyond these share the last one's state.
const MOST_LINES: usize = 64;

impl Default for Ipformat {
    fn default() -> Self {
        Self::new()
    }
}

impl Ipformat {
    /// One that has printed nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { last: None, lines: Vec::new() }
    }

    fn serial_line(&mut self, interface: u32) -> &mut SerialLine {
        let known = self.lines.iter().position(|line| line.interface == interface);
        let place = known.unwrap_or_else(|| {
            if self.lines.len() < MOST_LINES {
                let map = AsyncMap::XON_XOFF;
                self.lines.push(SerialLine { interface, link: Link::new(), sent: map, received: map });
            }
            self.lines.len() - 1
        });
        &mut self.lines[place]
    }

    fn serial(&mut self, record: &Record<'_>, delta: i64, out: &mut dyn Write) -> io::Result<()> {
        let SerialLine { link, sent, received, .. } = self.serial_line(record.interface.unwrap_or(0));
        let Some(unwrapped) = link.unwrap(record) else {
            head(record.number, delta, record.original_len as usize, out)?;
            return data(record.data, out);
        };
        let (frame, header) = (unwrapped.frame, unwrapped.header);
        let map = match unwrapped.direction {
            Some(Direction::In) => *received,
            _ => *sent,
        };
        // The link's own packets are sent as if nothing had been agreed on (RFC 1662 §7.1).
        let map = if is_basic(&unwrapped) { AsyncMap::ALL } else { map };
        let on_line = (record.missing() == 0).then(|| line_len(frame, map));
        let plain = frame.len() + record.missing() + 3;
        let (len, unfiltered) = match unwrapped.carried {
            Carried::Packet(packet, Kind::UncompressedTcp | Kind::CompressedTcp) => {
                let stated = crate::layers::Ipv4::parse(packet).map_or(0, |ip| usize::from(ip.total_len));
                (usize::from(header.protocol_len) + stated, on_line)
            }
            Carried::Tossed(..) => (frame.len() + record.missing(), on_line),
            _ => (plain, on_line.filter(|&on_line| on_line != plain)),
        };
        head(record.number, delta, len, out)?;
        link::ppp(&unwrapped, unfiltered, out)?;
        match unwrapped.carried {
            Carried::Packet(packet, _) => {
                let version = packet.first().map_or(0, |first| first >> 4);
                let link = if version == 6 { LinkType::IPV6 } else { LinkType::IPV4 };
                packet_of(&dissect(link, packet), packet, out)?;
            }
            Carried::Tossed(_, why) => {
                writeln!(out, " PPP:  Not expanded: {why}")?;
                data(&frame[header.len().min(frame.len())..], out)?;
            }
            Carried::Other(payload) => match Message::read(header.protocol, payload) {
                Some(message) => link::control(header.protocol, &message, out)?,
                None => data(payload, out)?,
            },
        }
        if let Some((direction, agreed)) = agreed_map(&unwrapped) {
            match direction {
                Direction::Out => *sent = agreed,
                Direction::In => *received = agreed,
            }
        }
        Ok(())
    }
}

impl Style for Ipformat {
    fn record(&mut self, record: &Record<'_>, out: &mut dyn Write) -> io::Result<()> {
        let delta = self.last.map_or(0, |last| record.time.since(last));
        self.last = Some(record.time);
        if Link::has(record.link) {
            return self.serial(record, delta, out);
        }
        head(record.number, delta, record.original_len as usize, out)?;
        let dissection = dissect(record.link, record.data);
        link::header(&dissection, out)?;
        let network = dissection.offsets.network.unwrap_or(0);
        packet_of(&dissection, record.data.get(network..).unwrap_or_default(), out)
    }

    fn failed(&mut self, error: &str, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, " The capture ends here: {error}")
    }
}

/// A line across, with a title in it.
fn separator(title: &str, out: &mut dyn Write) -> io::Result<()> {
    let dashes = WIDTH.saturating_sub(title.len() + 2);
    let left = dashes / 2;
    writeln!(out, "{:-<left$} {title} {:-<right$}", "", "", right = dashes - left)
}

fn head(number: u64, delta: i64, len: usize, out: &mut dyn Write) -> io::Result<()> {
    separator(&format!("#:{number}"), out)?;
    // Rounded to milliseconds, as the tool's clock was.
    let millis = delta.saturating_add(500_000).div_euclid(1_000_000);
    let (sign, millis) = (if millis < 0 { "-" } else { "" }, millis.unsigned_abs());
    let seconds = format!("{sign}{}.{:03}", millis / 1000, millis % 1000);
    writeln!(out, " Delta Time: {seconds:>9}sec   Packet Length: {len} bytes ({len:X} hex)")
}

/// A packet from its network header on. `bytes` begin there.
fn packet_of(dissection: &Dissection<'_>, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
    match &dissection.network {
        Network::Ipv4(ip) => ip::v4(ip, out)?,
        Network::Ipv6(ip) => ip::v6(ip, out)?,
        Network::Arp(arp) => return link::arp(arp, out),
        Network::Cut { .. } | Network::Other { .. } | Network::None => return data(bytes, out),
    }
    let start = dissection.offsets.network.unwrap_or(0);
    let above = dissection.offsets.transport.map_or(0, |at| at.saturating_sub(start));
    let data_at = dissection.offsets.payload.saturating_sub(start);
    let data_end = data_at + dissection.payload.len();
    let segment = bytes.get(above..data_end).unwrap_or_default();
    // A checksum can be verified over what is whole.
    let whole = dissection.payload.len() == dissection.payload_len && !dissection.truncated;
    let is_fragment = match &dissection.network {
        Network::Ipv4(ip) => ip.is_fragment(),
        Network::Ipv6(ip) => ip.fragment.is_some(),
        _ => false,
    };
    let segment = (whole && !is_fragment).then_some(segment);
    match &dissection.transport {
        Transport::Tcp(tcp) => transport::tcp(tcp, &dissection.network, segment, out)?,
        Transport::Udp(udp) => transport::udp(udp, &dissection.network, segment, out)?,
        Transport::Icmpv4(icmp) => transport::icmp("ICMP", icmp, &dissection.network, segment, out)?,
        Transport::Icmpv6(icmp) => transport::icmp("ICMPV6", icmp, &dissection.network, segment, out)?,
        Transport::Fragment { .. } | Transport::Cut { .. } | Transport::Other { .. } | Transport::None => {}
    }
    if dissection.payload.is_empty() { Ok(()) } else { data(dissection.payload, out) }
}

/// Bytes in hexadecimal and as characters.
fn data(bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
    const ROW: usize = 16;
    if bytes.is_empty() {
        return Ok(());
    }
    separator("DATA", out)?;
    for (row, bytes) in bytes.chunks(ROW).enumerate() {
        write!(out, " {:04X}  ", row * ROW)?;
        for byte in bytes {
            write!(out, " {byte:02X}")?;
        }
        write!(out, "{:width$}   ", "", width = (ROW - bytes.len()) * 3)?;
        for &byte in bytes {
            out.write_all(&[if matches!(byte, b' '..=b'~') { byte } else { b'.' }])?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Whether a checksum is right, in brackets. `expected` is what it should be; nothing where it cannot be told.
fn verdict(stated: u16, expected: Option<u16>) -> String {
    match expected {
        // Both are zero in ones' complement.
        Some(expected) if stated == expected || (stated | expected == 0xffff && stated & expected == 0) => {
            "(Correct)".to_owned()
        }
        Some(expected) => format!("(Incorrect, should be {expected:04X})"),
        None => "(Not Verified)".to_owned(),
    }
}

/// LCP packets with codes 1 to 7 go with every control character escaped.
fn is_basic(unwrapped: &Unwrapped<'_>) -> bool {
    let Carried::Other(payload) = unwrapped.carried else { return false };
    matches!(
        Message::read(unwrapped.header.protocol, payload),
        Some(Message::Lcp(packet)) if matches!(packet.code, Code(1..=7))
    )
}

/// The map that an acknowledgement of LCP settles, and for whose frames: who acknowledges escapes what was asked for.
fn agreed_map(unwrapped: &Unwrapped<'_>) -> Option<(Direction, AsyncMap)> {
    let (direction, Carried::Other(payload)) = (unwrapped.direction?, unwrapped.carried) else { return None };
    let Message::Lcp(packet) = Message::read(unwrapped.header.protocol, payload)? else { return None };
    if packet.code != Code::CONFIGURE_ACK {
        return None;
    }
    let asked = packet.items().find_map(|item| match LcpOption::read(item) {
        LcpOption::AsyncMap(map) => Some(map),
        _ => None,
    });
    Some((direction, asked.unwrap_or(AsyncMap::ALL)))
}
