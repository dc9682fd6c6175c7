//! One partition over a lane that keeps nothing, and what came of it.

use std::collections::BTreeMap;

use waypost::engine::{CustomerState, Decision, Effect, Reason};
use waypost::lane::{Lane, Merges, NoStore};
use waypost::log::Record;
use waypost::model::{CustomerId, EventName, MessageId};

use crate::support::block_on;

use super::world::World;

/// A lane that is fed record by record.
pub(super) struct Replay {
    pub lane: Lane<NoStore>,
    next: u64,
}

impl Replay {
    pub(super) fn start(world: &World, merges: Merges) -> Self {
        let lane = Lane::take(NoStore, 0, 1, world.timeline(), merges);
        Self { lane: block_on(lane).expect("a lane"), next: 0 }
    }

    pub(super) fn push(&mut self, record: Record) {
        block_on(self.lane.push(self.next, record)).expect("a record");
        self.next += 1;
    }

    /// Applies what was pushed, and says what came of it.
    pub(super) fn flush(&mut self) -> Vec<(CustomerId, Effect)> {
        block_on(self.lane.flush()).expect("a flush");
        self.lane.take_output().effects
    }
}

/// What came of a log.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Told {
    /// By customer, in the order of happening.
    pub effects: BTreeMap<CustomerId, Vec<Effect>>,
    /// The states at the end.
    pub states: BTreeMap<CustomerId, CustomerState>,
}

/// Replays these records, with a flush after those for which `flushes` says so.
pub(super) fn replay(
    world: &World,
    records: &[Record],
    merges: Merges,
    flushes: impl Fn(usize) -> bool,
) -> Told {
    let mut replay = Replay::start(world, merges);
    let mut told = Told::default();
    for (place, record) in records.iter().enumerate() {
        replay.push(record.clone());
        if flushes(place) {
            told.take(replay.flush());
        }
    }
    told.take(replay.flush());
    told.end(replay.lane.take_states());
    told
}

impl Told {
    pub(super) fn take(&mut self, effects: Vec<(CustomerId, Effect)>) {
        for (customer, effect) in effects {
            self.effects.entry(customer).or_default().push(effect);
        }
    }

    pub(super) fn end(&mut self, states: Vec<CustomerState>) {
        let kept = states.into_iter().filter(|state| !state.is_blank());
        self.states.extend(kept.map(|state| (state.id, state)));
    }

    /// What became of each message.
    pub(super) fn messages(&self) -> BTreeMap<MessageId, Fate> {
        let mut messages = BTreeMap::new();
        let all =
            || self.effects.iter().flat_map(|(id, effects)| effects.iter().map(move |e| (*id, e)));
        for (customer, effect) in all() {
            if let Effect::Decide(decision) = effect {
                let message = Fate {
                    customer,
                    decision: (**decision).clone(),
                    cancelled: None,
                    revision: 1,
                    outcomes: Vec::new(),
                };
                let twice = messages.insert(decision.message, message);
                assert!(twice.is_none(), "message {} was decided twice", decision.message);
            }
        }
        for (_, effect) in all() {
            match effect {
                Effect::Cancel { message, reason } => {
                    let known = messages.get_mut(message).expect("a cancelled message was decided");
                    assert_eq!(known.decision.withheld, None, "a withheld message was cancelled");
                    known.cancelled.get_or_insert(*reason);
                }
                Effect::Revise { message, revision, data } => {
                    let known = messages.get_mut(message).expect("a revised message was decided");
                    if known.revision < *revision {
                        known.revision = *revision;
                        known.decision.data.clone_from(data);
                    }
                }
                Effect::Outcome { message, outcome, .. } => {
                    if let Some(known) = messages.get_mut(message) {
                        known.outcomes.push(outcome.clone());
                    }
                }
                _ => {}
            }
        }
        messages
    }
}

/// A message, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fate {
    pub customer: CustomerId,
    pub decision: Decision,
    pub cancelled: Option<Reason>,
    pub revision: u32,
    pub outcomes: Vec<EventName>,
}

impl Fate {
    /// Whether it is sent in the end, as far as the log tells.
    pub(super) fn is_sent(&self) -> bool {
        let not_sent = |name: &EventName| {
            let name = name.as_str();
            ["bounced", "expired", "failed", "missed_window", "cancelled"]
                .iter()
                .any(|end| name.ends_with(end))
        };
        self.decision.withheld.is_none()
            && self.cancelled.is_none()
            && !self.outcomes.iter().any(not_sent)
    }
}
