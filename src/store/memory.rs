//! The store in memory: the reference for what a store does, and the store of replays.

mod journey;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::{Trace, TraceKind};
use crate::model::{CustomerId, MessageId, Timestamp};

use super::changes::{Changes, Update};
use super::{
    Checkpoint, Error, JourneyCounts, LaneRow, Lease, Ledger, MessageCount, MessageStatus,
    OutboxRow, Position, Store, StoredMessage,
};

/// A store that lasts as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    lanes: BTreeMap<u32, LaneRow>,
    states: BTreeMap<(u32, CustomerId), (Option<Timestamp>, Vec<u8>)>,
    messages: BTreeMap<u64, StoredMessage>,
    seqs: BTreeMap<MessageId, u64>,
    trace: Vec<(CustomerId, Trace)>,
    outbox: Vec<OutboxRow>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes out all messages and the trace, in order, at the end of a replay: a message that was
    /// taken out can't change any more.
    #[must_use]
    pub fn drain(&self) -> (Vec<StoredMessage>, Vec<(CustomerId, Trace)>) {
        let mut kept = self.kept();
        kept.seqs.clear();
        let messages = std::mem::take(&mut kept.messages).into_values().collect();
        (messages, std::mem::take(&mut kept.trace))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A checkpoint is checked before anything changes, so no panic leaves one half kept.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    const KEEPS_STATES: bool = false;

    async fn take(&self, partition: u32) -> Result<(Lease, Position), Error> {
        let mut kept = self.kept();
        let lane = kept.lanes.entry(partition).or_insert_with(|| LaneRow {
            partition,
            epoch: 0,
            position: Position::default(),
            build: String::new(),
        });
        lane.epoch += 1;
        Ok((Lease { partition, epoch: lane.epoch }, lane.position))
    }

    async fn load(
        &self,
        lease: Lease,
        ids: &[CustomerId],
    ) -> Result<Vec<(CustomerId, Vec<u8>)>, Error> {
        let kept = self.kept();
        let ids: BTreeSet<CustomerId> = ids.iter().copied().collect();
        let state = |id| kept.states.get(&(lease.partition, id)).map(|row| (id, row.1.clone()));
        Ok(ids.into_iter().filter_map(state).collect())
    }

    async fn due(&self, lease: Lease, upto: Timestamp) -> Result<Vec<CustomerId>, Error> {
        let kept = self.kept();
        let mut due: Vec<(Timestamp, CustomerId)> = kept
            .states
            .range((lease.partition, CustomerId(0))..=(lease.partition, CustomerId(u128::MAX)))
            .filter_map(|((_, id), (due, _))| due.filter(|due| *due <= upto).map(|due| (due, *id)))
            .collect();
        due.sort_unstable();
        Ok(due.into_iter().map(|(_, id)| id).collect())
    }

    async fn scan(
        &self,
        lease: Lease,
        after: Option<CustomerId>,
        limit: u32,
    ) -> Result<Vec<CustomerId>, Error> {
        let kept = self.kept();
        let first = match after {
            None => CustomerId(0),
            Some(CustomerId(u128::MAX)) => return Ok(Vec::new()),
            Some(CustomerId(id)) => CustomerId(id + 1),
        };
        Ok(kept
            .states
            .range((lease.partition, first)..=(lease.partition, CustomerId(u128::MAX)))
            .map(|((_, id), _)| *id)
            .take(limit as usize)
            .collect())
    }

    async fn commit(&self, lease: Lease, checkpoint: Checkpoint) -> Result<(), Error> {
        let changes = Changes::new(checkpoint.messages)?;
        let mut kept = self.kept();
        kept.check(lease, &changes)?;
        if let Some(lane) = kept.lanes.get_mut(&lease.partition) {
            lane.position = checkpoint.position;
            lane.build = checkpoint.build;
        }
        for row in checkpoint.states {
            let key = (lease.partition, row.customer);
            match row.state {
                Some(state) => kept.states.insert(key, (row.next_due, state)),
                None => kept.states.remove(&key),
            };
        }
        for (customer, decision) in changes.decided {
            let seq = kept.messages.last_key_value().map_or(1, |(last, _)| last + 1);
            let message = StoredMessage::new(seq, lease.partition, customer, decision);
            kept.seqs.insert(message.decision.message, seq);
            kept.messages.insert(seq, message);
        }
        for (id, update) in changes.updates {
            let Some(seq) = kept.seqs.get(&id).copied() else { continue };
            if let Some(message) = kept.messages.get_mut(&seq) {
                message.apply(update);
            }
        }
        kept.trace.extend(checkpoint.trace);
        for row in checkpoint.outbox {
            if kept.outbox.iter().all(|pending| pending.id != row.id) {
                kept.outbox.push(row);
            }
        }
        kept.erase(&checkpoint.erased);
        Ok(())
    }

    async fn outbox_pending(&self, limit: u32) -> Result<Vec<OutboxRow>, Error> {
        Ok(self.kept().outbox.iter().take(limit as usize).cloned().collect())
    }

    async fn outbox_done(&self, ids: &[u128]) -> Result<(), Error> {
        self.kept().outbox.retain(|row| !ids.contains(&row.id));
        Ok(())
    }
}

impl Ledger for MemoryStore {
    async fn messages_of(&self, customer: CustomerId) -> Result<Vec<StoredMessage>, Error> {
        let kept = self.kept();
        Ok(kept.messages.values().filter(|row| row.customer == customer).cloned().collect())
    }

    async fn trace_of(&self, customer: CustomerId) -> Result<Vec<Trace>, Error> {
        let kept = self.kept();
        let of = kept.trace.iter().filter(|(whose, _)| *whose == customer);
        Ok(of.map(|(_, trace)| trace.clone()).collect())
    }

    async fn decisions(
        &self,
        partition: u32,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredMessage>, Error> {
        let kept = self.kept();
        Ok(kept
            .messages
            .range(after.saturating_add(1)..)
            .map(|(_, row)| row)
            .filter(|row| row.partition == partition)
            .take(limit as usize)
            .cloned()
            .collect())
    }

    async fn last_decided(&self, partition: u32) -> Result<u64, Error> {
        let kept = self.kept();
        let mut newest = kept.messages.iter().rev();
        let last = newest.find(|(_, row)| row.partition == partition);
        Ok(last.map_or(0, |(seq, _)| *seq))
    }

    async fn messages_from(&self) -> Result<Option<Timestamp>, Error> {
        Ok(None)
    }

    async fn counts(&self) -> Result<Vec<MessageCount>, Error> {
        let kept = self.kept();
        let mut counts = BTreeMap::new();
        for row in kept.messages.values() {
            let reason = row.reason.map(|reason| (reason.as_str(), reason));
            let key = (row.decision.journey.clone(), row.status.as_str(), reason, row.status);
            *counts.entry(key).or_insert(0_u64) += 1;
        }
        let count = |((journey, _, reason, status), messages): (
            (crate::model::Text, _, Option<(_, _)>, _),
            _,
        )| {
            let reason = reason.map(|(_, reason): (&str, _)| reason);
            MessageCount { journey: journey.to_string(), status, reason, messages }
        };
        Ok(counts.into_iter().map(count).collect())
    }

    async fn journeys(&self) -> Result<Vec<String>, Error> {
        Ok(self.kept().journey_names())
    }

    async fn journey(&self, name: &str) -> Result<JourneyCounts, Error> {
        Ok(self.kept().journey_counts(name))
    }

    async fn lanes(&self) -> Result<Vec<LaneRow>, Error> {
        Ok(self.kept().lanes.values().cloned().collect())
    }

    async fn states(
        &self,
        partition: u32,
        after: Option<CustomerId>,
        limit: u32,
    ) -> Result<Vec<(CustomerId, Vec<u8>)>, Error> {
        let kept = self.kept();
        let of = kept
            .states
            .iter()
            .filter(|((own, id), _)| *own == partition && after.is_none_or(|after| *id > after));
        Ok(of.take(limit as usize).map(|((_, id), row)| (*id, row.1.clone())).collect())
    }

    async fn state(&self, partition: u32, customer: CustomerId) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.kept().states.get(&(partition, customer)).map(|row| row.1.clone()))
    }
}

impl Kept {
    /// Everything that may refuse a checkpoint, before anything of it is kept.
    fn check(&self, lease: Lease, changes: &Changes) -> Result<(), Error> {
        let epoch = self.lanes.get(&lease.partition).map(|lane| lane.epoch);
        if epoch != Some(lease.epoch) {
            return Err(Error::Fenced { partition: lease.partition, held: lease.epoch });
        }
        let mut new = BTreeSet::new();
        for (_, decision) in &changes.decided {
            if self.seqs.contains_key(&decision.message) {
                return Err(Error::DecidedTwice(decision.message));
            }
            new.insert(decision.message);
        }
        let unknown = changes.updates.iter().find(|(id, update)| {
            update.needs_message() && !self.seqs.contains_key(id) && !new.contains(id)
        });
        unknown.map_or(Ok(()), |(id, _)| Err(Error::UnknownMessage(*id)))
    }

    fn erase(&mut self, customers: &[CustomerId]) {
        let customers = self.merged_with(customers);
        for message in self.messages.values_mut() {
            if customers.contains(&message.customer) {
                message.decision.data.clear();
                message.erased = true;
            }
        }
        for (customer, trace) in &mut self.trace {
            if customers.contains(customer) {
                trace.detail = None;
            }
        }
    }
}

impl Kept {
    /// These customers, and all who became one with them.
    fn merged_with(&self, customers: &[CustomerId]) -> Vec<CustomerId> {
        let mut all = customers.to_vec();
        let mut next = 0;
        while let Some(customer) = all.get(next).copied() {
            next += 1;
            let merges = self
                .trace
                .iter()
                .filter(|(whose, trace)| *whose == customer && trace.kind == TraceKind::Merged);
            let others = merges.filter_map(|(_, trace)| trace.detail.as_deref()?.parse().ok());
            for other in others {
                if !all.contains(&other) {
                    all.push(other);
                }
            }
        }
        all
    }
}

impl StoredMessage {
    fn new(
        seq: u64,
        partition: u32,
        customer: CustomerId,
        decision: crate::engine::Decision,
    ) -> Self {
        let reason = decision.withheld;
        let status =
            if reason.is_some() { MessageStatus::Withheld } else { MessageStatus::Decided };
        Self {
            seq,
            partition,
            customer,
            decision,
            status,
            reason,
            revision: 1,
            outcome: None,
            erased: false,
        }
    }

    fn apply(&mut self, mut update: Update) {
        if let Some(reason) = update.cancelled
            && self.status == MessageStatus::Decided
        {
            self.status = MessageStatus::Cancelled;
            self.reason = Some(reason);
        }
        if let Some((revision, data)) = update.revision {
            self.revision = revision;
            self.decision.data = data;
        }
        if let Some(outcome) = update.outcomes.pop() {
            self.outcome = Some(outcome);
        }
    }
}
