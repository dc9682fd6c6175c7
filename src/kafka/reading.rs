//! Reading topics from here to there: committed records only, in no group, with an end that is
//! known before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Headers as _, Message};
use rdkafka::{Offset, TopicPartitionList};

use crate::model::Timestamp;

use super::{Cluster, Context, Error, Partition, Settings};

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);
/// How many polls in a row may bring nothing though records must be there: a minute.
const IN_VAIN_MAX: u32 = 600;
/// How much of each partition is fetched ahead, in kilobytes.
const AHEAD_KBYTES: &str = "1024";

/// Where reading begins, or ends before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The record with this offset, in each partition.
    Offset(i64),
    /// The first record with this timestamp or a later one.
    Time(Timestamp),
}

/// A part of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Of which partition.
    pub partition: Partition,
    /// Where it begins.
    pub from: i64,
    /// The first offset after it.
    pub end: i64,
}

/// A record of a topic, whatever it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp.
    pub at: Option<Timestamp>,
    /// The timestamp is of the server, which took it then (`LogAppendTime`).
    pub by_server: bool,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// What it says.
    pub payload: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Fetched {
    /// The headers as names and values.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    pub(super) fn of(message: &impl Message) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let time = message.timestamp();
        Self {
            offset: message.offset(),
            at: time.to_millis().map(Timestamp::from_ms),
            by_server: matches!(time, rdkafka::Timestamp::LogAppendTime(_)),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers: headers
                .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
                .collect(),
        }
    }
}

impl Cluster {
    /// What there is of topics between two bounds, up to where they end now. What is gone already
    /// is left out.
    ///
    /// # Errors
    /// [`Error::Call`], also if a topic does not exist.
    pub async fn stretches(
        &self,
        topics: &[String],
        from: Option<Bound>,
        to: Option<Bound>,
    ) -> Result<Vec<Stretch>, Error> {
        let partitions = self.partitions(topics).await?;
        let ends = self.ends(&partitions).await?;
        let firsts = self.firsts(&partitions).await?;
        let from = self.places(&partitions, from).await?;
        let to = self.places(&partitions, to).await?;
        let stretch = |partition: Partition| {
            let known = |places: &BTreeMap<Partition, i64>| places.get(&partition).copied();
            let (first, end) = (known(&firsts).unwrap_or(0), known(&ends).unwrap_or(0));
            let end = to.as_ref().and_then(known).unwrap_or(end).min(end);
            // None at or after a time is the end.
            let from = from.as_ref().map_or(first, |from| known(from).unwrap_or(end));
            Stretch { from: from.max(first).min(end), end, partition }
        };
        Ok(partitions.into_iter().map(stretch).collect())
    }

    /// Where a bound is in each partition; nowhere where no record is so late.
    async fn places(
        &self,
        partitions: &[Partition],
        bound: Option<Bound>,
    ) -> Result<Option<BTreeMap<Partition, i64>>, Error> {
        Ok(match bound {
            None => None,
            Some(Bound::Offset(offset)) => {
                Some(partitions.iter().map(|partition| (partition.clone(), offset)).collect())
            }
            Some(Bound::Time(time)) => Some(self.first_since(partitions, time).await?),
        })
    }
}

/// One stretch that is being read.
pub struct Reading {
    consumer: Arc<BaseConsumer<Context>>,
    queue: PartitionQueue<Context>,
    stretch: Stretch,
    next: i64,
}

impl Cluster {
    /// Begins to read one stretch.
    ///
    /// # Errors
    /// [`Error::Call`] if there can't be a client.
    pub fn read(&self, stretch: Stretch) -> Result<Reading, Error> {
        let consumer = client(&self.settings, std::slice::from_ref(&stretch))?;
        Reading::over(&consumer, stretch)
    }
}

impl Reading {
    /// Begins to read stretches, each for itself, over one client.
    ///
    /// # Errors
    /// [`Error::Call`] if there can't be a client.
    pub fn open(settings: &Settings, stretches: Vec<Stretch>) -> Result<Vec<Self>, Error> {
        let consumer = client(settings, &stretches)?;
        stretches.into_iter().map(|stretch| Self::over(&consumer, stretch)).collect()
    }

    fn over(consumer: &Arc<BaseConsumer<Context>>, stretch: Stretch) -> Result<Self, Error> {
        let Partition { topic, number } = &stretch.partition;
        let unknown = KafkaError::Subscription(format!("no partition {number} of {topic}"));
        let queue = consumer.split_partition_queue(topic, *number);
        let queue = queue.ok_or(unknown).map_err(|error| Error::call("read a topic", error))?;
        Ok(Self { consumer: Arc::clone(consumer), queue, next: stretch.from, stretch })
    }

    /// What is being read.
    #[must_use]
    pub const fn stretch(&self) -> &Stretch {
        &self.stretch
    }

    /// The next record; `None` at the end. It blocks.
    ///
    /// # Errors
    /// [`Error::Call`] if no record comes for a minute, or what was to be read is gone.
    pub fn read(&mut self) -> Result<Option<Fetched>, Error> {
        let mut in_vain = 0;
        while self.next < self.stretch.end {
            match self.queue.poll(POLL) {
                Some(Ok(message)) if message.offset() >= self.stretch.end => {
                    self.next = self.stretch.end;
                }
                Some(Ok(message)) => {
                    self.next = message.offset() + 1;
                    return Ok(Some(Fetched::of(&message)));
                }
                // What is left up to the end are marks of transactions.
                Some(Err(KafkaError::PartitionEOF(_))) => self.next = self.stretch.end,
                Some(Err(error)) => self.failed(error, &mut in_vain)?,
                None => {
                    // What concerns the client and not one partition comes here.
                    let told = self.consumer.poll(Duration::ZERO).and_then(Result::err);
                    let silent = KafkaError::MessageConsumption(Code::OperationTimedOut);
                    match told {
                        Some(error) => self.failed(error, &mut in_vain)?,
                        None if in_vain >= IN_VAIN_MAX => self.failed(silent, &mut in_vain)?,
                        None => in_vain += 1,
                    }
                }
            }
        }
        Ok(None)
    }

    /// What may pass is waited for; the rest is an error.
    fn failed(&self, error: KafkaError, in_vain: &mut u32) -> Result<(), Error> {
        let error = Error::call("read a topic", error);
        *in_vain += 1;
        if error.is_transient() && *in_vain <= IN_VAIN_MAX {
            return Ok(());
        }
        let Partition { topic, number } = &self.stretch.partition;
        let heard = self.consumer.context().heard().map(|(_, reason)| reason);
        Err(error.at(topic, Some(*number), Some(self.next)).with_heard(heard))
    }
}

/// A client that fetches these stretches.
fn client(settings: &Settings, stretches: &[Stretch]) -> Result<Arc<BaseConsumer<Context>>, Error> {
    let failed = |error| Error::call("read a topic", error);
    let mut config = settings.reader();
    config.set("enable.partition.eof", "true");
    config.set("queued.max.messages.kbytes", AHEAD_KBYTES);
    let consumer: BaseConsumer<Context> =
        config.create_with_context(Context::quiet()).map_err(failed)?;
    let mut assignment = TopicPartitionList::new();
    for Stretch { partition: Partition { topic, number }, from, .. } in stretches {
        assignment.add_partition_offset(topic, *number, Offset::Offset(*from)).map_err(failed)?;
    }
    consumer.assign(&assignment).map_err(failed)?;
    Ok(Arc::new(consumer))
}
