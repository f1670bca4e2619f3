//! When the next frame is due. Frames are due at fixed instants from the start, so nothing adds up: neither
//! rounding nor the time that a late frame was late.

use std::str::FromStr;

/// How fast to send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// As fast as the wire takes them.
    Wire,
    /// Frames a second.
    Frames(f64),
    /// Bits a second of Ethernet frames, FCS included.
    Bits(f64),
}

/// More frames a second than any wire carries.
const MAX_FRAMES: f64 = 1e9;
/// More bits a second than any wire carries.
const MAX_BITS: f64 = 1e13;

impl Rate {
    /// The rate in frames a second for frames of so many bytes, FCS included.
    pub fn frames_per_second(self, size: f64) -> Option<f64> {
        match self {
            Rate::Wire => None,
            Rate::Frames(rate) => Some(rate),
            Rate::Bits(rate) => Some(rate / (size * 8.0)),
        }
    }

    /// The part of the rate that one of `workers` sends.
    #[must_use]
    pub fn share(self, workers: usize) -> Rate {
        match self {
            Rate::Wire => Rate::Wire,
            Rate::Frames(rate) => Rate::Frames(rate / workers as f64),
            Rate::Bits(rate) => Rate::Bits(rate / workers as f64),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    /// `1000`, `1.5M`, `2Mpps`, `10Gbps`, `10Gbit`, `wire`.
    fn from_str(text: &str) -> Result<Self, String> {
        let what = || {
            format!(
                "\"{text}\" is not a rate: frames a second like 1000, 1.5M or 2Mpps, bits a second like 10Gbit, or wire"
            )
        };
        let lower = text.to_ascii_lowercase();
        if lower == "wire" || lower == "max" {
            return Ok(Rate::Wire);
        }
        let bits = ["bits", "bit/s", "bit", "bps"].iter().find_map(|unit| lower.strip_suffix(unit));
        let (number, is_bits) = match bits {
            Some(number) => (number, true),
            None => {
                (lower.strip_suffix("pps").or_else(|| lower.strip_suffix("fps")).unwrap_or(&lower), false)
            }
        };
        let (number, factor) = match number.chars().last() {
            Some('k') => (&number[..number.len() - 1], 1e3),
            Some('m') => (&number[..number.len() - 1], 1e6),
            Some('g') => (&number[..number.len() - 1], 1e9),
            _ => (number, 1.0),
        };
        let rate = number.trim().parse::<f64>().map_err(|_| what())? * factor;
        let most = if is_bits { MAX_BITS } else { MAX_FRAMES };
        if !rate.is_finite() || rate <= 0.0 {
            return Err(format!("the rate \"{text}\" is not above zero"));
        }
        if rate > most {
            return Err(format!("the rate \"{text}\" is more than any wire carries ({most:e})"));
        }
        Ok(if is_bits { Rate::Bits(rate) } else { Rate::Frames(rate) })
    }
}

/// A frame later than this is not caught up with: the schedule moves instead, so that a sender which was stopped
/// does not burst for the rest of its time.
pub const CATCH_UP_NS: u64 = 20_000_000;

/// Says which frames are due. Time is the caller's, in nanoseconds.
#[derive(Debug, Clone)]
pub struct Pacer {
    /// Nanoseconds for one unit: a frame, or a bit.
    unit_ns: f64,
    by_bits: bool,
    start_ns: u64,
    units: u64,
    /// Time by which the schedule was moved.
    moved_ns: u64,
}

impl Pacer {
    /// A schedule that begins at `start_ns`. `None` for a rate that needs none.
    pub fn new(rate: Rate, start_ns: u64) -> Option<Pacer> {
        let (unit_ns, by_bits) = match rate {
            Rate::Wire => return None,
            Rate::Frames(rate) => (1e9 / rate, false),
            Rate::Bits(rate) => (1e9 / rate, true),
        };
        Some(Pacer { unit_ns, by_bits, start_ns, units: 0, moved_ns: 0 })
    }

    /// When the next frame is due.
    #[inline]
    pub fn next_ns(&self) -> u64 {
        // Exact to a nanosecond for 100 days of nanoseconds: 2^53.
        self.start_ns + self.moved_ns + (self.units as f64 * self.unit_ns) as u64
    }

    /// A frame of `size` bytes, FCS included, has been sent.
    #[inline]
    pub fn sent(&mut self, size: usize) {
        self.units += if self.by_bits { size as u64 * 8 } else { 1 };
    }

    /// Gives up what cannot be caught up with. Returns by how much the schedule has moved, in nanoseconds.
    #[inline]
    pub fn resume(&mut self, now_ns: u64) -> u64 {
        let late = now_ns.saturating_sub(self.next_ns());
        if late <= CATCH_UP_NS {
            return 0;
        }
        self.moved_ns += late;
        late
    }

    /// Time by which the schedule has been moved since the start, in nanoseconds.
    pub fn moved_ns(&self) -> u64 {
        self.moved_ns
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_rates() {
        for (text, rate) in [
            ("1000", Rate::Frames(1e3)),
            ("1.5M", Rate::Frames(1.5e6)),
            ("2Mpps", Rate::Frames(2e6)),
            ("10Gbit", Rate::Bits(1e10)),
            ("100kbps", Rate::Bits(1e5)),
            ("wire", Rate::Wire),
        ] {
            assert_eq!(text.parse(), Ok(rate), "{text}");
        }
        for bad in ["", "0", "-1", "nan", "inf", "fast", "2G", "100000Gbit", "M", "1e400"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    /// Sends what is due at each of these moments of a virtual clock.
    fn sent_by(pacer: &mut Pacer, now: u64, size: usize) -> u64 {
        let mut sent = 0;
        while pacer.next_ns() <= now {
            pacer.sent(size);
            sent += 1;
        }
        sent
    }

    proptest! {
        #[test]
        fn sends_exactly_what_is_due_whenever_it_is_asked(
            rate in 1.0f64..10e6,
            pauses in prop::collection::vec(1u64..5_000_000, 1..200),
        ) {
            let start = 1_000_000;
            let mut pacer = Pacer::new(Rate::Frames(rate), start).unwrap();
            let (mut now, mut sent) = (start, 0);
            for pause in pauses {
                now += pause;
                sent += sent_by(&mut pacer, now, 64);
                let due = ((now - start) as f64 * rate / 1e9).floor() + 1.0;
                prop_assert!((sent as f64 - due).abs() <= 1.0 + due * 1e-9, "{sent} of {due}");
            }
        }
    }

    #[test]
    fn bits_count_what_each_frame_takes() {
        // Of 1 Gbit/s, 64-byte frames take 512 ns each and those of 1518 bytes 12144 ns.
        let mut pacer = Pacer::new(Rate::Bits(1e9), 0).unwrap();
        pacer.sent(64);
        assert_eq!(pacer.next_ns(), 512);
        pacer.sent(1518);
        assert_eq!(pacer.next_ns(), 12_656);
    }

    #[test]
    fn a_long_stop_moves_the_schedule_and_a_short_one_does_not() {
        let mut pacer = Pacer::new(Rate::Frames(1e6), 0).unwrap();
        assert_eq!(pacer.resume(CATCH_UP_NS), 0);
        assert_eq!(pacer.resume(CATCH_UP_NS + 1), CATCH_UP_NS + 1);
        assert_eq!((pacer.next_ns(), pacer.moved_ns()), (CATCH_UP_NS + 1, CATCH_UP_NS + 1));
    }
}
