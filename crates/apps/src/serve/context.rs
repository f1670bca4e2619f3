//! What all connections of a worker share: settings, counts, the time of day, remembered files, working space.

use std::sync::Arc;
use std::time::SystemTime;

use bypath::{Instant, SendSource, ServiceConnection};
use crossbeam::channel::Sender;

use super::civil::unix_seconds;
use super::config::ServeConfig;
use super::files::FileCache;
use super::load_protocol::TestPattern;
use super::small::Lines;
use super::totals::{Trouble, WorkerTotals};

/// The time of day is read anew this often.
const CLOCK_NS: u64 = 100_000_000;

/// The time of day, as of at most a tenth of a second ago.
#[derive(Debug, Default)]
pub(super) struct WallClock {
    read_at: Option<Instant>,
    unix: i64,
    http: String,
}

impl WallClock {
    fn look(&mut self, now: Instant) {
        if self.read_at.is_some_and(|at| now.nanos_since(at) < CLOCK_NS) {
            return;
        }
        self.read_at = Some(now);
        let time = SystemTime::now();
        let unix = unix_seconds(time);
        if unix != self.unix || self.http.is_empty() {
            self.unix = unix;
            self.http = httpdate::fmt_http_date(time);
        }
    }

    /// Seconds since 1970.
    pub(super) fn unix(&mut self, now: Instant) -> i64 {
        self.look(now);
        self.unix
    }

    /// As the Date header has it.
    pub(super) fn http_date(&mut self, now: Instant) -> &str {
        self.look(now);
        &self.http
    }
}

/// See the module.
pub(super) struct Context {
    pub(super) config: Arc<ServeConfig>,
    pub(super) totals: Arc<WorkerTotals>,
    pub(super) clock: WallClock,
    pub(super) files: FileCache,
    pub(super) pattern: Arc<dyn SendSource>,
    pub(super) lines: Arc<dyn SendSource>,
    log: Option<Sender<String>>,
    /// Working space, empty between uses.
    pub(super) out: Vec<u8>,
    pub(super) decoded: Vec<u8>,
    pub(super) path: Vec<u8>,
}

impl Context {
    pub(super) fn new(
        config: Arc<ServeConfig>,
        totals: Arc<WorkerTotals>,
        log: Option<Sender<String>>,
    ) -> Self {
        Self {
            config,
            totals,
            clock: WallClock::default(),
            files: FileCache::default(),
            pattern: TestPattern::source(),
            lines: Lines::source(),
            log,
            out: Vec::with_capacity(4096),
            decoded: Vec::new(),
            path: Vec::new(),
        }
    }

    pub(super) fn trouble(&self, trouble: Trouble) {
        self.totals.trouble(trouble);
    }

    /// A line for the access log, if there is one. A log that is behind loses lines, and that is counted.
    pub(super) fn log(&self, line: impl FnOnce() -> String) {
        if let Some(log) = &self.log
            && log.try_send(line()).is_err()
        {
            self.trouble(Trouble::LogDropped);
        }
    }

    /// Whether there is an access log.
    pub(super) fn logs(&self) -> bool {
        self.log.is_some()
    }
}

/// Gives all of `bytes` to be sent.
pub(super) fn say(connection: &mut ServiceConnection<'_>, bytes: &[u8]) {
    let n = connection.write(bytes);
    if let Some(rest @ [_, ..]) = bytes.get(n..) {
        connection.send(Arc::new(rest.to_vec()));
    }
}
