//! The bytes of one connection, put in order: what its ends have told each other.

use std::io::{self, Write};

use super::Style;
use crate::conversation::packets::Packets;
use crate::conversation::stream::{Piece, Stream};
use crate::conversation::{End, Kind, Table};
use crate::layers::TcpFlags;
use crate::numbers::Count;
use crate::printable::Printable;
use crate::record::Record;

/// Bytes that are kept until those before them come: a large window, lost at its beginning.
const ROOM: usize = 64 << 20;

/// How bytes are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Line by line, what is not text escaped.
    #[default]
    Text,
    /// Sixteen bytes a line, as numbers and as text.
    Hex,
    /// As they are, nothing else with them.
    Raw,
}

/// A connection's bytes.
pub struct Follow {
    id: u64,
    packets: Packets,
    table: Table,
    streams: [Stream; 2],
    found: bool,
    pages: Pages,
}

/// What has been written.
struct Pages {
    form: Form,
    only: Option<End>,
    /// Who said something last, and how much each has said.
    last: Option<End>,
    positions: [u64; 2],
    /// The last line has no end yet.
    open_line: bool,
}

impl Follow {
    /// The connection with this number, as the table of conversations has it; both ends, or only one.
    #[must_use]
    pub fn new(id: u64, form: Form, only: Option<End>) -> Self {
        Self {
            id,
            packets: Packets::default(),
            table: Table::default(),
            streams: [Stream::new(ROOM), Stream::new(ROOM)],
            found: false,
            pages: Pages { form, only, last: None, positions: [0; 2], open_line: false },
        }
    }
}

impl Pages {
    fn show(&mut self, end: End, pieces: &[Owned], heading: &str, out: &mut dyn Write) -> io::Result<()> {
        if self.only.is_some_and(|only| only != end) {
            return Ok(());
        }
        for piece in pieces {
            if self.form != Form::Raw && self.last != Some(end) {
                self.end_line(out)?;
                writeln!(out, "--- {heading}")?;
                self.last = Some(end);
            }
            match (piece, self.form) {
                (Owned::Bytes(bytes), Form::Raw) => out.write_all(bytes)?,
                (Owned::Bytes(bytes), Form::Text) => self.text(bytes, out)?,
                (Owned::Bytes(bytes), Form::Hex) => self.hex(end, bytes, out)?,
                (Owned::Gap(_), Form::Raw) => {}
                (Owned::Gap(len), _) => {
                    self.end_line(out)?;
                    writeln!(out, "--- {} bytes are not in the capture", Count(*len))?;
                }
            }
            self.positions[usize::from(end == End::Server)] += match piece {
                Owned::Bytes(bytes) => bytes.len() as u64,
                Owned::Gap(len) => *len,
            };
        }
        Ok(())
    }

    fn text(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (body, ends) = match line.strip_suffix(b"\n") {
                Some(body) => (body.strip_suffix(b"\r").unwrap_or(body), true),
                None => (line, false),
            };
            write!(out, "{}", Printable(body))?;
            if ends {
                writeln!(out)?;
            }
            self.open_line = !ends;
        }
        Ok(())
    }

    fn hex(&mut self, end: End, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let begin = self.positions[usize::from(end == End::Server)];
        for (row, chunk) in bytes.chunks(16).enumerate() {
            write!(out, "{:08x}  ", begin + row as u64 * 16)?;
            for place in 0..16 {
                match chunk.get(place) {
                    Some(byte) => write!(out, "{byte:02x} ")?,
                    None => write!(out, "   ")?,
                }
                if place == 7 {
                    write!(out, " ")?;
                }
            }
            let visible = |&byte: &u8| if (0x20..0x7f).contains(&byte) { byte as char } else { '.' };
            writeln!(out, " {}", chunk.iter().map(visible).collect::<String>())?;
        }
        Ok(())
    }

    fn end_line(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if std::mem::take(&mut self.open_line) { writeln!(out) } else { Ok(()) }
    }
}

/// A piece that waits to be written.
enum Owned {
    Bytes(Vec<u8>),
    Gap(u64),
}

impl From<Piece<'_>> for Owned {
    fn from(piece: Piece<'_>) -> Self {
        match piece {
            Piece::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            Piece::Gap(len) => Self::Gap(len),
        }
    }
}

impl Style for Follow {
    fn record(&mut self, record: &Record<'_>, out: &mut dyn Write) -> io::Result<()> {
        let packet = self.packets.read(record);
        let Some(segment) = packet.segment(record) else { return Ok(()) };
        let observation = self.table.observe(&segment);
        if observation.conversation != self.id || observation.kind == Kind::Ignored {
            return Ok(());
        }
        self.found = true;
        let end = observation.from;
        let names = if end == End::Client { ["client", "server"] } else { ["server", "client"] };
        let heading = |[from, to]: [&str; 2], [a, b]: [std::net::SocketAddr; 2]| {
            format!("{from} {a} to {to} {b}, packet {}", segment.number)
        };
        // An acknowledgment tells that the other end's bytes will not come any more; they come before what answers them.
        let mut pieces: Vec<Owned> = Vec::new();
        let other = &mut self.streams[usize::from(end == End::Client)];
        if let Some(ack) = observation.ack.filter(|_| segment.has(TcpFlags::ACK)) {
            let fin = observation.covered.is_some_and(|c| c.fin);
            other.acknowledged(ack - i64::from(fin), &mut |piece| pieces.push(piece.into()));
        }
        self.pages.show(
            end.other(),
            &pieces,
            &heading([names[1], names[0]], [segment.to, segment.from]),
            out,
        )?;
        let mut pieces: Vec<Owned> = Vec::new();
        let own = &mut self.streams[usize::from(end == End::Server)];
        own.take(observation.seq, &segment, &mut |piece| pieces.push(piece.into()));
        self.pages.show(end, &pieces, &heading(names, [segment.from, segment.to]), out)
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        for (end, name) in [(End::Client, "client"), (End::Server, "server")] {
            let mut pieces: Vec<Owned> = Vec::new();
            let stream = &mut self.streams[usize::from(end == End::Server)];
            stream.finish(&mut |piece| pieces.push(piece.into()));
            self.pages.show(end, &pieces, name, out)?;
        }
        self.pages.end_line(out)?;
        if !self.found {
            let problem =
                format!("there is no connection {} in this capture: --conversations lists them", self.id);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        Ok(())
    }
}
