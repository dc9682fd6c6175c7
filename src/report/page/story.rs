//! One customer's story on a timeline.

use super::super::{Kind, Story};
use super::write::Html;

/// The story.
pub(super) fn told(story: &Story) -> Html {
    let mut html = Html::default();
    html.put("<p class=\"muted\">What happened to customer ").text(&story.customer);
    html.put(", and what each journey made of it.</p>\n<ol class=\"story\">\n");
    for line in &story.lines {
        html.put("<li class=\"").put(class(line.kind)).put("\">");
        html.time(line.at, "%a %-d %b, %H:%M:%S").put(" <span>");
        if let Some(journey) = &line.journey {
            html.put("<b>").text(journey).put("</b> ");
        }
        html.prose(&line.words).put("</span></li>\n");
    }
    html.put("</ol>\n");
    html
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Started => "started",
        Kind::Sent => "sent",
        Kind::Withheld => "withheld",
        Kind::Stopped => "stopped",
        Kind::GaveWay => "gave-way",
        Kind::Goal => "goal",
        Kind::Merged | Kind::Other => "other",
    }
}
