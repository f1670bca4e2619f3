//! `bypath get`: its options, and the supervision of the transfers.
//!
//! The transfers run in a thread of their own, so that Ctrl-C is answered at once whatever they wait for.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bypath_apps::{ByteRange, CancelToken, Credentials, DataMode};
use bypath_measure::capture::{CaptureSummary, Recording};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::engine_args::EngineArgs;
use crate::file_sink::Destination;
use crate::live_story::{Hearsay, LiveStory, Telling};
use crate::output::{self, INTERRUPTED, Record, USAGE};
use crate::stack::{Stack, StackChoice, StackError, enter_netns};
use crate::story_args::DetailLevel;
use crate::transfer::{Job, Jobs, Watch};

/// curl's code for what cannot be written.
const WRITE_ERROR: u8 = 23;
/// How long the transfers may take to stop by themselves after Ctrl-C.
const GRACE: Duration = Duration::from_secs(1);

/// The options of `bypath get`, named as in curl where curl has them.
#[derive(Args, Clone, Debug)]
#[command(args_override_self = true)]
pub(crate) struct GetArgs {
    /// What to fetch: http:// or ftp://; http:// is assumed, or ftp:// if the host begins with "ftp.".
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,

    /// Write to FILE instead of stdout; "-" is stdout. Once for each URL, in the same order.
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,

    /// Write to a file named as in the URL, for URLs that have no -o.
    #[arg(short = 'O', long)]
    remote_name: bool,

    /// Continue where an earlier transfer stopped: behind .FILE.part, or behind FILE if it is there.
    #[arg(short = 'C', long, value_name = "OFFSET", value_parser = ["-"], conflicts_with = "range")]
    continue_at: Option<String>,

    /// FTP in active mode: the server connects to us. "-" announces the address that the control connection
    /// has; an address announces that one.
    #[arg(short = 'P', long, value_name = "ADDR", conflicts_with = "ftp_pasv")]
    ftp_port: Option<ActiveAddress>,

    /// FTP in passive mode, by EPSV or PASV: we connect to the server. The default.
    #[arg(long, visible_alias = "pasv")]
    ftp_pasv: bool,

    /// User and password; the default is anonymous for FTP and none for HTTP.
    #[arg(short, long, value_name = "USER:PASSWORD")]
    user: Option<String>,

    /// Fetch the headers only; for FTP, size and time.
    #[arg(short = 'I', long)]
    head: bool,

    /// Give up a transfer after so many seconds, fractions allowed.
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    max_time: Option<Duration>,

    /// Give up connecting after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60")]
    connect_timeout: Duration,

    /// Give up when the server is silent for so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "120")]
    idle_timeout: Duration,

    /// Show neither progress nor errors.
    #[arg(short, long)]
    silent: bool,

    /// Follow redirects. The default.
    #[arg(short = 'L', long, overrides_with = "no_location")]
    location: bool,

    /// Take a redirect for the answer.
    #[arg(long, overrides_with = "location")]
    no_location: bool,

    /// Follow so many redirects at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    max_redirs: u32,

    /// Fail on HTTP errors (400 and above) with exit code 22 and without output. The default.
    #[arg(short, long, overrides_with = "no_fail")]
    fail: bool,

    /// Take the body of an HTTP error for the answer.
    #[arg(long, overrides_with = "fail")]
    no_fail: bool,

    /// Fetch these bytes only: FIRST-LAST, FIRST- or -COUNT.
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true, value_parser = range)]
    range: Option<ByteRange>,

    /// Print the SHA-256 of what was fetched.
    #[arg(long)]
    sha256: bool,

    /// Print one JSON object, or an array of them for several URLs, on stdout. A body without -o or -O is
    /// then counted and dropped.
    #[arg(long)]
    json: bool,

    /// Tell the story of the transfer while it goes on: each packet, why it was sent and what it changed. It goes to
    /// stdout, and to stderr where --json or "-o -" need that; a body without -o or -O is counted and dropped.
    #[arg(long)]
    story: bool,

    /// How much the story tells; means nothing without --story.
    #[arg(long, value_name = "LEVEL", default_value = "normal")]
    detail: DetailLevel,

    /// Use IPv4 addresses only.
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,

    /// Use IPv6 addresses only.
    #[arg(short = '6', long)]
    ipv6: bool,

    /// Where the packets go: through the engine, or through the kernel for comparison.
    #[arg(long, value_enum, default_value_t)]
    stack: StackChoice,

    #[command(flatten)]
    dns: DnsArgs,

    #[command(flatten)]
    engine: EngineArgs,
}

/// The resolver's options.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Names")]
pub(crate) struct DnsArgs {
    /// Ask these name servers, instead of what /etc/resolv.conf and /etc/hosts say.
    #[arg(long, value_name = "ADDR[:PORT]", value_delimiter = ',', value_parser = name_server)]
    pub(crate) dns: Vec<SocketAddr>,

    /// Append these domains to names, in this order.
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',')]
    pub(crate) search: Vec<String>,

    /// Try a name as it is first if it has so many dots.
    #[arg(long, value_name = "N")]
    pub(crate) ndots: Option<usize>,

    /// Wait so many seconds for one server's answer.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) dns_timeout: Option<Duration>,

    /// Ask each server so many times.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(crate) dns_attempts: Option<u32>,
}

/// The argument of `-P`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ActiveAddress(Option<IpAddr>);

impl FromStr for ActiveAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "-" => Ok(ActiveAddress(None)),
            ip => ip
                .parse()
                .map(|ip| ActiveAddress(Some(ip)))
                .map_err(|_| "neither \"-\" nor an address".to_owned()),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let bad = || "not a number of seconds above zero".to_owned();
    let seconds: f64 = text.parse().map_err(|_| bad())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|d| !d.is_zero()).ok_or_else(bad)
}

fn range(text: &str) -> Result<ByteRange, String> {
    let bad = || "not FIRST-LAST, FIRST- or -COUNT".to_owned();
    let (first, last) = text.split_once('-').ok_or_else(bad)?;
    let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
        true => digits.parse::<u64>().map_err(|_| bad()),
        false => Err(bad()),
    };
    match (first, last) {
        ("", count) => number(count).map(ByteRange::Last),
        (first, "") => number(first).map(ByteRange::From),
        (first, last) => match (number(first)?, number(last)?) {
            (first, last) if first <= last => Ok(ByteRange::Inclusive(first, last)),
            _ => Err("the range ends before it begins".to_owned()),
        },
    }
}

fn name_server(text: &str) -> Result<SocketAddr, String> {
    let unbracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    match unbracketed.parse::<IpAddr>() {
        Ok(ip) => Ok(SocketAddr::new(ip, 53)),
        Err(_) => text.parse().map_err(|_| "neither an address nor ADDR:PORT".to_owned()),
    }
}

impl GetArgs {
    /// The jobs, one for each URL; or what is wrong with the options taken together.
    fn jobs(&self) -> Result<Jobs, String> {
        if self.output.len() > self.urls.len() {
            return Err(format!("there are {} -o for {} URLs", self.output.len(), self.urls.len()));
        }
        let mut jobs = Vec::new();
        for (i, url) in self.urls.iter().enumerate() {
            let destination = match self.output.get(i) {
                Some(path) if path.as_os_str() == "-" => Destination::Stdout,
                Some(path) => Destination::File(path.clone()),
                None if self.remote_name => Destination::File(remote_name(url)?),
                None if self.json || self.story => Destination::Nowhere,
                None => Destination::Stdout,
            };
            if self.json && destination == Destination::Stdout {
                return Err("--json and \"-o -\" both want stdout".to_owned());
            }
            if self.continue_at.is_some() && !matches!(destination, Destination::File(_)) {
                return Err("-C needs a file to continue: use -o or -O".to_owned());
            }
            jobs.push(Job { url: url.clone(), destination });
        }
        let data_mode = match self.ftp_port {
            Some(ActiveAddress(address)) => DataMode::Active(address),
            None => DataMode::Passive,
        };
        let family = match (self.ipv4, self.ipv6) {
            (true, _) => bypath_apps::dns::Family::V4,
            (_, true) => bypath_apps::dns::Family::V6,
            _ => bypath_apps::dns::Family::Any,
        };
        Ok(Jobs {
            jobs,
            head: self.head,
            resume: self.continue_at.is_some() && !self.head,
            range: self.range,
            max_redirects: (!self.no_location).then_some(self.max_redirs),
            fail_on_status: !self.no_fail,
            credentials: self.user.as_deref().map(credentials),
            data_mode,
            family,
            max_time: self.max_time,
            connect_timeout: self.connect_timeout,
            idle_timeout: self.idle_timeout,
            sha256: self.sha256,
            silent: self.silent,
            json: self.json,
            dns: self.dns.clone(),
            netns: self.engine.netns.clone(),
        })
    }
}

fn credentials(text: &str) -> Credentials {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    Credentials { user: user.to_owned(), password: password.to_owned() }
}

/// The file that `-O` names, in the current directory. A URL that cannot be read is reported when it is its
/// turn, so any name will do for it here.
fn remote_name(url: &str) -> Result<PathBuf, String> {
    match bypath_apps::Target::parse(url) {
        Ok(target) => match target.file_name() {
            Some(name) if name != "." && name != ".." => Ok(PathBuf::from(name)),
            _ => Err(format!("\"{}\" names no file for -O; use -o", target.public_url())),
        },
        Err(_) => Ok(PathBuf::from("unnamed")),
    }
}

/// Runs the command.
pub(crate) fn run(args: &GetArgs) -> ExitCode {
    let jobs = match args.jobs() {
        Ok(jobs) => jobs,
        Err(message) => return refuse(args, USAGE, &message),
    };
    if let Some(Err(error)) = args.engine.netns.as_deref().map(enter_netns) {
        return refuse(args, error.exit_code, &error.message);
    }
    let signals = match Signals::new([SIGINT, SIGTERM]) {
        Ok(signals) => signals,
        Err(error) => return refuse(args, USAGE, &format!("cannot watch for Ctrl-C: {error}")),
    };
    if args.stack == StackChoice::Kernel && args.story {
        return refuse(
            args,
            USAGE,
            "--story is told from the engine's packets; with --stack kernel there are none",
        );
    }
    let wants_capture = args.engine.capture.pcap.is_some();
    if wants_capture && args.stack == StackChoice::Kernel {
        let text = "--pcap shows what the engine does; for --stack kernel there is bypath trace";
        return refuse(args, USAGE, text);
    }
    let (watcher, heard) = (wants_capture && args.story).then(Hearsay::of_a_capture).unzip();
    let recording = match args.engine.capture.begin_watched(watcher) {
        Ok(recording) => recording,
        Err(error) => return refuse(args, WRITE_ERROR, &error.to_string()),
    };
    let to_stderr = args.json || args.output.iter().any(|path| path.as_os_str() == "-");
    let telling = Telling { detail: args.detail, to_stderr };
    let story = args.story.then(|| match heard {
        Some(heard) => LiveStory::beside(heard, telling),
        None => {
            let (sink, story) = LiveStory::start(telling);
            args.engine.watch(sink);
            story
        }
    });
    // Lives until the records are printed: stopping it may take a moment.
    let stack = Arc::new(OnceLock::new());
    let outcome = supervise(args, jobs, &stack, signals);
    if (story.is_some() || recording.is_some())
        && let Some(Stack::Engine(engine)) = stack.get()
    {
        // So that the ends of the connections are told.
        engine.stop();
    }
    // Before the story, which may be told from what is captured.
    let captured = recording.map_or(Ok(None), Recording::finish);
    if let Some(story) = story
        && let Err(error) = story.finish()
    {
        crate::complain!("bypath: cannot write the story: {error}");
    }
    match (outcome, captured) {
        (Ok(mut records), Ok(captured)) => {
            for record in &mut records {
                record.capture.clone_from(&captured);
            }
            if let Some(note) = captured.as_ref().and_then(CaptureSummary::note).filter(|_| !args.silent) {
                crate::complain!("bypath: {note}");
            }
            finish(args, &records)
        }
        (Ok(_), Err(error)) => refuse(args, WRITE_ERROR, &error.to_string()),
        (Err(error), _) => refuse(args, error.exit_code, &error.message),
    }
}

enum Event {
    Finished(Vec<Record>),
    /// The stack did not start.
    Refused(StackError),
    Signal,
}

/// Starts the stack and runs the jobs to their end, or to the first signal and little more.
fn supervise(
    args: &GetArgs,
    jobs: Jobs,
    stack: &Arc<OnceLock<Stack>>,
    mut signals: Signals,
) -> Result<Vec<Record>, StackError> {
    let (events, inbox) = mpsc::channel();
    let watch = Arc::new(Watch::default());
    let cancel = CancelToken::default();

    let (sender, shared, token) = (events.clone(), Arc::clone(&watch), cancel.clone());
    let (place, choice, options) = (Arc::clone(stack), args.stack, args.engine.clone());
    let runner = std::thread::spawn(move || {
        let event = match Stack::start(choice, &options) {
            Ok(stack) => Event::Finished(jobs.run(place.get_or_init(|| stack), &token, &shared)),
            Err(error) => Event::Refused(error),
        };
        // The receiver is gone when the signals were faster.
        let _ = sender.send(event);
    });
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if events.send(Event::Signal).is_err() {
                return;
            }
        }
    });

    let mut event = inbox.recv().ok();
    if let Some(Event::Signal) = event {
        cancel.cancel();
        // A second Ctrl-C does not wait.
        event = inbox.recv_timeout(GRACE).ok();
    }
    match event {
        Some(Event::Finished(records)) => {
            // The thread's sockets are closed when it has ended; it has nothing to say any more.
            let _ = runner.join();
            Ok(records)
        }
        Some(Event::Refused(error)) => Err(error),
        _ => match watch.interrupted(stack.get().map(Stack::facts)) {
            // The stack was still being started.
            records if records.is_empty() => {
                Err(StackError { exit_code: INTERRUPTED, message: "interrupted".to_owned() })
            }
            records => Ok(records),
        },
    }
}

/// Reports what kept all URLs from being fetched.
fn refuse(args: &GetArgs, exit_code: u8, message: &str) -> ExitCode {
    if args.json {
        let records: Vec<Record> =
            args.urls.iter().map(|url| Record::refused(Some(url), exit_code, message)).collect();
        output::print(&records);
    } else if !args.silent {
        crate::complain!("bypath: {message}");
    }
    ExitCode::from(exit_code)
}

/// Prints the JSON and picks the exit code: that of the last transfer that failed, as a script that looks
/// at it wants to know of any.
fn finish(args: &GetArgs, records: &[Record]) -> ExitCode {
    if args.json {
        output::print(records);
    } else if let Some(profile) =
        records.last().and_then(|record| record.engine.as_ref()).and_then(|engine| engine.profile.as_ref())
    {
        // Stdout may carry the file. With stderr closed there is nobody to tell.
        let _ = std::io::stderr().lock().write_all(profile.table().as_bytes());
    }
    let interrupted = records.iter().any(|r| r.exit_code == INTERRUPTED);
    let failed = records.iter().rev().map(|r| r.exit_code).find(|code| *code != 0);
    ExitCode::from(if interrupted { INTERRUPTED } else { failed.unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ranges() {
        assert_eq!(range("0-99"), Ok(ByteRange::Inclusive(0, 99)));
        assert_eq!(range("5-"), Ok(ByteRange::From(5)));
        assert_eq!(range("-5"), Ok(ByteRange::Last(5)));
        for bad in ["", "-", "5", "9-5", "a-b", "1-2,3-4", "+1-2"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_name_servers() {
        assert_eq!(name_server("1.2.3.4"), Ok("1.2.3.4:53".parse().unwrap()));
        assert_eq!(name_server("1.2.3.4:5353"), Ok("1.2.3.4:5353".parse().unwrap()));
        assert_eq!(name_server("2001:db8::1"), Ok("[2001:db8::1]:53".parse().unwrap()));
        assert_eq!(name_server("[2001:db8::1]"), Ok("[2001:db8::1]:53".parse().unwrap()));
        assert_eq!(name_server("[2001:db8::1]:54"), Ok("[2001:db8::1]:54".parse().unwrap()));
        assert!(name_server("dns.example").is_err());
    }

    #[test]
    fn reads_seconds() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["0", "-1", "x", "nan", "inf", "1e99"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_files_after_urls() {
        assert_eq!(remote_name("http://h/a/b.iso?x=y"), Ok(PathBuf::from("b.iso")));
        assert!(remote_name("http://h/a/").is_err());
        assert!(remote_name("http://h").is_err());
    }
}
