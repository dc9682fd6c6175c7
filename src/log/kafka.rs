//! The log in Kafka: a topic of records, and its [`Registry`] in Postgres.
//!
//! A message of the topic is one record; its key is the customer, its partition
//! [`CustomerId::partition`]. Ticks and controls have no key and are in every partition. Offsets
//! have gaps where Kafka keeps marks of transactions.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Mutex;

use crate::kafka::{self, Context, Settings};
use crate::model::{ReleaseId, Timestamp};

use super::{
    Control, DeadLetterFilter, DeadLetters, Error, KeptLetter, ReadLog, Record, Registry,
    ReleaseFiles, decode,
};

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);
/// How many polls in a row may bring nothing though records must be there: a minute.
const IN_VAIN_MAX: u32 = 600;
/// How long a question to Kafka may take.
const CALL: Duration = Duration::from_secs(10);

/// The reading side of a log in Kafka, for `verify` and `why`. It belongs to no group.
#[derive(Clone)]
pub struct KafkaLog {
    registry: Registry,
    settings: Settings,
    topic: String,
    /// Where the last reading ended; the next one mostly begins there.
    cursor: Arc<Mutex<Option<Cursor>>>,
}

/// A consumer in the middle of a partition.
struct Cursor {
    consumer: BaseConsumer<Context>,
    partition: u32,
    next: u64,
    end: u64,
}

/// Turns a message of the log into its record.
///
/// # Errors
/// [`Error::Records`] with the place, if the bytes can't be read.
pub fn record_of(topic: &str, message: &impl Message) -> Result<(u64, Record), Error> {
    let partition = message.partition().cast_unsigned();
    let offset = message.offset().cast_unsigned();
    let mut records = decode(message.payload().unwrap_or_default())
        .map_err(|source| Error::Records { path: topic.to_owned(), partition, offset, source })?;
    match (records.pop(), records.is_empty()) {
        (Some(record), true) => Ok((offset, record)),
        _ => Err(Error::Damaged {
            path: topic.to_owned(),
            what: format!("partition {partition}, offset {offset}: not one record"),
        }),
    }
}

impl KafkaLog {
    /// A log that there is.
    #[must_use]
    pub fn new(registry: Registry, settings: Settings, topic: String) -> Self {
        Self { registry, settings, topic, cursor: Arc::default() }
    }

    /// What it is kept with.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Cursor {
    /// Begins at an offset. The end is that of now.
    fn open(settings: &Settings, topic: &str, partition: u32, from: u64) -> Result<Self, Error> {
        let failed = |error| {
            let at = Some(partition.cast_signed());
            kafka::Error::call("read the log", error).at(topic, at, Some(from.cast_signed()))
        };
        let mut config = settings.reader();
        config.set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer<Context> =
            config.create_with_context(Context::quiet()).map_err(failed)?;
        let at = partition.cast_signed();
        let (first, end) = consumer.fetch_watermarks(topic, at, CALL).map_err(failed)?;
        if from < first.cast_unsigned() {
            return Err(Error::HeadGone {
                topic: topic.to_owned(),
                partition,
                from,
                first: first.cast_unsigned(),
            });
        }
        let mut assignment = TopicPartitionList::new();
        let start = Offset::Offset(from.cast_signed());
        assignment.add_partition_offset(topic, at, start).map_err(failed)?;
        consumer.assign(&assignment).map_err(failed)?;
        Ok(Self { consumer, partition, next: from, end: end.cast_unsigned() })
    }

    fn read(&mut self, topic: &str, records_min: usize) -> Result<Vec<(u64, Record)>, Error> {
        let mut records = Vec::new();
        let mut in_vain = 0;
        while records.len() < records_min.max(1) && self.next < self.end {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    in_vain = 0;
                    records.push(record_of(topic, &message)?);
                    self.next = message.offset().cast_unsigned() + 1;
                }
                // What is left up to the end are marks of transactions.
                Some(Err(KafkaError::PartitionEOF(_))) => self.next = self.end,
                Some(Err(error)) => {
                    let error = kafka::Error::call("read the log", error);
                    in_vain += 1;
                    if !error.is_transient() || in_vain > IN_VAIN_MAX {
                        return Err(error
                            .at(topic, Some(self.partition.cast_signed()), None)
                            .into());
                    }
                }
                None if in_vain > IN_VAIN_MAX => {
                    let silent = KafkaError::MessageConsumption(
                        rdkafka::error::RDKafkaErrorCode::OperationTimedOut,
                    );
                    return Err(kafka::Error::call("read the log", silent)
                        .at(topic, Some(self.partition.cast_signed()), None)
                        .into());
                }
                None => in_vain += 1,
            }
        }
        Ok(records)
    }
}

impl ReadLog for KafkaLog {
    fn partitions(&self) -> u32 {
        self.registry.partitions()
    }

    async fn read(
        &self,
        partition: u32,
        from: u64,
        records_min: usize,
    ) -> Result<Vec<(u64, Record)>, Error> {
        let mut cursor = self.cursor.lock().await;
        let known = cursor.take().filter(|at| at.partition == partition && at.next <= from);
        let (settings, topic) = (self.settings.clone(), self.topic.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut at = match known {
                Some(known) => known,
                None => Cursor::open(&settings, &topic, partition, from)?,
            };
            let mut records = at.read(&topic, records_min)?;
            records.retain(|(offset, _)| *offset >= from);
            Ok::<_, Error>((at, records))
        });
        let (at, records) = read.await.map_err(|_| Error::Interrupted)??;
        *cursor = Some(at);
        Ok(records)
    }

    async fn controls(&self) -> Result<Vec<Control>, Error> {
        self.registry.controls().await
    }

    async fn release(&self, id: ReleaseId) -> Result<Option<ReleaseFiles>, Error> {
        self.registry.release(id).await
    }

    async fn identity_key(&self) -> Result<[u8; 32], Error> {
        Ok(self.registry.identity_key())
    }

    async fn graph(&self, keys: &[u128]) -> Result<Vec<(u128, Vec<u8>)>, Error> {
        self.registry.graph(keys).await
    }

    async fn sources(&self) -> Result<Vec<(u16, String)>, Error> {
        self.registry.sources().await
    }
}

impl DeadLetters for KafkaLog {
    async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<KeptLetter>, Error> {
        self.registry.dead_letters(filter).await
    }

    async fn retried(&self, ids: &[i64], now: Timestamp) -> Result<(), Error> {
        self.registry.retried(ids, now).await
    }
}
