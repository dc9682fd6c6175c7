//! Sorting a checkpoint's message changes into new rows and changed ones.

use std::collections::BTreeMap;

use crate::engine::{Decision, Reason};
use crate::model::{CustomerId, EventName, MessageId};

use super::{DeliveryStatus, Error, MessageChange};

/// The message changes of one checkpoint. New rows go first: no message changes before it is
/// decided.
pub(super) struct Changes {
    /// Decisions, in order.
    pub(super) decided: Vec<(CustomerId, Decision)>,
    /// What changes of messages, those just decided among them.
    pub(super) updates: BTreeMap<MessageId, Update>,
}

/// All that a checkpoint changes of one message.
#[derive(Default)]
pub(super) struct Update {
    /// Cancelled; the first reason counts.
    pub(super) cancelled: Option<Reason>,
    /// The newest revision with its content.
    pub(super) revision: Option<(u32, String)>,
    /// The outcomes, the newest last.
    pub(super) outcomes: Vec<EventName>,
    /// How its delivery ended, by what delivery told the log.
    pub(super) ended: Option<DeliveryStatus>,
}

impl Update {
    /// Whether the message must be there. An outcome may name any message, since it comes from
    /// outside; what the engine changes it has decided.
    pub(super) const fn needs_message(&self) -> bool {
        self.cancelled.is_some() || self.revision.is_some()
    }

    /// What is in doubt may be resolved later, and stays so then.
    fn end_as(&mut self, status: Option<DeliveryStatus>) {
        if self.ended.is_none() || status != Some(DeliveryStatus::InDoubt) {
            self.ended = status.or(self.ended);
        }
    }
}

impl Changes {
    /// # Errors
    /// [`Error::DecidedTwice`] if the checkpoint itself holds a decision twice.
    pub(super) fn new(messages: Vec<(CustomerId, MessageChange)>) -> Result<Self, Error> {
        let mut changes = Self { decided: Vec::new(), updates: BTreeMap::new() };
        for (customer, change) in messages {
            match change {
                MessageChange::Decided(decision) => changes.decided.push((customer, *decision)),
                MessageChange::Cancelled(message, reason) => {
                    changes.updates.entry(message).or_default().cancelled.get_or_insert(reason);
                }
                MessageChange::Revised(message, revision, data) => {
                    changes.updates.entry(message).or_default().revision = Some((revision, data));
                }
                MessageChange::Outcome { message, outcome, ours } => {
                    let update = changes.updates.entry(message).or_default();
                    if ours {
                        update.end_as(DeliveryStatus::told_by(&outcome));
                    }
                    update.outcomes.push(outcome);
                }
            }
        }
        let mut ids: Vec<MessageId> =
            changes.decided.iter().map(|(_, decision)| decision.message).collect();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::DecidedTwice(pair[0])),
            None => Ok(changes),
        }
    }
}
