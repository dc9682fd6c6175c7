//! Dead letters as records of a topic, with their reason and place in headers.

use rdkafka::message::{Header, OwnedHeaders};

use crate::log::DeadLetter;

/// The most bytes of a dead letter that go to its topic: what is refused there would stop the rest.
const BYTES_MAX: usize = 900_000;

/// The headers and the payload of a letter; `source` and `topic` are where its record belongs.
pub(super) fn told<'l>(
    letter: &'l DeadLetter,
    source: &str,
    topic: &str,
) -> (OwnedHeaders, &'l [u8]) {
    let payload = letter.payload.as_deref().unwrap_or_default();
    let kept = &payload[..payload.len().min(BYTES_MAX)];
    let whole = letter.whole && kept.len() == payload.len();
    let mut headers = OwnedHeaders::new();
    let (partition, offset) = (letter.partition.to_string(), letter.position.to_string());
    let place: &[(&str, &str)] = if letter.came_by_http() {
        &[("line", &offset)]
    } else {
        &[("partition", &partition), ("offset", &offset)]
    };
    let whole = if whole { "true" } else { "false" };
    let known = [
        ("reason", letter.reason.as_str()),
        ("source", source),
        ("topic", topic),
        ("whole", whole),
    ];
    for &(key, value) in known.iter().chain(place) {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    (headers, kept)
}
