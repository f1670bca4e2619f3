//! FTP replies: three digits and text, over one line or several (RFC 959 section 4.2).

/// Lines that one reply may have; welcome messages are long, but not endless.
const MAX_LINES: usize = 1000;

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// The text of the last line, which is the one that says something.
    pub(super) text: String,
}

impl Reply {
    pub(super) fn is_preliminary(&self) -> bool {
        self.code / 100 == 1
    }

    pub(super) fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

/// Puts replies together line by line.
#[derive(Clone, Debug, Default)]
pub(super) struct Parser {
    /// The code and the number of lines of a reply that has begun.
    open: Option<(u16, usize)>,
}

impl Parser {
    /// Takes one line without its end; a reply when this line completes one.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, String> {
        let text = |from: usize| {
            let text = String::from_utf8_lossy(line.get(from..).unwrap_or_default());
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
        };
        let code = code_of(line);
        match (self.open, code) {
            // Lines in between may begin with anything, even with digits; the last one begins with the
            // same code and a space.
            (Some((open, _)), Some((code, last))) if open == code && last => {
                self.open = None;
                Ok(Some(Reply { code, text: text(4) }))
            }
            (Some((_, lines)), _) if lines >= MAX_LINES => Err("a reply without end".to_owned()),
            (Some((open, lines)), _) => {
                self.open = Some((open, lines + 1));
                Ok(None)
            }
            (None, Some((code, true))) => Ok(Some(Reply { code, text: text(4) })),
            (None, Some((code, false))) => {
                self.open = Some((code, 1));
                Ok(None)
            }
            (None, None) => Err(format!("\"{}\" is not an FTP reply", text(0))),
        }
    }
}

/// The code at the beginning of a line, and whether it stands on a reply's last line.
fn code_of(line: &[u8]) -> Option<(u16, bool)> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !matches!(digits[0], b'1'..=b'5') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest.first() {
        None | Some(b' ') => Some((code, true)),
        Some(b'-') => Some((code, false)),
        Some(_) => None,
    }
}

/// The port of a 229 reply, `(|||6446|)` (RFC 2428 section 3): the delimiter may be any printable
/// character.
pub(super) fn extended_port(text: &str) -> Option<u16> {
    let inner = text.split_once('(')?.1.split_once(')')?.0;
    let delimiter = inner.chars().next().filter(|c| c.is_ascii_graphic() && !c.is_ascii_digit())?;
    let fields: Vec<&str> = inner.split(delimiter).collect();
    match fields.as_slice() {
        ["", "", "", port, ""] => port.parse().ok().filter(|port| *port != 0),
        _ => None,
    }
}

/// Address and port of a 227 reply: six numbers somewhere in the text (RFC 1123 section 4.1.2.6 warns
/// not to rely on parentheses).
pub(super) fn passive_address(text: &str) -> Option<(std::net::Ipv4Addr, u16)> {
    for run in text.split(|c: char| !c.is_ascii_digit() && c != ',') {
        let numbers: Option<Vec<u8>> = run.split(',').map(|n| n.parse().ok()).collect();
        if let Some([a, b, c, d, high, low]) = numbers.as_deref() {
            let port = u16::from_be_bytes([*high, *low]);
            return (port != 0).then(|| ([*a, *b, *c, *d].into(), port));
        }
    }
    None
}

/// The length that many servers mention when a transfer begins: "150 Opening … (26752 bytes)".
pub(super) fn mentioned_size(text: &str) -> Option<u64> {
    let before = text.split(" bytes").next().filter(|before| before.len() < text.len())?;
    before.rsplit('(').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(lines: &[&str]) -> Result<Option<Reply>, String> {
        let mut parser = Parser::default();
        let mut last = Ok(None);
        for line in lines {
            last = parser.line(line.as_bytes());
        }
        last
    }

    fn reply(code: u16, text: &str) -> Result<Option<Reply>, String> {
        Ok(Some(Reply { code, text: text.to_owned() }))
    }

    #[test]
    fn reads_one_line() {
        assert_eq!(parse(&["220 ready"]), reply(220, "ready"));
        assert_eq!(parse(&["220"]), reply(220, ""));
    }

    #[test]
    fn a_multi_line_reply_ends_with_its_own_code_and_a_space() {
        let lines =
            ["230-Hello", " 230 indented", "220 another code", "230-still", "2300 no", "", "230 done"];
        assert_eq!(parse(&lines[..6]), Ok(None));
        assert_eq!(parse(&lines), reply(230, "done"));
    }

    #[test]
    fn refuses_what_is_no_reply() {
        for bad in ["", "22", "hello", "620 x", "220x", "2a0 x", "HTTP/1.1 200 OK"] {
            assert!(parse(&[bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_reply_without_end_is_refused() {
        let mut parser = Parser::default();
        let result = (0..MAX_LINES + 2).map(|_| parser.line(b"220-again")).find(Result::is_err);
        assert!(result.is_some());
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(parse(&["220 a\x1b[2Jb"]), reply(220, "a [2Jb"));
    }

    #[test]
    fn reads_the_port_of_epsv() {
        assert_eq!(extended_port("Entering Extended Passive Mode (|||6446|)"), Some(6446));
        assert_eq!(extended_port("ok (!!!6446!)"), Some(6446));
        for bad in ["(|||0|)", "(|||70000|)", "(|||6446)", "(|1|1.2.3.4|6446|)", "6446", "()", "(|||x|)"] {
            assert_eq!(extended_port(bad), None, "{bad}");
        }
    }

    #[test]
    fn reads_the_address_of_pasv_in_any_clothes() {
        let expected = Some(([10, 0, 0, 1].into(), 4 * 256 + 1));
        assert_eq!(passive_address("Entering Passive Mode (10,0,0,1,4,1)."), expected);
        assert_eq!(passive_address("Entering Passive Mode 10,0,0,1,4,1"), expected);
        assert_eq!(passive_address("=10,0,0,1,4,1"), expected);
        for bad in ["(10,0,0,1,4)", "(10,0,0,256,4,1)", "(10,0,0,1,0,0)", "(10,0,0,1,4,1,7)", ""] {
            assert_eq!(passive_address(bad), None, "{bad}");
        }
    }

    #[test]
    fn finds_the_size_that_a_150_mentions() {
        assert_eq!(mentioned_size("Opening BINARY mode data connection for f (26752 bytes)."), Some(26752));
        assert_eq!(mentioned_size("Opening data connection"), None);
        assert_eq!(mentioned_size("(x bytes)"), None);
    }

    proptest! {
        #[test]
        fn never_panics(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..5)) {
            let mut parser = Parser::default();
            for line in &lines {
                if let Ok(Some(reply)) = parser.line(line) {
                    let _ = (extended_port(&reply.text), passive_address(&reply.text), mentioned_size(&reply.text));
                }
            }
        }
    }
}
