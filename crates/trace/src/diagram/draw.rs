//! The drawing of one connection, as SVG.
//!
//! The distance between two packets grows with the time between them, but not in proportion: milliseconds and seconds
//! would not fit on one page. Packets have their times beside them; a pause is named.

use std::fmt::Write as _;

use crate::conversation::End;
use crate::numbers::Count;
use crate::story::sentences as say;

use super::{Arrow, Chart, Look};

/// Where things are, from left to right.
const TIME_X: f64 = 78.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 560.0;
const NOTE_X: f64 = 650.0;
const WIDTH: f64 = 1280.0;
/// By how much an arrow falls on its way.
const FALL: f64 = 9.0;

/// With more packets than this, ordinary ones have no words.
const CROWD: usize = 400;

/// Among so many ordinary packets one has words, so that it can be seen where one is.
const MILESTONE: usize = 25;

/// Arrows of a picture.
const SLICE: usize = 250;

/// Characters of a note.
const NOTE: usize = 84;

/// Text that is safe in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            control if control.is_control() => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

fn class(look: Look) -> &'static str {
    match look {
        Look::Data => "data",
        Look::Ack => "ack",
        Look::Open => "open",
        Look::Again => "again",
        Look::Odd => "odd",
    }
}

/// How far below the packet before a packet is.
fn step(ns: i64, worded: bool) -> f64 {
    let least = if worded { 17.0 } else { 5.0 };
    // A millisecond is worth a little, a second a lot more, an hour not much more than that.
    let more = ((ns.max(0) as f64 / 1e5) + 1.0).ln() * 3.5;
    if worded { least + more.min(50.0) } else { least + (more - 8.0).clamp(0.0, 40.0) }
}

/// Draws the arrows of a connection, in pictures that lie one below the other without a gap.
pub(super) fn arrows(chart: &Chart, svg: &mut String) {
    let crowd = chart.arrows.len() > CROWD;
    let mut slice = Slice { y: 24.0, ..Slice::default() };
    let mut last: Option<&Arrow> = None;
    let mut wordless = 0;
    for arrow in &chart.arrows {
        if slice.count == SLICE {
            slice.end(svg);
        }
        wordless += 1;
        let worded = !crowd || arrow.matters || arrow.lost || wordless == MILESTONE;
        if worded {
            wordless = 0;
        }
        let pause = last.map_or(0, |before| arrow.time.saturating_sub(before.time));
        // At the top of a picture there must be room for what is above the arrow.
        let down = step(pause, worded).max(if slice.count == 0 { 17.0 } else { 0.0 });
        if pause >= 100_000_000 {
            let middle = slice.y + down / 2.0 + 4.0;
            let said = escaped(&say::pause(pause));
            let _ = writeln!(
                slice.body,
                "<text class=\"pause\" x=\"{}\" y=\"{middle:.0}\">{said}</text>",
                (LEFT + RIGHT) / 2.0
            );
            slice.y += 12.0;
        }
        slice.y += down;
        one(chart.summary.id, arrow, slice.y, worded, &mut slice.note_free, &mut slice.body);
        slice.count += 1;
        last = Some(arrow);
    }
    slice.y += 20.0;
    slice.end(svg);
}

/// A part of a long picture: browsers lay out and paint only those that are in sight.
#[derive(Default)]
struct Slice {
    body: String,
    count: usize,
    y: f64,
    note_free: f64,
}

impl Slice {
    fn end(&mut self, svg: &mut String) {
        let height = (self.y + FALL + 5.0).ceil();
        let _ = writeln!(
            svg,
            "<svg class=\"sequence\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             style=\"contain-intrinsic-size:{WIDTH}px {height}px\" role=\"img\">"
        );
        for x in [LEFT, RIGHT] {
            let _ = writeln!(svg, "<line class=\"life\" x1=\"{x}\" y1=\"0\" x2=\"{x}\" y2=\"{height}\"/>");
        }
        svg.push_str(&self.body);
        svg.push_str("</svg>\n");
        *self = Self { note_free: self.note_free - height, ..Self::default() };
    }
}

fn one(id: u64, arrow: &Arrow, y: f64, worded: bool, note_free: &mut f64, svg: &mut String) {
    let right = arrow.from == End::Client;
    let (x1, x2) = if right { (LEFT, RIGHT) } else { (RIGHT, LEFT) };
    // What is lost ends before the other side.
    let (tip, tip_y) = if arrow.lost { (x1 + (x2 - x1) * 0.72, y + FALL * 0.72) } else { (x2, y + FALL) };
    let back = if right { -7.0 } else { 7.0 };
    let lost = if arrow.lost { " lost" } else { "" };
    let remarked = if arrow.matters || arrow.lost { " told" } else { "" };
    let _ = write!(
        svg,
        "<g class=\"p {}{lost}{remarked}\" id=\"c{id}p{}\"><title>{} ({:.6} s): {}</title>",
        class(arrow.look),
        arrow.number,
        arrow.number,
        arrow.time as f64 / 1e9,
        escaped(&arrow.text)
    );
    let _ = write!(svg, "<path d=\"M{x1} {y:.1}L{tip:.0} {tip_y:.1}");
    if arrow.lost {
        let _ = write!(svg, "m-5 -5l10 10m0 -10l-10 10\"/>");
    } else {
        let _ = write!(svg, "l{back} -4m{} 4l{back} 3\"/>", -back);
    }
    if worded {
        let (x, anchor) = if right { (x1 + 12.0, "start") } else { (x1 - 12.0, "end") };
        let _ = write!(
            svg,
            "<text class=\"time\" x=\"{TIME_X}\" y=\"{:.1}\">{:.6}</text>\
             <text class=\"number\" x=\"{}\" y=\"{:.1}\">{}</text>\
             <text class=\"label\" x=\"{x}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            y + 4.0,
            arrow.time as f64 / 1e9,
            LEFT - 8.0,
            y + 4.0,
            arrow.number,
            y - 3.0,
            escaped(&arrow.label)
        );
    }
    if (arrow.matters || arrow.lost) && y >= *note_free {
        let note: String = if arrow.text.chars().count() > NOTE {
            arrow.text.chars().take(NOTE - 1).chain(['…']).collect()
        } else {
            arrow.text.clone()
        };
        let _ =
            write!(svg, "<text class=\"note\" x=\"{NOTE_X}\" y=\"{:.1}\">{}</text>", y + 4.0, escaped(&note));
        *note_free = y + 12.0;
    }
    svg.push_str("</g>\n");
}

/// Draws where in its stream the end that has sent more was, over time.
pub(super) fn overview(chart: &Chart, svg: &mut String) {
    let summary = &chart.summary;
    let end = if summary.from_client.bytes > summary.from_server.bytes { End::Client } else { End::Server };
    let data = || chart.arrows.iter().filter(|arrow| arrow.from == end && arrow.len > 0);
    let (Some(last), Some(top)) =
        (data().map(|a| a.time).max(), data().map(|a| a.seq + i64::from(a.len)).max())
    else {
        return;
    };
    if data().count() < 3 || last <= 0 {
        return;
    }
    let (width, height) = (WIDTH - 140.0, 170.0);
    let _ = writeln!(svg, "<p class=\"what\">{}</p>", escaped(&say::overview(end)));
    let _ = writeln!(
        svg,
        "<svg class=\"overview\" viewBox=\"-90 -12 {WIDTH} 214\" width=\"{WIDTH}\" height=\"214\">"
    );
    let _ = writeln!(svg, "<rect class=\"frame\" x=\"0\" y=\"0\" width=\"{width}\" height=\"{height}\"/>");
    for part in 0..=4 {
        let share = f64::from(part) / 4.0;
        let _ = writeln!(
            svg,
            "<text class=\"tick\" x=\"{:.0}\" y=\"188\" text-anchor=\"middle\">{:.3} s</text>\
             <text class=\"tick\" x=\"-8\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
            width * share,
            last as f64 * share / 1e9,
            height * (1.0 - share) + 4.0,
            Count((top as f64 * share) as u64)
        );
    }
    for arrow in data() {
        let x = arrow.time as f64 / last as f64 * width;
        let y = height - arrow.seq.max(0) as f64 / top.max(1) as f64 * height;
        let lost = if arrow.lost { " lost" } else { "" };
        let radius = if arrow.look == Look::Again || arrow.lost { 3.4 } else { 1.6 };
        let _ = writeln!(
            svg,
            "<a href=\"#c{}p{}\"><circle class=\"{}{lost}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/></a>",
            summary.id,
            arrow.number,
            class(arrow.look)
        );
    }
    svg.push_str("</svg>\n");
}
