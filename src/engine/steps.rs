//! Moves a run from step to step until it waits or is over.

use crate::journey::{Class, NodeIx, Plan, Step};
use crate::model::{MessageChannel, Text, Timestamp};

use super::context::Context;
use super::experiment::variant_of;
use super::message::window_at;
use super::outcome::is_outcome;
use super::run::{Standing, Waiting};
use super::state::CustomerState;
use super::{Delivery, Effect, Engine, Reason, Trace, TraceKind, trace_of, trace_run};

/// The most steps a run moves at one instant; plans have no loops, so none needs more than it has.
const MOVES_MAX: usize = 512;

/// What became of a step.
enum Move {
    /// It is done: on to the next one.
    To(NodeIx),
    /// It waits until then.
    Until(Timestamp),
    /// The run was ended meanwhile.
    Over,
}

/// A message step of a plan.
#[derive(Clone, Copy)]
pub(super) struct MessageStep<'a> {
    pub node: NodeIx,
    pub id: &'a Text,
    pub channel: MessageChannel,
    pub template: &'a Text,
    pub class: Class,
    pub next: NodeIx,
}

impl<'a> MessageStep<'a> {
    /// The message step at a node; `None` if another kind of step is there.
    pub(super) fn at(plan: &'a Plan, node: NodeIx) -> Option<Self> {
        let entered = plan.nodes.get(node as usize)?;
        let Step::Message { channel, template, class, next, .. } = &entered.step else {
            return None;
        };
        let (channel, class, next) = (*channel, *class, *next);
        Some(Self { node, id: &entered.id, channel, template, class, next })
    }
}

impl Engine {
    /// Enters a node at an instant and goes on from there.
    ///
    /// The instant may have passed already where an event came late: waits count from it.
    pub(super) fn enter(
        &self,
        state: &mut CustomerState,
        place: usize,
        node: NodeIx,
        at: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let Some(plan) = self.plan_of(&state.runs[place]) else { return };
        let mut next = node;
        for _ in 0..MOVES_MAX {
            let held_up = state.runs[place]
                .at
                .as_ref()
                .filter(|standing| standing.node == next && standing.waiting == Waiting::Room);
            let entered = held_up.map_or(at, |standing| standing.entered);
            let standing = Standing { node: next, entered, due: at, waiting: Waiting::Node };
            state.runs[place].at = Some(standing);
            match self.enter_node(state, place, &plan, next, at, effects) {
                Move::To(node) => next = node,
                Move::Until(due) => {
                    if let Some(standing) = &mut state.runs[place].at {
                        standing.due = due;
                    }
                    return;
                }
                Move::Over => return,
            }
        }
    }

    fn enter_node(
        &self,
        state: &mut CustomerState,
        place: usize,
        plan: &Plan,
        node: NodeIx,
        at: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Move {
        let Some(entered) = plan.nodes.get(node as usize) else {
            self.end_run(state, place, at, Reason::Finished, None, effects);
            return Move::Over;
        };
        let run = &state.runs[place];
        let context = Context::of_run(state, &self.catalog.rules, run, at);
        match &entered.step {
            Step::Wait { delay, .. } => Move::Until(at.plus(*delay, &context.zone())),
            Step::WaitQuiet { delay, at_most, .. } => {
                let zone = context.zone();
                let quiet = at.plus(*delay, &zone);
                Move::Until(at_most.map_or(quiet, |most| quiet.min(at.plus(most, &zone))))
            }
            Step::WaitFor { at_most, .. } => Move::Until(at.plus(*at_most, &context.zone())),
            Step::WaitUntil { moment, next } => {
                context.until(moment).map_or(Move::To(*next), Move::Until)
            }
            Step::Experiment { variants } => {
                match variant_of(&plan.name, &entered.id, variants, state.id) {
                    Some(variant) => {
                        effects.push(Effect::Trace(Box::new(Trace {
                            step: Some(entered.id.clone()),
                            detail: Some(variant.name.clone()),
                            ..trace_of(run, at, TraceKind::Decided)
                        })));
                        Move::To(variant.first)
                    }
                    None => Move::Over,
                }
            }
            Step::FirstOf { messages } => {
                let window = window_at(&context, plan);
                match window.filter(|(opens, _)| *opens > at) {
                    Some((opens, _)) => Move::Until(opens),
                    None => self.first_of(&context, plan, messages).map_or(Move::Over, Move::To),
                }
            }
            Step::If { condition, then, otherwise } => {
                let outcome = condition.test(&context);
                let detail = match &outcome {
                    Ok(holds) => format!("{}: {holds}", condition.source()),
                    Err(error) => format!("{}: {error}", condition.source()),
                };
                let reason = outcome.is_err().then_some(Reason::ExpressionFailed);
                effects.push(Effect::Trace(Box::new(Trace {
                    step: Some(entered.id.clone()),
                    reason,
                    detail: Some(Text::from(detail)),
                    ..trace_of(run, at, TraceKind::Decided)
                })));
                Move::To(if outcome == Ok(true) { *then } else { *otherwise })
            }
            Step::Message { .. } => match MessageStep::at(plan, node) {
                Some(step) => self.enter_message(state, place, plan, step, at, effects),
                None => Move::Over,
            },
            Step::End => {
                self.end_run(state, place, at, Reason::Finished, None, effects);
                Move::Over
            }
        }
    }

    /// A message that its window or an address holds up waits as a timer; else it is decided.
    fn enter_message(
        &self,
        state: &mut CustomerState,
        place: usize,
        plan: &Plan,
        step: MessageStep<'_>,
        at: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Move {
        match self.message(state, place, plan, step, at, effects) {
            super::message::Verdict::Done => Move::To(step.next),
            super::message::Verdict::Later(due, waiting) => {
                let run = &mut state.runs[place];
                let held_up = run.at.as_ref().filter(|_| waiting == Waiting::Room);
                let entered = held_up.map_or(at, |standing| standing.entered);
                run.at = Some(Standing { node: step.node, entered, due, waiting });
                Move::Over
            }
            super::message::Verdict::Ended => Move::Over,
        }
    }

    /// The timer of a run fires at its due time.
    pub(super) fn run_due(
        &self,
        state: &mut CustomerState,
        place: usize,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let run = &state.runs[place];
        let (Some(standing), Some(plan)) = (run.at.clone(), self.plan_of(run)) else {
            self.end_run(state, place, now, Reason::Finished, None, effects);
            return;
        };
        let due = standing.due;
        let Some(node) = plan.nodes.get(standing.node as usize) else {
            self.end_run(state, place, now, Reason::Finished, None, effects);
            return;
        };
        match &node.step {
            Step::Wait { and_quiet, next, .. } => {
                let zone = Context::of_run(state, &self.catalog.rules, run, due).zone();
                let busy = and_quiet
                    .and_then(|quiet| Some(state.last_active?.plus(quiet, &zone)))
                    .filter(|until| *until > due);
                match busy {
                    Some(until) => {
                        if let Some(standing) = &mut state.runs[place].at {
                            standing.due = until;
                        }
                    }
                    None => self.enter(state, place, *next, due, effects),
                }
            }
            Step::WaitQuiet { next, .. } => {
                state.runs[place].quiet = Some(standing.node);
                self.enter(state, place, *next, due, effects);
            }
            Step::WaitFor { rule, otherwise, .. } => {
                // Nobody opens a mail that is not sent: whether they would have is not known.
                let in_vain = self.options.delivery == Delivery::Assumed && run.sent > 0;
                if in_vain && is_outcome(&rule.event) {
                    let detail = Some(Text::from(rule.event.as_str()));
                    trace_run(effects, run, due, TraceKind::Unknowable, None, detail);
                }
                self.enter(state, place, *otherwise, due, effects);
            }
            Step::Message { channel, next, .. }
                if standing.waiting == Waiting::Address && state.address(*channel).is_none() =>
            {
                let next = *next;
                let context = Context::of_run(state, &self.catalog.rules, run, due);
                let holds = plan.only_while.as_ref().map(|condition| condition.test(&context));
                if !matches!(holds, None | Some(Ok(true))) {
                    self.end_run(state, place, due, Reason::OnlyWhile, None, effects);
                    return;
                }
                self.withhold(state, place, &plan, standing.node, due, Reason::NoAddress, effects);
                self.enter(state, place, next, due, effects);
            }
            Step::WaitUntil { next, .. } => self.enter(state, place, *next, due, effects),
            Step::Message { .. }
            | Step::If { .. }
            | Step::Experiment { .. }
            | Step::FirstOf { .. }
            | Step::End => {
                self.enter(state, place, standing.node, due, effects);
            }
        }
    }
}
