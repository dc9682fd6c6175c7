//! The hash of a journey's structure.
//!
//! The structure is written out as text in a fixed form, field by field, so that neither the
//! layout of a file nor that of our types changes it. People inside a journey are tied to it:
//! a change of this form is a change of `FORM`.

use std::fmt::Write;

use super::expr::Expr;
use super::{
    Again, AgainPer, Class, EventRule, Matching, Moment, MomentDay, Plan, RunPer, SendWindow,
    Start, Step, Version, WindowZone,
};

const FORM: &str = "waypost journey structure 1";

/// The version of a plan, whatever its `version`, status and description say.
pub(super) fn of(plan: &Plan) -> Version {
    let text = canonical(plan);
    let hash = blake3::hash(text.as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    Version(u32::from_be_bytes([a, b, c, d]))
}

fn canonical(plan: &Plan) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        // Lengths keep one field from running into the next. Writing to a text can't fail.
        let _ = writeln!(out, "{name} {} {value}", value.len());
    };
    line("form", FORM);
    line("name", &plan.name);
    line("class", class(plan.class));
    line("topic", plan.topic.as_deref().unwrap_or("-"));
    line("one_run_per", &run_per(&plan.one_run_per));
    line("start", &start(&plan.start));
    line("only_while", &condition(plan.only_while.as_ref()));
    for stop in &plan.stops_when {
        line("stop", &rule(stop));
    }
    for name in &plan.gives_way_to {
        line("gives_way_to", name);
    }
    line("again", &again(plan.again));
    line("no_address", &optional(plan.no_address));
    line("send_only", &plan.send_only.as_ref().map_or_else(|| "-".to_owned(), window));
    line("skip_after", &optional(plan.skip_after));
    line("priority", &plan.priority.to_string());
    line("holdout", &plan.holdout.to_string());
    line("start_within", &plan.start_within.to_string());
    for node in &plan.nodes {
        line("node", &node.id);
        line("step", &step(&node.step));
    }
    if let Some(goal) = &plan.goal {
        line("goal", &rule(&goal.rule));
        line("within", &goal.within.to_string());
    }
    out
}

const fn class(class: Class) -> &'static str {
    match class {
        Class::Marketing => "marketing",
        Class::Transactional => "transactional",
    }
}

fn run_per(per: &RunPer) -> String {
    match per {
        RunPer::Customer => "customer".into(),
        RunPer::Cart => "cart".into(),
        RunPer::Order => "order".into(),
        RunPer::Field(var) => var.path().into(),
    }
}

fn start(start: &Start) -> String {
    match start {
        Start::Event { event, condition: it } => {
            format!("event {event} {}", condition(it.as_ref()))
        }
        Start::Schedule { schedule, condition: it, at_most } => format!(
            "schedule {} {} {at_most:?} {}",
            schedule.source().split_whitespace().collect::<Vec<_>>().join(" "),
            schedule.zone().name(),
            condition(it.as_ref())
        ),
        Start::Absent { event, delay, condition: it } => {
            format!("absent {event} {delay} {}", condition(it.as_ref()))
        }
    }
}

fn condition(condition: Option<&Expr>) -> String {
    condition.map_or_else(|| "-".to_owned(), Expr::canonical)
}

fn rule(rule: &EventRule) -> String {
    let matching = match rule.matching {
        Matching::Any => "any",
        Matching::SameItems => "same_items",
        Matching::SameCart => "same_cart",
        Matching::SameOrder => "same_order",
    };
    format!("{} {matching} {}", rule.event, condition(rule.condition.as_ref()))
}

fn again(again: Again) -> String {
    let per = |per| match per {
        AgainPer::Key => "key",
        AgainPer::Customer => "customer",
    };
    match again {
        Again::Always => "always".into(),
        Again::Never { per: of } => format!("never {}", per(of)),
        Again::After { delay, per: of } => format!("after {delay} {}", per(of)),
    }
}

fn optional(value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn window(window: &SendWindow) -> String {
    let (days, zone) = (weekdays(&window.days), clock(&window.zone));
    format!("{days} {} {} {zone}", window.from_minute, window.to_minute)
}

fn weekdays(days: &[bool; 7]) -> String {
    days.iter().map(|open| if *open { '1' } else { '0' }).collect()
}

fn clock(zone: &WindowZone) -> String {
    match zone {
        WindowZone::Fixed(zone) => zone.name().to_owned(),
        WindowZone::Customer { unknown } => {
            format!("customer {}", unknown.as_ref().map_or("-", crate::model::Zone::name))
        }
    }
}

fn moment(moment: &Moment) -> String {
    let day = match &moment.day {
        MomentDay::Weekdays(days) => weekdays(days),
        MomentDay::Date(date) => date.to_string(),
        MomentDay::Fact { var, shift, before } => {
            format!("{} {} {shift}", var.path(), if *before { "before" } else { "after" })
        }
    };
    format!("{day} {} {}", optional(moment.minute), clock(&moment.zone))
}

fn step(step: &Step) -> String {
    match step {
        Step::Wait { delay, and_quiet, next } => {
            format!("wait {delay} {} {next}", optional(*and_quiet))
        }
        Step::WaitQuiet { delay, at_most, next } => {
            format!("wait_quiet {delay} {} {next}", optional(*at_most))
        }
        Step::WaitFor { rule: of, at_most, then, otherwise } => {
            format!("wait_for {at_most} {then} {otherwise} {}", rule(of))
        }
        Step::WaitUntil { moment: until, next } => format!("wait_until {} {next}", moment(until)),
        Step::Experiment { variants } => {
            let each = variants.iter();
            let each = each
                .map(|variant| format!("{} {} {}", variant.name, variant.weight, variant.first));
            format!("experiment {}", each.collect::<Vec<_>>().join(" "))
        }
        Step::FirstOf { messages } => format!("first_of {messages:?}"),
        Step::If { condition: it, then, otherwise } => {
            format!("if {then} {otherwise} {}", condition(Some(it)))
        }
        Step::Message { channel, template, class: of, coupon, next } => format!(
            "{} {template} {} {} {next}",
            channel.as_str(),
            class(*of),
            coupon.as_deref().unwrap_or("-")
        ),
        Step::End => "end".into(),
    }
}
