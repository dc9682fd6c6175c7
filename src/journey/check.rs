//! Checks that see a whole journey, or all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile, did_you_mean};
use crate::model::EventName;
use crate::yaml::Spanned;

use super::compile::Loaded;
use super::syntax::EventRuleSyntax;
use super::{Matching, Plan, RunPer, Start};

/// Names that are declared twice, and names that are not declared at all. `unread` are the names of
/// journeys whose files can't be read: they may well be named.
pub(super) fn across_files(files: &[Loaded], unread: &BTreeSet<String>, report: &mut Report) {
    let mut declared: BTreeMap<&str, &Loaded> = BTreeMap::new();
    for file in files {
        let Some(name) = &file.syntax.journey.0 else { continue };
        if let Some(first) = declared.get(name.value.0.as_str()) {
            let first_span = first.syntax.journey.0.as_ref().map_or(0, |name| name.span.start);
            let (line, _) = first.file.line_column(first_span);
            report.push(
                Diagnostic::error(
                    Code::DuplicateJourney,
                    &file.file,
                    name.span.clone(),
                    format!("the journey `{}` is declared twice", name.value.0),
                )
                .help(format!("the first is in {}, line {line}", first.file.path)),
            );
            continue;
        }
        declared.insert(&name.value.0, file);
    }
    for file in files {
        let Some(others) = &file.syntax.gives_way_to else { continue };
        for other in others.clone().into_vec() {
            let own_name = file.syntax.journey.0.as_ref().map(|name| &name.value.0);
            if own_name == Some(&other.value.0) {
                report.push(Diagnostic::error(
                    Code::UnknownJourney,
                    &file.file,
                    other.span,
                    "a journey can't give way to itself",
                ));
            } else if !declared.contains_key(other.value.0.as_str())
                && !unread.contains(other.value.0.as_str())
            {
                report.push(
                    Diagnostic::error(
                        Code::UnknownJourney,
                        &file.file,
                        other.span,
                        format!("no journey is called `{}`", other.value.0),
                    )
                    .maybe_help(did_you_mean(&other.value.0, declared.keys().copied())),
                );
            }
        }
    }
}

/// A journey about a cart must end when the customer buys, unless its author says that it is
/// meant to go on: otherwise a reminder would follow a purchase.
pub(super) fn order_stop(
    plan: &Plan,
    keeps_after_order: bool,
    stops: &[EventRuleSyntax],
    file: &Arc<SourceFile>,
    start: std::ops::Range<usize>,
    report: &mut Report,
) {
    let Start::Event { event, .. } = &plan.start else { return };
    let about_a_cart = event.is_cart()
        || matches!(
            event,
            EventName::ProductViewed
                | EventName::WishlistItemAdded
                | EventName::WishlistItemRemoved
        );
    let on_order = |rule: &&EventRuleSyntax| rule.event.value == EventName::OrderPlaced;
    // A condition lets orders pass by what nobody thought of; `match` says which are about it.
    let stopped = stops.iter().filter(on_order).any(|rule| rule.condition.is_none());
    if !about_a_cart || stopped || keeps_after_order {
        return;
    }
    let of_orders = |rule: &&EventRuleSyntax| match &rule.event.value {
        EventName::Custom(name) => name.starts_with("order"),
        _ => false,
    };
    // What comes nearest to the rule that is missing.
    let conditional = stops.iter().find(on_order);
    let misnamed = stops.iter().find(of_orders);
    let nearest = conditional.or(misnamed).or_else(|| stops.first());
    let span = nearest.map_or(start, |rule| rule.event.span.clone());
    let help = if conditional.is_some() {
        "a rule with `if` lets some orders pass: add one without (`match` may narrow it), or \
         `keeps_after_order: true` if it is meant to go on"
    } else if misnamed.is_some() {
        "did you mean `order.placed`? Write `keeps_after_order: true` if it is meant to go on"
    } else if nearest.is_some() {
        "add `- { event: order.placed }` to these rules, or `keeps_after_order: true` if it is \
         meant to go on"
    } else {
        "add `stops_when: [ { event: order.placed } ]`, or `keeps_after_order: true` if it is \
         meant to go on"
    };
    report.push(
        Diagnostic::error(
            Code::NoOrderStop,
            file,
            span,
            format!("a journey started by {event} must stop when an order is placed"),
        )
        .help(help),
    );
}

/// A rule about the run's own cart or order needs runs that have one: else it would never match.
pub(super) fn matching(matching: &Spanned<Matching>, loaded: &Loaded, report: &mut Report) {
    let syntax = &loaded.syntax;
    let Some(starts) = &syntax.starts_when.0 else { return };
    let start = starts.value.event.as_ref().map(|event| &event.value);
    let per = syntax.one_run_per.as_ref().map_or(&RunPer::Customer, |per| &per.value.0);
    let (what, help) = match matching.value {
        Matching::Any | Matching::SameItems => return,
        Matching::SameCart if *per == RunPer::Cart || start.is_some_and(EventName::is_cart) => {
            return;
        }
        Matching::SameCart => ("cart", "write `one_run_per: cart`, or start it by a cart event"),
        Matching::SameOrder if *per == RunPer::Order || start.is_some_and(may_tell_of_an_order) => {
            return;
        }
        Matching::SameOrder => {
            ("order", "write `one_run_per: order`, or start it by an event such as order.placed")
        }
    };
    report.push(
        Diagnostic::error(
            Code::Conflict,
            &loaded.file,
            matching.span.clone(),
            format!("a run of this journey has no {what} of its own"),
        )
        .help(help),
    );
}

/// Of the events that are known, those about orders and coupons carry an order; one of the shop's
/// own may.
const fn may_tell_of_an_order(event: &EventName) -> bool {
    event.is_order()
        || matches!(
            event,
            EventName::CouponIssued | EventName::CouponRedeemed | EventName::Custom(_)
        )
}
