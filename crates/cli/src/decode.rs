//! `bypath decode`: captures, printed in the form that was asked for.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bypath_measure::export::Output;
use bypath_trace::filter::Filter;
use bypath_trace::layers::dissect;
use bypath_trace::read::{Capture, ReadError};
use bypath_trace::style::conversations::Conversations;
use bypath_trace::style::fields::{self, Field, Fields, Json};
use bypath_trace::style::ipformat::Ipformat;
use bypath_trace::style::tcpdump::{Dump, OldOptions, Options, Tcpdump, Tcpdump3, TimeForm};
use bypath_trace::style::{Names, Style};
use clap::{ArgAction, Args, ValueEnum};

use crate::input::{Input, Stop, is_same_file};
use crate::story_args::StoryArgs;

/// What is collected before the system is asked to write it.
const OUTPUT_BUFFER: usize = 128 * 1024;

/// The options of `bypath decode`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DecodeArgs {
    /// Captures, pcap or pcapng, one after the other; "-" is stdin.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The form in which packets are printed.
    #[arg(long, value_name = "NAME", default_value = "tcpdump")]
    style: StyleName,

    /// Only packets that this filter takes, written as for tcpdump: "host 198.18.0.2 and tcp port 80". Expressions with
    /// brackets are not known.
    #[arg(short, long, value_name = "EXPRESSION")]
    filter: Option<String>,

    /// With the styles fields and json: this field, by tshark's name for it. Can be given more than once.
    #[arg(short = 'F', long = "field", value_name = "NAME")]
    fields: Vec<String>,

    /// No names of hosts, ports and makers of interfaces. Names come from /etc/hosts, /etc/services and /etc/protocols; no
    /// name server is asked.
    #[arg(short = 'n', long)]
    numeric: bool,

    /// Sequence numbers as they are, not relative to the beginning of the connection.
    #[arg(short = 'S', long)]
    absolute: bool,

    /// No time; twice, seconds since 1970; three times, since the packet before; four times, with the date; five times,
    /// since the first packet.
    #[arg(short = 't', action = ArgAction::Count)]
    time: u8,

    /// More of each packet: fields of the IP header, checksums, what is below the first line. Up to three times.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,

    /// The link layer as well.
    #[arg(short = 'e', long)]
    link: bool,

    /// Each packet's bytes in hexadecimal; twice, with those of the link layer.
    #[arg(short = 'x', action = ArgAction::Count)]
    hex: u8,

    /// Each packet's bytes in hexadecimal and as text; twice, with those of the link layer.
    #[arg(short = 'X', action = ArgAction::Count)]
    hex_text: u8,

    /// Each packet's bytes as text; twice, with those of the link layer.
    #[arg(short = 'A', action = ArgAction::Count)]
    text: u8,

    /// Number the packets.
    #[arg(short = '#', long)]
    number: bool,

    /// With tcpdump3: the range of sequence numbers of segments without data too, as in `1:1(0)`.
    #[arg(long)]
    empty_ranges: bool,

    /// With tcpdump3: addresses on a line of their own.
    #[arg(long)]
    wrap: bool,

    /// Names of hosts from this file, which has the form of /etc/hosts, instead.
    #[arg(long, value_name = "FILE", conflicts_with = "numeric")]
    hosts: Option<PathBuf>,

    /// Names of ports from this file, which has the form of /etc/services, instead.
    #[arg(long, value_name = "FILE", conflicts_with = "numeric")]
    services: Option<PathBuf>,

    /// Write to this file instead of stdout. It gets its name when everything is in it.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    connections: StoryArgs,
}

/// A form in which packets are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StyleName {
    /// The lines of tcpdump.
    Tcpdump,
    /// The lines of tcpdump 3, as in traces of the nineties.
    Tcpdump3,
    /// An array of objects, one for each packet, with tshark's names of fields.
    Json,
    /// Columns with tabs between them, by tshark's names of fields.
    Fields,
    /// The layout of IBM's ipformat: a line for each field.
    Ipformat,
    /// The story of the connections: a remark for each packet that says why it was sent.
    Story,
    /// A sequence diagram of the connections, as an HTML page.
    Diagram,
}

impl DecodeArgs {
    /// Every style is made here.
    fn style(&self) -> Result<Box<dyn Style>, Failure> {
        if let Some(style) = self.connections.instead() {
            return Ok(style);
        }
        Ok(match self.style {
            StyleName::Tcpdump => Box::new(Tcpdump::new(self.tcpdump_options()?, self.names()?)),
            StyleName::Tcpdump3 => {
                let old = OldOptions { empty_ranges: self.empty_ranges, wrap: self.wrap };
                Box::new(Tcpdump3::new(self.tcpdump_options()?, old, self.names()?))
            }
            StyleName::Json => Box::new(Json::new(self.columns(&[])?)),
            StyleName::Fields => Box::new(Fields::new(self.columns(fields::USUAL)?)),
            StyleName::Ipformat => Box::new(Ipformat::new()),
            StyleName::Story => Box::new(self.connections.story()),
            StyleName::Diagram => Box::new(self.connections.diagram()),
        })
    }

    /// What is printed as one document.
    fn document(&self) -> Option<Document> {
        let packets = (self.style == StyleName::Json).then_some(Document::Packets);
        if self.connections.is_json_table() { Some(Document::Conversations) } else { packets }
    }

    /// The fields that are asked for, or else these.
    fn columns(&self, usual: &[&str]) -> Result<Vec<&'static Field>, Failure> {
        let find = |name: &str| {
            fields::find(name).ok_or_else(|| {
                let known: Vec<&str> = fields::known().iter().map(|field| field.name).collect();
                Failure::Usage(format!("there is no field \"{name}\"; there are {}", known.join(", ")))
            })
        };
        match self.fields.as_slice() {
            [] => usual.iter().map(|name| find(name)).collect(),
            names => names.iter().map(|name| find(name)).collect(),
        }
    }

    fn filter(&self) -> Result<Option<Filter>, Failure> {
        let compile =
            |text: &String| Filter::compile(text).map_err(|error| Failure::Usage(error.to_string()));
        self.filter.as_ref().map(compile).transpose()
    }

    /// Options that are tcpdump's.
    fn tcpdump_options(&self) -> Result<Options, Failure> {
        let time = TimeForm::of_count(self.time)
            .ok_or_else(|| Failure::Usage("-t can be given up to five times".to_owned()))?;
        let (dump, count) = match (self.hex_text, self.hex, self.text) {
            (0, 0, 0) => (Dump::None, 0),
            (0, 0, count) => (Dump::Ascii, count),
            (0, count, _) => (Dump::Hex, count),
            (count, _, _) => (Dump::HexAscii, count),
        };
        Ok(Options {
            time,
            verbose: self.verbose,
            link: self.link,
            absolute: self.absolute,
            dump,
            dump_link: count > 1,
            numeric: self.numeric,
            numbers: self.number,
        })
    }

    fn names(&self) -> Result<Names, Failure> {
        if self.numeric {
            return Ok(Names::default());
        }
        let text = |given: &Option<PathBuf>, usual: &str| match given {
            // Without the system's files there are no names, and nothing else is wrong.
            None => Ok(std::fs::read_to_string(usual).unwrap_or_default()),
            Some(path) => std::fs::read_to_string(path).map_err(|error| Failure::Names {
                path: path.display().to_string(),
                problem: error.to_string(),
            }),
        };
        let names =
            Names::from_text(&text(&self.hosts, "/etc/hosts")?, &text(&self.services, "/etc/services")?);
        Ok(names.with_protocols(&text(&None, "/etc/protocols")?))
    }
}

/// Why decoding ended early.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("cannot read the names in {path}: {problem}")]
    Names { path: String, problem: String },
    #[error("cannot open the capture {path}: {problem}")]
    Open { path: String, problem: String },
    #[error("{path} {error}")]
    Read { path: String, error: ReadError },
    /// What was asked for is not in the capture.
    #[error("{0}")]
    Asked(io::Error),
    #[error("interrupted: this is what was read until then")]
    Interrupted,
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    #[error(transparent)]
    Output(#[from] bypath_measure::export::OutputError),
}

/// Runs the command.
pub(crate) fn run(args: &DecodeArgs) -> ExitCode {
    match decode(args) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the pipe has seen enough.
        Err(Failure::Write(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            crate::complain!("bypath: {failure}");
            let is_begun = !matches!(failure, Failure::Usage(_) | Failure::Names { .. } | Failure::Output(_));
            if !is_begun && let Some(form) = args.document() {
                crate::print(&form.of_error(&failure.to_string()));
            }
            match failure {
                Failure::Usage(_) => ExitCode::from(crate::output::USAGE),
                Failure::Interrupted => ExitCode::from(crate::output::INTERRUPTED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// What is printed as one JSON document, also when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// `--style json`.
    Packets,
    /// `--conversations=json`.
    Conversations,
}

impl Document {
    /// What arguments ask for that clap has refused.
    pub(crate) fn asked_for(args: &[OsString]) -> Option<Self> {
        let words: Vec<&str> =
            args.iter().map_while(|arg| (arg != "--").then(|| arg.to_str().unwrap_or_default())).collect();
        if !matches!(words.get(1), Some(&"decode" | &"trace")) {
            return None;
        }
        let table = words.contains(&"--conversations=json").then_some(Self::Conversations);
        let packets =
            words.contains(&"--style=json") || words.windows(2).any(|two| two == ["--style", "json"]);
        table.or(packets.then_some(Self::Packets))
    }

    /// The document when there is nothing else to say.
    pub(crate) fn of_error(self, error: &str) -> String {
        let mut style: Box<dyn Style> = match self {
            Self::Packets => Box::new(Json::new(Vec::new())),
            Self::Conversations => Box::new(Conversations::new(true)),
        };
        let mut out = Vec::new();
        // Memory takes everything.
        let _ = style
            .begin(&mut out)
            .and_then(|()| style.failed(error, &mut out))
            .and_then(|()| style.end(&mut out));
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn decode(args: &DecodeArgs) -> Result<(), Failure> {
    let mut style = args.style()?;
    let filter = args.filter()?;
    let filter = filter.as_ref();
    match &args.output {
        None => {
            // Not through the standard library's buffer, which looks for the ends of lines.
            let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
            let live = stdout.is_terminal();
            let mut out = BufWriter::with_capacity(OUTPUT_BUFFER, stdout);
            let decoded = all(args, filter, style.as_mut(), &mut out, live);
            out.flush()?;
            decoded.map_err(|ended| ended.failure)
        }
        Some(path) => {
            if let Some(input) = args.files.iter().find(|input| is_same_file(input, path)) {
                let text = format!("{} would be replaced by what is read from it", input.display());
                return Err(Failure::Usage(text));
            }
            let mut out = BufWriter::with_capacity(OUTPUT_BUFFER, Whole(Output::create(path)?));
            let decoded = all(args, filter, style.as_mut(), &mut out, false);
            let whole = out.into_inner().map_err(|error| error.into_error())?;
            // What could be read of a damaged capture is worth having, and the exit code tells of the rest. What was no
            // capture at all takes no file's place.
            if decoded.as_ref().map_or_else(|ended| ended.records > 0, |()| true) {
                whole.0.commit()?;
            }
            decoded.map_err(|ended| ended.failure)
        }
    }
}

/// Decoding that came to no good end.
struct Ended {
    failure: Failure,
    /// Packets that were read before.
    records: u64,
}

/// All files, between the beginning and the end that the style has.
fn all(
    args: &DecodeArgs,
    filter: Option<&Filter>,
    style: &mut dyn Style,
    out: &mut dyn Write,
    live: bool,
) -> Result<(), Ended> {
    let mut records = 0;
    let mut decode = || -> Result<(), Failure> {
        let stop = Stop::on_signals()?;
        style.begin(out)?;
        let mut decoded = Ok(());
        for path in &args.files {
            decoded = one(path, filter, style, out, live, &stop, &mut records);
            if let Err(failure) = &decoded {
                if !matches!(failure, Failure::Write(_) | Failure::Interrupted) {
                    style.failed(&failure.to_string(), out)?;
                }
                break;
            }
        }
        style.end(out).map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => Failure::Asked(error),
            _ => Failure::Write(error),
        })?;
        decoded
    };
    let decoded = decode();
    decoded.map_err(|failure| Ended { failure, records })
}

fn one(
    path: &Path,
    filter: Option<&Filter>,
    style: &mut dyn Style,
    out: &mut dyn Write,
    live: bool,
    stop: &Stop,
    records: &mut u64,
) -> Result<(), Failure> {
    let name = if path.as_os_str() == "-" { "stdin".to_owned() } else { path.display().to_string() };
    let input = Input::open(path, stop).map_err(|problem| Failure::Open { path: name.clone(), problem })?;
    // Whoever stops it has cut it off.
    let failed = |error| match stop.is_set() {
        true => Failure::Interrupted,
        false => Failure::Read { path: name.clone(), error },
    };
    let mut capture = Capture::open(input).map_err(failed)?;
    let mut known = 0;
    loop {
        capture.advance().map_err(failed)?;
        if capture.interfaces().len() != known {
            known = capture.interfaces().len();
            style.interfaces(capture.interfaces());
        }
        match capture.next_record() {
            Ok(Some(record)) => {
                *records += 1;
                let takes = |filter: &Filter| filter.takes(&record, &dissect(record.link, record.data));
                if filter.is_none_or(takes) {
                    style.record(&record, out)?;
                }
            }
            Ok(None) if stop.is_set() => return Err(Failure::Interrupted),
            Ok(None) => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        if live {
            out.flush()?;
        }
    }
}

/// A file that is there completely or not at all, as something that can be written to.
struct Whole(Output);

impl Write for Whole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
