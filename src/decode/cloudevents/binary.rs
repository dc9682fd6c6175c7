//! CloudEvents in Kafka's binary mode: attributes in headers, the data as the record.
//!
//! CloudEvents' Kafka protocol binding 1.0.2, section 3.2: attributes are headers `ce_NAME`, the
//! record's `content-type` header is `datacontenttype`, and the record's value is the data.

use serde_json::Value;

use crate::decode::{Decode, RECORD_BYTES_MAX, Raw, Rejected};
use crate::model::Event;

/// What stands before an attribute's name in a header.
const PREFIX: &str = "ce_";

/// Decodes a record of a Kafka topic with its headers, as [`Decode::decode`] does without.
///
/// # Errors
/// [`Rejected`] if the record can't be read; `out` is then unchanged.
pub fn decode_message<'a>(
    decode: &dyn Decode,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    raw: &Raw<'_>,
    out: &mut Vec<Event>,
) -> Result<(), Rejected> {
    if raw.bytes.is_empty() {
        return Err(Rejected::new("an empty record: nothing in it says what happened"));
    }
    if raw.bytes.len() > RECORD_BYTES_MAX {
        let bytes = raw.bytes.len();
        return Err(Rejected::new(format!("{bytes} bytes; a record may have {RECORD_BYTES_MAX}")));
    }
    match from_binary(headers, raw.bytes) {
        Some(structured) => decode.decode(&Raw { bytes: &structured, ..*raw }, out),
        None => decode.decode(raw, out),
    }
}

/// The record as structured JSON, if its headers say that it is a CloudEvent in binary mode. Data
/// that is no JSON is given as text, and refused where it is read.
#[must_use]
fn from_binary<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    data: &[u8],
) -> Option<Vec<u8>> {
    let mut attributes = serde_json::Map::new();
    for (name, value) in headers {
        if let Some(name) = name.strip_prefix(PREFIX) {
            let text = String::from_utf8_lossy(value).into_owned();
            attributes.insert(name.to_owned(), Value::String(text));
        }
    }
    if !attributes.contains_key("specversion") {
        return None;
    }
    // Data in a header would stand beside the data.
    attributes.remove("data");
    let mut json = serde_json::to_vec(&attributes).ok()?;
    json.pop();
    json.extend_from_slice(b",\"data\":");
    match serde_json::from_slice::<&serde_json::value::RawValue>(data) {
        Ok(data) => json.extend_from_slice(data.get().as_bytes()),
        Err(_) => json.extend(serde_json::to_vec(&String::from_utf8_lossy(data)).ok()?),
    }
    json.push(b'}');
    Some(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structured(headers: &[(&str, &str)], data: &str) -> Option<String> {
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        from_binary(headers, data.as_bytes()).map(|json| String::from_utf8(json).expect("text"))
    }

    #[test]
    fn headers_become_attributes_beside_the_data() {
        let headers = [("ce_specversion", "1.0"), ("ce_type", "cart.viewed"), ("trace", "x")];
        let json = structured(&headers, r#"{"cart":{"id":"7"}}"#).expect("a CloudEvent");
        assert_eq!(
            json,
            r#"{"specversion":"1.0","type":"cart.viewed","data":{"cart":{"id":"7"}}}"#
        );
        assert_eq!(structured(&[("trace", "x")], "{}"), None);
        let json = structured(&[("ce_specversion", "1.0")], "no \"JSON").expect("a CloudEvent");
        assert_eq!(json, r#"{"specversion":"1.0","data":"no \"JSON"}"#);
    }
}
