//! Command lines: bytes with what is left of Telnet in them, to a word and its argument.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::serve::held::Held;

/// Longest line.
pub(super) const MOST_LINE: usize = 4096;

/// The next line in what has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Not whole yet.
    None,
    /// Word in capitals, argument.
    Command(String, Vec<u8>),
    TooLong,
}

/// Takes the next line.
pub(super) fn take(held: &mut Held) -> Line {
    let bytes = held.bytes();
    let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
        return if bytes.len() > MOST_LINE { Line::TooLong } else { Line::None };
    };
    if end > MOST_LINE {
        return Line::TooLong;
    }
    let mut line = without_telnet(&bytes[..end]);
    held.consume(end + 1);
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    let split = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
    let word = String::from_utf8_lossy(&line[..split]).to_ascii_uppercase();
    let argument = line.get(split + 1..).unwrap_or_default().to_vec();
    Line::Command(word, argument)
}

/// The word of the next line, without taking it.
pub(super) fn peek(held: &Held) -> Option<String> {
    let bytes = held.bytes();
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let line = without_telnet(&bytes[..end]);
    let word = line.split(|b| matches!(b, b' ' | b'\r')).next()?;
    Some(String::from_utf8_lossy(word).to_ascii_uppercase())
}

/// Clients send ABOR with signals of Telnet before it (RFC 959 section 4.1.3). They are dropped; a doubled 255 is one.
fn without_telnet(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, later)) = rest.split_first() {
        rest = later;
        if byte != 255 {
            out.push(byte);
            continue;
        }
        match later.first() {
            Some(255) => {
                out.push(255);
                rest = &later[1..];
            }
            // WILL, WON'T, DO, DON'T have an option behind them.
            Some(251..=254) => rest = later.get(2..).unwrap_or_default(),
            Some(_) => rest = &later[1..],
            None => {}
        }
    }
    out
}

/// The argument of PORT.
pub(super) fn port_argument(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let numbers: Option<Vec<u8>> = text.trim().split(',').map(|n| n.trim().parse().ok()).collect();
    let [a, b, c, d, high, low] = numbers?.try_into().ok()?;
    Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])))
}

/// The argument of EPRT (RFC 2428 section 2); the error: a network protocol that is not known.
pub(super) fn eprt_argument(text: &[u8]) -> Result<Option<SocketAddr>, ()> {
    let parse = || {
        let text = std::str::from_utf8(text).ok()?;
        let delimiter = text.chars().next().filter(|c| c.is_ascii_graphic())?;
        let parts: Vec<&str> = text.split(delimiter).collect();
        let [first, protocol, address, port, last] = parts.try_into().ok()?;
        (first.is_empty() && last.is_empty()).then_some((protocol, address, port))
    };
    let Some((protocol, address, port)) = parse() else { return Ok(None) };
    let port: Option<u16> = port.parse().ok();
    match protocol {
        "1" | "2" => {
            let address: Option<IpAddr> = address.parse().ok();
            let address = address.filter(|ip| ip.is_ipv4() == (protocol == "1"));
            Ok(address.zip(port).map(|(ip, port)| SocketAddr::new(ip, port)))
        }
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(bytes: &[u8]) -> Held {
        let mut held = Held::default();
        held.push(bytes);
        held
    }

    fn command(word: &str, argument: &str) -> Line {
        Line::Command(word.to_owned(), argument.as_bytes().to_vec())
    }

    #[test]
    fn lines_come_apart_into_word_and_argument() {
        let mut held = held(b"retr a b \r\nNOOP\n\xff\xf4\xff\xf2ABOR\r\nPA");
        assert_eq!(take(&mut held), command("RETR", "a b "));
        assert_eq!(peek(&held).as_deref(), Some("NOOP"));
        assert_eq!(take(&mut held), command("NOOP", ""));
        assert_eq!(peek(&held).as_deref(), Some("ABOR"));
        assert_eq!(take(&mut held), command("ABOR", ""));
        assert_eq!(take(&mut held), Line::None);
    }

    #[test]
    fn a_line_without_end_is_too_long() {
        assert_eq!(take(&mut held(&[b'x'; MOST_LINE])), Line::None);
        assert_eq!(take(&mut held(&[b'x'; MOST_LINE + 1])), Line::TooLong);
    }

    #[test]
    fn addresses_are_read_or_refused() {
        let v4 = |text: &str| text.parse::<SocketAddr>().ok();
        assert_eq!(port_argument(b"198,18,0,1,8,10"), v4("198.18.0.1:2058"));
        for bad in ["", "1,2,3,4,5", "1,2,3,4,5,6,7", "1,2,3,4,5,256", "a,2,3,4,5,6"] {
            assert_eq!(port_argument(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(eprt_argument(b"|1|198.18.0.1|2058|"), Ok(v4("198.18.0.1:2058")));
        assert_eq!(eprt_argument(b"|2|fd00::1|2058|"), Ok(v4("[fd00::1]:2058")));
        assert_eq!(eprt_argument(b"|3|x|2058|"), Err(()));
        for bad in ["", "|1|fd00::1|1|", "|1|1.2.3.4|70000|", "|1|1.2.3.4|1", "x"] {
            assert_eq!(eprt_argument(bad.as_bytes()), Ok(None), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut held = held(&bytes);
            let _ = peek(&held);
            while let Line::Command(_, argument) = take(&mut held) {
                let _ = (port_argument(&argument), eprt_argument(&argument));
            }
        }
    }
}
