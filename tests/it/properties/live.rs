//! A worker in small: a log with ids, a store, lanes that may be lost at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use waypost::engine::{CustomerState, Trace};
use waypost::lane::{Lane, Merges, NoStore};
use waypost::log::Record;
use waypost::model::{CustomerId, MessageId, Timestamp};
use waypost::store::{
    Checkpoint, Error, Lease, Ledger, MemoryStore, OutboxRow, Position, Store, StoredMessage,
};

use crate::support::block_on;

use super::replay::Told;
use super::world::World;

/// The store in memory, used as one that states must be written to.
#[derive(Debug, Default)]
pub(super) struct Keeping(MemoryStore);

impl Store for Keeping {
    const KEEPS_STATES: bool = true;

    async fn take(&self, partition: u32) -> Result<(Lease, Position), Error> {
        self.0.take(partition).await
    }

    async fn load(
        &self,
        lease: Lease,
        ids: &[CustomerId],
    ) -> Result<Vec<(CustomerId, Vec<u8>)>, Error> {
        self.0.load(lease, ids).await
    }

    async fn due(&self, lease: Lease, upto: Timestamp) -> Result<Vec<CustomerId>, Error> {
        self.0.due(lease, upto).await
    }

    async fn scan(
        &self,
        lease: Lease,
        after: Option<CustomerId>,
        limit: u32,
    ) -> Result<Vec<CustomerId>, Error> {
        self.0.scan(lease, after, limit).await
    }

    async fn commit(&self, lease: Lease, checkpoint: Checkpoint) -> Result<(), Error> {
        self.0.commit(lease, checkpoint).await
    }

    async fn outbox_pending(&self, limit: u32) -> Result<Vec<OutboxRow>, Error> {
        self.0.outbox_pending(limit).await
    }

    async fn outbox_done(&self, ids: &[u128]) -> Result<(), Error> {
        self.0.outbox_done(ids).await
    }
}

/// What a worker does after a record came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    /// Reads what the log has.
    Read,
    /// Reads and applies.
    Flush,
    /// Reads, applies and commits.
    Commit,
    /// As [`Act::Commit`], and forgets what it has in memory.
    Trim,
    /// Relays the outbox to the log.
    Relay,
    /// Relays, and is lost before it says so to the store.
    RelayTwice,
    /// Reads, applies, and is lost before it commits.
    LostBefore,
    /// Commits and is lost.
    LostAfter,
    /// Everything until there is nothing more to do.
    Settle,
}

/// A worker over a log.
pub(super) struct Worker<'a> {
    world: &'a World,
    pub logs: Vec<Vec<Record>>,
    /// Everything in the logs in the order of its arrival; a tick once.
    arrived: Vec<Record>,
    relayed: BTreeSet<u128>,
    store: Arc<Keeping>,
    lanes: Vec<(Lane<Arc<Keeping>>, u64)>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(world: &'a World, partitions: u32) -> Self {
        let mut worker = Self {
            world,
            logs: vec![Vec::new(); partitions as usize],
            arrived: Vec::new(),
            relayed: BTreeSet::new(),
            store: Arc::default(),
            lanes: Vec::new(),
        };
        worker.take_lanes();
        worker
    }

    /// A worker whose log gets what another's has, handovers and all, and who commits after so
    /// many records and before each handover: a store had committed what causes one.
    pub(super) fn over(world: &'a World, earlier: &Worker<'_>, commits: usize) -> Self {
        let mut worker = Self::new(world, earlier.partitions());
        worker.relayed.clone_from(&earlier.relayed);
        for (place, record) in earlier.arrived.iter().enumerate() {
            if place % commits == 0 || matches!(record, Record::Handover(_)) {
                worker.commit();
            }
            worker.append(record);
        }
        worker.act(Act::Settle);
        worker
    }

    fn partitions(&self) -> u32 {
        u32::try_from(self.logs.len()).expect("a few")
    }

    fn take_lanes(&mut self) {
        self.lanes.clear();
        for partition in 0..self.partitions() {
            let lane = Lane::take(
                self.store.clone(),
                partition,
                self.partitions(),
                self.world.timeline(),
                Merges::Outbox,
            );
            let lane = block_on(lane).expect("a lane");
            let from = lane.reads_from();
            self.lanes.push((lane, from));
        }
    }

    /// Puts a record into the log: a tick into every partition.
    pub(super) fn append(&mut self, record: &Record) {
        self.arrived.push(record.clone());
        match record.customer() {
            Some(customer) => {
                let partition = customer.partition(self.partitions());
                self.logs[partition as usize].push(record.clone());
            }
            None => self.logs.iter_mut().for_each(|log| log.push(record.clone())),
        }
    }

    /// Whether a message is kept.
    pub(super) fn has(&self, message: MessageId) -> bool {
        let kept = (0..self.partitions()).flat_map(|partition| {
            block_on(self.store.0.decisions(partition, 0, u32::MAX)).expect("the messages")
        });
        kept.into_iter().any(|kept| kept.decision.message == message)
    }

    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Nothing => {}
            Act::Read => self.read(),
            Act::Flush => self.flush(),
            Act::Commit => self.commit(),
            Act::Trim => {
                self.commit();
                self.lanes.iter_mut().for_each(|(lane, _)| lane.trim(0));
            }
            Act::Relay => {
                self.relay(true);
            }
            Act::RelayTwice => {
                self.relay(false);
            }
            Act::LostBefore => {
                self.flush();
                self.take_lanes();
            }
            Act::LostAfter => {
                self.commit();
                self.take_lanes();
            }
            Act::Settle => loop {
                self.commit();
                if !self.relay(true) {
                    break;
                }
            },
        }
    }

    fn read(&mut self) {
        for ((lane, next), log) in self.lanes.iter_mut().zip(&self.logs) {
            let from = usize::try_from(*next).expect("a short log");
            for record in log.iter().skip(from) {
                block_on(lane.push(*next, record.clone())).expect("a record");
                *next += 1;
            }
        }
    }

    fn flush(&mut self) {
        self.read();
        for (lane, _) in &mut self.lanes {
            block_on(lane.flush()).expect("a flush");
        }
    }

    fn commit(&mut self) {
        self.flush();
        for (lane, _) in &mut self.lanes {
            let checkpoint = lane.checkpoint().expect("a checkpoint");
            block_on(lane.commit(checkpoint)).expect("a commit");
        }
    }

    /// Appends what the outbox holds, each record once; whether there was anything new.
    fn relay(&mut self, said: bool) -> bool {
        let mut rows = block_on(self.store.outbox_pending(u32::MAX)).expect("the outbox");
        // One order whatever the partitions: that of what caused them.
        rows.sort_by_key(|row| (row.record.order(), row.id));
        let mut new = false;
        for row in &rows {
            if self.relayed.insert(row.id) {
                new = true;
                self.append(&row.record);
            }
        }
        let ids: Vec<u128> = rows.iter().map(|row| row.id).collect();
        if said {
            block_on(self.store.outbox_done(&ids)).expect("the outbox");
        }
        new
    }

    /// What the store has kept.
    pub(super) fn kept(&self) -> Kept {
        let store = &self.store.0;
        let mut kept = Kept::default();
        for partition in 0..self.partitions() {
            for mut message in
                block_on(store.decisions(partition, 0, u32::MAX)).expect("the messages")
            {
                (message.seq, message.partition) = (0, 0);
                kept.messages.insert(message.decision.message, message);
            }
            for (customer, bytes) in
                block_on(store.states(partition, None, u32::MAX)).expect("the states")
            {
                let state = CustomerState::decode(&bytes).expect("a sound state");
                kept.states.insert(customer, state);
            }
        }
        let whose = self.logs.iter().flatten().filter_map(Record::customer);
        for customer in whose.collect::<BTreeSet<_>>() {
            let trace = block_on(store.trace_of(customer)).expect("the trace");
            if !trace.is_empty() {
                kept.trace.insert(customer, trace);
            }
        }
        kept
    }

    /// What a replay of the log says, as `verify` does it.
    pub(super) fn replayed(&self) -> Told {
        let mut told = Told::default();
        for (partition, log) in (0..).zip(&self.logs) {
            let lane = Lane::take(
                NoStore,
                partition,
                self.partitions(),
                self.world.timeline(),
                Merges::InLog,
            );
            let mut lane = block_on(lane).expect("a lane");
            for (offset, record) in (0..).zip(log) {
                block_on(lane.push(offset, record.clone())).expect("a record");
            }
            block_on(lane.flush()).expect("a flush");
            told.take(lane.take_output().effects);
            told.end(lane.take_states());
        }
        told
    }

    /// Customers whose stored due time is later than what is due for them.
    pub(super) fn overslept(&self) -> Vec<CustomerId> {
        let timeline = self.world.timeline();
        let mut overslept = Vec::new();
        for (customer, state) in self.kept().states {
            let Some(due) = timeline.last().next_due(&state) else { continue };
            let partition = customer.partition(self.partitions());
            let found = block_on(self.store.due(Lease { partition, epoch: 0 }, due));
            if !found.expect("the due").contains(&customer) {
                overslept.push(customer);
            }
        }
        overslept
    }
}

/// What a store has kept, without numbers that say when it was decided.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Kept {
    pub messages: BTreeMap<MessageId, StoredMessage>,
    pub trace: BTreeMap<CustomerId, Vec<Trace>>,
    pub states: BTreeMap<CustomerId, CustomerState>,
}
