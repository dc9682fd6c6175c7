//! Front matter: what stands between the `---` lines at the top of a mail.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile};
use crate::model::{Identity, Text};
use crate::yaml::{self, Node, Read, Reader, parsed, record, text_schema};

record! {
    /// The front matter of a mail.
    pub(super) struct Front("the front matter") {
        /// The subject.
        subject "subject": needed Line,
        /// What mail programs show behind the subject; empty for none.
        preheader "preheader": needed Line,
        /// Sender, where it is not the shop's.
        from "from": optional Address,
        /// Where answers go.
        reply_to "reply_to": optional Address,
    }
}

/// A line of text that may hold variables.
#[derive(Clone, Debug)]
pub(super) struct Line(pub(super) Node);

impl Line {
    /// Its text.
    pub(super) fn text(&self) -> &str {
        match &self.0.kind {
            yaml::Kind::Scalar { text, .. } => text,
            yaml::Kind::List(_) | yaml::Kind::Map(_) => "",
        }
    }
}

impl Read for Line {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let yaml::Kind::Scalar { text, .. } = &node.kind {
            if text.contains(['\n', '\r']) {
                let message = "a subject or preheader is one line";
                return reader.fail(Code::BadValue, node.span.clone(), message);
            }
            return Some(Self(node.clone()));
        }
        let message = "a line of text belongs here";
        let help = "put it in quotes: a value that begins with a brace means something else";
        reader.fail_help(Code::WrongShape, node.span.clone(), message, help)
    }
}

/// A mail address, with or without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address(pub(super) Text);

impl Read for Address {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = "write it as in shop@shop.example or \"Shop <shop@shop.example>\"";
        parsed(node, reader, "mail address", help, |text| {
            let bare = match text.strip_suffix('>') {
                Some(named) => named.rsplit_once('<')?.1,
                None => text,
            };
            Identity::email(bare).map(|_| Self(text.into()))
        })
    }
}

text_schema! {
    Line, { "type": "string" };
    Address, { "type": "string" };
}

/// Where the front matter and the body of a mail stand.
pub(super) fn split(text: &str) -> Option<(Range<usize>, Range<usize>)> {
    let first = text.lines().next()?;
    if first.trim_end() != "---" {
        return None;
    }
    let from = text.find('\n')? + 1;
    let mut at = from;
    for line in text[from..].split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some((0..at, at + line.len()..text.len()));
        }
        at += line.len();
    }
    None
}

/// Reads the front matter of a mail; mistakes go to the report.
pub(super) fn read(file: &Arc<SourceFile>, report: &mut Report) -> Option<(Front, Range<usize>)> {
    let Some((front, body)) = split(&file.text) else {
        let message = "a mail begins with its front matter";
        let end = file.text.find('\n').unwrap_or(file.text.len());
        report.push(Diagnostic::error(Code::MissingField, file, 0..end, message).help(
            "write two lines `---` at the top, and between them `subject: …` and `preheader: …`",
        ));
        return None;
    };
    // The front alone, so that places in it are those of the file.
    let head = Arc::new(SourceFile::new(file.path.as_str(), &file.text[front]));
    let mut own = Report::default();
    let node = yaml::parse(&head, &mut own);
    for found in own.diagnostics() {
        let help =
            "put the value in single quotes, as in '{{default customer.first_name \"Hello\"}}'";
        let found = found.clone();
        report.push(if found.help.is_none() { found.help(help) } else { found });
    }
    let node = node?;
    let mut reader = Reader { file: &head, report };
    Some((Front::read(&node, &mut reader)?, body))
}
