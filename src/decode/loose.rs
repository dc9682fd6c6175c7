//! JSON as sources really write it: numbers as strings, nulls, placeholders.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{NESTING_MAX, RECORD_BYTES_MAX, Rejected};
use crate::model::ITEMS_MAX;

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
    let kind = if error.is_data() { "wrong type" } else { "broken JSON" };
    Rejected::new(format!("{kind}{place}: {what}"))
}

/// A scalar of whatever type: text, number, boolean or null, borrowed as the record spells it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loose<'a>(&'a str);

impl<'a> Loose<'a> {
    /// Its text without surrounding blanks: `None` if absent, null, empty, or no scalar.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let text = match self.0.as_bytes().first()? {
            b'"' => {
                let inner = &self.0[1..self.0.len() - 1];
                if memchr::memchr(b'\\', inner.as_bytes()).is_some() {
                    let text: String = serde_json::from_str(self.0).ok()?;
                    return Some(text.trim().to_owned())
                        .filter(|text| !text.is_empty())
                        .map(Cow::Owned);
                }
                inner.trim()
            }
            b'{' | b'[' | b'n' => return None,
            _ => self.0,
        };
        Some(text).filter(|text| !text.is_empty()).map(Cow::Borrowed)
    }

    /// As [`Self::text`], and `None` also for what JavaScript and SQL write for nothing.
    pub(super) fn known(self) -> Option<Cow<'a, str>> {
        self.text().filter(|text| !is_placeholder(text))
    }
}

/// Whether the text only says that there is no value.
pub(super) fn is_placeholder(text: &str) -> bool {
    text.len() <= 9
        && ["", "undefined", "null", "NaN", "none"]
            .iter()
            .any(|none| text.eq_ignore_ascii_case(none))
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de RawValue>::deserialize(deserializer).map(|raw| Self(raw.get()))
    }
}

/// A list of at most [`ITEMS_MAX`] elements; one element without its brackets counts as a list of
/// one, nulls are left out.
#[derive(Clone, Debug)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(List::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|one| List(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element::<Option<T>>()? {
            if list.len() == ITEMS_MAX {
                return Err(A::Error::custom(format!(
                    "more than {ITEMS_MAX} elements in one list; split the record"
                )));
            }
            list.extend(element);
        }
        Ok(List(list))
    }
}

/// An object read as pairs in the order written: names of the source's own choosing.
#[derive(Clone, Debug)]
pub(super) struct Pairs<'a, T>(pub(super) Vec<(Cow<'a, str>, T)>);

impl<T> Default for Pairs<'_, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Pairs<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<'a, T>(PhantomData<(&'a (), T)>);

impl<'de: 'a, 'a, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<'a, T> {
    type Value = Pairs<'a, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Pairs::default())
    }

    /// PHP writes an empty object as an empty array.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        match seq.next_element::<IgnoredAny>()? {
            None => Ok(Pairs::default()),
            Some(_) => Err(A::Error::custom("an array where an object with names is expected")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            if pairs.len() == ITEMS_MAX {
                return Err(A::Error::custom(format!("more than {ITEMS_MAX} names in one object")));
            }
            pairs.push((key, map.next_value()?));
        }
        Ok(Pairs(pairs))
    }
}

/// An object's key, borrowed where it has no escapes.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(KeyVisitor).map(Key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_of_any_type_are_text() {
        for (json, text) in [
            (r#""1""#, Some("1")),
            ("1.50", Some("1.50")),
            ("true", Some("true")),
            ("null", None),
            (r#""""#, None),
            (r#"" a ""#, Some("a")),
            (r#""\u00e9\n""#, Some("é")),
            ("{}", None),
            ("[1]", None),
        ] {
            let loose: Loose<'_> = parse(json).expect(json);
            assert_eq!(loose.text().as_deref(), text, "{json}");
        }
        let undefined: Loose<'_> = parse(r#""undefined""#).expect("a text");
        assert_eq!(undefined.known(), None);
    }

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

    #[test]
    fn a_list_is_bounded() {
        let long = format!("[{}]", vec!["1"; ITEMS_MAX + 1].join(","));
        let error = parse::<List<Loose<'_>>>(&long).expect_err("too long");
        assert!(error.reason.contains("more than 1000 elements"), "{error}");
    }
}
