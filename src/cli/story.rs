//! What happened to a customer, in plain words.

use crate::engine::{Decision, Reason, Trace, TraceKind};
use crate::model::Timestamp;

/// One line of a customer's story.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    pub at: Timestamp,
    /// Tells lines of one instant apart, in the order of happening.
    pub place: usize,
    pub journey: Option<String>,
    pub words: String,
}

impl Line {
    /// A trace entry; `None` for one that tells a reader nothing.
    pub(super) fn of_trace(trace: &Trace, place: usize) -> Self {
        let detail = trace.detail.as_deref().unwrap_or("an event");
        let because = trace.reason.map(because).unwrap_or_default();
        let words = match trace.kind {
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
            TraceKind::Ended => "comes to its end".to_owned(),
            TraceKind::GoalReached => "reaches its goal".to_owned(),
            TraceKind::Late => format!("{detail} became known late"),
            TraceKind::Duplicate => {
                format!("{detail} came a second time and was not applied again")
            }
            TraceKind::Merged => format!("becomes one with customer {detail}"),
            TraceKind::CartMoved => format!("cart {detail} now belongs to another customer"),
            TraceKind::Erased => "is erased".to_owned(),
            TraceKind::Outcome => format!("hears of {detail}"),
        };
        let journey = trace.journey.as_ref().map(|(journey, _)| journey.to_string());
        Self { at: trace.at, place, journey, words }
    }

    /// A decision, with why it was taken.
    pub(super) fn of_decision(
        decision: &Decision,
        cancelled: Option<Reason>,
        place: usize,
    ) -> Self {
        let what = format!("{} {}", decision.channel.as_str(), decision.template);
        let words = match (decision.withheld, cancelled) {
            (Some(reason), _) => format!("withholds {what}: {}", because(reason)),
            (None, Some(reason)) => {
                format!("decided to send {what}, then took it back: {}", because(reason))
            }
            (None, None) => {
                let expiry = decision.expires.map(|at| format!(", not after {at}"));
                format!(
                    "sends {what}: it was due, nothing had stopped the journey, and the customer may be contacted{}",
                    expiry.unwrap_or_default()
                )
            }
        };
        Self { at: decision.at, place, journey: Some(decision.journey.to_string()), words }
    }

    /// The line as it is shown.
    pub(super) fn shown(&self) -> String {
        match &self.journey {
            Some(journey) => format!("{}  {journey} {}", self.at, self.words),
            None => format!("{}  {}", self.at, self.words),
        }
    }
}

/// A reason as the end of a sentence.
fn because(reason: Reason) -> String {
    let meaning = reason.meaning().trim_end_matches('.');
    let mut letters = meaning.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
