//! Instants, delays and zones. The only place, with `journey::window`, that knows jiff.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Milliseconds in a second, a minute, an hour.
pub const SECOND_MS: i64 = 1_000;
/// Milliseconds in a minute.
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
/// Milliseconds in an hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds in 24 hours.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// An instant in milliseconds since 1970-01-01T00:00:00Z, of the years 1 to 9999.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0001-01-01T00:00:00Z, the earliest instant accepted.
    pub const MIN: Self = Self(-62_135_596_800_000);
    /// 9999-12-30T00:00:00Z; the two later days of that year, which jiff does not know, become it.
    pub const MAX: Self = Self(253_402_128_000_000);

    /// The instant `ms` milliseconds after the epoch, held within [`Self::MIN`] and [`Self::MAX`].
    #[must_use]
    pub fn from_ms(ms: i64) -> Self {
        Self(ms.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// This instant moved by `ms` milliseconds, held within the accepted years.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self::from_ms(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this instant; negative if it is later.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// `delay` after this instant: days on the wall clock of `zone`, the rest exact.
    ///
    /// A wall-clock time that does not exist on a DST night moves forward; one that exists twice
    /// is its first occurrence.
    #[must_use]
    pub fn plus(self, delay: Delay, zone: &Zone) -> Self {
        if delay.days == 0 {
            return self.plus_ms(delay.ms);
        }
        let moved = self
            .zoned(zone)
            .checked_add(jiff::Span::new().days(delay.days))
            .map_or(Self::MAX, |zoned| Self::from_ms(zoned.timestamp().as_millisecond()));
        moved.plus_ms(delay.ms)
    }

    /// This instant on the wall clock of `zone`.
    #[must_use]
    pub fn zoned(self, zone: &Zone) -> jiff::Zoned {
        // In range: MIN and MAX lie inside jiff's own limits.
        jiff::Timestamp::from_millisecond(self.0).unwrap_or_default().to_zoned(zone.0.clone())
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC; the fraction is written only if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// A text that is no RFC 3339 instant of the years 1 to 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time such as 2026-03-28T22:30:00Z")]
pub struct TimeError(pub String);

impl FromStr for Timestamp {
    type Err = TimeError;

    /// RFC 3339 with `Z` or an offset; a space for the `T` is accepted, sub-milliseconds are cut.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        if let Some(fast) = parse_utc_fast(text.as_bytes()) {
            return Ok(fast);
        }
        let parsed: jiff::Timestamp =
            text.parse().map_err(|_| TimeError(text.chars().take(80).collect()))?;
        let ms = parsed.as_millisecond();
        if !(Self::MIN.0..=Self::MAX.0).contains(&ms) {
            return Err(TimeError(text.chars().take(80).collect()));
        }
        Ok(Self(ms))
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.fff]Z`, the form nearly every record has; anything else is left to jiff.
fn parse_utc_fast(bytes: &[u8]) -> Option<Timestamp> {
    let digits = |from: usize, to: usize| -> Option<i64> {
        bytes[from..to].iter().try_fold(0_i64, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
        })
    };
    let (fraction_ms, shaped) = match bytes.len() {
        20 => (0, bytes[19] == b'Z'),
        24 if bytes[19] == b'.' => (digits(20, 23)?, bytes[23] == b'Z'),
        _ => return None,
    };
    let separators = bytes[4] == b'-'
        && bytes[7] == b'-'
        && (bytes[10] == b'T' || bytes[10] == b' ')
        && bytes[13] == b':'
        && bytes[16] == b':';
    if !shaped || !separators {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    if year == 0 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if day < 1 || day > length[usize::try_from(month - 1).ok()?] {
        return None;
    }
    // Days from the civil date, counting years from March so that the leap day comes last.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year - era * 400;
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let ms = days * DAY_MS + hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS + fraction_ms;
    Some(Timestamp::from_ms(ms))
}

/// A length of time as an author writes it: wall-clock days and an exact rest.
///
/// `1 day` is the same wall-clock time tomorrow in the customer's zone, `24h` is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub struct Delay {
    /// Days (and weeks, as seven days) on the wall clock.
    pub days: i32,
    /// Hours, minutes and seconds, exact, in milliseconds.
    pub ms: i64,
}

/// The longest delay accepted: five years.
pub const DELAY_DAYS_MAX: i32 = 1_826;

impl Delay {
    /// An exact delay.
    #[must_use]
    pub const fn exact(ms: i64) -> Self {
        Self { days: 0, ms }
    }

    /// A delay of wall-clock days.
    #[must_use]
    pub const fn days(days: i32) -> Self {
        Self { days, ms: 0 }
    }

    /// Its length in milliseconds if every day had 24 hours: for limits and caps, not for clocks.
    #[must_use]
    pub const fn nominal_ms(self) -> i64 {
        self.days as i64 * DAY_MS + self.ms
    }
}

/// Why a text is no delay; the message says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DelayError {
    /// Not a number followed by a unit.
    #[error(
        "`{0}` is not a duration; write a number and a unit, such as 30m, 4h, 7 days or 1 day 12h"
    )]
    Shape(String),
    /// A unit that is not known.
    #[error("`{0}` is no unit of time; use s, m, h, days or weeks")]
    Unit(String),
    /// Longer than five years.
    #[error("`{0}` is longer than five years")]
    TooLong(String),
}

impl FromStr for Delay {
    type Err = DelayError;

    /// Numbers with units, with or without spaces: `90m`, `1 day`, `2 weeks`, `1 day 12h`.
    fn from_str(text: &str) -> Result<Self, DelayError> {
        let shape = || DelayError::Shape(text.chars().take(40).collect());
        let mut delay = Self::default();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(shape());
        }
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(shape)?;
            let number: i64 = rest[..end].parse().map_err(|_| shape())?;
            rest = rest[end..].trim_start();
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let unit = &rest[..end];
            rest = rest[end..].trim_start_matches([' ', ',']);
            let too_long = || DelayError::TooLong(text.chars().take(40).collect());
            let ms = match unit {
                "ms" => 1,
                "s" | "sec" | "second" | "seconds" => SECOND_MS,
                "m" | "min" | "minute" | "minutes" => MINUTE_MS,
                "h" | "hour" | "hours" => HOUR_MS,
                "d" | "day" | "days" | "w" | "week" | "weeks" => 0,
                "" => return Err(shape()),
                other => return Err(DelayError::Unit(other.chars().take(20).collect())),
            };
            if ms > 0 {
                delay.ms = number
                    .checked_mul(ms)
                    .and_then(|added| delay.ms.checked_add(added))
                    .ok_or_else(too_long)?;
            } else {
                let each = if unit.starts_with('w') { 7 } else { 1 };
                delay.days = i32::try_from(number)
                    .ok()
                    .and_then(|days| days.checked_mul(each))
                    .and_then(|days| delay.days.checked_add(days))
                    .ok_or_else(too_long)?;
            }
        }
        if delay.nominal_ms() > i64::from(DELAY_DAYS_MAX) * DAY_MS {
            return Err(DelayError::TooLong(text.chars().take(40).collect()));
        }
        Ok(delay)
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        match self.days {
            0 => {}
            1 => parts.push("1 day".into()),
            days => parts.push(format!("{days} days")),
        }
        let mut ms = self.ms;
        for (unit, length) in [("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS), ("ms", 1)] {
            if ms >= length {
                parts.push(format!("{}{unit}", ms / length));
                ms %= length;
            }
        }
        if parts.is_empty() {
            parts.push("0s".into());
        }
        f.write_str(&parts.join(" "))
    }
}

/// A time zone by its IANA name, from the time-zone data built into this binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(jiff::tz::TimeZone);

impl Zone {
    /// Coordinated universal time.
    #[must_use]
    pub const fn utc() -> Self {
        Self(jiff::tz::TimeZone::UTC)
    }

    /// The zone of this IANA name, such as `Europe/Amsterdam`; `None` if there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        jiff::tz::db().get(name).ok().map(Self)
    }

    /// Every IANA name that this binary knows, sorted.
    #[must_use]
    pub fn names() -> Vec<String> {
        let mut names: Vec<String> =
            jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// The instant at which the wall clock of this zone shows so many minutes after midnight.
    ///
    /// A time that does not exist on a DST night moves forward; one that exists twice is its
    /// first occurrence.
    #[must_use]
    pub fn at(&self, date: jiff::civil::Date, minute_of_day: u16) -> Timestamp {
        // In range: the callers' minutes are those of a day.
        let hour = i8::try_from(minute_of_day / 60 % 24).unwrap_or(0);
        let minute = i8::try_from(minute_of_day % 60).unwrap_or(0);
        date.at(hour, minute, 0, 0)
            .to_zoned(self.0.clone())
            .map_or(Timestamp::MAX, |zoned| Timestamp::from_ms(zoned.timestamp().as_millisecond()))
    }

    /// The IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

impl Serialize for Zone {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::named(&name)
            .ok_or_else(|| serde::de::Error::custom(format!("there is no time zone `{name}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn fast_path_agrees_with_jiff() {
        for text in [
            "2026-03-28T22:30:00Z",
            "1970-01-01T00:00:00.001Z",
            "2000-02-29T23:59:59.999Z",
            "0001-01-01T00:00:00Z",
            "9999-12-29T22:00:00.999Z",
            "1900-03-01T12:00:00Z",
        ] {
            let slow: jiff::Timestamp = text.parse().expect("a time");
            assert_eq!(at(text).ms(), slow.as_millisecond(), "{text}");
            assert_eq!(at(text).to_string(), text);
        }
        assert_eq!(at("2017-09-26T15:52:25+02:00"), at("2017-09-26T13:52:25Z"));
        for bad in ["2023-02-29T00:00:00Z", "2023-13-01T00:00:00Z", "yesterday", "", "2023-01-01"] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn days_follow_the_wall_clock_and_hours_do_not() {
        let berlin = Zone::named("Europe/Berlin").expect("a zone");
        let eve = at("2026-03-28T21:30:00Z");
        assert_eq!(eve.plus(Delay::days(1), &berlin), at("2026-03-29T20:30:00Z"));
        assert_eq!(eve.plus(Delay::exact(24 * HOUR_MS), &berlin), at("2026-03-29T21:30:00Z"));
        // 02:30 does not exist on that night: it moves forward.
        let night = at("2026-03-28T01:30:00Z");
        assert_eq!(night.plus(Delay::days(1), &berlin), at("2026-03-29T01:30:00Z"));
    }

    #[test]
    fn delays_read_as_people_write_them() {
        for (text, days, ms) in [
            ("1h", 0, HOUR_MS),
            ("90m", 0, 90 * MINUTE_MS),
            ("7 days", 7, 0),
            ("1 day 12h", 1, 12 * HOUR_MS),
            ("2 weeks", 14, 0),
            ("23 hours", 0, 23 * HOUR_MS),
        ] {
            assert_eq!(text.parse(), Ok(Delay { days, ms }), "{text}");
        }
        for bad in ["", "h", "20", "1 fortnight", "99999 days", "-1h", "1.5h"] {
            assert!(bad.parse::<Delay>().is_err(), "{bad}");
        }
    }
}
