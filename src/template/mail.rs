//! From a mail's markup to the HTML that sending renders: MJML compiled, styles inlined, preheader,
//! title and language put in.

use std::borrow::Cow;
use std::collections::HashMap;

use css_inline::{CSSInliner, InlineOptions};
use mrml::prelude::parser::noop_loader::NoopIncludeLoader;
use mrml::prelude::parser::{Error as ParseError, ParserOptions};
use mrml::prelude::render::RenderOptions;

use crate::diagnostic::{Code, Report};

use super::folder::Format;
use super::markup::Markup;
use super::tags;

/// Compiles the markup to HTML with Handlebars in it; mistakes go to the report.
pub(super) fn html(markup: &Markup, format: Format, report: &mut Report) -> Option<String> {
    if format == Format::Html {
        return inlined(&markup.safe.text, None).or_else(|| unfit(markup, report));
    }
    let options = ParserOptions { include_loader: Box::new(NoopIncludeLoader) };
    let parsed = match mrml::parse_with_options(&markup.safe.text, &options) {
        Ok(parsed) => parsed,
        Err(error) => {
            let (range, message) = place(&error, markup.safe.text.len());
            let found = markup.safe.error(Code::Markup, range, message)?;
            report.push(found.help(
                "each element that is opened is closed, and values of attributes stand in quotes",
            ));
            return None;
        }
    };
    // Without fonts of the crate's choosing, which every mail would load from elsewhere.
    let options = RenderOptions { fonts: HashMap::new(), ..RenderOptions::default() };
    let Ok(html) = parsed.element.render(&options) else { return unfit(markup, report) };
    if markup.inline_styles.is_empty() {
        return Some(html);
    }
    inlined(&html, Some(&markup.inline_styles)).or_else(|| unfit(markup, report))
}

fn unfit<T>(markup: &Markup, report: &mut Report) -> Option<T> {
    let found = markup.safe.error(Code::Markup, 0..1, "this can't be made a mail")?;
    report.push(found.help("a style in it is not valid CSS"));
    None
}

fn place(error: &ParseError, length: usize) -> (std::ops::Range<usize>, String) {
    let at = |span: &mrml::prelude::parser::Span| span.start..span.end.max(span.start + 1);
    match error {
        ParseError::UnexpectedElement { position, .. } => {
            (at(position), "this element can't stand here".to_owned())
        }
        ParseError::UnexpectedToken { position, .. }
        | ParseError::InvalidFormat { position, .. } => {
            (at(position), "this is not written correctly".to_owned())
        }
        ParseError::MissingAttribute { name, position, .. } => {
            (at(position), format!("the attribute `{name}` is missing"))
        }
        ParseError::InvalidAttribute { position, .. } => {
            (at(position), "this attribute can't stand here".to_owned())
        }
        ParseError::EndOfStream { .. } => {
            (length.saturating_sub(1)..length, "something that is open has no end".to_owned())
        }
        other => (0..1, other.to_string()),
    }
}

/// The HTML with styles put into its elements: its own, or those given.
///
/// An HTML parser moves text out of tables, where loops stand; so each Handlebars tag is a comment
/// while it looks, and a word within attributes.
fn inlined(html: &str, styles: Option<&str>) -> Option<String> {
    if styles.is_none() && !html.contains("<style") {
        return Some(html.to_owned());
    }
    let found = tags::tags(html).ok()?;
    let mut hidden = String::with_capacity(html.len());
    let mut from = 0;
    for (index, tag) in found.iter().enumerate() {
        hidden.push_str(&html[from..tag.span.start]);
        from = tag.span.end;
        let before = hidden.as_bytes();
        // Within a tag of markup or a comment the last bracket is an opening one.
        let within = before.iter().rposition(|byte| matches!(byte, b'<' | b'>'));
        let outside = within.is_none_or(|at| before[at] == b'>') && !in_comment(&hidden);
        hidden.push_str(&if outside {
            format!("<!--waypost{index}z-->")
        } else {
            format!("waypost{index}z")
        });
    }
    hidden.push_str(&html[from..]);
    let options = InlineOptions {
        inline_style_tags: styles.is_none(),
        keep_style_tags: true,
        load_remote_stylesheets: false,
        extra_css: styles.map(Cow::Borrowed),
        ..InlineOptions::default()
    };
    let inlined = CSSInliner::new(options).inline(&hidden).ok()?;
    shown(&inlined, html, &found)
}

fn in_comment(text: &str) -> bool {
    match (text.rfind("<!--"), text.rfind("-->")) {
        (Some(open), Some(close)) => open > close,
        (Some(_), None) => true,
        _ => false,
    }
}

/// The hidden tags put back; `None` if one was lost.
fn shown(inlined: &str, html: &str, found: &[tags::Tag<'_>]) -> Option<String> {
    let mut whole = String::with_capacity(inlined.len());
    let mut rest = inlined;
    let mut seen = 0;
    while let Some(at) = rest.find("waypost") {
        let after = &rest[at + "waypost".len()..];
        let number = after.split('z').next().and_then(|number| number.parse::<usize>().ok());
        let Some((number, tag)) = number.and_then(|number| Some((number, found.get(number)?)))
        else {
            whole.push_str(&rest[..at + "waypost".len()]);
            rest = after;
            continue;
        };
        let mut before = &rest[..at];
        let mut after = &after[number.to_string().len() + 1..];
        // In a title a comment is text.
        for (open, close) in [("<!--", "-->"), ("&lt;!--", "--&gt;")] {
            if let (Some(outer), Some(inner)) =
                (before.strip_suffix(open), after.strip_prefix(close))
            {
                (before, after) = (outer, inner);
            }
        }
        whole.push_str(before);
        whole.push_str(&html[tag.span.clone()]);
        rest = after;
        seen += 1;
    }
    whole.push_str(rest);
    (seen >= found.len()).then_some(whole)
}

/// What mail programs show behind the subject is followed by nothing, so that they don't go on with
/// the mail's first words.
const PADDING: &str = "&#847;&zwnj;&nbsp;";
const PADDINGS: usize = 80;

/// The whole mail: with preheader, title and language.
pub(super) fn finish(html: &str, subject: &str, preheader: &str, locale: Option<&str>) -> String {
    let mut whole = html.to_owned();
    let lang = locale.map_or_else(|| "{{frame.locale}}".to_owned(), str::to_owned);
    if let Some(start) = element(&whole, "<html") {
        let end = whole[start..].find('>').map_or(whole.len(), |end| start + end);
        let lang_at = whole[start..end].find(" lang=\"").map(|at| start + at + " lang=\"".len());
        match lang_at {
            Some(at) => {
                let value = whole[at..end].find('"').map_or(end, |length| at + length);
                if locale.is_some() || &whole[at..value] == "und" {
                    whole.replace_range(at..value, &lang);
                }
            }
            None => whole.insert_str(start + "<html".len(), &format!(" lang=\"{lang}\"")),
        }
    }
    if let Some(at) = whole.find("<title></title>") {
        whole.insert_str(at + "<title>".len(), &escaped(subject));
    }
    if let Some(start) = element(&whole, "<body").filter(|_| !preheader.is_empty()) {
        let at = whole[start..].find('>').map_or(whole.len(), |end| start + end + 1);
        let hidden = format!(
            "<div style=\"display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden;mso-hide:all\">{}{}</div>",
            escaped(preheader),
            PADDING.repeat(PADDINGS)
        );
        whole.insert_str(at, &hidden);
    }
    whole
}

fn element(html: &str, name: &str) -> Option<usize> {
    html.to_ascii_lowercase().find(name)
}

/// A line's own words as HTML; its Handlebars tags stay as they are.
fn escaped(line: &str) -> String {
    let mut whole = String::new();
    let mut from = 0;
    for tag in tags::tags(line).unwrap_or_default() {
        whole.push_str(&handlebars::html_escape(&line[from..tag.span.start]));
        whole.push_str(&line[tag.span.clone()]);
        from = tag.span.end;
    }
    whole.push_str(&handlebars::html_escape(&line[from..]));
    whole
}
