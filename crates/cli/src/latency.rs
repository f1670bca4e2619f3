//! `bypath latency`: how long a message takes there and back.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bypath::{Engine, EngineError, Poll};
use bypath_measure::blast::bench::{Bench, IntervalSample, SidePlan, TrialPlan};
use bypath_measure::blast::outcome::{self, Flow};
use bypath_measure::blast::pacer::Rate;
use bypath_measure::blast::port::{Port, Wanted};
use bypath_measure::blast::sizes::Sizes;
use bypath_measure::blast::{BlastError, judge};
use bypath_measure::conditions::Watch;
use bypath_measure::histogram::HistogramSet;
use bypath_measure::latency::engine::{Run, tcp};
use bypath_measure::latency::socket::{EngineUdp, KernelTcp, KernelUdp, run as run_socket, told};
use bypath_measure::latency::{PingPlan, PingReport, Tell};
use bypath_measure::repeat::repeated;
use bypath_measure::result::{ErrorCode, Interval, RunResult, metric};
use bypath_measure::verdict::{Expectations, judge_into};
use clap::{Args, ValueEnum};

use crate::blast::{code_of, stop_on_signals, unix_seconds};
use crate::engine_args::{EngineArgs, PollChoice};
use crate::exports::ExportArgs;
use crate::frame_text::{latency_line, latency_summary};
use crate::live::Live;
use crate::port_args::{FrameArgs, PortArgs};
use crate::result_args::{ResultArgs, parse_seconds};
use crate::stack::{StackChoice, enter_netns};

/// How long a run is when nothing is said.
const DURATION: Duration = Duration::from_secs(10);
/// Raw frames a second when nothing is said.
const RAW_RATE: f64 = 1_000.0;
/// RFC 862.
const ECHO_PORT: u16 = 7;

/// Our own end is part of what is measured.
const EXPECTED: Expectations = Expectations {
    mode: None,
    xdp: None,
    transmit_path: None,
    lossless: false,
    raw_frames: false,
    own_end_is_measured: true,
};

/// The options of `bypath latency`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LatencyArgs {
    /// The echo server: ADDRESS:PORT, or ADDRESS for port 7. With --proto raw the address that a `bypath blast --reflect`
    /// answers for; not needed with --to-dev.
    #[arg(value_name = "TARGET")]
    target: Option<String>,

    /// What to send: messages over a TCP connection, datagrams, or signed frames that need no stack at the other end.
    #[arg(long, value_enum, default_value_t)]
    proto: ProtoChoice,

    /// Whose sockets to use.
    #[arg(long, value_enum, default_value_t)]
    stack: StackChoice,

    /// Bytes of a message; with --proto raw of a frame, FCS included.
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    size: u32,

    /// Messages a second, at fixed times: latencies then count from when a message was due. Without it the next
    /// goes when the answer is there; raw frames go 1,000 a second.
    #[arg(short = 'R', long, value_name = "RATE")]
    rate: Option<Rate>,

    /// Seconds to measure, 10 if -n is not given either.
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = parse_seconds)]
    time: Option<Duration>,

    /// Messages to send.
    #[arg(short = 'n', long, value_name = "MESSAGES", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Seconds to send before what counts.
    #[arg(short = 'O', long, value_name = "SECONDS", default_value = "0.1", value_parser = parse_seconds)]
    warm_up: Duration,

    /// Seconds to wait for an answer.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    timeout: Duration,

    /// With --proto raw: the interface at the other end, which this process then reflects from.
    #[arg(long, value_name = "IFACE")]
    to_dev: Option<String>,

    /// The network namespace of --to-dev.
    #[arg(long, value_name = "NAME", requires = "to_dev")]
    to_netns: Option<String>,

    #[command(flatten)]
    engine: EngineArgs,

    /// Run it so many times, and tell medians, spread and confidence.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,

    #[command(flatten)]
    results: ResultArgs,

    #[command(flatten)]
    exports: ExportArgs,
}

/// `--proto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtoChoice {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// Ethernet frames, by AF_XDP at both ends.
    Raw,
}

/// Why there is no measurement.
type Failure = (ErrorCode, String);

fn usage(text: impl Into<String>) -> Failure {
    (ErrorCode::Usage, text.into())
}

fn engine_failure(error: &EngineError) -> Failure {
    let code = match error {
        EngineError::Config(_) | EngineError::Namespace { .. } => ErrorCode::Usage,
        _ => ErrorCode::Interface,
    };
    (code, error.to_string())
}

/// Runs the command.
pub(crate) fn run(args: &LatencyArgs) -> ExitCode {
    let mut result = RunResult::new("latency", env!("CARGO_PKG_VERSION"));
    match Live::open(&args.results, &args.exports, "latency") {
        Err((code, message)) => result.fail(code, message),
        Ok(mut live) => {
            args.engine.capture.around(&mut result, |result| {
                if let Err((code, message)) = args.measure(result, &mut live) {
                    result.fail(code, message);
                }
            });
            live.finish(&mut result);
        }
    }
    args.results.give(result, &latency_summary)
}

impl LatencyArgs {
    fn measure(&self, result: &mut RunResult, live: &mut Live<'_>) -> Result<(), Failure> {
        let pattern = match self.proto {
            ProtoChoice::Tcp => "tcp",
            ProtoChoice::Udp => "udp",
            ProtoChoice::Raw => "raw",
        };
        result.pattern = Some(pattern.to_owned());
        result.set("size", self.size);
        result.set("poll", if self.spins() { "busy" } else { "adaptive" });
        result.set("time", self.time.map(|time| time.as_secs_f64()));
        result.set("count", self.count);
        result.warm_up_seconds = self.warm_up.as_secs_f64();
        if self.engine.capture.pcap.is_some()
            && self.stack == StackChoice::Kernel
            && self.proto != ProtoChoice::Raw
        {
            return Err(usage("--pcap shows what the engine does; for --stack kernel there is bypath trace"));
        }
        if self.timeout.is_zero() {
            return Err(usage("--timeout must be more than 0 seconds"));
        }
        let stop = stop_on_signals().map_err(|error| (code_of(&error), error.to_string()))?;
        if self.proto == ProtoChoice::Raw {
            return self.raw(result, &stop, live).map_err(|error| (code_of(&error), error.to_string()));
        }
        let rate = match self.rate {
            None => None,
            Some(Rate::Frames(rate)) => Some(rate),
            Some(_) => return Err(usage("messages go at a rate by number, like -R 1000")),
        };
        result.set("rate", rate);
        let plan = PingPlan {
            size: self.size as usize,
            rate,
            warm_up: self.warm_up,
            duration: self.duration(),
            count: self.count,
            timeout: self.timeout,
            spin: self.spins(),
            interval: self.results.interval,
            keep_histograms: self.results.keeps_histograms(),
        };
        // Names of the namespace are resolved inside it.
        if let Some(netns) = &self.engine.netns {
            enter_netns(netns).map_err(|error| usage(error.message))?;
        }
        let target = self.target()?;
        result.target = Some(target.to_string());
        let base = result.clone();
        *result = repeated(self.repeat, &EXPECTED, || {
            let mut one = RunResult { started_unix_seconds: unix_seconds(), ..base.clone() };
            if let Err((code, message)) = self.ping(&mut one, target, &plan, &stop, live) {
                one.fail(code, message);
            }
            one
        });
        Ok(())
    }

    /// Once, over the engine or the kernel's sockets.
    fn ping(
        &self,
        result: &mut RunResult,
        target: SocketAddr,
        plan: &PingPlan,
        stop: &Arc<AtomicBool>,
        live: &mut Live<'_>,
    ) -> Result<(), Failure> {
        self.begin(result, live);
        let mut watch = Watch::begin();
        let mut tell = |interval: &Interval, times: &HistogramSet| {
            watch.look();
            live.interval(interval, latency_line);
            live.histograms(interval, times.iter());
        };
        let (report, ended) = match self.stack {
            StackChoice::Kernel => self.kernel(result, target, plan, stop, &mut tell)?,
            StackChoice::Engine => self.engine(result, target, plan, stop, &mut tell)?,
        };
        watch.end(&mut result.conditions);
        report.fill(result, plan);
        match ended {
            Some((code, message)) if report.answered == 0 => return Err((code, message)),
            Some((code, message)) => result.cut_short(code, message),
            None if report.answered == 0 && report.wrong > 0 => {
                let text = format!("{target} answered, but never with what was sent: is it an echo server?");
                return Err((ErrorCode::PeerLied, text));
            }
            None if report.answered == 0 => {
                return Err((
                    ErrorCode::TimedOut,
                    format!("{target} answered none of {} messages", report.sent),
                ));
            }
            None => {}
        }
        judge_into(result, &EXPECTED);
        Ok(())
    }

    fn begin(&self, result: &RunResult, live: &mut Live<'_>) {
        let target = result.target.as_deref().unwrap_or_default();
        let pattern = result.pattern.as_deref().unwrap_or_default();
        let title = format!("bypath latency to {target}, {pattern}, {} bytes", self.size);
        live.begin(result, &[title], self.duration().map(|duration| duration.as_secs_f64()));
    }

    fn spins(&self) -> bool {
        self.engine.poll == PollChoice::Busy
    }

    fn duration(&self) -> Option<Duration> {
        if self.time.is_none() && self.count.is_none() { Some(DURATION) } else { self.time }
    }

    fn target(&self) -> Result<SocketAddr, Failure> {
        let Some(target) = &self.target else {
            return Err(usage("whom to ask? Name an echo server, ADDRESS:PORT"));
        };
        if let Ok(address) = target.parse::<IpAddr>() {
            return Ok(SocketAddr::new(address, ECHO_PORT));
        }
        if let Ok(address) = target.parse() {
            return Ok(address);
        }
        let found = if target.contains(':') {
            target.to_socket_addrs()
        } else {
            (target.as_str(), ECHO_PORT).to_socket_addrs()
        };
        let unknown = |why: String| (ErrorCode::Resolve, format!("\"{target}\" has no address{why}"));
        found.map_err(|error| unknown(format!(": {error}")))?.next().ok_or_else(|| unknown(String::new()))
    }

    fn kernel(
        &self,
        result: &mut RunResult,
        target: SocketAddr,
        plan: &PingPlan,
        stop: &AtomicBool,
        tell: &mut Tell<'_>,
    ) -> Result<Run, Failure> {
        result.conditions.stack = Some("kernel".to_owned());
        result.conditions.kernel = Some(crate::output::kernel_release());
        if self.proto == ProtoChoice::Tcp {
            let mut way = KernelTcp::connect(target, plan).map_err(|error| told(&error, target))?;
            return Ok(run_socket(&mut way, target, plan, stop, tell));
        }
        let mut way = KernelUdp::connect(target, plan).map_err(|error| told(&error, target))?;
        Ok(run_socket(&mut way, target, plan, stop, tell))
    }

    fn engine(
        &self,
        result: &mut RunResult,
        target: SocketAddr,
        plan: &PingPlan,
        stop: &Arc<AtomicBool>,
        tell: &mut Tell<'_>,
    ) -> Result<Run, Failure> {
        let poll = if plan.spin { Poll::Busy } else { Poll::Adaptive };
        let builder = self.engine.builder().poll(poll);
        let (engine, run) = if self.proto == ProtoChoice::Tcp {
            tcp(builder, target, plan, stop, tell).map_err(|error| engine_failure(&error))?
        } else {
            let engine = builder.start().map_err(|error| engine_failure(&error))?;
            let way = EngineUdp::bind(&engine, target, plan);
            let run = match way {
                Ok(mut way) => run_socket(&mut way, target, plan, stop, tell),
                Err(error) => (PingReport::default(), Some(told(&error, target))),
            };
            (engine, run)
        };
        note_engine(result, &engine);
        Ok(run)
    }

    fn raw(&self, result: &mut RunResult, stop: &AtomicBool, live: &mut Live<'_>) -> Result<(), BlastError> {
        let dst_ip = match &self.target {
            None => None,
            Some(target) => Some(target.parse().map_err(BlastError::Usage)?),
        };
        let ports = PortArgs {
            dev: self.engine.dev.clone(),
            netns: self.engine.netns.clone(),
            queues: self.engine.queues.clone(),
            to_dev: self.to_dev.clone(),
            to_netns: self.to_netns.clone(),
            to_queues: None,
            workers: 1,
            cores: self.engine.cores.clone(),
            mode: self.engine.mode,
            xdp: self.engine.xdp,
            tx: self.engine.tx,
            pump_core: self.engine.pump_core,
            poll: self.engine.poll,
            capture: self.engine.capture.clone(),
        };
        let frames = FrameArgs { dst_ip, ..FrameArgs::default() };
        let (near, far) = (ports.near()?, ports.far());
        let size = u16::try_from(self.size)
            .map_err(|_| BlastError::Usage(format!("no wire carries frames of {} bytes", self.size)))?;
        if size < bypath_measure::blast::sizes::MIN_SIZE {
            return Err(BlastError::Usage(format!("the shortest Ethernet frame has 64 bytes, not {size}")));
        }
        let headers = frames.headers(&near, far.as_ref())?;
        let content = frames.content(Some(&Sizes::fixed(size)), &near, far.as_ref())?;
        let back = Wanted { addresses: headers.src_ip, ports: headers.src_port };
        let mut open = vec![Port::open(&near, &[back])?];
        open[0].check_len(content.longest())?;
        if let Some(far) = &far {
            open.push(Port::open(far, &[Wanted { addresses: headers.dst_ip, ports: headers.dst_port }])?);
        }
        let mut bench = Bench { ports: open, cores: ports.pins(), tap: self.engine.capture.sink() };
        judge::conditions(&bench, &mut result.conditions);
        result.target = Some(headers.dst_ip.to_string());
        let rate = self.rate.unwrap_or(Rate::Frames(RAW_RATE));
        let plan = TrialPlan {
            sides: [
                SidePlan { send: Some(content.clone()), receive: true, reflect: false },
                SidePlan { reflect: far.is_some(), ..SidePlan::default() },
            ],
            rate,
            warm_up: self.warm_up,
            duration: self.duration(),
            frames: self.count,
            grace: self.timeout.min(Duration::from_millis(200)),
            spin: self.spins(),
            interval: self.results.interval,
            ..TrialPlan::default()
        };
        let base = result.clone();
        *result = repeated(self.repeat, &judge::expectations(), || {
            let mut one = RunResult { started_unix_seconds: unix_seconds(), ..base.clone() };
            let intended = rate.frames_per_second(content.mean_size());
            if let Err(error) = self.raw_once(&mut one, &mut bench, &plan, intended, stop, live) {
                one.fail(code_of(&error), error.to_string());
            }
            one
        });
        Ok(())
    }

    /// Raw frames there and back, once.
    fn raw_once(
        &self,
        result: &mut RunResult,
        bench: &mut Bench,
        plan: &TrialPlan,
        intended: Option<f64>,
        stop: &AtomicBool,
        live: &mut Live<'_>,
    ) -> Result<(), BlastError> {
        self.begin(result, live);
        let mut watch = Watch::begin();
        let mut tell = |sample: &IntervalSample| {
            watch.look();
            let mut interval = outcome::interval(sample, true, true, false);
            rename(&mut interval.latency);
            live.interval(&interval, latency_line);
            live.histograms(&interval, [(metric::ROUND_TRIP, &sample.one_way)]);
        };
        let report = bench.trial(plan, stop, &mut tell)?;
        watch.end(&mut result.conditions);
        let flow = Flow::between(report.sides.first(), report.sides.first());
        outcome::fill(result, bench, &report, std::slice::from_ref(&flow), intended);
        rename(&mut result.latency);
        result.intervals.iter_mut().for_each(|interval| rename(&mut interval.latency));
        judge::notes(result, &flow, plan, &report);
        if flow.received == 0 {
            let message = format!(
                "no frame came back from {}: is a `bypath blast --reflect` running at the other end?",
                result.target.as_deref().unwrap_or_default()
            );
            result.fail(ErrorCode::TimedOut, message);
        } else if stop.load(Ordering::Relaxed) {
            result.cut_short(ErrorCode::Interrupted, "interrupted: this is what was measured until then");
        }
        judge_into(result, &judge::expectations());
        Ok(())
    }
}

/// What came back to where it began was no way, but a round trip.
fn rename<T>(latency: &mut BTreeMap<String, T>) {
    if let Some(times) = latency.remove(metric::ONE_WAY) {
        latency.insert(metric::ROUND_TRIP.to_owned(), times);
    }
}

fn note_engine(result: &mut RunResult, engine: &Engine) {
    let (info, stats) = (engine.info(), engine.stats());
    bypath_measure::conditions::engine(info, &mut result.conditions);
    bypath_measure::conditions::transmitted(&stats, &mut result.conditions);
    result.notes.extend(bypath_measure::conditions::engine_notes(info, &stats));
    result.drops.extend(stats.drops.into_iter().filter(|(_, count)| *count > 0));
}
