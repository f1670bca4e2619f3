//! A ring of capture files: when one is full the next begins, and the oldest goes when there are enough. Each is a
//! capture of its own, with its own description of interfaces, and is there while it grows.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::pcapng::PcapngWriter;

/// Buffered before it is written to the file, bytes.
const BUFFER: usize = 1 << 18;

/// What every file of a ring begins with: section and interfaces.
pub trait Preamble {
    /// Writes it.
    ///
    /// # Errors
    /// As the file has them.
    fn begin(&self, out: BufWriter<File>) -> io::Result<PcapngWriter<BufWriter<File>>>;
}

impl<F: Fn(BufWriter<File>) -> io::Result<PcapngWriter<BufWriter<File>>>> Preamble for F {
    fn begin(&self, out: BufWriter<File>) -> io::Result<PcapngWriter<BufWriter<File>>> {
        self(out)
    }
}

/// See the module.
#[derive(Debug)]
pub struct RingFiles {
    path: PathBuf,
    limit: u64,
    keep: usize,
    number: u64,
    names: VecDeque<PathBuf>,
    current: PcapngWriter<BufWriter<File>>,
}

impl RingFiles {
    /// Begins the first file of a ring of `keep` files of `limit` bytes each. For `run.pcapng` they are called
    /// `run_00001.pcapng`, `run_00002.pcapng` and so on.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, limit: u64, keep: usize, preamble: &dyn Preamble) -> io::Result<Self> {
        let name = numbered(path, 1);
        let current = preamble.begin(open(&name)?)?;
        let names = VecDeque::from([name]);
        Ok(Self { path: path.to_owned(), limit, keep: keep.max(1), number: 1, names, current })
    }

    /// The writer for a block of at most `len` bytes: of the present file, or of the next one if it does not fit any
    /// more. `last` may write the present file's statistics before it is closed.
    ///
    /// # Errors
    /// As the files have them.
    pub fn room_for(
        &mut self,
        len: usize,
        preamble: &dyn Preamble,
        last: impl FnOnce(&mut PcapngWriter<BufWriter<File>>) -> io::Result<()>,
    ) -> io::Result<&mut PcapngWriter<BufWriter<File>>> {
        if self.current.written() + len as u64 <= self.limit {
            return Ok(&mut self.current);
        }
        last(&mut self.current)?;
        self.current.get_mut().flush()?;
        while self.names.len() >= self.keep {
            if let Some(oldest) = self.names.pop_front() {
                remove(&oldest)?;
            }
        }
        self.number += 1;
        let name = numbered(&self.path, self.number);
        self.current = preamble.begin(open(&name)?)?;
        self.names.push_back(name);
        Ok(&mut self.current)
    }

    /// The writer of the present file, whatever its size.
    pub fn current(&mut self) -> &mut PcapngWriter<BufWriter<File>> {
        &mut self.current
    }

    /// Ends the last file; returns the names of those that are there, the oldest first.
    ///
    /// # Errors
    /// As the file has them.
    pub fn finish(mut self) -> io::Result<Vec<PathBuf>> {
        self.current.get_mut().flush()?;
        Ok(self.names.into())
    }

    /// Removes all files: the run that they were for did not begin.
    pub fn discard(self) {
        for name in &self.names {
            // There is nobody to tell who could do more about it.
            let _ = std::fs::remove_file(name);
        }
    }
}

/// Somebody else may have removed it already.
fn remove(name: &Path) -> io::Result<()> {
    match std::fs::remove_file(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn open(name: &Path) -> io::Result<BufWriter<File>> {
    Ok(BufWriter::with_capacity(BUFFER, File::create(name)?))
}

/// `run_00007.pcapng` of `run.pcapng`.
fn numbered(path: &Path, number: u64) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default();
    let mut name = stem.to_owned();
    name.push(format!("_{number:05}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}
