//! From what a file says to the plan that the engine runs.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile};
use crate::model::{Delay, EventName, HOUR_MS, Zone};
use crate::yaml::{OneOrMany, ScalarOr, Spanned};

use super::check;
use super::compile::{self, Loaded};
use super::expr::{Expr, Scope};
use super::lower_steps;
use super::syntax::{AgainSyntax, EventRuleSyntax, GoalSyntax, SendOnly, StartsWhen};
use super::version;
use super::words::{AgainWord, Condition, Days, ZoneOrCustomer};
use super::{
    Again, AgainPer, Class, EventRule, Goal, Matching, Plan, RunPer, Schedule, SendWindow, Start,
    Status, Version, WindowZone,
};

/// How old a late event may be that starts a run, where the file does not say.
pub const START_WITHIN_DEFAULT: Delay = Delay::exact(HOUR_MS);

/// Within what time of the start a goal counts, where the file does not say.
pub const GOAL_WITHIN_DEFAULT: Delay = Delay::days(7);

/// Who goes first, where the file does not say.
pub const PRIORITY_DEFAULT: u8 = 50;

/// The plan of a file; `None` if it has errors that leave none.
pub(super) fn lower(
    loaded: &Loaded,
    templates: Option<&BTreeSet<String>>,
    report: &mut Report,
) -> Option<Plan> {
    let syntax = &loaded.syntax;
    let mut lower = Lower::new(loaded, templates, report);
    if let Some(format) = &syntax.format.0
        && format.value != 1
    {
        let message = format!("format {} is not known to this version", format.value);
        lower.fail_help::<()>(Code::BadValue, &format.span, message, "write `format: 1`");
    }
    let starts_when = syntax.starts_when.0.as_ref();
    let start = starts_when.and_then(|starts_when| lower.start(starts_when));
    let run_scope = lower.run_scope;
    let only_while = lower.condition(syntax.only_while.as_ref(), run_scope);
    let stops = syntax.stops_when.clone().map(OneOrMany::into_vec).unwrap_or_default();
    let stops_when = stops.iter().map(|rule| lower.event_rule(rule)).collect();
    let one_run_per = lower.one_run_per();
    let again = lower.again(syntax.again.as_ref(), &one_run_per);
    let send_only = syntax.send_only.as_ref().and_then(|window| lower.send_window(window));
    let class = syntax.class.unwrap_or(Class::Marketing);
    let nodes = lower_steps::lower(&mut lower, syntax.steps.0.as_ref(), class);
    let goal = syntax.goal.as_ref().map(|goal| lower.goal(goal));
    let mut plan = Plan {
        name: syntax.journey.0.as_ref()?.value.0.clone(),
        description: syntax.description.clone(),
        version: Version(0),
        status: syntax.status.unwrap_or(Status::Live),
        class,
        topic: syntax.topic.as_ref().map(|topic| topic.0.clone()),
        one_run_per,
        start: start?,
        only_while,
        stops_when,
        gives_way_to: syntax
            .gives_way_to
            .clone()
            .map(OneOrMany::into_vec)
            .unwrap_or_default()
            .into_iter()
            .map(|name| name.value.0)
            .collect(),
        again,
        no_address: syntax.no_address.as_ref().map(|no_address| no_address.wait.value),
        send_only,
        skip_after: syntax.if_late.as_ref().map(|late| late.skip_after.value),
        priority: syntax.priority.map_or(PRIORITY_DEFAULT, |priority| priority.0),
        holdout: syntax.holdout.map_or(0, |share| share.0),
        start_within: syntax.start_within.unwrap_or(START_WITHIN_DEFAULT),
        nodes,
        goal,
    };
    if loaded.is_sound {
        let keeps = syntax.keeps_after_order.unwrap_or(false);
        let span = starts_when?.span.clone();
        check::order_stop(&plan, keeps, &stops, &loaded.file, span, lower.report);
    }
    plan.version = version::of(&plan);
    Some(plan)
}

/// A file on its way to a plan.
pub(super) struct Lower<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) templates: Option<&'a BTreeSet<String>>,
    pub(super) report: &'a mut Report,
    /// What conditions may read that belong to a run rather than to an event rule.
    pub(super) run_scope: Scope,
}

impl<'a> Lower<'a> {
    fn new(
        loaded: &'a Loaded,
        templates: Option<&'a BTreeSet<String>>,
        report: &'a mut Report,
    ) -> Self {
        // A start that can't be read, which is reported, leaves open what may be read.
        let run_scope = match &loaded.syntax.starts_when.0 {
            Some(starts) => {
                let when = &starts.value;
                let by_time = when.schedule.is_some() || when.absent.is_some();
                let by_event = when.event.is_some() || !by_time;
                Scope { event: by_event, now: by_time }
            }
            None => Scope::ALL,
        };
        Self { loaded, templates, report, run_scope }
    }

    pub(super) fn file(&self) -> &Arc<SourceFile> {
        &self.loaded.file
    }

    pub(super) fn fail<T>(
        &mut self,
        code: Code,
        span: &Range<usize>,
        message: impl Into<String>,
    ) -> Option<T> {
        self.report.push(Diagnostic::error(code, &self.loaded.file, span.clone(), message));
        None
    }

    pub(super) fn fail_help<T>(
        &mut self,
        code: Code,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        let found = Diagnostic::error(code, &self.loaded.file, span.clone(), message).help(help);
        self.report.push(found);
        None
    }

    pub(super) fn condition(
        &mut self,
        condition: Option<&Condition>,
        scope: Scope,
    ) -> Option<Expr> {
        condition.and_then(|it| compile::condition(it, scope, &self.loaded.file, self.report))
    }

    /// A condition of a rule over an event: the event is there, whatever started the run.
    pub(super) fn rule(
        &mut self,
        event: Option<&Spanned<EventName>>,
        matching: Option<&Spanned<Matching>>,
        condition: Option<&Condition>,
    ) -> EventRule {
        if let Some(matching) = matching {
            check::matching(matching, self.loaded, self.report);
        }
        let scope = Scope { event: true, now: self.run_scope.now };
        EventRule {
            // A missing event is reported; no plan comes of it.
            event: event.map_or(EventName::PageViewed, |event| event.value.clone()),
            matching: matching.map_or(Matching::Any, |matching| matching.value),
            condition: self.condition(condition, scope),
        }
    }

    /// A duration that must not be nothing.
    pub(super) fn positive(&mut self, delay: &Spanned<Delay>) -> Delay {
        if delay.value.nominal_ms() == 0 {
            let message = "a duration longer than nothing belongs here";
            self.fail::<()>(Code::BadDuration, &delay.span, message);
        }
        delay.value
    }

    fn start(&mut self, starts: &Spanned<StartsWhen>) -> Option<Start> {
        let when = &starts.value;
        let condition = self.condition(when.condition.as_ref(), self.run_scope);
        let given = [when.event.is_some(), when.schedule.is_some(), when.absent.is_some()];
        match given.into_iter().filter(|given| *given).count() {
            1 => (),
            0 if !self.loaded.is_sound => return None,
            0 => {
                let help = "write `event:`, `schedule:` or `absent:`";
                let message = "`starts_when` does not say what starts a run";
                return self.fail_help(Code::MissingField, &starts.span, message, help);
            }
            _ => {
                let help = "write one journey for each";
                let message = "`starts_when` takes one of `event`, `schedule` and `absent`";
                return self.fail_help(Code::Conflict, &starts.span, message, help);
            }
        }
        if when.schedule.is_none() {
            if let Some(zone) = &when.zone {
                self.fail::<()>(Code::Conflict, &zone.span, "`zone` belongs to a `schedule`");
            }
            if let Some(at_most) = &when.at_most {
                self.fail::<()>(Code::Conflict, &at_most.span, "`at_most` belongs to a `schedule`");
            }
        }
        if let (None, Some(delay)) = (&when.absent, &when.delay) {
            self.fail::<()>(Code::Conflict, &delay.span, "`for` belongs to `absent`");
        }
        if let Some(event) = &when.event {
            return Some(Start::Event { event: event.value.clone(), condition });
        }
        if let Some(event) = &when.absent {
            let Some(delay) = &when.delay else {
                let message = "`absent` needs `for`";
                return self.fail_help(
                    Code::MissingField,
                    &event.span,
                    message,
                    "add `for: 90 days`",
                );
            };
            let delay = self.positive(delay);
            return Some(Start::Absent { event: event.value.clone(), delay, condition });
        }
        let source = when.schedule.as_ref()?;
        let Some(zone) = &when.zone else {
            let help = "add `zone: Europe/Amsterdam`";
            return self.fail_help(
                Code::MissingField,
                &source.span,
                "a schedule needs `zone`",
                help,
            );
        };
        match Schedule::parse(&source.value, zone.value.clone()) {
            Ok(schedule) => {
                let at_most = when.at_most.as_ref().map(|at_most| at_most.value);
                Some(Start::Schedule { schedule, condition, at_most })
            }
            Err(err) => {
                let help = "write it as in \"0 9 * * mon\": minute, hour, day, month, weekday";
                self.fail_help(Code::BadSchedule, &source.span, err.to_string(), help)
            }
        }
    }

    fn event_rule(&mut self, rule: &EventRuleSyntax) -> EventRule {
        self.rule(Some(&rule.event), rule.matching.as_ref(), rule.condition.as_ref())
    }

    fn goal(&mut self, goal: &GoalSyntax) -> Goal {
        let rule = self.rule(Some(&goal.event), goal.matching.as_ref(), goal.condition.as_ref());
        let within =
            goal.within.as_ref().map_or(GOAL_WITHIN_DEFAULT, |within| self.positive(within));
        Goal { rule, within }
    }

    fn one_run_per(&mut self) -> RunPer {
        let Some(per) = &self.loaded.syntax.one_run_per else { return RunPer::Customer };
        let by_event = self.run_scope.event;
        let nothing = match &per.value.0 {
            RunPer::Field(_) => Some("its fields can't be counted by"),
            RunPer::Order => Some("there is no order to count by"),
            RunPer::Customer | RunPer::Cart => None,
        };
        if let (Some(nothing), false) = (nothing, by_event) {
            let message = format!("no event starts this journey, so {nothing}");
            self.fail::<()>(Code::OutOfScope, &per.span, message);
        }
        per.value.0.clone()
    }

    fn again(
        &mut self,
        again: Option<&ScalarOr<AgainWord, AgainSyntax>>,
        one_run_per: &RunPer,
    ) -> Again {
        let fields = match again {
            None => return Again::Never { per: AgainPer::Key },
            Some(ScalarOr::Scalar(word)) => {
                return match word.value {
                    AgainWord::Never => Again::Never { per: AgainPer::Key },
                    AgainWord::Always => Again::Always,
                };
            }
            Some(ScalarOr::Map(fields)) => fields,
        };
        let per = match &fields.per {
            None => AgainPer::Key,
            Some(per) if per.value.0 == RunPer::Customer => AgainPer::Customer,
            Some(per) if per.value.0 == *one_run_per => AgainPer::Key,
            Some(_) if !self.loaded.is_sound => AgainPer::Key,
            Some(per) => {
                let message = "runs are not counted by this";
                let help = "write `per: customer`, or what `one_run_per` says";
                self.fail_help::<()>(Code::Conflict, &per.span, message, help);
                AgainPer::Key
            }
        };
        match &fields.after {
            Some(delay) => Again::After { delay: delay.value, per },
            None => Again::Never { per },
        }
    }

    fn send_window(&mut self, window: &Spanned<SendOnly>) -> Option<SendWindow> {
        let fields = &window.value;
        let days = fields.days.as_ref().map_or([true; 7], weekdays);
        if !days.contains(&true) {
            return self.fail(
                Code::BadValue,
                &window.span,
                "a window that never opens sends nothing",
            );
        }
        let (from, to) = match (&fields.from, &fields.to) {
            (Some(from), Some(to)) => (from.value.0, to.value.0),
            (None, None) => (0, 0),
            _ if !self.loaded.is_sound => (0, 0),
            (Some(one), None) | (None, Some(one)) => {
                let message = "a window needs both `from` and `to`, or neither";
                return self.fail(Code::MissingField, &one.span, message);
            }
        };
        let zone = self.clock(fields.zone.as_ref(), fields.unknown_zone.as_ref());
        Some(SendWindow { days, from_minute: from, to_minute: to, zone })
    }

    /// Whose wall clock counts.
    pub(super) fn clock(
        &mut self,
        zone: Option<&Spanned<ZoneOrCustomer>>,
        unknown: Option<&Spanned<Zone>>,
    ) -> WindowZone {
        match zone.map(|zone| &zone.value) {
            None | Some(ZoneOrCustomer::Customer) => {
                WindowZone::Customer { unknown: unknown.map(|zone| zone.value.clone()) }
            }
            Some(ZoneOrCustomer::Fixed(zone)) => {
                if let Some(unknown) = unknown {
                    let message = "`unknown_zone` has a meaning only with `zone: customer`";
                    self.fail::<()>(Code::Conflict, &unknown.span, message);
                }
                WindowZone::Fixed(zone.clone())
            }
        }
    }
}

/// All of these weekdays together, Monday first.
pub(super) fn weekdays(days: &OneOrMany<Days>) -> [bool; 7] {
    days.clone().into_vec().into_iter().fold([false; 7], |mut all, some| {
        all.iter_mut().zip(some.0).for_each(|(all, some)| *all |= some);
        all
    })
}
