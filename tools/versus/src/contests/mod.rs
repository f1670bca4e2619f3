//! The comparisons. Each names the rows of the goals that it answers (docs/performance.md).

mod files;
mod round_trips;
mod stream;
mod web;

use crate::contest::Contest;
use crate::options::Options;
use crate::wire::{Place, Wire};

/// Those that are asked for, on one wire.
pub(crate) fn all<'a>(options: &'a Options, place: &'a Place, wire: &'a Wire) -> Vec<Contest<'a>> {
    let contest = |row: &String| match row.as_str() {
        "stream" => stream::contest(options, place, wire),
        "rr" => round_trips::ping_pong(options, place, wire),
        "load" => round_trips::under_load(options, place, wire),
        "crr" => web::crr(options, place, wire),
        "close" => web::http(options, place, wire, false),
        "keep-alive" => web::http(options, place, wire, true),
        _ => files::contest(options, place, wire),
    };
    options.rows.iter().map(contest).collect()
}
