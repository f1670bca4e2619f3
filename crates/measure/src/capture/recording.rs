//! The thread that reads a tap and writes the capture.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bypath::tap::{Tap, TapOptions, TapRecord, TapSink, tap};

use super::writer::check;
use super::{CaptureSettings, CaptureSummary, CaptureWriter};
use crate::export::OutputError;

/// A capture that is being taken. When it is dropped it ends as by [`Recording::finish`].
#[derive(Debug)]
pub struct Recording {
    sink: Option<TapSink>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Outcome>>,
}

type Outcome = Result<Option<CaptureSummary>, OutputError>;

/// Somebody who is shown each packet before it is written, in the thread that writes.
pub type Watcher = Box<dyn FnMut(&TapRecord<'_>) + Send>;

impl Recording {
    /// Makes the file and starts the thread, which waits for packets.
    ///
    /// # Errors
    /// When there is no writing to that place.
    pub fn start(settings: &CaptureSettings) -> Result<Self, OutputError> {
        Self::start_watched(settings, None)
    }

    /// The same, with a watcher who sees packets whole, however little of them is written. It must not wait for
    /// anything: the capture waits for it.
    ///
    /// # Errors
    /// When there is no writing to that place.
    pub fn start_watched(settings: &CaptureSettings, watcher: Option<Watcher>) -> Result<Self, OutputError> {
        check(&settings.path)?;
        let writer = CaptureWriter::create(settings)?;
        // The writer cuts as well, so that a watcher may have more.
        let snap_len = settings.snap_len.filter(|_| watcher.is_none()).unwrap_or(u32::MAX);
        let (sink, tap) = tap(TapOptions { snap_len, ..TapOptions::default() });
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("bypath-pcap".into())
            .spawn(move || record(tap, writer, watcher, &told))
            .map_err(|error| OutputError::new(format!("\"{}\"", settings.path.display()), error))?;
        Ok(Self { sink: Some(sink), stop, thread: Some(thread) })
    }

    /// What the engine is to be given.
    pub fn sink(&self) -> Option<TapSink> {
        self.sink.clone()
    }

    /// Ends it with what was seen by now; to be called when the engine has stopped, or is to be waited for no more.
    /// `None`: no engine ever began, and there is no file.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn finish(mut self) -> Outcome {
        self.end()
    }

    fn end(&mut self) -> Outcome {
        self.sink = None;
        self.stop.store(true, Ordering::Release);
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => Ok(None),
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.thread.is_some()
            && let Err(error) = self.end()
        {
            tracing::error!("{error}");
        }
    }
}

fn record(
    mut tap: Tap,
    mut writer: CaptureWriter,
    mut watcher: Option<Watcher>,
    stop: &AtomicBool,
) -> Outcome {
    let began = tap.began_ns();
    let mut failed = None;
    let mut known = 0;
    let interfaces = tap.watch_interfaces();
    tap.run(
        || stop.load(Ordering::Acquire),
        |record| {
            if let Some(watch) = &mut watcher {
                watch(record);
            }
            // After a failure the tap is read on, so that what it tells of lost packets stays true.
            if failed.is_some() {
                return;
            }
            if record.interface >= known {
                let all = interfaces();
                known = all.len();
                failed = writer.interfaces(&all, began).err();
            }
            failed = failed.take().or_else(|| writer.packet(record).err());
        },
    );
    if let Some(error) = failed {
        return Err(error);
    }
    if tap.interfaces().is_empty() {
        writer.discard();
        return Ok(None);
    }
    writer.finish(&mut tap).map(Some)
}
