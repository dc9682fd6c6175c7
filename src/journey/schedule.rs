//! Schedules: five-field cron in a zone. The only place that knows the cron crate.
//!
//! The crate reads the fields; which instants they mean is decided here on the zone's wall clock,
//! because the crate leaves out times that a DST night leaves out, and we move them forward.

use std::str::FromStr;

use cron::TimeUnitSpec;
use jiff::civil::Date;

use crate::model::{Timestamp, Zone};

/// A five-field cron expression in a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    source: String,
    zone: Zone,
    minutes_of_day: Vec<u16>,
    /// One bit for each day of the month, from bit 1.
    days: u32,
    /// One bit for each month, from bit 1.
    months: u16,
    /// One bit for each weekday, from Monday as bit 0.
    weekdays: u8,
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error("a schedule has five fields (minute, hour, day, month, weekday), this has {0}")]
    Fields(usize),
    /// A weekday by number, of which two conventions exist.
    #[error("weekdays are written as names, such as mon or mon-fri, not as `{0}`")]
    WeekdayNumber(String),
    /// Day of the month and weekday are both restricted.
    #[error("give a day of the month or a weekday, not both: tools disagree on what both mean")]
    BothDays,
    /// A field that can't be read.
    #[error("`{field}` is no {what}")]
    Field {
        /// The field as written.
        field: String,
        /// What belongs there.
        what: &'static str,
    },
    /// No date ever fits, such as the 31st of February.
    #[error("no day ever fits this schedule")]
    Never,
}

const FIELDS: [&str; 5] = ["minute", "hour", "day of the month", "month", "weekday"];

/// The longest time between two days that fit: the 29th of February around the year 2100.
const DAYS_AHEAD_MAX: i32 = 8 * 366 + 2;

impl Schedule {
    /// Reads the five fields: `*`, numbers, ranges, lists and steps; names for months, names alone
    /// for weekdays.
    ///
    /// # Errors
    /// [`ScheduleError`] if they can't be read or never fit.
    pub fn parse(source: &str, zone: Zone) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = source.split_whitespace().collect();
        let [_, _, day, _, weekday] = fields.as_slice() else {
            return Err(ScheduleError::Fields(fields.len()));
        };
        if weekday.contains(|c: char| c.is_ascii_digit()) {
            return Err(ScheduleError::WeekdayNumber((*weekday).to_owned()));
        }
        if *day != "*" && *weekday != "*" {
            return Err(ScheduleError::BothDays);
        }
        // Each field is read alone, so that the message names the one that is wrong.
        let read = |index: usize| {
            let mut probe = ["0", "*", "*", "*", "*", "*"];
            probe[index + 1] = fields[index];
            let odd = |c: char| !c.is_ascii_alphanumeric() && !"*,-/".contains(c);
            let wrong =
                || ScheduleError::Field { field: fields[index].to_owned(), what: FIELDS[index] };
            if fields[index].contains(odd) {
                return Err(wrong());
            }
            cron::Schedule::from_str(&probe.join(" ")).map_err(|_| wrong())
        };
        let minutes = read(0)?;
        let hours = read(1)?;
        let minutes_of_day = (0..24_u16)
            .filter(|hour| hours.hours().includes(u32::from(*hour)))
            .flat_map(|hour| (0..60_u16).map(move |minute| (hour, minute)))
            .filter(|(_, minute)| minutes.minutes().includes(u32::from(*minute)))
            .map(|(hour, minute)| hour * 60 + minute)
            .collect();
        let bits = |unit: &dyn Fn(u32) -> bool, last: u32| {
            (1..=last).filter(|number| unit(*number)).fold(0_u32, |bits, number| bits | 1 << number)
        };
        let (days, months, weekdays) = (read(2)?, read(3)?, read(4)?);
        let sunday_first = bits(&|number| weekdays.days_of_week().includes(number), 7);
        let schedule = Self {
            source: source.to_owned(),
            zone,
            minutes_of_day,
            days: bits(&|number| days.days_of_month().includes(number), 31),
            months: u16::try_from(bits(&|number| months.months().includes(number), 12))
                .unwrap_or(u16::MAX),
            // The crate counts from Sunday as 1.
            weekdays: u8::try_from(sunday_first >> 2 | (sunday_first >> 1 & 1) << 6)
                .unwrap_or(u8::MAX),
        };
        // 2000 is a leap year, and every 28 years weekdays and dates meet again.
        let first = Timestamp::from_ms(946_684_800_000);
        schedule.next(first).map(|_| schedule).ok_or(ScheduleError::Never)
    }

    /// The first instant strictly after `after` at which it is due; `None` if there is none.
    ///
    /// A time that does not exist on a DST night moves forward; one that exists twice is used once.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let today = after.zoned(&self.zone).date();
        // A time moved forward out of yesterday may still be ahead.
        (-1..=DAYS_AHEAD_MAX)
            .filter_map(|ahead| today.checked_add(jiff::Span::new().days(ahead)).ok())
            .filter(|date| self.fits(*date))
            .find_map(|date| {
                self.minutes_of_day
                    .iter()
                    .map(|minute| self.zone.at(date, *minute))
                    .filter(|instant| *instant > after && *instant < Timestamp::MAX)
                    .min()
            })
    }

    /// As the author wrote it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its zone.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    fn fits(&self, date: Date) -> bool {
        let weekday = date.weekday().to_monday_zero_offset();
        self.months >> date.month() & 1 == 1
            && self.days >> date.day() & 1 == 1
            && self.weekdays >> weekday & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(source: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule =
            Schedule::parse(source, Zone::named(zone).expect("a zone")).expect("a schedule");
        let mut at: Timestamp = after.parse().expect("a time");
        (0..count)
            .map(|_| {
                at = schedule.next(at).expect("a date");
                at.to_string()
            })
            .collect()
    }

    #[test]
    fn follows_the_wall_clock() {
        assert_eq!(
            dates("0 9 * * mon", "Europe/Berlin", "2026-03-20T00:00:00Z", 2),
            ["2026-03-23T08:00:00Z", "2026-03-30T07:00:00Z"]
        );
        assert_eq!(
            dates("30 8,17 1-5/2 jan *", "UTC", "2026-01-03T09:00:00Z", 3),
            ["2026-01-03T17:30:00Z", "2026-01-05T08:30:00Z", "2026-01-05T17:30:00Z"]
        );
        assert_eq!(dates("0 0 29 2 *", "UTC", "2097-01-01T00:00:00Z", 1), ["2104-02-29T00:00:00Z"]);
        assert_eq!(
            dates("0 12 * * sat,sun", "UTC", "2026-01-09T00:00:00Z", 3),
            ["2026-01-10T12:00:00Z", "2026-01-11T12:00:00Z", "2026-01-17T12:00:00Z"]
        );
    }

    #[test]
    fn dst_nights_in_berlin() {
        // 02:30 does not exist on 29 March: it moves to 03:30.
        assert_eq!(
            dates("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
        );
        // It exists twice on 25 October: the first is used, the second is not.
        assert_eq!(
            dates("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        // A moved time does not overtake one that exists.
        assert_eq!(
            dates("30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
        );
        assert_eq!(
            dates("0,30 2-3 * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", 3),
            ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:00:00Z"]
        );
    }

    #[test]
    fn refuses_what_people_read_differently() {
        let parse = |source| Schedule::parse(source, Zone::utc()).map(|_| ());
        assert_eq!(parse("0 9 * *"), Err(ScheduleError::Fields(4)));
        assert_eq!(parse("0 9 * * 1"), Err(ScheduleError::WeekdayNumber("1".into())));
        assert_eq!(parse("0 9 1 * mon"), Err(ScheduleError::BothDays));
        assert_eq!(parse("0 9 31 2 *"), Err(ScheduleError::Never));
        let field = |field: &str, what| Err(ScheduleError::Field { field: field.to_owned(), what });
        assert_eq!(parse("60 9 * * *"), field("60", "minute"));
        assert_eq!(parse("0 25 * * *"), field("25", "hour"));
        assert_eq!(parse("0 9 * * mo"), field("mo", "weekday"));
        assert_eq!(parse("0 9 L * *"), field("L", "day of the month"));
        assert_eq!(parse("0 9 * * @"), field("@", "weekday"));
    }
}
