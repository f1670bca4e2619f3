//! The small services: echo (RFC 862), discard (RFC 863), chargen (RFC 864), daytime (RFC 867), time (RFC 868).

use std::sync::Arc;

use bypath::{SendSource, ServiceConnection};

use super::held::Held;

/// Sends back what it gets. What there is no room for waits, and narrows the window.
#[derive(Debug, Default)]
pub(super) struct Echo {
    waiting: Held,
    peer_closed: bool,
}

impl Echo {
    pub(super) fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        if !self.waiting.is_empty() {
            self.waiting.push(data);
            return self.drain(connection);
        }
        let n = connection.write(data);
        if let Some(rest @ [_, ..]) = data.get(n..) {
            self.waiting.push(rest);
            connection.set_unread(self.waiting.len());
        }
    }

    pub(super) fn drain(&mut self, connection: &mut ServiceConnection<'_>) {
        if !self.waiting.is_empty() {
            let n = connection.write(self.waiting.bytes());
            self.waiting.consume(n);
            connection.set_unread(self.waiting.len());
        }
        if self.peer_closed && self.waiting.is_empty() {
            connection.close();
        }
    }

    pub(super) fn on_peer_closed(&mut self, connection: &mut ServiceConnection<'_>) {
        self.peer_closed = true;
        self.drain(connection);
    }
}

/// Characters on a line, without its end.
const LINE: u64 = 72;
/// Printable characters of ASCII.
const PRINTABLE: u64 = 95;
/// After so many lines they begin anew.
const PERIOD: u64 = (LINE + 2) * PRINTABLE;
/// How far chargen is ahead of what the peer has acknowledged.
const AHEAD: u64 = 1 << 20;

/// The lines of chargen, without an end.
#[derive(Debug)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    pub(super) fn source() -> Arc<dyn SendSource> {
        let byte = |at: u64| {
            let (line, column) = (at / (LINE + 2) % PRINTABLE, at % (LINE + 2));
            match column {
                LINE => b'\r',
                c if c > LINE => b'\n',
                c => b' ' + ((line + c) % PRINTABLE) as u8,
            }
        };
        Arc::new(Self((0..PERIOD * 4).map(byte).collect()))
    }
}

impl SendSource for Lines {
    fn len(&self) -> u64 {
        u64::MAX
    }

    fn bytes_at(&self, offset: u64) -> &[u8] {
        self.0.get((offset % PERIOD) as usize..).unwrap_or_default()
    }
}

/// Sends lines until the peer has had enough; what it sends is dropped.
#[derive(Debug, Default)]
pub(super) struct Chargen {
    given: u64,
}

impl Chargen {
    pub(super) fn pump(&mut self, connection: &mut ServiceConnection<'_>, lines: &Arc<dyn SendSource>) {
        let more = AHEAD.saturating_sub(connection.outstanding());
        if more > AHEAD / 4 {
            connection.send_part(lines.clone(), self.given, more);
            self.given += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chargen_has_the_lines_of_the_rfc() {
        let source = Lines::source();
        let mut text = Vec::new();
        while text.len() < 30_000 {
            text.extend_from_slice(source.bytes_at(text.len() as u64));
        }
        let text = String::from_utf8(text).unwrap();
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap();
        assert_eq!(first, r##" !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefg"##);
        assert_eq!(lines.next().unwrap(), &format!("{}h", &first[1..]));
        assert_eq!(lines.nth(PRINTABLE as usize - 2).unwrap(), first);
    }
}
