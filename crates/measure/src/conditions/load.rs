//! What else the machine was doing while a run lasted: `/proc/stat` before and after, less what was ours.

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};

use crate::result::MachineLoad;

/// Times of all processors together, in ticks of the kernel: the first line of `/proc/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Times {
    busy: u64,
    stolen: u64,
    all: u64,
}

impl Times {
    fn parse(text: &str) -> Option<Times> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guests are in user already.
        let [user, nice, system, idle, iowait, irq, softirq, stolen, ..] = ticks[..] else { return None };
        let busy = user + nice + system + irq + softirq;
        Some(Times { busy, stolen, all: busy + idle + iowait + stolen })
    }

    fn now() -> Option<Times> {
        Times::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }
}

/// Processor time of this process, seconds.
fn ours() -> f64 {
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    getrusage(UsageWho::RUSAGE_SELF)
        .map_or(0.0, |usage| seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// The machine at the begin of a run.
#[derive(Debug)]
pub(super) struct LoadWatch {
    times: Times,
    ours: f64,
    load_average: f64,
}

impl LoadWatch {
    /// `None` where the kernel does not tell.
    pub(super) fn begin() -> Option<LoadWatch> {
        let text = std::fs::read_to_string("/proc/loadavg").ok()?;
        let load_average = text.split_whitespace().next()?.parse().ok()?;
        Some(LoadWatch { times: Times::now()?, ours: ours(), load_average })
    }

    pub(super) fn end(self) -> Option<MachineLoad> {
        let ticks_per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
        let ours = (ours() - self.ours) * ticks_per_second as f64;
        Some(shares(self.times, Times::now()?, ours, self.load_average))
    }
}

/// Softirqs that carry our packets are counted as of others, since the kernel does not tell whose they are.
fn shares(before: Times, after: Times, ours_ticks: f64, load_average_1_minute: f64) -> MachineLoad {
    let all = after.all.saturating_sub(before.all).max(1) as f64;
    let busy = after.busy.saturating_sub(before.busy) as f64;
    MachineLoad {
        load_average_1_minute,
        other_processes_ratio: ((busy - ours_ticks) / all).clamp(0.0, 1.0),
        stolen_ratio: after.stolen.saturating_sub(before.stolen) as f64 / all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_all_processors() {
        let text = "cpu  100 1 20 800 30 2 3 44 5 6\ncpu0 1 2 3\n";
        assert_eq!(Times::parse(text), Some(Times { busy: 126, stolen: 44, all: 1_000 }));
        assert_eq!(Times::parse("intr 5"), None);
        assert_eq!(Times::parse("cpu  1 2 3"), None);
    }

    #[test]
    fn our_own_time_is_not_that_of_others() {
        let before = Times { busy: 0, stolen: 0, all: 0 };
        let after = Times { busy: 150, stolen: 10, all: 200 };
        let load = shares(before, after, 100.0, 1.5);
        assert_eq!((load.other_processes_ratio, load.stolen_ratio), (0.25, 0.05));
        assert_eq!(shares(before, after, 999.0, 1.5).other_processes_ratio, 0.0);
    }
}
