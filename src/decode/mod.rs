//! Bytes in, events out: every accepted form of a record becomes a [`model::Event`](Event).
//!
//! [`Reader`] cuts a file, stdin or a request body into records; a [`Decode`] turns one record into
//! events or says why not. Nothing here keeps state between records, reads a clock or builds a JSON
//! tree: typed structs borrow from the record, and a mapping pulls only the paths it names.
//!
//! - [`Xdm`]: Adobe Commerce XDM events, and the profile record.
//! - [`CloudEvents`]: plain JSON under our own event names.
//! - [`Mapping`]: CSV columns or JSON paths, by a mapping file.
//! - [`Auto`]: CloudEvents where the record has a `specversion`, else XDM.
//!
//! `docs/events.md` describes each form for the people who send them.

mod cloudevents;
mod decoder;
mod fields;
mod loose;
mod mapping;
mod read;
mod record;
mod xdm;

pub use cloudevents::{CloudEvents, cloudevent, cloudevents_schema, data_fields, decode_message};
pub use decoder::{BeginError, Decoder};
pub use mapping::{Mapping, MappingError, Reads};
pub use read::{CsvForm, Entry, Form, Place, Places, ReadError, Reader};
pub use xdm::{EVENT_TYPES, ShopCountries, Xdm};

use crate::model::{Event, Tie, Timestamp};

/// The longest record, in bytes; a longer one is a dead letter. Adobe's streaming input takes 1 MB.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// The deepest nesting of a JSON record; a deeper one is a dead letter.
pub const NESTING_MAX: usize = 100;
/// The longest id (event, cart, order, SKU, code) in bytes; a longer one is a dead letter.
pub const ID_BYTES_MAX: usize = 256;
/// The longest descriptive text kept, in bytes; the rest is cut.
pub const LABEL_BYTES_MAX: usize = 1_024;
/// The longest web address kept, in bytes; a longer one counts as not known.
pub const URL_BYTES_MAX: usize = 2_048;
/// The longest data of a custom event, in bytes; a longer one is a dead letter.
pub const DATA_BYTES_MAX: usize = 64 << 10;
/// The most further attributes of a profile.
pub const ATTRIBUTES_MAX: usize = 32;
/// The most identities one event may carry: Adobe's limit for a whole identity graph.
pub const IDENTITIES_MAX: usize = 50;

/// One record of a source, with what the input knows about it.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// The record: one JSON object, or one CSV row.
    pub bytes: &'a [u8],
    /// When the raw input took it, where the input knows: an event's time is never later.
    pub append_time: Option<Timestamp>,
    /// Its place among records of one time.
    pub tie: Tie,
    /// Where it stands, such as `orders.csv:17`; the event's id where the source gives none.
    pub position: &'a str,
}

/// Why a record is a dead letter: what is wrong, where in the record, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Rejected {
    /// In one sentence, naming the field or the column.
    pub reason: String,
}

impl Rejected {
    /// A rejection with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// What became of a record that was not rejected.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// Its events, usually one.
    Events(Vec<Event>),
    /// The mapping says that such a record is no event.
    Skip,
}

/// Turns records of one form into events.
pub trait Decode: Send + Sync {
    /// Appends the record's events to `out`; nothing is appended for a record that the mapping
    /// says to ignore. An event may carry no identity: the caller decides what that means.
    ///
    /// # Errors
    /// [`Rejected`] if the record can't be read; `out` is then unchanged.
    fn decode(&self, raw: &Raw<'_>, out: &mut Vec<Event>) -> Result<(), Rejected>;

    /// As [`Self::decode`], for a caller that keeps no vector of its own.
    ///
    /// # Errors
    /// As [`Self::decode`].
    fn decode_record(&self, raw: &Raw<'_>) -> Result<Decoded, Rejected> {
        let mut events = Vec::new();
        self.decode(raw, &mut events)?;
        Ok(if events.is_empty() { Decoded::Skip } else { Decoded::Events(events) })
    }
}

/// JSON of either kind: CloudEvents where the record has a `specversion`, else XDM.
#[derive(Clone, Debug, Default)]
pub struct Auto {
    /// How XDM records are read.
    pub xdm: Xdm,
}

impl Decode for Auto {
    fn decode(&self, raw: &Raw<'_>, out: &mut Vec<Event>) -> Result<(), Rejected> {
        if cloudevents::is_cloudevent(raw.bytes) {
            CloudEvents.decode(raw, out)
        } else {
            self.xdm.decode(raw, out)
        }
    }
}

/// The effective time, and whether the event's own clock was ahead of the input's.
fn effective_time(
    own: Option<Timestamp>,
    append: Option<Timestamp>,
) -> Result<(Timestamp, bool), Rejected> {
    match (own, append) {
        (Some(own), Some(append)) => Ok((own.min(append), own > append)),
        (Some(only), None) | (None, Some(only)) => Ok((only, false)),
        (None, None) => Err(Rejected::new(
            "no time: the record has no timestamp and its input knows none; add one to the record",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_ahead_of_its_input_does_not_move_time_on() {
        let at = |ms| Some(Timestamp::from_ms(ms));
        assert_eq!(effective_time(at(5), at(9)), Ok((Timestamp::from_ms(5), false)));
        assert_eq!(effective_time(at(9), at(5)), Ok((Timestamp::from_ms(5), true)));
        assert_eq!(effective_time(None, at(5)), Ok((Timestamp::from_ms(5), false)));
        assert!(effective_time(None, None).is_err());
    }
}
