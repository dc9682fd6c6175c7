//! Starts runs: who may start, and why one does not.

use std::cmp::Reverse;

use crate::journey::{ActivePlan, Again, AgainPer, Env, EventRule, Plan, RunPer, Start, Value};
use crate::model::{EventName, RunId, Text, Timestamp, derive};

use super::apply::Happening;
use super::context::Context;
use super::known::About;
use super::message::Cause;
use super::run::{Run, StartEvent};
use super::state::{CustomerState, RUNS_MAX};
use super::{Effect, Engine, Reason, Trace, TraceKind, trace_run};

/// What a start is about.
struct Candidate<'a> {
    start: StartEvent,
    /// The start event's id, or the instant in words.
    cause: Text,
    cart: Option<Text>,
    /// That cart was bought since.
    bought_since: bool,
    /// There is no room for that cart.
    no_room: bool,
    context_event: Option<&'a crate::model::Event>,
    /// Time of the event that has not come again.
    absent_since: Option<Timestamp>,
    /// The instant of the decision.
    now: Timestamp,
    late: bool,
}

impl Engine {
    /// Starts the runs that this event starts.
    pub(super) fn starts(
        &self,
        state: &mut CustomerState,
        happening: &Happening<'_>,
        effects: &mut Vec<Effect>,
    ) {
        // A cart that has just been emptied is nothing to remind of.
        let starting =
            |name: &&EventName| !(happening.cart_emptied && **name == EventName::CartChanged);
        let mut started: Vec<(&EventName, &ActivePlan)> = happening
            .names()
            .filter(starting)
            .flat_map(|name| self.catalog.started_by(name).map(move |active| (name, active)))
            .collect();
        // By priority, whichever of its names each asks for.
        started.sort_by_key(|(_, active)| (Reverse(active.plan.priority), &active.plan.name));
        for (name, active) in started {
            let candidate = Candidate {
                start: StartEvent { name: name.clone(), ..StartEvent::of(happening.event) },
                cause: happening.event.id.clone(),
                cart: happening.cart.clone(),
                bought_since: happening.bought_since,
                no_room: happening.not_kept,
                context_event: Some(happening.event),
                absent_since: None,
                now: happening.now,
                late: happening.arrival.is_late(),
            };
            self.start(state, active, candidate, effects);
        }
    }

    /// Starts the run of an `absent` journey whose time has come.
    pub(super) fn start_absent(
        &self,
        state: &mut CustomerState,
        active: &ActivePlan,
        due: Timestamp,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let Start::Absent { event, .. } = &active.plan.start else { return };
        let candidate = Candidate {
            start: StartEvent::at(event.clone(), due),
            cause: Text::from(due.to_string()),
            cart: None,
            bought_since: false,
            no_room: false,
            context_event: None,
            absent_since: state.last(event),
            now,
            late: due < now,
        };
        self.start(state, active, candidate, effects);
    }

    /// Whether a customer meets the condition of a scheduled journey, and its rank for `at_most`.
    #[must_use]
    pub fn scheduled_rank(
        &self,
        state: &CustomerState,
        active: &ActivePlan,
        instant: Timestamp,
    ) -> Option<u128> {
        if state.pointer.is_some() || state.erased_at.is_some() || state.is_blank() {
            return None;
        }
        let candidate = Self::scheduled(instant);
        self.refusal(state, active, &candidate, &self.key(state, &active.plan, &candidate))
            .is_none()
            .then(|| derive("schedule", &[active.plan.name.as_bytes(), &state.id.to_bytes()]))
    }

    /// Starts the run of a scheduled journey at its instant.
    pub fn start_scheduled(
        &self,
        state: &mut CustomerState,
        active: &ActivePlan,
        instant: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        self.settle_open_messages(state, instant, Cause::AfterAll);
        self.start(state, active, Self::scheduled(instant), effects);
        self.tidy(state, instant);
    }

    fn scheduled(instant: Timestamp) -> Candidate<'static> {
        Candidate {
            start: StartEvent::at(EventName::Custom(Text::const_new("schedule")), instant),
            cause: Text::from(instant.to_string()),
            cart: None,
            bought_since: false,
            no_room: false,
            context_event: None,
            absent_since: None,
            now: instant,
            late: false,
        }
    }

    fn start(
        &self,
        state: &mut CustomerState,
        active: &ActivePlan,
        candidate: Candidate<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let plan = &active.plan;
        state.make_space();
        let key = self.key(state, plan, &candidate);
        if let Some(reason) = self.refusal(state, active, &candidate, &key) {
            refuse(state, plan, candidate.now, reason, effects);
            return;
        }
        state.refusals.retain(|(journey, _)| *journey != plan.name);
        let key = key.unwrap_or_default();
        let id = run_id(state, plan, &key, &candidate);
        let begins = candidate.start.time;
        let zone = Context {
            state,
            rules: &self.catalog.rules,
            cart: None,
            event: Some((&candidate.start).into()),
            run: None,
            now: begins,
        }
        .zone();
        let run = Run {
            id,
            journey: plan.name.clone(),
            version: plan.version,
            cart: candidate
                .cart
                .or_else(|| (plan.one_run_per == RunPer::Cart).then(|| key.clone())),
            key,
            start: candidate.start,
            absent_since: candidate.absent_since,
            holdout: self.in_holdout(state, plan),
            at: None,
            quiet: None,
            decided: Vec::new(),
            sent: 0,
            open: Vec::new(),
            redo: Vec::new(),
            goal_until: plan.goal.as_ref().map(|goal| begins.plus(goal.within, &zone)),
        };
        let detail = Text::from(run.start.name.as_str());
        let holdout = run.holdout.then_some(Reason::Holdout);
        trace_run(effects, &run, begins, TraceKind::Started, holdout, Some(detail));
        self.make_room(state);
        state.runs.push(run);
        self.give_way(state, &plan.name, candidate.now, effects);
        let place = state.runs.len() - 1;
        self.enter(state, place, 0, begins, effects);
    }

    /// What the run would be about; `None` if the event does not say.
    fn key(&self, state: &CustomerState, plan: &Plan, candidate: &Candidate<'_>) -> Option<Text> {
        match plan.one_run_per {
            RunPer::Customer => Some(Text::default()),
            RunPer::Cart => {
                candidate.cart.clone().or_else(|| state.open_cart().map(|cart| cart.key.clone()))
            }
            RunPer::Order => {
                let order = candidate.start.order.as_ref();
                order.and_then(|order| order.id.clone()).or_else(|| {
                    candidate
                        .context_event
                        .filter(|_| order.is_some())
                        .map(|event| event.id.clone())
                })
            }
            RunPer::Field(var) => match self.start_context(state, candidate).value(var) {
                Value::Text(value) => Some(Text::from(value.as_ref())),
                Value::Int(value) => Some(Text::from(value.to_string())),
                _ => None,
            },
        }
    }

    fn start_context<'a>(
        &'a self,
        state: &'a CustomerState,
        candidate: &'a Candidate<'_>,
    ) -> Context<'a> {
        Context {
            state,
            rules: &self.catalog.rules,
            cart: match &candidate.cart {
                Some(key) => state.cart(key),
                None => state.open_cart(),
            },
            event: Some(match candidate.context_event {
                Some(event) => event.into(),
                None => (&candidate.start).into(),
            }),
            run: None,
            now: candidate.now,
        }
    }

    /// Why the run may not start; `None` if it may.
    fn refusal(
        &self,
        state: &CustomerState,
        active: &ActivePlan,
        candidate: &Candidate<'_>,
        key: &Option<Text>,
    ) -> Option<Reason> {
        let plan = &active.plan;
        let Some(key) = key else { return Some(Reason::Condition) };
        if active.since.is_some_and(|since| candidate.start.time < since) {
            return Some(Reason::BeforeActivation);
        }
        let of_journey = |run: &&Run| run.journey == plan.name && run.key == *key;
        if state.runs.iter().filter(|run| run.is_active()).any(|run| of_journey(&run)) {
            return Some(Reason::Running);
        }
        let id = run_id(state, plan, key, candidate);
        let known = state.runs.iter().any(|run| run.id == id)
            || state.again.iter().any(|mark| {
                let same = mark.journey == plan.name && mark.key == *key;
                mark.run == id || (same && mark.started > candidate.start.time)
            });
        if known {
            return Some(Reason::Running);
        }
        if candidate.no_room {
            return Some(Reason::TooMany);
        }
        let late_by = candidate.now.since_ms(candidate.start.time);
        if candidate.late && late_by > plan.start_within.nominal_ms() {
            return Some(Reason::TooLate);
        }
        if candidate.late && Self::stopped_by_known(state, plan, candidate) {
            return Some(Reason::Stopped);
        }
        let context = self.start_context(state, candidate);
        let condition = match &plan.start {
            Start::Event { condition, .. }
            | Start::Schedule { condition, .. }
            | Start::Absent { condition, .. } => condition.as_ref(),
        };
        for (condition, reason) in
            [(condition, Reason::Condition), (plan.only_while.as_ref(), Reason::OnlyWhile)]
        {
            match condition.map(|condition| condition.test(&context)) {
                None | Some(Ok(true)) => {}
                Some(Ok(false)) => return Some(reason),
                Some(Err(_)) => return Some(Reason::ExpressionFailed),
            }
        }
        if !may_come_again(state, plan, key, candidate.start.time, &context) {
            return Some(Reason::Again);
        }
        let runs_other =
            |other: &Text| state.runs.iter().any(|run| run.is_active() && run.journey == *other);
        if plan.gives_way_to.iter().any(runs_other) {
            return Some(Reason::GaveWay);
        }
        let kept = |run: &&Run| !run.is_over();
        if state.is_full() || state.runs.iter().filter(kept).count() >= RUNS_MAX {
            return Some(Reason::TooMany);
        }
        None
    }

    /// Whether an event that is known already, and not earlier than the start, stops the run.
    fn stopped_by_known(state: &CustomerState, plan: &Plan, candidate: &Candidate<'_>) -> bool {
        let cart = candidate.cart.as_ref();
        let about = About {
            start: &candidate.start,
            cart,
            lines: cart.and_then(|key| state.cart(key)).map_or(&[], |cart| &cart.lines),
            bought_since: candidate.bought_since,
        };
        let since = candidate.start.time;
        let after = |rule: &EventRule, at: Timestamp| {
            // At an equal time it counts as after, unless it is what starts the run.
            let starts_it = rule.event == candidate.start.name
                || candidate.context_event.is_some_and(|event| event.name == rule.event);
            at > since || (at == since && !starts_it)
        };
        about.known_stop(&plan.stops_when, state, after).is_some()
    }

    /// Ends the runs that give way to a journey which starts.
    fn give_way(
        &self,
        state: &mut CustomerState,
        starting: &Text,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        for place in 0..state.runs.len() {
            let run = &state.runs[place];
            if run.journey == *starting || run.is_over() {
                continue;
            }
            let gives = self.plan_of(run).is_some_and(|plan| plan.gives_way_to.contains(starting));
            if gives {
                self.end_run(state, place, now, Reason::GaveWay, Some(starting.clone()), effects);
            }
        }
    }

    /// Drops the oldest run that only waits for its goal, where there is no room for another.
    pub(super) fn make_room(&self, state: &mut CustomerState) {
        if state.runs.len() >= RUNS_MAX
            && let Some(place) = state.runs.iter().position(Run::is_over)
        {
            state.runs.remove(place);
        }
    }

    /// Whether the customer is in the journey's holdout: by a hash, or by a merge.
    pub(super) fn in_holdout(&self, state: &CustomerState, plan: &Plan) -> bool {
        if plan.holdout == 0 {
            return false;
        }
        let hash = derive("holdout", &[plan.name.as_bytes(), &state.id.to_bytes()]);
        state.holdouts.contains(&plan.name) || hash % 10_000 < u128::from(plan.holdout)
    }
}

/// A hash of what makes the run this one. The time is in it because a source may use an id again.
fn run_id(state: &CustomerState, plan: &Plan, key: &Text, candidate: &Candidate<'_>) -> RunId {
    let parts: [&[u8]; 5] = [
        plan.name.as_bytes(),
        &state.id.to_bytes(),
        key.as_bytes(),
        candidate.cause.as_bytes(),
        &candidate.start.time.ms().to_le_bytes(),
    ];
    RunId(derive("run", &parts))
}

fn may_come_again(
    state: &CustomerState,
    plan: &Plan,
    key: &Text,
    at: Timestamp,
    context: &Context<'_>,
) -> bool {
    let ended = |per: AgainPer| {
        state
            .again
            .iter()
            .filter(|mark| mark.journey == plan.name)
            .filter(|mark| per == AgainPer::Customer || mark.key == *key)
            .map(|mark| mark.ended)
            .max()
    };
    let running = |per: AgainPer| {
        per == AgainPer::Customer
            && state.runs.iter().any(|run| run.is_active() && run.journey == plan.name)
    };
    match plan.again {
        Again::Always => true,
        Again::Never { per } => ended(per).is_none() && !running(per),
        Again::After { delay, per } => {
            !running(per) && ended(per).is_none_or(|ended| at >= ended.plus(delay, &context.zone()))
        }
    }
}

/// What is said of a customer whom a schedule's `at_most` left out.
#[must_use]
pub fn limit_reached(active: &ActivePlan, instant: Timestamp) -> Effect {
    not_started(&active.plan, instant, Reason::LimitReached)
}

/// What is said of a journey that did not start.
fn not_started(plan: &Plan, at: Timestamp, reason: Reason) -> Effect {
    Effect::Trace(Box::new(Trace {
        at,
        kind: TraceKind::NotStarted,
        journey: Some((plan.name.clone(), plan.version)),
        run: None,
        step: None,
        reason: Some(reason),
        detail: None,
    }))
}

/// Traces a refusal, once for each reason in a row; what needs no explanation is left out. Of starts
/// that a limit keeps out each is told.
fn refuse(
    state: &mut CustomerState,
    plan: &Plan,
    at: Timestamp,
    reason: Reason,
    effects: &mut Vec<Effect>,
) {
    if reason == Reason::Running {
        return;
    }
    if reason == Reason::TooMany {
        effects.push(not_started(plan, at, reason));
        return;
    }
    match state.refusals.iter_mut().find(|(journey, _)| *journey == plan.name) {
        Some((_, last)) if *last == reason => return,
        Some((_, last)) => *last = reason,
        None => {
            if state.refusals.len() >= RUNS_MAX {
                return;
            }
            state.refusals.push((plan.name.clone(), reason));
        }
    }
    effects.push(not_started(plan, at, reason));
}
