//! Removing what was kept long enough: what is over, a bounded number of rows at a time.

use crate::model::Timestamp;

use super::Error;

/// A store whose old rows are removed.
pub trait Retention: Send + Sync + 'static {
    /// Whether it is this worker's turn to remove; nobody else's then is for a while. Asked before
    /// each part, it stays with who has it.
    ///
    /// # Errors
    /// [`Error`] if the store can't be written.
    fn takes_turn(
        &self,
        worker: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Removes up to `limit` messages that were due before `before` and are over, with what
    /// delivery kept of them, and returns how many. Over is what was withheld or cancelled, and
    /// what has ended and whose outcome came back through the log; what waits, is under way or in
    /// doubt is not. From then on [`Ledger::messages_from`](super::Ledger::messages_from) says so.
    ///
    /// # Errors
    /// [`Error`] if the store can't be written; then nothing is removed.
    fn remove_messages(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Removes up to `limit` trace entries from before `before`, and returns how many. Entries of
    /// merges stay: by them an erasure finds what was decided under former ids.
    ///
    /// # Errors
    /// [`Error`] if the store can't be written; then nothing is removed.
    fn remove_trace(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> impl Future<Output = Result<u64, Error>> + Send;
}
