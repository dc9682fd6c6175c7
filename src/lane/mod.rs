//! A lane processes one partition of the log: it orders, applies and hands out checkpoints.
//!
//! Records are pushed in log order ([`Lane::push`]). Nothing is applied before a tick has passed
//! it; a record at or before the watermark is late and is applied at its place in the log. At a
//! flush, each customer's events and timers up to the watermark run in one order of effective and
//! due time, events first. Customers commute, so a flush goes customer by customer; only merges
//! inside one replay tie customers together (see [`Merges`]).
//!
//! The same lane serves the worker (over SQLite), replay and verify (over [`NoStore`]): how many
//! records are pushed between two flushes changes no decision.

mod by_customer;
mod customer;
mod resident;
mod sweep;
mod timeline;

use crate::engine::{self, CustomerState, Effect};
use crate::log::{Control, Record};
use crate::model::{CustomerId, MessageId, Tie, Timestamp};
use crate::store::{Error, Lease, OutboxRow, Position, StateRow, Store};

pub use resident::NoStore;
pub use timeline::{Release, Timeline};

use by_customer::ByCustomer;
use resident::Residents;

/// What happens when a state is handed over or a record must go to another customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merges {
    /// It leaves through the outbox and comes back as a record of the winner's partition.
    Outbox,
    /// It is applied at once, in its place in time: a replay of files, which has no log.
    Inline,
    /// Nothing: the records it led to are in the log already. For verify.
    InLog,
}

/// One partition of the log being processed.
pub struct Lane<S> {
    store: S,
    lease: Lease,
    partitions: u32,
    timeline: Timeline,
    merges: Merges,
    position: Position,
    /// The end of the last checkpoint.
    kept: u64,
    /// Pushed since the last flush, by customer, in log order.
    fresh: ByCustomer<Vec<Arrived>>,
    /// After the watermark, by customer, in the order of time and tie.
    pending: ByCustomer<Vec<Arrived>>,
    /// Activations that the watermark has not reached, with their offsets.
    controls: Vec<(u64, Control, Release)>,
    residents: Residents,
    /// How much of the states passes leave in memory.
    cache_bytes: usize,
    /// What was in memory when that was last looked at.
    cache: Cache,
    /// The next scheduled instant, and the watermark at which it was found.
    next_schedule: Option<(Timestamp, Option<Timestamp>)>,
    /// A merge was ever pushed, so that customers may be tied together.
    ties: bool,
    output: Output,
}

/// What a lane has in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    /// States.
    pub states: usize,
    /// What they take as they are encoded, in bytes.
    pub bytes: usize,
}

/// What the flushes since the last checkpoint brought.
#[derive(Debug, Default)]
pub struct Output {
    /// Effects in the order of decision, customer by customer.
    pub effects: Vec<(CustomerId, Effect)>,
    /// Messages that were due before they were decided, because something came late; with when.
    pub overdue: Vec<(MessageId, Timestamp)>,
    /// Records that leave for the log.
    pub outbox: Vec<OutboxRow>,
    /// Records that came late.
    pub late: u64,
    /// Records applied.
    pub applied: u64,
}

/// A record with its place in the log.
#[derive(Debug)]
struct Arrived {
    offset: u64,
    time: Timestamp,
    tie: Tie,
    /// The watermark it came after, if it came after one that had passed it.
    late: Option<Timestamp>,
    record: Record,
}

impl Arrived {
    /// The order in which records of a customer are applied.
    const fn key(&self) -> (Timestamp, Tie, u64) {
        (self.time, self.tie, self.offset)
    }
}

impl Lane<NoStore> {
    /// Goes on from a position, with the states that the lane had there, all of them.
    pub fn resume(&mut self, position: Position, states: Vec<CustomerState>) {
        self.position = position;
        for state in states {
            self.residents.resumed(state);
        }
    }
}

impl<S: Store> Lane<S> {
    /// Takes the lane of a partition and says where it stands.
    ///
    /// # Errors
    /// What the store says.
    pub async fn take(
        store: S,
        partition: u32,
        partitions: u32,
        timeline: Timeline,
        merges: Merges,
    ) -> Result<Self, Error> {
        let taken = store.take(partition).await?;
        Ok(Self::of(store, taken, partitions, timeline, merges))
    }

    /// A lane that was taken, with the timeline of where it stands.
    pub fn of(
        store: S,
        (lease, position): (Lease, Position),
        partitions: u32,
        timeline: Timeline,
        merges: Merges,
    ) -> Self {
        Self {
            store,
            lease,
            partitions,
            timeline,
            merges,
            kept: position.end,
            position,
            fresh: ByCustomer::default(),
            pending: ByCustomer::default(),
            controls: Vec::new(),
            residents: Residents::default(),
            cache_bytes: usize::MAX,
            cache: Cache::default(),
            next_schedule: None,
            ties: false,
            output: Output::default(),
        }
    }

    /// Where the lane stands: what is pushed and flushed, not what is committed.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The offset from which records must be pushed after taking the lane.
    #[must_use]
    pub const fn reads_from(&self) -> u64 {
        self.position.low
    }

    /// Takes in the record at an offset. Records below the position's end are taken in again after
    /// a restart: those that are applied already are left out.
    ///
    /// # Errors
    /// What the store says, where a tick passes a schedule's instant or an activation.
    pub async fn push(&mut self, offset: u64, record: Record) -> Result<(), Error> {
        let again = offset < self.position.end;
        let watermark = self.position.watermark;
        match record {
            Record::Tick(_) if again => {}
            Record::Tick(tick) => {
                self.position.end = offset + 1;
                if watermark.is_none_or(|known| tick > known) {
                    self.move_watermark(tick).await?;
                }
            }
            Record::Control(control) => {
                self.position.end = self.position.end.max(offset + 1);
                if !self.timeline.knows(control.release, control.at) {
                    let release = self.timeline.release(control.release).ok_or_else(|| {
                        Error::Unusable(format!(
                            "the log activates release {} at {}, which this worker does not have",
                            control.release, control.at
                        ))
                    })?;
                    self.controls.push((offset, *control, release));
                }
            }
            record => {
                let (Some(customer), Some((time, tie))) = (record.customer(), record.order())
                else {
                    return Ok(());
                };
                let passed = watermark.filter(|watermark| time <= *watermark);
                if again && passed.is_some() {
                    return Ok(());
                }
                self.position.end = self.position.end.max(offset + 1);
                self.output.late += u64::from(passed.is_some());
                self.ties |= matches!(record, Record::Merge(_));
                let arrived = Arrived { offset, time, tie, late: passed, record };
                // Most customers have one record between two flushes.
                let fresh = self.fresh.entry(customer);
                fresh.or_insert_with(|| Vec::with_capacity(1)).push(arrived);
            }
        }
        Ok(())
    }

    /// Moves the watermark without a record, as a replay of files does.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn advance_to(&mut self, watermark: Timestamp) -> Result<(), Error> {
        if self.position.watermark.is_none_or(|known| watermark > known) {
            self.move_watermark(watermark).await?;
        }
        Ok(())
    }

    /// Moves the watermark, stopping at each activation and schedule on the way.
    async fn move_watermark(&mut self, to: Timestamp) -> Result<(), Error> {
        while let Some(barrier) = self.next_barrier(to) {
            // Everything before the instant is applied first, then what the instant asks for.
            self.position.watermark = Some(barrier.before());
            self.flush().await?;
            self.pass(barrier).await?;
        }
        self.position.watermark = Some(to);
        Ok(())
    }

    /// Applies everything up to the watermark.
    ///
    /// # Errors
    /// What the store says.
    pub async fn flush(&mut self) -> Result<(), Error> {
        let mut fresh = std::mem::take(&mut self.fresh);
        let Some(watermark) = self.position.watermark else {
            let mut ids: Vec<CustomerId> = fresh.keys().copied().collect();
            ids.sort_unstable();
            for id in ids {
                self.queue(id, fresh.remove(&id).unwrap_or_default());
            }
            return Ok(());
        };
        let mut ids: Vec<CustomerId> = fresh.keys().copied().collect();
        ids.extend(self.pending.iter().filter_map(|(customer, queue)| {
            queue.first().is_some_and(|first| first.time <= watermark).then_some(*customer)
        }));
        self.residents.pop_due(watermark, &mut ids);
        let due = self.store.due(self.lease, watermark).await?;
        ids.extend(&due);
        ids.sort_unstable();
        ids.dedup();
        self.bring_in(&ids).await?;
        self.run_customers(ids, fresh, watermark).await?;
        // Those of whom nothing was due: the stored time is corrected, or each flush wakes them.
        self.residents.touch(&due);
        Ok(())
    }

    /// Puts records into a customer's queue, in the order of time and tie.
    fn queue(&mut self, customer: CustomerId, arrived: Vec<Arrived>) {
        let queue = self.pending.entry(customer).or_default();
        queue.extend(arrived);
        queue.sort_by_key(Arrived::key);
    }

    /// Brings the states of these customers into memory.
    async fn bring_in(&mut self, ids: &[CustomerId]) -> Result<(), Error> {
        let missing: Vec<CustomerId> =
            ids.iter().copied().filter(|id| !self.residents.has(*id)).collect();
        if missing.is_empty() || !S::KEEPS_STATES {
            return Ok(());
        }
        for (id, bytes) in self.store.load(self.lease, &missing).await? {
            let state = CustomerState::decode(&bytes).map_err(|error| {
                Error::Unusable(format!("the stored state of customer {id}: {error}"))
            })?;
            self.residents.loaded(state, bytes.len());
        }
        Ok(())
    }

    /// Takes what the flushes brought; the position and the states belong to it.
    pub fn take_output(&mut self) -> Output {
        std::mem::take(&mut self.output)
    }

    /// The checkpoint of everything flushed since the last one; commit it with
    /// [`Self::commit`].
    ///
    /// # Errors
    /// [`Error::Unusable`] if a state can't be encoded.
    pub fn checkpoint(&mut self) -> Result<crate::store::Checkpoint, Error> {
        let position = self.settled_position();
        self.position.low = position.low;
        let output = self.take_output();
        let mut checkpoint = crate::store::Checkpoint {
            position,
            after: Some(std::mem::replace(&mut self.kept, position.end)),
            outbox: output.outbox,
            applied: output.applied,
            late: output.late,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            ..crate::store::Checkpoint::default()
        };
        for (customer, effect) in output.effects {
            checkpoint.add(customer, effect);
        }
        checkpoint.states = self.changed_states()?;
        Ok(checkpoint)
    }

    /// Commits a checkpoint.
    ///
    /// # Errors
    /// What the store says; the lane must then be dropped and taken anew.
    pub async fn commit(&mut self, checkpoint: crate::store::Checkpoint) -> Result<(), Error> {
        self.store.commit(self.lease, checkpoint).await?;
        self.landed();
        Ok(())
    }

    /// The right to commit, for whoever commits a checkpoint while this lane goes on. Only one may
    /// be under way at a time, and [`Self::landed`] tells its end.
    #[must_use]
    pub const fn lease(&self) -> Lease {
        self.lease
    }

    /// The checkpoint under way is kept: what it wrote need not stay in memory any more.
    pub fn landed(&mut self) {
        self.residents.landed();
    }

    /// Whether a release is known here.
    #[must_use]
    pub fn has_release(&self, id: crate::model::ReleaseId) -> bool {
        self.timeline.release(id).is_some()
    }

    /// Makes a release known before the record that activates it is pushed.
    pub fn learn(&mut self, release: Release) {
        self.timeline.learn(release);
    }

    /// Lets go of states that were not used lately, down to `bytes`; passes keep to it, too.
    pub fn trim(&mut self, bytes: usize) {
        self.cache_bytes = bytes;
        self.cache = self.residents.trim(bytes);
    }

    /// What was in memory after the last [`Self::trim`].
    #[must_use]
    pub const fn cache(&self) -> Cache {
        self.cache
    }

    fn changed_states(&mut self) -> Result<Vec<StateRow>, Error> {
        let unusable = |error: engine::StateError| Error::Unusable(error.to_string());
        let mut rows = Vec::new();
        for id in self.residents.take_changed() {
            let Some(resident) = self.residents.writing(id) else { continue };
            let state = if resident.state.is_blank() {
                None
            } else {
                Some(resident.state.encode().map_err(unusable)?)
            };
            resident.bytes = state.as_ref().map_or(0, Vec::len);
            rows.push(StateRow { customer: id, next_due: resident.indexed, state });
        }
        Ok(rows)
    }

    /// The position with the lowest offset that is not applied.
    fn settled_position(&self) -> Position {
        let waiting = self.pending.values().flatten().map(|arrived| arrived.offset);
        let controls = self.controls.iter().map(|(offset, _, _)| *offset);
        let low = waiting.chain(controls).min().unwrap_or(self.position.end);
        Position { low, ..self.position }
    }

    /// Takes the states out of memory, in the order of their customers. The lane is done then.
    pub fn take_states(&mut self) -> Vec<CustomerState> {
        std::mem::take(&mut self.residents).into_states()
    }

    /// Lets `absent` journeys start nobody whose time had come before an instant.
    pub fn nothing_absent_before(&mut self, at: Timestamp) {
        self.timeline.nothing_absent_before(at);
    }

    /// The engine in force last.
    #[must_use]
    pub fn engine(&self) -> &engine::Engine {
        self.timeline.last()
    }

    /// The states in memory, for summaries of replays; in no particular order.
    pub fn states(&self) -> impl Iterator<Item = &CustomerState> {
        self.residents.states()
    }
}
