//! Axes: from values to places in a picture, and where the ticks are.

use super::format;

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Linear,
    /// Each factor of ten as long as the next.
    Log,
    /// Quantiles below 1: each further nine is as long as the one before.
    Quantile,
}

/// What the values are, for the labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    Nanoseconds,
    BitsPerSecond,
    PerSecond,
    Count,
    Seconds,
    Quantile,
}

/// A line of the grid and its label. Without one it is a minor one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: Option<String>,
}

/// An axis from one value to another, drawn from one place to another.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    kind: Kind,
    unit: Unit,
    from: f64,
    to: f64,
    place_from: f64,
    place_to: f64,
}

impl Axis {
    /// From zero, or the smallest value if that is below, to a round number above the largest.
    pub(super) fn linear(unit: Unit, smallest: f64, largest: f64) -> Axis {
        let from = smallest.min(0.0);
        let span = if largest > from { largest - from } else { 1.0 };
        let step = round_step(span / 5.0);
        Axis::new(
            Kind::Linear,
            unit,
            (from / step).floor() * step,
            (largest.max(from + step) / step).ceil() * step,
        )
    }

    /// Exactly from one to the other.
    pub(super) fn exact(unit: Unit, from: f64, to: f64) -> Axis {
        let to = if to > from { to } else { from + 1.0 };
        Axis::new(Kind::Linear, unit, from, to)
    }

    /// From 1, 2 or 5 times a power of ten below the smallest value to one above the largest.
    pub(super) fn log(unit: Unit, smallest: f64, largest: f64) -> Axis {
        let smallest = smallest.max(1.0);
        let from = one_two_five(smallest, false);
        let to = one_two_five(largest.max(smallest), true);
        Axis::new(Kind::Log, unit, from, if to > from { to } else { from * 10.0 })
    }

    /// Logarithmic where the values are far apart, else linear from zero.
    pub(super) fn fitting(unit: Unit, smallest: f64, largest: f64) -> Axis {
        if smallest > 0.0 && largest / smallest > 12.0 {
            Axis::log(unit, smallest, largest)
        } else {
            Axis::linear(unit, 0.0, largest)
        }
    }

    /// Quantiles of that many values: up to the one that leaves a single value above it.
    pub(super) fn quantiles(values: u64) -> Axis {
        let last = 1.0 - 1.0 / (values.max(100) as f64);
        Axis::new(Kind::Quantile, Unit::Quantile, 0.0, last)
    }

    fn new(kind: Kind, unit: Unit, from: f64, to: f64) -> Axis {
        Axis { kind, unit, from, to, place_from: 0.0, place_to: 1.0 }
    }

    /// The same between these places.
    pub(super) fn between(mut self, from: f64, to: f64) -> Axis {
        (self.place_from, self.place_to) = (from, to);
        self
    }

    pub(super) fn is_log(&self) -> bool {
        self.kind == Kind::Log
    }

    pub(super) fn bounds(&self) -> (f64, f64) {
        (self.from, self.to)
    }

    /// Where a value is. What lies outside is at the nearer end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (from, to) = (self.along(self.from), self.along(self.to));
        let part = ((self.along(value.clamp(self.from, self.to)) - from) / (to - from)).clamp(0.0, 1.0);
        self.place_from + part * (self.place_to - self.place_from)
    }

    /// The value at a place.
    pub(super) fn value(&self, place: f64) -> f64 {
        let part = (place - self.place_from) / (self.place_to - self.place_from);
        let (from, to) = (self.along(self.from), self.along(self.to));
        let along = from + part * (to - from);
        match self.kind {
            Kind::Linear => along,
            Kind::Log => along.exp(),
            Kind::Quantile => 1.0 - (-along).exp(),
        }
    }

    fn along(&self, value: f64) -> f64 {
        match self.kind {
            Kind::Linear => value,
            Kind::Log => value.max(f64::MIN_POSITIVE).ln(),
            // 1/(1-q), as HdrHistogram plots it.
            Kind::Quantile => -(1.0 - value).max(1e-18).ln(),
        }
    }

    /// A value in the unit of the axis, exactly enough for people.
    pub(super) fn tell(&self, value: f64) -> String {
        match self.unit {
            Unit::Nanoseconds => format::nanoseconds(value),
            Unit::BitsPerSecond => format::bits_per_second(value),
            Unit::PerSecond => format::per_second(value),
            Unit::Count => format::number(value),
            Unit::Seconds => format!("{} s", format::significant(value, 4)),
            Unit::Quantile => quantile_label(value),
        }
    }

    pub(super) fn ticks(&self) -> Vec<Tick> {
        match self.kind {
            Kind::Linear => self.linear_ticks(),
            Kind::Log => self.log_ticks(),
            Kind::Quantile => self.quantile_ticks(),
        }
    }

    fn linear_ticks(&self) -> Vec<Tick> {
        let wanted = if self.unit == Unit::Seconds { 10.0 } else { 5.0 };
        let step = round_step((self.to - self.from) / wanted);
        let first = (self.from / step - 1e-9).ceil();
        (0..100)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|at| *at <= self.to + step * 1e-6)
            .map(|at| {
                // What should be zero is not, after so many steps.
                let at = if at.abs() < step * 1e-6 { 0.0 } else { at };
                Tick { at, label: Some(if at == 0.0 { "0".to_owned() } else { self.tell(at) }) }
            })
            .collect()
    }

    fn log_ticks(&self) -> Vec<Tick> {
        let decades = (self.to / self.from).log10();
        let mut ticks = Vec::new();
        let mut power = 10f64.powf((self.from.log10() + 1e-9).floor());
        while power <= self.to * 1.0001 {
            for digit in 1..10 {
                let at = power * f64::from(digit);
                if at < self.from * 0.9999 || at > self.to * 1.0001 {
                    continue;
                }
                let is_major = digit == 1 || decades < 2.7 && matches!(digit, 2 | 5) || decades < 0.8;
                ticks.push(Tick { at, label: is_major.then(|| self.tell(at)) });
            }
            power *= 10.0;
        }
        ticks
    }

    fn quantile_ticks(&self) -> Vec<Tick> {
        let mut ticks: Vec<Tick> = [0.0, 0.25, 0.5, 0.75, 0.9]
            .into_iter()
            .map(|at| Tick { at, label: Some(quantile_label(at)) })
            .collect();
        let mut rest = 0.05;
        for _ in 0..12 {
            if 1.0 - rest > self.to + 1e-15 {
                break;
            }
            ticks.push(Tick { at: 1.0 - rest, label: None });
            let at = 1.0 - rest / 5.0;
            if at <= self.to + 1e-15 {
                ticks.push(Tick { at, label: Some(quantile_label(at)) });
            }
            rest /= 10.0;
        }
        ticks
    }
}

/// `99.9 %`, with as many nines as there are.
pub(super) fn quantile_label(quantile: f64) -> String {
    let rest = (1.0 - quantile).max(1e-16);
    let decimals =
        if quantile < 0.9 { 1 } else { (-(rest * 1.000_001).log10().floor() - 2.0).max(0.0) as usize };
    let text = format!("{:.decimals$}", quantile * 100.0);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    if least.is_finite() && least > 0.0 { one_two_five(least, true) } else { 1.0 }
}

/// The nearest 1, 2 or 5 times a power of ten, not below `value` or not above it.
fn one_two_five(value: f64, above: bool) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let found = if above {
        steps.iter().find(|step| *step * power >= value * 0.999_999)
    } else {
        steps.iter().rev().find(|step| *step * power <= value * 1.000_001)
    };
    found.copied().unwrap_or(1.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().filter_map(|tick| tick.label).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_ends_round() {
        let axis = Axis::linear(Unit::BitsPerSecond, 0.0, 4.3e9).between(0.0, 100.0);
        assert_eq!(labels(&axis), ["0", "1 Gbit/s", "2 Gbit/s", "3 Gbit/s", "4 Gbit/s", "5 Gbit/s"]);
        assert!((axis.place(2.5e9) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_logarithmic_axis_gives_each_decade_the_same_length() {
        let axis = Axis::log(Unit::Nanoseconds, 1_100.0, 9.0e6).between(0.0, 400.0);
        assert_eq!(labels(&axis), ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms"]);
        assert!((axis.place(100_000.0) - 200.0).abs() < 1e-9);
        assert!((axis.value(200.0) - 100_000.0).abs() < 1e-3);
    }

    #[test]
    fn each_further_nine_has_the_same_length() {
        let axis = Axis::quantiles(10_000).between(0.0, 400.0);
        let place = |quantile| axis.place(quantile).round();
        assert_eq!([0.0, 0.9, 0.99, 0.999, 0.9999].map(place), [0.0, 100.0, 200.0, 300.0, 400.0]);
        assert_eq!(labels(&axis), ["0 %", "25 %", "50 %", "75 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn quantiles_are_told_with_all_their_nines() {
        assert_eq!(
            [0.5, 0.9, 0.99, 0.999, 0.999_999].map(quantile_label),
            ["50 %", "90 %", "99 %", "99.9 %", "99.9999 %"]
        );
        assert_eq!(quantile_label(0.995), "99.5 %");
    }

    #[test]
    fn no_value_breaks_an_axis() {
        for axis in [
            Axis::linear(Unit::PerSecond, 0.0, 0.0),
            Axis::log(Unit::Nanoseconds, 0.0, 0.0),
            Axis::log(Unit::Nanoseconds, 5.0, 5.0),
            Axis::exact(Unit::Seconds, 3.0, 3.0),
            Axis::linear(Unit::PerSecond, 0.0, f64::MAX),
            Axis::quantiles(0),
        ] {
            assert!(axis.place(1.0).is_finite() && axis.ticks().len() < 200, "{axis:?}");
        }
    }
}
