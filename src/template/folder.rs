//! Which file of the templates' folder is what, told by its path alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile, did_you_mean};
use crate::journey::NAME_BYTES_MAX;

use super::locale::{Locale, is_locale};
use super::read::{FILE_BYTES_MAX, TemplateFile};

/// How a part of a template is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Format {
    /// MJML, which becomes HTML.
    Mjml,
    /// HTML.
    Html,
    /// Plain text.
    Text,
}

impl Format {
    fn of(extension: &str) -> Option<Self> {
        match extension {
            "mjml" => Some(Self::Mjml),
            "html" => Some(Self::Html),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }

    /// The extension of its files.
    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::Mjml => "mjml",
            Self::Html => "html",
            Self::Text => "txt",
        }
    }
}

/// A text in the languages it is written in; without a locale it is the default.
pub(super) type Variants = BTreeMap<Option<Locale>, Arc<SourceFile>>;

/// One template's files.
#[derive(Clone, Debug, Default)]
pub(super) struct Folder {
    pub mjml: Variants,
    pub html: Variants,
    pub text: Variants,
    pub sms: Variants,
    pub sample: Option<Arc<SourceFile>>,
}

/// Everything below the templates' folder.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub templates: BTreeMap<String, Folder>,
    /// By name and format.
    pub partials: BTreeMap<(String, Format), Variants>,
    pub layouts: BTreeMap<Format, Variants>,
    pub brand: Option<Arc<SourceFile>>,
}

/// What authors may put into a template's folder.
const FILES: [&str; 5] = ["email.mjml", "email.html", "email.txt", "sms.txt", "sample.json"];

/// Sorts files by what they are; `label` stands before each path where it is shown.
pub(super) fn sort(files: &[TemplateFile], label: &str, report: &mut Report) -> Files {
    let mut sorted = Files::default();
    for file in files {
        let shown = if label.is_empty() {
            file.path.clone()
        } else {
            format!("{}/{}", label.trim_end_matches('/'), file.path)
        };
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        if name.starts_with('.') || name == "README.md" {
            continue;
        }
        let Some(source) = text(file, &shown, report) else { continue };
        match folder {
            "" if name == "_brand.yaml" => sorted.brand = Some(source),
            "" => layout(&mut sorted, name, source, report),
            "_partials" => partial(&mut sorted, name, source, report),
            _ => part(sorted.templates.entry(folder.to_owned()).or_default(), name, source, report),
        }
    }
    names(&sorted, report);
    defaults(&sorted, report);
    sorted
}

/// The file as text, if it is one within the limit.
fn text(file: &TemplateFile, shown: &str, report: &mut Report) -> Option<Arc<SourceFile>> {
    let none = || Arc::new(SourceFile::new(shown, ""));
    if file.bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("the file is larger than {} KB", FILE_BYTES_MAX / 1024);
        let help = "keep pictures elsewhere, and name them by their address";
        report.push(Diagnostic::error(Code::TooLarge, &none(), 0..0, message).help(help));
        return None;
    }
    match std::str::from_utf8(&file.bytes) {
        Ok(text) => {
            // A mark that some editors put first would stand before the front matter.
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            Some(Arc::new(SourceFile::new(shown, text)))
        }
        Err(error) => {
            let message = format!("the file is not UTF-8 (byte {})", error.valid_up_to());
            let found = Diagnostic::error(Code::TemplateFile, &none(), 0..0, message);
            report.push(found.help("save it as UTF-8"));
            None
        }
    }
}

/// `stem[.locale].extension`.
fn parts(name: &str) -> Option<(&str, Option<Locale>, &str)> {
    let (rest, extension) = name.rsplit_once('.')?;
    match rest.split_once('.') {
        None => Some((rest, None, extension)),
        Some((stem, locale)) => is_locale(locale).then(|| (stem, Some(locale.into()), extension)),
    }
}

fn layout(sorted: &mut Files, name: &str, source: Arc<SourceFile>, report: &mut Report) {
    match parts(name) {
        Some(("_layout", locale, extension)) if Format::of(extension).is_some() => {
            let format = Format::of(extension).unwrap_or(Format::Text);
            sorted.layouts.entry(format).or_default().insert(locale, source);
        }
        _ => stray(
            name,
            &source,
            &["_layout.mjml", "_layout.html", "_layout.txt", "_brand.yaml"],
            "a template is a folder, such as templates/abandoned-cart/first",
            report,
        ),
    }
}

fn partial(sorted: &mut Files, name: &str, source: Arc<SourceFile>, report: &mut Report) {
    match parts(name).and_then(|(stem, locale, ext)| Some((stem, locale, Format::of(ext)?))) {
        Some((BODY, ..)) => {
            let message = "a partial can't be called `body`";
            let found = Diagnostic::error(Code::TemplateFile, &source, 0..0, message);
            report.push(found.help("`{{> body}}` is where a layout puts the template; rename it"));
        }
        Some((stem, locale, format)) if is_name(stem) => {
            sorted.partials.entry((stem.to_owned(), format)).or_default().insert(locale, source);
        }
        _ => {
            let help = "name it as in footer.mjml, footer.nl.mjml, footer.html or footer.txt";
            stray(name, &source, &[], help, report);
        }
    }
}

/// What a layout calls the template that it wraps.
pub(super) const BODY: &str = "body";

fn part(folder: &mut Folder, name: &str, source: Arc<SourceFile>, report: &mut Report) {
    let found = parts(name);
    let variants = match found {
        Some(("sample", None, "json")) => {
            folder.sample = Some(source);
            return;
        }
        Some(("email", _, "mjml")) => &mut folder.mjml,
        Some(("email", _, "html")) => &mut folder.html,
        Some(("email", _, "txt")) => &mut folder.text,
        Some(("sms", _, "txt")) => &mut folder.sms,
        _ => {
            let help = format!(
                "a template has {}, and these in further languages, such as email.nl.mjml",
                FILES.join(", ")
            );
            stray(name, &source, &FILES, &help, report);
            return;
        }
    };
    let locale = found.and_then(|(_, locale, _)| locale);
    variants.insert(locale, source);
}

/// A file that is nothing: most likely its name is misspelt, and it would be missed.
fn stray(name: &str, source: &Arc<SourceFile>, known: &[&str], help: &str, report: &mut Report) {
    let help = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| help.to_owned());
    let message = format!("`{name}` is no part of a template");
    report.push(Diagnostic::error(Code::TemplateFile, source, 0..0, message).help(help));
}

/// A template is named by journeys, which know only such names.
fn names(sorted: &Files, report: &mut Report) {
    for (name, folder) in &sorted.templates {
        let Some(file) = folder.any() else { continue };
        if !name.split('/').all(is_name) {
            let message = format!("`{name}` can't be the name of a template");
            let help = "name its folders with lower-case letters, digits, `-` and `_`";
            report.push(Diagnostic::error(Code::TemplateFile, file, 0..0, message).help(help));
        }
    }
}

fn is_name(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let each = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    first && text.len() <= NAME_BYTES_MAX && text.bytes().all(each)
}

/// Every text needs a variant for everybody else, and a mail's text part needs its mail.
fn defaults(sorted: &Files, report: &mut Report) {
    let mut need = |variants: &Variants, default: &str| {
        if let Some(file) = variants.values().next().filter(|_| !variants.contains_key(&None)) {
            let message = "a language without a default";
            let help = format!("write {default} for everybody else");
            report.push(Diagnostic::error(Code::TemplateFile, file, 0..0, message).help(help));
        }
    };
    for folder in sorted.templates.values() {
        let mut mails = folder.mjml.clone();
        mails.extend(folder.html.clone());
        need(&mails, "email.mjml (or email.html)");
        need(&folder.sms, "sms.txt");
    }
    for ((name, format), variants) in &sorted.partials {
        need(variants, &format!("_partials/{name}.{}", format.extension()));
    }
    for (format, variants) in &sorted.layouts {
        need(variants, &format!("_layout.{}", format.extension()));
    }
    for folder in sorted.templates.values() {
        for (locale, file) in &folder.mjml {
            if folder.html.contains_key(locale) {
                let message = "a mail is written twice, in MJML and in HTML";
                let found = Diagnostic::error(Code::Conflict, file, 0..0, message);
                report.push(found.help("remove one of the two files"));
            }
        }
        for (locale, file) in &folder.text {
            if !folder.mjml.contains_key(locale) && !folder.html.contains_key(locale) {
                let message = "a text part without its mail";
                let dot = locale.as_ref().map(|locale| format!(".{locale}")).unwrap_or_default();
                let help = format!("write email{dot}.mjml (or email{dot}.html) beside it");
                report.push(Diagnostic::error(Code::TemplateFile, file, 0..0, message).help(help));
            }
        }
    }
}

impl Folder {
    /// A file to point at where all of the folder is meant.
    pub(super) fn any(&self) -> Option<&Arc<SourceFile>> {
        let mut all = self.mjml.values().chain(self.html.values()).chain(self.sms.values());
        all.next().or(self.text.values().next()).or(self.sample.as_ref())
    }
}
