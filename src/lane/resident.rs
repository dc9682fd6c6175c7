//! The partition's working set: states in memory, what changed, and what is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::engine::CustomerState;
use crate::model::{CustomerId, Timestamp};
use crate::store::{Checkpoint, Error, Lease, OutboxRow, Position, Store};

use super::Cache;
use super::by_customer::ByCustomer;

/// What a state in memory is taken to weigh before it was first encoded, in bytes.
const BYTES_GUESS: usize = 512;

/// One state in memory.
#[derive(Debug)]
pub(super) struct Resident {
    pub state: Box<CustomerState>,
    /// A lower bound of the next due time, as the store and the heap know it.
    pub indexed: Option<Timestamp>,
    pub changed: bool,
    /// Its last change is being written: the store may not have it yet.
    writing: bool,
    pub bytes: usize,
    /// The flush that last used it.
    used: u64,
}

impl Resident {
    /// A customer of whom nothing is known yet.
    pub(super) fn empty(id: CustomerId) -> Self {
        Self {
            state: Box::new(CustomerState::new(id)),
            indexed: None,
            changed: false,
            writing: false,
            bytes: BYTES_GUESS,
            used: 0,
        }
    }
}

/// The states in memory.
#[derive(Debug, Default)]
pub(super) struct Residents {
    states: ByCustomer<Resident>,
    /// Due times of states in memory: lower bounds, some of them outdated.
    due: BinaryHeap<Reverse<(Timestamp, CustomerId)>>,
    changed: Vec<CustomerId>,
    /// Those whose changes are being written.
    writing: Vec<CustomerId>,
    flushes: u64,
}

impl Residents {
    pub(super) fn has(&self, id: CustomerId) -> bool {
        self.states.contains_key(&id)
    }

    pub(super) fn states(&self) -> impl Iterator<Item = &CustomerState> {
        self.states.values().map(|resident| &*resident.state)
    }

    pub(super) fn into_states(self) -> Vec<CustomerState> {
        let mut states: Vec<CustomerState> =
            self.states.into_values().map(|resident| *resident.state).collect();
        states.sort_unstable_by_key(|state| state.id);
        states
    }

    pub(super) fn ids(&self) -> Vec<CustomerId> {
        let mut ids: Vec<CustomerId> = self.states.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn state(&self, id: CustomerId) -> Option<&CustomerState> {
        self.states.get(&id).map(|resident| &*resident.state)
    }

    pub(super) fn loaded(&mut self, state: CustomerState, bytes: usize) {
        let resident = Resident {
            indexed: None,
            changed: false,
            writing: false,
            bytes,
            used: self.flushes,
            state: Box::new(state),
        };
        self.states.insert(resident.state.id, resident);
    }

    /// Has a state in memory of which nobody knows when it is due: the next flush looks.
    pub(super) fn resumed(&mut self, state: CustomerState) {
        let id = state.id;
        self.loaded(state, BYTES_GUESS);
        if let Some(resident) = self.states.get_mut(&id) {
            resident.indexed = Some(Timestamp::MIN);
            self.due.push(Reverse((Timestamp::MIN, id)));
        }
    }

    /// Takes a state out to work on it; a customer without one gets a new one.
    pub(super) fn take_out(&mut self, id: CustomerId) -> Resident {
        self.states.remove(&id).unwrap_or_else(|| Resident::empty(id))
    }

    /// Puts a state back that may have changed, with its next due time.
    pub(super) fn put_back(
        &mut self,
        mut resident: Resident,
        next_due: Option<Timestamp>,
        touched: bool,
        watermark: Timestamp,
    ) {
        let id = resident.state.id;
        // A timer that moved later does not touch the index: the wake-up corrects it.
        let bound = resident.indexed.filter(|known| *known > watermark);
        resident.indexed = match (bound, next_due) {
            (Some(known), Some(next)) if known <= next => Some(known),
            (_, Some(next)) => {
                self.due.push(Reverse((next, id)));
                Some(next)
            }
            (_, None) => None,
        };
        if touched && !resident.changed {
            resident.changed = true;
            self.changed.push(id);
        }
        resident.used = self.flushes;
        if resident.state.is_blank() && !resident.changed && !resident.writing {
            return;
        }
        self.states.insert(id, resident);
    }

    /// Has these states written, though they may be as they were.
    pub(super) fn touch(&mut self, ids: &[CustomerId]) {
        for id in ids {
            if let Some(resident) = self.states.get_mut(id).filter(|resident| !resident.changed) {
                resident.changed = true;
                self.changed.push(*id);
            }
        }
    }

    /// The customers in memory that may be due.
    pub(super) fn pop_due(&mut self, upto: Timestamp, ids: &mut Vec<CustomerId>) {
        self.flushes += 1;
        while let Some(Reverse((due, id))) = self.due.peek().copied() {
            if due > upto {
                break;
            }
            self.due.pop();
            if self.states.get(&id).is_some_and(|resident| resident.indexed == Some(due)) {
                ids.push(id);
            }
        }
    }

    /// The customers whose states changed since they were last taken, in the order of their ids.
    pub(super) fn take_changed(&mut self) -> Vec<CustomerId> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed
    }

    /// A state whose change is about to be written; it stays here until that has [landed](Self::landed).
    pub(super) fn writing(&mut self, id: CustomerId) -> Option<&mut Resident> {
        let resident = self.states.get_mut(&id)?;
        resident.changed = false;
        if !resident.writing {
            resident.writing = true;
            self.writing.push(id);
        }
        Some(resident)
    }

    /// What was being written is in the store.
    pub(super) fn landed(&mut self) {
        for id in std::mem::take(&mut self.writing) {
            let Some(resident) = self.states.get_mut(&id) else { continue };
            resident.writing = false;
            if resident.state.is_blank() && !resident.changed {
                self.states.remove(&id);
            }
        }
    }

    /// Lets go of unchanged states, the longest unused first, until at most `bytes` are left.
    /// Returns what is left.
    pub(super) fn trim(&mut self, bytes: usize) -> Cache {
        if self.due.len() > 2 * self.states.len() + 1_024 {
            let known = std::mem::take(&mut self.due);
            self.due = known.into_iter().filter(|Reverse((_, id))| self.has(*id)).collect();
        }
        let total: usize = self.states.values().map(|resident| resident.bytes).sum();
        if total <= bytes {
            return Cache { states: self.states.len(), bytes: total };
        }
        let mut oldest: Vec<(u64, CustomerId, usize)> = self
            .states
            .iter()
            .filter(|(_, resident)| !resident.changed && !resident.writing)
            .map(|(id, resident)| (resident.used, *id, resident.bytes))
            .collect();
        oldest.sort_unstable();
        let mut left = total;
        for (_, id, weight) in oldest {
            if left <= bytes {
                break;
            }
            left = left.saturating_sub(weight);
            self.states.remove(&id);
        }
        Cache { states: self.states.len(), bytes: left }
    }
}

/// No store: memory is all there is. For replay and verify.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl Store for NoStore {
    const KEEPS_STATES: bool = false;

    async fn take(&self, partition: u32) -> Result<(Lease, Position), Error> {
        Ok((Lease { partition, epoch: 0 }, Position::default()))
    }

    async fn load(
        &self,
        _lease: Lease,
        _ids: &[CustomerId],
    ) -> Result<Vec<(CustomerId, Vec<u8>)>, Error> {
        Ok(Vec::new())
    }

    async fn due(&self, _lease: Lease, _upto: Timestamp) -> Result<Vec<CustomerId>, Error> {
        Ok(Vec::new())
    }

    async fn scan(
        &self,
        _lease: Lease,
        _after: Option<CustomerId>,
        _limit: u32,
    ) -> Result<Vec<CustomerId>, Error> {
        Ok(Vec::new())
    }

    async fn commit(&self, _lease: Lease, _checkpoint: Checkpoint) -> Result<(), Error> {
        Ok(())
    }

    async fn outbox_pending(&self, _limit: u32) -> Result<Vec<OutboxRow>, Error> {
        Ok(Vec::new())
    }

    async fn outbox_done(&self, _ids: &[u128]) -> Result<(), Error> {
        Ok(())
    }
}
