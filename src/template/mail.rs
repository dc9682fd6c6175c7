//! From a mail's markup to the HTML that sending renders: MJML compiled, styles inlined, preheader,
//! title and language put in.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::catch_unwind;

use mrml::prelude::parser::noop_loader::NoopIncludeLoader;
use mrml::prelude::parser::{Error as ParseError, ParserOptions};
use mrml::prelude::render::RenderOptions;

use crate::diagnostic::{Code, Report};

use super::folder::Format;
use super::inline::inlined;
use super::markup::Markup;
use super::tags;

/// Compiles the markup to HTML with Handlebars in it; mistakes go to the report.
pub(super) fn html(markup: &Markup, format: Format, report: &mut Report) -> Option<String> {
    // The parser of MJML panics on some texts that are none (a `>` after letters beyond ASCII where
    // an attribute belongs): that is a mistake in the file, and no reason to end.
    match catch_unwind(|| made(markup, format)) {
        Ok(Ok(html)) => Some(html),
        Ok(Err((range, message))) => {
            let found = markup.safe.error(Code::Markup, range, message)?;
            let help =
                "each element that is opened is closed, and values of attributes stand in quotes";
            report.push(found.help(help));
            None
        }
        Err(_) => {
            let found = markup.safe.error(Code::Markup, 0..1, "this can't be made a mail")?;
            report.push(found.help("look for signs that stand outside of elements and quotes"));
            None
        }
    }
}

/// The HTML, or where it can't be made, and why.
fn made(markup: &Markup, format: Format) -> Result<String, (Range<usize>, String)> {
    let unread = || (0..1, "a style of this mail can't be read".to_owned());
    if format == Format::Html {
        return inlined(&markup.safe.text, None).ok_or_else(unread);
    }
    let options = ParserOptions { include_loader: Box::new(NoopIncludeLoader) };
    let parsed = mrml::parse_with_options(&markup.safe.text, &options)
        .map_err(|error| place(&error, markup.safe.text.len()))?;
    // Without fonts of the crate's choosing, which every mail would load from elsewhere.
    let options = RenderOptions { fonts: HashMap::new(), ..RenderOptions::default() };
    let html = parsed.element.render(&options).map_err(|error| (0..1, error.to_string()))?;
    if markup.inline_styles.is_empty() {
        return Ok(html);
    }
    inlined(&html, Some(&markup.inline_styles)).ok_or_else(unread)
}

fn place(error: &ParseError, length: usize) -> (Range<usize>, String) {
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
