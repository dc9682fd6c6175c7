//! Ticks: how far time is known, from the clock and from how far ingest has come.
//!
//! The clock is read first, then the ends of all inputs, then what ingest has committed. An input
//! whose end is reached is known up to the clock; one that is not, up to the record at which ingest
//! stands. The least of them, less the grace, goes into every partition of the log. No progress of
//! ingest means no ticks, and so no messages.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::kafka::{self, Cluster, Context, Partition};
use crate::log::{Record, Registry, encode};
use crate::model::Timestamp;
use crate::worker::Clock;

use super::ingest::GROUP;
use super::{Error, Pause};

/// How often old ids are forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// The ticker of one worker. Any worker may tick; the registry lets one do so at a time.
pub(super) struct Ticker {
    pub registry: Registry,
    pub cluster: Cluster,
    pub producer: FutureProducer<Context>,
    pub clock: Arc<dyn Clock>,
    pub log_topic: String,
    /// The topics that time waits for.
    pub topics: Vec<String>,
    pub every: Duration,
    pub grace_ms: i64,
}

impl Ticker {
    /// Ticks until `stop` becomes true.
    ///
    /// # Errors
    /// [`Error`] for what will not get better by itself.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
        let mut pause = Pause::default();
        let mut forgot: Option<Instant> = None;
        while !*stop.borrow() {
            let wait = match self.tick(&mut forgot).await {
                Ok(()) => {
                    pause.reset();
                    // Several workers look in turn, so that one that is gone is not missed.
                    self.every / 2
                }
                Err(error) if error.is_transient() => {
                    pause.tell("time stands still", &error);
                    pause.next()
                }
                Err(error) => return Err(error),
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        Ok(())
    }

    async fn tick(&self, forgot: &mut Option<Instant>) -> Result<(), Error> {
        let every = i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX);
        // Before anything is asked: what comes later than this is not counted on.
        let now = self.clock.now();
        if !self.registry.tick_is_due(now, every).await? {
            return Ok(());
        }
        if forgot.is_none_or(|since| since.elapsed() > FORGET) {
            self.registry.forget_received(now).await?;
            *forgot = Some(Instant::now());
        }
        // Each time: a partition that is new may hold records from before now.
        let partitions = self.cluster.partitions(&self.topics).await?;
        let until = self.known_until(now, &partitions).await?.plus_ms(-self.grace_ms);
        let Some(ticking) = self.registry.begin_tick(until, now).await? else {
            return Ok(());
        };
        let mut records = Vec::new();
        for control in &ticking.controls {
            records.push(Record::Control(Box::new(*control)));
        }
        records.push(Record::Tick(ticking.watermark));
        self.write(&records).await?;
        tracing::debug!(watermark = %ticking.watermark, behind_ms = now.since_ms(until), "tick");
        if !ticking.controls.is_empty() {
            self.registry.controls_written(&ticking.controls).await?;
        }
        Ok(())
    }

    /// Up to when all inputs are in the log.
    async fn known_until(
        &self,
        now: Timestamp,
        partitions: &[Partition],
    ) -> Result<Timestamp, Error> {
        let behind = self.cluster.behind(GROUP, partitions).await?;
        // Where nothing stands between there are only marks of transactions.
        let oldest = behind.values().filter_map(|behind| behind.first).map(|first| first.at).min();
        Ok(oldest.map_or(now, |oldest| oldest.min(now)))
    }

    /// Writes records into every partition of the log, in this order.
    async fn write(&self, records: &[Record]) -> Result<(), Error> {
        let failed =
            |error| kafka::Error::call("write a tick", error).at(&self.log_topic, None, None);
        let mut sent = Vec::new();
        for record in records {
            let bytes = encode(std::slice::from_ref(record))
                .map_err(|error| crate::store::Error::Unusable(error.to_string()))?;
            for partition in 0..self.registry.partitions() {
                let message: FutureRecord<'_, (), [u8]> = FutureRecord::to(&self.log_topic)
                    .partition(partition.cast_signed())
                    .payload(&bytes[..]);
                let queued = self.producer.send_result(message);
                sent.push(queued.map_err(|(error, _)| failed(error))?);
            }
        }
        for sent in sent {
            let ended = sent.await.map_err(|_| Error::Task("the producer"))?;
            ended.map_err(|(error, _)| failed(error))?;
        }
        Ok(())
    }
}
