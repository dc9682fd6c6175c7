//! Messages over time, in a bounded number of spans.

use std::collections::BTreeMap;

use crate::model::{DAY_MS, HOUR_MS, Timestamp};

/// How long a span may be: hours, days, weeks of Monday, years of 52 weeks and so on.
const SPANS_MS: [i64; 8] = [
    HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    DAY_MS,
    7 * DAY_MS,
    28 * DAY_MS,
    364 * DAY_MS,
    36_400 * DAY_MS,
];

/// 1970-01-05, a Monday: where spans begin.
const MONDAY_MS: i64 = 4 * DAY_MS;

/// The most spans kept; beyond it longer ones are taken.
const SPANS_MAX: usize = 4_096;

/// Counts of messages by the time at which they are due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Place in [`SPANS_MS`].
    span: usize,
    /// To be sent and withheld, by the number of the span.
    counts: BTreeMap<i64, (u64, u64)>,
}

/// What was due in one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// When the span begins.
    pub from: Timestamp,
    /// Messages to be sent.
    pub sent: u64,
    /// Messages withheld or cancelled.
    pub withheld: u64,
}

impl Histogram {
    /// Counts messages that are due at an instant.
    pub fn add(&mut self, at: Timestamp, sent: u64, withheld: u64) {
        let number = number(at, SPANS_MS[self.span]);
        let count = self.counts.entry(number).or_default();
        count.0 += sent;
        count.1 += withheld;
        if self.counts.len() > SPANS_MAX && self.span + 1 < SPANS_MS.len() {
            *self = self.coarser(self.span + 1);
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The first and the last instant of the spans that hold something.
    #[must_use]
    pub fn range(&self) -> Option<(Timestamp, Timestamp)> {
        let (first, _) = self.counts.first_key_value()?;
        let (last, _) = self.counts.last_key_value()?;
        let span = SPANS_MS[self.span];
        Some((start(*first, span), start(*last + 1, span).plus_ms(-1)))
    }

    /// The shortest length of a span in milliseconds, at least `least`, with which it is at most
    /// `most` spans from that of `from` to that of `to`; the longest there is, if none is enough.
    #[must_use]
    pub fn length(&self, from: Timestamp, to: Timestamp, least: i64, most: usize) -> i64 {
        let fits = |span: &i64| {
            let spans = number(to, *span) - number(from, *span);
            *span >= least && usize::try_from(spans).is_ok_and(|spans| spans < most)
        };
        SPANS_MS[self.span..].iter().copied().find(fits).unwrap_or(SPANS_MS[SPANS_MS.len() - 1])
    }

    /// A bar for each span of a [`Histogram::length`], from that of `from` to that of `to`, empty
    /// ones included. What was counted before and after is left out.
    #[must_use]
    pub fn bars(&self, from: Timestamp, to: Timestamp, length: i64) -> Vec<Bar> {
        let coarse = self.coarser(SPANS_MS.iter().position(|span| *span == length).unwrap_or(0));
        let bar = |number| {
            let (sent, withheld) = coarse.counts.get(&number).copied().unwrap_or_default();
            Bar { from: start(number, length), sent, withheld }
        };
        (number(from, length)..=number(to, length)).map(bar).collect()
    }

    fn coarser(&self, place: usize) -> Self {
        let mut coarse = Self { span: place, counts: BTreeMap::new() };
        for (finer, (sent, withheld)) in &self.counts {
            let at = start(*finer, SPANS_MS[self.span]);
            let count = coarse.counts.entry(number(at, SPANS_MS[place])).or_default();
            count.0 += sent;
            count.1 += withheld;
        }
        coarse
    }
}

fn number(at: Timestamp, span: i64) -> i64 {
    (at.ms() - MONDAY_MS).div_euclid(span)
}

fn start(number: i64, span: i64) -> Timestamp {
    Timestamp::from_ms(number * span + MONDAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn bars_hold_everything_in_spans_that_fit() {
        let mut histogram = Histogram::default();
        histogram.add(at("2026-03-02T03:59:59Z"), 2, 0);
        histogram.add(at("2026-03-02T04:00:00Z"), 1, 5);
        histogram.add(at("2026-03-08T23:10:00Z"), 3, 0);
        let (from, to) = histogram.range().expect("something");
        assert_eq!((from, to), (at("2026-03-02T03:00:00Z"), at("2026-03-08T23:59:59.999Z")));
        for (most, hours, bars, first) in [
            (1_000, 1, 165, (2, 0)),
            (60, 3, 55, (3, 5)),
            (30, 6, 28, (3, 5)),
            (7, 24, 7, (3, 5)),
            (1, 168, 1, (6, 5)),
        ] {
            let length = histogram.length(from, to, 0, most);
            let found = histogram.bars(from, to, length);
            assert_eq!((length, found.len()), (hours * HOUR_MS, bars), "most {most}");
            assert_eq!((found[0].sent, found[0].withheld), first, "most {most}");
            let sent: u64 = found.iter().map(|bar| bar.sent).sum();
            let withheld: u64 = found.iter().map(|bar| bar.withheld).sum();
            assert_eq!((sent, withheld), (6, 5));
        }
    }

    #[test]
    fn memory_is_bounded_over_all_years() {
        let mut histogram = Histogram::default();
        let years = Timestamp::MAX.since_ms(Timestamp::MIN);
        for step in 0..20_000 {
            histogram.add(Timestamp::MIN.plus_ms(years / 20_000 * step), 1, 0);
        }
        assert!(histogram.counts.len() <= SPANS_MAX);
        let (from, to) = histogram.range().expect("something");
        let bars = histogram.bars(from, to, histogram.length(from, to, DAY_MS, 150));
        assert!(bars.len() <= 150, "{}", bars.len());
        assert_eq!(bars.iter().map(|bar| bar.sent).sum::<u64>(), 20_000);
    }
}
