//! The end of a story: what a connection came to, in plain language.

use std::io::{self, Write};

use crate::app::Protocol;
use crate::conversation::{End, Summary};

use super::sentences as say;

/// Shorter than this, a rate says nothing.
const SHORTEST: i64 = 1_000;

/// The name of a connection, and what it came to, a sentence or two each.
pub(crate) fn lines(summary: &Summary) -> (String, Vec<String>) {
    let service = match (summary.client.port(), summary.server.port()) {
        (20, _) => Some("FTP data"),
        (_, port) => Protocol::of_tcp(port).map(Protocol::name),
    };
    let mut lines = vec![say::lasted(summary), say::carried(summary, goodput(summary))];
    lines.extend(say::round_trips(summary));
    lines.push(say::losses(summary));
    lines.extend(say::windows(summary));
    lines.push(say::closing(summary));
    lines.extend(say::incomplete(summary));
    (say::heading(summary, service), lines)
}

/// Tells what a connection came to.
pub(super) fn tell(summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    let (heading, lines) = lines(summary);
    writeln!(out, "{heading}")?;
    lines.iter().try_for_each(|line| super::wrapped("  ", 2, line, out))
}

/// Bits a second of the end that has sent more, over the time of the connection.
fn goodput(summary: &Summary) -> Option<(End, f64)> {
    let end = if summary.from_client.bytes > summary.from_server.bytes { End::Client } else { End::Server };
    let bytes = summary.from(end).bytes;
    let ns = summary.data_ns.filter(|ns| *ns >= SHORTEST && bytes > 0)?;
    Some((end, bytes as f64 * 8e9 / ns as f64))
}
