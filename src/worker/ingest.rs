//! The only writer of the log: records, ticks, and what lanes leave in the outbox.
//!
//! Submissions that wait are written in one transaction, and answered once it is durable. A tick
//! is a true statement: it is read from the clock before the oldest submission under way, and
//! written by the same task that writes the records.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tracing::Instrument as _;

use crate::engine::CustomerState;
use crate::identity::{Identify, Rejected};
use crate::log::{Append, DeadLetter, InputPosition, Log, Record};
use crate::metrics::{Metrics, SPANS};
use crate::model::{CustomerId, Event, EventName, Timestamp};
use crate::store::{self, Ledger, Outgoing, SqliteStore, Store};

use super::inlet::{Accepted, Refused, Source};
use super::ready::Pulse;
use super::{Clock, Error, Options};

/// Submissions that may wait before the doors are held back.
const QUEUE: usize = 256;
/// The most events of one transaction, if more wait.
const EVENTS_MAX: usize = 20_000;
/// The most records taken from the outbox at one time.
const OUTBOX_MAX: u32 = 10_000;

/// The most rows of the identity graph kept in memory.
const GRAPH_ROWS_MAX: usize = 1_000_000;

/// The way in for doors. Cheap to clone; ingest ends when the last one is gone.
#[derive(Clone)]
pub struct Intake {
    queue: mpsc::Sender<Submission>,
    under_way: Arc<UnderWay>,
    metrics: Arc<Metrics>,
}

/// Append times of submissions that are not in the log yet.
struct UnderWay {
    clock: Arc<dyn Clock>,
    times: Mutex<BTreeMap<Timestamp, u32>>,
    /// Submissions so far, to tell those of one instant apart.
    count: AtomicU64,
}

/// Records of one request, decoded.
struct Submission {
    events: Vec<Placed>,
    dead: Vec<DeadLetter>,
    answer: oneshot::Sender<Result<Accepted, Refused>>,
    _taken: Taken,
}

/// An event with its place in a submission.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The record's place, from 0.
    pub index: usize,
    /// The line it starts on, from 1.
    pub line: u64,
    /// The event.
    pub event: Event,
}

/// An append time that was given out; time is not known beyond it while this exists.
pub struct Taken {
    /// The append time of everything in the submission.
    pub at: Timestamp,
    /// Its number in this process; with `at` it names the submission.
    pub number: u64,
    under_way: Arc<UnderWay>,
}

/// The way in, and its other end.
pub(super) fn intake(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> (Intake, Queue) {
    let (queue, submissions) = mpsc::channel(QUEUE);
    let under_way = Arc::new(UnderWay { clock, times: Mutex::default(), count: AtomicU64::new(0) });
    (Intake { queue, under_way: Arc::clone(&under_way), metrics }, Queue { submissions, under_way })
}

/// What the doors hand in.
pub(super) struct Queue {
    submissions: mpsc::Receiver<Submission>,
    under_way: Arc<UnderWay>,
}

impl Intake {
    pub(super) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Takes an append time for records that are about to be decoded.
    #[must_use]
    pub fn take_in(&self) -> Taken {
        Taken {
            at: self.under_way.begin(),
            number: self.under_way.count.fetch_add(1, Ordering::Relaxed),
            under_way: Arc::clone(&self.under_way),
        }
    }

    /// Hands in decoded events and dead letters; returns
    /// once they are in the log for good.
    ///
    /// # Errors
    /// [`Refused`] if nothing was kept.
    pub async fn submit(
        &self,
        taken: Taken,
        events: Vec<Placed>,
        dead: Vec<DeadLetter>,
    ) -> Result<Accepted, Refused> {
        let (answer, answered) = oneshot::channel();
        let submission = Submission { events, dead, answer, _taken: taken };
        self.queue.send(submission).await.map_err(|_| Refused::Stopping)?;
        answered.await.map_err(|_| Refused::Stopping)?
    }
}

impl UnderWay {
    fn begin(&self) -> Timestamp {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that no tick is taken between the reading and the entry.
        let now = self.clock.now();
        *times.entry(now).or_default() += 1;
        now
    }

    fn end(&self, at: Timestamp) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = times.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                times.remove(&at);
            }
        }
    }

    /// Up to when every submission is in the log: now, or just before the oldest under way.
    fn known(&self) -> Timestamp {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        times.first_key_value().map_or(now, |(oldest, _)| oldest.plus_ms(-1).min(now))
    }
}

impl Taken {
    /// Where its records stand, for ids of records that have none and for dead letters.
    #[must_use]
    pub fn position(&self, door: &str) -> String {
        format!("{door}@{}#{}", self.at, self.number)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.under_way.end(self.at);
    }
}

/// The task that writes the log.
pub(super) struct Ingest {
    log: Log,
    identify: Identify,
    store: Arc<SqliteStore>,
    clock: Arc<dyn Clock>,
    tick: Duration,
    grace_ms: i64,
    pulse: Pulse,
    /// Numbers of the sources, as configured, each with the offset of its next event.
    sources: Vec<(u16, u64)>,
}

impl Ingest {
    pub(super) async fn open<C: Clock>(
        mut log: Log,
        identify: Identify,
        store: Arc<SqliteStore>,
        clock: Arc<C>,
        options: &Options,
        pulse: Pulse,
    ) -> Result<Self, Error> {
        let positions = log.reader().positions().await?;
        let mut sources = Vec::with_capacity(options.sources.len());
        for (name, _) in &options.sources {
            let number = log.source(name).await?;
            let known = positions.iter().find(|position| position.source == number);
            sources.push((number, known.map_or(0, |position| position.next)));
        }
        Ok(Self {
            log,
            identify,
            store,
            clock,
            tick: Duration::from_millis(options.tick_ms.max(1)),
            grace_ms: options.grace_ms.max(1),
            pulse,
            sources,
        })
    }

    /// The sources with their numbers and decoders.
    pub(super) fn sources(&self, options: &Options) -> Arc<[Source]> {
        self.sources
            .iter()
            .zip(&options.sources)
            .map(|((number, _), (name, decoder))| Source {
                number: *number,
                name: name.clone(),
                decoder: decoder.clone(),
            })
            .collect()
    }

    /// Writes until the doors are `closed` and everything they handed in is in the log, which it
    /// gives back.
    pub(super) async fn run(
        mut self,
        mut queue: Queue,
        mut outbox: watch::Receiver<u64>,
        mut closed: watch::Receiver<bool>,
    ) -> Result<Log, Error> {
        let mut ticks = tokio::time::interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.relay().await?;
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => {
                    // Commands beside the worker leave something in the outbox, too.
                    self.relay().await?;
                    let known = queue.under_way.known();
                    self.write_tick(known).await?;
                }
                Ok(()) = outbox.changed() => self.relay().await?,
                // A door may be left with someone in it who says no more: it is not waited for.
                Ok(()) = closed.changed() => {
                    queue.submissions.close();
                }
                first = queue.submissions.recv() => match first {
                    Some(first) => {
                        let span = tracing::info_span!(target: SPANS, "ingest batch");
                        self.take(first, &mut queue).instrument(span).await?;
                    }
                    None => {
                        self.relay().await?;
                        let known = queue.under_way.known();
                        self.write_tick(known).await?;
                        return Ok(self.log);
                    }
                },
            }
        }
    }

    /// Takes the next offset of a source.
    fn next_offset(&mut self, source: u16) -> u64 {
        match self.sources.iter_mut().find(|(number, _)| *number == source) {
            Some((_, next)) => {
                *next += 1;
                *next - 1
            }
            None => 0,
        }
    }

    /// The names under which the store knows a customer.
    async fn addresses(&self, customer: CustomerId) -> Result<Vec<String>, Error> {
        let partition = customer.partition(self.log.partitions());
        let Some(bytes) = self.store.ledger().state(partition, customer).await? else {
            return Ok(Vec::new());
        };
        let state = CustomerState::decode(&bytes).map_err(|error| {
            store::Error::Unusable(format!("the stored state of customer {customer}: {error}"))
        })?;
        let names = [state.source_id, state.email, state.phone];
        Ok(names.into_iter().flatten().map(|name| name.to_string()).collect())
    }

    async fn write_tick(&mut self, known: Timestamp) -> Result<(), Error> {
        let append = Append {
            at: known,
            records: vec![Record::Tick(known.plus_ms(-self.grace_ms))],
            ..Append::default()
        };
        self.log.append(append).await?;
        self.pulse.beat(self.clock.now());
        Ok(())
    }

    /// Takes what lanes left in the outbox; later, while another program has locked the store:
    /// whoever posts events must not wait for that.
    async fn relay(&mut self) -> Result<(), Error> {
        while !self.store.is_held_up() {
            let rows = self.store.outbox_pending(OUTBOX_MAX).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let ids: Vec<u128> = rows.iter().map(|row| row.id).collect();
            let relayed = rows.into_iter().map(|row| (row.id, row.record)).collect();
            let at = self.clock.now();
            self.log.append(Append { at, relayed, ..Append::default() }).await?;
            match self.store.outbox_done(&ids).await {
                // They are relayed once more, and the log leaves out what it has.
                Err(error) if error.is_busy() => return Ok(()),
                done => done?,
            }
        }
        Ok(())
    }

    /// Writes a submission, and those that wait behind it.
    async fn take(&mut self, first: Submission, queue: &mut Queue) -> Result<(), Error> {
        let mut submissions = vec![first];
        let mut events = submissions[0].events.len();
        while events < EVENTS_MAX {
            let Ok(next) = queue.submissions.try_recv() else { break };
            events += next.events.len();
            submissions.push(next);
        }
        let mut append = Append { at: self.clock.now(), ..Append::default() };
        let mut answers = Vec::with_capacity(submissions.len());
        let of_all = submissions.iter().flat_map(|submission| &submission.events);
        let reader = self.log.reader();
        self.identify.prefetch(&reader, of_all.map(|placed| &placed.event)).await?;
        for submission in submissions {
            let mut accepted = Accepted::default();
            append.dead_letters.extend(submission.dead);
            for Placed { index, line, mut event } in submission.events {
                let source = event.tie.source;
                event.tie.offset = self.next_offset(source);
                let deletes = event.name == EventName::CustomerDeleted;
                if deletes {
                    append.erase.extend(event.identities.iter().map(|i| i.value.to_string()));
                }
                match self.identify.identify(event, &mut append.records) {
                    Ok(customer) => {
                        accepted.events += 1;
                        if deletes {
                            append.erase.extend(self.addresses(customer).await?);
                        }
                    }
                    Err(rejected @ Rejected::Erased) => {
                        tracing::info!(reason = %rejected, "event dropped");
                        accepted.events += 1;
                    }
                    Err(rejected) => {
                        let reason = rejected.to_string();
                        append.dead_letters.push(DeadLetter {
                            source,
                            partition: 0,
                            position: line,
                            reason: reason.clone(),
                            payload: rejected.event().and_then(|e| serde_json::to_vec(e).ok()),
                            whole: false,
                            at: append.at,
                        });
                        accepted.rejected.push((index, reason));
                    }
                }
            }
            answers.push((submission.answer, accepted, submission._taken));
        }
        append.graph = self.identify.take_changes();
        append.positions = self
            .sources
            .iter()
            .map(|&(source, next)| InputPosition { source, partition: 0, next })
            .collect();
        let written = self.log.append(append).await;
        match written {
            Ok(_) => {
                self.identify.trim(GRAPH_ROWS_MAX);
                for (answer, accepted, _taken) in answers {
                    // The one who asked may be gone; the events are in the log all the same.
                    let _ = answer.send(Ok(accepted));
                }
                Ok(())
            }
            Err(error) => {
                let told = error.to_string();
                for (answer, _, _taken) in answers {
                    let _ = answer.send(Err(Refused::Log(told.clone())));
                }
                // The graph in memory is ahead of the file now: only a fresh start is safe.
                Err(error.into())
            }
        }
    }
}
