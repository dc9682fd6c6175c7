//! Metrics: what the worker counts and measures, as Prometheus reads it.
//!
//! Everything here is an atomic number that the parts of a worker move as they go on; nobody waits
//! for it. Where a number has labels, it is looked up once for a batch, a checkpoint or a message,
//! never once for a record. What lies in the store is [sampled](Metrics::sample) now and then.

mod checkpoint;
mod labels;
mod names;
mod sample;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::lane::{Cache, Lane};
use crate::model::{MessageChannel, Timestamp};
use crate::store::{DeliveryStatus, Store};

use labels::{
    Decided, Delivered, InputPartition, OfChannel, OfJourney, OfPartition, OfSource, OfTable,
};
use names::Names;

pub use checkpoint::Measured;
pub use names::Described;
pub use sample::EVERY;

/// The target of spans that become traces. No log asks for it, so that they cost nothing unless
/// traces are sent.
pub const SPANS: &str = "spans";

/// Reads the clock.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Seconds, as a number with a fraction.
type Seconds = Gauge<f64, AtomicU64>;

/// What a worker counts and measures.
pub struct Metrics {
    registry: Registry,
    described: Vec<Described>,
    /// Held while several numbers change together, or all are read.
    moment: Mutex<()>,
    now: Now,
    lanes: Mutex<BTreeMap<u32, Standing>>,
    /// When the oldest message that has not been sent could have gone.
    due_since: Mutex<Option<Timestamp>>,
    /// Where Postgres counts what was tried again.
    retried: OnceLock<Arc<AtomicU64>>,
    taken_in: Family<OfSource, Counter>,
    dead_letters: Family<OfSource, Counter>,
    ingest_lag_records: Family<InputPartition, Gauge>,
    ingest_lag_seconds: Family<InputPartition, Seconds>,
    held_back: Family<OfSource, Seconds>,
    aborted: Counter,
    watermark_age: Family<OfPartition, Seconds>,
    lanes_held: Gauge,
    applied: Counter,
    late: Counter,
    states: Gauge,
    cache_bytes: Gauge,
    checkpoint_seconds: Histogram,
    checkpoint_states: Histogram,
    checkpoint_messages: Histogram,
    checkpoints_under_way: Gauge,
    decided: Family<Decided, Counter>,
    overtaken: Family<OfJourney, Counter>,
    deliveries: Family<Delivered, Counter>,
    tries_again: Family<OfChannel, Counter>,
    handovers: Gauge,
    waiting: Gauge,
    in_doubt: Gauge,
    due_age: Seconds,
    outbox: Gauge,
    postgres_retries: Counter,
    removed: Family<OfTable, Counter>,
}

/// Rows that are removed once they were kept long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Messages that are over.
    Messages,
    /// Entries of the trace.
    Trace,
    /// Dead letters.
    DeadLetters,
}

impl Rows {
    /// The name of their table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Trace => "trace",
            Self::DeadLetters => "dead_letters",
        }
    }
}

/// How far a lane of this process is.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    watermark: Option<Timestamp>,
    cache: Cache,
}

/// Where ingest stands in a partition of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Records that were not taken in.
    pub records: u64,
    /// When the broker got the oldest of them, if there is one.
    pub oldest: Option<Timestamp>,
}

impl Metrics {
    /// Nothing counted yet; ages are up to `now`.
    #[must_use]
    pub fn new(now: Now) -> Self {
        let checkpoint_seconds = Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let mut metrics = Self {
            registry: Registry::default(),
            described: Vec::new(),
            moment: Mutex::default(),
            now,
            lanes: Mutex::default(),
            due_since: Mutex::default(),
            retried: OnceLock::new(),
            taken_in: Family::default(),
            dead_letters: Family::default(),
            ingest_lag_records: Family::default(),
            ingest_lag_seconds: Family::default(),
            held_back: Family::default(),
            aborted: Counter::default(),
            watermark_age: Family::default(),
            lanes_held: Gauge::default(),
            applied: Counter::default(),
            late: Counter::default(),
            states: Gauge::default(),
            cache_bytes: Gauge::default(),
            checkpoint_seconds,
            checkpoint_states: Histogram::new(exponential_buckets(1.0, 4.0, 9)),
            checkpoint_messages: Histogram::new(exponential_buckets(1.0, 4.0, 9)),
            checkpoints_under_way: Gauge::default(),
            decided: Family::default(),
            overtaken: Family::default(),
            deliveries: Family::default(),
            tries_again: Family::default(),
            handovers: Gauge::default(),
            waiting: Gauge::default(),
            in_doubt: Gauge::default(),
            due_age: Seconds::default(),
            outbox: Gauge::default(),
            postgres_retries: Counter::default(),
            removed: Family::default(),
        };
        let Names { registry, all } = Names::of(&metrics);
        metrics.registry = registry;
        metrics.described = all;
        metrics
    }

    /// Every metric, as it is exposed.
    #[must_use]
    pub fn described(&self) -> &[Described] {
        &self.described
    }

    /// Everything, in the text format of Prometheus.
    #[must_use]
    pub fn text(&self) -> String {
        let _moment = self.moment.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh();
        let mut text = String::new();
        // Writing to memory can't fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }

    /// Puts right what depends on the moment.
    fn refresh(&self) {
        let now = (self.now)();
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.lanes_held.set(signed(lanes.len()));
        self.states.set(signed(lanes.values().map(|lane| lane.cache.states).sum()));
        self.cache_bytes.set(signed(lanes.values().map(|lane| lane.cache.bytes).sum()));
        self.watermark_age.clear();
        for (partition, lane) in lanes {
            if let Some(watermark) = lane.watermark {
                let age = self.watermark_age.get_or_create_owned(&OfPartition { partition });
                age.set(seconds(now, watermark));
            }
        }
        let due = *self.due_since.lock().unwrap_or_else(PoisonError::into_inner);
        self.due_age.set(due.map_or(0.0, |due| seconds(now, due)));
        if let Some(retried) = self.retried.get() {
            let count = retried.load(Ordering::Relaxed);
            self.postgres_retries.inner().store(count, Ordering::Relaxed);
        }
    }

    /// Counts records of a source: raw ones that were taken in, and those that became dead letters.
    pub fn taken_in(&self, source: &str, records: u64, dead_letters: u64) {
        let of = OfSource { source: source.to_owned() };
        self.taken_in.get_or_create_owned(&of).inc_by(records);
        self.dead_letters.get_or_create_owned(&of).inc_by(dead_letters);
    }

    /// A transaction of ingest was given up.
    pub fn aborted(&self) {
        self.aborted.inc();
    }

    /// Where Postgres counts what is tried again.
    pub fn postgres_retries(&self, retried: Arc<AtomicU64>) {
        // Of several the first counts; a worker has one database.
        let _ = self.retried.set(retried);
    }

    /// Rows were removed that had been kept long enough.
    pub fn removed(&self, rows: Rows, count: u64) {
        self.removed.get_or_create_owned(&OfTable { table: rows.as_str() }).inc_by(count);
    }

    /// How far ingest is behind in each partition of the inputs, by source and partition; `None` if
    /// that is not known now. The sources with `true` are those that time waits for.
    pub fn lags(&self, lags: Option<&BTreeMap<(String, i32), Lag>>, waits: impl Fn(&str) -> bool) {
        let _moment = self.moment.lock().unwrap_or_else(PoisonError::into_inner);
        self.ingest_lag_records.clear();
        self.ingest_lag_seconds.clear();
        self.held_back.clear();
        let now = (self.now)();
        for ((source, partition), lag) in lags.into_iter().flatten() {
            let of = InputPartition { source: source.clone(), partition: *partition };
            let age = lag.oldest.map_or(0.0, |oldest| seconds(now, oldest));
            let records = i64::try_from(lag.records).unwrap_or(i64::MAX);
            self.ingest_lag_records.get_or_create_owned(&of).set(records);
            self.ingest_lag_seconds.get_or_create_owned(&of).set(age);
            if waits(source) {
                let of = OfSource { source: source.clone() };
                let held = self.held_back.get_or_create_owned(&of);
                held.set(held.get().max(age));
            }
        }
    }

    /// A lane has come this far.
    pub fn lane_stands<S: Store>(&self, lane: &Lane<S>) {
        let standing = Standing { watermark: lane.position().watermark, cache: lane.cache() };
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.insert(lane.lease().partition, standing);
    }

    /// A lane is another's now.
    pub fn lane_gone(&self, partition: u32) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }

    /// A message ended.
    pub fn delivered(&self, channel: MessageChannel, status: DeliveryStatus) {
        let of = Delivered { channel: channel.as_str(), status: status.as_str() };
        self.deliveries.get_or_create_owned(&of).inc();
    }

    /// A try to hand a message over failed for now.
    pub fn tried_again(&self, channel: MessageChannel) {
        self.tries_again.get_or_create_owned(&OfChannel { channel: channel.as_str() }).inc();
    }

    /// A message is being handed over for as long as what is returned lives.
    #[must_use]
    pub fn handing_over(&self) -> UnderWay {
        UnderWay::new(&self.handovers)
    }

    /// What is not finished yet, for whoever stops: such as `2 checkpoints`.
    #[must_use]
    pub fn under_way(&self) -> Vec<String> {
        let count = |gauge: &Gauge, one: &str, many: &str| match gauge.get() {
            ..=0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {many}")),
        };
        let checkpoints = count(&self.checkpoints_under_way, "checkpoint", "checkpoints");
        let handovers = count(
            &self.handovers,
            "message that is being handed over",
            "messages that are being handed over",
        );
        [checkpoints, handovers].into_iter().flatten().collect()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Something that is under way as long as this lives.
pub struct UnderWay {
    gauge: Gauge,
}

impl UnderWay {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self { gauge: gauge.clone() }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// How long ago something was, not less than 0.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; nobody decides by it")]
fn seconds(now: Timestamp, then: Timestamp) -> f64 {
    now.since_ms(then).max(0) as f64 / 1_000.0
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
