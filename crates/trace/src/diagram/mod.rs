//! The story as a picture: a sequence diagram with time on the vertical axis, as one HTML page that needs nothing else.
//!
//! Readable for a hundred packets, each with its numbers; usable for ten thousand, where ordinary packets are thin arrows
//! and what is remarkable keeps its words. Segments that the capture shows to be lost end before the other side.

mod draw;
mod page;

use std::io::{self, Write};

use hashbrown::HashMap;

use crate::conversation::{Cause, End, Kind, Marks, Observation, Summary};
use crate::layers::TcpFlags;
use crate::record::Record;
use crate::story::{Detail, Heard, Story};
use crate::style::Style;

/// Packets that are drawn, of all connections together.
const MOST_PACKETS: usize = 20_000;

/// Connections that are drawn unless one is asked for.
const MOST_CONNECTIONS: usize = 8;

/// How a packet is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Data,
    Ack,
    /// SYN, FIN, RST.
    Open,
    Again,
    /// Duplicate, out of order, about windows, damaged.
    Odd,
}

/// A packet of the picture.
#[derive(Clone, Debug)]
pub(super) struct Arrow {
    pub(super) number: u64,
    /// Nanoseconds since the first packet of the connection.
    pub(super) time: i64,
    pub(super) from: End,
    pub(super) look: Look,
    /// On the arrow.
    pub(super) label: String,
    /// All that is said about it.
    pub(super) text: String,
    /// That is written beside it.
    pub(super) matters: bool,
    /// It did not arrive, by what came later.
    pub(super) lost: bool,
    pub(super) seq: i64,
    pub(super) len: u32,
}

/// A connection of the picture.
pub(super) struct Chart {
    pub(super) summary: Summary,
    pub(super) arrows: Vec<Arrow>,
    pub(super) not_drawn: u64,
}

/// The picture, written at the end.
pub struct Diagram {
    story: Story,
    only: Option<u64>,
    charts: Vec<Chart>,
    places: HashMap<u64, usize>,
    count: usize,
    /// Connections that are not drawn.
    more: u64,
    error: Option<String>,
}

impl Diagram {
    /// Of the connection with this number, or of the first ones.
    #[must_use]
    pub fn new(only: Option<u64>) -> Self {
        Self {
            story: Story::new(Detail::Normal),
            only,
            charts: Vec::new(),
            places: HashMap::new(),
            count: 0,
            more: 0,
            error: None,
        }
    }

    fn add(&mut self, heard: Heard) {
        let o = &heard.observation;
        if self.only.is_some_and(|only| only != o.conversation) {
            return;
        }
        let place = match self.places.get(&o.conversation) {
            Some(place) => *place,
            None if self.charts.len() >= MOST_CONNECTIONS => {
                self.more += u64::from(o.first);
                return;
            }
            None => {
                self.charts.push(Chart { summary: heard.summary, arrows: Vec::new(), not_drawn: 0 });
                self.places.insert(o.conversation, self.charts.len() - 1);
                self.charts.len() - 1
            }
        };
        let Some(chart) = self.charts.get_mut(place) else { return };
        chart.summary = heard.summary;
        if self.count >= MOST_PACKETS {
            chart.not_drawn += 1;
            return;
        }
        self.count += 1;
        if let Some(again) = o.again.filter(|again| is_loss(again.cause)) {
            chart.set_lost(again.first, true);
        }
        if let Some(needless) = o.needless {
            // What that packet repeated had arrived.
            let repeated = chart.find(needless).map(|arrow| (arrow.from, arrow.seq));
            let first = repeated.and_then(|(from, seq)| {
                chart.arrows.iter().find(|arrow| arrow.from == from && arrow.seq == seq && arrow.len > 0)
            });
            let first = first.map(|arrow| arrow.number);
            chart.set_lost(first, false);
        }
        chart.arrows.push(Arrow {
            number: o.number,
            time: o.since_first,
            from: o.from,
            look: look(o),
            label: label(o),
            matters: heard.matters,
            text: heard.text,
            lost: o.is(Marks::DAMAGED),
            seq: o.seq,
            len: o.len,
        });
    }
}

/// Whether sending again for this cause means that the first was lost.
fn is_loss(cause: Cause) -> bool {
    !matches!(cause, Cause::AlreadyAcknowledged | Cause::Asked | Cause::Unknown)
}

impl Chart {
    fn find(&self, number: u64) -> Option<&Arrow> {
        let at = self.arrows.partition_point(|arrow| arrow.number < number);
        self.arrows.get(at).filter(|arrow| arrow.number == number)
    }

    fn set_lost(&mut self, number: Option<u64>, lost: bool) {
        let Some(number) = number else { return };
        let at = self.arrows.partition_point(|arrow| arrow.number < number);
        if let Some(arrow) = self.arrows.get_mut(at).filter(|arrow| arrow.number == number) {
            arrow.lost = lost;
        }
    }
}

fn look(o: &Observation) -> Look {
    match o.kind {
        _ if o.is(Marks::RETRANSMISSION) => Look::Again,
        Kind::Syn | Kind::SynAck | Kind::Fin | Kind::Reset => Look::Open,
        Kind::Data if o.flags.contains(TcpFlags::FIN) => Look::Open,
        _ if o.is(Marks::OUT_OF_ORDER) || o.gap > 0 => Look::Odd,
        Kind::Data => Look::Data,
        Kind::Ack | Kind::HandshakeAck | Kind::Repeat => Look::Ack,
        _ => Look::Odd,
    }
}

/// The terms of the protocol for a segment.
fn label(o: &Observation) -> String {
    let mut parts: Vec<String> = Vec::new();
    let flags = [(TcpFlags::SYN, "SYN"), (TcpFlags::FIN, "FIN"), (TcpFlags::RST, "RST")];
    parts
        .extend(flags.iter().filter(|(flag, _)| o.flags.contains(*flag)).map(|(_, name)| (*name).to_owned()));
    if o.len > 0 {
        parts.push(format!("{}:{} ({})", o.seq, o.seq + i64::from(o.len), o.len));
    } else if o.flags.intersects(TcpFlags::SYN | TcpFlags::FIN) {
        parts.push(format!("seq {}", o.seq));
    }
    if let Some(ack) = o.ack {
        parts.push(format!("ACK {ack}"));
    }
    if o.is(Marks::ZERO_WINDOW) || o.is(Marks::WINDOW_OPENED) || o.is(Marks::WINDOW_UPDATE) {
        parts.push(format!("win {}", o.window.now));
    }
    parts.join(" ")
}

impl Style for Diagram {
    fn record(&mut self, record: &Record<'_>, _: &mut dyn Write) -> io::Result<()> {
        if let Some(heard) = self.story.listen(record) {
            self.add(heard);
        }
        Ok(())
    }

    fn failed(&mut self, error: &str, _: &mut dyn Write) -> io::Result<()> {
        self.error = Some(error.to_owned());
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(only) = self.only.filter(|_| self.charts.is_empty()) {
            let problem =
                format!("there is no connection {only} in this capture: --conversations lists them");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        page::write(&self.charts, self.more, self.error.as_deref(), out)
    }
}
