//! A load in words: what is about to be done, a line for each interval, and a summary.

use std::fmt::Write as _;

use bypath_measure::result::{HistogramSummary, Interval, RunResult, Totals, metric};
use bypath_measure::text::{bits_per_second, bytes, count, duration_ns, percent, rate};

use crate::frame_text::spreads;

/// What is about to be done.
pub(super) fn heading(result: &RunResult) -> Vec<String> {
    let setting = |name: &str| result.settings.get(name).map(ToString::to_string).unwrap_or_default();
    let text = |name: &str| setting(name).trim_matches('"').to_owned();
    let conditions = &result.conditions;
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".into());
    let mut first = format!(
        "bypath load {} to {}: {} connections, {} workers, {} loop",
        result.pattern.as_deref().unwrap_or("?"),
        result.target.as_deref().unwrap_or("?"),
        setting("connections"),
        setting("workers"),
        text("loop"),
    );
    if let Some(per_second) = result.settings.get("rate_per_second").and_then(|r| r.as_f64()) {
        let _ = write!(first, " at {} {}", rate(per_second), text("arrivals"));
    }
    if result.settings.contains_key("protocol") {
        let _ = write!(first, ", protocol {}", text("protocol"));
    }
    let second = format!(
        "on {} ({}, {} mode, XDP {}, MTU {}), congestion control {}",
        known(&conditions.interface),
        known(&conditions.driver),
        known(&conditions.mode),
        known(&conditions.xdp),
        conditions.mtu.unwrap_or(0),
        known(&conditions.congestion_control),
    );
    vec![first, second]
}

/// One interval, in iperf3's manner.
pub(super) fn interval(interval: &Interval) -> String {
    let mut line = format!("[{:7.2}-{:7.2} s]", interval.start_seconds, interval.end_seconds);
    let mut add = |text: String| {
        let _ = write!(line, "  {text}");
    };
    let rates = &interval.rates;
    if let Some(requests) = rates.requests_per_second.filter(|r| *r > 0.0) {
        add(format!("{} requests", rate(requests)));
    }
    if let Some(connections) = rates.connections_per_second.filter(|c| *c > 0.0) {
        add(format!("{} connections", rate(connections)));
    }
    for (name, value) in
        [("up", rates.goodput_sent_bits_per_second), ("down", rates.goodput_received_bits_per_second)]
    {
        if let Some(value) = value.filter(|v| *v > 0.0) {
            add(format!("{name} {}", bits_per_second(value)));
        }
    }
    for (name, words) in
        [(metric::REQUEST, "request"), (metric::CONNECT, "connect"), (metric::PACKET, "packet")]
    {
        if let Some(latency) = interval.latency.get(name).filter(|l| l.count > 0) {
            let (p50, p99) = (duration_ns(latency.p50_ns as f64), duration_ns(latency.p99_ns as f64));
            add(format!("{words} p50 {p50} p99 {p99}"));
            break;
        }
    }
    let open = interval.totals.connections_open_at_end.unwrap_or(0);
    add(format!("open {}", count(open)));
    let again = interval.totals.segments_retransmitted.unwrap_or(0);
    if again > 0 {
        add(format!("retransmitted {}", count(again)));
    }
    let errors = interval.totals.error_count();
    if errors > 0 {
        add(format!("errors {}", count(errors)));
    }
    if interval.start_seconds < 0.0 {
        add("(warm-up)".into());
    }
    line
}

/// The whole of it.
pub(super) fn summary(result: &RunResult) -> String {
    let mut text = String::new();
    let state = match result.state {
        bypath_measure::result::RunState::Complete => "",
        bypath_measure::result::RunState::Partial => ", cut short",
        bypath_measure::result::RunState::Failed => ", failed",
    };
    let _ = writeln!(text, "\nin {:.2} s{state}:", result.duration_seconds);
    amounts(&mut text, result);
    latencies(&mut text, result);
    for class in &result.classes {
        let files = class.totals.files.unwrap_or(0);
        let _ = writeln!(text, "  files {:<16} {:>10}", class.name, count(files));
        for (name, latency) in &class.latency {
            let _ = writeln!(text, "    {}", quantiles(name, latency));
        }
    }
    for step in &result.steps {
        let requests = step.rates.requests_per_second.map(rate).unwrap_or_default();
        let p99 = step.latency.get(metric::REQUEST).map(|l| duration_ns(l.p99_ns as f64)).unwrap_or_default();
        let _ = writeln!(text, "  step {:<24} {requests} p99 {p99}", step.name);
    }
    if let Some(cpu) = &result.cpu {
        let _ = write!(text, "  processor time     {:.2} s", cpu.total_seconds);
        if let Some(each) = cpu.seconds_per_gigabyte {
            let _ = write!(text, ", {each:.3} s for a gigabyte");
        }
        text.push('\n');
    }
    if let Some(profile) = &result.profile {
        text.push_str(&profile.table());
    }
    text.push_str(&spreads(result));
    for (cause, number) in &result.drops {
        let _ = writeln!(text, "  dropped            {} {}", count(*number), cause.replace('_', " "));
    }
    for note in &result.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    match &result.verdict {
        Some(verdict) if verdict.valid => text.push_str("valid\n"),
        Some(verdict) => {
            text.push_str("NOT VALID:\n");
            for reason in &verdict.reasons {
                let _ = writeln!(text, "  {}", reason.message);
            }
        }
        None => {}
    }
    text
}

fn amounts(text: &mut String, result: &RunResult) {
    let (totals, rates): (&Totals, _) = (&result.totals, &result.rates);
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<18} {value}");
    };
    let any = totals.requests.unwrap_or(0) > 0 || result.pattern.as_deref() != Some("stream");
    if let Some(requests) = totals.requests.filter(|_| any) {
        let each = rate(rates.requests_per_second.unwrap_or(0.0));
        row("requests", format!("{} ({each})", count(requests)));
    }
    let opened = totals.connections_opened.unwrap_or(0);
    let (failed, reset) = (totals.connections_failed.unwrap_or(0), totals.connections_reset.unwrap_or(0));
    let each = rate(rates.connections_per_second.unwrap_or(0.0));
    row("connections", format!("{} opened ({each}), {failed} failed, {reset} reset", count(opened)));
    for (name, number, each) in [
        ("sent", totals.bytes_sent, rates.goodput_sent_bits_per_second),
        ("received", totals.bytes_received, rates.goodput_received_bits_per_second),
    ] {
        if let (Some(number), Some(each)) = (number.filter(|n| *n > 0), each) {
            row(name, format!("{} ({})", bytes(number), bits_per_second(each)));
        }
    }
    let segments = |name: &str| count(totals.get(name).unwrap_or(0));
    row(
        "segments",
        format!(
            "{} sent, {} received; {} retransmitted ({}), {} lost, {} reordered, {} duplicated",
            segments("segments_sent"),
            segments("segments_received"),
            segments("segments_retransmitted"),
            percent(rates.retransmitted_ratio.unwrap_or(0.0)),
            segments("segments_lost"),
            segments("segments_reordered"),
            segments("segments_duplicated"),
        ),
    );
    for (cause, number) in &totals.errors {
        row("errors", format!("{} {}", count(*number), cause.replace('_', " ")));
    }
}

fn latencies(text: &mut String, result: &RunResult) {
    let mut names: Vec<&String> = result.latency.keys().collect();
    names.sort_by_key(|name| metric::order(name));
    for name in names {
        if let Some(latency) = result.latency.get(name) {
            let _ = writeln!(text, "  {}", quantiles(name, latency));
        }
    }
    if let Some(generator) = &result.generator {
        let _ = writeln!(text, "  {}", quantiles("lateness", &generator.lateness));
        if generator.not_started > 0 {
            let _ = writeln!(text, "  {} were due and never begun", count(generator.not_started));
        }
    }
}

fn quantiles(name: &str, latency: &HistogramSummary) -> String {
    let values = [
        ("p50", latency.p50_ns),
        ("p90", latency.p90_ns),
        ("p99", latency.p99_ns),
        ("p99.9", latency.p99_9_ns),
        ("p99.99", latency.p99_99_ns),
        ("max", latency.max_ns),
    ];
    let mut line = format!("{:<18}", name.replace('_', " "));
    for (name, value) in values {
        let _ = write!(line, " {name} {:<9}", duration_ns(value as f64));
    }
    let _ = write!(line, " of {}", count(latency.count));
    line
}
