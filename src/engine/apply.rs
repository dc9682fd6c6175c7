//! Applies one event to a customer: fold, goals, stops, waits, starts, in this order.

use crate::journey::{EventRule, Matching, Plan, Start, Step};
use crate::model::{Delay, Event, EventName, Item, MessageChannel, Text, Timestamp};

use super::cart::{self, CartFold};
use super::context::Context;
use super::message::has_decided;
use super::outcome::is_outcome;
use super::run::{Run, Standing, Waiting};
use super::state::{CustomerState, Reachable};
use super::{
    Arrival, Effect, Engine, Reason, TraceKind, orders, profile, trace_customer, trace_run,
};

/// What an event turned out to be, for the rules to match.
pub(super) struct Happening<'a> {
    pub event: &'a Event,
    /// The cart it belongs to.
    pub cart: Option<Text>,
    /// It changed that cart.
    pub cart_changed: bool,
    /// It emptied that cart.
    pub cart_emptied: bool,
    /// It came late, and that cart was bought since.
    pub bought_since: bool,
    /// There was no room for that cart.
    pub not_kept: bool,
    /// The cart that this order bought.
    pub bought: Option<Text>,
    /// The instant at which it is applied.
    pub now: Timestamp,
    pub arrival: Arrival,
}

impl Happening<'_> {
    /// The names it goes by: its own, and those derived from it.
    pub(super) fn names(&self) -> impl Iterator<Item = &EventName> {
        [
            Some(&self.event.name),
            self.cart_changed.then_some(&EventName::CartChanged),
            self.cart_emptied.then_some(&EventName::CartEmptied),
        ]
        .into_iter()
        .flatten()
    }

    fn is(&self, name: &EventName) -> bool {
        self.names().any(|own| own == name)
    }
}

impl Engine {
    /// Applies an event to the customer it belongs to.
    ///
    /// A second event of one id within a day changes nothing. An event for a customer who is a
    /// pointer only yields [`Effect::Forward`].
    pub fn event(
        &self,
        state: &mut CustomerState,
        event: &Event,
        arrival: Arrival,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(winner) = state.pointer {
            effects.push(Effect::Forward { winner });
            return;
        }
        if state.erased_at.is_some() {
            return;
        }
        let now = arrival.instant(event.time);
        self.settle_open_messages(state, now, arrival.into());
        if event.name == EventName::CustomerDeleted {
            self.erase(state, now, effects);
            return;
        }
        if !state.seen.remember(&event.id, now) {
            if !event.history {
                let detail = Text::from(event.name.as_str());
                trace_customer(effects, now, TraceKind::Duplicate, Some(detail));
            }
            return;
        }
        let had = state.reachable();
        let news = orders::fold(state, event);
        profile::fold(state, event, news);
        profile::tell_consents(state, event, effects);
        if let Some(orders::OrderNews::Known(placed)) = news {
            self.further_report(state, event, placed, now, arrival, effects);
            self.addresses_since(state, had, event.time);
            self.tidy(state, now);
            return;
        }
        let fold = if event.name.is_cart() {
            cart::fold(state, event, arrival.is_late())
        } else {
            CartFold::default()
        };
        let online =
            !matches!(event.channel, crate::model::Channel::Store | crate::model::Channel::Phone);
        let bought = (news == Some(orders::OrderNews::New) && online)
            .then(|| cart::close(state, event))
            .flatten();
        if let Some(cart) = &bought {
            orders::bought(&mut state.orders, cart);
        }
        if arrival.is_late() && !event.history {
            let detail = Text::from(event.name.as_str());
            trace_customer(effects, event.time, TraceKind::Late, Some(detail));
        }
        let happening = Happening {
            event,
            cart: fold.key,
            cart_changed: fold.changed,
            cart_emptied: fold.emptied,
            bought_since: fold.bought_since,
            not_kept: fold.not_kept,
            bought,
            now,
            arrival,
        };
        for name in happening.names().skip(1) {
            profile::saw(state, name, event.time);
        }
        self.outcome(state, event, now, effects);
        self.goals(state, &happening, effects);
        self.stops(state, &happening, |_| true, effects);
        self.addresses_since(state, had, event.time);
        self.waits(state, &happening, effects);
        if happening.cart_changed && !happening.not_kept {
            self.revise(state, &happening, effects);
        }
        if !event.history {
            self.starts(state, &happening, effects);
        }
        self.tidy(state, now);
    }

    /// A further report of an order that is known. The first one did what an order does; this one
    /// may tell of further products, for rules that ask for them.
    fn further_report(
        &self,
        state: &mut CustomerState,
        event: &Event,
        placed: Timestamp,
        now: Timestamp,
        arrival: Arrival,
        effects: &mut Vec<Effect>,
    ) {
        let mut report = event.clone();
        report.time = placed;
        let happening = Happening {
            event: &report,
            cart: None,
            cart_changed: false,
            cart_emptied: false,
            bought_since: false,
            not_kept: false,
            bought: None,
            now,
            arrival,
        };
        let about_items = |rule: &EventRule| rule.matching == Matching::SameItems;
        self.stops(state, &happening, about_items, effects);
    }

    fn goals(
        &self,
        state: &mut CustomerState,
        happening: &Happening<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let time = happening.event.time;
        for place in 0..state.runs.len() {
            let run = &state.runs[place];
            let Some(until) = run.goal_until else { continue };
            if time > until || time < run.start.time {
                continue;
            }
            let Some(plan) = self.plan_of(run) else { continue };
            let reached = plan
                .goal
                .as_ref()
                .is_some_and(|goal| self.answers(state, run, &goal.rule, happening));
            if reached {
                let begun = run.sent.saturating_sub(u32::try_from(run.open.len()).unwrap_or(0));
                let after = (begun > 0).then(|| Text::from(begun.to_string()));
                trace_run(effects, run, time, TraceKind::GoalReached, None, after);
                state.runs[place].goal_until = None;
            }
        }
    }

    /// Ends the runs that one of these stop rules matches.
    fn stops(
        &self,
        state: &mut CustomerState,
        happening: &Happening<'_>,
        concerned: fn(&EventRule) -> bool,
        effects: &mut Vec<Effect>,
    ) {
        let event = happening.event;
        // Rare: what happened before a message went became known after it.
        let overtakes = state.sent.iter().any(|mark| mark.at >= event.time);
        for place in 0..state.runs.len() {
            let run = &state.runs[place];
            if run.is_over() && !overtakes {
                continue;
            }
            let Some(plan) = self.plan_of(run) else { continue };
            if is_before(event, run, &plan) {
                continue;
            }
            let mut rules = plan.stops_when.iter().filter(|rule| concerned(rule));
            let stop = rules.find(|rule| self.matches(state, run, rule, happening));
            if let Some(rule) = stop {
                let detail = Text::from(rule.event.as_str());
                if overtakes {
                    overtaken(state, &state.runs[place], happening, &detail, effects);
                }
                if state.runs[place].is_over() {
                    continue;
                }
                self.end_run(state, place, happening.now, Reason::Stopped, Some(detail), effects);
            }
        }
    }

    /// Moves waits that this event concerns.
    fn waits(
        &self,
        state: &mut CustomerState,
        happening: &Happening<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let time = happening.event.time;
        for place in 0..state.runs.len() {
            let run = &state.runs[place];
            let Some(standing) = &run.at else { continue };
            // What came before the step was entered does not concern it.
            if time < standing.entered {
                continue;
            }
            let Some(plan) = self.plan_of(run) else { continue };
            let Some(node) = plan.nodes.get(standing.node as usize) else { continue };
            let quiet = match &node.step {
                Step::WaitQuiet { delay, at_most, .. } => Some((*delay, *at_most)),
                Step::Message { .. } if standing.waiting == Waiting::Quiet => {
                    quiet_before(run, &plan)
                }
                Step::WaitFor { rule, then, .. } => {
                    if self.answers(state, run, rule, happening) {
                        let then = *then;
                        self.enter(state, place, then, time, effects);
                    }
                    None
                }
                Step::Wait { .. }
                | Step::WaitUntil { .. }
                | Step::If { .. }
                | Step::Experiment { .. }
                | Step::FirstOf { .. }
                | Step::Message { .. }
                | Step::End => None,
            };
            if let Some((delay, at_most)) = quiet
                && self.restarts_quiet(&state.runs[place], happening)
            {
                self.restart_quiet(state, place, delay, at_most, time);
            }
        }
    }

    /// Moves the end of a quiet wait, because something was heard at `time`.
    fn restart_quiet(
        &self,
        state: &mut CustomerState,
        place: usize,
        delay: Delay,
        at_most: Option<Delay>,
        time: Timestamp,
    ) {
        let zone = Context::of_run(state, &self.catalog.rules, &state.runs[place], time).zone();
        let Some(standing) = &mut state.runs[place].at else { return };
        let restarted = time.plus(delay, &zone);
        let latest = at_most.map(|most| standing.entered.plus(most, &zone));
        standing.due = standing.due.max(latest.map_or(restarted, |latest| restarted.min(latest)));
    }

    /// Whether the event is one that the run's quiet wait starts again with.
    fn restarts_quiet(&self, run: &Run, happening: &Happening<'_>) -> bool {
        let event = happening.event;
        let started_by = &run.start.name;
        if started_by.is_cart() {
            let own_cart = run.key.is_empty()
                || run.cart.is_none()
                || happening.cart.is_none()
                || run.cart == happening.cart;
            event.name.is_cart() && own_cart
        } else if started_by.is_browse() {
            event.name.is_browse()
        } else {
            event.name == *started_by
        }
    }

    /// Tells runs of the addresses that are known now and were not before.
    fn addresses_since(&self, state: &mut CustomerState, had: Reachable, at: Timestamp) {
        if state.reachable() != had {
            self.addresses_found(state, |_, channel| !had.by(channel), at);
        }
    }

    /// Runs that stand before a message whose address is known now, and `lacked` it before, do their
    /// last quiet wait again: whoever has just signed in is still there.
    pub(super) fn addresses_found(
        &self,
        state: &mut CustomerState,
        lacked: impl Fn(&Run, MessageChannel) -> bool,
        at: Timestamp,
    ) {
        if self.options.assume_reachable {
            return;
        }
        for place in 0..state.runs.len() {
            let run = &state.runs[place];
            let Some(standing) = &run.at else { continue };
            let Some(plan) = self.plan_of(run) else { continue };
            let Some(Step::Message { channel, .. }) =
                plan.nodes.get(standing.node as usize).map(|node| &node.step)
            else {
                continue;
            };
            if state.address(*channel).is_none() || !lacked(run, *channel) {
                continue;
            }
            let (node, zone) =
                (standing.node, Context::of_run(state, &self.catalog.rules, run, at).zone());
            let (due, waiting) = match (quiet_before(run, &plan), standing.waiting) {
                (Some((delay, _)), _) => (at.plus(delay, &zone), Waiting::Quiet),
                (None, Waiting::Address) => (at, Waiting::Node),
                (None, _) => continue,
            };
            state.runs[place].at = Some(Standing { node, entered: at, due, waiting });
        }
    }

    /// As [`Self::matches`]; of outcomes only those of the run's own messages.
    fn answers(
        &self,
        state: &CustomerState,
        run: &Run,
        rule: &EventRule,
        happening: &Happening<'_>,
    ) -> bool {
        self.matches(state, run, rule, happening)
            && (!is_outcome(&rule.event)
                || happening
                    .event
                    .outcome
                    .as_ref()
                    .is_some_and(|told| has_decided(run, told.message)))
    }

    /// Whether an event matches a rule of a run.
    pub(super) fn matches(
        &self,
        state: &CustomerState,
        run: &Run,
        rule: &EventRule,
        happening: &Happening<'_>,
    ) -> bool {
        if !happening.is(&rule.event) {
            return false;
        }
        let event = happening.event;
        let kind = match rule.matching {
            Matching::Any => true,
            // The cart that the order bought has left the state already.
            Matching::SameItems => {
                let bought_it = happening.bought.is_some() && happening.bought == run.cart;
                bought_it || shares_items(state, run, &event.items)
            }
            Matching::SameCart => {
                let told = [&happening.bought, &happening.cart, &event.cart_id];
                run.cart.is_some() && told.contains(&&run.cart)
            }
            Matching::SameOrder => {
                let orders = (run.start.order.as_deref(), event.order.as_deref());
                matches!(orders, (Some(own), Some(told)) if orders::may_be_one(own, told))
            }
        };
        kind && rule.condition.as_ref().is_none_or(|condition| {
            let mut context = Context::of_run(state, &self.catalog.rules, run, happening.now);
            context.event = Some(event.into());
            condition.test(&context).unwrap_or(false)
        })
    }
}

/// Whether an event is too old to stop a run: an old order does not stop a newer cart's run. What no
/// event started has no such order: what comes late would have kept it from starting.
fn is_before(event: &Event, run: &Run, plan: &Plan) -> bool {
    match (&plan.start, run.absent_since) {
        (Start::Absent { .. }, Some(since)) => event.time < since,
        (Start::Schedule { .. }, _) if !event.history => false,
        _ => (event.time, event.tie) < (run.start.time, run.start.tie),
    }
}

/// Tells of each message of a run that went out though what stops it had happened before.
fn overtaken(
    state: &CustomerState,
    run: &Run,
    happening: &Happening<'_>,
    stop: &Text,
    effects: &mut Vec<Effect>,
) {
    for mark in state.sent.iter().filter(|mark| mark.at >= happening.event.time) {
        let started = run.open.iter().all(|open| open.id != mark.message);
        if started && has_decided(run, mark.message) {
            let (kind, detail) = (TraceKind::Overtaken, Some(stop.clone()));
            trace_run(effects, run, happening.now, kind, None, detail);
        }
    }
}

/// How long the last quiet wait was that the run has passed, and its longest.
fn quiet_before(run: &Run, plan: &Plan) -> Option<(Delay, Option<Delay>)> {
    match plan.nodes.get(run.quiet? as usize)?.step {
        Step::WaitQuiet { delay, at_most, .. } => Some((delay, at_most)),
        _ => None,
    }
}

/// Whether the items share a product with the run's cart or the event that started it.
fn shares_items(state: &CustomerState, run: &Run, items: &[Item]) -> bool {
    let of_cart =
        run.cart.as_ref().and_then(|key| state.cart(key)).into_iter().flat_map(|c| &c.lines);
    of_cart.chain(&run.start.items).any(|own| items.iter().any(|item| item.sku == own.sku))
}
