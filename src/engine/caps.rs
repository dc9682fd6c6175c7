//! Limits over all journeys: sliding windows over decided marketing messages.

use crate::journey::{Cap, Class, OnCap, Plan, Step};
use crate::model::{MINUTE_MS, MessageChannel, Text, Timestamp};

use super::Engine;
use super::context::Context;

/// A message of higher priority that is due within this time keeps its room, in milliseconds.
const RESERVE_MS: i64 = 15 * MINUTE_MS;

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
            let reserved = if used.len() < at_most {
                self.reservations(context, plan, cap, at, at_most - used.len())
            } else {
                Vec::new()
            };
            if used.len() + reserved.len() < at_most {
                continue;
            }
            used.extend(reserved);
            used.sort_unstable();
            // There is room once all but one less than the limit have left the window.
            let leaves = (used.len() + 1).checked_sub(at_most.max(1)).and_then(|excess| {
                used.get(excess.saturating_sub(1)).map(|sent| sent.plus_ms(per_ms))
            });
            match (&room, cap.on_cap) {
                (_, OnCap::Skip) => return Room::Full(OnCap::Skip, None),
                (Room::Full(_, Some(known)), OnCap::Wait) => {
                    room = Room::Full(OnCap::Wait, leaves.max(Some(*known)));
                }
                (_, OnCap::Wait) => room = Room::Full(OnCap::Wait, leaves),
            }
        }
        room
    }

    /// Due times of known messages of higher priority that this cap keeps room for.
    fn reservations(
        &self,
        context: &Context<'_>,
        plan: &Plan,
        cap: &Cap,
        at: Timestamp,
        at_most: usize,
    ) -> Vec<Timestamp> {
        let mut reserved = Vec::new();
        for run in &context.state.runs {
            let Some(standing) = &run.at else { continue };
            if run.holdout || standing.due < at || standing.due.since_ms(at) > RESERVE_MS {
                continue;
            }
            if context.run.is_some_and(|own| own.id == run.id) {
                continue;
            }
            let Some(other) = self.plan_of(run).filter(|other| other.priority > plan.priority)
            else {
                continue;
            };
            let next = match other.nodes.get(standing.node as usize).map(|node| &node.step) {
                Some(Step::Wait { next, .. } | Step::WaitQuiet { next, .. }) => *next,
                Some(Step::WaitFor { otherwise, .. }) => *otherwise,
                _ => standing.node,
            };
            let message = other.nodes.get(next as usize).map(|node| &node.step);
            if let Some(Step::Message { channel, class: Class::Marketing, .. }) = message
                && covers(cap, *channel, other.topic.as_ref())
                && reserved.len() < at_most
            {
                reserved.push(standing.due);
            }
        }
        reserved
    }
}

fn covers(cap: &Cap, channel: MessageChannel, topic: Option<&Text>) -> bool {
    cap.channel.is_none_or(|wanted| wanted == channel)
        && cap.topic.as_ref().is_none_or(|wanted| Some(wanted) == topic)
}
