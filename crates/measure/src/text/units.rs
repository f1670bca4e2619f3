//! Numbers as people read them: digits grouped, units scaled, three or four digits that matter.

/// A whole number with its digits in groups of three: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Three digits that matter, and more before the point where there are more.
fn three_digits(value: f64) -> String {
    let magnitude = value.abs();
    let decimals = if magnitude >= 99.95 {
        0
    } else if magnitude >= 9.995 {
        1
    } else {
        2
    };
    let text = format!("{value:.decimals$}");
    if magnitude < 999.5 {
        return text;
    }
    let whole = count(magnitude.round() as u64);
    if value < 0.0 { format!("-{whole}") } else { whole }
}

/// The largest unit of which there is at least one, and how many of it there are.
fn scaled(value: f64, step: f64, units: &[&'static str]) -> (f64, &'static str) {
    let mut value = value;
    let mut chosen = units.first().copied().unwrap_or_default();
    for unit in units.iter().skip(1) {
        // What would be told as a thousand is one of the next unit.
        if value.abs() < step * 0.99995 {
            break;
        }
        value /= step;
        chosen = unit;
    }
    (value, chosen)
}

fn with_unit(value: f64, step: f64, units: &[&'static str]) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let (value, unit) = scaled(value, step, units);
    format!("{} {unit}", three_digits(value))
}

/// `9.41 Gbit/s`. Units are powers of a thousand.
pub fn bits_per_second(rate: f64) -> String {
    with_unit(rate, 1000.0, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

/// `1.10 GiB`. Units are powers of 1024.
pub fn bytes(number: u64) -> String {
    if number < 1024 {
        return format!("{number} B");
    }
    with_unit(number as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

/// `123 ns`, `45.6 µs`, `7.89 ms`, `1.50 s`, `90.0 s`.
pub fn duration_ns(ns: f64) -> String {
    if ns.is_finite() && ns.abs() < 999.5 {
        return format!("{ns:.0} ns");
    }
    with_unit(ns, 1000.0, &["ns", "µs", "ms", "s"])
}

/// `52,345/s`, `3.21/s`, `14,880,952/s`.
pub fn rate(per_second: f64) -> String {
    if !per_second.is_finite() {
        return "-".to_owned();
    }
    format!("{}/s", three_digits(per_second))
}

/// A share from 0 to 1: `0.012 %`, `4.20 %`, `97.3 %`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if !percent.is_finite() {
        return "-".to_owned();
    }
    if percent == 0.0 || percent.abs() >= 0.1 {
        return format!("{} %", three_digits(percent));
    }
    // Two digits that matter, down to a millionth.
    let decimals = (1.0 - percent.abs().log10().floor()).clamp(2.0, 6.0) as usize;
    format!("{percent:.decimals$} %")
}

/// Seconds with two decimals: `10.00`.
pub fn seconds(seconds: f64) -> String {
    format!("{seconds:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_in_threes() {
        let known = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567"), (10_000, "10,000")];
        for (number, text) in known {
            assert_eq!(count(number), text);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        let known = [
            (0.0, "0 ns"),
            (999.0, "999 ns"),
            (1_000.0, "1.00 µs"),
            (45_678.0, "45.7 µs"),
            (999_960.0, "1.00 ms"),
            (7_890_000.0, "7.89 ms"),
            (1.5e9, "1.50 s"),
            (3.6e12, "3,600 s"),
        ];
        for (ns, text) in known {
            assert_eq!(duration_ns(ns), text);
        }
        assert_eq!(duration_ns(f64::NAN), "-");
    }

    #[test]
    fn rates_and_sizes_are_scaled() {
        assert_eq!(bits_per_second(9.412e9), "9.41 Gbit/s");
        assert_eq!(bits_per_second(0.0), "0.00 bit/s");
        assert_eq!(bits_per_second(123_456.0), "123 kbit/s");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1 << 30), "1.00 GiB");
        assert_eq!(bytes(26_752), "26.1 KiB");
        assert_eq!(rate(52_345.4), "52,345/s");
        assert_eq!(rate(3.214), "3.21/s");
    }

    #[test]
    fn shares_keep_what_matters_of_them() {
        assert_eq!(percent(0.973), "97.3 %");
        assert_eq!(percent(0.042), "4.20 %");
        assert_eq!(percent(0.0), "0.00 %");
        assert_eq!(percent(0.000_012), "0.0012 %");
    }
}
