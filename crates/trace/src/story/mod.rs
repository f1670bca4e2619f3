//! A capture told as what it is: a conversation between hosts. Each packet gets a remark that says why it was sent and what
//! it changed, from the tracked state of both ends ([`crate::conversation`]) and from what their applications say
//! ([`crate::app`]); at the end there is a summary.
//!
//! Facts are chosen in `teller` and `others`, sentences are in `sentences` and nowhere else.

mod others;
mod secrets;
pub(crate) mod sentences;
pub(crate) mod summary;
mod talk;
mod teller;

use std::io::{self, Write};
use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::conversation::packets::{Packet, Packets};
use crate::conversation::{Conversation, End, Limits, Observation, Segment, Summary, Table};
use crate::record::{Record, Timestamp};
use crate::style::Style;

use others::LookUps;
use talk::{LeftOut, Talk};
use teller::{Background, Remark};

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// What matters: beginnings, what applications say, losses, closed windows, ends. The rest in sums.
    Short,
    /// A remark for each packet.
    #[default]
    Normal,
    /// And all numbers under it.
    Full,
}

/// Connections that are followed at a time: nobody reads a story of more.
const LIMITS: Limits = Limits { conversations: 4_096, segments: 1 << 18 };

/// Connections that have a summary of their own at the end.
const MOST_SUMMARIES: usize = 1_000;

/// Announced data connections, and ends whose packets were seen on an interface.
const MOST: usize = 1 << 14;

/// Characters of a line.
const WIDTH: usize = 120;

/// The story of a capture.
pub struct Story {
    detail: Detail,
    packets: Packets,
    table: Table,
    talks: HashMap<u64, Talk>,
    look_ups: LookUps,
    /// Data connections to come: by where they go, the packet that announced one, who sent that, in which connection.
    announced: HashMap<SocketAddr, (u64, End, u64)>,
    views: HashMap<(SocketAddr, SocketAddr), Option<u32>>,
    other_view: Option<u32>,
    begin: Option<Timestamp>,
    end: Timestamp,
    count: u64,
    ended: Vec<Summary>,
    connections: u64,
}

impl Story {
    /// A story that has not begun.
    #[must_use]
    pub fn new(detail: Detail) -> Self {
        Self {
            detail,
            packets: Packets::default(),
            table: Table::new(LIMITS),
            talks: HashMap::new(),
            look_ups: LookUps::default(),
            announced: HashMap::new(),
            views: HashMap::new(),
            other_view: None,
            begin: None,
            end: Timestamp(0),
            count: 0,
            ended: Vec::new(),
            connections: 0,
        }
    }

    /// The place of a packet in the story: its number, and when it was.
    fn place(&self, number: u64, time: i64) -> String {
        let since = time.saturating_sub(self.begin.map_or(time, |begin| begin.0));
        format!("{number:>6} {:>12.6}  ", since as f64 / 1e9)
    }

    /// What there is to say about a segment, after its observation.
    fn remark(&mut self, segment: &Segment<'_>, observation: &Observation) -> Option<Remark> {
        let conversation = self.table.of(segment)?;
        let [client, server] = conversation.addresses();
        let mut background = Background::default();
        if observation.first {
            self.connections += 1;
            background.name = self.look_ups.name(server.ip()).cloned();
            let announced = self.announced.remove(&server).or_else(|| self.announced.remove(&client));
            if let Some((packet, by, control)) = announced {
                background.announced = Some((packet, by));
                background.command = self.talks.get(&control).and_then(|talk| talk.last_request.clone());
            }
        }
        let talk = self.talks.entry(observation.conversation).or_insert_with(|| Talk::new(server.port()));
        let most = if self.detail == Detail::Full { 20 } else { 3 };
        let ignored = observation.kind == crate::conversation::Kind::Ignored;
        let words = if ignored { talk::Words::default() } else { talk.hear(observation, segment, most) };
        if let Some(place) = words.data_port {
            if self.announced.len() >= MOST {
                self.announced.clear();
            }
            self.announced.insert(place, (segment.number, observation.from, observation.conversation));
        }
        Some(teller::remark(observation, segment, conversation, talk, &background, &words))
    }

    fn segment(
        &mut self,
        record: &Record<'_>,
        segment: &Segment<'_>,
        observation: &Observation,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Some(remark) = self.remark(segment, observation) else { return Ok(()) };
        let Some(talk) = self.talks.get_mut(&observation.conversation) else { return Ok(()) };
        if !teller::is_told(&remark, self.detail) {
            talk.left_out.add(observation, record);
            return Ok(());
        }
        let left_out = std::mem::take(&mut talk.left_out);
        self.tell_left_out(observation.conversation, left_out, out)?;
        let arrow = if observation.from == End::Client { "client → server" } else { "client ← server" };
        let prefix =
            format!("{}[{}] {arrow}  ", self.place(record.number, record.time.0), observation.conversation);
        let indent = prefix.chars().count();
        wrapped(&prefix, indent, &remark.text, out)?;
        if self.detail == Detail::Full {
            wrapped(&" ".repeat(indent), indent, &teller::details(observation), out)?;
        }
        self.comments(record, indent, out)
    }

    fn tell_left_out(&self, conversation: u64, left_out: LeftOut, out: &mut dyn Write) -> io::Result<()> {
        // Not worth a line: what told nothing but that it arrived.
        if left_out.packets == 0 || left_out.acks == left_out.packets && left_out.acks <= 2 {
            return Ok(());
        }
        let ends = [End::Client, End::Server].into_iter().zip(left_out.data);
        let data: Vec<_> =
            ends.filter(|(_, (n, _))| *n > 0).map(|(end, (n, bytes))| (end, n, bytes)).collect();
        let prefix = format!("{}[{conversation}]  ", self.place(left_out.range.0, left_out.time));
        wrapped(&prefix, prefix.chars().count(), &sentences::left_out(&data, left_out.acks), out)
    }

    fn comments(&self, record: &Record<'_>, indent: usize, out: &mut dyn Write) -> io::Result<()> {
        if self.detail == Detail::Short {
            return Ok(());
        }
        if record.missed_before > 0 {
            wrapped(&" ".repeat(indent), indent, &sentences::missing(record.missed_before), out)?;
        }
        for comment in record.comments {
            let comment = crate::printable::Printable(comment.as_bytes()).to_string();
            wrapped(&" ".repeat(indent), indent, &sentences::note_of_capture(&comment), out)?;
        }
        Ok(())
    }

    /// Whether this was seen on another interface before, and is told from there.
    fn is_told_elsewhere(&mut self, ends: (SocketAddr, SocketAddr), interface: Option<u32>) -> bool {
        let key = (ends.0.min(ends.1), ends.0.max(ends.1));
        if self.views.len() >= MOST {
            self.views.clear();
        }
        let elsewhere = *self.views.entry(key).or_insert(interface) != interface;
        if elsewhere {
            self.other_view = interface;
        }
        elsewhere
    }

    fn finished(&mut self, summary: &Summary) {
        if self.ended.len() < MOST_SUMMARIES {
            self.ended.push(*summary);
        }
    }
}

/// The ends of a packet; ports are 0 where there are none.
fn ends(packet: &Packet<'_>) -> Option<(SocketAddr, SocketAddr)> {
    let Packet::Plain(packet, _) = packet else { return None };
    let (from, to) = packet.network.addresses()?;
    let (source, destination) = packet.ports().unwrap_or_default();
    Some((SocketAddr::new(from, source), SocketAddr::new(to, destination)))
}

impl LeftOut {
    fn add(&mut self, observation: &Observation, record: &Record<'_>) {
        if self.packets == 0 {
            (self.range.0, self.time) = (record.number, record.time.0);
        }
        self.range.1 = record.number;
        self.packets += 1;
        if observation.len > 0 {
            let data = &mut self.data[usize::from(observation.from == End::Server)];
            data.0 += 1;
            data.1 += u64::from(observation.len);
        } else {
            self.acks += 1;
        }
    }
}

impl Story {
    /// The next packet, for whoever tells the story in another form: what is observed, and the remark about it.
    pub(crate) fn listen(&mut self, record: &Record<'_>) -> Option<Heard> {
        let mut packets = std::mem::take(&mut self.packets);
        let heard = self.listen_to(record, &packets.read(record));
        self.packets = packets;
        heard
    }

    fn listen_to(&mut self, record: &Record<'_>, packet: &Packet<'_>) -> Option<Heard> {
        if ends(packet).is_some_and(|ends| self.is_told_elsewhere(ends, record.interface)) {
            return None;
        }
        let Some(segment) = packet.segment(record) else {
            others::tell(packet, &mut self.look_ups, record);
            return None;
        };
        let observation = self.table.observe(&segment);
        for conversation in self.table.retired() {
            self.talks.remove(&conversation.id());
        }
        let remark = self.remark(&segment, &observation)?;
        let summary = self.table.of(&segment)?.summary();
        Some(Heard { observation, text: remark.text, matters: remark.matters, summary })
    }
}

/// A segment and what there is to say about it.
pub(crate) struct Heard {
    pub(crate) observation: Observation,
    pub(crate) text: String,
    pub(crate) matters: bool,
    /// What the connection has come to with it.
    pub(crate) summary: Summary,
}

impl Style for Story {
    fn record(&mut self, record: &Record<'_>, out: &mut dyn Write) -> io::Result<()> {
        self.begin.get_or_insert(record.time);
        let mut packets = std::mem::take(&mut self.packets);
        let packet = packets.read(record);
        let told = if ends(&packet).is_some_and(|ends| self.is_told_elsewhere(ends, record.interface)) {
            Ok(())
        } else {
            self.count += 1;
            self.end = self.end.max(record.time);
            match packet.segment(record) {
                Some(segment) => {
                    let observation = self.table.observe(&segment);
                    let retired: Vec<Conversation> = self.table.retired().to_vec();
                    for conversation in retired {
                        self.talks.remove(&conversation.id());
                        self.finished(&conversation.summary());
                    }
                    self.segment(record, &segment, &observation, out)
                }
                None => {
                    let other = others::tell(&packet, &mut self.look_ups, record);
                    let place = self.place(record.number, record.time.0);
                    let prefix = format!("{place}{} → {}  ", other.from, other.to);
                    let indent = prefix.chars().count().min(WIDTH / 2);
                    wrapped(&prefix, indent, &other.text, out)
                        .and_then(|()| self.comments(record, indent, out))
                }
            }
        };
        drop(packet);
        self.packets = packets;
        told
    }

    fn failed(&mut self, error: &str, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\n{}", sentences::reading_failed(error))
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let mut open: Vec<(u64, LeftOut)> =
            self.talks.iter_mut().map(|(id, talk)| (*id, std::mem::take(&mut talk.left_out))).collect();
        open.sort_unstable_by_key(|(id, _)| *id);
        for (id, left_out) in open {
            self.tell_left_out(id, left_out, out)?;
        }
        let rest: Vec<Summary> = self.table.conversations().iter().map(|c| c.summary()).collect();
        rest.iter().for_each(|summary| self.finished(summary));
        self.ended.sort_unstable_by_key(|summary| summary.id);
        for summary in &self.ended {
            writeln!(out)?;
            summary::tell(summary, out)?;
        }
        writeln!(out)?;
        let time = self.end.since(self.begin.unwrap_or(self.end));
        writeln!(out, "{}", sentences::all(self.count, time, self.connections, self.look_ups.count))?;
        if let Some(interface) = self.other_view {
            writeln!(out, "{}", sentences::other_view(interface))?;
        }
        if self.table.evicted() > 0 {
            writeln!(out, "{}", sentences::forgotten(self.table.evicted()))?;
        }
        Ok(())
    }
}

/// Writes a text in lines of [`WIDTH`] characters, those after the first indented.
fn wrapped(prefix: &str, indent: usize, text: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut line = prefix.to_owned();
    let mut width = prefix.chars().count();
    let mut empty = true;
    for word in text.split(' ') {
        let len = word.chars().count();
        if !empty && width + 1 + len > WIDTH {
            writeln!(out, "{}", line.trim_end())?;
            line = " ".repeat(indent);
            width = indent;
            empty = true;
        }
        if !empty {
            line.push(' ');
            width += 1;
        }
        line.push_str(word);
        width += len;
        empty = false;
    }
    writeln!(out, "{}", line.trim_end())
}
