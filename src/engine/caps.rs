//! Limits over all journeys: sliding windows over decided marketing messages.

use crate::journey::{Cap, Class, OnCap, Plan, Step};
use crate::model::{MINUTE_MS, MessageChannel, Text, Timestamp};

use super::context::Context;
use super::experiment::variant_of;
use super::message::window_at;
use super::run::{Run, Waiting};
use super::state::CustomerState;
use super::steps::MessageStep;
use super::{Engine, Reason};

/// A message of higher priority that is due within this time keeps its room, in milliseconds.
const RESERVE_MS: i64 = 15 * MINUTE_MS;
/// How many steps are looked ahead for such a message.
const FORESEEN_STEPS: usize = 32;

/// Whether the caps leave room for a message.
pub(super) enum Room {
    /// They do.
    Free,
    /// They don't: what then, and when there will be room if nothing else comes.
    Full(OnCap, Option<Timestamp>),
}

impl Engine {
    /// The room that the caps leave for a message of this channel and journey at an instant.
    pub(super) fn room(
        &self,
        context: &Context<'_>,
        plan: &Plan,
        channel: MessageChannel,
        at: Timestamp,
    ) -> Room {
        let mut room = Room::Free;
        for cap in &self.catalog.rules.caps {
            if !covers(cap, channel, plan.topic.as_ref()) {
                continue;
            }
            let per_ms = cap.per.nominal_ms();
            let mut used: Vec<Timestamp> = context
                .state
                .sent
                .iter()
                .filter(|mark| mark.class == Class::Marketing)
                .filter(|mark| covers(cap, mark.channel, mark.topic.as_ref()))
                .map(|mark| mark.at)
                .filter(|sent| at.since_ms(*sent) < per_ms)
                .collect();
            let at_most = cap.at_most as usize;
            let reserved = match at_most.checked_sub(used.len()) {
                Some(free @ 1..) => {
                    let reserved = self.reservations(context, plan, cap, at);
                    if reserved.len() < free {
                        continue;
                    }
                    reserved
                }
                _ => Vec::new(),
            };
            used.sort_unstable();
            let looks_again = match reserved.into_iter().min() {
                // Once that one has gone, or has not.
                Some(due) => Some(due.max(at.plus_ms(1))),
                // There is room once all but one less than the limit have left the window.
                None => (used.len() + 1).checked_sub(at_most.max(1)).and_then(|excess| {
                    used.get(excess.saturating_sub(1)).map(|sent| sent.plus_ms(per_ms))
                }),
            };
            match (&room, cap.on_cap) {
                (_, OnCap::Skip) => return Room::Full(OnCap::Skip, None),
                (Room::Full(_, Some(known)), OnCap::Wait) => {
                    room = Room::Full(OnCap::Wait, looks_again.max(Some(*known)));
                }
                (_, OnCap::Wait) => room = Room::Full(OnCap::Wait, looks_again),
            }
        }
        room
    }

    /// Due times of foreseen messages of higher priority that this cap keeps room for.
    fn reservations(
        &self,
        context: &Context<'_>,
        plan: &Plan,
        cap: &Cap,
        at: Timestamp,
    ) -> Vec<Timestamp> {
        let others =
            context.state.runs.iter().filter(|run| context.run.is_none_or(|own| own.id != run.id));
        let foreseen = others.filter_map(|run| {
            let other = self.plan_of(run).filter(|other| other.priority > plan.priority)?;
            self.foresee(context.state, run, &other, cap, at)
        });
        foreseen.collect()
    }

    /// When the run's next message that the cap covers is due, if nothing happens before and that
    /// is soon enough to keep room for it.
    fn foresee(
        &self,
        state: &CustomerState,
        run: &Run,
        plan: &Plan,
        cap: &Cap,
        at: Timestamp,
    ) -> Option<Timestamp> {
        let standing = run.at.as_ref().filter(|standing| standing.due >= at)?;
        let mut due = standing.due;
        let mut node = match &plan.nodes.get(standing.node as usize)?.step {
            Step::Wait { next, .. }
            | Step::WaitQuiet { next, .. }
            | Step::WaitUntil { next, .. } => *next,
            Step::WaitFor { otherwise, .. } => *otherwise,
            // It gives up waiting for an address.
            Step::Message { next, .. } if standing.waiting == Waiting::Address => *next,
            Step::Message { .. }
            | Step::If { .. }
            | Step::Experiment { .. }
            | Step::FirstOf { .. }
            | Step::End => standing.node,
        };
        for _ in 0..FORESEEN_STEPS {
            if due.since_ms(at) > RESERVE_MS {
                return None;
            }
            let context = Context::of_run(state, &self.catalog.rules, run, due);
            match &plan.nodes.get(node as usize)?.step {
                Step::Wait { delay, next, .. } | Step::WaitQuiet { delay, next, .. } => {
                    (due, node) = (due.plus(*delay, &context.zone()), *next);
                }
                Step::WaitFor { at_most, otherwise, .. } => {
                    (due, node) = (due.plus(*at_most, &context.zone()), *otherwise);
                }
                Step::WaitUntil { moment, next } => {
                    (due, node) = (context.until(moment).unwrap_or(due), *next);
                }
                Step::Experiment { variants } => {
                    let id = &plan.nodes[node as usize].id;
                    node = variant_of(&plan.name, id, variants, state.id)?.first;
                }
                Step::FirstOf { messages } => match window_at(&context, plan) {
                    Some((opens, _)) if opens > due => due = opens,
                    _ => node = self.first_of(&context, plan, messages)?,
                },
                Step::If { condition, then, otherwise } => {
                    let holds = condition.test(&context) == Ok(true);
                    node = if holds { *then } else { *otherwise };
                }
                Step::Message { .. } => {
                    let step = MessageStep::at(plan, node)?;
                    if let Some((opens, _)) = window_at(&context, plan)
                        && opens > due
                    {
                        due = opens;
                        continue;
                    }
                    let holds = plan.only_while.as_ref().map(|condition| condition.test(&context));
                    if !matches!(holds, None | Some(Ok(true))) {
                        return None;
                    }
                    match self.bar(&context, plan, step) {
                        Some(Reason::NoAddress) if plan.no_address.is_some() => return None,
                        Some(_) => {}
                        None => {
                            let covered = step.class == Class::Marketing
                                && covers(cap, step.channel, plan.topic.as_ref());
                            if covered {
                                return Some(due);
                            }
                        }
                    }
                    node = step.next;
                }
                Step::End => return None,
            }
        }
        None
    }

    /// Has the messages that wait for room look again, because some may have appeared.
    pub(super) fn room_may_be(state: &mut CustomerState, now: Timestamp) {
        for standing in state.runs.iter_mut().filter_map(|run| run.at.as_mut()) {
            if standing.waiting == Waiting::Room {
                standing.due = standing.due.min(now.max(standing.entered));
            }
        }
    }
}

fn covers(cap: &Cap, channel: MessageChannel, topic: Option<&Text>) -> bool {
    cap.channel.is_none_or(|wanted| wanted == channel)
        && cap.topic.as_ref().is_none_or(|wanted| Some(wanted) == topic)
}
