//! From files to templates: everything that is wrong is reported at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use handlebars::Template;

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile};
use crate::model::MessageChannel;

use super::brand::{self, Brand};
use super::check::{self, Lines};
use super::folder::{self, Files, Folder, Format};
use super::front;
use super::locale::Locale;
use super::plans::Named;
use super::read::TemplateFile;
use super::render::Printers;
use super::schema::Schema;
use super::splice::{Page, Parts};
use super::spliced::Spliced;
use super::{Compiled, EmailVariant, Inner, SmsVariant, Templates, mail, markup, sample, text};

/// Compiles templates, and renders each with its sample.
pub(super) fn compile(files: &[TemplateFile], label: &str) -> (Templates, Report) {
    let mut report = Report::default();
    let files = folder::sort(files, label, &mut report);
    let brand = files.brand.as_ref().map(|file| brand::read(file, &mut report)).unwrap_or_default();
    let mut templates = BTreeMap::new();
    for (name, folder) in &files.templates {
        let Some(file) = folder.any() else { continue };
        let compiling = Compiling { files: &files, brand: &brand, folder };
        let mut channels = Vec::new();
        if !folder.mjml.is_empty() || !folder.html.is_empty() {
            channels.push(MessageChannel::Email);
        }
        if !folder.sms.is_empty() {
            channels.push(MessageChannel::Sms);
        }
        let template = Compiled {
            emails: compiling.emails(&mut report),
            sms: compiling.sms(&mut report),
            channels,
            sample: sample::read(name, folder, &mut report),
            file: file.clone(),
        };
        templates.insert(name.clone(), template);
    }
    let inner = Inner { templates, brand, printers: Printers::new() };
    let templates = Templates { inner: Arc::new(inner) };
    if !report.has_errors() {
        sample::render(&templates, &mut report);
    }
    (templates, once(report))
}

/// A partial's mistake is found by each template that it is put into; it is told once.
fn once(mut report: Report) -> Report {
    report.sort();
    let mut told = Report::default();
    let mut last: Option<&Diagnostic> = None;
    for found in report.diagnostics() {
        let again = last.is_some_and(|last| {
            (&last.file.path, &last.span, last.code, &last.message)
                == (&found.file.path, &found.span, found.code, &found.message)
        });
        if !again {
            told.push(found.clone());
        }
        last = Some(found);
    }
    told
}

struct Compiling<'a> {
    files: &'a Files,
    brand: &'a Brand,
    folder: &'a Folder,
}

impl Compiling<'_> {
    fn parts<'l>(&'l self, format: Format, locale: Option<&'l str>) -> Parts<'l> {
        Parts { files: self.files, brand: self.brand, format, locale, layout: true }
    }

    fn schema(&self, channel: MessageChannel) -> Schema<'_> {
        Schema { channel, brand: self.brand }
    }

    fn emails(&self, report: &mut Report) -> BTreeMap<Option<Locale>, EmailVariant> {
        let mjml = self.folder.mjml.iter().map(|(locale, file)| (locale, file, Format::Mjml));
        let html = self.folder.html.iter().map(|(locale, file)| (locale, file, Format::Html));
        let mut variants = BTreeMap::new();
        for (locale, file, format) in mjml.chain(html) {
            if let Some(variant) = self.email(locale.as_ref(), file, format, report) {
                variants.insert(locale.clone(), variant);
            }
        }
        variants
    }

    /// One variant of a mail; `None` if something of it is wrong.
    fn email(
        &self,
        locale: Option<&Locale>,
        file: &Arc<SourceFile>,
        format: Format,
        report: &mut Report,
    ) -> Option<EmailVariant> {
        let before = report.error_count();
        let mut lines = Lines::new();
        let tag = locale.map(Locale::as_str);
        let parts = self.parts(format, tag);
        let (front, body) = front::read(file, report)?;
        let subject = self.line(file, front.subject.0.as_ref(), &mut lines, report);
        let preheader = self.line(file, front.preheader.0.as_ref(), &mut lines, report);
        if front.subject.0.as_ref().is_some_and(|line| line.text().trim().is_empty()) {
            let span = front.subject.0.map_or(0..0, |line| line.0.span);
            let message = "a mail needs a subject";
            report.push(Diagnostic::error(Code::BadValue, file, span, message));
        }
        let whole = parts.whole(&Page { file, body }, report)?;
        let looked = markup::look(&whole, format, report);
        self.checked(&looked.safe, MessageChannel::Email, &mut lines, report);
        let text = match self.folder.text.get(&locale.cloned()) {
            Some(file) => {
                let page = Page { file, body: 0..file.text.len() };
                let whole = self.parts(Format::Text, tag).whole(&page, report);
                let whole = whole.unwrap_or_default();
                self.checked(&whole, MessageChannel::Email, &mut lines, report);
                Some(whole.text)
            }
            None => None,
        };
        let (subject, preheader) = (subject?, preheader?);
        if report.error_count() > before {
            return None;
        }
        let html = mail::html(&looked, format, report)?;
        let text = text.unwrap_or_else(|| text::derive(&html));
        let html = mail::finish(&html, &subject.text, &preheader.text, tag);
        let names = Named::of(&html, &text);
        Some(EmailVariant {
            subject: template(&subject.text, file, report)?,
            preheader: template(&preheader.text, file, report)?,
            html: template(&html, file, report)?,
            text: template(&text, file, report)?,
            from: front.from.map(|from| from.0.into()),
            reply_to: front.reply_to.map(|address| address.0.into()),
            lines,
            names,
            file: file.clone(),
        })
    }

    fn line(
        &self,
        file: &Arc<SourceFile>,
        line: Option<&front::Line>,
        lines: &mut Lines,
        report: &mut Report,
    ) -> Option<Spliced> {
        let line = line?;
        let parts = self.parts(Format::Text, None);
        let whole = parts.line(file, line.0.span.clone(), line.text(), report)?;
        self.checked(&whole, MessageChannel::Email, lines, report);
        Some(whole)
    }

    fn sms(&self, report: &mut Report) -> BTreeMap<Option<Locale>, SmsVariant> {
        let mut variants = BTreeMap::new();
        for (locale, file) in &self.folder.sms {
            let before = report.error_count();
            let mut lines = Lines::new();
            let mut parts = self.parts(Format::Text, locale.as_deref());
            parts.layout = false;
            let page = Page { file, body: 0..file.text.len() };
            let Some(whole) = parts.whole(&page, report) else { continue };
            self.checked(&whole, MessageChannel::Sms, &mut lines, report);
            if file.text.trim().is_empty() {
                let message = "an SMS needs a text";
                report.push(Diagnostic::error(Code::TemplateFile, file, 0..0, message));
            }
            if report.error_count() == before
                && let Some(text) = template(&whole.text, file, report)
            {
                variants.insert(locale.clone(), SmsVariant { text, lines });
            }
        }
        variants
    }

    fn checked(
        &self,
        whole: &Spliced,
        channel: MessageChannel,
        lines: &mut Lines,
        report: &mut Report,
    ) {
        check::check(whole, self.schema(channel), lines, report);
    }
}

/// Parses what was checked before.
fn template(text: &str, file: &Arc<SourceFile>, report: &mut Report) -> Option<Template> {
    match Template::compile(text) {
        Ok(template) => Some(template),
        Err(error) => {
            // What was fine before MJML was compiled: an element took a block apart.
            let message = format!("a block does not survive the making of the mail: {error}");
            let found = Diagnostic::error(Code::Markup, file, 0..0, message);
            report.push(found.help("put blocks around whole elements"));
            None
        }
    }
}
