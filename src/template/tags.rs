//! Where the Handlebars tags of a text are, and what kind each is.
//!
//! Only as much as splicing and the look at the markup need; what stands inside of a tag is parsed
//! by the Handlebars crate.

use std::ops::Range;

/// The deepest nesting of blocks, and of parentheses within a tag.
pub(super) const LEVELS_MAX: usize = 16;

/// A tag of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag<'t> {
    /// Its bytes, with the braces.
    pub span: Range<usize>,
    /// What it is.
    pub kind: TagKind<'t>,
}

/// What a tag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagKind<'t> {
    /// `{{! for authors }}`.
    Comment,
    /// `{{> name}}`, with what follows the `>`.
    Partial(&'t str),
    /// `{{#if x}}`, with its name.
    Open(&'t str),
    /// `{{else}}`.
    Else,
    /// `{{/if}}`, with its name.
    Close(&'t str),
    /// `{{x}}`, with what stands between the braces.
    Print(&'t str),
}

/// A text whose tags can't be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TagError {
    /// Where.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: String,
}

impl TagError {
    fn new(span: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: help.into() }
    }
}

/// The tags of a text in their order. Blocks that are open in it end in it.
pub(super) fn tags(text: &str) -> Result<Vec<Tag<'_>>, TagError> {
    let mut found = Vec::new();
    let mut at = 0;
    // The blocks that are open, each with its place.
    let mut open: Vec<(&str, Range<usize>)> = Vec::new();
    while let Some(start) = text[at..].find("{{").map(|offset| at + offset) {
        let tag = tag(text, start)?;
        let span = tag.span.clone();
        match tag.kind {
            TagKind::Open(name) => open.push((name, span.clone())),
            TagKind::Close(name) => match open.pop() {
                Some((opened, _)) if opened == name => {}
                Some((opened, _)) => {
                    let message = format!("`{{{{#{opened}}}}}` is closed by `{{{{/{name}}}}}`");
                    let help = format!("close it by `{{{{/{opened}}}}}`");
                    return Err(TagError::new(span, message, help));
                }
                None => {
                    let help = format!("open it by `{{{{#{name} …}}}}`, in this file");
                    return Err(TagError::new(span, "no block is open here", help));
                }
            },
            TagKind::Else if open.is_empty() => {
                let help = "`{{else}}` stands between `{{#if x}}` and `{{/if}}`";
                return Err(TagError::new(span, "no block is open here", help));
            }
            _ => {}
        }
        if open.len() > LEVELS_MAX {
            let help = "at most 16 blocks may stand inside of each other";
            return Err(TagError::new(span, "blocks are nested too deeply", help));
        }
        at = tag.span.end;
        found.push(tag);
    }
    match open.pop() {
        None => Ok(found),
        Some((name, span)) => {
            let help = format!("end it by `{{{{/{name}}}}}`, in this file");
            Err(TagError::new(span, "this block has no end", help))
        }
    }
}

/// The tag that begins here.
fn tag(text: &str, start: usize) -> Result<Tag<'_>, TagError> {
    let rest = &text[start..];
    let fail = |length: usize, message: &str, help: &str| {
        Err(TagError::new(start..start + length, message, help))
    };
    if text[..start].ends_with('\\') {
        let help = "templates have no way to print two braces; write it without the backslash";
        return fail(2, "a backslash before braces", help);
    }
    if rest.starts_with("{{{") || rest.starts_with("{{&") {
        let help = "write two braces: what is printed is made safe for its place";
        return fail(3, "a value can't be printed unescaped", help);
    }
    if rest.starts_with("{{!--") {
        let Some(end) = rest.find("--}}") else {
            return fail(5, "this comment has no end", "end it with `--}}`");
        };
        return Ok(Tag { span: start..start + end + 4, kind: TagKind::Comment });
    }
    if rest.starts_with("{{!") {
        let Some(end) = rest.find("}}") else {
            return fail(3, "this comment has no end", "end it with `}}`");
        };
        return Ok(Tag { span: start..start + end + 2, kind: TagKind::Comment });
    }
    let Some(end) = end_of(rest) else {
        return fail(2, "this has no end", "end it with `}}`");
    };
    if end > TAG_BYTES_MAX {
        return fail(2, "this is too long", "two braces hold at most 1,000 bytes");
    }
    let inner = rest[2..end - 2].trim_matches('~').trim();
    if depth(inner) > LEVELS_MAX {
        return fail(2, "too many parentheses", "at most 16 may stand inside of each other");
    }
    let kind = match inner.as_bytes().first() {
        Some(b'>') => TagKind::Partial(inner[1..].trim()),
        Some(b'#') if matches!(inner.as_bytes().get(1), Some(b'>' | b'*')) => {
            return fail(
                end,
                "templates have no such blocks",
                "possible are if, unless, each, with",
            );
        }
        Some(b'#') => TagKind::Open(first_word(&inner[1..])),
        Some(b'/') => TagKind::Close(first_word(&inner[1..])),
        Some(b'*') => {
            return fail(end, "templates have no decorators", "print a value or call a function");
        }
        Some(b'^') => TagKind::Else,
        _ if inner.split_whitespace().next() == Some("else") => TagKind::Else,
        _ => TagKind::Print(inner),
    };
    Ok(Tag { span: start..start + end, kind })
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// The longest tag that is no comment, in bytes.
const TAG_BYTES_MAX: usize = 1_000;

/// Where the tag that begins a text ends, past its braces; quoted texts may hold braces.
fn end_of(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quote = None;
    let mut at = 2;
    while at < bytes.len() {
        let byte = bytes[at];
        match quote {
            Some(_) if byte == b'\\' => at += 1,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if byte == b'"' || byte == b'\'' => quote = Some(byte),
            None if text[at..].starts_with("}}") => return Some(at + 2),
            None => {}
        }
        at += 1;
        while at < bytes.len() && !text.is_char_boundary(at) {
            at += 1;
        }
    }
    None
}

fn depth(tag: &str) -> usize {
    let mut deepest = 0_usize;
    let mut levels = 0_usize;
    for byte in tag.bytes() {
        match byte {
            b'(' | b'[' | b'{' => levels += 1,
            b')' | b']' | b'}' => levels = levels.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(levels);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_apart() {
        let text = r#"a {{x}} {{#if y}}{{~ else ~}}{{/if}} {{! no {{ }} {{!-- }} --}} {{> foot }} {{f "}}"}}"#;
        let kinds: Vec<TagKind<'_>> =
            tags(text).expect("tags").into_iter().map(|tag| tag.kind).collect();
        assert_eq!(
            kinds,
            [
                TagKind::Print("x"),
                TagKind::Open("if"),
                TagKind::Else,
                TagKind::Close("if"),
                TagKind::Comment,
                TagKind::Comment,
                TagKind::Partial("foot"),
                TagKind::Print(r#"f "}}""#),
            ]
        );
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for (text, message) in [
            ("{{x", "no end"),
            ("{{{x}}}", "unescaped"),
            ("{{&x}}", "unescaped"),
            ("\\{{x}}", "backslash"),
            ("{{!-- x }}", "no end"),
            ("{{#> x}}", "no such blocks"),
            ("{{* x}}", "decorators"),
            ("{{#if x}}", "no end"),
            ("{{#if x}}{{/each}}", "closed by"),
            ("{{/if}}", "no block"),
            ("{{else}}", "no block"),
            (&"{{#if x}}".repeat(17), "too deeply"),
            (&format!("{{{{{}x{}}}}}", "(".repeat(17), ")".repeat(17)), "parentheses"),
        ] {
            let error = tags(text).expect_err(text);
            assert!(error.message.contains(message), "{text}: {}", error.message);
        }
    }
}
