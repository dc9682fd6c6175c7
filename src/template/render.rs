//! Rendering: the only part that sending calls. What goes wrong is a [`RenderError`] that names the
//! template's line; nothing here can end the caller.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use handlebars::{
    Context, Handlebars, Output, RenderContext, RenderErrorReason, Renderable, Template, no_escape,
};
use serde_json::Value as Json;

use super::check::Lines;
use super::functions::{self, Misuse};

/// The largest HTML or text part, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 512 * 1024;
/// The longest subject or preheader, in bytes.
pub const LINE_BYTES_MAX: usize = 1_000;
/// The longest SMS, in bytes: more than ten parts are no reminder any more.
pub const SMS_BYTES_MAX: usize = 3_200;

/// Where rendering failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The template.
    pub template: String,
    /// The variant: its language, or the default.
    pub locale: Option<String>,
    /// `subject`, `preheader`, `html`, `text` or `sms`.
    pub part: &'static str,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let locale = self.locale.as_deref().unwrap_or("default language");
        write!(f, "template {} ({locale}), {}", self.template, self.part)
    }
}

/// Why a message can't be rendered. Nothing of it may be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// No template of this name.
    #[error("there is no template `{0}`")]
    NoTemplate(String),
    /// The template has nothing for the channel.
    #[error("template {template} has nothing for {channel}")]
    NoChannel {
        /// The template.
        template: String,
        /// The channel.
        channel: &'static str,
    },
    /// A variable that the data does not have.
    #[error("{place}: `{variable}` is missing ({line})")]
    MissingVariable {
        /// Where.
        place: Place,
        /// The variable as it is written.
        variable: String,
        /// `file:line` where it is first written.
        line: String,
    },
    /// A value that a function can't work with.
    #[error("{place}: {misuse}")]
    Misuse {
        /// Where.
        place: Place,
        /// What it is.
        misuse: Misuse,
    },
    /// More than a message may hold.
    #[error("{place}: larger than {limit} bytes")]
    TooLarge {
        /// Where.
        place: Place,
        /// The limit.
        limit: usize,
    },
    /// Nothing was left to send.
    #[error("{place}: it is empty")]
    Empty {
        /// Where.
        place: Place,
    },
    /// Anything else, which checking should have found.
    #[error("{place}: {reason}")]
    Other {
        /// Where.
        place: Place,
        /// What the renderer said.
        reason: String,
    },
}

/// The two ways to print a value: escaped for HTML, and as it is.
pub(super) struct Printers {
    pub html: Handlebars<'static>,
    pub plain: Handlebars<'static>,
}

impl Printers {
    pub(super) fn new() -> Self {
        let mut html = Handlebars::new();
        html.set_strict_mode(true);
        functions::register(&mut html);
        let mut plain = Handlebars::new();
        plain.set_strict_mode(true);
        plain.register_escape_fn(no_escape);
        functions::register(&mut plain);
        Self { html, plain }
    }
}

/// Renders one part, at most `limit` bytes.
pub(super) fn render(
    template: &Template,
    printer: &Handlebars<'static>,
    context: &Context,
    limit: usize,
    place: Place,
    lines: &Lines,
) -> Result<String, RenderError> {
    let mut out = Capped { text: String::new(), limit, full: false };
    // A panic of the renderer must end this message, not the worker.
    let rendered = catch_unwind(AssertUnwindSafe(|| {
        template.render(printer, context, &mut RenderContext::new(None), &mut out)
    }));
    match rendered {
        Ok(Ok(())) => Ok(out.text),
        _ if out.full => Err(RenderError::TooLarge { place, limit }),
        Ok(Err(error)) => Err(reason(&error, place, lines)),
        Err(_) => Err(RenderError::Other { place, reason: "the renderer failed".to_owned() }),
    }
}

fn reason(error: &handlebars::RenderError, place: Place, lines: &Lines) -> RenderError {
    match error.reason() {
        RenderErrorReason::MissingVariable(variable) => {
            let variable = variable.clone().unwrap_or_default();
            let line = lines.get(&variable).cloned().unwrap_or_else(|| "line unknown".to_owned());
            RenderError::MissingVariable { place, variable, line }
        }
        RenderErrorReason::NestedError(nested) => match nested.downcast_ref::<Misuse>() {
            Some(misuse) => RenderError::Misuse { place, misuse: misuse.clone() },
            None => RenderError::Other { place, reason: nested.to_string() },
        },
        other => RenderError::Other { place, reason: other.to_string() },
    }
}

/// The context of a message's data.
pub(super) fn context(whole: Json) -> Context {
    Context::from(whole)
}

/// Takes so many bytes and no more.
struct Capped {
    text: String,
    limit: usize,
    full: bool,
}

impl Output for Capped {
    fn write(&mut self, part: &str) -> Result<(), io::Error> {
        if self.text.len() + part.len() > self.limit {
            self.full = true;
            return Err(io::Error::other("the output is full"));
        }
        self.text.push_str(part);
        Ok(())
    }
}
