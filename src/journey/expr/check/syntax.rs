//! The parser's complaints in our own words.

use cel::parser::ParseError;

use super::{ExprError, ExprErrorKind};

/// The first of the parser's complaints: the later ones follow from it. Where it stumbled over a
/// part that it had not read whole, the place where it stopped says more.
pub(super) fn first_error(source: &str, errors: &[ParseError]) -> ExprError {
    let stopped = errors.iter().find(|error| !error.msg.starts_with("Incomplete"));
    let (pos, complaint) = stopped.map_or(((1, 1), ""), |error| (error.pos, error.msg.as_str()));
    let at = offset(source, pos);
    let rest = &source[at..];
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word_end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    let end = at + word_end.max(rest.chars().next().map_or(0, char::len_utf8));
    let (message, help) = explain(source, at, end, complaint);
    ExprError {
        kind: ExprErrorKind::Syntax,
        range: at..end,
        message,
        help: help.map(str::to_owned),
    }
}

/// The byte at a line and a column, both from 1, in characters.
fn offset(source: &str, (line, column): (isize, isize)) -> usize {
    let before = |number: isize| usize::try_from(number - 1).unwrap_or(0);
    let line_start: usize = source.split_inclusive('\n').take(before(line)).map(str::len).sum();
    source[line_start..]
        .char_indices()
        .nth(before(column))
        .map_or(source.len(), |(offset, _)| line_start + offset)
}

fn explain(source: &str, at: usize, end: usize, complaint: &str) -> (String, Option<&'static str>) {
    let (before, rest, found) = (&source[..at], &source[at..], &source[at..end]);
    if complaint.starts_with("invalid int") {
        return ("this number is too large".into(), None);
    }
    if complaint.contains("has() macro") {
        let help = "write it as in has(customer.country)";
        return ("`has` takes a variable with a dot in it".into(), Some(help));
    }
    if complaint.contains("simple name") {
        let help = "write it as in cart.items.exists(i, i.sku == 'A')";
        return ("a loop begins with a simple name".into(), Some(help));
    }
    if complaint.starts_with("reserved identifier") {
        return (format!("`{found}` is a reserved word"), None);
    }
    let first = rest.chars().next();
    match first {
        None if complaint.contains("missing ')'") => ("a bracket is not closed".into(), None),
        None => ("the condition stops in the middle".into(), None),
        Some('=') if rest.starts_with("=>") => {
            ("`=>` is not known".into(), Some("compare with `>=`"))
        }
        Some('=') if rest.starts_with("==") => (format!("`{found}` is not expected here"), None),
        Some('=') => ("a single `=` is not known".into(), Some("compare with `==`")),
        Some('>') if before.ends_with('<') => {
            ("`<>` is not known".into(), Some("compare with `!=`"))
        }
        Some('≥' | '≤' | '≠') => {
            (format!("`{found}` is not known"), Some("compare with `>=`, `<=` or `!=`"))
        }
        Some('&' | '|') => ("a single `&` or `|` is not known".into(), Some("write `&&` or `||`")),
        Some(quote @ ('\'' | '"')) if rest[1..].contains(quote) => (
            "the text has an escape that is not known".into(),
            Some("write `\\\\`, `\\'`, `\\\"`, `\\n` or `\\t`"),
        ),
        Some('\'' | '"') => ("the text is not closed".into(), Some("close it with its quote")),
        Some(_) if matches!(found, "and" | "or" | "not") => {
            (format!("`{found}` is not expected here"), Some("write `&&`, `||` and `!`"))
        }
        Some(_) => (format!("`{found}` is not expected here"), None),
    }
}
