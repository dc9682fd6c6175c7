//! What stands beside a record of the log in its message in Kafka: the rows of the identity graph
//! that its position changed. No lane reads them; the graph is rebuilt from them.

use super::RecordError;

/// The header that holds them.
pub const GRAPH_HEADER: &str = "graph";

/// First byte of what it holds.
const ENCODING: u8 = 1;

/// Encodes rows of the graph, each with its key.
#[must_use]
pub fn encode_rows(rows: &[(u128, Vec<u8>)]) -> Vec<u8> {
    // Writing plain data into a growing vector has no way to fail.
    postcard::to_extend(rows, vec![ENCODING]).unwrap_or_default()
}

/// Decodes what [`encode_rows`] wrote.
///
/// # Errors
/// [`RecordError`] for bytes of a later build and for damaged ones.
pub fn decode_rows(bytes: &[u8]) -> Result<Vec<(u128, Vec<u8>)>, RecordError> {
    match bytes.split_first() {
        Some((&ENCODING, rest)) => {
            postcard::from_bytes(rest).map_err(|error| RecordError::Damaged(error.to_string()))
        }
        Some((&other, _)) => Err(RecordError::Encoding(other)),
        None => Err(RecordError::Damaged("no bytes".into())),
    }
}
