//! What a replay came to, in numbers.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{Decision, Effect, Reason, TraceKind};
use crate::model::{RunId, Text, Timestamp};

use super::DeadLetter;

/// The most dead letters kept whole; the others are counted.
const DEAD_LETTERS_KEPT: usize = 1_000;

/// What a replay came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Times of the first and the last event, without history.
    pub period: Option<(Timestamp, Timestamp)>,
    /// Events applied.
    pub events: u64,
    /// Of these, late ones.
    pub late: u64,
    /// Second events of one id.
    pub duplicates: u64,
    /// Customers that are known at the end.
    pub customers: u64,
    /// Of these, those who may be sent a marketing mail.
    pub may_be_mailed: u64,
    /// Whether any consent was seen.
    pub consent_seen: bool,
    /// Events of erased people that were dropped.
    pub dropped: u64,
    /// How many rows could not become an event.
    pub dead: u64,
    /// The first of them.
    pub dead_letters: Vec<DeadLetter>,
    /// What came of each journey.
    pub journeys: BTreeMap<Text, Funnel>,
}

/// What came of one journey.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Funnel {
    /// Runs started.
    pub started: u64,
    /// Starts that were refused, by reason; `too_many` each, other reasons once in a row for a customer.
    pub not_started: BTreeMap<Reason, u64>,
    /// Runs that came to their end.
    pub ended: u64,
    /// Runs stopped on the way, by reason.
    pub stopped: BTreeMap<Reason, u64>,
    /// Runs that reached the goal.
    pub goals: u64,
    /// Of these, those that had begun to send a message before.
    pub goals_after_message: u64,
    /// Runs that waited in vain for replies to messages that are not sent: what followed is not known.
    pub unknowable: BTreeSet<RunId>,
    /// Messages by step.
    pub steps: BTreeMap<Text, Messages>,
}

/// Messages of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// To be sent.
    pub send: u64,
    /// Withheld, by reason.
    pub withheld: BTreeMap<Reason, u64>,
}

impl Summary {
    pub(super) fn dead_letter(&mut self, dead: DeadLetter) {
        self.dead += 1;
        if self.dead_letters.len() < DEAD_LETTERS_KEPT {
            self.dead_letters.push(dead);
        }
    }

    /// Counts what an effect says of runs; decisions are counted once they stand.
    pub(super) fn effect(&mut self, effect: &Effect) {
        let Effect::Trace(trace) = effect else { return };
        if trace.kind == TraceKind::Duplicate {
            self.duplicates += 1;
        }
        let Some((journey, _)) = &trace.journey else { return };
        let funnel = self.journeys.entry(journey.clone()).or_default();
        let count = |by: &mut BTreeMap<Reason, u64>| {
            if let Some(reason) = trace.reason {
                *by.entry(reason).or_default() += 1;
            }
        };
        match trace.kind {
            TraceKind::Started => funnel.started += 1,
            TraceKind::NotStarted => count(&mut funnel.not_started),
            TraceKind::Stopped => count(&mut funnel.stopped),
            TraceKind::Ended => funnel.ended += 1,
            TraceKind::GoalReached => {
                funnel.goals += 1;
                funnel.goals_after_message += u64::from(trace.detail.is_some());
            }
            TraceKind::Cancelled
            | TraceKind::Waits
            | TraceKind::Decided
            | TraceKind::Late
            | TraceKind::Duplicate
            | TraceKind::Merged
            | TraceKind::CartMoved
            | TraceKind::Erased
            | TraceKind::Outcome
            | TraceKind::Overtaken => {}
            TraceKind::Unknowable => funnel.unknowable.extend(trace.run),
        }
    }

    /// Counts a decision that stands.
    pub(super) fn decision(&mut self, decision: &Decision) {
        let funnel = self.journeys.entry(decision.journey.clone()).or_default();
        let messages = funnel.steps.entry(decision.step.clone()).or_default();
        match decision.withheld {
            None => messages.send += 1,
            Some(reason) => *messages.withheld.entry(reason).or_default() += 1,
        }
    }

    /// The line that says whom mails may reach, such as
    /// `may be mailed: 0 of 8,214, no consent source`.
    #[must_use]
    pub fn reach(&self) -> String {
        reach(self.may_be_mailed, self.customers, self.consent_seen)
    }
}

/// The line that says whom mails may reach.
#[must_use]
pub fn reach(may_be_mailed: u64, customers: u64, consent_seen: bool) -> String {
    let source = if consent_seen { "" } else { ", no consent source" };
    format!("may be mailed: {} of {}{source}", grouped(may_be_mailed), grouped(customers))
}

/// A number with commas between thousands.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
