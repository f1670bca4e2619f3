//! `bypath rfc2544`: the benchmarks of RFC 2544 on what is between two interfaces.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bypath_measure::blast::bench::Bench;
use bypath_measure::blast::maker::Content;
use bypath_measure::blast::pacer::Rate;
use bypath_measure::blast::port::{Port, Wanted};
use bypath_measure::blast::range::FieldRange;
use bypath_measure::blast::sizes::{RFC2544_SIZES, Sizes};
use bypath_measure::blast::{BlastError, judge};
use bypath_measure::histogram::NanoHistogram;
use bypath_measure::result::{
    ErrorCode, HistogramSummary, Interval, IntervalLatency, RunResult, Step, metric,
};
use bypath_measure::rfc2544::run::Ended;
use bypath_measure::rfc2544::{Benchmark, Settings, Tests};
use bypath_measure::text::{bits_per_second, count, duration_ns, percent};
use bypath_wire::ethernet::MacAddr;
use clap::{Args, ValueEnum};

use crate::blast::{code_of, rate_text, stop_on_signals};
use crate::engine_args::PollChoice;
use crate::exports::ExportArgs;
use crate::live::Live;
use crate::port_args::{FrameArgs, PortArgs};
use crate::result_args::{ResultArgs, parse_seconds};

/// Sections 24 and 26: what trials are to last.
const RFC_TRIAL: Duration = Duration::from_secs(60);

/// The options of `bypath rfc2544`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Rfc2544Args {
    /// Which benchmarks: throughput (section 26.1), latency at the throughput (26.2), frame-loss (26.3), back-to-back (26.4).
    #[arg(long = "test", value_enum, value_delimiter = ',', default_values_t = [TestChoice::Throughput, TestChoice::Latency, TestChoice::FrameLoss, TestChoice::BackToBack])]
    tests: Vec<TestChoice>,

    /// Frame sizes in bytes, FCS included; those that the MTU carries of 64, 128, 256, 512, 1024, 1280, 1518 and jumbo
    /// frames by default.
    #[arg(long, value_name = "SIZES", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(64..))]
    size: Vec<u16>,

    /// The highest rate to try, in each direction: frames or bits a second. What the generator reaches by default.
    #[arg(short = 'R', long, value_name = "RATE")]
    rate: Option<Rate>,

    /// Loss that still counts as none, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    loss: f64,

    /// How exactly to search, in percent of the highest rate.
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    resolution: f64,

    /// Seconds of each trial; the RFC asks for 60.
    #[arg(short = 't', long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    time: Duration,

    /// Seconds to send before each trial.
    #[arg(short = 'O', long, value_name = "SECONDS", default_value = "0.1", value_parser = parse_seconds)]
    warm_up: Duration,

    /// Seconds to wait for stragglers after each trial; the RFC asks for 2.
    #[arg(long, value_name = "SECONDS", default_value = "0.2", value_parser = parse_seconds)]
    grace: Duration,

    /// Seconds to let the device settle before each trial; the RFC asks for 5.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    settle: Duration,

    /// Searches for the longest burst, of which the mean is told; the RFC asks for 50.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    bursts: u32,

    /// Send in both directions at once.
    #[arg(long)]
    both: bool,

    /// Destination MAC address of the way back; --dev's own by default.
    #[arg(long, value_name = "MAC", requires = "both")]
    back_dst_mac: Option<FieldRange<MacAddr>>,

    #[command(flatten)]
    ports: PortArgs,

    #[command(flatten)]
    frames: FrameArgs,

    #[command(flatten)]
    results: ResultArgs,

    #[command(flatten)]
    exports: ExportArgs,
}

/// `--test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TestChoice {
    /// The highest rate without loss.
    Throughput,
    /// Times of flight at that rate.
    Latency,
    /// Loss at lower and lower rates.
    FrameLoss,
    /// The longest burst without loss.
    BackToBack,
}

/// Runs the command.
pub(crate) fn run(args: &Rfc2544Args) -> ExitCode {
    let mut result = RunResult::new("rfc2544", env!("CARGO_PKG_VERSION"));
    match Live::open(&args.results, &args.exports, "rfc2544") {
        Err((code, message)) => result.fail(code, message),
        Ok(mut live) => {
            args.ports.capture.around(&mut result, |result| {
                if let Err(error) = args.measure(result, &mut live) {
                    result.fail(code_of(&error), error.to_string());
                }
            });
            live.finish(&mut result);
        }
    }
    args.results.give(result, &table)
}

impl Rfc2544Args {
    fn measure(&self, result: &mut RunResult, live: &mut Live<'_>) -> Result<(), BlastError> {
        let usage = |text: &str| Err(BlastError::Usage(text.to_owned()));
        if !(0.0..100.0).contains(&self.loss) || !(0.01..=50.0).contains(&self.resolution) {
            return usage("--loss is a percentage from 0 to below 100, --resolution one from 0.01 to 50");
        }
        if self.time.is_zero() {
            return usage("a trial takes more than 0 seconds: give a longer --time");
        }
        if self.frames.replay.is_some() || self.frames.no_signature {
            return usage(
                "the benchmarks count signed frames of one size: neither --replay nor --no-signature goes with them",
            );
        }
        let stop = stop_on_signals()?;
        let near = self.ports.near()?;
        let Some(far) = self.ports.far() else {
            return usage("the benchmarks need both ends: name the interface at the other end with --to-dev");
        };
        let there = self.frames.headers(&near, Some(&far))?;
        let mut back = self.frames.headers(&far, Some(&near))?;
        (back.src_ip, back.dst_ip) = (there.dst_ip, there.src_ip);
        (back.src_port, back.dst_port) = (there.dst_port, there.src_port);
        if self.frames.dst_mac.is_some() {
            back.dst_mac = there.src_mac;
        }
        back.dst_mac = self.back_dst_mac.unwrap_or(back.dst_mac);
        let wanted = |addresses, ports| [Wanted { addresses, ports }];
        let wanted_near = wanted(back.dst_ip, back.dst_port);
        let near_port = Port::open(&near, if self.both { &wanted_near } else { &[] })?;
        let far_port = Port::open(&far, &wanted(there.dst_ip, there.dst_port))?;
        let mtu = near_port.facts().mtu.min(far_port.facts().mtu);
        let sizes = self.sizes(mtu, there.least_size(true), result);
        let mut contents = Vec::new();
        for size in &sizes {
            let size = Sizes::fixed(*size);
            let forth = Content::generated(&there, &size, true)?;
            near_port.check_len(forth.longest())?;
            far_port.check_len(forth.longest())?;
            let back = if self.both { Some(Content::generated(&back, &size, true)?) } else { None };
            contents.push((forth, back));
        }
        let mut bench = Bench {
            ports: vec![near_port, far_port],
            cores: self.ports.pins(),
            tap: self.ports.capture.sink(),
        };
        judge::conditions(&bench, &mut result.conditions);
        self.note(result, &sizes);
        let began = Instant::now();
        let title = format!("bypath rfc2544 from {} to {}", near.interface, far.interface);
        let columns =
            format!("{:>6}  {:<36} {:>12} {:>14} {:>10}", "bytes", "trial", "sent/s", "received/s", "loss");
        live.begin(result, &[title, columns], None);
        // A trial is to a display, a log and Prometheus what an interval is in other runs.
        let mut tell = |step: &Step, times: &NanoHistogram| {
            live.interval(&as_interval(step), |_| trial_line(step));
            live.histograms(&as_interval(step), [(metric::ONE_WAY, times)]);
        };
        let mut ended = Ok(());
        let mut steps = Vec::new();
        for (forth, back) in &contents {
            let size = (forth.longest() + 4) as f64;
            let settings = self.settings(size);
            let mut benchmark = Benchmark {
                bench: &mut bench,
                settings: &settings,
                stop: &stop,
                tell: &mut tell,
                began,
                steps: Vec::new(),
            };
            let found = benchmark.run([Some(forth), back.as_ref()]);
            steps.append(&mut benchmark.steps);
            match found {
                Ok(found) => result.frame_sizes.push(found),
                Err(Ended::Failed(error)) => ended = Err(error),
                Err(Ended::Stopped) => {
                    let message = "interrupted: these are the sizes that were finished until then";
                    result.cut_short(ErrorCode::Interrupted, message);
                }
            }
            if ended.is_err() || result.error.is_some() {
                break;
            }
        }
        for step in &steps {
            result.totals.add(&step.totals);
        }
        result.steps = steps;
        result.finish(began.elapsed().as_secs_f64());
        result.rates = Default::default();
        ended
    }

    fn sizes(&self, mtu: u32, least: u16, result: &mut RunResult) -> Vec<u16> {
        if !self.size.is_empty() {
            return self.size.clone();
        }
        let most = u16::try_from(mtu + 18).unwrap_or(u16::MAX);
        let mut sizes: Vec<u16> =
            RFC2544_SIZES.into_iter().filter(|size| *size <= most && *size >= least).collect();
        let too_small: Vec<u16> = RFC2544_SIZES.into_iter().filter(|size| *size < least).collect();
        if !too_small.is_empty() {
            sizes.insert(0, least);
            let text = format!(
                "frames shorter than {least} bytes cannot hold these headers and a signature: {least} instead"
            );
            result.notes.push(text);
        }
        if most > 1518 {
            sizes.push(most.min(9018));
        }
        sizes
    }

    fn settings(&self, size: f64) -> Settings {
        let has = |choice| self.tests.contains(&choice);
        Settings {
            tests: Tests {
                throughput: has(TestChoice::Throughput),
                latency: has(TestChoice::Latency),
                loss: has(TestChoice::FrameLoss),
                back_to_back: has(TestChoice::BackToBack),
            },
            max_rate: self.rate.and_then(|rate| rate.frames_per_second(size)),
            tolerance: self.loss / 100.0,
            resolution: self.resolution / 100.0,
            trial: self.time,
            warm_up: self.warm_up,
            grace: self.grace,
            settle: self.settle,
            bursts: self.bursts,
            loss_step: 0.1,
            spin: self.ports.poll == PollChoice::Busy,
        }
    }

    fn note(&self, result: &mut RunResult, sizes: &[u16]) {
        result.set("dev", &self.ports.dev);
        result.set("to-dev", &self.ports.to_dev);
        result.set("size", sizes);
        result.set("time", self.time.as_secs_f64());
        result.set("loss", self.loss);
        result.set("resolution", self.resolution);
        result.set("bursts", self.bursts);
        result.set("both", self.both);
        result.set("workers", self.ports.workers);
        result.set("rate", self.rate.map(rate_text));
        if self.time < RFC_TRIAL {
            let seconds = self.time.as_secs_f64();
            let text = format!("trials of {seconds} s: RFC 2544, section 24, asks for 60 s (--time 60)");
            result.notes.push(text);
        }
    }
}

/// A trial as an interval.
fn as_interval(step: &Step) -> Interval {
    let mut interval = Interval::new(step.start_seconds, step.end_seconds, step.totals.clone());
    interval.drops.clone_from(&step.drops);
    let short = |times: &HistogramSummary| IntervalLatency {
        count: times.count,
        p50_ns: times.p50_ns,
        p99_ns: times.p99_ns,
        max_ns: times.max_ns,
        hdr: None,
    };
    interval.latency = step.latency.iter().map(|(name, times)| (name.clone(), short(times))).collect();
    interval
}

fn trial_line(step: &Step) -> String {
    let totals = &step.totals;
    let missing = totals.packets_lost.unwrap_or(0) + totals.packets_corrupt.unwrap_or(0);
    let share = missing as f64 / totals.packets_sent.unwrap_or(0).max(1) as f64;
    let mut line = format!(
        "{:>6}  {:<36} {:>12} {:>14} {:>10}",
        step.frame_bytes.unwrap_or(0),
        step.name,
        count(step.rates.packets_sent_per_second.unwrap_or(0.0) as u64),
        count(step.rates.packets_received_per_second.unwrap_or(0.0) as u64),
        percent(share),
    );
    if let Some(verdict) = step.verdict.as_ref().filter(|verdict| !verdict.valid) {
        let reasons: Vec<String> = verdict.reasons.iter().map(|reason| reason.code.name()).collect();
        let _ = write!(line, "  ({})", reasons.join(", "));
    }
    line
}

/// The results, a line for each size.
fn table(result: &RunResult) -> String {
    let mut text = String::from("\n");
    let _ = writeln!(
        text,
        "{:>6} {:>16} {:>13} {:<10} {:>10} {:>10} {:>10} {:>13}",
        "bytes", "throughput f/s", "", "limit", "lat p50", "lat p99", "lat max", "back-to-back"
    );
    for row in &result.frame_sizes {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let latency = |get: fn(&bypath_measure::result::HistogramSummary) -> u64| {
            or_dash(row.latency.as_ref().map(|latency| duration_ns(get(latency) as f64)))
        };
        let _ = writeln!(
            text,
            "{:>6} {:>16} {:>13} {:<10} {:>10} {:>10} {:>10} {:>13}",
            row.frame_bytes,
            or_dash(row.throughput_frames_per_second.map(|rate| count(rate as u64))),
            or_dash(row.throughput_bits_per_second.map(bits_per_second)),
            row.throughput_limited_by.as_deref().unwrap_or("-"),
            latency(|latency| latency.p50_ns),
            latency(|latency| latency.p99_ns),
            latency(|latency| latency.max_ns),
            or_dash(row.back_to_back_frames.map(|frames| count(frames as u64))),
        );
    }
    for row in result.frame_sizes.iter().filter(|row| !row.frame_loss.is_empty()) {
        let points: Vec<String> = row
            .frame_loss
            .iter()
            .map(|point| format!("{:.0} %: {}", point.rate_ratio * 100.0, percent(point.loss_ratio)))
            .collect();
        let _ = writeln!(text, "{:>6} frame loss by rate  {}", row.frame_bytes, points.join("  "));
    }
    for note in &result.notes {
        let _ = writeln!(text, "note   {note}");
    }
    text
}
