//! Timers: when something is due next, and what happens then.
//!
//! - a run's own timer: its wait is over, its message is due, its address did not come;
//! - a run's second look at a message whose window delivery missed;
//! - an `absent` journey's time has come;
//! - an anonymous customer has been idle so long that nothing of it can matter any more.
//!
//! Of timers due at one instant the journey of higher priority comes first, then the lower run id.

use std::cmp::Reverse;

use crate::journey::{ActivePlan, Start};
use crate::model::{HOUR_MS, RunId, Timestamp};

use super::context::Context;
use super::message::Cause;
use super::state::CustomerState;
use super::{Delivery, Effect, Engine, forget};

/// One timer of a customer.
#[derive(Clone, Copy)]
enum Timer<'a> {
    Run(usize),
    Redo(usize, usize),
    Absent(&'a ActivePlan),
    Forget,
}

/// How long timers wait for a state that is handed over, in milliseconds. It is on its way for
/// seconds; where it never arrives, the customer goes on without it.
pub(super) const HANDOVER_WAIT_MS: i64 = HOUR_MS;

type Rank = (Timestamp, Reverse<u8>, RunId);

/// When a timer fires that is due at an instant: a state that is on its way from before that may
/// hold the purchase, or the consent, that decides it.
fn held(state: &CustomerState, due: Timestamp) -> Timestamp {
    let since = state.awaited.iter().map(|(_, since)| *since).filter(|since| *since <= due).min();
    since.map_or(due, |since| due.max(since.plus_ms(HANDOVER_WAIT_MS)))
}

impl Engine {
    /// When something is due next for the customer; `None` if nothing ever is.
    #[must_use]
    pub fn next_due(&self, state: &CustomerState) -> Option<Timestamp> {
        self.first_timer(state).map(|((due, _, _), _)| held(state, due))
    }

    /// Fires the first timer that is due at or before `now`; `false` if there is none.
    ///
    /// A timer that is overdue because its event came late is decided at its own due time, with
    /// what is known at `now`.
    pub fn fire(
        &self,
        state: &mut CustomerState,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(((due, _, _), timer)) = self.first_timer(state) else { return false };
        if held(state, due) > now {
            return false;
        }
        self.settle_open_messages(state, now, Cause::AfterAll);
        match timer {
            Timer::Run(place) => self.run_due(state, place, now, effects),
            Timer::Redo(place, redo) => self.redo_due(state, place, redo, effects),
            Timer::Absent(active) => {
                self.mark_absent(state, active);
                self.start_absent(state, active, due, now, effects);
            }
            Timer::Forget => *state = CustomerState::new(state.id),
        }
        self.tidy(state, now);
        true
    }

    fn first_timer<'a>(&'a self, state: &CustomerState) -> Option<(Rank, Timer<'a>)> {
        if state.pointer.is_some() {
            return None;
        }
        let runs = state.runs.iter().enumerate().flat_map(|(place, run)| {
            let priority = Reverse(self.priority(run));
            let own = run
                .at
                .as_ref()
                .map(|standing| ((standing.due, priority, run.id), Timer::Run(place)));
            let redos =
                run.redo.iter().enumerate().map(move |(redo, (_, due))| {
                    ((*due, priority, run.id), Timer::Redo(place, redo))
                });
            own.into_iter().chain(redos)
        });
        let absents = self.catalog.absent().filter_map(|active| {
            let due = self.absent_due(state, active)?;
            Some(((due, Reverse(active.plan.priority), RunId(0)), Timer::Absent(active)))
        });
        let forget = forget::due(state, self.options.delivery == Delivery::Live)
            .map(|due| ((due, Reverse(0), RunId(0)), Timer::Forget));
        runs.chain(absents).chain(forget).min_by_key(|(rank, _)| *rank)
    }

    fn priority(&self, run: &super::Run) -> u8 {
        self.catalog.plan(&run.journey, run.version).map_or(0, |plan| plan.priority)
    }

    /// When an `absent` journey is due for the customer, if it is.
    fn absent_due(&self, state: &CustomerState, active: &ActivePlan) -> Option<Timestamp> {
        let Start::Absent { event, delay, .. } = &active.plan.start else { return None };
        let last = state.last(event)?;
        let done = state
            .absent_done
            .iter()
            .any(|(journey, at)| *journey == active.plan.name && *at >= last);
        if done {
            return None;
        }
        let zone = Context {
            state,
            rules: &self.catalog.rules,
            cart: None,
            event: None,
            run: None,
            now: last,
        }
        .zone();
        let due = last.plus(*delay, &zone);
        // Activation starts nobody who is already inside the condition.
        active.since.is_none_or(|since| due >= since).then_some(due)
    }

    fn mark_absent(&self, state: &mut CustomerState, active: &ActivePlan) {
        let Start::Absent { event, .. } = &active.plan.start else { return };
        let Some(last) = state.last(event) else { return };
        let name = &active.plan.name;
        match state.absent_done.iter_mut().find(|(journey, _)| journey == name) {
            Some((_, at)) => *at = last,
            None => state.absent_done.push((name.clone(), last)),
        }
    }
}
