//! How large a packet the path carries. Routers say so (RFC 1191, RFC 8201), and are believed as far as RFC 5927
//! section 7 has it; where they do not, timeouts of full segments show it, and larger ones are tried with data
//! (RFC 4821, RFC 8899), as Linux does with `tcp_mtu_probing`.
//!
//! Sizes are payload and options of one segment, as in [`Config::mss`](crate::Config::mss).

use core::time::Duration;

use crate::config::MtuProbing;
use crate::connection::{Bits, Connection, MIN_MSS};
use crate::time::Instant;

/// Timeouts in a row, with full segments outstanding, that show a black hole.
const BLACK_HOLE_TIMEOUTS: u8 = 3;
/// What a path is thought to carry when it swallows more: 1,024, as Linux has it.
const BASE_MSS: u16 = 1_024;
/// A smaller size is given up again after this long (RFC 1191 section 6.3, RFC 8201 section 4).
const RAISE_AFTER: Duration = Duration::from_secs(600);
/// The same after a black hole: it may have been an outage of the path, whatever the size.
const RAISE_AFTER_BLACK_HOLE: Duration = Duration::from_secs(30);
/// A search for the right size ends when this little is left to be won.
const SEARCH_STEP: u16 = 32;
/// Full segments that must be there to be sent behind a probe, so that its loss is seen without a timeout.
const SEGMENTS_BEHIND: u32 = 4;

/// A segment that is larger than what is known to pass.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// Its payload, by stream offsets.
    start: u64,
    end: u64,
    size: u16,
    lost: bool,
}

/// What is known of the path.
#[derive(Debug)]
pub(crate) struct PathMtu {
    /// Segments are no larger than this.
    pub(crate) mss: u16,
    /// What the interface and the route allow.
    limit: u16,
    /// Largest size worth a probe.
    search_high: u16,
    /// Largest size that has arrived.
    proven: u16,
    /// Where the first full segment of the present size ended, by stream offset; once that is acknowledged, the size
    /// is proven.
    full_sent: u64,
    /// A router has named a size that contradicts what has arrived: believed if the data it quoted times out.
    claim: Option<(u64, u16)>,
    /// Timeouts in a row at the stream offset beside it.
    timeouts: (u64, u8),
    probe: Option<Probe>,
    /// When a larger size is tried.
    pub(crate) raise_at: Instant,
}

impl PathMtu {
    pub(crate) fn new(mss: u16) -> Self {
        Self {
            mss,
            limit: mss,
            search_high: mss,
            proven: 0,
            full_sent: u64::MAX,
            claim: None,
            timeouts: (0, 0),
            probe: None,
            raise_at: Instant::NEVER,
        }
    }

    /// What has to be kept of a path of which nothing is to be found out; none otherwise.
    pub(crate) fn kept(&self) -> Option<[u16; 4]> {
        let at_rest = self.probe.is_none()
            && self.claim.is_none()
            && self.timeouts.1 == 0
            && self.raise_at == Instant::NEVER;
        at_rest.then_some([self.mss, self.limit, self.search_high, self.proven])
    }

    /// Goes on from what [`PathMtu::kept`] has told.
    pub(crate) fn resume(&mut self, [mss, limit, search_high, proven]: [u16; 4]) {
        *self = Self { limit, search_high, proven, ..Self::new(mss) };
    }

    /// Whether a full segment is news.
    pub(crate) fn watches(&self) -> bool {
        self.full_sent == u64::MAX
    }

    fn set(&mut self, mss: u16) {
        self.mss = mss;
        self.full_sent = u64::MAX;
        self.timeouts.1 = 0;
    }
}

impl Connection {
    /// The interface's MTU has changed: segments are at most `mss` bytes of options and payload from here on.
    pub fn limit_mss(&mut self, mss: u16) {
        let path = &mut self.cold.path_mtu;
        path.limit = mss.max(MIN_MSS);
        path.search_high = path.limit;
        if path.limit < path.mss {
            path.set(path.limit);
            self.refresh_mss();
        }
    }

    /// A router could not pass a packet of ours: segments shrink to `mss` bytes of options and payload, and
    /// what is outstanding is sent again. `false`, and nothing happens, unless `seq`, quoted in the error, is
    /// outstanding (RFC 5927 section 4) and the size is smaller than now. A size that contradicts what has
    /// arrived is only believed if the quoted data times out as well (RFC 5927 section 7.2).
    pub fn on_path_mtu(&mut self, now: Instant, seq: bypath_wire::seq::SeqNum, mss: u16) -> bool {
        let outstanding = seq.at_or_after(self.hot.snd_una) && seq.before(self.hot.snd_nxt);
        if !outstanding || mss >= self.cold.path_mtu.mss || !self.hot.state.is_synchronized() {
            return false;
        }
        self.note_proven();
        let path = &mut self.cold.path_mtu;
        let mss = mss.max(MIN_MSS);
        if mss < path.proven {
            let offset = self.hot.acknowledged + u64::from(seq.offset_from(self.hot.snd_una).unsigned_abs());
            path.claim = Some((offset, mss));
        } else {
            self.lower_mss(now, mss, RAISE_AFTER);
        }
        true
    }

    /// Both ends agree: what is sent at first.
    pub(crate) fn start_path_mtu(&mut self, now: Instant) {
        if self.cold.path_mtu.mss < self.cold.path_mtu.limit {
            // What an earlier connection has learnt of the path.
            self.cold.path_mtu.raise_at = now + RAISE_AFTER;
            self.refresh_aux();
        }
        if self.cold.config.mtu_probing == MtuProbing::Always {
            let base = BASE_MSS.max(self.least_mss());
            let path = &mut self.cold.path_mtu;
            if base < path.mss {
                path.set(base);
                self.hot.bits.set(Bits::MTU_PROBE);
                self.refresh_mss();
            }
        }
    }

    fn least_mss(&self) -> u16 {
        self.cold.config.least_path_mss.max(MIN_MSS)
    }

    /// What a full segment takes now, with its options.
    fn whole(&self) -> u16 {
        self.cold.path_mtu.mss.min(self.cold.peer_mss.max(MIN_MSS))
    }

    /// A full segment whose payload ends at stream offset `end` goes out, of a size that has not been seen to
    /// arrive.
    pub(crate) fn note_full_segment(&mut self, end: u64) {
        self.cold.path_mtu.full_sent = end;
    }

    fn note_proven(&mut self) {
        let whole = self.whole();
        let path = &mut self.cold.path_mtu;
        if self.hot.acknowledged >= path.full_sent {
            path.proven = path.proven.max(whole);
        }
    }

    fn lower_mss(&mut self, now: Instant, mss: u16, raise_after: Duration) {
        let path = &mut self.cold.path_mtu;
        path.set(mss);
        path.proven = path.proven.min(mss);
        path.claim = None;
        path.probe = None;
        path.search_high = path.limit;
        path.raise_at = now + raise_after;
        self.hot.bits.clear(Bits::MTU_PROBE.or(Bits::MTU_PROBED));
        let before = self.hot.window.mss;
        self.refresh_mss();
        self.refresh_aux();
        if self.hot.window.mss < before {
            self.send_again();
        }
    }

    /// The retransmission timer has run out with data outstanding: perhaps it was too large.
    pub(crate) fn suspect_path_mtu(&mut self, now: Instant) {
        let acknowledged = self.hot.acknowledged;
        if let Some(probe) = &mut self.cold.path_mtu.probe {
            probe.lost = true;
            self.end_mtu_probe(now);
            return;
        }
        if let Some((offset, mss)) = self.cold.path_mtu.claim.take()
            && offset >= acknowledged
            && mss < self.cold.path_mtu.mss
        {
            return self.lower_mss(now, mss, RAISE_AFTER);
        }
        if self.hot.snd_wnd == 0 {
            // The peer has taken its window back: it drops what we send, whatever its size.
            return;
        }
        let path = &mut self.cold.path_mtu;
        path.timeouts = match path.timeouts {
            (at, n) if at == acknowledged => (at, n.saturating_add(1)),
            _ => (acknowledged, 1),
        };
        if self.cold.config.mtu_probing == MtuProbing::Off || path.timeouts.1 < BLACK_HOLE_TIMEOUTS {
            return;
        }
        let whole = self.whole();
        if whole <= BASE_MSS && self.cold.path_mtu.mss == self.cold.path_mtu.limit {
            // Small from the start: hardly a path swallows that, and what does not answer is gone.
            return;
        }
        let less = if whole > BASE_MSS { BASE_MSS } else { whole / 2 }.max(self.least_mss());
        let outstanding = self.hot.snd_nxt.offset_from(self.hot.snd_una);
        if less < whole && outstanding > i32::from(less) {
            self.cold.stats.mtu_black_holes += 1;
            self.lower_mss(now, less, RAISE_AFTER_BLACK_HOLE);
        }
    }

    /// The time has come to try a larger size with the next data.
    pub(crate) fn on_raise_timer(&mut self) {
        self.cold.path_mtu.raise_at = Instant::NEVER;
        let high = self.cold.path_mtu.search_high.min(self.cold.peer_mss);
        if self.cold.path_mtu.mss < high && self.hot.state.is_synchronized() {
            self.hot.bits.set(Bits::MTU_PROBE);
        }
    }

    /// Payload of the segment that is built next while a probe is due: the probe's, if everything is there that
    /// makes its loss cheap (RFC 4821 section 7.3), else the usual.
    #[inline(never)]
    pub(crate) fn probe_limit(&self, usual: u32, unsent: u32, usable: u32) -> u32 {
        let path = &self.cold.path_mtu;
        // What is reported of duplicates and holes takes room from the payload, which a probe does not give.
        let busy = Bits::RECOVERY.or(Bits::LOSS).or(Bits::PERSIST).or(Bits::HOLES).or(Bits::DSACK);
        let calm = !self.hot.bits.has(busy);
        if path.probe.is_some() || !calm {
            return usual;
        }
        let size = u32::from(self.probe_size()) - (u32::from(self.whole()) - self.hot.window.mss);
        let needed = size + SEGMENTS_BEHIND * usual;
        let room = self.hot.window.cwnd.saturating_sub(self.cold.scoreboard.in_flight());
        if size > usual && unsent >= needed && usable >= needed && room >= needed { size } else { usual }
    }

    /// The largest size first: often nothing is wrong with the path any more. Then the middle of what is left.
    fn probe_size(&self) -> u16 {
        let path = &self.cold.path_mtu;
        let high = path.search_high.min(self.cold.peer_mss.max(MIN_MSS));
        if high == path.limit.min(self.cold.peer_mss.max(MIN_MSS)) {
            high
        } else {
            path.mss + (high - path.mss).div_ceil(2)
        }
    }

    /// Payload of the largest segment that may be given to be sent next.
    pub fn largest_payload(&self) -> u32 {
        if self.hot.bits.has(Bits::MTU_PROBE) {
            self.hot.window.mss.max(u32::from(self.probe_size()))
        } else {
            self.hot.window.mss
        }
    }

    /// The probe goes out: `len` bytes from stream offset `start`.
    pub(crate) fn note_mtu_probe(&mut self, start: u64, len: u32) {
        let size = self.probe_size();
        self.cold.stats.mtu_probes += 1;
        self.hot.bits.set(Bits::MTU_PROBED);
        self.cold.path_mtu.probe = Some(Probe { start, end: start + u64::from(len), size, lost: false });
    }

    /// Whether all that is thought lost is the probe: no sign of congestion (RFC 4821 section 7.5).
    pub(crate) fn only_probe_is_lost(&mut self) -> bool {
        if !self.hot.bits.has(Bits::MTU_PROBED) {
            return false;
        }
        let Some(probe) = &mut self.cold.path_mtu.probe else { return false };
        let start = self.hot.acknowledged;
        let lost = u64::from(self.cold.scoreboard.lost_bytes());
        let Some((seq, _)) = self.cold.scoreboard.next_lost(1) else { return false };
        let first = start + u64::from(seq.offset_from(self.hot.snd_una).unsigned_abs());
        let only = first >= probe.start && first + lost <= probe.end;
        probe.lost |= only;
        only
    }

    /// After an acknowledgement while a probe is due or under way.
    #[inline(never)]
    pub(crate) fn check_mtu_probe(&mut self, now: Instant) {
        if self.cold.path_mtu.probe.is_some_and(|probe| self.hot.acknowledged >= probe.end) {
            self.end_mtu_probe(now);
        }
    }

    /// The probe has arrived, or was lost and replaced.
    fn end_mtu_probe(&mut self, now: Instant) {
        let Some(probe) = self.cold.path_mtu.probe.take() else { return };
        self.hot.bits.clear(Bits::MTU_PROBE.or(Bits::MTU_PROBED));
        let most = self.cold.peer_mss.max(MIN_MSS);
        let path = &mut self.cold.path_mtu;
        if probe.lost {
            self.cold.stats.mtu_probes_lost += 1;
            path.search_high = path.search_high.min(probe.size.saturating_sub(1)).max(path.mss);
        } else {
            path.set(probe.size);
            path.proven = path.proven.max(probe.size);
        }
        let left = path.search_high.min(most).saturating_sub(path.mss);
        if left >= SEARCH_STEP || (!probe.lost && left > 0) {
            self.hot.bits.set(Bits::MTU_PROBE);
        } else if path.mss < path.limit.min(most) {
            path.search_high = path.limit;
            path.raise_at = now + RAISE_AFTER;
            self.refresh_aux();
        }
        if !probe.lost {
            self.refresh_mss();
        }
    }
}
