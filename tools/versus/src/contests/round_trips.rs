//! Row 8: 64 bytes there and back, one at a time and at a rate, beside sockperf.

use crate::Error;
use crate::contest::{Contest, Figure, Ours, Subject};
use crate::options::Options;
use crate::program::{json, number, output};
use crate::wire::{ECHO_PORT, Place, SOCKPERF_PORT, Served, Side, Wire, client};

/// Messages a second of the comparison at a rate.
const RATE: &str = "10000";

const FIGURES: [Figure; 2] = [Figure::less("p50", "µs"), Figure::less("p99", "µs")];

/// The next when the answer is there.
pub(super) fn ping_pong<'a>(options: &'a Options, place: &'a Place, wire: &'a Wire) -> Contest<'a> {
    contest("8 rr 64 B", options, place, wire, None)
}

/// At fixed times, from when each was due.
pub(super) fn under_load<'a>(options: &'a Options, place: &'a Place, wire: &'a Wire) -> Contest<'a> {
    contest("8 rr 64 B, 10,000/s", options, place, wire, Some(RATE))
}

fn contest<'a>(
    name: &str,
    options: &'a Options,
    place: &'a Place,
    wire: &'a Wire,
    rate: Option<&'a str>,
) -> Contest<'a> {
    let ours = ["busy", "adaptive"].map(|poll| Ours {
        subject: Subject::new(poll, move || ours(options, place, wire, poll, rate)),
        ceiling: None,
    });
    Contest {
        name: name.into(),
        figures: FIGURES.to_vec(),
        ours: ours.into(),
        peers: vec![
            Subject::new("sockperf", move || sockperf(options, &wire.plain, rate)),
            Subject::new("sockperf, offloads on", move || sockperf(options, &wire.offloaded, rate)),
        ],
    }
}

fn ours(
    options: &Options,
    place: &Place,
    wire: &Wire,
    poll: &str,
    rate: Option<&str>,
) -> Result<Vec<f64>, Error> {
    let _served = Served::start(place, wire, &["--poll", poll])?;
    let target = format!("{}:{ECHO_PORT}", wire.plain.far_ip());
    let mut command = client(place, wire, &["latency", &target, "--json", "--poll", poll]);
    command.args(["-t", &options.seconds.to_string()]);
    command.args(rate.iter().flat_map(|rate| ["-R", *rate]));
    let result = json(&mut command)?;
    let latency = if rate.is_some() { "request" } else { "round_trip" };
    let micros = |p: &str| number(&result, &format!("/latency/{latency}/{p}_ns")).map(|ns| ns / 1e3);
    Ok(vec![micros("p50")?, micros("p99")?])
}

fn sockperf(options: &Options, side: &Side, rate: Option<&str>) -> Result<Vec<f64>, Error> {
    let mut command = side.near("sockperf")?;
    command.arg(if rate.is_some() { "under-load" } else { "ping-pong" });
    command.args(["--tcp", "--full-rtt", "-m", "64", "-i", &side.far_ip()]);
    command.args(["-p", &SOCKPERF_PORT.to_string(), "-t", &options.seconds.to_string()]);
    // Of every message the answer, not of one in a hundred.
    command.args(rate.iter().flat_map(|rate| ["--mps", *rate, "--reply-every", "1"]));
    let printed = output(&mut command)?;
    let percentile = |wanted: &str| {
        let value = printed.lines().find_map(|line| {
            let (name, value) = line.split_once("percentile ")?.1.split_once('=')?;
            (name.trim() == wanted).then(|| value.trim().parse().ok())?
        });
        value.ok_or_else(|| format!("sockperf printed {printed:?}"))
    };
    Ok(vec![percentile("50.000")?, percentile("99.000")?])
}
