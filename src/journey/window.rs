//! Send windows: when one is open, and when it opens next. Pure arithmetic on wall clocks.

use jiff::civil::{Date, Weekday};

use crate::model::{Timestamp, Zone};

use super::SendWindow;

/// How many days ahead an opening is searched for: a window open on one weekday, one of whose
/// openings falls into a DST gap, opens within this time.
const DAYS_AHEAD_MAX: i32 = 15;
/// A minute of the day that no change of the clock leaves out.
const NOON: u16 = 12 * 60;

impl SendWindow {
    /// When a message that is due at `at` may go out, and when the window it goes out in closes:
    /// `at` itself if the window is open then, else its next opening.
    ///
    /// Weekdays are those of the opening, so a window overnight from Saturday closes on Sunday.
    /// Windows that touch (all day on consecutive days) are one. Without any day the answer is
    /// [`Timestamp::MAX`] twice.
    #[must_use]
    pub fn opens_at(&self, at: Timestamp, zone: &Zone) -> (Timestamp, Timestamp) {
        let today = at.zoned(zone).date();
        let mut found: Option<(Timestamp, Timestamp)> = None;
        for ahead in -1..=DAYS_AHEAD_MAX {
            let Some((open, close)) = day(today, ahead).and_then(|date| self.on(date, zone)) else {
                continue;
            };
            match found {
                Some((_, end)) if open > end => break,
                Some((start, end)) => found = Some((start, end.max(close))),
                None if close <= at => (),
                None => found = Some((open.max(at), close)),
            }
        }
        found.unwrap_or((Timestamp::MAX, Timestamp::MAX))
    }

    /// The window that opens on this date, if one does.
    fn on(&self, date: Date, zone: &Zone) -> Option<(Timestamp, Timestamp)> {
        if !self.days[usize::from(day_number(date.weekday()))] {
            return None;
        }
        // A zone that moves over the date line leaves a whole date out.
        if zone.at(date, NOON).zoned(zone).date() != date {
            return None;
        }
        let all_day = self.from_minute == self.to_minute;
        let (from, to) = if all_day { (0, 0) } else { (self.from_minute, self.to_minute) };
        let last = if to <= from { day(date, 1)? } else { date };
        let (open, close) = (zone.at(date, from), zone.at(last, to));
        // A window that lies in the hour that a DST night leaves out does not open.
        (open < close).then_some((open, close))
    }
}

/// Days from Monday.
pub(super) const fn day_number(weekday: Weekday) -> u8 {
    weekday.to_monday_zero_offset().unsigned_abs()
}

pub(super) fn day(date: Date, ahead: i32) -> Option<Date> {
    date.checked_add(jiff::Span::new().days(ahead)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journey::WindowZone;
    use crate::model::MINUTE_MS;

    fn window(days: [bool; 7], from_minute: u16, to_minute: u16) -> SendWindow {
        SendWindow { days, from_minute, to_minute, zone: WindowZone::Customer { unknown: None } }
    }

    fn check(window: &SendWindow, zone: &str, at: &str, open: &str, close: &str) {
        let zone = Zone::named(zone).expect("a zone");
        let (opens, closes) = window.opens_at(at.parse().expect("a time"), &zone);
        assert_eq!((opens.to_string(), closes.to_string()), (open.into(), close.into()), "{at}");
    }

    #[test]
    fn opens_by_the_wall_clock() {
        let mon_sat = [true, true, true, true, true, true, false];
        let day = window(mon_sat, 9 * 60, 20 * 60);
        // A Saturday in winter: open; late: closed until Monday.
        let berlin = "Europe/Berlin";
        check(&day, berlin, "2026-01-10T12:00:00Z", "2026-01-10T12:00:00Z", "2026-01-10T19:00:00Z");
        check(&day, berlin, "2026-01-10T19:00:00Z", "2026-01-12T08:00:00Z", "2026-01-12T19:00:00Z");
        // Overnight from Saturday reaches into Sunday, which itself opens nothing.
        let night = window(mon_sat, 22 * 60, 6 * 60);
        check(
            &night,
            berlin,
            "2026-01-11T03:00:00Z",
            "2026-01-11T03:00:00Z",
            "2026-01-11T05:00:00Z",
        );
        check(
            &night,
            berlin,
            "2026-01-11T23:00:00Z",
            "2026-01-12T21:00:00Z",
            "2026-01-13T05:00:00Z",
        );
        // All day on weekdays is one window until Saturday.
        let weekdays = window([true, true, true, true, true, false, false], 540, 540);
        check(
            &weekdays,
            berlin,
            "2026-01-07T12:00:00Z",
            "2026-01-07T12:00:00Z",
            "2026-01-09T23:00:00Z",
        );
    }

    #[test]
    fn a_date_that_a_zone_leaves_out_opens_nothing() {
        // Apia had no Friday 30 December 2011; the next Friday is the 6th.
        let fridays = window([false, false, false, false, true, false, false], 180, 181);
        check(
            &fridays,
            "Pacific/Apia",
            "2011-12-28T16:46:00Z",
            "2012-01-05T13:00:00Z",
            "2012-01-05T13:01:00Z",
        );
    }

    #[test]
    fn dst_nights() {
        let berlin = "Europe/Berlin";
        let all = [true; 7];
        // The night of 29 March has no 02:00 to 03:00: the window opens a day later.
        let gap = window(all, 120, 180);
        check(&gap, berlin, "2026-03-29T00:30:00Z", "2026-03-30T00:00:00Z", "2026-03-30T01:00:00Z");
        // An opening in the gap moves forward.
        let half = window(all, 150, 240);
        check(
            &half,
            berlin,
            "2026-03-29T00:30:00Z",
            "2026-03-29T01:30:00Z",
            "2026-03-29T02:00:00Z",
        );
        // On 25 October 02:30 exists twice: the window opens at the first.
        check(
            &half,
            berlin,
            "2026-10-25T00:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T03:00:00Z",
        );
    }

    proptest! {
        /// Whatever the zone, an instant is in the window exactly if the answer is the instant
        /// itself, and the answer is always in the window.
        #[test]
        fn the_answer_is_open_and_nothing_before_it_is(
            zone in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
                "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns",
            ]),
            at in 1_262_304_000_i64..1_830_000_000,
            days in prop::array::uniform7(any::<bool>()),
            from in 0_u16..1440,
            to in 0_u16..1440,
        ) {
            prop_assume!(days.contains(&true));
            let window = window(days, from, to);
            let zone = Zone::named(zone).expect("a zone");
            let at = Timestamp::from_ms(at * 1000);
            let (open, close) = window.opens_at(at, &zone);
            prop_assert!(at <= open && open < close);
            prop_assert_eq!(window.opens_at(open, &zone), (open, close));
            prop_assert_eq!(window.opens_at(close.plus_ms(-1), &zone).0, close.plus_ms(-1));
            prop_assert!(window.opens_at(close, &zone).0 > close);
            // Every instant between lies outside the window.
            let gap_ms = open.since_ms(at);
            for part in 0..20 {
                let between = at.plus_ms(gap_ms / 20 * part);
                if between < open {
                    prop_assert_eq!(window.opens_at(between, &zone), (open, close));
                }
            }
            // The wall clock agrees, away from changes of the clock.
            let local = open.zoned(&zone);
            let near = |ms: i64| open.plus_ms(ms).zoned(&zone).offset() == local.offset();
            if open > at && near(-180 * MINUTE_MS) && near(180 * MINUTE_MS) {
                let minute = u16::try_from(local.hour()).expect("an hour") * 60
                    + u16::try_from(local.minute()).expect("a minute");
                let expected = if from == to { 0 } else { from };
                prop_assert_eq!(minute, expected);
                prop_assert!(days[usize::from(day_number(local.weekday()))]);
            }
        }
    }
}
