//! Messages over time: one chart for each journey, all over the same time.

use crate::model::{DAY_MS, HOUR_MS, Timestamp};

use super::super::{Bar, Journey};
use super::write::{Html, tenths};

/// The most bars of a chart: on a phone each still has five points.
const BARS_MAX: usize = 60;
/// The most labels below a chart; on a phone every second one is shown.
const LABELS_MAX: usize = 8;

/// How the table below the charts begins.
const TABLE: &str = r#"<details><summary>As a table</summary>
<table class="plain numbers">
<caption class="unseen">Messages over time</caption>
<thead><tr><th scope="col">journey</th><th scope="col">from</th><th scope="col">to be sent</th><th scope="col">withheld</th></tr></thead>
<tbody>
"#;

/// The charts, if any message was decided.
pub(super) fn all(journeys: &[Journey]) -> Option<Html> {
    let ranges = || journeys.iter().filter_map(|journey| journey.times.range());
    let from = ranges().map(|(from, _)| from).min()?;
    let to = ranges().map(|(_, to)| to).max()?;
    // One length of bars for all charts: the longest that any of them needs.
    let lengths = |least| {
        let length = |journey: &Journey| journey.times.length(from, to, least, BARS_MAX);
        journeys.iter().map(length).max().unwrap_or(least)
    };
    let length = lengths(0);
    let mut html = Html::default();
    html.put("<p class=\"legend\"><span class=\"key sent\">to be sent</span> <span class=\"key withheld\">withheld</span> by when they are due, ");
    html.text(each(length)).put(". Each chart has its own scale.</p>\n<div class=\"charts\">\n");
    let decided = || journeys.iter().filter(|journey| !journey.times.is_empty());
    for journey in decided() {
        chart(&mut html, journey, length, &journey.times.bars(from, to, length));
    }
    html.put("</div>\n");
    let length = lengths(DAY_MS);
    html.put(TABLE);
    for journey in decided() {
        rows(&mut html, journey, length, &journey.times.bars(from, to, length));
    }
    html.put("</tbody>\n</table>\n</details>\n");
    Some(html)
}

fn chart(html: &mut Html, journey: &Journey, length: i64, bars: &[Bar]) {
    let most = bars.iter().map(|bar| bar.sent + bar.withheld).max().unwrap_or_default();
    html.put("<figure class=\"chart\">\n<figcaption><b>")
        .text(&journey.name)
        .put("</b> <span class=\"muted\">up to ");
    html.number(most).put("</span></figcaption>\n<svg role=\"img\" aria-label=\"Messages of ");
    html.text(&journey.name).put(" over time; the table below has the numbers\" viewBox=\"0 0 ");
    html.text(bars.len() * 10).put(" 1000\" preserveAspectRatio=\"none\">\n");
    for (place, bar) in bars.iter().enumerate().filter(|(_, bar)| bar.sent + bar.withheld > 0) {
        html.put("<g><title>").text(label(bar.from, length)).put(": ").number(bar.sent);
        html.put(" to be sent, ").number(bar.withheld).put(" withheld</title>");
        let sent = tenths(bar.sent, most);
        let all = tenths(bar.sent + bar.withheld, most);
        rect(html, "withheld", place, 1_000 - all, all - sent);
        rect(html, "sent", place, 1_000 - sent, sent);
        html.put("</g>\n");
    }
    html.put("</svg>\n<div class=\"axis\" aria-hidden=\"true\">");
    for (place, words) in labels(length, bars) {
        html.put("<span style=\"left:").text(format_args!("{}.{}", place / 10, place % 10));
        html.put("%\">").text(words).put("</span>");
    }
    html.put("</div>\n</figure>\n");
}

fn rect(html: &mut Html, class: &'static str, place: usize, top: u64, height: u64) {
    if height > 0 {
        html.put("<rect class=\"").put(class).put("\" x=\"").text(place * 10 + 1).put("\" y=\"");
        html.text(top).put("\" width=\"8\" height=\"").text(height).put("\"></rect>");
    }
}

/// What stands below a chart, and where, in tenths of a percent: the beginnings of days where bars
/// are shorter.
fn labels(length: i64, bars: &[Bar]) -> Vec<(u64, String)> {
    let begins = |bar: &Bar| length >= DAY_MS || bar.from.ms().rem_euclid(DAY_MS) == 0;
    let places: Vec<usize> =
        bars.iter().enumerate().filter(|(_, bar)| begins(bar)).map(|(place, _)| place).collect();
    let every = places.len().div_ceil(LABELS_MAX).max(1);
    let shown = places.iter().step_by(every);
    shown
        .map(|place| {
            let at = tenths(*place as u64, bars.len() as u64);
            (at, label(bars[*place].from, length.max(DAY_MS)))
        })
        .collect()
}

/// A span in words, by when it begins.
fn label(from: Timestamp, length: i64) -> String {
    let format = match length {
        ..DAY_MS => "%a %-d %b, %H:%M",
        DAY_MS => "%a %-d %b",
        _ => "%-d %b %Y",
    };
    from.zoned(&crate::model::Zone::utc()).strftime(format).to_string()
}

fn each(length: i64) -> String {
    match (length / DAY_MS, length / HOUR_MS) {
        (0, 1) => "by hour".to_owned(),
        (0, hours) => format!("by {hours} hours"),
        (1, _) => "by day".to_owned(),
        (days, _) if days % 7 == 0 => format!("by {} weeks", days / 7).replace("1 weeks", "week"),
        (days, _) => format!("by {days} days"),
    }
}

/// The same numbers as a table, by day or longer.
fn rows(html: &mut Html, journey: &Journey, length: i64, bars: &[Bar]) {
    for bar in bars.iter().filter(|bar| bar.sent + bar.withheld > 0) {
        html.put("<tr><th scope=\"row\">").text(&journey.name).put("</th><td>");
        html.text(label(bar.from, length)).put("</td><td>").number(bar.sent);
        html.put("</td><td>").number(bar.withheld).put("</td></tr>\n");
    }
}
