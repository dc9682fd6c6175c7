//! A small JSON writer: no tree is built, keys keep the order in which they are written.

use std::io::Write as _;

use crate::model::{SECOND_MS, Timestamp};

/// An instant as browsers write it: RFC 3339 in UTC, always with milliseconds.
pub(super) fn instant(ms: i64) -> String {
    let mut text = Timestamp::from_ms(ms - ms.rem_euclid(SECOND_MS)).to_string();
    text.truncate(text.len() - 1);
    text + &format!(".{:03}Z", ms.rem_euclid(SECOND_MS))
}

/// One line of JSON being written.
#[derive(Default)]
pub(super) struct Json {
    bytes: Vec<u8>,
    numbers_as_text: bool,
}

impl Json {
    /// An empty line whose numbers are written as text, as some feeds do.
    pub(super) fn with_numbers_as_text(numbers_as_text: bool) -> Self {
        Self { bytes: Vec::new(), numbers_as_text }
    }

    /// The line, without a line break.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// An object: the whole line, or an element of an array.
    pub(super) fn element(&mut self, fields: impl FnOnce(&mut Self)) {
        self.comma();
        self.bytes.push(b'{');
        fields(self);
        self.bytes.push(b'}');
    }

    /// A field that is an object.
    pub(super) fn object(&mut self, key: &str, fields: impl FnOnce(&mut Self)) {
        self.key(key);
        self.bytes.push(b'{');
        fields(self);
        self.bytes.push(b'}');
    }

    /// A field that is an array.
    pub(super) fn array(&mut self, key: &str, elements: impl FnOnce(&mut Self)) {
        self.key(key);
        self.bytes.push(b'[');
        elements(self);
        self.bytes.push(b']');
    }

    /// A text field.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.quoted(value);
    }

    /// A field with a whole number.
    pub(super) fn number(&mut self, key: &str, value: i64) {
        self.raw_number(key, format_args!("{value}"));
    }

    /// A field with an amount in cents, written with two decimals.
    pub(super) fn cents(&mut self, key: &str, value: i64) {
        self.raw_number(key, format_args!("{}.{:02}", value / 100, value % 100));
    }

    /// A field that is true or false.
    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.bytes.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A field that is null.
    pub(super) fn null(&mut self, key: &str) {
        self.key(key);
        self.bytes.extend_from_slice(b"null");
    }

    fn raw_number(&mut self, key: &str, value: std::fmt::Arguments<'_>) {
        self.key(key);
        let quote: &[u8] = if self.numbers_as_text { b"\"" } else { b"" };
        self.bytes.extend_from_slice(quote);
        // Writing to a Vec can't fail.
        let _ = self.bytes.write_fmt(value);
        self.bytes.extend_from_slice(quote);
    }

    fn key(&mut self, key: &str) {
        self.comma();
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.extend_from_slice(b"\":");
    }

    fn comma(&mut self) {
        if !matches!(self.bytes.last(), None | Some(b'{' | b'[' | b':')) {
            self.bytes.push(b',');
        }
    }

    fn quoted(&mut self, value: &str) {
        self.bytes.push(b'"');
        for byte in value.bytes() {
            match byte {
                b'"' | b'\\' => self.bytes.extend_from_slice(&[b'\\', byte]),
                // Writing to a Vec can't fail.
                0..0x20 => drop(write!(self.bytes, "\\u{byte:04x}")),
                _ => self.bytes.push(byte),
            }
        }
        self.bytes.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_always_have_milliseconds() {
        for text in ["2026-03-02T00:00:00.000Z", "2026-03-02T23:59:59.070Z"] {
            let read: Timestamp = text.parse().expect("a time");
            assert_eq!(instant(read.ms()), text);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut json = Json::with_numbers_as_text(true);
        json.element(|json| {
            json.text("a", "quote \" slash \\ line\nend é");
            json.array("list", |json| {
                json.element(|json| json.cents("price", 1_905));
                json.element(|json| json.number("n", -3));
            });
            json.object("none", |json| json.null("x"));
            json.flag("ok", true);
        });
        let read: serde_json::Value = serde_json::from_slice(&json.into_bytes()).expect("JSON");
        let expected = serde_json::json!({
            "a": "quote \" slash \\ line\nend é",
            "list": [{ "price": "19.05" }, { "n": "-3" }],
            "none": { "x": null },
            "ok": true,
        });
        assert_eq!(read, expected);
    }
}
