//! The records of the log and their stored encoding.

use serde::{Deserialize, Serialize};

use crate::model::{CustomerId, Event, ReleaseId, Text, Tie, Timestamp};

/// One record of a log partition. What stands here is all that a lane ever learns.
///
/// What is not a tick is boxed: lanes keep many records waiting, nearly all of them events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// Something a customer did; in the partition of that customer.
    Event(Box<CustomerEvent>),
    /// The loser becomes a pointer to the winner; in the loser's partition.
    Merge(Box<Merge>),
    /// The loser's state arrives; in the winner's partition.
    Handover(Box<Handover>),
    /// A cart was claimed by another customer; in the partition of the one who had it.
    CartMoved(Box<CartMoved>),
    /// Nothing at or before this instant is still to come, as far as the inputs hold.
    Tick(Timestamp),
    /// A release is in force from an instant on; in every partition.
    Control(Box<Control>),
    /// The loser's state is on its way to the winner; in the winner's partition. It is written
    /// beside each merge ([`Record::told_to_winner`]).
    Expect(Box<Merge>),
}

/// An event with the customer it belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustomerEvent {
    /// Whose.
    pub customer: CustomerId,
    /// What.
    pub event: Event,
}

/// Two customers turned out to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// Becomes a pointer.
    pub loser: CustomerId,
    /// Goes on.
    pub winner: CustomerId,
    /// Effective time of the event that showed it.
    pub time: Timestamp,
    /// Tie of that event.
    pub tie: Tie,
    /// Identity of the merge: a hash of loser, winner and the event's source position.
    pub id: u64,
}

/// A loser's state on its way to the winner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handover {
    /// Whose state it was.
    pub loser: CustomerId,
    /// Whose it becomes.
    pub winner: CustomerId,
    /// Time of the merge.
    pub time: Timestamp,
    /// Tie of the merge.
    pub tie: Tie,
    /// Identity of the merge; the winner applies each once.
    pub id: u64,
    /// The encoded state.
    pub state: Vec<u8>,
}

/// A cart was claimed by another customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartMoved {
    /// Who had it.
    pub customer: CustomerId,
    /// The cart.
    pub cart_id: Text,
    /// When.
    pub time: Timestamp,
    /// Tie of the event that showed it.
    pub tie: Tie,
}

/// A release is in force from an instant on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Which release.
    pub release: ReleaseId,
    /// From when.
    pub at: Timestamp,
}

impl Record {
    /// The record's time and tie, if it is one that is ordered by them.
    #[must_use]
    pub fn order(&self) -> Option<(Timestamp, Tie)> {
        match self {
            Self::Event(record) => Some((record.event.time, record.event.tie)),
            Self::Merge(merge) | Self::Expect(merge) => Some((merge.time, merge.tie)),
            Self::Handover(handover) => Some((handover.time, handover.tie)),
            Self::CartMoved(moved) => Some((moved.time, moved.tie)),
            Self::Tick(_) | Self::Control(_) => None,
        }
    }

    /// What a merge tells the winner's partition: to wait for the loser's state.
    #[must_use]
    pub fn told_to_winner(&self) -> Option<Self> {
        match self {
            Self::Merge(merge) => Some(Self::Expect(merge.clone())),
            _ => None,
        }
    }

    /// The customer it belongs to, if to one.
    #[must_use]
    pub fn customer(&self) -> Option<CustomerId> {
        match self {
            Self::Event(record) => Some(record.customer),
            Self::Merge(merge) => Some(merge.loser),
            Self::Expect(merge) => Some(merge.winner),
            Self::Handover(handover) => Some(handover.winner),
            Self::CartMoved(moved) => Some(moved.customer),
            Self::Tick(_) | Self::Control(_) => None,
        }
    }
}

/// First byte of every encoded batch.
const ENCODING: u8 = 1;

/// The most bytes of an encoded record beside its event: encoding, count, kind and customer.
const BESIDE_EVENT: usize = 32;

/// Why stored records can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a later build.
    #[error(
        "records of encoding {0}, which this build does not know; use the build that wrote them or a later one"
    )]
    Encoding(u8),
    /// Damaged bytes.
    #[error("damaged records: {0}")]
    Damaged(String),
}

/// Encodes a batch of records: a version byte, then postcard.
///
/// # Errors
/// [`RecordError::Damaged`] if the encoder refuses, which no record gives cause for.
pub fn encode(records: &[Record]) -> Result<Vec<u8>, RecordError> {
    postcard::to_extend(records, vec![ENCODING])
        .map_err(|error| RecordError::Damaged(error.to_string()))
}

/// How many bytes [`encode`] makes of the record of an event, or a few more.
///
/// # Errors
/// As [`encode`].
pub fn event_bytes(event: &Event) -> Result<usize, RecordError> {
    postcard::experimental::serialized_size(event)
        .map(|bytes| bytes + BESIDE_EVENT)
        .map_err(|error| RecordError::Damaged(error.to_string()))
}

/// Decodes what [`encode`] wrote, of this or an earlier encoding.
///
/// # Errors
/// [`RecordError`] for bytes of a later build and for damaged ones.
pub fn decode(bytes: &[u8]) -> Result<Vec<Record>, RecordError> {
    match bytes.split_first() {
        Some((&ENCODING, rest)) => {
            postcard::from_bytes(rest).map_err(|error| RecordError::Damaged(error.to_string()))
        }
        Some((&other, _)) => Err(RecordError::Encoding(other)),
        None => Err(RecordError::Damaged("no bytes".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventName, Identity};

    #[test]
    fn the_bytes_of_an_event_are_known_before_it_is_somebodys() {
        for names in [0, 1, 50] {
            let mut event = Event::new("7", EventName::PageViewed, Timestamp::MAX);
            event.identities.extend(
                (0..names).filter_map(|name| Identity::email(&format!("{name}@shop.example"))),
            );
            let bytes = event_bytes(&event).expect("bytes");
            let customer = CustomerId::from_bytes([0xff; 16]);
            let record = Record::Event(Box::new(CustomerEvent { customer, event }));
            let encoded = encode(&[record]).expect("encoded").len();
            assert!((encoded..=encoded + BESIDE_EVENT).contains(&bytes), "{bytes}, {encoded}");
        }
    }
}
