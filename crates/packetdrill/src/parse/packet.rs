//! Packets: `[ect0] P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 1 ecr 2>`, and ICMP errors.

use super::tcp_options;
use crate::cursor::Cursor;
use crate::failure::Trouble;
use crate::script::{Body, IcmpSpec, IpSpec, PacketSpec, TcpSpec, Tos, flag};

/// What follows `<` or `>`.
pub(super) fn packet(cursor: &mut Cursor<'_>, inbound: bool) -> Result<PacketSpec, Trouble> {
    let ip = ip(cursor)?;
    match cursor.peek_word() {
        "icmp" => {
            if !inbound {
                return Err(cursor.trouble("ICMP messages that the stack sends are not looked at"));
            }
            return Ok(PacketSpec { ip, ports: None, body: Body::Icmp(icmp(cursor)?) });
        }
        other @ ("udp" | "gre" | "GREv0" | "mpls" | "ipv4" | "ipv6") => {
            return Err(cursor.trouble(format!("`{other}` packets are not spoken here")));
        }
        _ => {}
    }
    let ports = ports(cursor)?;
    let flags = flags(cursor)?;
    let (seq, len) = sequence(cursor)?;
    let ack = if cursor.eat_word("ack") { Some(cursor.unsigned::<u32>()?) } else { None };
    let window = if cursor.eat_word("win") { Some(cursor.unsigned::<u16>()?) } else { None };
    let urgent = if cursor.eat_word("urg") { cursor.unsigned::<u16>()? } else { 0 };
    let options = tcp_options::options(cursor, inbound)?;
    if flags & flag::ACK == 0 && ack.is_some_and(|ack| ack != 0) {
        return Err(cursor.trouble("`ack` without the flag `.`"));
    }
    let tcp = TcpSpec { flags, seq, len, ack: ack.unwrap_or(0), window, urgent, options };
    Ok(PacketSpec { ip, ports, body: Body::Tcp(tcp) })
}

fn ip(cursor: &mut Cursor<'_>) -> Result<IpSpec, Trouble> {
    let mut ip = IpSpec::default();
    let close = if cursor.eat("[") {
        "]"
    } else if cursor.eat("(") {
        ")"
    } else {
        return Ok(ip);
    };
    loop {
        match cursor.word()? {
            "ect0" => ip.tos = Some(Tos::Ecn(2)),
            "ect1" => ip.tos = Some(Tos::Ecn(1)),
            "ce" => ip.tos = Some(Tos::Ecn(3)),
            "noecn" => ip.tos = Some(Tos::Ecn(0)),
            "ect01" => ip.tos = Some(Tos::Ect01),
            "tos" => ip.tos = Some(Tos::Byte(cursor.unsigned()?)),
            "ttl" => ip.ttl = Some(cursor.unsigned()?),
            other => return Err(cursor.trouble(format!("`{other}` of the IP header is not known"))),
        }
        if cursor.eat(close) {
            return Ok(ip);
        }
        cursor.expect(",")?;
    }
}

/// `5000 > 8080`, if it stands here.
fn ports(cursor: &mut Cursor<'_>) -> Result<Option<(u16, u16)>, Trouble> {
    let mut ahead = cursor.clone();
    if ahead.number().is_err() || !ahead.eat(">") {
        return Ok(None);
    }
    let source = cursor.unsigned()?;
    cursor.expect(">")?;
    Ok(Some((source, cursor.unsigned()?)))
}

/// `S`, `P.`, `-`, `SEW`, `.5` (AccECN's counter of three bits in place of its flags).
fn flags(cursor: &mut Cursor<'_>) -> Result<u16, Trouble> {
    cursor.skip();
    let before = cursor.clone();
    let text = cursor.take_while(|c| !c.is_whitespace());
    if text.is_empty() {
        return Err(before.trouble("the flags of a segment are missing"));
    }
    let mut flags = 0;
    for c in text.chars() {
        flags |= match c {
            'F' => flag::FIN,
            'S' => flag::SYN,
            'R' => flag::RST,
            'P' => flag::PSH,
            '.' => flag::ACK,
            'U' => flag::URG,
            'E' => flag::ECE,
            'W' => flag::CWR,
            'A' => flag::AE,
            '0'..='7' => (c as u16 - '0' as u16) * flag::ECE,
            '-' if text == "-" => 0,
            _ => return Err(before.trouble(format!("`{c}` is no flag of a segment"))),
        };
    }
    Ok(flags)
}

/// `1:1001(1000)`.
fn sequence(cursor: &mut Cursor<'_>) -> Result<(u32, u32), Trouble> {
    cursor.skip();
    let before = cursor.clone();
    let start: u32 = cursor.unsigned()?;
    cursor.expect(":")?;
    let end: u32 = cursor.unsigned()?;
    cursor.expect("(")?;
    let len: u32 = cursor.unsigned()?;
    cursor.expect(")")?;
    if start.wrapping_add(len) != end {
        return Err(before.trouble("the sequence numbers do not fit the length"));
    }
    Ok((start, len))
}

fn icmp(cursor: &mut Cursor<'_>) -> Result<IcmpSpec, Trouble> {
    cursor.expect("icmp")?;
    let kind = cursor.word()?.to_owned();
    let code = match cursor.peek_word() {
        "" | "mtu" | "id" => None,
        word if word.starts_with(|c: char| c.is_ascii_digit()) => None,
        _ => Some(cursor.word()?.to_owned()),
    };
    let mtu = if cursor.eat_word("mtu") { Some(cursor.unsigned()?) } else { None };
    let quoted = if cursor.eat("[") {
        let quoted = sequence(cursor)?;
        cursor.expect("]")?;
        quoted
    } else {
        (0, 0)
    };
    Ok(IcmpSpec { kind, code, mtu, quoted })
}
