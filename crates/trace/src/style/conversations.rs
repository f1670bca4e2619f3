//! A table of the TCP connections of a capture: packets, bytes, duration, round-trip time, retransmissions, and who closed.

use std::io::{self, Write};

use serde::Serialize;

use super::Style;
use crate::conversation::packets::Packets;
use crate::conversation::{Close, End, Limits, Summary, Table, Totals};
use crate::numbers::{Count, Time};
use crate::record::Record;

/// Conversations that are listed; what there is beyond them is told in sum.
const MOST_ROWS: usize = 1 << 16;

/// The table, printed at the end.
pub struct Conversations {
    json: bool,
    packets: Packets,
    table: Table,
    rows: Vec<Summary>,
    beyond: Totals,
    begin: Option<i64>,
    error: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    conversations: &'a [Summary],
    total: Totals,
    /// Of those that are not in the list because there are too many.
    not_listed: Totals,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl Conversations {
    /// As text, or as one JSON document.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self::with_limits(json, Limits::default())
    }

    /// With limits of one's own.
    #[must_use]
    pub fn with_limits(json: bool, limits: Limits) -> Self {
        Self {
            json,
            packets: Packets::default(),
            table: Table::new(limits),
            rows: Vec::new(),
            beyond: Totals::default(),
            begin: None,
            error: None,
        }
    }

    fn finished(&mut self, summary: &Summary) {
        if self.rows.len() < MOST_ROWS { self.rows.push(*summary) } else { self.beyond.add(summary) }
    }

    fn text(&self, total: &Totals, out: &mut dyn Write) -> io::Result<()> {
        let several = self.rows.iter().any(|row| row.interface != self.rows[0].interface);
        let mut lines = vec![HEADING.map(str::to_owned)];
        lines.extend(self.rows.iter().map(|row| cells(row, self.begin.unwrap_or_default(), several)));
        let mut widths = [0; COLUMNS];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for line in &lines {
            let mut text = String::new();
            for (index, (cell, width)) in line.iter().zip(widths).enumerate() {
                let gap = " ".repeat(width - cell.chars().count());
                let (before, after) =
                    if LEFT.contains(&index) { ("", gap.as_str()) } else { (gap.as_str(), "") };
                text.push_str(&format!("{before}{cell}{after}  "));
            }
            writeln!(out, "{}", text.trim_end())?;
        }
        let plural = if total.conversations == 1 { "" } else { "s" };
        writeln!(
            out,
            "{} connection{plural}, {} packets, {} bytes of data, {} retransmissions",
            Count(total.conversations),
            Count(total.packets),
            Count(total.bytes),
            Count(total.retransmissions)
        )?;
        if self.beyond.conversations > 0 {
            writeln!(out, "{} of them are not listed: there are too many", Count(self.beyond.conversations))?;
        }
        Ok(())
    }
}

const COLUMNS: usize = 14;
/// Columns of text.
const LEFT: [usize; 3] = [1, 2, 13];
const HEADING: [&str; COLUMNS] = [
    "#",
    "client",
    "server",
    "begin",
    "duration",
    "pkts >",
    "pkts <",
    "bytes >",
    "bytes <",
    "RTT",
    "retr >",
    "retr <",
    "ooo",
    "closed by",
];

fn cells(row: &Summary, begin: i64, several: bool) -> [String; COLUMNS] {
    let interface = row.interface.filter(|_| several).map_or(String::new(), |i| format!("{i}:"));
    let (client, server) = (&row.from_client, &row.from_server);
    [
        format!("{}", row.id),
        format!("{interface}{}{}", row.client, if row.begins_in_the_middle { "?" } else { "" }),
        row.server.to_string(),
        format!("{:.6}", row.begun_ns.saturating_sub(begin) as f64 / 1e9),
        Time(row.duration_ns).to_string(),
        Count(client.packets).to_string(),
        Count(server.packets).to_string(),
        Count(client.bytes).to_string(),
        Count(server.bytes).to_string(),
        row.rtt().map_or("-".to_owned(), |rtt| Time(rtt).to_string()),
        Count(client.retransmissions).to_string(),
        Count(server.retransmissions).to_string(),
        Count(client.out_of_order + server.out_of_order).to_string(),
        closed(row).to_owned(),
    ]
}

fn closed(row: &Summary) -> &'static str {
    match (row.closed_by, row.closed_how) {
        (Some(End::Client), Some(Close::Fin)) => "client",
        (Some(End::Server), Some(Close::Fin)) => "server",
        (Some(End::Client), _) => "client (reset)",
        (Some(End::Server), _) => "server (reset)",
        (None, _) => "still open",
    }
}

impl Style for Conversations {
    fn record(&mut self, record: &Record<'_>, _: &mut dyn Write) -> io::Result<()> {
        self.begin.get_or_insert(record.time.0);
        let packet = self.packets.read(record);
        let Some(segment) = packet.segment(record) else { return Ok(()) };
        self.table.observe(&segment);
        let retired: Vec<Summary> = self.table.retired().iter().map(|c| c.summary()).collect();
        retired.iter().for_each(|summary| self.finished(summary));
        Ok(())
    }

    fn failed(&mut self, error: &str, _: &mut dyn Write) -> io::Result<()> {
        self.error = Some(error.to_owned());
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let rest: Vec<Summary> = self.table.conversations().iter().map(|c| c.summary()).collect();
        rest.iter().for_each(|summary| self.finished(summary));
        self.rows.sort_unstable_by_key(|row| row.id);
        let mut total = self.beyond;
        self.rows.iter().for_each(|row| total.add(row));
        if !self.json {
            return self.text(&total, out);
        }
        let document = Document {
            schema: "bypath-conversations/1",
            conversations: &self.rows,
            total,
            not_listed: self.beyond,
            error: self.error.as_deref(),
        };
        serde_json::to_writer_pretty(&mut *out, &document)?;
        writeln!(out)
    }
}
