//! A look at the markup: where variables may stand, and which MJML there is.
//!
//! Escaping fits text and quoted attributes only. So a variable may stand in text, and in the few
//! attributes that mails need: elsewhere (styles, scripts, names of tags) it is refused. In `href`
//! and `src` the beginning decides what an address does, so a variable that begins one goes
//! through [`SAFE_URL`].

use std::ops::Range;

use crate::diagnostic::{Code, Report, did_you_mean};

use super::folder::Format;
use super::spliced::Spliced;
use super::tags::{self, Tag, TagKind};

/// The function put around a value that begins an address. Authors don't write it.
pub(super) const SAFE_URL: &str = "safe_url";

/// Attributes that hold addresses.
const ADDRESSES: [&str; 2] = ["href", "src"];
/// Attributes that hold text.
const TEXTS: [&str; 3] = ["alt", "title", "aria-label"];
/// The deepest nesting of elements: parsers of markup call themselves for each.
const LEVELS_MAX: usize = 100;

/// HTML elements without an end, and those whose end may be left out.
const VOID: [&str; 16] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr", "p", "li",
];

/// MJML's elements, each with those it may stand in; none means anywhere in the head.
const MJML: &[(&str, &[&str])] = &[
    ("mjml", &[""]),
    ("mj-head", &["mjml"]),
    ("mj-body", &["mjml"]),
    ("mj-attributes", &["mj-head"]),
    ("mj-all", &["mj-attributes"]),
    ("mj-class", &["mj-attributes"]),
    ("mj-breakpoint", &["mj-head"]),
    ("mj-font", &["mj-head"]),
    ("mj-style", &["mj-head"]),
    ("mj-title", &["mj-head"]),
    ("mj-wrapper", &["mj-body"]),
    ("mj-section", &["mj-body", "mj-wrapper"]),
    ("mj-hero", &["mj-body", "mj-wrapper"]),
    ("mj-group", &["mj-section"]),
    ("mj-column", &["mj-section", "mj-group"]),
    ("mj-accordion", &["mj-column", "mj-hero"]),
    ("mj-accordion-element", &["mj-accordion"]),
    ("mj-accordion-title", &["mj-accordion-element"]),
    ("mj-accordion-text", &["mj-accordion-element"]),
    ("mj-button", &["mj-column", "mj-hero"]),
    ("mj-carousel", &["mj-column", "mj-hero"]),
    ("mj-carousel-image", &["mj-carousel"]),
    ("mj-divider", &["mj-column", "mj-hero"]),
    ("mj-image", &["mj-column", "mj-hero"]),
    ("mj-navbar", &["mj-column", "mj-hero"]),
    ("mj-navbar-link", &["mj-navbar"]),
    (
        "mj-raw",
        &["mj-head", "mj-body", "mj-wrapper", "mj-section", "mj-group", "mj-column", "mj-hero"],
    ),
    ("mj-social", &["mj-column", "mj-hero"]),
    ("mj-social-element", &["mj-social"]),
    ("mj-spacer", &["mj-column", "mj-hero"]),
    ("mj-table", &["mj-column", "mj-hero"]),
    ("mj-text", &["mj-column", "mj-hero"]),
];

/// MJML that templates do without, with the way out.
const WITHOUT: [(&str, &str); 4] = [
    ("mj-include", "write `{{> name}}`, with the file in templates/_partials"),
    ("mj-preview", "write `preheader: …` in the front matter"),
    ("mj-html-attributes", "write the attributes where they belong"),
    ("mj-selector", "write the attributes where they belong"),
];

/// What was found of a text's markup.
#[derive(Debug, Default)]
pub(super) struct Markup {
    /// The text with its addresses made safe.
    pub safe: Spliced,
    /// The styles of `<mj-style inline="inline">`, in their order.
    pub inline_styles: String,
}

/// Looks at the markup; mistakes go to the report.
pub(super) fn look(whole: &Spliced, format: Format, report: &mut Report) -> Markup {
    let tags = tags::tags(&whole.text).unwrap_or_default();
    let mut look = Look {
        whole,
        tags: &tags,
        report,
        at: 0,
        open: Vec::new(),
        blocks: Vec::new(),
        insertions: Vec::new(),
        inline_styles: String::new(),
    };
    look.run(format == Format::Mjml);
    let Look { insertions, inline_styles, .. } = look;
    Markup { safe: whole.with_insertions(&insertions), inline_styles }
}

struct Look<'a> {
    whole: &'a Spliced,
    tags: &'a [Tag<'a>],
    report: &'a mut Report,
    at: usize,
    /// The elements that are open, in lower case.
    open: Vec<String>,
    /// For each block that is open, in how many elements it stands.
    blocks: Vec<usize>,
    insertions: Vec<(usize, String)>,
    inline_styles: String,
}

impl<'a> Look<'a> {
    fn text(&self) -> &'a str {
        &self.whole.text
    }

    fn rest(&self) -> &'a str {
        &self.text()[self.at..]
    }

    fn run(&mut self, is_mjml: bool) {
        while let Some(next) = self.rest().find(['<', '{']) {
            self.at += next;
            if let Some(tag) = self.tag_at(self.at) {
                self.block(tag);
                self.at = tag.span.end;
            } else if self.rest().starts_with("<!--[if") {
                // Outlook reads what stands in a conditional comment.
                self.at += self.rest().find("]>").map_or(4, |end| end + 2);
            } else if self.rest().starts_with("<!--") {
                self.at += self.rest().find("-->").map_or(4, |end| end + 3);
            } else if self.rest()[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
                && self.rest().starts_with('<')
            {
                if !self.element(is_mjml) {
                    return;
                }
            } else {
                self.at += 1;
            }
        }
    }

    /// A block that holds half an element would leave the other half behind.
    fn block(&mut self, tag: &Tag<'_>) {
        match tag.kind {
            TagKind::Open(_) => self.blocks.push(self.open.len()),
            TagKind::Else | TagKind::Close(_) => {
                let Some(level) = self.blocks.last().copied() else { return };
                if level != self.open.len() {
                    let message = "this block begins and ends in different elements";
                    let help = "put blocks around whole elements";
                    self.fail(Code::Markup, tag.span.clone(), message, help);
                }
                if matches!(tag.kind, TagKind::Close(_)) {
                    self.blocks.pop();
                }
            }
            TagKind::Comment | TagKind::Partial(_) | TagKind::Print(_) => {}
        }
    }

    fn tag_at(&self, at: usize) -> Option<&'a Tag<'a>> {
        let index = self.tags.partition_point(|tag| tag.span.start < at);
        self.tags.get(index).filter(|tag| tag.span.start == at)
    }

    fn tags_in(&self, span: &Range<usize>) -> &'a [Tag<'a>] {
        let place = |at| self.tags.partition_point(|tag| tag.span.start < at);
        &self.tags[place(span.start)..place(span.end)]
    }

    /// One tag of markup with its attributes; false if looking further makes no sense.
    fn element(&mut self, is_mjml: bool) -> bool {
        let start = self.at;
        let closes = self.rest().starts_with("</");
        self.at += if closes { 2 } else { 1 };
        let length = self.rest().find(|c: char| !is_name(c)).unwrap_or(self.rest().len());
        let name = self.rest()[..length].to_ascii_lowercase();
        let name_span = self.at..self.at + length;
        self.at += length;
        let mut inline = false;
        let empty = loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.is_empty() || trimmed.starts_with('<') {
                let message = format!("the tag `<{name}` has no end");
                self.fail(Code::Markup, start..name_span.end, message, "end it with `>`");
                return false;
            } else if trimmed.starts_with("/>") {
                self.at += 2;
                break true;
            } else if trimmed.starts_with('>') {
                self.at += 1;
                break false;
            } else if let Some(tag) = self.tag_at(self.at) {
                self.unsafe_place(tag.span.clone(), "inside of a tag");
                self.at = tag.span.end;
            } else if trimmed.starts_with(['/', '=', '"', '\'', '{']) {
                self.at += 1;
            } else {
                inline |= self.attribute();
            }
        };
        if closes {
            if let Some(depth) = self.open.iter().rposition(|open| *open == name) {
                self.open.truncate(depth);
            }
            return true;
        }
        if is_mjml {
            self.mjml(&name, &name_span);
        }
        if name == "script" {
            let help = "mail programs do not run them; remove it";
            self.fail(Code::Markup, name_span, "a mail can't hold a script", help);
        }
        if empty || VOID.contains(&name.as_str()) {
            return true;
        }
        if matches!(name.as_str(), "style" | "script" | "mj-style") {
            self.raw(&name, inline);
            return true;
        }
        self.open.push(name);
        if self.open.len() > LEVELS_MAX {
            let message = "elements are nested too deeply";
            let help = "at most 100 may stand inside of each other";
            self.fail(Code::Markup, start..self.at, message, help);
            return false;
        }
        true
    }

    /// What stands in a style up to its end.
    fn raw(&mut self, name: &str, inline: bool) {
        let length = end_tag(self.rest(), name);
        let span = self.at..self.at + length;
        for tag in self.tags_in(&span) {
            self.unsafe_place(tag.span.clone(), "in a style");
        }
        if inline {
            self.inline_styles.push_str(&self.text()[span.clone()]);
            self.inline_styles.push('\n');
        }
        self.at = span.end;
    }

    /// One attribute with its value; whether it is `inline="inline"`.
    fn attribute(&mut self) -> bool {
        let length = self
            .rest()
            .find(|c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/' | '<' | '{'))
            .unwrap_or(self.rest().len());
        let name = self.rest()[..length].to_ascii_lowercase();
        self.at += length;
        let after = self.rest().trim_start();
        let Some(value) = after.strip_prefix('=') else { return false };
        let value = value.trim_start();
        self.at = self.text().len() - value.len();
        let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            let length = value
                .find(|c: char| c.is_whitespace() || matches!(c, '>' | '{'))
                .unwrap_or(value.len());
            self.at += length;
            if let Some(tag) = self.tag_at(self.at) {
                let (span, end) = (tag.span.clone(), tag.span.end);
                self.unsafe_place(span, "in an attribute without quotes");
                self.at = end;
            }
            return false;
        };
        let start = self.at + 1;
        let end = self.text()[start..].find(quote).map_or(self.text().len(), |end| start + end);
        self.value(&name, start..end, quote);
        self.at = (end + 1).min(self.text().len());
        name == "inline" && &self.text()[start..end] == "inline"
    }

    fn value(&mut self, name: &str, span: Range<usize>, quote: char) {
        for tag in self.tags_in(&span) {
            if tag.span.end > span.end {
                let other = if quote == '"' { '\'' } else { '"' };
                let message = "the quotes of this attribute end inside of the braces";
                let help = format!("inside of {quote} write {other}");
                self.fail(Code::Markup, tag.span.clone(), message, &help);
                continue;
            }
            let TagKind::Print(inner) = tag.kind else {
                if ADDRESSES.contains(&name) && tag.kind != TagKind::Comment {
                    let message = "a block can't stand in an address";
                    let help = "write `{{default x y}}`, or the whole element twice";
                    self.fail(Code::UnsafePlace, tag.span.clone(), message, help);
                } else if !TEXTS.contains(&name) && tag.kind != TagKind::Comment {
                    self.unsafe_place(tag.span.clone(), &format!("in the attribute `{name}`"));
                }
                continue;
            };
            if ADDRESSES.contains(&name) {
                self.address(tag, inner, span.start);
            } else if !TEXTS.contains(&name) {
                self.unsafe_place(tag.span.clone(), &format!("in the attribute `{name}`"));
            }
        }
    }

    /// A variable in an address: at its beginning it is made safe, further on it must be encoded.
    fn address(&mut self, tag: &Tag<'_>, inner: &str, value_start: usize) {
        let before = self.text()[value_start..tag.span.start].trim();
        if before.is_empty() {
            let at = tag.span.start + self.text()[tag.span.clone()].find(inner).unwrap_or(2);
            let call = inner.contains(char::is_whitespace);
            let (open, close) = if call { ("(", ")") } else { ("", "") };
            self.insertions.push((at, format!("{SAFE_URL} {open}")));
            self.insertions.push((at + inner.len(), close.to_owned()));
            return;
        }
        if !inner.starts_with("url ") && !inner.starts_with("url(") {
            let message = "a value within an address must be encoded";
            let help = format!("write `{{{{url {inner}}}}}`");
            self.fail(Code::UnsafePlace, tag.span.clone(), message, &help);
        }
    }

    /// Whether MJML knows the element, and it stands where it may.
    fn mjml(&mut self, name: &str, span: &Range<usize>) {
        if let Some((_, help)) = WITHOUT.iter().find(|(without, _)| *without == name) {
            return self.fail(
                Code::Markup,
                span.clone(),
                format!("templates do without `{name}`"),
                help,
            );
        }
        let Some((_, parents)) = MJML.iter().find(|(known, _)| *known == name) else {
            if name.starts_with("mj-") {
                let help = did_you_mean(name, MJML.iter().map(|(known, _)| *known))
                    .unwrap_or_else(|| "https://documentation.mjml.io lists all elements".into());
                let message = format!("MJML has no `{name}`");
                self.fail(Code::Markup, span.clone(), message, &help);
            }
            return;
        };
        let parent = self.open.iter().rev().find(|open| open.starts_with("mj"));
        let parent = parent.map_or("", String::as_str);
        let defaults = parent == "mj-attributes";
        if !defaults && !parents.contains(&parent) {
            let message = match parent {
                "" => format!("`{name}` can't stand here"),
                parent => format!("`{name}` can't stand in `{parent}`"),
            };
            let places: Vec<String> = parents.iter().map(|place| format!("`{place}`")).collect();
            let help = match parents {
                [""] => "it is the outermost element".to_owned(),
                _ => format!("it may stand in {}", places.join(", ")),
            };
            self.fail(Code::Markup, span.clone(), message, &help);
        }
    }

    fn unsafe_place(&mut self, span: Range<usize>, place: &str) {
        let message = format!("a variable can't be made safe {place}");
        let help = "variables may stand in text, and in quoted href, src, alt, title and aria-label; \
                    `{{brand.…}}` may stand anywhere";
        self.fail(Code::UnsafePlace, span, message, help);
    }

    fn fail(&mut self, code: Code, span: Range<usize>, message: impl Into<String>, help: &str) {
        if let Some(found) = self.whole.error(code, span, message) {
            self.report.push(found.help(help));
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == ':' || c == '_'
}

/// Where the end tag of an element stands in a text; its end, if there is none.
pub(super) fn end_tag(text: &str, name: &str) -> usize {
    let is_it = |at: usize| {
        text.get(at + 2..at + 2 + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name))
    };
    let mut ends = text.match_indices("</").map(|(at, _)| at);
    ends.find(|at| is_it(*at)).unwrap_or(text.len())
}
