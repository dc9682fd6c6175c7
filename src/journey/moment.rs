//! Moments that `wait_until` waits for. Pure arithmetic on wall clocks.

use jiff::civil::Date;

use crate::model::{DAY_MS, Delay, Timestamp, Zone};

use super::window::{day, day_number};
use super::{Var, WindowZone};

/// How many days ahead a weekday is searched for: a zone may leave one date out.
const DAYS_AHEAD_MAX: i32 = 15;
/// How long a wait for a date is taken to be where only its length counts: a year.
const DATE_MS: i64 = 366 * DAY_MS;

/// A moment, as a journey says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// On which day.
    pub day: MomentDay,
    /// At which minute of that day; `None` is its beginning, or the very instant of a fact.
    pub minute: Option<u16>,
    /// Whose wall clock.
    pub zone: WindowZone,
}

/// On which day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MomentDay {
    /// The next of these weekdays, Monday first; today if the minute has not passed.
    Weekdays([bool; 7]),
    /// A date.
    Date(Date),
    /// Before or after a time that is known of the customer.
    Fact {
        /// The time.
        var: Var,
        /// How far from it.
        shift: Delay,
        /// Before it instead of after it.
        before: bool,
    },
}

impl Moment {
    /// When it is, for a wait that begins at `at`; `fact` is the time of a [`MomentDay::Fact`].
    /// `None` if it has passed, or if the fact is not known.
    ///
    /// A time that does not exist on a DST night moves forward; one that exists twice is its first
    /// occurrence; a date that a zone leaves out is the next one.
    #[must_use]
    pub fn after(&self, at: Timestamp, fact: Option<Timestamp>, zone: &Zone) -> Option<Timestamp> {
        let minute = self.minute.unwrap_or(0);
        let moment = match &self.day {
            MomentDay::Weekdays(days) => {
                let today = at.zoned(zone).date();
                let dates = (0..=DAYS_AHEAD_MAX).filter_map(|ahead| day(today, ahead));
                dates
                    .filter(|date| days[usize::from(day_number(date.weekday()))])
                    .map(|date| (date, zone.at(date, minute)))
                    // A weekday that the zone leaves out would be another weekday.
                    .filter(|(date, moment)| moment.zoned(zone).date() == *date)
                    .map(|(_, moment)| moment)
                    .find(|moment| *moment >= at)?
            }
            MomentDay::Date(date) => zone.at(*date, minute),
            MomentDay::Fact { shift, before, .. } => {
                let sign = if *before { -1 } else { 1 };
                let shift = Delay { days: shift.days * sign, ms: shift.ms * i64::from(sign) };
                let moved = fact?.plus(shift, zone);
                self.minute.map_or(moved, |minute| zone.at(moved.zoned(zone).date(), minute))
            }
        };
        (moment >= at).then_some(moment)
    }

    /// How long it is waited for at most, in milliseconds: a week for weekdays, a year for a date,
    /// and for facts, which are of the past, as long after them as it says and the rest of a day.
    #[must_use]
    pub fn nominal_ms(&self) -> i64 {
        match &self.day {
            MomentDay::Weekdays(_) => 7 * DAY_MS,
            MomentDay::Date(_) => DATE_MS,
            MomentDay::Fact { before: true, .. } => 0,
            MomentDay::Fact { shift, .. } => shift.nominal_ms().saturating_add(DAY_MS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(day: MomentDay, minute: Option<u16>, zone: &str, at: &str, expected: &str) {
        let moment = Moment { day, minute, zone: WindowZone::Customer { unknown: None } };
        let zone = Zone::named(zone).expect("a zone");
        let fact = "2026-03-01T11:30:00Z".parse().expect("a time");
        let found = moment.after(at.parse().expect("a time"), Some(fact), &zone);
        let found = found.map_or("passed".to_owned(), |found| found.to_string());
        assert_eq!(found, expected, "{moment:?} from {at}");
    }

    const TUESDAYS: MomentDay =
        MomentDay::Weekdays([false, true, false, false, false, false, false]);

    #[test]
    fn weekdays_are_those_of_the_wall_clock() {
        let ten = Some(600);
        // Tuesday 3 March 2026: before ten, at ten, after ten.
        let berlin = "Europe/Berlin";
        check(TUESDAYS, ten, berlin, "2026-03-03T08:59:00Z", "2026-03-03T09:00:00Z");
        check(TUESDAYS, ten, berlin, "2026-03-03T09:00:00Z", "2026-03-03T09:00:00Z");
        check(TUESDAYS, ten, berlin, "2026-03-03T09:00:01Z", "2026-03-10T09:00:00Z");
        // Already Tuesday there, still Monday in UTC; and an hour less on the wall clock in summer.
        check(TUESDAYS, ten, "Pacific/Auckland", "2026-03-02T12:00:00Z", "2026-03-02T21:00:00Z");
        check(TUESDAYS, ten, berlin, "2026-03-28T12:00:00Z", "2026-03-31T08:00:00Z");
    }

    #[test]
    fn a_weekday_that_a_zone_leaves_out_is_the_one_after_it() {
        let fridays = MomentDay::Weekdays([false, false, false, false, true, false, false]);
        let apia = "Pacific/Apia";
        check(fridays, Some(180), apia, "2011-12-28T16:46:00Z", "2012-01-05T13:00:00Z");
    }

    #[test]
    fn dates_and_facts_may_have_passed() {
        let date = MomentDay::Date(Date::constant(2026, 12, 24));
        let new_york = "America/New_York";
        check(date.clone(), Some(540), new_york, "2026-12-01T00:00:00Z", "2026-12-24T14:00:00Z");
        check(date, Some(540), new_york, "2026-12-24T14:00:01Z", "passed");
        let fact = |days, before| MomentDay::Fact {
            var: Var::OrdersLastAt,
            shift: Delay::days(days),
            before,
        };
        let berlin = "Europe/Berlin";
        // The clocks change between; the wall clock counts, with a time of day and without.
        check(fact(30, false), None, berlin, "2026-03-02T00:00:00Z", "2026-03-31T10:30:00Z");
        check(fact(30, false), Some(540), berlin, "2026-03-02T00:00:00Z", "2026-03-31T07:00:00Z");
        check(fact(1, true), None, berlin, "2026-02-01T00:00:00Z", "2026-02-28T11:30:00Z");
        check(fact(1, true), None, berlin, "2026-03-01T00:00:00Z", "passed");
    }
}
