//! Numbers as people read them: thousands apart, times in the unit that fits.

use std::fmt;

/// A count with commas between thousands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() + digits.len() / 3);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// Nanoseconds as a time with three digits that count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let ns = self.0.unsigned_abs();
        let hours = ns / 3_600_000_000_000;
        let minutes = ns / 60_000_000_000;
        match ns {
            0..1_000 => write!(f, "{ns} ns"),
            1_000..1_000_000 => scaled(f, ns, 1_000, "µs"),
            1_000_000..1_000_000_000 => scaled(f, ns, 1_000_000, "ms"),
            1_000_000_000..60_000_000_000 => scaled(f, ns, 1_000_000_000, "s"),
            60_000_000_000..3_600_000_000_000 => {
                write!(f, "{minutes} min {} s", ns / 1_000_000_000 % 60)
            }
            _ => write!(f, "{hours} h {} min", minutes % 60),
        }
    }
}

fn scaled(f: &mut fmt::Formatter<'_>, ns: u64, unit: u64, name: &str) -> fmt::Result {
    let value = ns as f64 / unit as f64;
    let digits = match ns / unit {
        0..10 => 2,
        10..100 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    write!(f, "{text} {name}")
}

/// Bits a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate(pub(crate) f64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            rate if rate >= 1e9 => write!(f, "{:.2} Gbit/s", rate / 1e9),
            rate if rate >= 1e6 => write!(f, "{:.2} Mbit/s", rate / 1e6),
            rate if rate >= 1e3 => write!(f, "{:.1} kbit/s", rate / 1e3),
            rate => write!(f, "{rate:.0} bit/s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        let texts = [0, 12, 999, 1_000, 26_752, 1_234_567].map(|n| Count(n).to_string());
        assert_eq!(texts, ["0", "12", "999", "1,000", "26,752", "1,234,567"]);
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        let texts =
            [0, 850, 1_500, 20_000_000, 212_400_000, 1_250_000_000, 75_000_000_000, 7_200_000_000_000];
        let texts = texts.map(|ns| Time(ns).to_string());
        assert_eq!(
            texts,
            ["0 ns", "850 ns", "1.5 µs", "20 ms", "212 ms", "1.25 s", "1 min 15 s", "2 h 0 min"]
        );
        assert_eq!(Time(i64::MIN).to_string().chars().next(), Some('-'));
    }
}
