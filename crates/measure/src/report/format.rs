//! Numbers for people: three significant digits and the unit that fits, digits in groups of three.

pub(super) use crate::text::count;

/// A time.
pub(super) fn nanoseconds(ns: f64) -> String {
    scaled(ns, &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")])
}

/// Bits per second.
pub(super) fn bits_per_second(bits: f64) -> String {
    scaled(bits, &[(1.0, "bit/s"), (1e3, "kbit/s"), (1e6, "Mbit/s"), (1e9, "Gbit/s"), (1e12, "Tbit/s")])
}

/// Bytes, in powers of ten.
pub(super) fn bytes(bytes: f64) -> String {
    scaled(bytes, &[(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")])
}

/// A length of time in seconds, as long as it is told in seconds.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds >= 1.0 { format!("{} s", significant(seconds, 4)) } else { nanoseconds(seconds * 1e9) }
}

/// A share, 0 to 1, as per cent.
pub(super) fn share(ratio: f64) -> String {
    if ratio == 0.0 { "0 %".to_owned() } else { format!("{} %", significant(ratio * 100.0, 3)) }
}

/// A number that is counted per second.
pub(super) fn per_second(rate: f64) -> String {
    format!("{} /s", number(rate))
}

/// A number: whole and grouped from a thousand on, else three significant digits.
pub(super) fn number(value: f64) -> String {
    if value.abs() >= 1000.0 && value.abs() < 1e15 {
        let sign = if value < 0.0 { "−" } else { "" };
        format!("{sign}{}", count(value.abs().round() as u64))
    } else {
        significant(value, 3)
    }
}

/// A change against something, as per cent with its sign.
pub(super) fn change(ratio: f64) -> String {
    let percent = ratio * 100.0;
    let digits = match percent.abs() {
        magnitude if magnitude >= 99.95 => 0,
        magnitude if magnitude >= 0.995 => 1,
        _ => 2,
    };
    let text = format!("{:.digits$}", percent.abs());
    match percent {
        _ if text.bytes().all(|b| matches!(b, b'0' | b'.')) => "±0 %".to_owned(),
        percent if percent < 0.0 => format!("−{text} %"),
        _ => format!("+{text} %"),
    }
}

/// A point in time, UTC.
pub(super) fn utc(unix_seconds: f64) -> String {
    if !(0.0..=253_402_300_799.0).contains(&unix_seconds) {
        return "unknown".to_owned();
    }
    let seconds = unix_seconds as u64;
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of the day so many days after 1970-01-01, in the Gregorian calendar. A year begins in March
/// here, so that the leap day is its last.
fn date(days: u64) -> (u64, u64, u64) {
    // 719,468 days from 0000-03-01 to 1970-01-01; 146,097 days in 400 years.
    let since = days + 719_468;
    let (era, day_of_era) = (since / 146_097, since % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// What a snake-case name of the result means to a reader.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// The same with a capital, to begin a line.
pub(super) fn title(name: &str) -> String {
    let words = words(name);
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A figure of a result in the unit that its name carries.
pub(super) fn by_name(name: &str, value: f64) -> String {
    match name {
        name if name.ends_with("bits_per_second") => bits_per_second(value),
        name if name.ends_with("_per_second") => per_second(value),
        name if name.ends_with("_ns") => nanoseconds(value),
        name if name.ends_with("_ratio") => share(value),
        name if name.ends_with("_bytes") || name.starts_with("bytes_") || name.contains("_bytes_") => {
            bytes(value)
        }
        name if name.ends_with("_seconds") => seconds(value),
        _ => number(value),
    }
}

fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    // 999.7 of one unit would be told as 1,000 of it: it belongs to the next.
    let fits = |(factor, _): &&(f64, &str)| value.abs() >= factor * 0.9995;
    let (factor, unit) = units.iter().rev().find(fits).or(units.first()).copied().unwrap_or((1.0, ""));
    format!("{} {unit}", significant(value / factor, 3))
}

/// With so many significant digits, and without zeros at the end of a fraction.
pub(super) fn significant(value: f64, digits: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    let before = value.abs().log10().floor() as i32 + 1;
    let decimals = (digits - before).clamp(0, 9);
    let text = format!("{value:.*}", usize::try_from(decimals).unwrap_or(0));
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_fits() {
        for (ns, text) in [
            (0.0, "0 ns"),
            (850.0, "850 ns"),
            (999.7, "1 µs"),
            (1_234.0, "1.23 µs"),
            (12_345_678.0, "12.3 ms"),
            (3.6e12, "3600 s"),
        ] {
            assert_eq!(nanoseconds(ns), text);
        }
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(number(-12_345.6), "−12,346");
        assert_eq!(number(0.123_45), "0.123");
    }

    #[test]
    fn changes_have_a_sign() {
        for (ratio, text) in
            [(0.0, "±0 %"), (0.1234, "+12.3 %"), (-0.5, "−50.0 %"), (1.5, "+150 %"), (0.001, "+0.10 %")]
        {
            assert_eq!(change(ratio), text);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0.0, "1970-01-01 00:00:00 UTC"),
            (951_782_400.0, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199.0, "2024-02-29 23:59:59 UTC"),
            (4_107_542_400.0, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), text);
        }
        assert_eq!(utc(f64::NAN), "unknown");
    }

    #[test]
    fn a_name_carries_its_unit() {
        assert_eq!(by_name("goodput_sent_bits_per_second", 5e9), "5 Gbit/s");
        assert_eq!(by_name("requests_per_second", 12_345.6), "12,346 /s");
        assert_eq!(by_name("retransmitted_ratio", 0.0012), "0.12 %");
        assert_eq!(by_name("bytes_sent", 2e6), "2 MB");
    }
}
