//! What came of each journey: a table with bars.

use crate::engine::Reason;
use crate::store::MessageStatus;

use super::super::{Group, Journey, Step};
use super::write::{Html, percent, tenths};

/// Every journey's funnel.
pub(super) fn all(journeys: &[Journey]) -> Html {
    let mut html = Html::default();
    if journeys.is_empty() {
        html.put("<p>There are no journeys.</p>\n");
        return html;
    }
    html.put("<div class=\"cards\">\n");
    for journey in journeys {
        card(journey, &mut html);
    }
    html.put("</div>\n");
    html
}

fn card(journey: &Journey, html: &mut Html) {
    html.put("<article class=\"card\">\n<h3>")
        .text(&journey.name)
        .put("</h3>\n<p class=\"muted\">");
    if let Some(description) = &journey.description {
        html.text(description).put(" ");
    }
    if !journey.versions.is_empty() {
        html.put("<span class=\"version\">version ").text(journey.versions.join(", "));
        html.put("</span>");
    }
    html.put("</p>\n");
    if journey.started == 0 && journey.steps.iter().all(|step| step.messages.is_empty()) {
        html.put("<p>Nobody started it.</p>\n</article>\n");
        return;
    }
    html.put("<table class=\"funnel\">\n<caption class=\"unseen\">Funnel of ").text(&journey.name);
    html.put("</caption>\n<thead class=\"unseen\"><tr><th scope=\"col\">what</th><th scope=\"col\">how many</th><th scope=\"col\">of the runs started</th></tr></thead>\n<tbody>\n");
    let row = |html: &mut Html, class, words: &str, count| {
        line(html, class, count, journey.started, |html| {
            html.text(words);
        });
    };
    row(html, "run", "runs started", journey.started);
    for step in &journey.steps {
        messages(html, step, journey.started);
    }
    for (words, count) in journey.goal_lines() {
        row(html, "goal", words, count);
    }
    html.put("</tbody>\n</table>\n");
    ends(html, journey);
    html.put("</article>\n");
}

/// How the runs ended: one bar of all of them, and what its parts are.
fn ends(html: &mut Html, journey: &Journey) {
    let mut parts: Vec<(&str, &str, u64)> = Vec::new();
    parts.push(("run", "came to their end", journey.ended));
    let mut stopped: Vec<_> = journey.stopped.iter().collect();
    stopped.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (reason, count) in stopped {
        let class = match reason {
            Reason::Stopped => "stopped",
            Reason::GaveWay => "gave-way",
            _ => "other",
        };
        parts.push((class, ended(*reason), *count));
    }
    parts.push(("waiting", "under way at the end, or erased", journey.under_way()));
    parts.retain(|(.., count)| *count > 0);
    html.put("<table class=\"ends\">\n<caption>How the runs ended<span class=\"track\" aria-hidden=\"true\">");
    for (class, _, count) in &parts {
        bar(html, class, *count, journey.started);
    }
    html.put("</span></caption>\n<thead class=\"unseen\"><tr><th scope=\"col\">how</th><th scope=\"col\">runs</th><th scope=\"col\">of the runs started</th></tr></thead>\n<tbody>\n");
    for (class, words, count) in parts {
        html.put("<tr><th scope=\"row\"><span class=\"dot ").text(class).put("\"></span>");
        html.prose(words).put("</th><td>").number(count).put("</td><td class=\"share\">");
        html.text(percent(count, journey.started)).put("</td></tr>\n");
    }
    html.put("</tbody>\n</table>\n");
}

/// The rows of one step: to be sent, and withheld with the reasons.
fn messages(html: &mut Html, step: &Step, started: u64) {
    line(html, "sent", step.sent(), started, |html| {
        html.put("<b>").text(&step.name).put("</b> to be sent");
        let outcomes = step.outcomes.iter().map(|(word, count)| (word.as_str(), *count));
        parts(html, outcomes.collect());
    });
    if step.withheld() > 0 {
        line(html, "withheld", step.withheld(), started, |html| {
            html.put("<b>").text(&step.name).put("</b> withheld");
            let mut by: Vec<(&str, u64)> = Vec::new();
            for ((status, reason), count) in &step.messages {
                if *status == MessageStatus::Decided {
                    continue;
                }
                let word = reason.map_or(status.as_str(), Reason::as_str);
                match by.iter_mut().find(|(known, _)| *known == word) {
                    Some((_, sum)) => *sum += count,
                    None => by.push((word, *count)),
                }
            }
            parts(html, by);
        });
    }
}

/// What a number is made of, the largest part first.
fn parts(html: &mut Html, mut parts: Vec<(&str, u64)>) {
    if parts.is_empty() {
        return;
    }
    parts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    html.put(" <span class=\"parts\">");
    for (place, (word, count)) in parts.into_iter().enumerate() {
        html.put(if place == 0 { "" } else { ", " });
        html.put("<span>").text(word).put("&#160;").number(count).put("</span>");
    }
    html.put("</span>");
}

/// A row with its bar.
fn line(
    html: &mut Html,
    class: &'static str,
    count: u64,
    started: u64,
    words: impl FnOnce(&mut Html),
) {
    html.put("<tr class=\"").text(class).put("\"><th scope=\"row\">");
    words(html);
    html.put("<span class=\"track\">");
    bar(html, class, count, started);
    html.put("</span></th><td>")
        .number(count)
        .put("</td><td class=\"share\">")
        .text(percent(count, started));
    html.put("</td></tr>\n");
}

/// A bar as wide as the share is.
pub(super) fn bar(html: &mut Html, class: &str, part: u64, whole: u64) {
    if part == 0 {
        return;
    }
    // A step may be passed more than once in a run.
    let width = tenths(part, whole).min(1_000);
    html.put("<span class=\"bar ").text(class).put("\" style=\"width:");
    html.text(format_args!("{}.{}", width / 10, width % 10)).put("%\"></span>");
}

fn ended(reason: Reason) -> &'static str {
    match reason {
        Reason::Stopped => "stopped by a stop rule",
        Reason::GaveWay => "gave way to another journey",
        Reason::OnlyWhile => "ended, `only_while` did not hold",
        Reason::Moved => "ended, the cart went to another customer",
        Reason::Merged => "ended, one run of two after a merge",
        other => other.as_str(),
    }
}

/// Who reached the goal in the journey and in its holdout, where that is known.
pub(super) fn goal(journeys: &[Journey]) -> Option<Html> {
    let mut html = Html::default();
    let mut any = false;
    for journey in journeys {
        let Some(people) = &journey.people else { continue };
        if people.in_journey.customers + people.holdout.customers == 0 {
            continue;
        }
        any = true;
        html.put("<table class=\"plain numbers\">\n<caption>Customers of ").text(&journey.name);
        html.put(" who reached the goal</caption>\n<thead><tr><th scope=\"col\">group</th><th scope=\"col\">customers</th><th scope=\"col\">reached</th><th scope=\"col\">rate, 95% interval</th></tr></thead>\n<tbody>\n");
        group(&mut html, "may get messages", &people.in_journey);
        group(&mut html, "holdout, gets none", &people.holdout);
        html.put("</tbody>\n</table>\n<p>");
        match people.difference() {
            Some((difference, (low, high))) => {
                html.put("The difference is ").text(points(difference));
                html.put(" points; its 95% interval goes from ").text(points(low));
                html.put(" to ").text(points(high));
                html.put(". Customers count in the group of their first run, whether a message reached them or not.");
            }
            None => {
                html.put("Without customers in both groups nothing can be said about what the messages do: <code>holdout</code> in the journey keeps a share of customers without.");
            }
        }
        html.put("</p>\n");
    }
    any.then_some(html)
}

fn group(html: &mut Html, words: &'static str, group: &Group) {
    html.put("<tr><th scope=\"row\">").put(words).put("</th><td>").number(group.customers);
    html.put("</td><td>").number(group.reached).put("</td><td>");
    match group.rate().zip(group.interval()) {
        Some((rate, (low, high))) => {
            html.text(rated(rate)).put(" <span class=\"parts\">").text(rated(low));
            html.put(" to ").text(rated(high)).put("</span>");
        }
        None => {
            html.put("–");
        }
    }
    html.put("</td></tr>\n");
}

fn rated(rate: f64) -> String {
    format!("{:.1}%", rate * 100.0)
}

/// A difference of rates in percentage points, with its sign.
fn points(difference: f64) -> String {
    format!("{:+.1}", difference * 100.0).replace('-', "−")
}
