//! Holds a replay against the lines of another one: whose messages differ.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Read};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::{Decision, Reason};
use crate::model::{MessageId, Text, Timestamp, derive};

/// How many differing messages are named; the others are counted.
const NAMED_MAX: usize = 20;
/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// The decisions of an earlier replay, held against those of this one. All of them are kept in
/// memory, a few hundred bytes each.
#[derive(Debug, Default)]
pub struct Against {
    before: BTreeMap<MessageId, Known>,
    found: Differences,
    /// The first that differ, by time, customer and message.
    named: BTreeMap<(Timestamp, Text, MessageId), Difference>,
}

/// How two replays differ in the messages that would be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// By journey.
    pub journeys: BTreeMap<Text, Counts>,
    /// Customers with at least one message that differs.
    pub customers: BTreeSet<Text>,
    /// The first messages that differ, by time, then customer.
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
}

/// A decision of the earlier replay.
#[derive(Debug)]
struct Known {
    at: Timestamp,
    customer: Text,
    journey: Text,
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
            against.before.insert(message, known);
        }
        Ok(against)
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
        };
        self.count(decision.message, difference, same_content);
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
            };
            self.count(message, difference, false);
        }
        self.found.first = self.named.into_values().collect();
        self.found
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
        self.found.customers.insert(difference.customer.clone());
        let at = before.min(after).or(before).or(after).unwrap_or_default();
        self.named.insert((at, difference.customer.clone(), message), difference);
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
        after.iter().for_each(|decision| against.decision(decision));
        let found = against.differences();
        let counts = Counts { same: 1, moved: 1, changed: 1, gone: 2, new: 2 };
        assert_eq!(found.journeys[&Text::from("j")], counts);
        assert_eq!(found.customers.len(), 6);
        let named: Vec<&str> = found.first.iter().map(|one| one.customer.as_str()).collect();
        assert_eq!(named, ["c5", "c2", "c3", "c4", "c8", "c6"]);
        assert_eq!(found.first[0].after, None);
        assert_eq!(found.first[3].after, Some((Timestamp::from_ms(10_000), stopped)));
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
