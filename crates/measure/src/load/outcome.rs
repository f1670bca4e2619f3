//! The result of a load: what was asked for, what it ran on, what was counted, and whether it came as far as it should.

use bypath::EngineStats;

use crate::result::{Class, Cpu, ErrorCode, Interval, RunResult, Step, Totals, WorkerCpu};
use crate::schedule::{Arrivals, generator};
use crate::verdict::judge_into;

use super::cause::Cause;
use super::collect::{Collected, Early};
use super::demand::Steps;
use super::files::FileProtocol;
use super::settings::{LoadSettings, Pattern, Protocol, SinkSettings};
use super::sink::medium;
use super::tally::{CLASS_LIMITS, Counts, Tally};
use super::window::Window;

/// What a result is made of.
pub(super) struct Facts<'a> {
    pub(super) settings: &'a LoadSettings,
    pub(super) collected: Collected,
    pub(super) stats: EngineStats,
    pub(super) steps: Option<Steps>,
    pub(super) window: Window,
    pub(super) sink_errors: Vec<String>,
}

/// Notes the settings.
pub(super) fn describe(settings: &LoadSettings, workers: usize, result: &mut RunResult) {
    result.pattern = Some(settings.pattern.name().to_owned());
    result.target = Some(settings.target.to_string());
    result.warm_up_seconds = settings.warm_up.as_secs_f64();
    result.set("connections", settings.connections);
    result.set("workers", workers);
    if let Some(duration) = settings.duration {
        result.set("seconds", duration.as_secs_f64());
    }
    if let Some(count) = settings.count {
        result.set("count", count);
    }
    if let Some(rate) = settings.rate {
        result.set("rate_per_second", rate.per_second);
        result.set("arrivals", if rate.poisson { "poisson" } else { "constant" });
    }
    result.set("loop", if settings.rate.is_some() { "open" } else { "closed" });
    if let Some(ramp) = settings.ramp {
        result.set("ramp_steps", ramp.steps);
    }
    result.set("interval_seconds", settings.interval.as_secs_f64());
    result.set("timeout_seconds", settings.timeout.as_secs_f64());
    if settings.pipeline > 1 {
        result.set("pipeline", settings.pipeline);
    }
    if !settings.local_ips.is_empty() {
        result.set("local_ips", settings.local_ips.len());
    }
    result.set("verify", settings.verify);
    result.set("packet_latency", settings.packet_latency);
    if !settings.packet_latency {
        result.notes.push("the latency of packets was not recorded (--no-packet-latency)".to_owned());
    }
    describe_pattern(&settings.pattern, result);
}

fn describe_pattern(pattern: &Pattern, result: &mut RunResult) {
    match pattern {
        Pattern::Rr(rr) | Pattern::Crr(rr) => {
            result.set("protocol", rr.protocol.name());
            result.set("request_bytes", rr.request_bytes);
            result.set("response_bytes", rr.response_bytes);
        }
        Pattern::Stream(stream) => {
            result.set("protocol", stream.protocol.name());
            result.set("direction", stream.direction.name());
            if let Some(size) = stream.size {
                result.set("size_bytes", size);
            }
            result.set("source", stream.source.as_deref().map_or("null", medium));
            describe_sink(&stream.sink, result);
        }
        Pattern::Hold { trickle } => {
            if let Some(trickle) = trickle {
                result.set("trickle_seconds", trickle.as_secs_f64());
            }
        }
        Pattern::Http(http) => {
            result.set("protocol", "http");
            result.set("method", http.method.name());
            result.set("pages", http.pages.len());
            result.set("keep_alive", http.keep_alive);
        }
        Pattern::Files(files) => {
            result.set("protocol", files.protocol.name());
            describe_sink(&files.sink, result);
            if let FileProtocol::Ftp(ftp) = &files.protocol {
                result.set("direction", if ftp.store.is_some() { "up" } else { "down" });
                if let Some(size) = ftp.store {
                    result.set("size_bytes", size);
                }
            }
            if let FileProtocol::Http(http) = &files.protocol {
                result.set("keep_alive", http.keep_alive);
            }
        }
        Pattern::Connect => {}
    }
}

fn describe_sink(sink: &SinkSettings, result: &mut RunResult) {
    let kind = match sink {
        SinkSettings::Null => "null",
        SinkSettings::File(path) | SinkSettings::Directory(path) => medium(path),
    };
    result.set("sink", kind);
}

/// Notes what was measured.
pub(super) fn fill(facts: Facts<'_>, result: &mut RunResult) {
    let Facts { settings, collected, stats, steps, window, sink_errors } = facts;
    let requests = !matches!(settings.pattern, Pattern::Connect | Pattern::Hold { .. });
    let seconds = collected.end.saturating_sub(window.warm_up) as f64 / 1e9;
    result.totals = collected.total.totals(requests);
    let mut latency = collected.total.hist.summaries();
    let lateness = latency.remove(crate::result::metric::LATENESS);
    result.latency = latency;
    if let (Some(rate), Some(_)) = (settings.rate, &lateness) {
        let arrivals =
            if rate.poisson { Arrivals::Poisson { seed: settings.seed } } else { Arrivals::Constant };
        let counts = &collected.total.counts;
        let histogram = collected.total.hist.get(crate::result::metric::LATENESS);
        result.generator = histogram
            .map(|h| generator(arrivals, rate.per_second, counts.intended, counts.requests_started, h));
    }
    result.drops.clone_from(&collected.drops);
    for (name, count) in stats.drops.iter().filter(|(name, _)| name.starts_with("steer_")) {
        result.drops.insert(name.clone(), *count);
    }
    let mut cpu = Cpu::new(collected.cpu.0, collected.cpu.1);
    cpu.workers =
        collected.workers.iter().enumerate().map(|(n, c)| worker_cpu(n, c, seconds, result)).collect();
    result.cpu = Some(cpu);
    result.intervals.clone_from(&collected.intervals);
    result.classes = classes(&collected.total, seconds);
    result.steps = ramp_steps(settings, &collected, steps, window, requests);
    result.finish(seconds);
    if collected.total.under_way > 0 {
        let text = format!("{} requests were under way at the end", collected.total.under_way);
        result.notes.push(text);
    }
    judge_end(settings, &collected, sink_errors, result);
    judge_into(result, &settings.expected);
}

fn worker_cpu(number: usize, counts: &Counts, seconds: f64, result: &RunResult) -> WorkerCpu {
    let all = (counts.busy_ns + counts.idle_ns) as f64;
    WorkerCpu {
        worker: number as u32,
        core: result.conditions.cores.get(number).copied(),
        busy_ratio: (all > 0.0).then(|| counts.busy_ns as f64 / all),
        waiting_ratio: (seconds > 0.0).then(|| (counts.waiting_ns as f64 / 1e9 / seconds).min(1.0)),
        transmit_ring_full: Some(counts.transmit_stalls),
        receive_ring_full: Some(counts.receive_ring_full),
    }
}

/// The size classes that had files.
fn classes(total: &Tally, seconds: f64) -> Vec<Class> {
    let names = ["4 KiB", "64 KiB", "1 MiB", "16 MiB", "256 MiB"];
    let full = total.classes.iter().enumerate().filter(|(_, class)| class.files > 0);
    full.map(|(at, class)| {
        let name = match (at, names.get(at)) {
            (_, Some(name)) => format!("up to {name}"),
            (_, None) => "above 256 MiB".to_owned(),
        };
        debug_assert!(class.largest <= CLASS_LIMITS[at]);
        let totals = crate::result::Totals {
            files: Some(class.files),
            bytes_received: Some(class.bytes),
            ..Default::default()
        };
        let rates = crate::result::Rates::of(&totals, seconds);
        let latency = class.hist.summaries();
        Class {
            name,
            min_bytes: Some(class.smallest),
            max_bytes: Some(class.largest),
            totals,
            rates,
            latency,
        }
    })
    .collect()
}

/// The steps of the ramp, each with its own figures.
fn ramp_steps(
    settings: &LoadSettings,
    collected: &Collected,
    steps: Option<Steps>,
    window: Window,
    requests: bool,
) -> Vec<Step> {
    let Some(steps) = steps else { return Vec::new() };
    let ends = collected.steps.iter().skip(1).map(|(_, start, _)| *start).chain([collected.end]);
    let seconds = |t: u64| (t as f64 - window.warm_up as f64) / 1e9;
    collected
        .steps
        .iter()
        .zip(ends)
        .map(|((number, start, tally), end)| {
            let share = (number + 1) as f64 / f64::from(steps.count);
            let totals = tally.totals(requests);
            let per_second = settings.rate.map(|rate| rate.per_second * share);
            let connections = (f64::from(settings.connections) * share).ceil() as u64;
            let mut latency = tally.hist.summaries();
            latency.remove(crate::result::metric::LATENESS);
            Step {
                name: match per_second {
                    Some(rate) => format!("{rate:.0} per second"),
                    None => format!("{connections} connections"),
                },
                intended_per_second: per_second,
                connections: per_second.is_none().then_some(connections),
                start_seconds: seconds(*start),
                end_seconds: seconds(end),
                rates: crate::result::Rates::of(&totals, (end - start) as f64 / 1e9),
                totals,
                latency,
                ..Step::default()
            }
        })
        .collect()
}

/// Whether the run came as far as it should, and if not, why.
fn judge_end(
    settings: &LoadSettings,
    collected: &Collected,
    sink_errors: Vec<String>,
    result: &mut RunResult,
) {
    let counts = &collected.total.counts;
    let target = settings.target;
    if let Some(error) = sink_errors.into_iter().next() {
        result.cut_short(ErrorCode::Output, format!("writing what was received: {error}"));
        return;
    }
    let worst = Cause::ALL.iter().max_by_key(|cause| counts.errors[**cause as usize]);
    let worst = worst.copied().filter(|cause| counts.errors[*cause as usize] > 0);
    match collected.early {
        Some(Early::Interrupted) => {
            result.cut_short(ErrorCode::Interrupted, "interrupted: this is what was measured until then");
            return;
        }
        Some(Early::WorkerLost) => {
            result.cut_short(ErrorCode::Other, "a worker has ended or hangs: its interface may be gone");
            return;
        }
        Some(Early::Unreached(cause)) => {
            result.fail(code_of(cause), format!("{target}: {}: {}", words(cause, collected), cause.advice()));
            return;
        }
        Some(Early::Silence) if counts.connections_opened > 0 => {
            let seconds = settings.timeout.as_secs_f64();
            let other = if counts.requests == 0 { other_server(settings) } else { "" };
            let text =
                format!("{target}: nothing was heard for {seconds} s: the measurement ends there{other}");
            result.cut_short(ErrorCode::PeerGone, text);
            return;
        }
        Some(Early::Silence | Early::SinkFailed) | None => {}
    }
    let held_once = collected.intervals.iter().any(|i| i.totals.connections_open_at_end > Some(0));
    let anything = match settings.pattern {
        // A byte that trickles is no sign that the connection lasts.
        Pattern::Hold { .. } => collected.total.open > 0 || held_once,
        Pattern::Stream(_) => counts.requests > 0 || counts.bytes_sent + counts.bytes_received > 0,
        Pattern::Connect => counts.requests > 0 || counts.connections_opened > 0,
        _ => counts.requests > 0,
    };
    match worst {
        Some(cause) if anything && every_transfer_failed(settings, collected) => {
            let text = format!("{target}: {}: {}", words(cause, collected), cause.advice());
            let undisturbed = |i: &Interval| moved(&i.totals) > 0 && i.totals.requests_failed == Some(0);
            // What was measured before the server gave up is a measurement; what fits into its buffers is none.
            if collected.intervals.iter().any(undisturbed) {
                result.cut_short(code_of(cause), text);
            } else {
                result.fail(code_of(cause), text);
            }
        }
        Some(cause) if held_once && lost_all(settings, collected) => {
            let text = format!(
                "{target}: at the end no connection was left: {}: {}",
                words(cause, collected),
                cause.advice()
            );
            result.cut_short(code_of(cause), text);
        }
        Some(cause) if !anything => {
            result.fail(code_of(cause), format!("{target}: {}: {}", words(cause, collected), cause.advice()));
        }
        _ if !anything && collected.early == Some(Early::Silence) => {
            result.fail(ErrorCode::TimedOut, format!("{target}: nothing answers there"));
        }
        _ if !anything && collected.total.under_way > 0 => {
            let other = other_server(settings);
            let text = format!("{target}: no request was answered before the time was up: raise -t{other}");
            result.fail(ErrorCode::TimedOut, text);
        }
        _ if !anything && counts.connections_opened == 0 => {
            let text = format!(
                "{target}: no connection was answered before the time was up: see that the host is up, or raise -t"
            );
            result.fail(ErrorCode::TimedOut, text);
        }
        _ => {}
    }
}

/// Whether every transfer that was begun has failed. Bytes that a kernel acknowledges before it resets the connection are
/// no success.
fn every_transfer_failed(settings: &LoadSettings, collected: &Collected) -> bool {
    let counts = &collected.total.counts;
    matches!(settings.pattern, Pattern::Stream(_))
        && counts.requests == 0
        && counts.requests_failed > 0
        && collected.total.under_way == 0
}

/// Payload in either direction, bytes.
fn moved(totals: &Totals) -> u64 {
    totals.bytes_sent.unwrap_or(0) + totals.bytes_received.unwrap_or(0)
}

/// Whether all that was to be held is gone.
fn lost_all(settings: &LoadSettings, collected: &Collected) -> bool {
    matches!(settings.pattern, Pattern::Hold { .. }) && collected.total.open == 0
}

/// What else may be the matter when a server does not answer.
fn other_server(settings: &LoadSettings) -> &'static str {
    match &settings.pattern {
        Pattern::Rr(rr) | Pattern::Crr(rr) if rr.protocol == Protocol::Echo => {
            "; to `bypath serve --rr`, which is no echo, give --protocol bypath"
        }
        _ => "",
    }
}

/// The cause, with what the server itself has said, where it has.
fn words(cause: Cause, collected: &Collected) -> String {
    let name = cause.name().replace('_', " ");
    match collected.total.codes.of(cause) {
        Some(code) if cause == Cause::FtpRefused => format!("{name} (reply {code})"),
        Some(code) => format!("{name} (status {code})"),
        None => name,
    }
}

fn code_of(cause: Cause) -> ErrorCode {
    match cause {
        Cause::Refused => ErrorCode::Refused,
        Cause::ConnectTimeout | Cause::Stalled => ErrorCode::TimedOut,
        Cause::Unreachable => ErrorCode::Unreachable,
        Cause::PortsExhausted => ErrorCode::PortsExhausted,
        Cause::NoRoom => ErrorCode::Other,
        Cause::Reset | Cause::ClosedEarly | Cause::PeerGone => ErrorCode::PeerGone,
        Cause::SinkFailed => ErrorCode::Output,
        Cause::Status4xx | Cause::Status5xx | Cause::StatusOther | Cause::FtpRefused => {
            ErrorCode::UnexpectedStatus
        }
        Cause::WrongContent | Cause::Malformed | Cause::Truncated => ErrorCode::PeerLied,
    }
}
