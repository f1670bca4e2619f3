//! A tap's packets made into pcapng, in one file or a ring of files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bypath::tap::{Tap, TapInterface, TapRecord};
use bypath_trace::write::{
    Interface, Packet, PcapngWriter, Preamble, RingFiles, Section, Statistics, block_len,
};
use bypath_trace::{Direction, LinkType, Timestamp, XdpAction};

use super::CaptureSummary;
use crate::export::{Output, OutputError};

/// Kept free at the end of a file of limited size, for the statistics of each interface.
const RESERVE: u64 = 512;

/// What is captured, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureSettings {
    /// The file, or what those of a ring are named after.
    pub path: PathBuf,
    /// Largest size of a file, bytes.
    pub size: Option<u64>,
    /// Files of a ring; each has `size`.
    pub files: Option<usize>,
    /// Bytes kept of each packet; `None`: all.
    pub snap_len: Option<u32>,
}

/// See the module.
#[derive(Debug)]
pub struct CaptureWriter {
    settings: CaptureSettings,
    sink: Sink,
    frame: Frame,
    /// How many of the interfaces the file knows.
    described: usize,
    summary: CaptureSummary,
    /// Packets written, by interface.
    written: Vec<u64>,
    comments: Vec<String>,
}

#[derive(Debug)]
enum Sink {
    Whole(Box<PcapngWriter<Growing>>),
    Ring(Box<RingFiles>),
}

/// What is at the beginning and at the end of each file.
#[derive(Clone, Debug, Default)]
struct Frame {
    os: String,
    interfaces: Vec<TapInterface>,
    snap_len: u32,
    began_ns: i64,
}

impl CaptureWriter {
    /// Makes the file, or the first of the ring: a place that cannot be written to is told here.
    ///
    /// # Errors
    /// When there is no writing to that place.
    pub fn create(settings: &CaptureSettings) -> Result<Self, OutputError> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let frame = Frame {
            os: format!("Linux {}", release.trim()),
            snap_len: settings.snap_len.unwrap_or(0),
            ..Frame::default()
        };
        let failed = |error| OutputError::new(format!("\"{}\"", settings.path.display()), error);
        let sink = match (settings.files, settings.size) {
            (Some(files), Some(size)) => {
                let ring = RingFiles::create(&settings.path, size.saturating_sub(RESERVE), files, &frame);
                Sink::Ring(Box::new(ring.map_err(failed)?))
            }
            _ => {
                let output = Growing(Output::create(&settings.path)?);
                Sink::Whole(Box::new(frame.section(output).map_err(failed)?))
            }
        };
        Ok(Self {
            settings: settings.clone(),
            sink,
            frame,
            described: 0,
            summary: CaptureSummary::default(),
            written: Vec::new(),
            comments: Vec::new(),
        })
    }

    /// What it was made with.
    pub fn settings(&self) -> &CaptureSettings {
        &self.settings
    }

    /// Interfaces of packets that follow, and when the tap was opened. To be called before the first packet of each.
    ///
    /// # Errors
    /// As the file has them.
    pub fn interfaces(&mut self, all: &[TapInterface], began_ns: i64) -> Result<(), OutputError> {
        if self.described >= all.len() {
            return Ok(());
        }
        self.frame.began_ns = began_ns;
        self.frame.interfaces = all.to_vec();
        let new = self.frame.interfaces.get(self.described..).unwrap_or_default();
        let outcome = match &mut self.sink {
            Sink::Whole(writer) => self.frame.describe(writer, new),
            Sink::Ring(ring) => self.frame.describe(ring.current(), new),
        };
        self.described = all.len();
        outcome.map_err(|error| self.failed(error))
    }

    /// Adds a packet.
    ///
    /// # Errors
    /// As the file has them.
    pub fn packet(&mut self, record: &TapRecord<'_>) -> Result<(), OutputError> {
        self.comments.clear();
        self.comments.extend(record.remarks());
        let mut comments = [""; 2];
        for (place, text) in comments.iter_mut().zip(&self.comments) {
            *place = text;
        }
        let most = self.settings.snap_len.map_or(usize::MAX, |len| len as usize);
        let packet = Packet {
            interface: record.interface as u32,
            time: Timestamp(record.time_ns),
            original_len: record.original_len,
            data: &record.data[..record.data.len().min(most)],
            direction: Some(if record.is_sent() { Direction::Out } else { Direction::In }),
            queue: Some(record.queue.into()),
            dropped_before: record.missed_before.into(),
            // That is how it got here; what the engine made of it is no verdict of the program.
            verdict: (!record.is_sent()).then_some(XdpAction::Redirect),
            comments: &comments[..self.comments.len().min(2)],
        };
        let len = block_len(packet.data.len(), packet.comments);
        let outcome = match &mut self.sink {
            Sink::Whole(writer) => {
                let most = self.settings.size.unwrap_or(u64::MAX).saturating_sub(RESERVE);
                if self.summary.beyond_limit > 0 || writer.written() + len as u64 > most {
                    self.summary.beyond_limit += 1;
                    return Ok(());
                }
                writer.packet(&packet)
            }
            Sink::Ring(ring) => {
                let (frame, counts) = (&self.frame, std::mem::take(&mut self.written));
                let mut kept = counts;
                let writer = ring.room_for(len, frame, |writer| {
                    let counts = std::mem::take(&mut kept);
                    frame.statistics(writer, record.time_ns, |number| Statistics {
                        delivered: counts.get(number).copied(),
                        ..Statistics::default()
                    })
                });
                self.written = kept;
                writer.and_then(|writer| writer.packet(&packet))
            }
        };
        self.summary.packets += 1;
        self.written.resize(self.written.len().max(record.interface + 1), 0);
        self.written[record.interface] += 1;
        outcome.map_err(|error| self.failed(error))
    }

    /// Writes the statistics and gives the file its name. `tap` is what the packets came from, and has been read to its
    /// end.
    ///
    /// # Errors
    /// As the file has them.
    pub fn finish(mut self, tap: &mut Tap) -> Result<CaptureSummary, OutputError> {
        self.interfaces(&tap.interfaces(), tap.began_ns())?;
        let end = tap.now_ns();
        let (written, limit, frame) = (&self.written, self.summary.beyond_limit, &self.frame);
        let mut comments = Vec::new();
        let mut figures = Vec::new();
        for number in 0..frame.interfaces.len() {
            let stats = tap.stats_of(number);
            let mut comment = format!("{} packets passed the tap", stats.packets + stats.missed);
            if stats.missed > 0 {
                comment += &format!(
                    "; {} of them ({} bytes) are not here, because writing did not keep up",
                    stats.missed, stats.missed_bytes
                );
            }
            if limit > 0 {
                comment += "; what came after the file had reached its largest size is not here";
            }
            self.summary.missed += stats.missed;
            comments.push(comment);
            figures.push((stats.packets + stats.missed, stats.missed));
        }
        let figure = |number: usize| Statistics {
            received: figures.get(number).map(|(seen, _)| *seen),
            missed: figures.get(number).map(|(_, missed)| *missed),
            delivered: Some(written.get(number).copied().unwrap_or(0)),
            comment: comments.get(number).map_or("", String::as_str),
            ..Statistics::default()
        };
        let path = &self.settings.path;
        let failed = |error| OutputError::new(format!("\"{}\"", path.display()), error);
        match self.sink {
            Sink::Whole(mut writer) => {
                frame.statistics(&mut writer, end, figure).map_err(failed)?;
                writer.into_inner().0.commit()?;
                self.summary.files = vec![path.display().to_string()];
            }
            Sink::Ring(mut ring) => {
                frame.statistics(ring.current(), end, figure).map_err(failed)?;
                let names = ring.finish().map_err(failed)?;
                self.summary.files = names.iter().map(|name| name.display().to_string()).collect();
            }
        }
        Ok(self.summary)
    }

    /// Leaves nothing behind: the run did not begin.
    pub fn discard(self) {
        if let Sink::Ring(ring) = self.sink {
            ring.discard();
        }
    }

    fn failed(&self, error: io::Error) -> OutputError {
        OutputError::new(format!("\"{}\"", self.settings.path.display()), error)
    }
}

impl Frame {
    fn section<W: Write>(&self, out: W) -> io::Result<PcapngWriter<W>> {
        let section = Section {
            hardware: std::env::consts::ARCH,
            os: &self.os,
            application: concat!("bypath ", env!("CARGO_PKG_VERSION")),
            comment: "packets of a kernel-bypass engine: the kernel's own are not here",
        };
        PcapngWriter::new(out, &section)
    }

    fn describe<W: Write>(&self, writer: &mut PcapngWriter<W>, new: &[TapInterface]) -> io::Result<()> {
        for interface in new {
            let TapInterface { name, mac, driver, mtu, speed, mode, xdp } = interface;
            let description = format!("AF_XDP, {mode} mode, {xdp} XDP, MTU {mtu}");
            writer.interface(&Interface {
                name,
                description: &description,
                link: LinkType::ETHERNET,
                snap_len: self.snap_len,
                mac: Some(*mac),
                speed: *speed,
                hardware: driver,
                filter: "",
            })?;
        }
        Ok(())
    }

    fn statistics<'s, W: Write>(
        &self,
        writer: &mut PcapngWriter<W>,
        end: i64,
        figures: impl Fn(usize) -> Statistics<'s>,
    ) -> io::Result<()> {
        let (start, end) = (Timestamp(self.began_ns), Timestamp(end));
        for number in 0..self.interfaces.len() {
            writer.statistics(number as u32, &Statistics { start, end, ..figures(number) })?;
        }
        Ok(())
    }
}

impl Preamble for Frame {
    fn begin(&self, out: BufWriter<File>) -> io::Result<PcapngWriter<BufWriter<File>>> {
        let mut writer = self.section(out)?;
        self.describe(&mut writer, &self.interfaces)?;
        Ok(writer)
    }
}

/// A file that gets its name at the end.
#[derive(Debug)]
struct Growing(Output);

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes).map_err(OutputError::into_io)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether `path` could hold a capture: what `--pcap` may not name.
pub(super) fn check(path: &Path) -> Result<(), OutputError> {
    if path == Path::new("-") {
        let text = "a capture is a file: name one";
        return Err(OutputError::new("to standard output", io::Error::other(text)));
    }
    Ok(())
}
