//! Where a worker's time goes, phase by phase: one round of its loop in [`EVERY`] is timed at each change of phase by
//! the processor's cycle counter, and what a reading costs is taken off. Off unless
//! [`crate::EngineBuilder::profile`] asks for it; then a phase costs one branch that is never taken.

use bypath_wire::cycles;

/// One in so many rounds is timed: no power of two, so that what recurs is not always or never met.
const EVERY: u32 = 61;
/// Readings that are timed to know what one costs.
const READINGS: u32 = 1_000;

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Packets are taken from the device, their frames given back.
    Receive,
    /// Headers are read and checksums verified.
    Parse,
    /// The flow of a packet is found, and fetched where there are many.
    LookUp,
    /// The connection takes the segment, or its timer.
    Tcp,
    /// The application is called.
    Application,
    /// Segments are decided upon, built and put into frames.
    Transmit,
    /// The device is told to send.
    Kick,
}

impl Phase {
    /// How many there are.
    pub const COUNT: usize = 7;

    /// All of them, in the order in which a packet meets them.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Receive, Self::Parse, Self::LookUp, Self::Tcp, Self::Application, Self::Transmit, Self::Kick];

    /// Its name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Parse => "parse",
            Self::LookUp => "look_up",
            Self::Tcp => "tcp",
            Self::Application => "application",
            Self::Transmit => "transmit",
            Self::Kick => "kick",
        }
    }
}

/// What the timed rounds of a worker were spent on. Rounds in which there was nothing to do are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CycleAccount {
    /// Rounds that were timed.
    pub rounds: u64,
    cycles: [u64; Phase::COUNT],
}

impl CycleAccount {
    /// The part of the busy time that went into a phase, of 1; 0 when nothing was timed.
    pub fn share(&self, phase: Phase) -> f64 {
        let all: u64 = self.cycles.iter().sum();
        if all == 0 { 0.0 } else { self.cycles[phase as usize] as f64 / all as f64 }
    }

    /// Cycles of a phase in the timed rounds.
    pub fn cycles(&self, phase: Phase) -> u64 {
        self.cycles[phase as usize]
    }
}

/// A worker's account while it is kept.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// This round is timed.
    timing: bool,
    wanted: bool,
    phase: u8,
    countdown: u32,
    last: u64,
    /// What a reading costs.
    reading: u64,
    round: [u64; Phase::COUNT],
    all: CycleAccount,
}

impl Account {
    /// Begins to keep the account.
    pub(crate) fn keep(&mut self) {
        let since = cycles::now();
        (1..READINGS).for_each(|_| _ = cycles::now());
        self.reading = cycles::now().wrapping_sub(since) / u64::from(READINGS);
        self.wanted = true;
        self.countdown = EVERY;
    }

    /// What was kept, if it is.
    pub(crate) fn kept(&self) -> Option<CycleAccount> {
        self.wanted.then_some(self.all)
    }

    /// A round begins.
    #[inline]
    pub(crate) fn begin(&mut self) {
        if self.wanted {
            self.countdown -= 1;
            if self.countdown == 0 {
                self.countdown = EVERY;
                self.timing = true;
                self.round = [0; Phase::COUNT];
                self.phase = Phase::Receive as u8;
                self.last = cycles::now();
            }
        }
    }

    /// From here on it is `phase`. Returns what it was before, for [`Account::back`].
    #[inline(always)]
    pub(crate) fn enter(&mut self, phase: Phase) -> Before {
        let before = Before(self.phase);
        if self.timing {
            self.turn(phase as u8);
        }
        before
    }

    /// From here on it is what it was.
    #[inline(always)]
    pub(crate) fn back(&mut self, before: Before) {
        if self.timing {
            self.turn(before.0);
        }
    }

    #[cold]
    fn turn(&mut self, to: u8) {
        let now = cycles::now();
        let spent = now.wrapping_sub(self.last).saturating_sub(self.reading);
        self.round[usize::from(self.phase)] += spent;
        self.phase = to;
        self.last = now;
    }

    /// The round is over; it counts if it was busy.
    #[inline]
    pub(crate) fn end(&mut self, busy: bool) {
        if std::mem::take(&mut self.timing) && busy {
            self.turn(Phase::Receive as u8);
            self.all.rounds += 1;
            for (sum, cycles) in self.all.cycles.iter_mut().zip(self.round) {
                *sum += cycles;
            }
        }
    }
}

/// The phase before another one.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Before(u8);

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(cycles: u64) {
        let since = cycles::now();
        while cycles::now().wrapping_sub(since) < cycles {}
    }

    fn timed(rounds: u64, busy: bool) -> Account {
        let mut account = Account::default();
        account.keep();
        for _ in 0..rounds * u64::from(EVERY) {
            account.begin();
            if account.timing {
                let before = account.enter(Phase::Tcp);
                spin(100_000);
                let inner = account.enter(Phase::Application);
                spin(300_000);
                account.back(inner);
                account.back(before);
            }
            account.end(busy);
        }
        account
    }

    #[test]
    fn an_account_that_nobody_wants_stays_empty() {
        let mut account = Account::default();
        for _ in 0..10 * EVERY {
            account.begin();
            let _ = account.enter(Phase::Parse);
            account.end(true);
        }
        assert_eq!((account.kept(), account.all), (None, CycleAccount::default()));
    }

    #[test]
    fn one_round_in_many_is_timed_and_time_goes_to_the_innermost_phase() {
        let kept = timed(8, true).kept().expect("it is kept");
        assert_eq!(kept.rounds, 8);
        assert!(kept.cycles(Phase::Application) >= 8 * 290_000);
        assert!(kept.cycles(Phase::Tcp) >= 8 * 90_000);
        assert_eq!(kept.cycles(Phase::Kick), 0);
        let sum: f64 = Phase::ALL.into_iter().map(|phase| kept.share(phase)).sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }

    #[test]
    fn rounds_without_anything_to_do_are_not_among_them() {
        assert_eq!(timed(3, false).kept(), Some(CycleAccount::default()));
    }
}
