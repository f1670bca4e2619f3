//! The `bypath` command: arguments in, text or JSON out. What it does is done by the crates below it.

mod blast;
mod capture_args;
mod completions;
mod config;
mod decode;
mod engine_args;
mod exports;
mod file_sink;
mod frame_text;
mod get;
mod input;
mod lab_cmd;
mod latency;
mod live;
mod live_story;
mod load;
mod man;
mod output;
mod port_args;
mod progress;
mod report;
mod result_args;
mod rfc2544;
mod serve;
mod signals;
mod stack;
mod story_args;
mod trace;
mod transfer;
mod tui;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use bypath_measure::export::Output;
use bypath_measure::result::{ErrorCode, RunResult};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// A TCP/IP engine that takes the by-path around the kernel.
#[derive(Debug, Parser)]
#[command(name = "bypath", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch files by HTTP and FTP.
    ///
    /// Options are named as in curl where curl has them, and exit codes are curl's. Two of curl's defaults
    /// differ: HTTP errors fail, as with curl -f, and redirects are followed, as with curl -L.
    Get(Box<get::GetArgs>),
    /// Serve files by HTTP and FTP, the small services of RFC 862 to 868, and the other end of load tests.
    Serve(Box<serve::ServeArgs>),
    /// Load a TCP server, and tell how it bore it: throughput, latencies, errors, and whether to believe them.
    ///
    /// The server is `bypath serve` or anybody's. Times are taken on the worker, of every packet; with -R they are
    /// measured from the moment at which a request should have begun. `docs/load.md` has examples.
    Load(Box<load::LoadArgs>),
    /// Send raw frames at a rate or as fast as the wire goes, receive them, or send them back.
    ///
    /// Every frame is signed, so that the receiver counts what was lost, reordered, duplicated and damaged, and tells
    /// the time of flight where both ends share a clock. `docs/blast.md` has examples.
    Blast(Box<blast::BlastArgs>),
    /// Run the benchmarks of RFC 2544 on what is between two interfaces: throughput, latency, frame loss, back-to-back frames.
    Rfc2544(Box<rfc2544::Rfc2544Args>),
    /// Measure how long a message takes there and back: over TCP or UDP to an echo server, or as raw frames.
    Latency(Box<latency::LatencyArgs>),
    /// Print captures: as tcpdump does, and in other forms.
    ///
    /// Reads pcap and pcapng. `docs/decode.md` has examples.
    Decode(Box<decode::DecodeArgs>),
    /// Watch an interface as the kernel sees it, a line a packet, until Enter or Ctrl-C.
    ///
    /// What bypath takes from the interface passes the kernel by: its own commands show it with --pcap.
    /// `docs/capture.md` has examples.
    Trace(trace::TraceArgs),
    /// Make, show, use and remove a lab: two hosts in network namespaces.
    Lab(lab_cmd::LabArgs),
    /// Show results that were written by --json: one as a page, several side by side.
    Report(report::ReportArgs),
    /// Print a shell's completion script.
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write those of all commands into a directory.
    Man(man::ManArgs),
}

fn main() -> ExitCode {
    start_log();
    let args: Vec<OsString> = std::env::args_os().collect();
    let command = config::with_options(Cli::command());
    let matches = match config::read(&command, &args) {
        Ok(config::Outcome::Run(matches)) => matches,
        Ok(config::Outcome::Print(text)) => return print(&text),
        Err(error) => return refuse(&error, &args),
    };
    match Cli::from_arg_matches(&matches).map(|cli| cli.command) {
        Ok(Command::Get(get)) => get::run(&get),
        Ok(Command::Serve(args)) => serve::run(&args),
        Ok(Command::Load(load)) => load::run(&load),
        Ok(Command::Blast(blast)) => blast::run(&blast),
        Ok(Command::Rfc2544(args)) => rfc2544::run(&args),
        Ok(Command::Latency(args)) => latency::run(&args),
        Ok(Command::Decode(args)) => decode::run(&args),
        Ok(Command::Trace(args)) => trace::run(&args),
        Ok(Command::Lab(lab)) => lab_cmd::run(lab),
        Ok(Command::Report(args)) => report::run(&args),
        Ok(Command::Completions(args)) => completions::run(&args, command),
        Ok(Command::Man(args)) => man::run(&args, command),
        Err(error) => refuse(&error, &args),
    }
}

/// A line to stderr. Whoever has closed that does not want to hear it.
macro_rules! complain {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}
pub(crate) use complain;

fn print(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Diagnostics go to stderr, as much of them as BYPATH_LOG asks for ("debug", "bypath_apps=trace" …).
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("BYPATH_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Help and version are printed and fine; anything else is a usage error, exit code 2 as in curl. Whoever
/// asked for JSON gets it for these as well.
fn refuse(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let wants_json = args.iter().take_while(|arg| *arg != "--").any(asks_for_json);
    let document = decode::Document::asked_for(args);
    if error.use_stderr() && (wants_json || document.is_some()) {
        let text = error.render().to_string();
        let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
        let _ = error.print();
        if let Some(document) = document {
            print(&document.of_error(text));
            return ExitCode::from(output::USAGE);
        }
        let command = args.get(1).and_then(|name| name.to_str()).unwrap_or_default();
        return refuse_in_json(command, text, json_file(args));
    }
    // A closed stdout or stderr leaves nobody to tell.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { output::USAGE } else { 0 })
}

/// `--json`, `--json=FILE`.
fn asks_for_json(arg: &OsString) -> bool {
    arg == "--json" || arg.as_encoded_bytes().starts_with(b"--json=")
}

/// The file of `--json=FILE`.
fn json_file(args: &[OsString]) -> Option<&Path> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut options = args.iter().take_while(|arg| *arg != "--");
    let file = options.find_map(|arg| arg.as_encoded_bytes().strip_prefix(b"--json="))?;
    Some(Path::new(std::ffi::OsStr::from_bytes(file))).filter(|file| *file != Path::new("-"))
}

/// Commands that measure fail in the form of their results, the others in that of a transfer.
fn refuse_in_json(command: &str, text: &str, file: Option<&Path>) -> ExitCode {
    if matches!(command, "get" | "lab") || command.starts_with('-') {
        output::print(&[output::Record::refused(None, output::USAGE, text)]);
        return ExitCode::from(output::USAGE);
    }
    let failed = RunResult::failed(command, env!("CARGO_PKG_VERSION"), ErrorCode::Usage, text);
    let document = serde_json::to_string_pretty(&failed).unwrap_or_default();
    let document = format!("{document}\n");
    let written = file.map(|file| Output::create(file).and_then(|file| file.complete(document.as_bytes())));
    // A file that cannot be written is the smaller trouble.
    if !matches!(written, Some(Ok(()))) {
        print(&document);
    }
    ExitCode::from(failed.exit_code(false))
}
