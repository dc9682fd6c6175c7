//! Durable state: one transaction per checkpoint moves states, messages, trace and position.
//!
//! What a store guarantees: after [`Store::commit`] returns, all of the checkpoint is kept or,
//! if it returned an error, none of it is. A lane whose epoch was raised by another can't commit.
//!
//! [`SqliteStore`] is the embedded store, [`PgStore`] that of production, [`MemoryStore`] the
//! reference that replays use. What is
//! kept is read through [`Ledger`]: by `why`, `verify` and reports.

mod changes;
mod deliveries;
mod ledger;
mod memory;
mod outgoing;
mod postgres;
mod retention;
mod rows;
mod sqlite;
mod suppressions;
mod told;

pub use deliveries::*;
pub use ledger::*;
pub use memory::MemoryStore;
pub use outgoing::{Listing, Outgoing, Pending, Recovered};
pub use postgres::{PgLedger, PgStore, Restored};
pub use retention::Retention;
pub use sqlite::{SqliteLedger, SqliteStore};
pub(crate) use suppressions::address_of;

use crate::engine::{ConsentSaid, Decision, Effect, Reason, Trace};
use crate::model::{CustomerId, EventName, MessageId, Timestamp};

/// How far a lane has come: a record from `low` on is applied exactly if its offset is below
/// `end` and its time is not after `watermark`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// The first offset that may hold a record which is not applied.
    pub low: u64,
    /// The first offset that was not read.
    pub end: u64,
    /// The greatest tick below `end`.
    pub watermark: Option<Timestamp>,
}

/// The right to commit for a partition, until another takes the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The partition of the log.
    pub partition: u32,
    /// Raised by each taking of the lane.
    pub epoch: u64,
}

/// Everything one checkpoint moves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Where the lane stands after it.
    pub position: Position,
    /// The end of the checkpoint before it, if the lane says it. Where a database was restored to an
    /// older point under a running worker, that one is not there any more, and the lane is fenced.
    pub after: Option<u64>,
    /// States that changed.
    pub states: Vec<StateRow>,
    /// Messages decided, changed and ended, in order.
    pub messages: Vec<(CustomerId, MessageChange)>,
    /// What owners of addresses said about being contacted, in order.
    pub consents: Vec<ConsentSaid>,
    /// Trace entries, in order.
    pub trace: Vec<(CustomerId, Trace)>,
    /// Records that leave for the log, each with an id that the log remembers.
    pub outbox: Vec<OutboxRow>,
    /// Records that it applied, to be counted.
    pub applied: u64,
    /// Of these and of those that wait, the ones that came late.
    pub late: u64,
    /// Customers whose messages' content and trace details are to be erased.
    pub erased: Vec<CustomerId>,
    /// The engine build that decided.
    pub build: String,
}

impl Checkpoint {
    /// Puts an effect of the engine into its rows; what goes between customers is in the outbox.
    pub fn add(&mut self, customer: CustomerId, effect: Effect) {
        match effect {
            Effect::Decide(decision) => {
                self.messages.push((customer, MessageChange::Decided(decision)));
            }
            Effect::Cancel { message, reason } => {
                self.messages.push((customer, MessageChange::Cancelled(message, reason)));
            }
            Effect::Revise { message, revision, data } => {
                self.messages.push((customer, MessageChange::Revised(message, revision, data)));
            }
            Effect::Outcome { message, outcome, ours } => {
                self.messages.push((customer, MessageChange::Outcome { message, outcome, ours }));
            }
            Effect::Consent(said) => self.consents.push(*said),
            Effect::Trace(trace) => self.trace.push((customer, *trace)),
            Effect::Erase => self.erased.push(customer),
            Effect::HandOver { .. } | Effect::Forward { .. } => {}
        }
    }
}

/// A changed state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRow {
    /// Whose.
    pub customer: CustomerId,
    /// A lower bound of the next due time; `None` if nothing is due ever.
    pub next_due: Option<Timestamp>,
    /// The encoded state; `None` removes the row.
    pub state: Option<Vec<u8>>,
}

/// A change to the messages.
#[derive(Clone, Debug, PartialEq)]
pub enum MessageChange {
    /// A decision, to send or withheld.
    Decided(Box<Decision>),
    /// Not to be sent after all.
    Cancelled(MessageId, Reason),
    /// Newer content.
    Revised(MessageId, u32, String),
    /// An outcome. One of ours also ends the delivery of a message that is not at its end here:
    /// the store was restored to an older point.
    Outcome {
        /// Of which message.
        message: MessageId,
        /// Which.
        outcome: EventName,
        /// Delivery itself told it, not a source.
        ours: bool,
    },
}

/// A record on its way to the log.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxRow {
    /// The receiver remembers it, so that a record relayed twice counts once.
    pub id: u128,
    /// The record.
    pub record: crate::log::Record,
}

/// Why a store can't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another worker has taken the lane.
    #[error(
        "partition {partition} was taken by another worker (epoch {held} is no longer the newest)"
    )]
    Fenced {
        /// The partition.
        partition: u32,
        /// The epoch that was held.
        held: u64,
    },
    /// The database failed.
    #[error("{doing} in {place}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Which file.
        place: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// A file of the embedded store.
    #[error(transparent)]
    File(#[from] crate::sqlite::Error),
    /// The database of the production store.
    #[error(transparent)]
    Postgres(#[from] crate::postgres::Error),
    /// A decision that is kept already; nothing of the checkpoint was kept.
    #[error(
        "message {0} was decided before; a decision is kept once, so two builds or two workers \
         wrote this store: stop, and run `waypost verify`"
    )]
    DecidedTwice(MessageId),
    /// A change to a message that is not kept; nothing of the checkpoint was kept.
    #[error("message {0} is to be changed but was never decided: run `waypost verify`")]
    UnknownMessage(MessageId),
    /// Anything else that is wrong with what is stored, with the way out.
    #[error("{0}")]
    Unusable(String),
}

impl Error {
    /// A worker whose claim of a message was given to another.
    fn not_ours(message: MessageId) -> Self {
        Self::Unusable(format!("message {message} is not this worker's to send any more"))
    }

    /// Whether the same may well succeed a little later: the database is starting again, cannot
    /// be reached, or gave another the way. Whether a checkpoint that failed so was kept is not
    /// known: who goes on takes the lane again, and with it the position.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Postgres(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether another program holds the file for now.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(self, Self::File(crate::sqlite::Error::Busy { .. }))
    }
}

/// Where states, messages, trace and positions are kept.
pub trait Store: Send + Sync {
    /// Whether states must be written to be kept; a replay's cache is its own store.
    const KEEPS_STATES: bool;

    /// Takes the lane of a partition: raises its epoch and returns where it stands.
    fn take(&self, partition: u32)
    -> impl Future<Output = Result<(Lease, Position), Error>> + Send;

    /// The stored states of these customers, in no particular order; unknown ones are left out.
    fn load(
        &self,
        lease: Lease,
        ids: &[CustomerId],
    ) -> impl Future<Output = Result<Vec<(CustomerId, Vec<u8>)>, Error>> + Send;

    /// Customers of the partition whose stored next due time is not after `upto`.
    fn due(
        &self,
        lease: Lease,
        upto: Timestamp,
    ) -> impl Future<Output = Result<Vec<CustomerId>, Error>> + Send;

    /// Up to `limit` customers of the partition after `after`, in key order, for sweeps.
    fn scan(
        &self,
        lease: Lease,
        after: Option<CustomerId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<CustomerId>, Error>> + Send;

    /// Keeps a checkpoint, whole or not at all. After an error that [is
    /// transient](Error::is_transient) it may be either: committing it once more would be refused as
    /// decided twice, so the lane is to be taken again, which says where it stands.
    fn commit(
        &self,
        lease: Lease,
        checkpoint: Checkpoint,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Up to `limit` records on their way to the log, in the order in which they were kept.
    fn outbox_pending(
        &self,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<OutboxRow>, Error>> + Send;

    /// Takes records out of the outbox, once the log has them for good.
    fn outbox_done(&self, ids: &[u128]) -> impl Future<Output = Result<(), Error>> + Send;
}

impl<S: Store> Store for std::sync::Arc<S> {
    const KEEPS_STATES: bool = S::KEEPS_STATES;

    async fn take(&self, partition: u32) -> Result<(Lease, Position), Error> {
        (**self).take(partition).await
    }

    async fn load(
        &self,
        lease: Lease,
        ids: &[CustomerId],
    ) -> Result<Vec<(CustomerId, Vec<u8>)>, Error> {
        (**self).load(lease, ids).await
    }

    async fn due(&self, lease: Lease, upto: Timestamp) -> Result<Vec<CustomerId>, Error> {
        (**self).due(lease, upto).await
    }

    async fn scan(
        &self,
        lease: Lease,
        after: Option<CustomerId>,
        limit: u32,
    ) -> Result<Vec<CustomerId>, Error> {
        (**self).scan(lease, after, limit).await
    }

    async fn commit(&self, lease: Lease, checkpoint: Checkpoint) -> Result<(), Error> {
        (**self).commit(lease, checkpoint).await
    }

    async fn outbox_pending(&self, limit: u32) -> Result<Vec<OutboxRow>, Error> {
        (**self).outbox_pending(limit).await
    }

    async fn outbox_done(&self, ids: &[u128]) -> Result<(), Error> {
        (**self).outbox_done(ids).await
    }
}
