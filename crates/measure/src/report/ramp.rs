//! What a ramp has shown: latency, and the rate that was reached, against the load of each step.

use super::chart::{About, Chart, NAMES, colour, legend};
use super::format::{self, nanoseconds, words};
use super::html::figure;
use super::scale::{Axis, Unit};
use super::series::main_metrics;
use crate::result::{HistogramSummary, RunResult, Step};

const HEIGHT: f64 = 260.0;

/// A line of a picture: its name, the number of its colour, its value in each step.
type Line = (&'static str, usize, Vec<(f64, Option<f64>)>);

/// The pictures; none if the steps are no ramp.
pub(super) fn charts(result: &RunResult) -> String {
    let Some(ramp) = Ramp::of(result) else { return String::new() };
    ramp.latency() + &ramp.reached()
}

struct Ramp<'a> {
    steps: Vec<(f64, &'a Step)>,
    /// Of what the load is.
    unit: Unit,
    x_name: &'static str,
}

/// What of a distribution is drawn: its name, the number of its colour, its value.
type Quantile = (&'static str, usize, fn(&HistogramSummary) -> u64);

const QUANTILES: [Quantile; 3] =
    [("50 %", 0, |l| l.p50_ns), ("99 %", 1, |l| l.p99_ns), ("99.9 %", 2, |l| l.p99_9_ns)];

impl<'a> Ramp<'a> {
    /// Steps whose load grows from one to the next; trials of a search go up and down.
    fn of(result: &'a RunResult) -> Option<Ramp<'a>> {
        let open = result.steps.iter().all(|step| step.intended_per_second.is_some());
        let load = |step: &'a Step| match open {
            true => step.intended_per_second,
            false => step.connections.map(|connections| connections as f64),
        };
        let steps: Vec<(f64, &Step)> =
            result.steps.iter().filter_map(|step| Some((load(step)?, step))).collect();
        let grows = steps.is_sorted_by(|a, b| a.0 < b.0) && steps.iter().all(|(at, _)| at.is_finite());
        let search = steps.iter().any(|(_, step)| step.frame_bytes.is_some());
        if steps.len() < 2 || steps.len() < result.steps.len() || !grows || search {
            return None;
        }
        let (unit, x_name) =
            if open { (Unit::PerSecond, "intended rate") } else { (Unit::Count, "connections") };
        Some(Ramp { steps, unit, x_name })
    }

    fn x(&self) -> Axis {
        Axis::linear(self.unit, 0.0, self.steps.iter().map(|(at, _)| *at).fold(0.0, f64::max))
    }

    fn latency(&self) -> String {
        let names = self.steps.iter().flat_map(|(_, step)| step.latency.keys());
        let Some(metric) = main_metrics(names).first().copied() else { return String::new() };
        let lines: Vec<Line> = QUANTILES
            .iter()
            .map(|(name, number, value)| {
                let values = self.steps.iter().map(|(at, step)| {
                    let latency = step.latency.get(metric).filter(|latency| latency.count > 0);
                    (*at, latency.map(|latency| value(latency) as f64))
                });
                (*name, *number, values.collect())
            })
            .collect();
        let known = || lines.iter().flat_map(|(_, _, values)| values).filter_map(|(_, value)| *value);
        let (lowest, highest) = (known().fold(f64::INFINITY, f64::min), known().fold(0.0, f64::max));
        if !lowest.is_finite() {
            return String::new();
        }
        let title = format!("Latency by load: {}", words(metric));
        let summary = format!("From {} to {}.", nanoseconds(lowest), nanoseconds(highest));
        let y = Axis::fitting(Unit::Nanoseconds, lowest, highest);
        self.picture("ramp-latency", &title, &summary, y, &lines)
    }

    /// The rate that was reached, beside the one that was intended.
    fn reached(&self) -> String {
        let rate = |step: &Step| step.rates.requests_per_second.or(step.rates.connections_per_second);
        let reached: Vec<(f64, Option<f64>)> =
            self.steps.iter().map(|(at, step)| (*at, rate(step))).collect();
        let highest = reached.iter().filter_map(|(_, value)| *value).fold(0.0, f64::max);
        if highest <= 0.0 {
            return String::new();
        }
        let mut lines: Vec<Line> = vec![("reached", 0, reached)];
        let mut most = highest;
        if self.unit == Unit::PerSecond {
            let intended: Vec<_> = self.steps.iter().map(|(at, _)| (*at, Some(*at))).collect();
            most = intended.iter().filter_map(|(_, value)| *value).fold(most, f64::max);
            lines.push(("intended", 5, intended));
        }
        let summary = format!("At most {}.", format::per_second(highest));
        let y = Axis::linear(Unit::PerSecond, 0.0, most);
        self.picture("ramp-reached", "Rate by load", &summary, y, &lines)
    }

    fn picture(&self, id: &str, title: &str, summary: &str, y: Axis, lines: &[Line]) -> String {
        let y_name = if y.is_log() { "logarithmic" } else { "" };
        let about = About { id, title, summary, height: HEIGHT, right: NAMES, x_name: self.x_name, y_name };
        let mut chart = Chart::new(&about, self.x(), y);
        let heads = self.steps.iter().map(|(at, step)| (*at, step.name.clone()));
        chart.columns(&heads.collect::<Vec<_>>());
        for (name, number, values) in lines {
            let class = colour(*number);
            let says = values.iter().zip(&self.steps).map(|((_, value), (_, step))| {
                format!("{name}, {}: {}", step.name, chart.y.tell(value.unwrap_or(0.0)))
            });
            let says: Vec<String> = says.collect();
            chart.line(&class, values);
            chart.dots(&class, values, &says);
            chart.tell(&class, name, &values.iter().map(|(_, value)| *value).collect::<Vec<_>>());
            if let Some(last) = values.iter().rev().find_map(|(_, value)| *value) {
                chart.name(&class, last, name);
            }
        }
        let legend = legend(lines.iter().map(|(name, number, _)| (colour(*number), *name)));
        figure(title, &(legend + &chart.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::NanoHistogram;
    use crate::result::Totals;

    fn step(rate: f64, p50: u64) -> Step {
        let mut histogram = NanoHistogram::new();
        histogram.record_n(p50, 100);
        let totals = Totals { requests: Some(rate as u64), ..Totals::default() };
        let mut step = Step {
            name: format!("{rate} per second"),
            intended_per_second: Some(rate),
            rates: crate::result::Rates::of(&totals, 1.0),
            ..Step::default()
        };
        step.latency.insert("request".to_owned(), histogram.summary(false));
        step
    }

    fn with(steps: Vec<Step>) -> RunResult {
        RunResult { steps, ..RunResult::new("load", "0") }
    }

    #[test]
    fn a_ramp_is_drawn_against_its_load() {
        let html = charts(&with(vec![step(100.0, 20_000), step(200.0, 30_000), step(300.0, 900_000)]));
        assert!(html.contains("Latency by load: request") && html.contains("Rate by load"), "{html}");
        assert!(html.contains("intended rate"), "{html}");
    }

    #[test]
    fn a_search_and_a_single_step_are_no_ramps() {
        let mut trials = vec![step(100.0, 1), step(200.0, 1)];
        trials.iter_mut().for_each(|step| step.frame_bytes = Some(64));
        for steps in [trials, vec![step(100.0, 1)], vec![step(200.0, 1), step(100.0, 1)], Vec::new()] {
            assert_eq!(charts(&with(steps)), "");
        }
    }
}
