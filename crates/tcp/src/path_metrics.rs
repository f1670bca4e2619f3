//! What a connection can tell the next one to the same place of the path between them (RFC 9040). Who keeps it,
//! by destination and for how long, is the caller's matter.

use crate::config::MetricsCache;
use crate::connection::Connection;

/// What is known of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathMetrics {
    /// Smoothed round trip and its variation, nanoseconds.
    pub srtt_ns: u64,
    /// See `srtt_ns`.
    pub rttvar_ns: u64,
    /// Slow-start threshold that a loss has left, bytes; 0: none.
    pub ssthresh: u32,
    /// Congestion window in the end, bytes.
    pub cwnd: u32,
    /// Options and payload that fit the path, where a router said that it is less than the interface's; 0: nothing
    /// was said.
    pub path_mss: u16,
}

impl PathMetrics {
    /// With what a later connection has seen. A round trip that grew is believed at once, one that shrank by an
    /// eighth: too short a timeout does more harm than one too long. Of thresholds and windows the mean.
    #[must_use]
    pub fn merged(self, later: Self) -> Self {
        let slow = |old: u64, new: u64| if new >= old { new } else { old - (old - new) / 8 };
        let mean = |old: u32, new: u32| match (old, new) {
            (0, n) | (n, 0) => n,
            (a, b) => a / 2 + b / 2,
        };
        Self {
            srtt_ns: slow(self.srtt_ns, later.srtt_ns),
            rttvar_ns: slow(self.rttvar_ns, later.rttvar_ns),
            ssthresh: mean(self.ssthresh, later.ssthresh),
            cwnd: mean(self.cwnd, later.cwnd),
            path_mss: later.path_mss,
        }
    }
}

impl Connection {
    /// What is known of the path from before. Before the handshake.
    pub fn expect_path(&mut self, known: PathMetrics) {
        if self.cold.config.metrics == MetricsCache::Off {
            return;
        }
        if known.path_mss != 0 {
            self.cold.path_mtu.mss = self.cold.path_mtu.mss.min(known.path_mss);
            // A passive connection knows its peer's already, and the size of its segments follows from both.
            self.refresh_mss();
        }
        self.cold.expected = known;
    }

    /// What this connection has seen of the path; nothing before the first round trip was measured.
    pub fn path_metrics(&self) -> Option<PathMetrics> {
        let srtt_ns = self.srtt_ns()?;
        let window = &self.hot.window;
        let path_mss = if self.cold.path_mtu.mss < self.cold.config.mss { self.cold.path_mtu.mss } else { 0 };
        Some(PathMetrics {
            srtt_ns,
            rttvar_ns: self.rttvar_ns(),
            ssthresh: if window.ssthresh == u32::MAX { 0 } else { window.ssthresh },
            cwnd: window.cwnd,
            path_mss,
        })
    }

    /// The connection is open: what was expected is compared with what the handshake showed. A round trip that used
    /// to be longer makes the first timeout longer, as on Linux; the rest is only used if that is wanted.
    pub(crate) fn use_expectations(&mut self) {
        let known = self.cold.expected;
        if known.srtt_ns > self.srtt_ns().unwrap_or(u64::MAX) {
            self.cold.rtt.at_least(known.srtt_ns, known.rttvar_ns);
        }
        if self.cold.config.metrics != MetricsCache::Full || self.cold.congestion.initial_window().is_some() {
            return;
        }
        let least = 2 * self.hot.window.mss;
        let window = &mut self.hot.window;
        if known.ssthresh != 0 {
            window.ssthresh = known.ssthresh.max(least);
        }
        if known.cwnd != 0 {
            window.cwnd = window.cwnd.min(known.cwnd.max(least));
        }
    }
}
