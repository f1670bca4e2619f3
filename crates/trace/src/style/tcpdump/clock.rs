//! The time before a line.

use chrono::{Local, Offset as _, TimeZone as _};

use crate::record::Timestamp;
use crate::style::page::Page;

/// The form of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeForm {
    /// Hours, minutes, seconds of the local time.
    #[default]
    Clock,
    /// Not at all: `-t`.
    None,
    /// Seconds since 1970: `-tt`.
    Epoch,
    /// Since the packet before: `-ttt`.
    Delta,
    /// With the date: `-tttt`.
    Date,
    /// Since the first packet: `-ttttt`.
    SinceFirst,
}

impl TimeForm {
    /// That of so many `-t`.
    #[must_use]
    pub fn of_count(count: u8) -> Option<TimeForm> {
        let forms = [Self::Clock, Self::None, Self::Epoch, Self::Delta, Self::Date, Self::SinceFirst];
        forms.get(usize::from(count)).copied()
    }
}

/// Quarters of an hour: no zone changes its offset within one.
const QUARTER: i64 = 900;

/// What remembers the packet before, and the offset of the local time.
#[derive(Debug)]
pub(super) struct Clock {
    form: TimeForm,
    reference: Option<i64>,
    /// A quarter of an hour, and the seconds that the local time is ahead in it.
    offset: Option<(i64, i64)>,
}

impl Clock {
    pub(super) fn new(form: TimeForm) -> Clock {
        Clock { form, reference: None, offset: None }
    }

    pub(super) fn print(&mut self, time: Timestamp, page: &mut Page) {
        // tcpdump drops what is smaller than a microsecond before it takes differences.
        let (seconds, nanos) = time.parts();
        let micros = nanos / 1000;
        match self.form {
            TimeForm::None => {}
            TimeForm::Clock => {
                let local = seconds + self.offset(seconds);
                hms(page, local.rem_euclid(86_400) as u64, micros);
            }
            TimeForm::Epoch => {
                if seconds < 0 {
                    page.byte(b'-');
                }
                page.number(seconds.unsigned_abs()).byte(b'.').six(micros).byte(b' ');
            }
            TimeForm::Date => {
                let local = seconds + self.offset(seconds);
                let (year, month, day) = date(local.div_euclid(86_400));
                super::super::page::say!(page, "{year:04}-{month:02}-{day:02} ");
                hms(page, local.rem_euclid(86_400) as u64, micros);
            }
            TimeForm::Delta | TimeForm::SinceFirst => {
                let now = seconds * 1_000_000 + i64::from(micros);
                let since = now - self.reference.unwrap_or(now);
                if self.form == TimeForm::Delta || self.reference.is_none() {
                    self.reference = Some(now);
                }
                page.byte(if since < 0 { b'-' } else { b' ' });
                let since = since.unsigned_abs();
                hms(page, since / 1_000_000 % 86_400, (since % 1_000_000) as u32);
            }
        }
    }

    fn offset(&mut self, seconds: i64) -> i64 {
        let quarter = seconds.div_euclid(QUARTER);
        if let Some((known, offset)) = self.offset
            && known == quarter
        {
            return offset;
        }
        let local = Local.timestamp_opt(seconds, 0).single();
        let offset = local.map_or(0, |local| i64::from(local.offset().fix().local_minus_utc()));
        self.offset = Some((quarter, offset));
        offset
    }
}

fn hms(page: &mut Page, seconds: u64, micros: u32) {
    // Less than a day.
    let seconds = seconds as u32;
    page.two(seconds / 3600).byte(b':').two(seconds / 60 % 60).byte(b':').two(seconds % 60);
    page.byte(b'.').six(micros).byte(b' ');
}

/// Year, month and day of a number of days since 1970 (the civil calendar, counted in eras of 400 years from 1 March).
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(-1), (1969, 12, 31));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(20_778), (2026, 11, 21));
    }

    #[test]
    fn a_time_that_goes_backwards_has_a_negative_difference() {
        let mut clock = Clock::new(TimeForm::Delta);
        let mut page = Page::default();
        for micros in [5_000_000, 4_999_999, 5_000_001] {
            clock.print(Timestamp(micros * 1000), &mut page);
        }
        let text = String::from_utf8(page.bytes).unwrap();
        assert_eq!(text, " 00:00:00.000000 -00:00:00.000001  00:00:00.000002 ");
    }
}
