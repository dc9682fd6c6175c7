//! Layout, partials and brand put into a template's text, once and at load time.
//!
//! They are put in as text, before MJML is compiled: so a partial may hold a whole section, and a
//! brand's colour may stand in an attribute. A rendered template includes nothing any more.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile, did_you_mean};

use super::brand::Brand;
use super::folder::{BODY, Files, Format, Variants};
use super::locale::choose;
use super::spliced::Spliced;
use super::tags::{self, TagKind};

/// The largest text that splicing may come to, in bytes.
const SPLICED_BYTES_MAX: usize = 512 * 1024;
/// How deep partials may include each other.
const PARTIALS_DEEP_MAX: usize = 16;

/// What a text is put together from.
pub(super) struct Parts<'a> {
    pub files: &'a Files,
    pub brand: &'a Brand,
    pub format: Format,
    pub locale: Option<&'a str>,
    /// Whether a layout is put around the page.
    pub layout: bool,
}

/// A file and those of its bytes that are meant.
#[derive(Clone)]
pub(super) struct Page<'a> {
    pub file: &'a Arc<SourceFile>,
    pub body: Range<usize>,
}

impl Parts<'_> {
    /// The whole text of a page: in its layout, with partials and brand. What is not there is
    /// reported and left out; `None`, with the reasons in the report, if more would only follow.
    pub(super) fn whole(&self, page: &Page<'_>, report: &mut Report) -> Option<Spliced> {
        let mut splicing = Splicing {
            parts: self,
            page: page.clone(),
            whole: Spliced::default(),
            report,
            broken: false,
        };
        let layout = self.layout().filter(|_| self.layout && !self.stands_alone(page));
        match layout {
            Some(layout) => {
                if !has_body(&layout.text) {
                    let message = "this layout has no place for the template";
                    splicing.report.push(
                        Diagnostic::error(Code::TemplateSyntax, layout, 0..0, message)
                            .help("write `{{> body}}` where it belongs"),
                    );
                }
                splicing.add(layout, 0..layout.text.len(), &mut vec!["_layout".to_owned()]);
            }
            None if self.format == Format::Mjml && !self.stands_alone(page) => {
                splicing.broken = true;
                let message = "there is neither a layout nor an `<mjml>` of its own";
                splicing.report.push(
                    Diagnostic::error(Code::Markup, page.file, page.body.start..page.body.start, message)
                        .help("write a whole mail, from `<mjml>` to `</mjml>`, or a layout: templates/_layout.mjml"),
                );
            }
            None => splicing.add(page.file, page.body.clone(), &mut Vec::new()),
        }
        (!splicing.broken).then_some(splicing.whole)
    }

    /// A line of the front matter: with its brand, without layout and partials.
    pub(super) fn line(
        &self,
        file: &Arc<SourceFile>,
        span: Range<usize>,
        text: &str,
        report: &mut Report,
    ) -> Option<Spliced> {
        // Where YAML's escapes change nothing, places in the line are places in the file.
        let written = file.text.get(span.clone()).and_then(|written| written.find(text));
        let mut splicing = Splicing {
            parts: self,
            page: Page { file, body: 0..0 },
            whole: Spliced::default(),
            report,
            broken: false,
        };
        match written {
            Some(offset) => {
                let start = span.start + offset;
                splicing.add(file, start..start + text.len(), &mut Vec::new());
            }
            None => {
                let source = Arc::new(SourceFile::new("", text));
                splicing.add(&source, 0..text.len(), &mut Vec::new());
                let mut whole = Spliced::default();
                whole.stand_in(&splicing.whole.text, file, span);
                splicing.whole = whole;
            }
        }
        (!splicing.broken).then_some(splicing.whole)
    }

    fn layout(&self) -> Option<&Arc<SourceFile>> {
        self.variant(self.files.layouts.get(&self.format)?)
    }

    fn variant<'v>(&self, variants: &'v Variants) -> Option<&'v Arc<SourceFile>> {
        choose(self.locale, |tag| {
            variants.iter().find_map(|(known, file)| (known.as_deref() == tag).then_some(file))
        })
    }

    /// A page with a root element of its own needs no layout.
    fn stands_alone(&self, page: &Page<'_>) -> bool {
        let text = page.file.text[page.body.clone()].to_ascii_lowercase();
        match self.format {
            Format::Mjml => text.contains("<mjml"),
            Format::Html => text.contains("<html"),
            Format::Text => false,
        }
    }
}

fn has_body(layout: &str) -> bool {
    let tags = tags::tags(layout).unwrap_or_default();
    tags.iter().any(|tag| tag.kind == TagKind::Partial(BODY))
}

struct Splicing<'a> {
    parts: &'a Parts<'a>,
    page: Page<'a>,
    whole: Spliced,
    report: &'a mut Report,
    /// Whether something is missing without which the rest makes no sense.
    broken: bool,
}

impl Splicing<'_> {
    /// Adds a part of a file; `within` are the names of what it stands in.
    fn add(&mut self, file: &Arc<SourceFile>, span: Range<usize>, within: &mut Vec<String>) {
        let found = match tags::tags(&file.text[span.clone()]) {
            Ok(found) => found,
            Err(error) => {
                let place = span.start + error.span.start..span.start + error.span.end;
                self.broken = true;
                return self.fail(Code::TemplateSyntax, file, place, error.message, &error.help);
            }
        };
        let mut from = span.start;
        for tag in found {
            let place = span.start + tag.span.start..span.start + tag.span.end;
            let brand = match tag.kind {
                TagKind::Print(inner) => inner.strip_prefix("brand."),
                _ => None,
            };
            if !matches!(tag.kind, TagKind::Partial(_)) && brand.is_none() {
                continue;
            }
            self.whole.copy(file, from..place.start);
            from = place.end;
            match (tag.kind, brand) {
                (TagKind::Partial(name), _) => self.partial(name, file, place, within),
                (_, Some(name)) => self.brand(name, file, place),
                _ => {}
            }
            if self.whole.text.len() > SPLICED_BYTES_MAX {
                self.broken = true;
                let message = "the template is too large with its partials";
                let help = "a mail that is larger than 100 KB is cut off by mail programs";
                return self.fail(Code::TooLarge, file, span.start..span.start, message, help);
            }
        }
        self.whole.copy(file, from..span.end);
    }

    fn partial(
        &mut self,
        name: &str,
        file: &Arc<SourceFile>,
        place: Range<usize>,
        within: &mut Vec<String>,
    ) {
        let code = Code::UnknownPartial;
        if name == BODY && within.as_slice() == ["_layout"] {
            let page = self.page.clone();
            within.push(BODY.to_owned());
            self.add(page.file, page.body, within);
            within.pop();
            return;
        }
        if name == BODY {
            let help = "only a layout says where the template goes";
            return self.fail(code, file, place, "there is no `body` here", help);
        }
        if name.contains(char::is_whitespace) {
            let message = "a partial takes no values";
            let help = "it sees what the place sees that it is put into";
            return self.fail(Code::TemplateSyntax, file, place, message, help);
        }
        if within.iter().any(|outer| outer == name) {
            let message = format!("the partial `{name}` contains itself");
            let mut chain = within.clone();
            chain.push(name.to_owned());
            let help = format!("it is put in by way of {}", chain.join(" > "));
            return self.fail(code, file, place, message, &help);
        }
        if within.len() >= PARTIALS_DEEP_MAX {
            let help = "at most 16 may stand inside of each other";
            return self.fail(code, file, place, "partials are nested too deeply", help);
        }
        let format = self.parts.format;
        let known = &self.parts.files.partials;
        let found = known
            .get(&(name.to_owned(), format))
            .and_then(|variants| self.parts.variant(variants).cloned());
        let Some(source) = found else {
            let names = known.keys().filter(|(_, of)| *of == format).map(|(name, _)| name.as_str());
            let extension = format.extension();
            let help = did_you_mean(name, names)
                .unwrap_or_else(|| format!("write templates/_partials/{name}.{extension}"));
            let message = format!("there is no partial `{name}` for .{extension}");
            return self.fail(code, file, place, message, &help);
        };
        within.push(name.to_owned());
        // An editor ends a file with a line break, which is no part of what is put in.
        let end = source.text.trim_end_matches(['\n', '\r']).len();
        self.add(&source, 0..end, within);
        within.pop();
    }

    fn brand(&mut self, name: &str, file: &Arc<SourceFile>, place: Range<usize>) {
        let Some(value) = self.parts.brand.get(name) else {
            let help = did_you_mean(name, self.parts.brand.keys().map(String::as_str))
                .unwrap_or_else(|| format!("write `{name}: …` into templates/_brand.yaml"));
            let message = format!("the brand has no `{name}`");
            return self.fail(Code::UnknownVariable, file, place, message, &help);
        };
        let written = match self.parts.format {
            Format::Text => value.clone(),
            // A brand has no other sign that markup could take for its own.
            Format::Mjml | Format::Html => value.replace('&', "&amp;"),
        };
        self.whole.stand_in(&written, file, place);
    }

    fn fail(
        &mut self,
        code: Code,
        file: &Arc<SourceFile>,
        span: Range<usize>,
        message: impl Into<String>,
        help: &str,
    ) {
        self.report.push(Diagnostic::error(code, file, span, message).help(help));
    }
}
