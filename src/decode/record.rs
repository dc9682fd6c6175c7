//! What every record must be: short enough, UTF-8, without NUL, not nested too deep.

use serde::Deserialize;

use super::{NESTING_MAX, RECORD_BYTES_MAX, Rejected};

/// Checks what serde_json does not or says less clearly, and gives the record as text.
///
/// # Errors
/// [`Rejected`] if it is too long, no UTF-8, no object, has a NUL, or is nested too deep.
pub(super) fn json_text(bytes: &[u8]) -> Result<&str, Rejected> {
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(too_long(bytes.len()));
    }
    let text = utf8(bytes)?;
    // serde reads an array as a struct of its elements, which nobody means here.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Rejected::new("not a JSON object; a record is an object in braces"));
    }
    if let Some(at) = escaped_nul(bytes) {
        return Err(nul_at(at));
    }
    // No shorter record can be nested deeper, opening and closing.
    if bytes.len() > 2 * NESTING_MAX && openers(bytes) > NESTING_MAX {
        let depth = depth_of(bytes);
        if depth > NESTING_MAX {
            return Err(Rejected::new(format!(
                "nested {depth} deep, the limit is {NESTING_MAX}; flatten the record"
            )));
        }
    }
    Ok(text)
}

/// The record as text without NUL.
///
/// # Errors
/// [`Rejected`], naming the byte, if it is no UTF-8 or has a NUL.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Rejected> {
    if let Some(at) = memchr::memchr(0, bytes) {
        return Err(nul_at(at));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        Rejected::new(format!(
            "not UTF-8 at byte {}; write the source as UTF-8",
            error.valid_up_to() + 1
        ))
    })
}

pub(super) fn too_long(bytes: usize) -> Rejected {
    Rejected::new(format!(
        "the record has {bytes} bytes, the limit is {RECORD_BYTES_MAX}; split it or drop fields"
    ))
}

fn nul_at(at: usize) -> Rejected {
    Rejected::new(format!("NUL character at byte {}; remove it at the source", at + 1))
}

/// Where a `\u0000` escape stands that is not itself escaped.
fn escaped_nul(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(bytes, b"\\u0000").find(|&at| {
        bytes[..at].iter().rev().take_while(|&&byte| byte == b'\\').count().is_multiple_of(2)
    })
}

fn openers(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'{' || byte == b'[').count()
}

fn depth_of(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for &byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => (),
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => (),
        }
    }
    deepest
}

/// Reads one JSON value of a record.
///
/// # Errors
/// [`Rejected`] naming the column (and the line within a record of several).
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Rejected> {
    serde_json::from_str(text).map_err(|error| json_error(&error))
}

/// A serde_json error in our words: its own place is within the record, not within the file.
pub(super) fn json_error(error: &serde_json::Error) -> Rejected {
    let full = error.to_string();
    let what = full.rfind(" at line ").map_or(full.as_str(), |at| &full[..at]);
    let place = match (error.line(), error.column()) {
        (0, _) => String::new(),
        (1, column) => format!(" at column {column}"),
        (line, column) => format!(" at line {line} of the record, column {column}"),
    };
    let kind = match what {
        _ if !error.is_data() => "broken JSON",
        what if what.starts_with("invalid type") => "wrong type",
        _ => "unreadable",
    };
    Rejected::new(format!("{kind}{place}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_records_are_refused_with_their_place() {
        let deep = "{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000);
        for (bytes, reason) in [
            (deep.as_bytes(), "nested 10000 deep"),
            (b"{\"a\":\"\xff\"}", "not UTF-8 at byte 7"),
            (b"{\"a\":\"\0\"}", "NUL character at byte 7"),
            (br#"{"a":"\u0000"}"#, "NUL character at byte 7"),
            (vec![b' '; RECORD_BYTES_MAX + 1].as_slice(), "1048577 bytes, the limit is 1048576"),
        ] {
            let error = json_text(bytes).expect_err(reason);
            assert!(error.reason.contains(reason), "{error}");
        }
        assert!(json_text(br#"{"a":"\\u0000"}"#).is_ok());
        let flat = format!("{{\"a\":[{}]}}", vec!["[]"; 500].join(","));
        assert!(json_text(flat.as_bytes()).is_ok());
    }
}
