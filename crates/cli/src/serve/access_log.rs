//! The access log: workers put lines into a bounded queue, a thread of its own writes them.

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::Path;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};

/// Lines that may wait.
const QUEUE: usize = 65_536;

/// See the module.
pub(crate) struct AccessLog {
    lines: Sender<String>,
    writer: JoinHandle<Result<()>>,
}

impl AccessLog {
    /// Appends to a file, or writes to stdout for "-".
    pub(crate) fn open(path: &Path) -> std::result::Result<Self, String> {
        let failed =
            |error: std::io::Error| format!("cannot write the access log {}: {error}", path.display());
        let out: Box<dyn Write + Send> = match path.to_str() {
            Some("-") => Box::new(std::io::stdout()),
            _ => Box::new(File::options().append(true).create(true).open(path).map_err(failed)?),
        };
        let (lines, queue) = bounded(QUEUE);
        let writer = std::thread::Builder::new()
            .name("bypath-log".into())
            .spawn(move || write(&queue, BufWriter::new(out)))
            .map_err(failed)?;
        Ok(Self { lines, writer })
    }

    /// Where lines go in, their ends with them.
    pub(crate) fn lines(&self) -> Sender<String> {
        self.lines.clone()
    }

    /// Writes what is left. All senders must be gone by then.
    pub(crate) fn close(self) -> Result<()> {
        drop(self.lines);
        self.writer.join().unwrap_or_else(|_| Err(std::io::Error::other("the writer has panicked")))
    }
}

fn write(queue: &Receiver<String>, mut out: impl Write) -> Result<()> {
    while let Ok(line) = queue.recv() {
        out.write_all(line.as_bytes())?;
        for line in queue.try_iter() {
            out.write_all(line.as_bytes())?;
        }
        out.flush()?;
    }
    out.flush()
}
