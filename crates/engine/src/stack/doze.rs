//! Connections of a service on which nothing happens are put to sleep, where there are many.

use bypath_tcp::Instant;

use super::Stack;

/// Connections at full size that a stack always has room for: what they take is a few megabytes.
pub(crate) const AWAKE: usize = 4_096;
/// How often the hand moves.
const STEP_NS: u64 = 1_000_000;
/// How long it takes to go round: who is not used for so long, up to twice that, goes to sleep.
const TURN_NS: u64 = 250_000_000;
/// Most places that are looked at in one go.
const MOST: usize = 4_096;

/// When the hand moved last.
#[derive(Debug, Default)]
pub(super) struct Dozing {
    moved: Instant,
    /// Parts of a place that the hand is behind, in nanoseconds of its turn.
    behind_ns: u64,
    /// Flows when the hand moved last.
    flows: usize,
    /// Flows that have come in a step of the hand, of late, in eighths.
    opened: u64,
}

impl Dozing {
    fn note_opened(&mut self, flows: usize) {
        self.opened = self.opened - self.opened / 8 + flows.saturating_sub(self.flows) as u64;
        self.flows = flows;
    }

    /// How long the hand takes to go round. While more flows come in a turn than `awake`, it hurries: what they would
    /// take at full size until they are known to be idle would stay with the allocator.
    fn turn_ns(&self, awake: u64) -> u64 {
        let come = self.opened * (TURN_NS / STEP_NS) / 8;
        (TURN_NS * awake.max(1) / come.max(1)).clamp(TURN_NS / 8, TURN_NS)
    }
}

impl Stack {
    /// Moves the hand as far as it should be by `now`.
    #[inline]
    pub(crate) fn doze(&mut self, now: Instant) {
        if now.nanos_since(self.dozing.moved) >= STEP_NS {
            self.move_hand(now);
        }
    }

    #[cold]
    fn move_hand(&mut self, now: Instant) {
        self.dozing.note_opened(self.flows.len());
        let passed = now.nanos_since(self.dozing.moved).min(TURN_NS) + self.dozing.behind_ns;
        self.dozing.moved = now;
        if self.flows.awake() <= self.config.awake {
            self.dozing.behind_ns = 0;
            return;
        }
        let turn = self.dozing.turn_ns(self.config.awake as u64);
        let awake = self.flows.awake() as u64;
        let steps = (awake * passed / turn).min(awake).min(MOST as u64);
        self.dozing.behind_ns = (passed - steps * turn / awake.max(1)).min(turn);
        for _ in 0..steps {
            let Some(index) = self.flows.next_unused() else { continue };
            let Some(deadline) = self.flows.sleep(index, &self.config) else { continue };
            // The timer may have been left where an earlier deadline was.
            self.wheel.cancel(index);
            if deadline != Instant::NEVER {
                self.wheel.schedule(index, deadline.as_nanos());
            }
            if self.flows.awake() <= self.config.awake {
                break;
            }
        }
    }

    /// Has the flow at `index` awake.
    #[inline]
    pub(super) fn wake_flow(&mut self, index: u32) {
        if self.flows.is_asleep(index) {
            self.wake_sleeper(index);
        }
    }

    #[cold]
    fn wake_sleeper(&mut self, index: u32) {
        let timer_at = self.wheel.deadline(index).unwrap_or(u64::MAX);
        if let Some(key) = self.table.key_of(index) {
            self.flows.wake(index, *key, timer_at, &self.config);
        }
    }

    /// Flows at full size.
    pub(crate) fn awake_flows(&self) -> usize {
        self.flows.awake()
    }

    /// Has all flows awake.
    pub(super) fn wake_all_flows(&mut self) {
        for index in self.flows.indices() {
            self.wake_flow(index);
        }
    }
}
