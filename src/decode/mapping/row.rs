//! CSV rows to slots.

use std::borrow::Cow;

use super::plan::Slot;

/// Which columns are wanted, in the order of the file.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// Every column's name.
    pub names: Vec<String>,
    /// The slot of each column that is wanted.
    pub slots: Vec<Option<usize>>,
}

/// Calls `each` with every value of the row and its number; the count of values.
pub(super) fn values<'a>(
    row: &'a str,
    delimiter: u8,
    mut each: impl FnMut(usize, &'a str),
) -> usize {
    let bytes = row.as_bytes();
    let (mut start, mut number) = (0, 0);
    loop {
        let end = value_end(bytes, start, delimiter);
        each(number, &row[start..end]);
        number += 1;
        if end == bytes.len() {
            return number;
        }
        start = end + 1;
    }
}

/// Where the value that starts at `start` ends: its delimiter or the end of the row.
fn value_end(bytes: &[u8], start: usize, delimiter: u8) -> usize {
    if bytes.get(start) != Some(&b'"') {
        return memchr::memchr(delimiter, &bytes[start..]).map_or(bytes.len(), |at| start + at);
    }
    let mut quoted = true;
    let mut opens = false;
    for (at, &byte) in bytes.iter().enumerate().skip(start + 1) {
        match byte {
            b'"' if quoted => (quoted, opens) = (false, true),
            b'"' if opens => (quoted, opens) = (true, false),
            _ if !quoted && byte == delimiter => return at,
            _ => opens = false,
        }
    }
    bytes.len()
}

/// The value without its quotes; `None` if it is empty.
pub(super) fn unquoted(value: &str) -> Slot<'_> {
    let Some(inner) = value.strip_prefix('"') else {
        return Some(value.trim()).filter(|value| !value.is_empty()).map(Cow::Borrowed);
    };
    if let Some(plain) = inner.strip_suffix('"')
        && memchr::memchr(b'"', plain.as_bytes()).is_none()
    {
        return Some(plain.trim()).filter(|value| !value.is_empty()).map(Cow::Borrowed);
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    let mut quoted = true;
    while let Some(at) = rest.find('"') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        text.push_str(before);
        match (quoted, after.strip_prefix('"')) {
            (true, Some(after)) => {
                text.push('"');
                rest = after;
            }
            (true, None) => {
                quoted = false;
                rest = after;
            }
            (false, _) => {
                text.push('"');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    let text = text.trim();
    (!text.is_empty()).then(|| Cow::Owned(text.to_owned()))
}

/// A row without its line break.
pub(super) fn without_break(row: &str) -> &str {
    let row = row.strip_suffix('\n').unwrap_or(row);
    row.strip_suffix('\r').unwrap_or(row)
}
