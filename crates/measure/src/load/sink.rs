//! Where received bytes go: nowhere, or into files that a thread of its own writes. The worker never waits for a disk:
//! what is not written yet counts as unread, and the peer is held back by TCP's window.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};

use super::settings::SinkSettings;
use crate::export::advice;

/// Bytes that are written at once.
const BUFFER: usize = 256 * 1024;
/// Buffers that are kept for reuse.
const POOL: usize = 1024;

enum Job {
    Data { file: u32, bytes: Vec<u8>, unwritten: Arc<AtomicUsize> },
    End(u32),
    GiveUp(u32),
}

/// A file that is being received.
#[derive(Debug, Default)]
struct Incoming {
    buffer: Vec<u8>,
    unwritten: Arc<AtomicUsize>,
}

/// The worker's side.
#[derive(Debug, Default)]
pub(super) struct Sink {
    to: Option<Outlet>,
}

#[derive(Debug)]
struct Outlet {
    jobs: Sender<Job>,
    pool: Receiver<Vec<u8>>,
    failed: Arc<AtomicBool>,
    files: Vec<Incoming>,
    free: Vec<u32>,
}

impl Sink {
    /// Bytes go nowhere.
    pub(super) fn null() -> Self {
        Self::default()
    }

    /// Whether bytes go anywhere.
    pub(super) fn keeps(&self) -> bool {
        self.to.is_some()
    }

    /// A place for one file after another.
    pub(super) fn begin(&mut self) -> u32 {
        let Some(outlet) = &mut self.to else { return 0 };
        outlet.free.pop().unwrap_or_else(|| {
            outlet.files.push(Incoming::default());
            outlet.files.len() as u32 - 1
        })
    }

    /// Takes the next bytes of a file. `false`: it cannot be written.
    pub(super) fn write(&mut self, file: u32, bytes: &[u8]) -> bool {
        let Some(outlet) = &mut self.to else { return true };
        let Some(incoming) = outlet.files.get_mut(file as usize) else { return false };
        incoming.buffer.extend_from_slice(bytes);
        incoming.unwritten.fetch_add(bytes.len(), Ordering::Relaxed);
        if incoming.buffer.len() >= BUFFER {
            outlet.pass_on(file);
        }
        !outlet.failed.load(Ordering::Relaxed)
    }

    /// Bytes of the file that wait for the disk: not those that still gather here.
    pub(super) fn unwritten(&self, file: u32) -> usize {
        let incoming = self.to.as_ref().and_then(|outlet| outlet.files.get(file as usize));
        incoming.map_or(0, |incoming| {
            incoming.unwritten.load(Ordering::Relaxed).saturating_sub(incoming.buffer.len())
        })
    }

    /// The file is complete; the place is kept for the next, so that what is not written yet still counts.
    pub(super) fn end(&mut self, file: u32) {
        if let Some(outlet) = &mut self.to {
            outlet.pass_on(file);
            outlet.send(Job::End(file));
        }
    }

    /// The file, if there is one, will never be complete, and the place is not needed any more.
    pub(super) fn give_up(&mut self, file: u32) {
        if let Some(outlet) = &mut self.to {
            if let Some(incoming) = outlet.files.get_mut(file as usize) {
                incoming.unwritten.fetch_sub(incoming.buffer.len(), Ordering::Relaxed);
                incoming.buffer.clear();
            }
            outlet.send(Job::GiveUp(file));
            outlet.free.push(file);
        }
    }
}

impl Outlet {
    fn pass_on(&mut self, file: u32) {
        let Some(incoming) = self.files.get_mut(file as usize) else { return };
        if incoming.buffer.is_empty() {
            return;
        }
        let empty = self.pool.try_recv().unwrap_or_default();
        let bytes = std::mem::replace(&mut incoming.buffer, empty);
        let unwritten = incoming.unwritten.clone();
        self.send(Job::Data { file, bytes, unwritten });
    }

    fn send(&self, job: Job) {
        // The writer is gone only when the run is over.
        let _ = self.jobs.send(job);
    }
}

/// The writing side. Dropping it waits until all is written.
#[derive(Debug)]
pub(super) struct SinkWriter {
    thread: Option<JoinHandle<Option<String>>>,
    failed: Arc<AtomicBool>,
}

impl SinkWriter {
    /// Starts a writer for one worker.
    pub(super) fn start(
        settings: &SinkSettings,
        worker: usize,
    ) -> std::io::Result<(Sink, Option<SinkWriter>)> {
        let place = match settings {
            SinkSettings::Null => return Ok((Sink::null(), None)),
            SinkSettings::File(path) => Place::File(path.clone()),
            SinkSettings::Directory(path) => Place::Directory(path.clone(), worker),
        };
        place.probe()?;
        let (jobs, inbox) = unbounded();
        let (back, pool) = bounded(POOL);
        let failed = Arc::new(AtomicBool::new(false));
        let outlet = Outlet { jobs, pool, failed: failed.clone(), files: Vec::new(), free: Vec::new() };
        let thread = std::thread::Builder::new().name(format!("bypath-sink-{worker}")).spawn({
            let failed = failed.clone();
            move || write_all(&place, &inbox, &back, &failed)
        })?;
        Ok((Sink { to: Some(outlet) }, Some(SinkWriter { thread: Some(thread), failed })))
    }

    /// Whether something could not be written. Nothing is kept from then on.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Waits until all is written: what went wrong, if anything did. The worker's side must be gone.
    pub(super) fn finish(mut self) -> Option<String> {
        self.thread.take().and_then(|thread| thread.join().ok().flatten())
    }
}

/// Where the files go.
#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Directory(PathBuf, usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::File(path) | Self::Directory(path, _)) = self;
        write!(f, "{}", path.display())
    }
}

impl Place {
    /// The file while it is not complete.
    fn part(&self, file: u32) -> PathBuf {
        match self {
            Self::File(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                path.with_file_name(format!(".{name}.part"))
            }
            Self::Directory(dir, worker) => {
                dir.join(format!(".bypath-{}-{worker}-{file}.part", std::process::id()))
            }
        }
    }

    /// Whether files can be made there at all.
    fn probe(&self) -> std::io::Result<()> {
        let part = self.part(u32::MAX);
        File::create(&part)?;
        std::fs::remove_file(part)
    }

    fn complete(&self, file: u32) -> std::io::Result<()> {
        match self {
            Self::File(path) => std::fs::rename(self.part(file), path),
            Self::Directory(..) => std::fs::remove_file(self.part(file)),
        }
    }
}

fn write_all(
    place: &Place,
    inbox: &Receiver<Job>,
    back: &Sender<Vec<u8>>,
    failed: &AtomicBool,
) -> Option<String> {
    let mut parts: HashMap<u32, Part> = HashMap::new();
    let mut error = None;
    for job in inbox {
        let outcome = match job {
            Job::Data { file, mut bytes, unwritten } => {
                let written = write(place, &mut parts, file, &bytes);
                unwritten.fetch_sub(bytes.len(), Ordering::Relaxed);
                bytes.clear();
                let _ = back.try_send(bytes);
                written
            }
            Job::End(file) => match parts.remove(&file) {
                Some(Part::Open(_)) => place.complete(file),
                _ => Ok(()),
            },
            Job::GiveUp(file) => match parts.remove(&file) {
                Some(Part::Open(_)) => std::fs::remove_file(place.part(file)),
                _ => Ok(()),
            },
        };
        if let Err(e) = outcome {
            failed.store(true, Ordering::Relaxed);
            error.get_or_insert_with(|| format!("{place}: {}", advice(&e)));
        }
    }
    for (file, _) in parts.iter().filter(|(_, part)| matches!(part, Part::Open(_))) {
        let _ = std::fs::remove_file(place.part(*file));
    }
    error
}

/// A file that is not complete.
enum Part {
    Open(File),
    /// It could not be written. What still comes of it is thrown away, and it never gets its name.
    Broken,
}

/// Writes the next bytes of a file. What cannot be written leaves nothing.
fn write(place: &Place, parts: &mut HashMap<u32, Part>, file: u32, bytes: &[u8]) -> std::io::Result<()> {
    let written = match parts.get_mut(&file) {
        Some(Part::Broken) => return Ok(()),
        Some(Part::Open(part)) => part.write_all(bytes),
        None => File::create(place.part(file)).and_then(|mut part| {
            let written = part.write_all(bytes);
            parts.insert(file, Part::Open(part));
            written
        }),
    };
    if written.is_err() && matches!(parts.insert(file, Part::Broken), Some(Part::Open(_))) {
        let _ = std::fs::remove_file(place.part(file));
    }
    written
}

/// What a file or directory is kept on: `tmpfs` for memory, `disk` for all else.
pub(super) fn medium(path: &Path) -> &'static str {
    use nix::sys::statfs::{TMPFS_MAGIC, statfs};
    let dir = if path.exists() { path } else { path.parent().unwrap_or(path) };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    match statfs(dir) {
        Ok(fs) if fs.filesystem_type() == TMPFS_MAGIC => "tmpfs",
        _ => "disk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_its_name_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let (mut sink, writer) = SinkWriter::start(&SinkSettings::File(path.clone()), 0).unwrap();
        let file = sink.begin();
        for _ in 0..3 {
            assert!(sink.write(file, &vec![7; BUFFER / 2]));
        }
        sink.end(file);
        drop(sink);
        assert_eq!(writer.unwrap().finish(), None);
        assert_eq!(std::fs::read(&path).unwrap(), vec![7; BUFFER / 2 * 3]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_that_were_given_up_or_never_ended_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let settings = SinkSettings::Directory(dir.path().to_owned());
        let (mut sink, writer) = SinkWriter::start(&settings, 0).unwrap();
        let (a, b, c) = (sink.begin(), sink.begin(), sink.begin());
        for file in [a, b, c] {
            sink.write(file, &vec![1; BUFFER]);
        }
        sink.give_up(a);
        sink.end(b);
        drop(sink);
        assert_eq!(writer.unwrap().finish(), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_could_not_be_written_somewhere_never_gets_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::File(dir.path().join("out"));
        let mut parts = HashMap::new();
        // As if the disk had been full for a moment: the part's name is taken, and then free again.
        std::fs::create_dir(place.part(0)).unwrap();
        assert!(write(&place, &mut parts, 0, b"first").is_err());
        std::fs::remove_dir(place.part(0)).unwrap();
        assert!(write(&place, &mut parts, 0, b"second").is_ok());
        assert!(matches!(parts.get(&0), Some(Part::Broken)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_before_the_run() {
        let settings = SinkSettings::File(PathBuf::from("/nonexistent/dir/file"));
        assert!(SinkWriter::start(&settings, 0).is_err());
    }
}
