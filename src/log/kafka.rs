//! The log in Kafka: a topic of records, and its [`Registry`] in Postgres.
//!
//! A message of the topic is one record; its key is the customer, its partition
//! [`CustomerId::partition`]. Ticks and controls have no key and are in every partition. Offsets
//! have gaps where Kafka keeps marks of transactions.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::kafka::{Cluster, Partition, Reading, Stretch};
use crate::model::{ReleaseId, Timestamp};

use super::{
    Control, DeadLetterFilter, DeadLetters, Error, KeptLetter, ReadLog, Record, Registry,
    ReleaseFiles, decode,
};

/// The reading side of a log in Kafka, for `verify` and `why`. It belongs to no group.
#[derive(Clone)]
pub struct KafkaLog {
    registry: Registry,
    cluster: Cluster,
    topic: String,
    /// Where the last reading ended; the next one mostly begins there.
    cursor: Arc<Mutex<Option<Cursor>>>,
}

/// A reading in the middle of a partition.
struct Cursor {
    partition: u32,
    reading: Reading,
    next: u64,
}

/// Turns a message of the log into its record.
///
/// # Errors
/// [`Error::Records`] with the place, if the bytes can't be read.
pub fn record_of(
    topic: &str,
    partition: u32,
    offset: u64,
    payload: Option<&[u8]>,
) -> Result<(u64, Record), Error> {
    let mut records = decode(payload.unwrap_or_default()).map_err(|source| Error::Records {
        path: topic.to_owned(),
        partition,
        offset,
        source,
    })?;
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
    pub fn new(registry: Registry, cluster: Cluster, topic: String) -> Self {
        Self { registry, cluster, topic, cursor: Arc::default() }
    }

    /// What it is kept with.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The first offset that is there at or after this one, where nothing before is missed: only
    /// the very beginning of the log may be gone.
    ///
    /// # Errors
    /// [`Error::HeadGone`] if records from `from` on are gone, or Kafka can't be asked.
    pub async fn begins(&self, partition: u32, from: u64) -> Result<u64, Error> {
        match self.first(partition).await? {
            first if from > 0 && from < first => {
                let topic = self.topic.clone();
                Err(Error::HeadGone { topic, partition, from, first })
            }
            first => Ok(from.max(first)),
        }
    }

    async fn first(&self, partition: u32) -> Result<u64, Error> {
        let place = Partition { topic: self.topic.clone(), number: partition.cast_signed() };
        let firsts = self.cluster.firsts(std::slice::from_ref(&place)).await?;
        Ok(firsts.get(&place).map_or(0, |first| first.cast_unsigned()))
    }

    /// Begins at an offset. The end is that of now.
    async fn open(&self, partition: u32, from: u64) -> Result<Cursor, Error> {
        let first = self.first(partition).await?;
        if from < first {
            let topic = self.topic.clone();
            return Err(Error::HeadGone { topic, partition, from, first });
        }
        let place = Partition { topic: self.topic.clone(), number: partition.cast_signed() };
        let asked = std::slice::from_ref(&place);
        let end = self.cluster.ends(asked).await?.get(&place).copied().unwrap_or(0);
        let stretch = Stretch { partition: place, from: from.cast_signed(), end };
        let reading = self.cluster.read(stretch)?;
        Ok(Cursor { partition, reading, next: from })
    }
}

impl Cursor {
    fn read(&mut self, topic: &str, records_min: usize) -> Result<Vec<(u64, Record)>, Error> {
        let mut records = Vec::new();
        while records.len() < records_min.max(1) {
            let Some(fetched) = self.reading.read()? else { break };
            let offset = fetched.offset.cast_unsigned();
            records.push(record_of(topic, self.partition, offset, fetched.payload.as_deref())?);
            self.next = offset + 1;
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
        let mut at = match known {
            Some(known) => known,
            None => self.open(partition, from).await?,
        };
        let topic = self.topic.clone();
        let read = tokio::task::spawn_blocking(move || {
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

    async fn remove_letters(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        self.registry.remove_letters(before, limit).await
    }

    async fn retried(&self, ids: &[i64], now: Timestamp) -> Result<(), Error> {
        self.registry.retried(ids, now).await
    }
}
