//! Which rates and burst lengths are tried, given what came of those before.

/// Of a rate asked for, what the generator must reach for a trial to be about the device.
const REACHED: f64 = 1.0 - crate::verdict::limit::NOT_STARTED_RATIO;
/// How often a trial that the generator spoilt is tried again.
const RETRIES: u32 = 2;

/// What came of one trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Frames a second that were really sent.
    pub offered: f64,
    /// Share of the frames that did not arrive intact, 0 to 1.
    pub loss: f64,
}

/// What a result is a property of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitedBy {
    /// More than this is lost.
    Device,
    /// More than this was not sent: the device may carry more.
    Generator,
}

/// What a search for the throughput came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throughput {
    /// Frames a second, 0 when even the least rate tried had too much loss.
    pub rate: f64,
    /// Why it is not more.
    pub limited_by: LimitedBy,
}

/// The highest rate at which no more than `tolerance` of the frames is lost (RFC 2544, section 26.1), by halving, from
/// `max` frames a second down, to `resolution` (a share of `max`). `trial` sends at a rate.
///
/// # Errors
/// Those of `trial`.
pub fn throughput<E>(
    max: f64,
    resolution: f64,
    tolerance: f64,
    trial: &mut dyn FnMut(f64) -> Result<Outcome, E>,
) -> Result<Throughput, E> {
    let (mut low, mut high) = (0.0, max);
    let mut limited_by = LimitedBy::Device;
    let mut rate = max;
    loop {
        let outcome = steady(rate, trial)?;
        if outcome.offered < rate * REACHED {
            // What was not offered cannot have been lost by the device.
            limited_by = LimitedBy::Generator;
            if outcome.loss <= tolerance {
                low = outcome.offered.max(low);
            }
            high = rate;
        } else if outcome.loss <= tolerance {
            low = rate;
        } else {
            limited_by = LimitedBy::Device;
            high = rate;
        }
        if low >= max {
            return Ok(Throughput { rate: low, limited_by: LimitedBy::Generator });
        }
        if high - low <= resolution * max {
            return Ok(Throughput { rate: low, limited_by });
        }
        rate = (low + high) / 2.0;
    }
}

/// A trial, tried again when the generator spoilt it.
fn steady<E>(rate: f64, trial: &mut dyn FnMut(f64) -> Result<Outcome, E>) -> Result<Outcome, E> {
    let mut outcome = trial(rate)?;
    for _ in 0..RETRIES {
        if outcome.offered >= rate * REACHED {
            break;
        }
        outcome = trial(rate)?;
    }
    Ok(outcome)
}

/// The frame loss rate at ever lower rates (section 26.3): from `max` down in steps of `step` (a share of it), until
/// nothing is lost at two rates in a row. Returns the share of `max` and the outcome of each.
///
/// # Errors
/// Those of `trial`.
pub fn loss_curve<E>(
    max: f64,
    step: f64,
    trial: &mut dyn FnMut(f64) -> Result<Outcome, E>,
) -> Result<Vec<(f64, Outcome)>, E> {
    let steps = (1.0 / step.clamp(0.01, 0.1)).round() as u32;
    let (mut curve, mut clean) = (Vec::new(), 0);
    for at in (1..=steps).rev() {
        let share = f64::from(at) / f64::from(steps);
        let outcome = steady(share * max, trial)?;
        clean = if outcome.loss == 0.0 { clean + 1 } else { 0 };
        curve.push((share, outcome));
        if clean == 2 {
            break;
        }
    }
    Ok(curve)
}

/// The longest burst at full rate of which nothing is lost (section 26.4), up to `max` frames, by halving. `trial` sends
/// a burst and says whether all of it arrived.
///
/// # Errors
/// Those of `trial`.
pub fn back_to_back<E>(max: u64, trial: &mut dyn FnMut(u64) -> Result<bool, E>) -> Result<u64, E> {
    if trial(max)? {
        return Ok(max);
    }
    let (mut low, mut high) = (0, max);
    // To a hundredth: bursts are not repeatable more exactly than that.
    while high - low > (high / 100).max(1) {
        let burst = low + (high - low) / 2;
        if trial(burst)? {
            low = burst;
        } else {
            high = burst;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// A device that carries so much and loses the rest, and a generator that sends no more than it can.
    fn device(carries: f64, generates: f64) -> impl FnMut(f64) -> Result<Outcome, Infallible> {
        move |rate| {
            let offered = rate.min(generates);
            Ok(Outcome { offered, loss: ((offered - carries) / offered).max(0.0) })
        }
    }

    proptest! {
        #[test]
        fn finds_what_the_device_carries(carries in 1.0f64..1e7, max in 1e3f64..1e7, resolution in 0.0005f64..0.05) {
            let found = throughput(max, resolution, 0.0, &mut device(carries, 1e9)).unwrap();
            if carries >= max {
                prop_assert_eq!(found, Throughput { rate: max, limited_by: LimitedBy::Generator });
            } else {
                prop_assert!(found.rate <= carries && carries - found.rate <= resolution * max * 1.0001);
                prop_assert_eq!(found.limited_by, LimitedBy::Device);
            }
        }

        #[test]
        fn a_tolerated_loss_is_no_loss(carries in 1e3f64..1e6, tolerance in 0.001f64..0.2) {
            let found = throughput(2e6, 0.001, tolerance, &mut device(carries, 1e9)).unwrap();
            let bears = carries / (1.0 - tolerance);
            prop_assert!((found.rate - bears).abs() <= 0.001 * 2e6 * 1.01, "{} of {bears}", found.rate);
        }

        #[test]
        fn what_the_generator_cannot_send_is_not_held_against_the_device(generates in 1e4f64..9e5) {
            let found = throughput(1e6, 0.005, 0.0, &mut device(1e9, generates)).unwrap();
            prop_assert_eq!(found.limited_by, LimitedBy::Generator);
            prop_assert!((found.rate - generates).abs() <= 0.016 * 1e6, "{} of {generates}", found.rate);
        }

        #[test]
        fn finds_the_longest_burst(buffer in 0u64..200_000, max in 1u64..200_000) {
            let mut trial = |burst: u64| Ok::<_, Infallible>(burst <= buffer);
            let found = back_to_back(max, &mut trial).unwrap();
            let right = buffer.min(max);
            prop_assert!(found <= right && right - found <= (right / 50).max(2), "{found} of {right}");
        }
    }

    #[test]
    fn the_curve_ends_after_two_rates_without_loss() {
        let curve = loss_curve(1e6, 0.1, &mut device(7.5e5, 1e9)).unwrap();
        let shares: Vec<i32> = curve.iter().map(|(share, _)| (share * 100.0).round() as i32).collect();
        assert_eq!(shares, [100, 90, 80, 70, 60]);
        assert!((curve[0].1.loss - 0.25).abs() < 1e-9 && curve[4].1.loss == 0.0);
    }
}
