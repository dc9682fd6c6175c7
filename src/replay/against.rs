//! Holds a replay against the lines of another one: whose messages differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufRead, Read};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::{Decision, Reason, Trace, TraceKind};
use crate::model::{MessageId, RunId, Text, Timestamp, derive};

/// How many differing messages are named; the others are counted.
const NAMED_MAX: usize = 20;
/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// The decisions of an earlier replay, held against those of this one. All of them are kept in
/// memory, a few hundred bytes each.
#[derive(Debug, Default)]
pub struct Against {
    before: BTreeMap<MessageId, Known>,
    /// What came in this replay of the runs that sent something before; `None` is not started.
    runs: BTreeMap<RunId, Option<Fate>>,
    /// What is withheld now; why is known at the end.
    withheld: Vec<(MessageId, RunId, Difference)>,
    found: Differences,
    /// The first that differ: gone and new ones first, then by time, customer and message.
    named: BTreeMap<(bool, Timestamp, Text, MessageId), Difference>,
}

/// What came of a run.
#[derive(Clone, Debug)]
enum Fate {
    UnderWay,
    Ended,
    Stopped(Reason, Text),
}

/// How two replays differ in the messages that would be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// By journey.
    pub journeys: BTreeMap<Text, Counts>,
    /// Why messages are gone, with how many.
    pub gone: BTreeMap<Gone, u64>,
    /// Why messages that are new were not sent before, with how many; `None` was not decided.
    pub new: BTreeMap<Option<Reason>, u64>,
    /// Customers with at least one message that differs.
    pub customers: BTreeSet<Text>,
    /// The first messages that differ: gone and new ones first, then by time and customer.
    pub first: Vec<Difference>,
}

/// How many messages of a journey are what they were, and how many are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sent in both, at the same time with the same content.
    pub same: u64,
    /// Sent in both, at another time.
    pub moved: u64,
    /// Sent in both at the same time, with other content.
    pub changed: u64,
    /// Sent before, and not now.
    pub gone: u64,
    /// Sent now, and not before.
    pub new: u64,
}

/// Why a message that was sent before is not sent now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gone {
    /// A stop rule of its journey ended the run: upon this event.
    Stopped(Text),
    /// Its run gave way to this journey.
    GaveWay(Text),
    /// It is decided, and withheld for this reason.
    Withheld(Reason),
    /// Its run ended before it, for this reason.
    RunEnded(Reason),
    /// Its run came to its end without it.
    Passed,
    /// Its run is under way where the data end.
    NotDecided,
    /// Its run did not start.
    NotStarted,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(event) => write!(f, "stopped by {event}"),
            Self::GaveWay(journey) => write!(f, "gave way to {journey}"),
            Self::Withheld(reason) => write!(f, "withheld, {}", reason.as_str()),
            Self::RunEnded(reason) => write!(f, "the run ended, {}", reason.as_str()),
            Self::Passed => f.write_str("the run ended without it"),
            Self::NotDecided => f.write_str("not decided by the end of the data"),
            Self::NotStarted => f.write_str("the run did not start"),
        }
    }
}

/// One message that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Whose.
    pub customer: Text,
    /// Of which journey.
    pub journey: Text,
    /// Of which step.
    pub step: Text,
    /// When it was due before; `None` if it was not decided.
    pub before: Option<(Timestamp, Option<Reason>)>,
    /// When it is due now, and why it is withheld; `None` if it is not decided.
    pub after: Option<(Timestamp, Option<Reason>)>,
    /// Why it is gone, if it is.
    pub gone: Option<Gone>,
}

/// A decision of the earlier replay.
#[derive(Debug)]
struct Known {
    at: Timestamp,
    customer: Text,
    journey: Text,
    run: RunId,
    step: Text,
    withheld: Option<Reason>,
    /// Hash of the data.
    data: u128,
}

/// Why the earlier decisions can't be read.
#[derive(Debug, thiserror::Error)]
pub enum AgainstError {
    /// The file can't be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// A line is not what a replay writes.
    #[error("line {line} is no decision that `waypost replay` wrote: {why}")]
    Line {
        /// From 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Deserialize)]
struct Line<'a> {
    at: &'a str,
    customer: Text,
    journey: Text,
    run: &'a str,
    step: Text,
    message: &'a str,
    decision: &'a str,
    reason: Option<&'a str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Against {
    /// Reads the lines that an earlier replay wrote.
    ///
    /// # Errors
    /// [`AgainstError`] if it can't be read or is something else.
    pub fn read(mut lines: impl BufRead) -> Result<Self, AgainstError> {
        let mut against = Self::default();
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            let read = lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
            if read == 0 {
                break;
            }
            let (message, known) = known(&text).map_err(|why| AgainstError::Line { line, why })?;
            if known.withheld.is_none() {
                against.runs.insert(known.run, None);
            }
            against.before.insert(message, known);
        }
        Ok(against)
    }

    /// Takes in what happened to a run in this replay.
    pub fn trace(&mut self, trace: &Trace) {
        let fate = match (trace.kind, trace.reason) {
            (TraceKind::Started, _) => Fate::UnderWay,
            (TraceKind::Ended, _) => Fate::Ended,
            (TraceKind::Stopped, Some(reason)) => {
                Fate::Stopped(reason, trace.detail.clone().unwrap_or_default())
            }
            _ => return,
        };
        if let Some(known) = trace.run.and_then(|run| self.runs.get_mut(&run)) {
            *known = Some(fate);
        }
    }

    /// Takes in a decision of this replay that stands.
    pub fn decision(&mut self, decision: &Decision) {
        let known = self.before.remove(&decision.message);
        let after = Some((decision.at, decision.withheld));
        let before = known.as_ref().map(|known| (known.at, known.withheld));
        let same_content = known
            .as_ref()
            .is_some_and(|known| known.data == derive("data", &[decision.data.as_bytes()]));
        let difference = Difference {
            customer: decision.customer.clone(),
            journey: decision.journey.clone(),
            step: decision.step.clone(),
            before,
            after,
            gone: None,
        };
        let was_sent = known.as_ref().is_some_and(|known| known.withheld.is_none());
        if was_sent && decision.withheld.is_some() {
            self.withheld.push((decision.message, decision.run, difference));
        } else {
            self.count(decision.message, difference, same_content);
        }
    }

    /// How they differ, once all decisions of this replay were taken in.
    #[must_use]
    pub fn differences(mut self) -> Differences {
        for (message, known) in std::mem::take(&mut self.before) {
            let difference = Difference {
                customer: known.customer,
                journey: known.journey,
                step: known.step,
                before: Some((known.at, known.withheld)),
                after: None,
                gone: known.withheld.is_none().then(|| self.gone(known.run, None)),
            };
            self.count(message, difference, false);
        }
        for (message, run, mut difference) in std::mem::take(&mut self.withheld) {
            let reason = difference.after.and_then(|(_, withheld)| withheld);
            difference.gone = Some(self.gone(run, reason));
            self.count(message, difference, false);
        }
        self.found.first = self.named.into_values().collect();
        self.found
    }

    /// Why a message of this run is gone, which is withheld for a reason or not decided at all.
    fn gone(&self, run: RunId, withheld: Option<Reason>) -> Gone {
        let fate = self.runs.get(&run).cloned().flatten();
        match (withheld, fate) {
            // Taken back when the run was stopped, or never decided because of that.
            (None | Some(Reason::Stopped), Some(Fate::Stopped(Reason::Stopped, event))) => {
                Gone::Stopped(event)
            }
            (None | Some(Reason::GaveWay), Some(Fate::Stopped(Reason::GaveWay, journey))) => {
                Gone::GaveWay(journey)
            }
            (Some(reason), _) => Gone::Withheld(reason),
            (None, Some(Fate::Stopped(reason, _))) => Gone::RunEnded(reason),
            (None, Some(Fate::Ended)) => Gone::Passed,
            (None, Some(Fate::UnderWay)) => Gone::NotDecided,
            (None, None) => Gone::NotStarted,
        }
    }

    fn count(&mut self, message: MessageId, difference: Difference, same_content: bool) {
        let sent = |fate: Option<(Timestamp, Option<Reason>)>| {
            fate.filter(|(_, withheld)| withheld.is_none()).map(|(at, _)| at)
        };
        let (before, after) = (sent(difference.before), sent(difference.after));
        let counts = self.found.journeys.entry(difference.journey.clone()).or_default();
        let count = match (before, after) {
            (None, None) => return,
            (Some(before), Some(after)) if before != after => &mut counts.moved,
            (Some(_), Some(_)) if same_content => {
                counts.same += 1;
                return;
            }
            (Some(_), Some(_)) => &mut counts.changed,
            (Some(_), None) => &mut counts.gone,
            (None, Some(_)) => &mut counts.new,
        };
        *count += 1;
        if let Some(gone) = &difference.gone {
            *self.found.gone.entry(gone.clone()).or_default() += 1;
        } else if before.is_none() {
            let reason = difference.before.and_then(|(_, withheld)| withheld);
            *self.found.new.entry(reason).or_default() += 1;
        }
        self.found.customers.insert(difference.customer.clone());
        let at = before.min(after).or(before).or(after).unwrap_or_default();
        let in_both = before.is_some() && after.is_some();
        self.named.insert((in_both, at, difference.customer.clone(), message), difference);
        if self.named.len() > NAMED_MAX {
            self.named.pop_last();
        }
    }
}

/// What a line says.
fn known(text: &[u8]) -> Result<(MessageId, Known), String> {
    let line: Line<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let reason = |word: &str| {
        let known = Reason::ALL.iter().find(|(_, known, _)| *known == word);
        known.map(|(reason, ..)| *reason).ok_or_else(|| format!("`{word}` is no reason"))
    };
    let withheld = match line.decision {
        "send" => None,
        _ => Some(reason(line.reason.unwrap_or_default())?),
    };
    let known = Known {
        at: line.at.parse::<Timestamp>().map_err(|error| error.to_string())?,
        customer: line.customer,
        journey: line.journey,
        run: line.run.parse().map_err(|_| format!("`{}` is no run id", line.run))?,
        step: line.step,
        withheld,
        data: derive("data", &[line.data.get().as_bytes()]),
    };
    Ok((line.message.parse().map_err(|_| format!("`{}` is no message id", line.message))?, known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journey::{Class, Version};
    use crate::model::{MessageChannel, RunId};

    fn decision(message: u128, second: i64, withheld: Option<Reason>, data: &str) -> Decision {
        Decision {
            message: MessageId(message),
            customer: Text::from(format!("c{message}")),
            journey: "j".into(),
            version: Version(1),
            run: RunId(message),
            step: "first".into(),
            occurrence: 0,
            channel: MessageChannel::Email,
            template: "t".into(),
            topic: None,
            class: Class::Marketing,
            at: Timestamp::from_ms(second * 1_000),
            settle_ms: 0,
            expires: None,
            window_end: None,
            withheld,
            data: data.to_owned(),
        }
    }

    #[test]
    fn every_kind_of_difference_is_counted_and_named() {
        let stopped = Some(Reason::Stopped);
        let before = [
            decision(1, 10, None, "{\"a\": 1}"),
            decision(2, 10, None, "{}"),
            decision(3, 10, None, "{}"),
            decision(4, 10, None, "{}"),
            decision(5, 9, None, "{}"),
            decision(6, 10, stopped, "{}"),
            decision(7, 10, stopped, "{}"),
        ];
        let after = [
            decision(1, 10, None, "{\"a\": 1}"),
            decision(2, 14, None, "{}"),
            decision(3, 10, None, "{\"b\": 2}"),
            decision(4, 10, stopped, "{}"),
            decision(6, 12, None, "{}"),
            decision(7, 10, Some(Reason::Consent), "{}"),
            decision(8, 11, None, "{}"),
        ];
        let mut lines = Vec::new();
        for decision in &before {
            super::super::write_line(decision, &mut lines).expect("memory takes it");
        }
        let mut against = Against::read(lines.as_slice()).expect("lines of a replay");
        let trace = |run: u128, kind, reason, detail: &str| Trace {
            at: Timestamp::from_ms(0),
            kind,
            journey: Some(("j".into(), Version(1))),
            run: Some(RunId(run)),
            step: None,
            reason,
            detail: Some(detail.into()),
        };
        against.trace(&trace(4, TraceKind::Stopped, stopped, "order.placed"));
        against.trace(&trace(5, TraceKind::Started, None, "cart.changed"));
        after.iter().for_each(|decision| against.decision(decision));
        let found = against.differences();
        let counts = Counts { same: 1, moved: 1, changed: 1, gone: 2, new: 2 };
        assert_eq!(found.journeys[&Text::from("j")], counts);
        assert_eq!(found.customers.len(), 6);
        let named: Vec<&str> = found.first.iter().map(|one| one.customer.as_str()).collect();
        assert_eq!(named, ["c5", "c4", "c8", "c6", "c2", "c3"]);
        assert_eq!((found.first[0].after, &found.first[0].gone), (None, &Some(Gone::NotDecided)));
        assert_eq!(found.first[1].after, Some((Timestamp::from_ms(10_000), stopped)));
        let gone = [(Gone::Stopped("order.placed".into()), 1), (Gone::NotDecided, 1)];
        assert_eq!(found.gone, BTreeMap::from(gone));
        assert_eq!(found.new, BTreeMap::from([(None, 1), (stopped, 1)]));
    }

    #[test]
    fn what_is_no_line_of_a_replay_is_named() {
        let mut good = Vec::new();
        super::super::write_line(&decision(1, 1, None, "{}"), &mut good).expect("memory takes it");
        for (bad, why) in [
            (&b"{}\n"[..], "missing field"),
            (b"at,customer\n", "expected value"),
            (b"\xff\n", "line 2 is no decision"),
        ] {
            let error = Against::read([&good, bad].concat().as_slice()).expect_err("it is bad");
            let told = error.to_string();
            assert!(told.starts_with("line 2 ") && told.contains(why), "{told}");
        }
    }
}
