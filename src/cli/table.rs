//! What journeys came to, in words and columns.

use std::collections::BTreeMap;
use std::path::Path;

use crate::engine::Reason;
use crate::journey::Plan;
use crate::model::Text;
use crate::replay::{Differences, Summary, grouped};
use crate::report::Journey;
use crate::store::MessageStatus;

use super::talk::say;

/// How many dead letters are shown.
const DEAD_SHOWN: usize = 5;

/// Says what a replay of these journeys came to.
pub(super) fn summary(summary: &Summary, plans: &[Plan]) {
    say(&summary.reach());
    say(&format!(
        "events: {} applied, {} late, {} duplicates, {} dead letters",
        grouped(summary.events),
        grouped(summary.late),
        grouped(summary.duplicates),
        grouped(summary.dead),
    ));
    if summary.dropped > 0 {
        say(&format!("dropped, of erased customers: {}", grouped(summary.dropped)));
    }
    for dead in summary.dead_letters.iter().take(DEAD_SHOWN) {
        say(&format!("  {}: {}", dead.position, dead.reason));
    }
    if summary.dead > DEAD_SHOWN as u64 {
        say(&format!("  and {} more", grouped(summary.dead - DEAD_SHOWN as u64)));
    }
    for (name, funnel) in &summary.journeys {
        say("");
        let plan = plans.iter().find(|plan| plan.name == *name);
        // A plan's steps stand in the order of the story.
        let empty = plan.map_or_else(|| Journey::named(name), Journey::of_plan);
        for line in journey(&empty.counted(funnel)) {
            say(&line);
        }
        let unknowable = funnel.unknowable.len() as u64;
        if unknowable > 0 {
            say(&format!(
                "  {} runs waited for replies (opens, clicks) to messages that were never sent: what followed is not known",
                grouped(unknowable)
            ));
        }
    }
    let nobody = plans.iter().map(|plan| &plan.name);
    let mut nobody: Vec<&str> =
        nobody.filter(|name| !summary.journeys.contains_key(*name)).map(Text::as_str).collect();
    if !nobody.is_empty() {
        nobody.sort_unstable();
        say("");
        say(&format!("nobody started: {}", nobody.join(", ")));
    }
}

/// What came of a journey, in lines.
pub(super) fn journey(journey: &Journey) -> Vec<String> {
    let mut lines = vec![journey.name.clone()];
    let mut line = |words: &str, count: u64| {
        lines.push(format!("  {words:<34} {:>9}", grouped(count)));
    };
    line("runs started", journey.started);
    for step in &journey.steps {
        for ((status, reason), count) in &step.messages {
            let status = match status {
                MessageStatus::Decided => "send",
                MessageStatus::Withheld | MessageStatus::Cancelled => status.as_str(),
            };
            let reason = reason.map_or_else(String::new, |reason| format!(", {}", reason.as_str()));
            line(&format!("{}: {status}{reason}", step.name), *count);
        }
        for (outcome, count) in &step.outcomes {
            line(&format!("{}: outcome {outcome}", step.name), *count);
        }
    }
    reasons("stopped", &journey.stopped, &mut line);
    line("came to their end", journey.ended);
    line("under way at the end, or erased", journey.under_way());
    for (words, count) in journey.goal_lines() {
        line(words, count);
    }
    reasons("not started", &journey.not_started, &mut line);
    lines
}

/// What came of all journeys, a line for each.
pub(super) fn journeys(journeys: &[Journey]) -> Vec<String> {
    let row = |name: &str, columns: [String; 5]| {
        let [started, sent, withheld, under_way, goal] = columns;
        format!("{name:<26} {started:>9} {sent:>9} {withheld:>9} {under_way:>9} {goal:>9}")
    };
    let heads = ["started", "to send", "withheld", "under way", "goal"].map(str::to_owned);
    let mut lines = vec![row("", heads)];
    for journey in journeys {
        let counts = [journey.started, journey.sent(), journey.withheld(), journey.under_way()];
        let [started, sent, withheld, under_way] = counts.map(grouped);
        let goal = journey.goals.map_or_else(|| "-".to_owned(), grouped);
        lines.push(row(&journey.name, [started, sent, withheld, under_way, goal]));
    }
    lines
}

fn reasons(what: &str, by: &BTreeMap<Reason, u64>, line: &mut dyn FnMut(&str, u64)) {
    for (reason, count) in by {
        let words = match reason {
            Reason::Stopped => "by a stop rule",
            Reason::GaveWay => "gave way",
            other => other.as_str(),
        };
        line(&format!("{what}, {words}"), *count);
    }
}

/// Says how a replay differs from an earlier one.
pub(super) fn differences(path: &Path, found: &Differences) {
    say("");
    say(&format!("against {}, messages to be sent:", path.display()));
    say(&format!(
        "  {:<26} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "the same", "moved", "changed", "gone", "new"
    ));
    for (journey, counts) in &found.journeys {
        let [same, moved, changed, gone, new] =
            [counts.same, counts.moved, counts.changed, counts.gone, counts.new].map(grouped);
        say(&format!("  {journey:<26} {same:>9} {moved:>9} {changed:>9} {gone:>9} {new:>9}"));
    }
    if found.customers.is_empty() {
        say("nobody differs");
        return;
    }
    let gone = found.gone.iter().map(|(why, count)| (why.to_string(), *count));
    said_why("gone", gone.collect());
    let new = found.new.iter().map(|(reason, count)| match reason {
        Some(reason) => (format!("withheld before, {}", reason.as_str()), *count),
        None => ("not decided before".to_owned(), *count),
    });
    said_why("new", new.collect());
    let named = found.first.len();
    say(&format!(
        "{} customers differ; the first {named} messages that do, gone and new ones first:",
        grouped(found.customers.len() as u64)
    ));
    for one in &found.first {
        let fate = |fate: Option<(_, Option<Reason>)>| match fate {
            None => "nothing".to_owned(),
            Some((at, None)) => format!("send {at}"),
            Some((_, Some(reason))) => format!("withheld, {}", reason.as_str()),
        };
        let (before, after) = (fate(one.before), fate(one.after));
        let after = match &one.gone {
            Some(why) => why.to_string(),
            None if before == after => "the same with other content".to_owned(),
            None => after,
        };
        say(&format!("  {}  {} {}: {before} -> {after}", one.customer, one.journey, one.step));
    }
}

/// Says how many messages are gone or new and why, the most first.
fn said_why(what: &str, mut by: Vec<(String, u64)>) {
    if by.is_empty() {
        return;
    }
    by.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let parts: Vec<String> =
        by.into_iter().map(|(why, count)| format!("{} {why}", grouped(count))).collect();
    say(&format!("{what}: {}", parts.join(", ")));
}
