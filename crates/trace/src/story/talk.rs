//! What the two applications of a connection say, out of its segments.

use std::net::SocketAddr;

use crate::app::{Conversation as Application, Ftp, Http, Pop3, Protocol, Said, Side, Smtp};
use crate::conversation::stream::{Piece, Stream};
use crate::conversation::{End, Marks, Observation, Segment, State};
use crate::layers::TcpFlags;

use super::secrets::{self, Language};
use super::sentences;

/// Early bytes that are kept for each direction of each connection.
const ROOM: usize = 32 << 10;

/// Longest quotation, characters.
const LONGEST_QUOTE: usize = 160;

/// What is known of a connection beyond its tracking.
pub(super) struct Talk {
    application: Option<Application>,
    looked: bool,
    streams: [Stream; 2],
    /// Its SYN has been answered.
    pub(super) answered: bool,
    /// What the client has asked last.
    pub(super) last_request: Option<String>,
    /// The states after the packet before.
    pub(super) states: [State; 2],
    /// The smallest window of each end that has been told of.
    pub(super) told_window: [u64; 2],
    /// What a short story has left out since it last said something.
    pub(super) left_out: LeftOut,
}

/// Packets that a short story does not tell one by one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LeftOut {
    pub(super) packets: u64,
    pub(super) range: (u64, u64),
    pub(super) time: i64,
    /// Segments and bytes of each end.
    pub(super) data: [(u64, u64); 2],
    pub(super) acks: u64,
}

/// What a segment completes of what applications say.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) quotes: Vec<String>,
    /// Lines that are not quoted.
    pub(super) more: usize,
    /// Bytes of a body: in this segment, so far, in all.
    pub(super) body: Option<(u64, u64, Option<u64>)>,
    /// A body is complete, of so many bytes.
    pub(super) complete: Option<u64>,
    /// A body follows, of so many bytes if that is told.
    pub(super) follows: Option<Option<u64>>,
    /// Where a data connection will go to.
    pub(super) data_port: Option<SocketAddr>,
    pub(super) encrypted: bool,
    /// That is not what is spoken here.
    nonsense: bool,
    /// Nobody has asked yet.
    pub(super) greets: bool,
    /// An application that is understood has got bytes, and waits for more.
    pub(super) understood: bool,
}

impl Talk {
    pub(super) fn new(server_port: u16) -> Self {
        Self {
            application: Protocol::of_tcp(server_port).map(Application::new),
            looked: false,
            streams: [Stream::new(ROOM), Stream::new(ROOM)],
            answered: false,
            last_request: None,
            states: [State::Unknown; 2],
            told_window: [u64::MAX; 2],
            left_out: LeftOut::default(),
        }
    }

    /// What a segment adds. `most` lines are quoted.
    pub(super) fn hear(&mut self, o: &Observation, segment: &Segment<'_>, most: usize) -> Words {
        let mut words = Words::default();
        let side = |end| if end == End::Client { Side::Client } else { Side::Server };
        let server = if o.from == End::Server { segment.from } else { segment.to };
        let Self { application, looked, streams, .. } = self;
        let note = |words: &mut Words, said: Said<'_>| words.note(&said, server, most);
        if let Some(ack) = o.ack.filter(|_| segment.has(TcpFlags::ACK)) {
            let fin = o.covered.is_some_and(|c| c.fin);
            let other = o.from.other();
            streams[usize::from(other == End::Server)].acknowledged(ack - i64::from(fin), &mut |piece| {
                if let Some(application) = application {
                    give(application, side(other), piece, &mut |_| ());
                }
            });
        }
        let stream = &mut streams[usize::from(o.from == End::Server)];
        stream.take(o.seq, segment, &mut |piece| {
            if let (Piece::Bytes(bytes), false) = (piece, *looked) {
                *looked = true;
                if application.is_none() {
                    *application = Protocol::of_bytes(bytes).map(Application::new);
                }
            }
            if let Some(application) = application {
                words.understood = true;
                give(application, side(o.from), piece, &mut |said| note(&mut words, said));
            }
        });
        if let Some(application) = application.as_mut().filter(|_| segment.has(TcpFlags::FIN)) {
            application.end(side(o.from), &mut |said| note(&mut words, said));
        }
        if words.nonsense {
            self.application = None;
            words = Words::default();
        }
        words.greets =
            o.from == End::Server && self.last_request.is_none() && !o.is(Marks::BEGINS_IN_THE_MIDDLE);
        if o.from == End::Client {
            self.last_request = words.quotes.last().cloned().or(self.last_request.take());
        }
        words
    }
}

fn give(application: &mut Application, side: Side, piece: Piece<'_>, said: &mut dyn FnMut(Said<'_>)) {
    match piece {
        Piece::Bytes(bytes) => application.push(side, bytes, said),
        Piece::Gap(len) => application.gap(side, len, said),
    }
}

impl Words {
    fn note(&mut self, said: &Said<'_>, server: SocketAddr, most: usize) {
        let fields = most > 3;
        match *said {
            Said::Http(http @ Http::Field { .. }) => self.quote_if(fields, secrets::http(&http), most),
            Said::Http(Http::HeadEnd { body }) => {
                self.follows = match body {
                    crate::app::http::Body::None | crate::app::http::Body::Tunnel => None,
                    crate::app::http::Body::Length(len) => Some(Some(len)),
                    _ => Some(None),
                };
            }
            Said::Http(Http::Data { len, so_far, total }) => self.body(len, so_far, total),
            Said::Pop3(Pop3::Data { len, so_far }) | Said::Smtp(Smtp::Data { len, so_far }) => {
                self.body(len, so_far, None);
            }
            Said::Http(Http::BodyEnd { total })
            | Said::Pop3(Pop3::DataEnd { total })
            | Said::Smtp(Smtp::DataEnd { total }) => self.complete = Some(total),
            Said::Ftp(ftp @ Ftp::Command(command)) => {
                self.data_port = ftp.data_port().map(|port| port.resolve(server.ip())).or(self.data_port);
                self.quote(secrets::command(&command, Language::Ftp), most);
            }
            Said::Ftp(ftp) => {
                self.data_port = ftp.data_port().map(|port| port.resolve(server.ip())).or(self.data_port);
                self.quote(said.to_string(), most);
            }
            Said::Pop3(Pop3::Command(command)) => {
                self.quote(secrets::command(&command, Language::Pop3), most);
            }
            Said::Smtp(Smtp::Command(command)) => {
                self.quote(secrets::command(&command, Language::Smtp), most);
            }
            Said::Http(http @ (Http::Request { .. } | Http::Other(_))) => {
                self.quote(secrets::http(&http), most);
            }
            Said::Pop3(Pop3::Exchange(_)) | Said::Smtp(Smtp::Exchange(_)) => {
                self.quote(sentences::secret().to_owned(), most);
            }
            Said::Encrypted(_) => self.encrypted = true,
            _ => self.quote(said.to_string(), most),
        }
    }

    fn body(&mut self, len: usize, so_far: u64, total: Option<u64>) {
        let before = self.body.map_or(0, |body| body.0);
        self.body = Some((before + len as u64, so_far, total));
    }

    fn quote_if(&mut self, quoted: bool, line: String, most: usize) {
        if quoted { self.quote(line, most) } else { self.more += 1 }
    }

    fn quote(&mut self, mut line: String, most: usize) {
        // What `Printable` had to escape: a text has none of that, but for a tab.
        self.nonsense |= line.matches("\\x").count() * 16 > line.len();
        if self.quotes.len() >= most {
            self.more += 1;
            return;
        }
        if let Some((end, _)) = line.char_indices().nth(LONGEST_QUOTE) {
            line.truncate(end);
            line.push('…');
        }
        self.quotes.push(sentences::quoted(&line));
    }
}
