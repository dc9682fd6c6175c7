//! Styles put into the elements they are meant for, as many mail programs need it.
//!
//! An HTML parser changes what it reads: it moves text out of tables, where blocks stand, and puts
//! in elements that are implied. So it reads a copy without Handlebars in which each element has
//! a number, and only the styles that it comes to are taken over.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use css_inline::{CSSInliner, InlineOptions};

use super::markup::end_tag;
use super::tags;

/// The attribute with an element's number in the copy.
const MARK: &str = "data-waypost";

/// The HTML with styles in its elements: of its own `<style>`s, or those given. `None` if the styles
/// can't be read.
pub(super) fn inlined(html: &str, styles: Option<&str>) -> Option<String> {
    if styles.is_none() && !html.contains("<style") {
        return Some(html.to_owned());
    }
    let elements = elements(html);
    let options = InlineOptions {
        inline_style_tags: styles.is_none(),
        load_remote_stylesheets: false,
        extra_css: styles.map(Cow::Borrowed),
        ..InlineOptions::default()
    };
    let styled = CSSInliner::new(options).inline(&marked(html, &elements)?).ok()?;
    let styles = styles_of(&styled);
    let mut whole = String::with_capacity(html.len() + styled.len() / 4);
    let mut from = 0;
    for (number, element) in elements.iter().enumerate() {
        let Some(style) = styles.get(&number) else { continue };
        let (place, written) = match attribute(&html[element.clone()], "style") {
            Some(own) => (element.start + own.start..element.start + own.end, style.to_string()),
            None => {
                let at = element.start + name_length(&html[element.clone()]);
                (at..at, format!(" style=\"{style}\""))
            }
        };
        whole.push_str(&html[from..place.start]);
        whole.push_str(&written);
        from = place.end;
    }
    whole.push_str(&html[from..]);
    Some(whole)
}

/// The start tags of a text, from `<` to behind `>`; those in comments are none.
fn elements(html: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = html[at..].find('<').map(|offset| at + offset) {
        let rest = &html[start..];
        if rest.starts_with("<!--") {
            at = start + rest.find("-->").map_or(rest.len(), |end| end + 3);
            continue;
        }
        if !rest[1..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            at = start + 1;
            continue;
        }
        let end = start + tag_end(rest);
        found.push(start..end);
        at = end;
        // What stands in these is no markup.
        let name = &rest[1..name_length(rest)];
        if ["style", "script", "title"].iter().any(|raw| name.eq_ignore_ascii_case(raw)) {
            at += end_tag(&html[at..], name);
        }
    }
    found
}

/// The length of the tag that begins a text; quoted values may hold brackets.
fn tag_end(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '>' => return at + 1,
            None => {}
        }
    }
    text.len()
}

/// The length of `<name`.
fn name_length(tag: &str) -> usize {
    tag[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '-').map_or(tag.len(), |at| at + 1)
}

/// The copy that is read: elements with their numbers, without Handlebars.
fn marked(html: &str, elements: &[Range<usize>]) -> Option<String> {
    let mut marked = String::with_capacity(html.len() * 2);
    let mut tags = tags::tags(html).ok()?.into_iter().peekable();
    let mut from = 0;
    let mut copy = |marked: &mut String, upto: usize| {
        while let Some(tag) = tags.next_if(|tag| tag.span.start < upto) {
            marked.push_str(&html[from..tag.span.start]);
            from = tag.span.end;
        }
        marked.push_str(&html[from..upto]);
        from = upto;
    };
    for (number, element) in elements.iter().enumerate() {
        copy(&mut marked, element.start + name_length(&html[element.clone()]));
        let _ = write!(marked, " {MARK}=\"{number}\"");
    }
    copy(&mut marked, html.len());
    Some(marked)
}

/// The style of each numbered element that has one.
fn styles_of(styled: &str) -> BTreeMap<usize, &str> {
    let mut styles = BTreeMap::new();
    for element in elements(styled) {
        let tag = &styled[element];
        let value = |name| attribute(tag, name).map(|value| &tag[value]);
        if let (Some(number), Some(style)) = (value(MARK), value("style"))
            && let Ok(number) = number.parse()
        {
            styles.insert(number, style);
        }
    }
    styles
}

/// Where the value of an attribute stands in a tag, without its quotes.
fn attribute(tag: &str, name: &str) -> Option<Range<usize>> {
    let mut at = name_length(tag);
    loop {
        let rest = tag[at..].trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        at = tag.len() - rest.len();
        let length = rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>'))?;
        if length == 0 {
            return None;
        }
        let found = &rest[..length];
        at += length;
        let Some(value) = tag[at..].trim_start().strip_prefix('=').map(str::trim_start) else {
            continue;
        };
        at = tag.len() - value.len();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let length = match quote {
            Some(quote) => value[1..].find(quote)? + 2,
            None => value.find(|c: char| c.is_ascii_whitespace() || c == '>')?,
        };
        let inner = usize::from(quote.is_some());
        if found.eq_ignore_ascii_case(name) {
            return Some(at + inner..at + length - inner);
        }
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_styles_change() {
        let styles = "td { color: red } .a { margin: 0 } a[title] { top: 0 } @media print { td { color: blue } }";
        for (html, expected) in [
            (
                "<table>{{#each x}}<tr><td class=a>{{y}}</td></tr>{{/each}}</table>",
                "<table>{{#each x}}<tr><td style=\"color: red;margin: 0;\" class=a>{{y}}</td></tr>{{/each}}</table>",
            ),
            (
                "<p class='a' style='top: 1px'>1 > 0 <!-- <td> --></p><br/>",
                "<p class='a' style='margin: 0;top: 1px'>1 > 0 <!-- <td> --></p><br/>",
            ),
            (
                "<a href=\"{{f \'>\'}}\" title=\"x\">{{#if x}}<b class=\"a\">{{else}}<i class=\"a\">{{/if}}",
                "<a style=\"top: 0;\" href=\"{{f \'>\'}}\" title=\"x\">{{#if x}}<b style=\"margin: 0;\" class=\"a\">{{else}}<i style=\"margin: 0;\" class=\"a\">{{/if}}",
            ),
            ("<title><td></title>{{x}}", "<title><td></title>{{x}}"),
        ] {
            assert_eq!(inlined(html, Some(styles)).as_deref(), Some(expected), "{html}");
        }
    }
}
