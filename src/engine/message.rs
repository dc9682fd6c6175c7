//! Decides one message: whether it goes out, when, and with what content.

use crate::journey::{Class, OnCap, Plan};
use crate::model::{MessageId, Text, Timestamp, derive};

use super::apply::Happening;
use super::caps::Room;
use super::context::Context;
use super::run::{OPEN_MESSAGES_MAX, OpenMessage, Run, Waiting};
use super::state::{CustomerState, SentMark, short_hash};
use super::steps::MessageStep;
use super::{Arrival, Decision, Delivery, Effect, Engine, Reason, Trace, TraceKind, trace_of};

/// What became of a message step.
pub(super) enum Verdict {
    /// It is decided; the run goes on.
    Done,
    /// It is looked at again then.
    Later(Timestamp, Waiting),
    /// It ended the run.
    Ended,
}

impl Engine {
    /// Decides a message that is due at `at`.
    ///
    /// In this order: the send window (outside it the due time moves to its opening, and all is
    /// read there), `only_while`, holdout, address, suppression, consent, caps.
    pub(super) fn message(
        &self,
        state: &mut CustomerState,
        place: usize,
        plan: &Plan,
        step: MessageStep<'_>,
        at: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Verdict {
        let run = &state.runs[place];
        let context = Context::of_run(state, &self.catalog.rules, run, at);
        let window = window_at(&context, plan);
        if let Some((opens, _)) = window.filter(|(opens, _)| *opens > at) {
            return Verdict::Later(opens, Waiting::Node);
        }
        let window_end = window.map(|(_, closes)| closes);
        // A limit may have held it up since.
        let standing = run.at.as_ref().filter(|standing| standing.node == step.node);
        let allowed = standing.map_or(at, |standing| standing.entered.min(at));
        let expires = plan.skip_after.map(|after| allowed.plus(after, &context.zone()));
        let holds = plan.only_while.as_ref().map(|condition| condition.test(&context));
        match holds {
            None | Some(Ok(true)) => {}
            Some(Ok(false)) => {
                self.end_run(state, place, at, Reason::OnlyWhile, None, effects);
                return Verdict::Ended;
            }
            Some(Err(_)) => {
                self.end_run(state, place, at, Reason::ExpressionFailed, None, effects);
                return Verdict::Ended;
            }
        }
        let withheld = match self.obstacle(&context, plan, step, expires) {
            Ok(()) => None,
            Err(Obstacle::Withhold(reason)) => Some(reason),
            Err(Obstacle::Wait(until, waiting, reason)) => {
                let trace = Trace {
                    step: Some(step.id.clone()),
                    reason: Some(reason),
                    ..trace_of(run, at, TraceKind::Waits)
                };
                effects.push(Effect::Trace(Box::new(trace)));
                return Verdict::Later(until, waiting);
            }
        };
        self.decide(state, place, plan, step, Terms { at, expires, window_end, withheld }, effects);
        Verdict::Done
    }

    /// Withholds the message of a node that is not decided in its turn.
    pub(super) fn withhold(
        &self,
        state: &mut CustomerState,
        place: usize,
        plan: &Plan,
        node: u32,
        at: Timestamp,
        reason: Reason,
        effects: &mut Vec<Effect>,
    ) {
        let Some(step) = MessageStep::at(plan, node) else { return };
        let terms = Terms { at, expires: None, window_end: None, withheld: Some(reason) };
        self.decide(state, place, plan, step, terms, effects);
    }

    /// What stands against the message at the context's instant, if anything.
    fn obstacle(
        &self,
        context: &Context<'_>,
        plan: &Plan,
        step: MessageStep<'_>,
        expires: Option<Timestamp>,
    ) -> Result<(), Obstacle> {
        let at = context.now;
        if context.run.is_some_and(|run| run.open.len() >= OPEN_MESSAGES_MAX) {
            return Err(Obstacle::Withhold(Reason::TooMany));
        }
        match (self.bar(context, plan, step), plan.no_address) {
            (Some(Reason::NoAddress), Some(wait)) => {
                let until = at.plus(wait, &context.zone());
                return Err(Obstacle::Wait(until, Waiting::Address, Reason::NoAddress));
            }
            (Some(reason), _) => return Err(Obstacle::Withhold(reason)),
            (None, _) => {}
        }
        if step.class == Class::Transactional {
            return Ok(());
        }
        match self.room(context, plan, step.channel, at) {
            Room::Free => Ok(()),
            Room::Full(OnCap::Wait, until) => {
                let until = expires.map_or(until, |expires| until.min(Some(expires)));
                Err(match until.filter(|until| *until > at) {
                    Some(until) => Obstacle::Wait(until, Waiting::Room, Reason::Cap),
                    None => Obstacle::Withhold(Reason::Cap),
                })
            }
            Room::Full(OnCap::Skip, _) => Err(Obstacle::Withhold(Reason::Cap)),
        }
    }

    /// Why a message can't go to the customer whatever room there is; `None` if it can.
    pub(super) fn bar(
        &self,
        context: &Context<'_>,
        plan: &Plan,
        step: MessageStep<'_>,
    ) -> Option<Reason> {
        let state = context.state;
        if context.run.is_some_and(|run| run.holdout) {
            return Some(Reason::Holdout);
        }
        match state.address(step.channel) {
            None if self.options.assume_reachable => {}
            None => return Some(Reason::NoAddress),
            Some(address) => {
                if state.is_suppressed(step.channel, address) {
                    return Some(Reason::Suppressed);
                }
            }
        }
        let free = step.class == Class::Transactional
            || self.has_consent(context, step.channel, plan.topic.as_ref());
        (!free).then_some(Reason::Consent)
    }

    fn decide(
        &self,
        state: &mut CustomerState,
        place: usize,
        plan: &Plan,
        step: MessageStep<'_>,
        terms: Terms,
        effects: &mut Vec<Effect>,
    ) {
        let run = &state.runs[place];
        let occurrence = run.decided.iter().find(|(id, _)| id == step.id).map_or(0, |(_, n)| *n);
        let message = message_id(run, step.id, occurrence);
        let context = Context::of_run(state, &self.catalog.rules, run, terms.at);
        let settle_ms = match step.class {
            Class::Marketing => self.catalog.rules.settle_ms(plan.stops()),
            Class::Transactional => 0,
        };
        effects.push(Effect::Decide(Box::new(Decision {
            message,
            customer: state.display_id(),
            journey: run.journey.clone(),
            version: run.version,
            run: run.id,
            step: step.id.clone(),
            occurrence,
            channel: step.channel,
            template: step.template.clone(),
            topic: plan.topic.clone(),
            class: step.class,
            at: terms.at,
            settle_ms,
            expires: terms.expires,
            window_end: terms.window_end,
            withheld: terms.withheld,
            data: data(&context),
        })));
        let run = &mut state.runs[place];
        match run.decided.iter_mut().find(|(id, _)| id == step.id) {
            Some((_, count)) => *count += 1,
            None => run.decided.push((step.id.clone(), 1)),
        }
        if terms.withheld.is_some() {
            return;
        }
        run.sent += 1;
        let open = OpenMessage {
            id: message,
            step: step.id.clone(),
            channel: step.channel,
            at: terms.at,
            settle_ms,
            revision: 1,
            node: step.node,
        };
        run.open.push(open);
        state.sent.push(SentMark {
            message,
            channel: step.channel,
            class: step.class,
            topic: plan.topic.clone(),
            at: terms.at,
            address: state.address(step.channel).map(|address| short_hash(address)),
        });
        state.limit_sent();
    }

    /// Lets go of the messages that have started before an input that is applied at `now`.
    ///
    /// Assumed delivery starts a message once everything up to due and settle has been applied: an
    /// event in order that is not later still takes it back; a late one, and a timer, which comes
    /// after the events of its instant, find it started.
    pub(super) fn settle_open_messages(
        &self,
        state: &mut CustomerState,
        now: Timestamp,
        cause: Cause,
    ) {
        if self.options.delivery == Delivery::Live {
            return;
        }
        for run in &mut state.runs {
            run.open.retain(|open| {
                let ready = open.at.plus_ms(open.settle_ms);
                match cause {
                    Cause::InOrder => now <= ready,
                    Cause::AfterAll => now < ready,
                }
            });
        }
    }

    /// Gives the messages about a changed cart that have not started their newer content.
    pub(super) fn revise(
        &self,
        state: &mut CustomerState,
        happening: &Happening<'_>,
        effects: &mut Vec<Effect>,
    ) {
        for place in 0..state.runs.len() {
            let run = &state.runs[place];
            // As the context has it: its own cart, else the customer's open one.
            let about_cart = run.key.is_empty() || run.cart.is_none() || run.cart == happening.cart;
            if run.open.is_empty() || !about_cart {
                continue;
            }
            let context = Context::of_run(state, &self.catalog.rules, run, happening.now);
            let data = data(&context);
            for open in &mut state.runs[place].open {
                open.revision += 1;
                effects.push(Effect::Revise {
                    message: open.id,
                    revision: open.revision,
                    data: data.clone(),
                });
            }
        }
    }
}

/// A message's id: a hash of what makes it this one.
fn message_id(run: &Run, step: &Text, occurrence: u32) -> MessageId {
    let parts: [&[u8]; 4] =
        [run.journey.as_bytes(), &run.id.to_bytes(), step.as_bytes(), &occurrence.to_le_bytes()];
    MessageId(derive("message", &parts))
}

/// Whether a message is one of those that a run has decided.
pub(super) fn has_decided(run: &Run, message: MessageId) -> bool {
    let of_step = |(step, count): &(Text, u32)| {
        (0..*count).any(|occurrence| message_id(run, step, occurrence) == message)
    };
    run.decided.iter().any(of_step)
}

/// The send window that is open at the context's instant, or the next one: when it opens and closes.
pub(super) fn window_at(context: &Context<'_>, plan: &Plan) -> Option<(Timestamp, Timestamp)> {
    let window = plan.send_only.as_ref()?;
    Some(window.opens_at(context.now, &context.clock(&window.zone)))
}

/// What an input comes after.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Everything before its instant.
    InOrder,
    /// Everything up to its instant.
    AfterAll,
}

impl From<Arrival> for Cause {
    fn from(arrival: Arrival) -> Self {
        match arrival {
            Arrival::InOrder => Self::InOrder,
            Arrival::Late(_) => Self::AfterAll,
        }
    }
}

/// What stands against a message.
enum Obstacle {
    Withhold(Reason),
    Wait(Timestamp, Waiting, Reason),
}

/// When and how a message is decided.
struct Terms {
    at: Timestamp,
    expires: Option<Timestamp>,
    window_end: Option<Timestamp>,
    withheld: Option<Reason>,
}

/// What the template sees.
fn data(context: &Context<'_>) -> String {
    // Serializing to a string can't fail: every map key is text.
    serde_json::to_string(context).unwrap_or_default()
}
