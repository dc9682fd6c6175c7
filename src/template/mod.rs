//! Templates: what a message says. Files in, checked templates out; rendering is all that sending
//! calls.
//!
//! [`Templates::read`] reads the folder, [`Templates::compile`] does everything that can be done
//! once: layout, partials and brand are put in (`splice`), each variable is held against what a
//! message sees (`check`, `schema`), MJML becomes HTML (`mail`), a text part is derived (`text`).
//! Every mistake is a diagnostic with its place. docs/templates.md is the reference.

mod brand;
mod check;
mod compile;
mod data;
mod folder;
mod format;
mod front;
mod functions;
mod inline;
mod link;
mod locale;
mod mail;
mod markup;
mod plans;
mod read;
mod render;
mod sample;
mod schema;
mod scope;
mod splice;
mod spliced;
mod tags;
mod text;
mod with;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use handlebars::{Context, Handlebars, Template};
use serde_json::Value as Json;

use crate::diagnostic::{Report, SourceFile};
use crate::journey::{Plan, Shop};
use crate::model::{MessageChannel, Zone};

pub use data::Frame;
pub use functions::{FUNCTIONS, Function, Misuse};
pub use locale::is_locale;
pub use read::{FILE_BYTES_MAX, FILES_MAX, ReadError, TemplateFile};
pub use render::{LINE_BYTES_MAX, OUTPUT_BYTES_MAX, Place, RenderError, SMS_BYTES_MAX};
pub use sample::example_shop;
pub use schema::{Variable, item_fields, variables};

use brand::Brand;
use check::Lines;
use locale::Locale;
use render::Printers;

/// An email as a template says it; who it goes to and how it is packed is not its business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// One line.
    pub subject: String,
    /// What mail programs show behind the subject; it is in the HTML already.
    pub preheader: String,
    /// The HTML part.
    pub html: String,
    /// The text part.
    pub text: String,
    /// The sender the template names, where it is not the shop's.
    pub from: Option<String>,
    /// Where answers go, if the template says so.
    pub reply_to: Option<String>,
    /// The variant's language; `None` is the default.
    pub locale: Option<String>,
    /// The template.
    pub template: String,
}

/// An SMS as a template says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sms {
    /// Its text. Spaces that do not break are plain ones: they would make it cost more.
    pub text: String,
    /// The variant's language; `None` is the default.
    pub locale: Option<String>,
}

/// Compiled templates: immutable, and cheap to clone.
#[derive(Clone)]
pub struct Templates {
    inner: Arc<Inner>,
}

struct Inner {
    templates: BTreeMap<String, Compiled>,
    brand: Brand,
    printers: Printers,
}

/// A template with its variants; those with mistakes are missing.
struct Compiled {
    emails: BTreeMap<Option<Locale>, EmailVariant>,
    sms: BTreeMap<Option<Locale>, SmsVariant>,
    /// The channels for which there is a file, with mistakes or without.
    channels: Vec<MessageChannel>,
    sample: Option<Json>,
    /// A file to point at where all of it is meant.
    file: Arc<SourceFile>,
}

struct EmailVariant {
    subject: Template,
    preheader: Template,
    html: Template,
    text: Template,
    from: Option<String>,
    reply_to: Option<String>,
    lines: Lines,
    /// Which of the frame's variables both parts print.
    names: plans::Named,
    file: Arc<SourceFile>,
}

struct SmsVariant {
    text: Template,
    lines: Lines,
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Templates {
    /// Reads every file below the templates' folder. This is the only I/O.
    pub fn read(folder: &Path) -> Result<Vec<TemplateFile>, ReadError> {
        read::read(folder)
    }

    /// Compiles templates; `label` stands before their paths where they are shown.
    ///
    /// They may be used only if the report has no errors: what is wrong is missing among them.
    #[must_use]
    pub fn compile(files: &[TemplateFile], label: &str) -> (Self, Report) {
        compile::compile(files, label)
    }

    /// Holds the journeys against the templates: each message step's template is there and has its
    /// channel, and a marketing mail says how to unsubscribe and where the shop is.
    #[must_use]
    pub fn check(&self, plans: &[Plan]) -> Report {
        plans::check(self, plans)
    }

    /// The names of all templates, sorted; also of those with mistakes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.inner.templates.keys().map(String::as_str)
    }

    /// The data of a template's `sample.json`.
    #[must_use]
    pub fn sample(&self, name: &str) -> Option<&Json> {
        self.inner.templates.get(name)?.sample.as_ref()
    }

    /// Whether the template exists and has something for the channel.
    #[must_use]
    pub fn has(&self, name: &str, channel: MessageChannel) -> bool {
        let template = self.inner.templates.get(name);
        template.is_some_and(|template| template.channels.contains(&channel))
    }

    /// The languages in which the template is written for a channel, beside its default.
    #[must_use]
    pub fn locales(&self, name: &str, channel: MessageChannel) -> Vec<&str> {
        let Some(template) = self.inner.templates.get(name) else { return Vec::new() };
        match channel {
            MessageChannel::Email => template.emails.keys().flatten().map(Locale::as_str).collect(),
            MessageChannel::Sms => template.sms.keys().flatten().map(Locale::as_str).collect(),
        }
    }

    /// What a template prints of the shop that this shop does not have, such as
    /// `shop.postal_address`: its messages would fail until the configuration has it.
    #[must_use]
    pub fn lacking(&self, name: &str, channel: MessageChannel, shop: &Shop) -> Vec<&'static str> {
        let Some(template) = self.inner.templates.get(name) else { return Vec::new() };
        let frame = Frame { shop, locale: None, zone: Zone::utc(), unsubscribe_url: None };
        let whole = data::whole(&Json::Null, &frame, &self.inner.brand, "en");
        let is_there =
            |path: &str| path.split('.').try_fold(&whole, |value, name| value.get(name)).is_some();
        let lines = || -> Box<dyn Iterator<Item = &Lines>> {
            match channel {
                MessageChannel::Email => Box::new(template.emails.values().map(|mail| &mail.lines)),
                MessageChannel::Sms => Box::new(template.sms.values().map(|sms| &sms.lines)),
            }
        };
        let prints = |path: &str| {
            let is_it =
                |name: &String| name.trim_start_matches("../").trim_start_matches("@root.") == path;
            lines().any(|lines| lines.keys().any(is_it))
        };
        let always =
            schema::FRAME.iter().filter(|(_, _, always, _)| *always).map(|(path, ..)| *path);
        always.filter(|path| prints(path) && !is_there(path)).collect()
    }

    /// Renders an email from a decision's data.
    ///
    /// # Errors
    ///
    /// Any [`RenderError`]: then nothing may be sent.
    pub fn email(&self, name: &str, data: &Json, frame: &Frame<'_>) -> Result<Email, RenderError> {
        let template = self.template(name)?;
        let (locale, variant) = chosen(&template.emails, frame)
            .ok_or_else(|| no_channel(name, MessageChannel::Email))?;
        let context = self.context(data, frame, locale);
        let part = |template: &Template, printer, limit, part| {
            let place = place(name, locale, part);
            render::render(template, printer, &context, limit, place, &variant.lines)
        };
        let Printers { html, plain } = &self.inner.printers;
        let line = |template: &Template, what| {
            part(template, plain, LINE_BYTES_MAX, what).map(|line| one_line(&line))
        };
        let subject = line(&variant.subject, "subject")?;
        if subject.is_empty() {
            return Err(RenderError::Empty { place: place(name, locale, "subject") });
        }
        let text = part(&variant.text, plain, OUTPUT_BYTES_MAX, "text")?;
        Ok(Email {
            subject,
            preheader: line(&variant.preheader, "preheader")?,
            html: part(&variant.html, html, OUTPUT_BYTES_MAX, "html")?,
            text: text::tidy(&text),
            from: variant.from.clone(),
            reply_to: variant.reply_to.clone(),
            locale: locale.map(str::to_owned),
            template: name.to_owned(),
        })
    }

    /// Renders an SMS from a decision's data.
    ///
    /// # Errors
    ///
    /// Any [`RenderError`]: then nothing may be sent.
    pub fn sms(&self, name: &str, data: &Json, frame: &Frame<'_>) -> Result<Sms, RenderError> {
        let template = self.template(name)?;
        let (locale, variant) =
            chosen(&template.sms, frame).ok_or_else(|| no_channel(name, MessageChannel::Sms))?;
        let context = self.context(data, frame, locale);
        let place = place(name, locale, "sms");
        let plain: &Handlebars<'_> = &self.inner.printers.plain;
        let limit = SMS_BYTES_MAX;
        let text =
            render::render(&variant.text, plain, &context, limit, place.clone(), &variant.lines)?;
        // Either would need the costlier alphabet.
        let text = text::tidy(&text).trim_end().replace(['\u{a0}', '\u{202f}'], " ");
        if text.is_empty() {
            return Err(RenderError::Empty { place });
        }
        Ok(Sms { text, locale: locale.map(str::to_owned) })
    }

    fn template(&self, name: &str) -> Result<&Compiled, RenderError> {
        let found = self.inner.templates.get(name);
        found.ok_or_else(|| RenderError::NoTemplate(name.to_owned()))
    }

    fn context(&self, data: &Json, frame: &Frame<'_>, locale: Option<&str>) -> Context {
        let written_in = frame.written_in(locale.or_else(|| brand::language(&self.inner.brand)));
        render::context(data::whole(data, frame, &self.inner.brand, written_in))
    }
}

/// The variant for the message's language.
fn chosen<'a, V>(
    variants: &'a BTreeMap<Option<Locale>, V>,
    frame: &Frame<'_>,
) -> Option<(Option<&'a str>, &'a V)> {
    let key = locale::choose(frame.wanted(), |tag| {
        variants.keys().find(|known| match (known.as_deref(), tag) {
            (None, None) => true,
            (Some(known), Some(tag)) => known.eq_ignore_ascii_case(tag),
            _ => false,
        })
    })?;
    variants.get_key_value(key).map(|(key, variant)| (key.as_deref(), variant))
}

fn no_channel(name: &str, channel: MessageChannel) -> RenderError {
    RenderError::NoChannel { template: name.to_owned(), channel: channel.as_str() }
}

fn place(name: &str, locale: Option<&str>, part: &'static str) -> Place {
    Place { template: name.to_owned(), locale: locale.map(str::to_owned), part }
}

/// A line without breaks and with single spaces.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
