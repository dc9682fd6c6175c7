//! Decisions as lines: one JSON object each, in the order of their time; one that something late
//! led to stands where it was decided.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use crate::engine::{Decision, Effect, Reason};
use crate::model::{MessageId, Text, Timestamp};

/// One decision as it is written. The names are stable: other tools read them.
#[derive(Debug, Serialize)]
struct Line<'a> {
    at: String,
    customer: &'a str,
    journey: &'a str,
    version: String,
    run: String,
    step: &'a str,
    channel: &'a str,
    template: &'a str,
    message: String,
    decision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

/// Holds decisions until nothing can change them, and gives them in order.
#[derive(Debug, Default)]
pub(super) struct Held {
    by_message: BTreeMap<MessageId, Decision>,
    order: BTreeMap<Place, MessageId>,
}

/// Where a decision's line stands: by when it was decided, when it is due, then by what it is.
/// What was decided later can't get before it, however the rows were cut into flushes.
type Place = (Timestamp, Timestamp, Text, Text, Text, u32, MessageId);

impl Held {
    /// Takes in what an effect says of a message; `overdue` says when messages were decided that
    /// were due before.
    pub(super) fn take(&mut self, effect: Effect, overdue: &BTreeMap<MessageId, Timestamp>) {
        match effect {
            Effect::Decide(decision) => {
                let key = (
                    overdue.get(&decision.message).copied().unwrap_or(decision.at),
                    decision.at,
                    decision.customer.clone(),
                    decision.journey.clone(),
                    decision.step.clone(),
                    decision.occurrence,
                    decision.message,
                );
                self.order.insert(key, decision.message);
                self.by_message.insert(decision.message, *decision);
            }
            Effect::Cancel { message, reason } => {
                if let Some(decision) = self.by_message.get_mut(&message) {
                    decision.withheld = Some(reason);
                }
            }
            Effect::Revise { message, data, .. } => {
                if let Some(decision) = self.by_message.get_mut(&message) {
                    decision.data = data;
                }
            }
            Effect::Outcome { .. }
            | Effect::Trace(_)
            | Effect::Consent(_)
            | Effect::HandOver { .. }
            | Effect::Forward { .. }
            | Effect::Erase => {}
        }
    }

    /// Gives the decisions that were due and decided before an instant, in order; all of them for
    /// `None`.
    pub(super) fn give(&mut self, before: Option<Timestamp>) -> Vec<Decision> {
        let mut given = Vec::new();
        while let Some(first) = self.order.first_entry() {
            if before.is_some_and(|before| first.key().0 >= before) {
                break;
            }
            let message = first.remove();
            given.extend(self.by_message.remove(&message));
        }
        given
    }
}

/// Writes a decision as one line.
///
/// # Errors
/// What the output says.
pub fn write_line(decision: &Decision, out: &mut dyn Write) -> std::io::Result<()> {
    let line = Line {
        at: decision.at.to_string(),
        customer: &decision.customer,
        journey: &decision.journey,
        version: decision.version.to_string(),
        run: decision.run.to_string(),
        step: &decision.step,
        channel: decision.channel.as_str(),
        template: &decision.template,
        message: decision.message.to_string(),
        decision: if decision.withheld.is_some() { "withheld" } else { "send" },
        reason: decision.withheld.map(Reason::as_str),
        expires: decision.expires.map(|at| at.to_string()),
    };
    let mut text = serde_json::to_string(&line)?;
    // The data is JSON already: it goes in as it is, as the last field.
    text.pop();
    text.push_str(",\"data\":");
    text.push_str(&decision.data);
    text.push_str("}\n");
    out.write_all(text.as_bytes())
}
