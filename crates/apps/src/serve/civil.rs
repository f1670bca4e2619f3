//! Calendar time from seconds since 1970, in UTC, for listings, logs and RFC 867.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Seconds from 1900 to 1970 (RFC 868).
const BEFORE_1970: u64 = 2_208_988_800;

/// Date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    /// From 1.
    pub(super) month: u8,
    /// From 1.
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
    days: i64,
}

impl Civil {
    /// Of so many seconds since 1970.
    pub(super) fn of(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        // Years begin in March here, so that the leap day is their last; eras have 400 of them.
        let since = days + 719_468;
        let (era, of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as u8,
            day: day as u8,
            hour: (rest / 3_600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            days,
        }
    }

    pub(super) fn month_name(&self) -> &'static str {
        MONTHS.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or_default()
    }

    fn weekday(&self) -> &'static str {
        WEEKDAYS.get(self.days.rem_euclid(7) as usize).copied().unwrap_or_default()
    }

    /// `Sat Nov 21 13:38:38 2026`, as the daytime service of inetd says it.
    pub(super) fn daytime(&self) -> String {
        format!(
            "{} {} {:2} {:02}:{:02}:{:02} {}\r\n",
            self.weekday(),
            self.month_name(),
            self.day,
            self.hour,
            self.minute,
            self.second,
            self.year
        )
    }

    /// `20261121133838`, as FTP has it (RFC 3659 section 2.3).
    pub(super) fn compact(&self) -> String {
        format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        )
    }

    /// `21/Nov/2026:13:38:38 +0000`, as access logs have it.
    pub(super) fn log(&self) -> String {
        format!(
            "{:02}/{}/{:04}:{:02}:{:02}:{:02} +0000",
            self.day,
            self.month_name(),
            self.year,
            self.hour,
            self.minute,
            self.second
        )
    }
}

/// Seconds since 1970.
pub(super) fn unix_seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

/// The 32 bits that the time service of RFC 868 sends.
pub(super) fn seconds_since_1900(unix: i64) -> u32 {
    (BEFORE_1970 as i64).wrapping_add(unix) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_told_right() {
        let at = |s| Civil::of(s).compact();
        assert_eq!(at(0), "19700101000000");
        assert_eq!(at(951_782_400), "20000229000000");
        assert_eq!(at(4_107_542_399), "21000228235959");
        assert_eq!(at(4_107_542_400), "21000301000000");
        assert_eq!(at(-1), "19691231235959");
        assert_eq!(Civil::of(1_795_268_318).daytime(), "Sat Nov 21 13:38:38 2026\r\n");
        assert_eq!(Civil::of(1_795_268_318).log(), "21/Nov/2026:13:38:38 +0000");
        assert_eq!(seconds_since_1900(0), 2_208_988_800);
    }
}
