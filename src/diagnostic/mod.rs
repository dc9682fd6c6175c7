//! Messages about files that people write: where, what, and the way out.
//!
//! Parsers and checkers push [`Diagnostic`]s into a [`Report`] and go on, so that one run shows
//! every mistake. How a report is shown is decided in [`Report::render`] and
//! [`Report::json_lines`] alone.

mod codes;
mod render;
mod suggest;

use std::ops::Range;
use std::sync::Arc;

pub use codes::Code;
pub use suggest::{did_you_mean, did_you_mean_within, nearest};

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The path as the reader should see it.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl SourceFile {
    /// A file of this path and text.
    #[must_use]
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// Line and column of a byte offset, both from 1; columns count characters.
    #[must_use]
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file can't be used.
    Error,
    /// The file can be used, but probably does not do what its author thinks.
    Warning,
}

impl Severity {
    /// The word used in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One message about one place in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its stable code.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// The file.
    pub file: Arc<SourceFile>,
    /// The bytes of the file it speaks of.
    pub span: Range<usize>,
    /// A few words under the caret.
    pub label: Option<String>,
    /// The way out.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    #[must_use]
    pub fn error(
        code: Code,
        file: &Arc<SourceFile>,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            file: file.clone(),
            span,
            label: None,
            help: None,
        }
    }

    /// With a few words under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With the way out, if there is one.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// As a warning.
    #[must_use]
    pub const fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}

/// The most messages a report keeps: nobody reads more, and a file can be made to have thousands.
pub const MESSAGES_MAX: usize = 500;

/// Everything found in a set of files.
#[derive(Clone, Debug, Default)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    errors: usize,
    left_out: usize,
}

impl Report {
    /// Adds a message; beyond [`MESSAGES_MAX`] it is only counted.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        if self.is_full() {
            self.left_out += 1;
        } else {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Adds all messages of another report.
    pub fn extend(&mut self, other: Self) {
        let kept = other.diagnostics.iter().filter(|found| found.severity == Severity::Error);
        self.errors += other.errors - kept.count();
        self.left_out += other.left_out;
        for diagnostic in other.diagnostics {
            self.push(diagnostic);
        }
    }

    /// The messages, in the order they were found.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// Whether an error was found.
    #[must_use]
    pub const fn has_errors(&self) -> bool {
        self.error_count() > 0
    }

    /// How many errors were found.
    #[must_use]
    pub const fn error_count(&self) -> usize {
        self.errors
    }

    /// Whether further messages are only counted.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.diagnostics.len() >= MESSAGES_MAX
    }

    /// How many messages were found beyond [`MESSAGES_MAX`], and are only counted.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// Puts the messages in the order of file and place; files that are no YAML come first, because
    /// others may only follow.
    pub fn sort(&mut self) {
        fn key(one: &Diagnostic) -> (bool, &str, usize, Code, &str) {
            let readable = one.code != Code::Yaml;
            (readable, &one.file.path, one.span.start, one.code, &one.message)
        }
        self.diagnostics.sort_by(|a, b| key(a).cmp(&key(b)));
    }
}
