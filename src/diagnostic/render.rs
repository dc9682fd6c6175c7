//! How a report is shown: as text for people, as JSON lines for editors and CI.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::{Diagnostic, Report, Severity};

impl Report {
    /// The messages as a compiler would print them, with the line and a caret; coloured if asked.
    #[must_use]
    pub fn render(&self, coloured: bool) -> String {
        let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
        let mut shown: String =
            self.diagnostics().iter().map(|found| render(found, &renderer)).collect();
        if self.left_out() > 0 {
            shown.push_str(&format!("and {} more messages\n\n", self.left_out()));
        }
        shown
    }

    /// One JSON object a line: code, severity, message, file, line, column, help.
    #[must_use]
    pub fn json_lines(&self) -> String {
        self.diagnostics().iter().map(|found| format!("{}\n", json(found))).collect()
    }
}

fn render(found: &Diagnostic, renderer: &Renderer) -> String {
    let level = match found.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    // Only the line is handed over: the renderer would look through the whole file each time.
    let (line, start, span) = line_and_span(found);
    let mut annotation = AnnotationKind::Primary.span(span);
    if let Some(label) = &found.label {
        annotation = annotation.label(label.as_str());
    }
    let snippet = Snippet::source(line)
        .line_start(found.file.line_column(start).0)
        .path(found.file.path.as_str())
        .annotation(annotation);
    let mut group =
        level.primary_title(found.message.as_str()).id(found.code.as_str()).element(snippet);
    if let Some(help) = &found.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    format!("{}\n\n", renderer.render(&[group]))
}

/// The line that the message speaks of, where it starts in the file, and the span within it: held
/// to the line and on character boundaries.
fn line_and_span(found: &Diagnostic) -> (&str, usize, std::ops::Range<usize>) {
    let text = &found.file.text;
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(found.span.start);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let end = boundary(found.span.end).clamp(start, line_end);
    let line = text[line_start..line_end].trim_end_matches('\r');
    let within = |at: usize| (at - line_start).min(line.len());
    (line, line_start, within(start)..within(end))
}

fn json(found: &Diagnostic) -> serde_json::Value {
    let (line, column) = found.file.line_column(found.span.start);
    serde_json::json!({
        "code": found.code.as_str(),
        "severity": found.severity.as_str(),
        "message": found.message,
        "file": found.file.path,
        "line": line,
        "column": column,
        "help": found.help,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::diagnostic::{Code, Diagnostic, Report, SourceFile};

    #[test]
    fn shows_the_place_for_people_and_for_programs() {
        let file = Arc::new(SourceFile::new("journeys/a.yaml", "format: 1\njourny: tea\n"));
        let mut report = Report::default();
        report.push(
            Diagnostic::error(Code::UnknownField, &file, 10..16, "`journy` is not known here")
                .help("did you mean `journey`?"),
        );
        assert_eq!(
            report.render(false),
            "error[E0201]: `journy` is not known here
 --> journeys/a.yaml:2:1
  |
2 | journy: tea
  | ^^^^^^
  |
  = help: did you mean `journey`?

"
        );
        assert_eq!(
            report.json_lines(),
            "{\"code\":\"E0201\",\"column\":1,\"file\":\"journeys/a.yaml\",\
             \"help\":\"did you mean `journey`?\",\"line\":2,\
             \"message\":\"`journy` is not known here\",\"severity\":\"error\"}\n"
        );
    }
}
