//! One page that needs nothing else: no script, no font, no picture, no network.

mod chart;
mod funnel;
mod mails;
mod reasons;
mod story;
mod write;

use super::{Input, Next, Report};

use write::Html;

/// How the page looks.
const STYLE: &str = include_str!("page.css");

/// What stands before the title. The policy also holds in the frames of the mails: neither the
/// page nor a mail in it can run a script or load anything.
const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="color-scheme" content="light dark" />
<meta name="referrer" content="no-referrer" />
<title>"#;

/// A part of the page with a heading.
struct Section {
    id: &'static str,
    title: &'static str,
    body: Html,
}

impl Report {
    /// The report as one HTML page, which is well-formed XML, too.
    #[must_use]
    pub fn html(&self) -> String {
        let sections = self.sections();
        let mut html = Html::default();
        html.put(HEAD).text(&self.title).put("</title>\n<style>\n").put(STYLE);
        html.put("</style>\n</head>\n<body>\n<header>\n<p class=\"mark\">Waypost</p>\n<h1>");
        html.text(&self.title).put("</h1>\n<p class=\"lead\">").text(&self.about).put("</p>\n");
        self.figures(&mut html);
        html.put("<nav aria-label=\"On this page\"><ul>");
        for section in &sections {
            html.put("<li><a href=\"#").text(section.id).put("\">");
            html.text(section.title).put("</a></li>");
        }
        html.put("</ul></nav>\n</header>\n<main>\n");
        for section in &sections {
            html.put("<section aria-labelledby=\"").text(section.id).put("\">\n<h2 id=\"");
            html.text(section.id).put("\">").text(section.title).put("</h2>\n");
            html.add(&section.body).put("</section>\n");
        }
        html.put("</main>\n<footer><p>Made by waypost ").text(env!("CARGO_PKG_VERSION"));
        html.put(". Times are UTC.</p></footer>\n</body>\n</html>\n");
        html.into_string()
    }

    /// The sections that have something to say, in order.
    fn sections(&self) -> Vec<Section> {
        let mut sections = Vec::new();
        let mut add = |id, title, body: Option<Html>| {
            sections.extend(body.map(|body| Section { id, title, body }));
        };
        add("journeys", "Journeys", Some(funnel::all(&self.journeys)));
        add("goal", "The goal, with and without messages", funnel::goal(&self.journeys));
        add("time", "Messages over time", chart::all(&self.journeys));
        add("withheld", "What was withheld, and why", reasons::all(&self.journeys));
        add("mails", "Messages as they would be sent", mails::all(&self.mails));
        add("story", "One customer’s story", self.story.as_ref().map(story::told));
        add("run", "What was run", self.run());
        add("next", "Try next", next(&self.next));
        sections
    }

    /// The numbers that one looks at first.
    fn figures(&self, html: &mut Html) {
        let sum = |count: fn(&super::Journey) -> u64| self.journeys.iter().map(count).sum();
        let mut figures: Vec<(&str, u64)> = vec![
            ("runs started", sum(|journey| journey.started)),
            ("messages to be sent", sum(super::Journey::sent)),
            ("messages withheld", sum(super::Journey::withheld)),
        ];
        if self.journeys.iter().any(|journey| journey.goals_after_message.is_some()) {
            let after = sum(|journey| journey.goals_after_message.unwrap_or_default());
            figures.push(("goals reached after a message", after));
        } else if self.journeys.iter().any(|journey| journey.goals.is_some()) {
            figures.push(("runs reached the goal", sum(|j| j.goals.unwrap_or_default())));
        }
        if let Some(input) = &self.input {
            figures.push(("customers seen", input.customers));
        }
        html.put("<dl class=\"figures\">\n");
        for (words, number) in figures {
            html.put("<div><dt>").text(words).put("</dt><dd>").number(number);
            html.put("</dd></div>\n");
        }
        html.put("</dl>\n");
    }

    fn run(&self) -> Option<Html> {
        if self.facts.is_empty() && self.input.is_none() {
            return None;
        }
        let mut html = Html::default();
        html.put("<dl class=\"facts\">\n");
        for (name, value) in &self.facts {
            html.put("<div><dt>").text(name).put("</dt><dd>").text(value).put("</dd></div>\n");
        }
        if let Some(input) = &self.input {
            for (name, value) in [
                ("events applied", input.events),
                ("of these, late", input.late),
                ("came a second time", input.duplicates),
                ("dead letters", input.dead),
            ] {
                html.put("<div><dt>").text(name).put("</dt><dd>").number(value);
                html.put("</dd></div>\n");
            }
            html.put("<div><dt>reach</dt><dd>").text(&input.reach).put("</dd></div>\n");
        }
        html.put("</dl>\n");
        if let Some(input) = &self.input {
            dead_letters(input, &mut html);
        }
        Some(html)
    }
}

fn dead_letters(input: &Input, html: &mut Html) {
    if input.dead_letters.is_empty() {
        return;
    }
    html.put("<table class=\"plain\">\n<caption>Rows that could not become an event");
    if input.dead > input.dead_letters.len() as u64 {
        html.put(" (the first ").text(input.dead_letters.len()).put(")");
    }
    html.put("</caption>\n<thead><tr><th scope=\"col\">Where</th><th scope=\"col\">Why</th></tr></thead>\n<tbody>\n");
    for (position, reason) in &input.dead_letters {
        html.put("<tr><td>").text(position).put("</td><td>").text(reason).put("</td></tr>\n");
    }
    html.put("</tbody>\n</table>\n");
}

fn next(all: &[Next]) -> Option<Html> {
    if all.is_empty() {
        return None;
    }
    let mut html = Html::default();
    html.put("<ol class=\"next\">\n");
    for next in all {
        html.put("<li><p>").prose(&next.words).put("</p><pre><code>").text(&next.command);
        html.put("</code></pre></li>\n");
    }
    html.put("</ol>\n");
    Some(html)
}
