//! A replay's summary in words and columns.

use std::collections::BTreeMap;

use crate::engine::Reason;
use crate::replay::{Funnel, Summary, grouped};

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
    for (journey, funnel) in &summary.journeys {
        say("");
        say(journey);
        journey_lines(funnel);
    }
}

fn journey_lines(funnel: &Funnel) {
    let line = |words: &str, count: u64| say(&format!("  {words:<34} {:>9}", grouped(count)));
    line("runs started", funnel.started);
    for (step, messages) in &funnel.steps {
        line(&format!("{step}: send"), messages.send);
        for (reason, count) in &messages.withheld {
            line(&format!("{step}: withheld, {}", reason.as_str()), *count);
        }
    }
    reasons("stopped", &funnel.stopped, &line);
    line("came to their end", funnel.ended);
    // An erased customer's runs leave no trace of their end.
    let over = funnel.ended + funnel.stopped.values().sum::<u64>();
    line("under way at the end, or erased", funnel.started.saturating_sub(over));
    if funnel.goals > 0 {
        line("reached the goal", funnel.goals);
    }
    reasons("not started", &funnel.not_started, &line);
    let unknowable = funnel.unknowable.len() as u64;
    if unknowable > 0 {
        say(&format!(
            "  {} runs waited for replies (opens, clicks) to messages that were never sent: what followed is not known",
            grouped(unknowable)
        ));
    }
}

fn reasons(what: &str, by: &BTreeMap<Reason, u64>, line: &dyn Fn(&str, u64)) {
    for (reason, count) in by {
        let words = match reason {
            Reason::Stopped => "by a stop rule",
            Reason::GaveWay => "gave way",
            other => other.as_str(),
        };
        line(&format!("{what}, {words}"), *count);
    }
}
