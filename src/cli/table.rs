//! What journeys came to, in words and columns.

use std::collections::BTreeMap;
use std::path::Path;

use crate::engine::Reason;
use crate::replay::{Differences, Summary, grouped};
use crate::report::Journey;
use crate::store::MessageStatus;

use super::talk::say;

/// How many dead letters are shown.
const DEAD_SHOWN: usize = 5;

/// Says what a replay came to.
pub(super) fn summary(summary: &Summary) {
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
        for line in journey(&Journey::named(name).counted(funnel)) {
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
    if let Some(goals) = journey.goals.filter(|goals| *goals > 0) {
        line("reached the goal", goals);
    }
    reasons("not started", &journey.not_started, &mut line);
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
    let named = found.first.len();
    say(&format!(
        "{} customers differ; the first {named} messages that do:",
        grouped(found.customers.len() as u64)
    ));
    for one in &found.first {
        let fate = |fate: Option<(_, Option<Reason>)>| match fate {
            None => "nothing".to_owned(),
            Some((at, None)) => format!("send {at}"),
            Some((_, Some(reason))) => format!("withheld, {}", reason.as_str()),
        };
        let (before, after) = (fate(one.before), fate(one.after));
        let after = if before == after { "the same with other content".to_owned() } else { after };
        say(&format!("  {}  {} {}: {before} -> {after}", one.customer, one.journey, one.step));
    }
}
