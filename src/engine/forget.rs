//! What is let go of: ended runs, old marks, idle strangers, erased people.

use crate::model::{DAY_MS, Timestamp};

use super::state::{CustomerState, MERGES_MAX, SENT_MARK_MS, SUPPRESSED_MAX};
use super::timers::HANDOVER_WAIT_MS;
use super::{Effect, Engine, Reason, Run, TraceKind, trace_customer};

/// A device without a person is forgotten after so long, in milliseconds: after that a cookie
/// that comes back is a fresh customer.
const FORGET_MS: i64 = 30 * DAY_MS;

/// When a customer of whom nothing lasting is known is forgotten. `sends` says whether messages
/// that have not started wait for something.
pub(super) fn due(state: &CustomerState, sends: bool) -> Option<Timestamp> {
    if let Some(erased) = state.erased_at {
        return Some(erased.plus_ms(FORGET_MS));
    }
    let under_way =
        |run: &Run| run.is_active() || !run.redo.is_empty() || (sends && !run.open.is_empty());
    let lasting = state.known
        || state.last_seen == Timestamp::MIN
        || state.orders.count > 0
        || !state.consents.is_empty()
        || !state.merges.is_empty()
        || !state.awaited.is_empty()
        || state.runs.iter().any(under_way);
    let goals = state.runs.iter().filter_map(|run| run.goal_until).max();
    let idle = state.last_seen.plus_ms(FORGET_MS);
    (!lasting).then(|| goals.map_or(idle, |goal| idle.max(goal.plus_ms(1))))
}

impl Engine {
    /// Lets go of what can't matter any more at `now`.
    pub(super) fn tidy(&self, state: &mut CustomerState, now: Timestamp) {
        state.runs.retain(|run| !run.is_over() || run.goal_until.is_some_and(|until| until >= now));
        state.seen.expire(now);
        state.lighten();
        let excess = state.suppressed.len().saturating_sub(SUPPRESSED_MAX);
        state.suppressed.drain(..excess);
        let excess = state.merges.len().saturating_sub(MERGES_MAX);
        state.merges.drain(..excess);
        state.awaited.retain(|(_, since)| now.since_ms(*since) < HANDOVER_WAIT_MS);
        if state.sent.first().is_some_and(|mark| now.since_ms(mark.at) > SENT_MARK_MS) {
            state.sent.retain(|mark| now.since_ms(mark.at) <= SENT_MARK_MS);
        }
    }

    /// Erases the customer: messages are taken back, and of the state only a mark stays for a while,
    /// so that what was under way can't build it again. A later sign-up is a new customer.
    pub(super) fn erase(
        &self,
        state: &mut CustomerState,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        for run in &mut state.runs {
            for open in run.open.drain(..) {
                effects.push(Effect::Cancel { message: open.id, reason: Reason::Erased });
            }
        }
        *state = CustomerState::new(state.id);
        state.erased_at = Some(now);
        effects.push(Effect::Erase);
        trace_customer(effects, now, TraceKind::Erased, None);
    }
}

impl CustomerState {
    /// Whether nothing is kept of the customer, so that the row can go.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.pointer.is_none()
            && self.erased_at.is_none()
            && self.last_seen == Timestamp::MIN
            && !self.known
            && self.runs.is_empty()
            && self.merges.is_empty()
            && self.awaited.is_empty()
    }
}
