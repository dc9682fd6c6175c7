//! The parser's complaints in our own words.

use cel::parser::ParseError;

use super::{ExprError, ExprErrorKind};

/// The first of the parser's complaints, in our own words: the later ones follow from it.
pub(super) fn first_error(source: &str, errors: &[ParseError]) -> ExprError {
    let first = errors.first();
    let (line, column) = first.map_or((1, 1), |error| error.pos);
    let line_start: usize = source
        .split_inclusive('\n')
        .take(usize::try_from(line - 1).unwrap_or(0))
        .map(str::len)
        .sum();
    let at = source[line_start..]
        .char_indices()
        .nth(usize::try_from(column - 1).unwrap_or(0))
        .map_or(source.len(), |(offset, _)| line_start + offset);
    let rest = &source[at..];
    let (message, help) = match rest.chars().next() {
        None => ("the condition stops in the middle".to_owned(), None),
        Some('=') => ("a single `=` is not known".into(), Some("compare with `==`")),
        Some('&' | '|') => ("a single `&` or `|` is not known".into(), Some("write `&&` or `||`")),
        Some('\'' | '"') => ("the text is not closed".into(), Some("close it with its quote")),
        Some(c)
            if rest.starts_with("and ") || rest.starts_with("or ") || rest.starts_with("not ") =>
        {
            (format!("`{c}…` is not expected here"), Some("write `&&`, `||` and `!`"))
        }
        Some(c) => (format!("`{c}` is not expected here"), None),
    };
    let end = at + rest.chars().next().map_or(0, char::len_utf8);
    ExprError {
        kind: ExprErrorKind::Syntax,
        range: at..end,
        message,
        help: help.map(str::to_owned),
    }
}
