//! PSH: which segments end what the application has written (RFC 9293 sections 3.9.1.2 and 3.9.1.3).
//!
//! An application of ours has no PUSH flag: each write is pushed by its end, as on Linux. So the connection
//! remembers where writes end, a bounded number of them; a write that finds no place is taken for one with
//! the write before, as if both had been given at once. A stream that goes on for longer than half of the
//! peer's window is pushed on the way.

use arrayvec::ArrayVec;

use crate::connection::Connection;

/// Ends of writes that are remembered: those not yet sent, and those that may have to be sent again.
const MARKS: usize = 32;

/// Ends of writes, by stream offset.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Push {
    /// New data that ends at or after this needs a closer look.
    trigger: u64,
    /// Where the last new segment with PSH ended.
    pushed: u64,
    /// Ascending.
    marks: ArrayVec<u64, MARKS>,
}

impl Default for Push {
    fn default() -> Self {
        Self { marks: ArrayVec::new(), trigger: u64::MAX, pushed: 0 }
    }
}

impl Push {
    /// Another write ends at `end`; what lies before `acknowledged` is forgotten when room is needed.
    fn note(&mut self, end: u64, acknowledged: u64) {
        if self.marks.last().is_some_and(|mark| *mark <= acknowledged) {
            self.marks.clear();
        }
        if self.marks.is_full() {
            self.marks.retain(|mark| *mark > acknowledged);
        }
        if self.marks.is_full() {
            self.marks.pop();
        }
        // There is room now.
        let _ = self.marks.try_push(end);
    }

    /// All before `acknowledged` was pushed and has arrived.
    pub(crate) fn resume(&mut self, acknowledged: u64) {
        *self = Self { pushed: acknowledged, ..Self::default() };
    }

    /// New data that ends before this carries no PSH, unless it is the last there is.
    #[inline]
    pub(crate) fn trigger(&self) -> u64 {
        self.trigger
    }

    fn aim(&mut self, sent: u64, half_window: u64) {
        let next = self.marks.iter().find(|mark| **mark > sent).copied().unwrap_or(u64::MAX);
        self.trigger = next.min(self.pushed.saturating_add(half_window));
    }
}

impl Connection {
    /// The application's stream has grown to `end`.
    pub(crate) fn note_write(&mut self, end: u64) {
        if !self.cold.config.push_each_write {
            return;
        }
        let half = self.half_window();
        let push = &mut self.cold.push;
        push.note(end, self.hot.acknowledged);
        push.trigger = push.trigger.min(end).min(push.pushed.saturating_add(half));
    }

    fn half_window(&self) -> u64 {
        u64::from(self.hot.max_snd_wnd / 2).max(1)
    }

    /// Whether a segment with data that ends at stream offset `end` carries PSH.
    #[inline(always)]
    pub(crate) fn is_pushed(&mut self, end: u64, again: bool) -> bool {
        // RFC 9293 MUST-61: the last of what there is to send.
        let last = end == self.hot.queued;
        if end < self.cold.push.trigger && !again {
            return last;
        }
        self.ends_write(end, again) || last
    }

    #[inline(never)]
    fn ends_write(&mut self, end: u64, again: bool) -> bool {
        let half = self.half_window();
        let push = &mut self.cold.push;
        let here = push.marks.contains(&end);
        if again {
            return here;
        }
        let pushed = here || end.saturating_sub(push.pushed) >= half;
        if pushed {
            push.pushed = end;
        }
        push.aim(end, half);
        pushed
    }
}
