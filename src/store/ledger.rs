//! What a store has kept, for `why`, `verify` and reports.

use crate::engine::{Decision, Reason, Trace, TraceKind};
use crate::journey::Version;
use crate::model::{CustomerId, EventName, Text, Timestamp};

use super::{Error, Position};

/// A message as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Grows in the order of deciding.
    pub seq: u64,
    /// Partition of the lane that decided it.
    pub partition: u32,
    /// Whose.
    pub customer: CustomerId,
    /// The decision, with the data of the newest revision; no data once erased.
    pub decision: Decision,
    /// What became of it.
    pub status: MessageStatus,
    /// Why it was withheld or cancelled.
    pub reason: Option<Reason>,
    /// The newest revision; 0 as decided.
    pub revision: u32,
    /// The newest outcome.
    pub outcome: Option<EventName>,
    /// Its content was erased.
    pub erased: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageStatus {
    /// Decided, to be sent.
    Decided,
    /// Decided not to be sent.
    Withheld,
    /// Decided to be sent, then cancelled.
    Cancelled,
}

impl MessageStatus {
    /// Every status.
    pub const ALL: &'static [Self] = &[Self::Decided, Self::Withheld, Self::Cancelled];

    /// The word used in tables and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Withheld => "withheld",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How many messages of a journey share status and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageCount {
    /// The journey.
    pub journey: String,
    /// What became of them.
    pub status: MessageStatus,
    /// Why, if not sent.
    pub reason: Option<Reason>,
    /// How many.
    pub messages: u64,
}

/// What is kept of one journey, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JourneyCounts {
    /// Trace entries by kind and reason, in the order of these words.
    pub entries: Vec<EntryCount>,
    /// Messages by step and what became of them; steps in the order of their first decision.
    pub messages: Vec<StepCount>,
    /// Messages by the hour (UTC) in which they are due, in order.
    pub hours: Vec<HourCount>,
    /// Customers by the group in which their first run put them.
    pub people: Vec<GroupCount>,
    /// The structures in which runs started, by their first run.
    pub versions: Vec<Version>,
}

/// How many trace entries of a journey share kind and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryCount {
    /// What they tell of.
    pub kind: TraceKind,
    /// Why, if there is a reason.
    pub reason: Option<Reason>,
    /// How many.
    pub entries: u64,
}

/// How many messages of a step share status, reason and outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepCount {
    /// The step's id.
    pub step: Text,
    /// What became of them.
    pub status: MessageStatus,
    /// Why, if not sent.
    pub reason: Option<Reason>,
    /// The newest outcome.
    pub outcome: Option<EventName>,
    /// How many.
    pub messages: u64,
}

/// How many messages of a journey are due in one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourCount {
    /// When the hour begins.
    pub from: Timestamp,
    /// Decided to be sent.
    pub decided: u64,
    /// Withheld or cancelled.
    pub not_sent: u64,
}

/// How many customers of a journey are in one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupCount {
    /// Whether it is the holdout.
    pub holdout: bool,
    /// Customers with at least one run.
    pub customers: u64,
    /// Of these, those of whom at least one run reached the goal.
    pub reached: u64,
}

impl StepCount {
    /// Puts counts, each with the `seq` of its first message, in their order.
    pub(super) fn in_order(mut rows: Vec<(u64, Self)>) -> Vec<Self> {
        let mut first = std::collections::BTreeMap::new();
        for (seq, row) in &rows {
            let known = first.entry(row.step.clone()).or_insert(*seq);
            *known = (*known).min(*seq);
        }
        rows.sort_by_cached_key(|(_, row)| {
            let outcome = row.outcome.as_ref().map(|outcome| outcome.as_str().to_owned());
            (first.get(&row.step).copied(), row.status, row.reason, outcome)
        });
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

/// Where a lane stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRow {
    /// Its partition.
    pub partition: u32,
    /// How often it was taken.
    pub epoch: u64,
    /// Where it stands.
    pub position: Position,
    /// The engine build that decided last; empty before the first checkpoint.
    pub build: String,
}

/// Reading what a store has kept. It may be read while a worker writes.
pub trait Ledger: Send + Sync {
    /// The messages of a customer, in the order of deciding.
    fn messages_of(
        &self,
        customer: CustomerId,
    ) -> impl Future<Output = Result<Vec<StoredMessage>, Error>> + Send;

    /// The trace of a customer, in the order of happening.
    fn trace_of(
        &self,
        customer: CustomerId,
    ) -> impl Future<Output = Result<Vec<Trace>, Error>> + Send;

    /// Up to `limit` messages of a partition with a `seq` above `after`, in the order of deciding.
    fn decisions(
        &self,
        partition: u32,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredMessage>, Error>> + Send;

    /// The `seq` of the message that was decided last in a partition; 0 if none was.
    fn last_decided(&self, partition: u32) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Before when messages that were due may have been removed, because they were kept long
    /// enough; `None` if none was.
    fn messages_from(&self) -> impl Future<Output = Result<Option<Timestamp>, Error>> + Send;

    /// How many messages there are, by journey, status and reason, in that order.
    fn counts(&self) -> impl Future<Output = Result<Vec<MessageCount>, Error>> + Send;

    /// The journeys of which something is kept, by name.
    fn journeys(&self) -> impl Future<Output = Result<Vec<String>, Error>> + Send;

    /// What is kept of a journey, in numbers; nothing if it is not known.
    fn journey(&self, name: &str) -> impl Future<Output = Result<JourneyCounts, Error>> + Send;

    /// Where the lanes stand, by partition.
    fn lanes(&self) -> impl Future<Output = Result<Vec<LaneRow>, Error>> + Send;

    /// Up to `limit` stored states of a partition after `after`, by customer.
    fn states(
        &self,
        partition: u32,
        after: Option<CustomerId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(CustomerId, Vec<u8>)>, Error>> + Send;

    /// The stored state of a customer of this partition.
    fn state(
        &self,
        partition: u32,
        customer: CustomerId,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, Error>> + Send;
}
