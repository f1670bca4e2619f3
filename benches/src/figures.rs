//! Measuring: CPU time, medians, and a table of ratios at the end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use criterion::{Bencher, Criterion};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread so far.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Memory of this process that is in RAM.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kilobytes = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Short enough that all benches of a file take a minute or so.
pub fn config() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args()
}

/// What one file's benches have measured: samples by name, of so many units each.
#[derive(Debug, Default)]
pub struct Figures(RefCell<BTreeMap<String, Vec<Sample>>>);

#[derive(Clone, Copy, Debug)]
struct Sample {
    units: u64,
    ns: f64,
}

impl Figures {
    /// Measures `run`, which does so many units of work as it is told, as a sample of `name`.
    pub fn measure(&self, bencher: &mut Bencher<'_>, name: &str, mut run: impl FnMut(u64)) {
        self.measure_work(bencher, name, |units| {
            run(units);
            units
        });
    }

    /// The same where `run` says itself how much work it has done: the figure is for a unit of that.
    pub fn measure_work(&self, bencher: &mut Bencher<'_>, name: &str, mut run: impl FnMut(u64) -> u64) {
        bencher.iter_custom(|units| {
            let since = cpu_time();
            let work = run(units);
            let spent = cpu_time() - since;
            let sample = Sample { units, ns: spent.as_nanos() as f64 / work as f64 };
            self.0.borrow_mut().entry(name.to_owned()).or_default().push(sample);
            spent
        });
    }

    /// Nanoseconds a unit of `name`: the median of its samples, without the small ones of the warming up.
    pub fn get(&self, name: &str) -> Option<f64> {
        let samples = self.0.borrow();
        let samples = samples.get(name)?;
        let most = samples.iter().map(|sample| sample.units).max()?;
        let large = samples.iter().filter(|sample| sample.units.saturating_mul(40) >= most);
        let mut ns: Vec<f64> = large.map(|sample| sample.ns).collect();
        ns.sort_by(f64::total_cmp);
        ns.get(ns.len() / 2).copied()
    }

    /// How many times as fast as `peer` is `ours`, if both were measured.
    pub fn ratio(&self, ours: &str, peer: &str) -> Option<f64> {
        Some(self.get(peer)? / self.get(ours)?)
    }

    /// Prints how many times as fast as `peer` is `ours`, and `ours` in the unit that `tell` gives it.
    pub fn print(&self, ours: &str, peer: &str, tell: impl Fn(f64) -> String) {
        if let (Some(ns), Some(other), Some(ratio)) = (self.get(ours), self.get(peer), self.ratio(ours, peer))
        {
            println!("{ours}: {}; {peer}: {}; ratio {ratio:.2}", tell(ns), tell(other));
        }
    }
}
