//! `bypath trace`: packets of an interface as the kernel sees them, a line each, through libpcap.
//!
//! What an XDP program takes from the interface before the kernel has it cannot be seen here; that is said at the
//! beginning, and `--pcap` of the command that takes it shows it.

use std::io::{self, BufRead as _, Write};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bypath_measure::export::{Output, OutputError};
use bypath_trace::story::Story;
use bypath_trace::style::fields::Json;
use bypath_trace::style::tcpdump::{Options, Tcpdump, TimeForm};
use bypath_trace::style::{Names, Style, ipformat::Ipformat};
use bypath_trace::write::{Interface, Packet, PcapngWriter, Section, Statistics};
use bypath_trace::{LinkType, Record, Timestamp};
use bypath_xdp::NicFacts;
use clap::{Args, ValueEnum};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pcap::{Active, Capture, Precision};

use crate::output::{INTERFACE, USAGE};
use crate::stack::enter_netns;
use crate::story_args::DetailLevel;

/// How long packets are waited for before it is looked whether to stop, milliseconds.
const LOOK_MS: u8 = 50;
/// Packets that wait in the kernel: bytes.
const BUFFER: i32 = 16 << 20;
/// libpcap's number for IP without a link header, which files know by another one.
const DLT_RAW: i32 = 12;

/// The options of `bypath trace`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TraceArgs {
    /// The interface to watch; "any" watches all.
    #[arg(long, value_name = "IFACE")]
    dev: String,

    /// The network namespace that it is in, one of `ip netns list`.
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,

    /// Only packets that this accepts, in the language of pcap-filter(7), such as: tcp port 80 and host 198.18.0.2
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,

    /// End after so many packets.
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// How packets are printed.
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    style: TraceStyle,

    /// How much the story tells; means nothing without --style story.
    #[arg(long, value_name = "LEVEL", default_value = "normal")]
    detail: DetailLevel,

    /// Write the packets to FILE as well, as pcapng. It gets its name at the end.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,

    /// Take so many bytes of each packet.
    #[arg(long, value_name = "BYTES", default_value_t = 262_144, value_parser = clap::value_parser!(u32).range(14..=262_144))]
    snaplen: u32,

    /// Print no packets: for --pcap.
    #[arg(short, long)]
    silent: bool,
}

/// `--style`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum TraceStyle {
    /// Interface and seconds since the beginning, then the packet: `lo:[ 0.104]: IP …`.
    #[default]
    Line,
    /// The lines of tcpdump.
    Tcpdump,
    /// The layout of IBM's ipformat: a line for each field.
    Ipformat,
    /// The story of the connections: a remark for each packet that says why it was sent.
    Story,
    /// An array of objects, one for each packet, with tshark's names of fields; it is closed when the trace ends.
    Json,
}

/// Why nothing, or no more, was traced.
struct Failure {
    exit_code: u8,
    message: String,
}

impl Failure {
    fn usage(message: impl Into<String>) -> Self {
        Self { exit_code: USAGE, message: message.into() }
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        Self { exit_code: 1, message: error.to_string() }
    }
}

/// Runs the command.
pub(crate) fn run(args: &TraceArgs) -> ExitCode {
    match trace(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { exit_code, message }) => {
            let _ = writeln!(io::stderr(), "bypath: {message}");
            ExitCode::from(exit_code)
        }
    }
}

fn trace(args: &TraceArgs) -> Result<(), Failure> {
    let mut printer = Printer::new(args);
    let outcome = watch(args, &mut printer);
    printer.end(outcome.as_ref().err().map(|failure| failure.message.as_str()));
    outcome
}

fn watch(args: &TraceArgs, printer: &mut Printer) -> Result<(), Failure> {
    let stop = crate::signals::stop_flag()
        .map_err(|error| Failure::usage(format!("cannot watch for Ctrl-C: {error}")))?;
    if let Some(Err(error)) = args.netns.as_deref().map(enter_netns) {
        return Err(Failure { exit_code: error.exit_code, message: error.message });
    }
    let file = args.pcap.as_deref().map(Output::create).transpose()?;
    let facts = facts(args)?;
    let filter = args.filter.join(" ");
    let mut capture = open(args, &filter)?;
    let link = match capture.get_datalink().0 {
        DLT_RAW => LinkType::RAW,
        other => LinkType(u16::try_from(other).unwrap_or_default()),
    };
    let mut file = file.map(|file| File::begin(file, args, &filter, link, facts.as_ref())).transpose()?;
    tell(args, facts.as_ref());
    watch_enter(&stop);
    let began = now();
    printer.begin(began);
    let mut number = 0;
    let mut outcome = Ok(());
    while !stop.load(Ordering::Relaxed) && args.count.is_none_or(|most| number < most) {
        let packet = match capture.next_packet() {
            Ok(packet) => packet,
            Err(pcap::Error::TimeoutExpired) => {
                wait(&capture);
                continue;
            }
            Err(pcap::Error::NoMorePackets) => break,
            Err(error) => {
                outcome = Err(Failure { exit_code: INTERFACE, message: format!("{}: {error}", args.dev) });
                break;
            }
        };
        number += 1;
        // With nanoseconds asked for, what is called microseconds are those.
        let time = Timestamp(packet.header.ts.tv_sec * 1_000_000_000 + packet.header.ts.tv_usec);
        let record = Record {
            number,
            time,
            link,
            original_len: packet.header.len,
            data: packet.data,
            ..Record::default()
        };
        if let Some(file) = &mut file {
            file.add(&record)?;
        }
        if !printer.print(&record) {
            break;
        }
    }
    let stats = capture.stats().ok();
    let dropped = stats.as_ref().map_or(0, |stats| u64::from(stats.dropped));
    if let Some(file) = file {
        let received = stats.as_ref().map(|stats| u64::from(stats.received));
        file.finish(Statistics {
            start: Timestamp(began),
            end: Timestamp(now()),
            received,
            missed: Some(dropped),
            delivered: Some(number),
            ..Statistics::default()
        })?;
    }
    if !args.silent || dropped > 0 {
        let _ = writeln!(io::stderr(), "{number} packets; {dropped} dropped by the kernel for want of room");
    }
    outcome
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// What is known of the interface; nothing of "any".
fn facts(args: &TraceArgs) -> Result<Option<NicFacts>, Failure> {
    if args.dev == "any" {
        return Ok(None);
    }
    NicFacts::read(&args.dev)
        .map(Some)
        .map_err(|error| Failure { exit_code: INTERFACE, message: error.to_string() })
}

fn open(args: &TraceArgs, filter: &str) -> Result<Capture<Active>, Failure> {
    let failed = |error: pcap::Error| {
        let text = error.to_string();
        let rights = text.contains("ermission") || text.contains("not permitted");
        let message = if rights {
            format!("watching {} takes root, or CAP_NET_RAW: run it with sudo", args.dev)
        } else {
            format!("cannot watch {}: {text}", args.dev)
        };
        Failure { exit_code: INTERFACE, message }
    };
    let inactive = Capture::from_device(args.dev.as_str()).map_err(failed)?;
    let inactive = inactive
        .snaplen(i32::try_from(args.snaplen).unwrap_or(i32::MAX))
        .buffer_size(BUFFER)
        .immediate_mode(true)
        .promisc(false)
        .precision(Precision::Nano);
    let mut capture = inactive.open().map_err(failed)?;
    if !filter.is_empty() {
        capture.filter(filter, true).map_err(|error| {
            let text = error.to_string();
            let text = text.trim_start_matches("libpcap error: ");
            Failure::usage(format!("\"{filter}\" is no filter: {text}; pcap-filter(7) has the language"))
        })?;
    }
    // libpcap would wait for packets for ever, whatever it is told of times: Ctrl-C must be heeded without any.
    capture.setnonblock().map_err(failed)
}

/// Waits until there are packets, or for as long as Ctrl-C and Enter may.
fn wait(capture: &Capture<Active>) {
    // An interrupted wait is looked after by whoever looks whether to stop.
    let _ = poll(&mut [PollFd::new(capture.as_fd(), PollFlags::POLLIN)], PollTimeout::from(LOOK_MS));
}

/// What is watched, and what cannot be seen.
fn tell(args: &TraceArgs, facts: Option<&NicFacts>) {
    let mut text = String::new();
    if !args.silent {
        text += &format!("watching {}; Enter or Ctrl-C ends it\n", args.dev);
    }
    if let Some(program) = facts.and_then(|facts| facts.program.as_ref()) {
        text += &format!(
            "note: the XDP program {:?} is on {}: what it takes from the kernel is not to be seen here; \
             --pcap of the command that takes it shows it\n",
            program.name, args.dev
        );
    }
    let _ = io::stderr().write_all(text.as_bytes());
}

/// A line on stdin ends the trace; the end of stdin does not.
fn watch_enter(stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    // It waits for a line that may never come, and ends with the process.
    std::thread::spawn(move || {
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line).is_ok_and(|length| length > 0) {
            stop.store(true, Ordering::Relaxed);
        }
    });
}

/// Packets printed as they come.
struct Printer {
    style: Option<Box<dyn Style>>,
    /// With interface and time before each packet.
    prefix: Option<String>,
    /// When the trace began, once it has.
    began: Option<i64>,
    line: Vec<u8>,
    /// What is printed is one document, also when there is nothing in it but an error.
    is_document: bool,
}

impl Printer {
    fn new(args: &TraceArgs) -> Self {
        let numeric =
            |time| Tcpdump::new(Options { time, numeric: true, ..Options::default() }, Names::default());
        let style: Box<dyn Style> = match args.style {
            TraceStyle::Line => Box::new(numeric(TimeForm::None)),
            TraceStyle::Tcpdump => Box::new(numeric(TimeForm::Clock)),
            TraceStyle::Ipformat => Box::new(Ipformat::new()),
            TraceStyle::Story => Box::new(Story::new(args.detail.into())),
            TraceStyle::Json => Box::new(Json::new(Vec::new())),
        };
        let prefix = (args.style == TraceStyle::Line).then(|| args.dev.clone());
        let is_document = args.style == TraceStyle::Json;
        Self { style: (!args.silent).then_some(style), prefix, began: None, line: Vec::new(), is_document }
    }

    /// What comes before the first packet.
    fn begin(&mut self, began: i64) {
        self.began = Some(began);
        self.put(|style, line| style.begin(line));
    }

    /// What comes after the last packet, or instead of all of them; `error` is what ended the trace.
    fn end(&mut self, error: Option<&str>) {
        if self.began.is_none() {
            if !self.is_document {
                return;
            }
            self.put(|style, line| style.begin(line));
        }
        self.put(|style, line| {
            if let Some(error) = error {
                style.failed(error, line)?;
            }
            style.end(line)
        });
    }

    /// `false`: nobody reads it any more.
    fn put(&mut self, print: impl FnOnce(&mut dyn Style, &mut Vec<u8>) -> io::Result<()>) -> bool {
        let Some(style) = &mut self.style else { return true };
        let mut stdout = io::stdout().lock();
        let printed = print(style.as_mut(), &mut self.line)
            .and_then(|()| stdout.write_all(&self.line))
            .and_then(|()| stdout.flush())
            .is_ok();
        self.line.clear();
        printed
    }

    /// `false`: nobody reads it any more.
    fn print(&mut self, record: &Record<'_>) -> bool {
        if let Some(name) = self.prefix.as_deref().filter(|_| self.style.is_some()) {
            let began = Timestamp(self.began.unwrap_or_default());
            let seconds = record.time.since(began).max(0) as f64 / 1e9;
            let _ = write!(self.line, "{name}:[{seconds:6.3}]: ");
        }
        self.put(|style, line| style.record(record, line))
    }
}

/// The capture that is written.
struct File(PcapngWriter<Growing>);

impl File {
    fn begin(
        output: Output,
        args: &TraceArgs,
        filter: &str,
        link: LinkType,
        facts: Option<&NicFacts>,
    ) -> Result<Self, Failure> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let os = format!("Linux {}", release.trim());
        let section = Section {
            hardware: std::env::consts::ARCH,
            os: &os,
            application: concat!("bypath ", env!("CARGO_PKG_VERSION")),
            comment: "",
        };
        let description = facts.map_or_else(String::new, |facts| format!("kernel's side, MTU {}", facts.mtu));
        let mut writer = PcapngWriter::new(Growing(output), &section).map_err(told)?;
        let interface = Interface {
            name: &args.dev,
            description: &description,
            link,
            snap_len: args.snaplen,
            mac: facts.map(|facts| facts.mac.0),
            speed: facts.and_then(|facts| facts.speed),
            hardware: facts.map_or("", |facts| &facts.driver),
            filter,
        };
        writer.interface(&interface).map_err(told)?;
        Ok(Self(writer))
    }

    fn add(&mut self, record: &Record<'_>) -> Result<(), Failure> {
        let packet = Packet {
            interface: 0,
            time: record.time,
            original_len: record.original_len,
            data: record.data,
            direction: None,
            queue: None,
            dropped_before: 0,
            verdict: None,
            comments: &[],
        };
        self.0.packet(&packet).map_err(told)
    }

    fn finish(mut self, statistics: Statistics<'_>) -> Result<(), Failure> {
        self.0.statistics(0, &statistics).map_err(told)?;
        Ok(self.0.into_inner().0.commit()?)
    }
}

fn told(error: io::Error) -> Failure {
    Failure { exit_code: 1, message: error.to_string() }
}

/// A file that gets its name at the end.
struct Growing(Output);

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes).map(|()| bytes.len()).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
