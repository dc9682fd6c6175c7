//! What was withheld and what did not start, by reason, with what the reason means.

use std::collections::BTreeMap;

use crate::engine::Reason;

use super::super::Journey;
use super::funnel::bar;
use super::write::{Html, percent};

/// How many there are of each reason: in all, and by journey and step.
type ByReason<'a> = BTreeMap<Reason, Vec<(String, u64)>>;

/// The tables, if anything was withheld or refused.
pub(super) fn all(journeys: &[Journey]) -> Option<Html> {
    let (mut withheld, mut refused) = (ByReason::new(), ByReason::new());
    for journey in journeys {
        for step in &journey.steps {
            for ((_, reason), count) in &step.messages {
                if let Some(reason) = reason {
                    let place = format!("{} {}", journey.name, step.name);
                    let places = withheld.entry(*reason).or_default();
                    match places.iter_mut().find(|(known, _)| *known == place) {
                        Some((_, sum)) => *sum += count,
                        None => places.push((place, *count)),
                    }
                }
            }
        }
        for (reason, count) in &journey.not_started {
            refused.entry(*reason).or_default().push((journey.name.clone(), *count));
        }
    }
    if withheld.is_empty() && refused.is_empty() {
        return None;
    }
    let mut html = Html::default();
    table(&mut html, "Messages withheld", "messages", &withheld);
    table(&mut html, "Runs that did not start", "starts", &refused);
    Some(html)
}

fn table(html: &mut Html, caption: &'static str, unit: &'static str, by_reason: &ByReason<'_>) {
    if by_reason.is_empty() {
        return;
    }
    let sum = |places: &[(String, u64)]| places.iter().map(|(_, count)| count).sum::<u64>();
    let whole = by_reason.values().map(|places| sum(places)).sum::<u64>();
    let mut rows: Vec<_> = by_reason.iter().collect();
    rows.sort_by_key(|(_, places)| std::cmp::Reverse(sum(places)));
    html.put("<table class=\"funnel reasons\">\n<caption>").put(caption).put(
        "</caption>\n<thead class=\"unseen\"><tr><th scope=\"col\">reason</th><th scope=\"col\">",
    );
    html.put(unit).put("</th><th scope=\"col\">share</th></tr></thead>\n<tbody>\n");
    for (reason, places) in rows {
        let count = sum(places);
        html.put("<tr class=\"withheld\"><th scope=\"row\"><code>").text(reason.as_str());
        html.put("</code> ").prose(reason.meaning()).put(" <span class=\"parts\">");
        for (place, (words, count)) in places.iter().enumerate() {
            html.put(if place == 0 { "" } else { ", " });
            html.put("<span>").text(words).put("&#160;").number(*count).put("</span>");
        }
        html.put("</span><span class=\"track\">");
        bar(html, "withheld", count, whole);
        html.put("</span></th><td>");
        html.number(count).put("</td><td class=\"share\">").text(percent(count, whole));
        html.put("</td></tr>\n");
    }
    html.put("</tbody>\n</table>\n");
}
