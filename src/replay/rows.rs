//! The rows of one file, or of one partition of a topic, as events.

use std::sync::Arc;

use crate::decode::{Decode, Entry, Places, Raw, Reader, Rejected, decode_message};
use crate::kafka::{Fetched, Reading};
use crate::model::{Event, Tie, Timestamp};

use super::Error;
use super::feed::{DeadLetter, Input};

/// Where rows come from.
pub(super) enum Rows {
    File {
        reader: Reader,
        name: String,
        places: Places,
        /// Name and place of the row that is read, to say where it stands.
        position: String,
        history: bool,
    },
    Topic {
        reading: Reading,
        as_appended: bool,
        /// The topic's own times are of the server, which took the records then.
        timed: bool,
    },
}

/// One row that was read.
pub(super) struct Next {
    /// Line or offset.
    pub line: u64,
    /// When it is known, if that is not when it happened.
    pub appended: Option<Timestamp>,
    /// Why it became no event.
    pub dead: Option<DeadLetter>,
}

impl Rows {
    pub(super) fn of_file(input: &Input) -> Result<(Self, Arc<dyn Decode>), Error> {
        let stdin = input.path.as_os_str() == "-";
        let form = input.decoder.form();
        let mut reader =
            if stdin { Reader::stdin(form)? } else { Reader::open(&input.path, form)? };
        let decode = input.decoder.begin(&mut reader)?;
        let name = if stdin { "stdin".to_owned() } else { input.path.display().to_string() };
        let position = format!("{name}:");
        let places = Places::default();
        Ok((Self::File { reader, name, places, position, history: input.history }, decode))
    }

    pub(super) const fn of_topic(reading: Reading, as_appended: bool) -> Self {
        Self::Topic { reading, as_appended, timed: false }
    }

    /// Where a line or offset is, for people.
    pub(super) fn position(&self, line: u64) -> String {
        match self {
            Self::File { name, .. } => format!("{name}:{line}"),
            Self::Topic { reading, .. } => place(reading, line),
        }
    }

    /// Whether no row can tell of a time that had not come when it was taken.
    pub(super) const fn are_timed(&self) -> bool {
        matches!(self, Self::Topic { timed: true, .. })
    }

    /// The next row, whose events are put to `out`; `None` at the end.
    pub(super) fn next(
        &mut self,
        decode: &dyn Decode,
        source: u16,
        out: &mut Vec<Event>,
    ) -> Result<Option<Next>, Error> {
        match self {
            Self::Topic { reading, as_appended, timed } => {
                let Some(record) = reading.read()? else { return Ok(None) };
                *timed = record.by_server;
                let appended = record.at.filter(|_| *as_appended && record.by_server);
                let line = record.offset.cast_unsigned();
                let position = place(reading, line);
                let number = reading.stretch().partition.number.cast_unsigned();
                let tie = Tie { source, partition: number, offset: line };
                let read = decode_record(decode, &record, tie, &position, out);
                let dead = read.err().map(|rejected| DeadLetter {
                    position,
                    reason: rejected.reason,
                    is_json: is_json(record.payload.as_deref().unwrap_or_default()),
                });
                Ok(Some(Next { line, appended, dead }))
            }
            Self::File { reader, name, places, position, history } => {
                let (line, bytes) = match reader.next_entry()? {
                    None => return Ok(None),
                    Some(Entry::Rejected { line, reason, head }) => {
                        let position = format!("{name}:{line}");
                        let dead = DeadLetter { position, reason, is_json: is_json(&head) };
                        return Ok(Some(Next { line, appended: None, dead: Some(dead) }));
                    }
                    Some(Entry::Record { line, bytes }) => (line, bytes),
                };
                use std::fmt::Write;
                position.truncate(name.len() + 1);
                // Writing to a string can't fail.
                let _ = write!(position, "{}", places.next(line));
                let tie = Tie { source, partition: 0, offset: line };
                let mut raw = Raw { bytes, append_time: None, tie, position };
                let mut read = decode.decode(&raw, out);
                if read.is_err() && *history {
                    // A profile needs no time: it is how things stood before the first event.
                    raw.append_time = Some(Timestamp::MIN);
                    read = decode.decode(&raw, out);
                }
                let dead = read.err().map(|rejected| {
                    let (reason, is_json) = (rejected.reason, is_json(bytes));
                    DeadLetter { position: position.clone(), reason, is_json }
                });
                for event in out {
                    event.history = *history;
                }
                Ok(Some(Next { line, appended: None, dead }))
            }
        }
    }
}

/// Reads a record of a topic as the worker does.
pub(super) fn decode_record(
    decode: &dyn Decode,
    record: &Fetched,
    tie: Tie,
    position: &str,
    out: &mut Vec<Event>,
) -> Result<(), Rejected> {
    let bytes = record.payload.as_deref().unwrap_or_default();
    let raw = Raw { bytes, append_time: record.at, tie, position };
    decode_message(decode, record.headers(), &raw, out)
}

/// A place in a topic, as the worker names it: the id of an event whose source gives none.
fn place(reading: &Reading, offset: u64) -> String {
    let partition = &reading.stretch().partition;
    format!("{}/{}/{offset}", partition.topic, partition.number)
}

fn is_json(row: &[u8]) -> bool {
    matches!(row.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'['))
}
