//! How a report is shown: as text for people, as JSON lines for editors and CI.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::{Diagnostic, Report, Severity};

impl Report {
    /// The messages as a compiler would print them, with the line and a caret; coloured if asked.
    #[must_use]
    pub fn render(&self, coloured: bool) -> String {
        let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
        self.diagnostics().iter().map(|found| render(found, &renderer)).collect()
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
    let mut annotation = AnnotationKind::Primary.span(visible_span(found));
    if let Some(label) = &found.label {
        annotation = annotation.label(label.as_str());
    }
    let snippet = Snippet::source(found.file.text.as_str())
        .path(found.file.path.as_str())
        .annotation(annotation);
    let mut group =
        level.primary_title(found.message.as_str()).id(found.code.as_str()).element(snippet);
    if let Some(help) = &found.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    format!("{}\n\n", renderer.render(&[group]))
}

/// The span held within the text, on character boundaries and to its first line.
fn visible_span(found: &Diagnostic) -> std::ops::Range<usize> {
    let text = &found.file.text;
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(found.span.start);
    let mut end = boundary(found.span.end).max(start);
    if let Some(newline) = text[start..end].find('\n') {
        end = start + newline;
    }
    start..end
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
