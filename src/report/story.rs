//! What happened to a customer, in plain words.

use crate::engine::{Decision, Reason, Trace, TraceKind};
use crate::model::Timestamp;
use crate::store::{DeliveryRow, DeliveryStatus};

/// One line of a customer's story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// What sort of thing it tells of.
    pub kind: Kind,
    /// The journey that does what the words say; without one it is the customer.
    pub journey: Option<String>,
    /// What happened, to stand after the journey's name.
    pub words: String,
}

/// What sort of thing a line tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A run started.
    Started,
    /// A message is to be sent.
    Sent,
    /// A message is withheld, or was taken back.
    Withheld,
    /// A run was stopped.
    Stopped,
    /// A run gave way to another journey.
    GaveWay,
    /// A run reached its goal.
    Goal,
    /// The customer became one with another.
    Merged,
    /// Anything else.
    Other,
}

/// A customer's story in the order of happening. A decision comes with why it was taken back, if
/// it was.
#[must_use]
pub fn story(traces: &[Trace], decisions: &[(Decision, Option<Reason>)]) -> Vec<Line> {
    // At one instant a message comes before the end of its run, and after everything else.
    let place = |decision: &Decision| {
        let of_run = |trace: &Trace| {
            let ends =
                matches!(trace.kind, TraceKind::Ended | TraceKind::Stopped | TraceKind::Cancelled);
            ends && trace.run == Some(decision.run) && trace.at == decision.at
        };
        2 * traces.iter().position(of_run).unwrap_or(traces.len())
    };
    let told = traces.iter().enumerate().map(|(place, trace)| {
        let late = (trace.kind == TraceKind::Late).then_some(trace.at);
        ((trace.at, 2 * place + 1), late, Line::of_trace(trace))
    });
    let decided = decisions.iter().map(|(decision, cancelled)| {
        ((decision.at, place(decision)), None, Line::of_decision(decision, *cancelled))
    });
    let mut all: Vec<_> = told.chain(decided).collect();
    all.sort_by_key(|(key, ..)| *key);
    let mut lines: Vec<Line> = Vec::new();
    let mut late_in_a_row = 0_u32;
    for (_, late, line) in all {
        late_in_a_row = if late.is_some() { late_in_a_row + 1 } else { 0 };
        match (late, lines.last_mut().filter(|_| late_in_a_row > 1)) {
            (Some(until), Some(last)) => {
                last.words = format!("{late_in_a_row} events up to {until} became known late");
            }
            _ => lines.push(line),
        }
    }
    lines
}

impl Line {
    fn of_trace(trace: &Trace) -> Self {
        let detail = trace.detail.as_deref().unwrap_or("an event");
        let because = trace.reason.map_or_else(String::new, because);
        let words = match trace.kind {
            TraceKind::Started if trace.reason == Some(Reason::Holdout) => {
                format!("starts in the holdout, because of {detail}")
            }
            TraceKind::Started => format!("starts, because of {detail}"),
            TraceKind::NotStarted => format!("does not start: {because}"),
            TraceKind::Cancelled => {
                format!("takes back the message of step {detail}: {because}")
            }
            TraceKind::Waits => {
                let step = trace.step.as_deref().unwrap_or("a message");
                format!("step {step} waits: {because}")
            }
            TraceKind::Decided => {
                let step = trace.step.as_deref().unwrap_or("if");
                format!("step {step} asks whether {detail}")
            }
            TraceKind::Stopped => match trace.reason {
                Some(Reason::Stopped) => format!("is stopped by {detail}"),
                Some(Reason::GaveWay) => format!("gives way to {detail}"),
                _ => format!("ends: {because}"),
            },
            TraceKind::Overtaken => {
                format!("had sent a message when {detail} became known, which happened before it")
            }
            TraceKind::Ended => "comes to its end".to_owned(),
            TraceKind::GoalReached => match trace.detail.as_deref() {
                None => "reaches its goal without a message".to_owned(),
                Some("1") => "reaches its goal after a message".to_owned(),
                Some(count) => format!("reaches its goal after {count} messages"),
            },
            TraceKind::Late => format!("{detail} became known late"),
            TraceKind::Duplicate => {
                format!("{detail} came a second time and was not applied again")
            }
            TraceKind::Merged => format!("becomes one with customer {detail}"),
            TraceKind::CartMoved => format!("cart {detail} now belongs to another customer"),
            TraceKind::Erased => "is erased".to_owned(),
            TraceKind::Outcome => format!("hears of {detail}"),
            TraceKind::Unknowable => {
                format!(
                    "has waited for {detail} of a message that was never sent: what follows is not known"
                )
            }
        };
        let kind = match trace.kind {
            TraceKind::Started => Kind::Started,
            TraceKind::Stopped if trace.reason == Some(Reason::GaveWay) => Kind::GaveWay,
            TraceKind::Stopped => Kind::Stopped,
            TraceKind::GoalReached => Kind::Goal,
            TraceKind::Merged => Kind::Merged,
            TraceKind::Cancelled => Kind::Withheld,
            TraceKind::NotStarted
            | TraceKind::Waits
            | TraceKind::Decided
            | TraceKind::Ended
            | TraceKind::Late
            | TraceKind::Duplicate
            | TraceKind::CartMoved
            | TraceKind::Erased
            | TraceKind::Outcome
            | TraceKind::Overtaken
            | TraceKind::Unknowable => Kind::Other,
        };
        let journey = trace.journey.as_ref().map(|(journey, _)| journey.to_string());
        Self { at: trace.at, kind, journey, words }
    }

    fn of_decision(decision: &Decision, cancelled: Option<Reason>) -> Self {
        let what = format!("{} {}", decision.channel.as_str(), decision.template);
        let words = match (decision.withheld, cancelled) {
            (Some(reason), _) => format!("withholds {what}: {}", because(reason)),
            (None, Some(reason)) => {
                format!("decided to send {what}, then took it back: {}", because(reason))
            }
            (None, None) => {
                let expiry = decision.expires.map(|at| format!(", not after {at}"));
                format!(
                    "decides to send {what}: it is due, nothing has stopped the journey, and the customer may be contacted{}",
                    expiry.unwrap_or_default()
                )
            }
        };
        let sent = decision.withheld.is_none() && cancelled.is_none();
        let kind = if sent { Kind::Sent } else { Kind::Withheld };
        Self { at: decision.at, kind, journey: Some(decision.journey.to_string()), words }
    }

    /// Why a message that was to be sent did not go, or has not gone yet; nothing where there is
    /// no more to tell.
    #[must_use]
    pub fn of_delivery(decision: &Decision, delivery: &DeliveryRow) -> Option<Self> {
        use DeliveryStatus::{
            Cancelled, Claimed, DotSent, Expired, InDoubt, MissedWindow, Refused, Sent, Started,
            Waiting,
        };
        let why = delivery.detail.as_deref()?;
        let what = format!("{} {}", decision.channel.as_str(), decision.template);
        let words = match delivery.status {
            Sent | Claimed | Started | DotSent => return None,
            Waiting => {
                let next = delivery.try_after.map(|at| format!(" and is tried again after {at}"));
                format!("{what} did not go{}: {why}", next.unwrap_or_default())
            }
            Refused => format!("{what} could not be sent: {why}"),
            Expired | MissedWindow | Cancelled => format!("{what} was not sent: {why}"),
            InDoubt => format!("{what} may have been sent or not: {why}"),
        };
        let journey = Some(decision.journey.to_string());
        Some(Self { at: delivery.changed, kind: Kind::Withheld, journey, words })
    }

    /// The line as text: when, which journey, what.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.journey {
            Some(journey) => format!("{}  {journey} {}", self.at, self.words),
            None => format!("{}  {}", self.at, self.words),
        }
    }
}

/// What a reason means, to stand after a colon.
fn because(reason: Reason) -> String {
    let meaning = reason.meaning().trim_end_matches('.');
    let mut letters = meaning.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journey::{Class, Version};
    use crate::model::{MessageChannel, MessageId, RunId};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_ms(second * 1_000)
    }

    fn trace(second: i64, kind: TraceKind, run: Option<u128>, detail: &str) -> Trace {
        Trace {
            at: at(second),
            kind,
            journey: run.map(|_| ("j".into(), Version(1))),
            run: run.map(RunId),
            step: None,
            reason: None,
            detail: Some(detail.into()),
        }
    }

    #[test]
    fn a_story_is_told_in_the_order_of_happening() {
        let decision = Decision {
            message: MessageId(1),
            customer: "ann".into(),
            journey: "j".into(),
            version: Version(1),
            run: RunId(1),
            step: "first".into(),
            occurrence: 0,
            channel: MessageChannel::Email,
            template: "t".into(),
            topic: None,
            class: Class::Marketing,
            at: at(60),
            settle_ms: 0,
            expires: None,
            window_end: None,
            withheld: Some(Reason::NoAddress),
            data: String::new(),
        };
        let traces = [
            trace(1, TraceKind::Late, None, "page.viewed"),
            trace(2, TraceKind::Late, None, "page.viewed"),
            trace(3, TraceKind::Started, Some(1), "cart.changed"),
            trace(60, TraceKind::Ended, Some(1), ""),
            trace(61, TraceKind::Late, None, "order.placed"),
        ];
        let lines: Vec<String> =
            story(&traces, &[(decision, None)]).iter().map(Line::shown).collect();
        assert_eq!(
            lines,
            [
                "1970-01-01T00:00:01Z  2 events up to 1970-01-01T00:00:02Z became known late",
                "1970-01-01T00:00:03Z  j starts, because of cart.changed",
                "1970-01-01T00:01:00Z  j withholds email t: no address is known for the channel",
                "1970-01-01T00:01:00Z  j comes to its end",
                "1970-01-01T00:01:01Z  order.placed became known late",
            ]
        );
    }
}
