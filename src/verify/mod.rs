//! Verify: the worker's own log replayed, and held against what it decided live.
//!
//! The same lane runs over the same records, without a store, up to where each lane stands.
//! Handovers are in the log, so they are read and not made again. What is compared: every message
//! (all of its decision, its status, its newest revision and content) and every customer's state.

mod snapshot;

use std::collections::BTreeMap;

use crate::engine::{CustomerState, Decision, Effect, Options, Reason};
use crate::lane::{Lane, Merges, NoStore};
use crate::log::{self, ReadLog};
use crate::model::{CustomerId, MessageId, Timestamp};
use crate::release;
use crate::store::{LaneRow, Ledger, MessageStatus, StoredMessage};

pub use snapshot::{Snapshot, SnapshotError, Taken, snapshot};

/// Records read from the log at one time; it changes no decision.
const RECORDS: usize = 10_000;
/// Messages read from the store at one time.
const MESSAGES: u32 = 10_000;
/// States read from the store at one time.
const STATES: u32 = 10_000;

/// Why a verify could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The store can't be read, or a record can't be applied.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// A release can't be used.
    #[error(transparent)]
    Release(#[from] release::Error),
    /// A snapshot can't be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// What was decided first can't be replayed any more.
    #[error(
        "the log has lost its head: partition {partition} begins at offset {first}, and offset \
         {wanted} is needed; take snapshots with `waypost snapshot DIR` before records go, and \
         verify from one with `waypost verify --from DIR`"
    )]
    HeadGone {
        /// The partition.
        partition: u32,
        /// The first offset that is there.
        first: u64,
        /// The first that is needed.
        wanted: u64,
    },
}

/// What a verify found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records replayed.
    pub records: u64,
    /// Messages compared.
    pub messages: u64,
    /// Customers whose states were compared.
    pub states: u64,
    /// Messages of erased customers: counted, not compared.
    pub erased: u64,
    /// Messages that the replay decides and that may have been removed since, because they were kept
    /// long enough: counted, not compared.
    pub removed: u64,
    /// How many messages and states differ.
    pub differences: u64,
    /// The first of them, in words.
    pub first: Option<String>,
    /// Builds, other than this one, that decided something last.
    pub other_builds: Vec<String>,
}

/// What the replay comes to for one message.
struct Expected {
    partition: u32,
    decision: Decision,
    cancelled: Option<Reason>,
    revision: u32,
}

/// Holds a log against a store, which must be of one moment
/// ([`SqliteLedger::one_moment`](crate::store::SqliteLedger::one_moment)). From a snapshot it
/// begins where that was taken: messages decided before are not compared. `progress` hears how many
/// records are replayed.
///
/// # Errors
/// [`Error`] if either can't be read.
pub async fn verify(
    log: &impl ReadLog,
    ledger: &impl Ledger,
    mut from: Option<Snapshot>,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, Error> {
    if let Some(from) = &from {
        from.is_of(log.identity_key().await?)?;
    }
    let lanes = ledger.lanes().await?;
    let stored = messages(ledger, &lanes, from.as_ref()).await?;
    let kept_from = ledger.messages_from().await?;
    let mut report = Report { other_builds: other_builds(&lanes), ..Report::default() };
    let mut expected = BTreeMap::new();
    let mut changes = Vec::new();
    for row in &lanes {
        let lane = replay(log, row, from.as_mut(), &mut report, progress).await?;
        let (mut lane, effects) = lane;
        for (_, effect) in effects {
            match effect {
                Effect::Decide(decision) => {
                    let known = Expected {
                        partition: row.partition,
                        decision: *decision,
                        cancelled: None,
                        revision: 1,
                    };
                    expected.insert(known.decision.message, known);
                }
                // A run that was handed over changes messages that another lane decided.
                change => changes.push(change),
            }
        }
        compare_states(ledger, row.partition, lane.take_states(), &mut report).await?;
    }
    for change in changes {
        apply(change, &mut expected);
    }
    compare_messages(stored, expected, kept_from, &mut report);
    Ok(report)
}

/// The messages decided up to where the lanes stand, since the snapshot if there is one.
async fn messages(
    ledger: &impl Ledger,
    lanes: &[LaneRow],
    from: Option<&Snapshot>,
) -> Result<Vec<StoredMessage>, Error> {
    let mut stored = Vec::new();
    for row in lanes {
        let start = from.and_then(|from| from.lane(row.partition));
        let mut after = start.map_or(0, |start| start.decided);
        loop {
            let page = ledger.decisions(row.partition, after, MESSAGES).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            stored.extend(page);
        }
    }
    Ok(stored)
}

fn other_builds(lanes: &[LaneRow]) -> Vec<String> {
    let mut builds: Vec<String> = lanes
        .iter()
        .map(|row| row.build.clone())
        .filter(|build| !build.is_empty() && build != env!("CARGO_PKG_VERSION"))
        .collect();
    builds.sort();
    builds.dedup();
    builds
}

/// Replays one partition up to where its lane stands.
async fn replay(
    log: &impl ReadLog,
    row: &LaneRow,
    from: Option<&mut Snapshot>,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) -> Result<(Lane<NoStore>, Vec<(CustomerId, Effect)>), Error> {
    let start = from.as_ref().and_then(|from| from.lane(row.partition));
    let applied = start.as_ref().and_then(|start| start.position.watermark);
    let timeline = release::timeline(log, applied, Options::default()).await?;
    let mut lane =
        Lane::take(NoStore, row.partition, log.partitions(), timeline, Merges::InLog).await?;
    let mut next = 0;
    if let (Some(start), Some(from)) = (start, from) {
        let (stands, taken) = (row.position.end, start.position.end);
        if stands < taken {
            return Err(SnapshotError::Ahead { partition: row.partition, stands, taken }.into());
        }
        next = start.position.low;
        lane.resume(start.position, decoded(from.states(row.partition)?)?);
    }
    let mut effects = Vec::new();
    while next < row.position.end {
        let records = log.read(row.partition, next, RECORDS).await.map_err(head_gone)?;
        if records.is_empty() {
            break;
        }
        for (offset, record) in records {
            next = offset + 1;
            if offset < row.position.end {
                report.records += 1;
                lane.push(offset, record).await?;
            }
        }
        lane.flush().await?;
        effects.extend(
            lane.take_output()
                .effects
                .into_iter()
                .filter(|(_, effect)| !matches!(effect, Effect::Trace(_))),
        );
        progress(report.records);
    }
    Ok((lane, effects))
}

fn decoded(states: Vec<(CustomerId, Vec<u8>)>) -> Result<Vec<CustomerState>, Error> {
    let state = |(_, bytes): (CustomerId, Vec<u8>)| CustomerState::decode(&bytes);
    let states: Result<_, _> = states.into_iter().map(state).collect();
    states.map_err(|error| crate::store::Error::Unusable(error.to_string()).into())
}

/// Says what it means to a verify that records are gone.
fn head_gone(error: log::Error) -> Error {
    match error {
        log::Error::HeadGone { partition, from: wanted, first, .. } => {
            Error::HeadGone { partition, first, wanted }
        }
        other => other.into(),
    }
}

fn apply(change: Effect, expected: &mut BTreeMap<MessageId, Expected>) {
    match change {
        Effect::Cancel { message, reason } => {
            if let Some(known) = expected.get_mut(&message)
                && known.decision.withheld.is_none()
                && known.cancelled.is_none()
            {
                known.cancelled = Some(reason);
            }
        }
        Effect::Revise { message, revision, data } => {
            // Lanes come one after the other here: a run that was handed over has newer ones.
            if let Some(known) = expected.get_mut(&message)
                && known.revision < revision
            {
                known.revision = revision;
                known.decision.data = data;
            }
        }
        Effect::Decide(_)
        | Effect::Outcome { .. }
        | Effect::Trace(_)
        | Effect::Consent(_)
        | Effect::HandOver { .. }
        | Effect::Forward { .. }
        | Effect::Erase => {}
    }
}

fn compare_messages(
    stored: Vec<StoredMessage>,
    mut expected: BTreeMap<MessageId, Expected>,
    kept_from: Option<Timestamp>,
    report: &mut Report,
) {
    for live in stored {
        report.messages += 1;
        let known = expected.remove(&live.decision.message);
        if live.erased {
            report.erased += 1;
            continue;
        }
        let message = live.decision.message;
        let what = match known {
            None => Some("the worker decided it, the replay does not".to_owned()),
            Some(known) => differing(&live, &known),
        };
        if let Some(what) = what {
            report.differ(|| {
                let decision = &live.decision;
                format!(
                    "message {message} of customer {} ({}), journey {}, step {}, due {}, partition {}: {what}",
                    decision.customer,
                    live.customer,
                    decision.journey,
                    decision.step,
                    decision.at,
                    live.partition,
                )
            });
        }
    }
    // What retention removed was due before this, and what it left was compared above.
    let (removed, mut missing): (Vec<Expected>, Vec<Expected>) = expected
        .into_values()
        .partition(|known| kept_from.is_some_and(|from| known.decision.at < from));
    report.removed = removed.len() as u64;
    missing.sort_by_key(|known| (known.decision.at, known.decision.message));
    for known in missing {
        report.differ(|| {
            let decision = &known.decision;
            format!(
                "message {} of customer {}, journey {}, step {}, due {}, partition {}: the replay decides it, the worker did not",
                decision.message,
                decision.customer,
                decision.journey,
                decision.step,
                decision.at,
                known.partition,
            )
        });
    }
}

/// What differs between a message as kept and as replayed.
fn differing(live: &StoredMessage, known: &Expected) -> Option<String> {
    let status = match (known.decision.withheld, known.cancelled) {
        (Some(_), _) => MessageStatus::Withheld,
        (None, Some(_)) => MessageStatus::Cancelled,
        (None, None) => MessageStatus::Decided,
    };
    let reason = known.decision.withheld.or(known.cancelled);
    if (live.status, live.reason) != (status, reason) {
        let words = |status: MessageStatus, reason: Option<Reason>| match reason {
            Some(reason) => format!("{} ({})", status.as_str(), reason.as_str()),
            None => status.as_str().to_owned(),
        };
        return Some(format!(
            "the worker has it as {}, the replay as {}",
            words(live.status, live.reason),
            words(status, reason)
        ));
    }
    if live.revision != known.revision {
        return Some(format!("revision {} live, {} replayed", live.revision, known.revision));
    }
    if live.decision != known.decision {
        return Some(format!("decided as {:?}, replayed as {:?}", live.decision, known.decision));
    }
    None
}

/// Compares the states of a partition, both in the order of their customers.
async fn compare_states(
    ledger: &impl Ledger,
    partition: u32,
    replayed: Vec<CustomerState>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut replayed = replayed.into_iter().filter(|state| !state.is_blank()).peekable();
    let differs = |report: &mut Report, customer, what: &str| {
        report.differ(|| {
            format!("the state of customer {customer} in partition {partition}: {what}")
        });
    };
    let mut after = None;
    loop {
        let page = ledger.states(partition, after, STATES).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        for (customer, bytes) in page {
            while let Some(missing) = replayed.next_if(|state| state.id < customer) {
                report.states += 1;
                differs(report, missing.id, "the replay has it, the worker does not");
            }
            report.states += 1;
            let live = CustomerState::decode(&bytes)
                .map_err(|error| crate::store::Error::Unusable(error.to_string()))?;
            match replayed.next_if(|state| state.id == customer) {
                Some(state) if state == live => {}
                Some(_) => differs(report, customer, "it is not as the replay has it"),
                None => differs(report, customer, "the worker has it, the replay does not"),
            }
        }
    }
    for missing in replayed {
        report.states += 1;
        differs(report, missing.id, "the replay has it, the worker does not");
    }
    Ok(())
}

impl Report {
    fn differ(&mut self, what: impl FnOnce() -> String) {
        self.differences += 1;
        if self.first.is_none() {
            self.first = Some(what());
        }
    }
}
