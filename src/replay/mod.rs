//! Replay: files and topics through the same engine under a virtual clock. It holds no sender.
//!
//! A thread reads, decodes and identifies; this one runs the lane. Lines come out in the order
//! of their time, once nothing up to their due time and settle can change them any more.

mod against;
mod feed;
mod lines;
mod rows;
mod summary;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use crate::decode::{BeginError, ReadError};
use crate::engine::{Decision, Delivery, Effect, Options as EngineOptions, Trace};
use crate::journey::Catalog;
use crate::kafka::{self, Settings};
use crate::lane::{Lane, Merges, NoStore, Timeline};
use crate::log::Record;
use crate::model::{CustomerId, MessageChannel, MessageId, Timestamp};

pub use against::{Against, AgainstError, Counts, Difference, Differences, Gone};
pub use feed::{DeadLetter, Input, TopicInput};
pub use lines::write_line;
pub use summary::{Funnel, Messages, Summary, grouped, reach};

use feed::{Became, Fed, Feed};
use lines::Held;

/// Rows in one batch from the reading thread, and batches under way.
const BATCH_ROWS: usize = 4_096;
const BATCHES: usize = 8;
/// How many rows are applied between two flushes unless the options say otherwise.
pub const FLUSH_ROWS: usize = 32_768;

/// What to replay, and how.
#[derive(Clone)]
pub struct Options {
    /// The files.
    pub inputs: Vec<Input>,
    /// Topics, after the files.
    pub topics: Option<Topics>,
    /// Until when timers fire; the last event's time without it.
    pub until: Option<Timestamp>,
    /// How far out of order rows may stand, in milliseconds.
    pub grace_ms: i64,
    /// Customers without a known address or consent pass these two checks.
    pub assume_reachable: bool,
    /// Key of the customer ids.
    pub key: [u8; 32],
    /// Rows applied between two flushes, at least 1; it changes no decision.
    pub flush_rows: usize,
}

/// Parts of topics to replay.
#[derive(Clone)]
pub struct Topics {
    /// How to speak to Kafka.
    pub settings: Settings,
    /// The parts, one of each partition.
    pub parts: Vec<TopicInput>,
}

impl Options {
    /// Rows in one batch from the reading thread: no more than one flush applies.
    fn batch_rows(&self) -> usize {
        self.flush_rows.clamp(1, BATCH_ROWS)
    }
}

/// Why a replay could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be begun.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// A file can't be read to its end.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A topic can't be read.
    #[error(transparent)]
    Topic(#[from] kafka::Error),
    /// The lane failed.
    #[error(transparent)]
    Lane(#[from] crate::store::Error),
    /// What [`Watch`] is told can't be written, as it says.
    #[error(transparent)]
    Write(#[from] std::io::Error),
}

/// What a replay tells while it runs. Every method does nothing unless it is written.
pub trait Watch {
    /// A decision stands.
    ///
    /// # Errors
    /// What the output says; the replay ends with it.
    fn decision(&mut self, decision: &Decision) -> std::io::Result<()> {
        let _ = decision;
        Ok(())
    }

    /// Something to remember happened to a customer.
    fn trace(&mut self, customer: CustomerId, trace: &Trace) {
        let _ = (customer, trace);
    }

    /// A row could not become an event. The summary keeps only the first ones.
    ///
    /// # Errors
    /// What the output says; the replay ends with it.
    fn dead_letter(&mut self, dead: &DeadLetter) -> std::io::Result<()> {
        let _ = dead;
        Ok(())
    }

    /// So many rows are read.
    fn progress(&mut self, rows: u64) {
        let _ = rows;
    }
}

/// Replays files and topics.
///
/// # Errors
/// [`Error`] if an input can't be read or the output can't be written.
pub fn replay(
    catalog: Catalog,
    options: &Options,
    watch: &mut dyn Watch,
) -> Result<Summary, Error> {
    let mut feed = Feed::open(options)?;
    let batch_rows = options.batch_rows();
    let (send, receive) = sync_channel::<Result<Vec<Fed>, Error>>(BATCHES);
    thread::scope(|scope| {
        scope.spawn(move || {
            loop {
                let mut batch = Vec::with_capacity(batch_rows);
                let read = feed.read(batch_rows, &mut batch);
                let more = matches!(read, Ok(true));
                // A receiver that is gone has failed and says so itself.
                if send.send(read.map(|_| batch)).is_err() || !more {
                    return;
                }
            }
        });
        run(catalog, options, &receive, watch)
    })
}

/// The applying side of a replay.
fn run(
    catalog: Catalog,
    options: &Options,
    receive: &Receiver<Result<Vec<Fed>, Error>>,
    watch: &mut dyn Watch,
) -> Result<Summary, Error> {
    let settle_ms = catalog.plans().iter().map(|active| active.settle_ms).max().unwrap_or_default();
    let engine =
        EngineOptions { delivery: Delivery::Assumed, assume_reachable: options.assume_reachable };
    let timeline = Timeline::fixed(catalog, engine);
    let mut world = World {
        lane: ready(Lane::take(NoStore, 0, 1, timeline, Merges::Inline))?,
        offset: 0,
        unflushed: 0,
        settle_ms,
        until: options.until,
        grace_ms: options.grace_ms,
        history: false,
        greatest: None,
        held: Held::default(),
        summary: Summary::default(),
    };
    let mut rows = 0;
    for batch in receive {
        let batch = batch?;
        rows += batch.len() as u64;
        for fed in batch {
            world.take(fed, watch)?;
        }
        if world.unflushed >= options.flush_rows {
            world.flush(watch)?;
        }
        watch.progress(rows);
    }
    world.finish(watch)
}

/// Everything a replay moves.
struct World {
    lane: Lane<NoStore>,
    offset: u64,
    unflushed: usize,
    settle_ms: i64,
    until: Option<Timestamp>,
    grace_ms: i64,
    /// Whether there was history.
    history: bool,
    /// The greatest time of an event.
    greatest: Option<Timestamp>,
    held: Held,
    summary: Summary,
}

impl World {
    fn take(&mut self, fed: Fed, watch: &mut dyn Watch) -> Result<(), Error> {
        let (known, time, history, became) = match fed {
            Fed::Dead(dead) => return self.dead_letter(dead, watch),
            Fed::Further(record) => return self.push(record),
            Fed::Event { known, time, history, became } => (known, time, history, became),
        };
        self.unflushed += 1;
        // History has no time; before it nothing is known.
        if let Some(known) = known.filter(|known| *known > Timestamp::MIN) {
            let known = self.until.map_or(known, |until| known.min(until));
            ready(self.lane.advance_to(known))?;
        }
        if matches!(became, Became::Nothing) {
            return Ok(());
        }
        if history {
            self.history = true;
        } else if self.greatest.is_none() && self.history {
            // History starts no run: who was absent before the first event stays as they are.
            self.lane.nothing_absent_before(time.plus_ms(-self.grace_ms));
        }
        if !history {
            self.greatest = self.greatest.max(Some(time));
            let (first, last) = self.summary.period.unwrap_or((time, time));
            self.summary.period = Some((first.min(time), last.max(time)));
        }
        match became {
            Became::Record(record) => self.push(record),
            Became::Nothing => Ok(()),
            Became::Erased => {
                self.summary.dropped += 1;
                Ok(())
            }
            Became::Dead(dead) => self.dead_letter(dead, watch),
        }
    }

    fn push(&mut self, record: Record) -> Result<(), Error> {
        ready(self.lane.push(self.offset, record))?;
        self.offset += 1;
        Ok(())
    }

    fn dead_letter(&mut self, dead: DeadLetter, watch: &mut dyn Watch) -> Result<(), Error> {
        watch.dead_letter(&dead)?;
        self.summary.dead_letter(dead);
        Ok(())
    }

    /// Applies what is known by now and gives the decisions that stand.
    fn flush(&mut self, watch: &mut dyn Watch) -> Result<(), Error> {
        self.unflushed = 0;
        ready(self.lane.flush())?;
        let output = self.lane.take_output();
        self.summary.events += output.applied;
        self.summary.late += output.late;
        let overdue: BTreeMap<MessageId, Timestamp> = output.overdue.into_iter().collect();
        for (customer, effect) in output.effects {
            self.summary.effect(&effect);
            match effect {
                Effect::Trace(trace) => watch.trace(customer, &trace),
                effect => self.held.take(effect, &overdue),
            }
        }
        // At the watermark itself something late may still be decided.
        let before = self.lane.position().watermark.map(|w| w.plus_ms(-self.settle_ms));
        if before.is_some() {
            self.give(before, watch)?;
        }
        Ok(())
    }

    fn give(&mut self, before: Option<Timestamp>, watch: &mut dyn Watch) -> Result<(), Error> {
        for decision in self.held.give(before) {
            self.summary.decision(&decision);
            watch.decision(&decision)?;
        }
        Ok(())
    }

    /// Lets time run to the end and counts.
    fn finish(mut self, watch: &mut dyn Watch) -> Result<Summary, Error> {
        if let Some(end) = self.until.or(self.greatest) {
            ready(self.lane.advance_to(end))?;
        }
        self.flush(watch)?;
        self.give(None, watch)?;
        for state in
            self.lane.states().filter(|state| state.pointer.is_none() && state.erased_at.is_none())
        {
            self.summary.customers += 1;
            self.summary.consent_seen |= !state.consents.is_empty();
            let mailable = self.lane.engine().may_be_contacted(state, MessageChannel::Email);
            self.summary.may_be_mailed += u64::from(mailable);
        }
        Ok(self.summary)
    }
}

/// The value of a future that never waits: memory is all the store there is.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
