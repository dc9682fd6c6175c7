//! What is behind the HTTP door: the embedded worker's log, or the topics of a cluster.

use crate::decode::{Decode, Decoder, Entry, Raw};
use crate::model::{Event, Tie, Timestamp};

use super::misnamed::Misnamed;

/// A source that doors take records for.
#[derive(Clone)]
pub struct Source {
    /// Its number in the order of events.
    pub number: u16,
    /// Its name.
    pub name: String,
    /// How its records are read.
    pub decoder: Decoder,
}

/// What became of a submission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Events that are kept for good.
    pub events: usize,
    /// Events that are no one's: their places in the submission, with the reason.
    pub rejected: Vec<(usize, String)>,
}

/// Why a submission was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The worker is stopping; nothing of it was kept.
    #[error("the worker is stopping; send it again")]
    Stopping,
    /// The log can't be written; nothing of it was kept.
    #[error("the log can't be written: {0}")]
    Log(String),
    /// What can't be read can't be kept either.
    #[error("what can't be read of it could not be kept ({0}); send it again, with the same ids")]
    Letters(String),
    /// Kafka did not take all of it.
    #[error("Kafka did not take all of it ({0}); send it again, with the same ids")]
    Kafka(String),
}

/// Takes the records of requests in.
pub trait Inlet: Send + Sync + 'static {
    /// What is gathered of one request.
    type Gathered: Gather + Send;

    /// Begins a request for a source.
    fn begin(&self, source: &Source) -> Self::Gathered;

    /// Takes in what was gathered, and returns once it is kept for good.
    ///
    /// # Errors
    /// [`Refused`] with what was kept.
    fn take(
        &self,
        source: &Source,
        gathered: Self::Gathered,
    ) -> impl Future<Output = Result<Accepted, Refused>> + Send;
}

/// What is there of a record that can't be read.
pub struct Unread {
    /// Its bytes, or the first of them.
    pub bytes: Vec<u8>,
    /// Whether that is all of it.
    pub whole: bool,
}

/// Gathers the records of one request.
pub trait Gather {
    /// When they came.
    fn at(&self) -> Timestamp;

    /// Where they stand, for ids of records that have none.
    fn position(&self) -> &str;

    /// A record that can be read: its place from 0, its line, its bytes and its events.
    fn good(&mut self, place: usize, line: u64, bytes: &[u8], events: Vec<Event>);

    /// A record that can't: its line, and the reason.
    fn bad(&mut self, line: u64, bytes: Unread, reason: &str);
}

/// Decodes an entry of a request or of standard input; the reason, if it can't be read.
///
/// # Errors
/// The reason, in words.
pub(super) fn gather(
    gathered: &mut impl Gather,
    place: usize,
    entry: Entry<'_>,
    decode: &dyn Decode,
    source: u16,
    misnamed: &mut Misnamed,
) -> Result<(), String> {
    let (line, bytes, reason) = match entry {
        Entry::Rejected { line, reason, head } => {
            (line, Unread { bytes: head, whole: false }, reason)
        }
        Entry::Record { line, bytes } => {
            let raw = Raw {
                bytes,
                append_time: Some(gathered.at()),
                tie: Tie { source, partition: 0, offset: 0 },
                // Its number, for a whole request may stand on one line.
                position: &format!("{}:{}", gathered.position(), place + 1),
            };
            let mut events = Vec::with_capacity(1);
            match decode.decode(&raw, &mut events) {
                Ok(()) => {
                    for event in &events {
                        misnamed.look_at(&event.name, place);
                    }
                    gathered.good(place, line, bytes, events);
                    return Ok(());
                }
                Err(rejected) => {
                    (line, Unread { bytes: bytes.to_vec(), whole: true }, rejected.reason)
                }
            }
        }
    };
    gathered.bad(line, bytes, &reason);
    Err(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{CloudEvents, Form, Reader};

    struct Events(Vec<Event>);

    impl Gather for Events {
        fn at(&self) -> Timestamp {
            Timestamp::from_ms(0)
        }

        fn position(&self) -> &str {
            "http@1970#0"
        }

        fn good(&mut self, _: usize, _: u64, _: &[u8], events: Vec<Event>) {
            self.0.extend(events);
        }

        fn bad(&mut self, _: u64, _: Unread, _: &str) {}
    }

    #[test]
    fn records_on_one_line_have_ids_of_their_own() {
        let record = r#"{"specversion":"1.0","type":"cart.item_added","source":"shop",
            "data":{"customer":{"id":"7"},"items":[{"sku":"A"}]}}"#
            .replace('\n', " ");
        let body = std::io::Cursor::new(format!("[{record},{record},{record}]"));
        let mut reader = Reader::new("the request", body, Form::Auto).expect("a body");
        let mut events = Events(Vec::new());
        let mut place = 0;
        while let Some(entry) = reader.next_entry().expect("memory can be read") {
            gather(&mut events, place, entry, &CloudEvents, 0, &mut Misnamed::default())
                .expect("it can be read");
            place += 1;
        }
        let ids: std::collections::BTreeSet<&str> =
            events.0.iter().map(|event| event.id.as_str()).collect();
        assert_eq!((events.0.len(), ids.len()), (3, 3));
    }
}
