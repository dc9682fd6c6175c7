//! What could not become an event, kept for people.

use crate::model::Timestamp;

use super::Error;

/// Bytes of a dead letter's record that are kept.
pub const DEAD_LETTER_BYTES_MAX: usize = 16 * 1024;

/// The partition of records that came by HTTP in production: they have none.
pub const BY_HTTP: u32 = u32::MAX;

/// Something that could not become an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Number of the source.
    pub source: u16,
    /// Partition of the raw input, or [`BY_HTTP`].
    pub partition: u32,
    /// Offset or line in the raw input; line in the request if it came by HTTP.
    pub position: u64,
    /// Why, in a sentence.
    pub reason: String,
    /// The record, cut to [`DEAD_LETTER_BYTES_MAX`] where it is kept; `None` once erased.
    pub payload: Option<Vec<u8>>,
    /// The payload is the record as it came, and all of it.
    pub whole: bool,
    /// When it was found.
    pub at: Timestamp,
}

impl DeadLetter {
    /// Whether it is in no topic, because it came by HTTP in production.
    #[must_use]
    pub const fn came_by_http(&self) -> bool {
        self.partition == BY_HTTP
    }

    /// What is kept of the payload, and whether that is the whole record.
    pub(super) fn kept(&self) -> (Option<&[u8]>, bool) {
        let Some(payload) = &self.payload else { return (None, false) };
        let bytes = payload.len().min(DEAD_LETTER_BYTES_MAX);
        (Some(&payload[..bytes]), self.whole && bytes == payload.len())
    }
}

/// A dead letter as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLetter {
    /// Grows.
    pub id: i64,
    /// The letter.
    pub letter: DeadLetter,
    /// When it was handed in again, if it was.
    pub retried: Option<Timestamp>,
}

/// What a list of dead letters is narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only the one with this id.
    pub id: Option<i64>,
    /// Only those of this source.
    pub source: Option<u16>,
    /// Only those whose reason has this in it, in any case of ASCII letters.
    pub reason: Option<String>,
    /// Only those with an id below this one.
    pub before: Option<i64>,
    /// Also those that were handed in again.
    pub retried: bool,
    /// At most so many.
    pub limit: u32,
}

/// Where dead letters are kept.
pub trait DeadLetters: Send + Sync {
    /// Dead letters, the newest first.
    ///
    /// # Errors
    /// [`Error`] if they can't be read.
    fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
    ) -> impl Future<Output = Result<Vec<KeptLetter>, Error>> + Send;

    /// Removes up to `limit` of those found before `before`, and returns how many.
    ///
    /// # Errors
    /// [`Error`] if it can't be done; then none is removed.
    fn remove_letters(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Remembers that these were handed in again.
    ///
    /// # Errors
    /// [`Error`] if it can't be kept.
    fn retried(
        &self,
        ids: &[i64],
        now: Timestamp,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}
