//! Handing over what a worker has recorded, once an interval, without a lock, an allocation or a copy.
//!
//! The worker owns one structure and records into it. At the end of an interval it sends the structure away whole and
//! goes on with an empty one that came back earlier. Merging, emptying and whatever else takes time happens on the
//! other side:
//!
//! ```
//! use bypath_measure::histogram::{HistogramSet, Merge, interval};
//!
//! let (mut recorder, collector) = interval::channel(0, 2, || HistogramSet::new(&["request"]));
//! recorder.record().record(0, 1_500);           // on the worker
//! assert!(recorder.hand_over(0, 1_000_000_000));
//!
//! let mut total = HistogramSet::new(&["request"]);
//! while let Some(slice) = collector.try_take() {
//!     total.merge(&slice.data);                 // elsewhere
//!     collector.give_back(slice);
//! }
//! assert_eq!(total.get("request").map(|h| h.count()), Some(1));
//! ```

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::time::Duration;

use super::Merge;

/// What was recorded in one interval by one worker.
#[derive(Debug)]
pub struct Slice<T> {
    /// Who recorded it.
    pub worker: usize,
    /// Start of the interval, nanoseconds, on the clock of whoever called [`Recorder::hand_over`].
    pub start_ns: u64,
    /// End of the interval.
    pub end_ns: u64,
    /// What was recorded.
    pub data: Box<T>,
}

/// The worker's side.
#[derive(Debug)]
pub struct Recorder<T> {
    worker: usize,
    current: Box<T>,
    full: Sender<Slice<T>>,
    empty: Receiver<Box<T>>,
    /// Start of what `current` holds, if it is older than the interval that is being handed over.
    kept_since: Option<u64>,
    kept: u64,
}

/// The other side.
#[derive(Debug)]
pub struct Collector<T> {
    full: Receiver<Slice<T>>,
    empty: Sender<Box<T>>,
}

/// Both sides, with `spares` structures beside the one being filled: two let the collector be an interval late.
pub fn channel<T>(worker: usize, spares: usize, make: impl Fn() -> T) -> (Recorder<T>, Collector<T>) {
    let spares = spares.max(1);
    // One place more than there are structures beside the current one: sending never waits.
    let (full, taken) = bounded(spares + 1);
    let (back, empty) = bounded(spares + 1);
    for _ in 0..spares {
        // There is room: the channel was made with more places than structures.
        let _ = back.try_send(Box::new(make()));
    }
    let current = Box::new(make());
    (
        Recorder { worker, current, full, empty, kept_since: None, kept: 0 },
        Collector { full: taken, empty: back },
    )
}

impl<T> Recorder<T> {
    /// What is being filled.
    #[inline]
    pub fn record(&mut self) -> &mut T {
        &mut self.current
    }

    /// Hands over what was recorded between the two times. When nothing empty has come back, because the collector is
    /// late, it is kept and handed over with the next interval: nothing is lost, the interval is longer. False then.
    pub fn hand_over(&mut self, start_ns: u64, end_ns: u64) -> bool {
        let start_ns = self.kept_since.take().unwrap_or(start_ns);
        let Ok(next) = self.empty.try_recv() else {
            self.kept_since = Some(start_ns);
            self.kept += 1;
            return false;
        };
        let data = std::mem::replace(&mut self.current, next);
        match self.full.try_send(Slice { worker: self.worker, start_ns, end_ns, data }) {
            Ok(()) => true,
            // Nobody collects any more: keep the figures.
            Err(error) => {
                self.current = error.into_inner().data;
                self.kept_since = Some(start_ns);
                false
            }
        }
    }

    /// How often something could not be handed over because the collector was late.
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// The end of the run: what was recorded since the last hand-over. Waits for room, so it is not for the data path.
    pub fn finish(mut self, start_ns: u64, end_ns: u64) {
        let start_ns = self.kept_since.take().unwrap_or(start_ns);
        // A collector that is gone has no use for it.
        let _ = self.full.send(Slice { worker: self.worker, start_ns, end_ns, data: self.current });
    }
}

impl<T: Merge> Collector<T> {
    /// What has been handed over, if anything has.
    pub fn try_take(&self) -> Option<Slice<T>> {
        self.full.try_recv().ok()
    }

    /// Waits for what is handed over next. `Err` tells whether time has passed or the recorder is gone.
    pub fn take_within(&self, limit: Duration) -> Result<Slice<T>, RecvTimeoutError> {
        self.full.recv_timeout(limit)
    }

    /// Gives the structure back, emptied.
    pub fn give_back(&self, mut slice: Slice<T>) {
        slice.data.clear();
        // A recorder that has ended needs none.
        let _ = self.empty.try_send(slice.data);
    }
}
