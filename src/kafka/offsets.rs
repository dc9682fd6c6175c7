//! Offsets: where partitions end, what a group has committed, when a record was appended.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::cluster::{PATIENCE, blocking};
use super::{Cluster, Context, Error, Fetched, Settings, View};
use crate::model::Timestamp;

/// How long one poll waits for a record that is being fetched.
const POLL: Duration = Duration::from_millis(100);
/// How many polls may bring nothing.
const POLLS: u128 = PATIENCE.as_millis() / POLL.as_millis();

/// One partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The topic.
    pub topic: String,
    /// Its number, from 0.
    pub number: i32,
}

/// A record's place and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp: of the server where the topic has LogAppendTime, else of the producer.
    pub at: Timestamp,
}

/// An offset of each partition; an error where there is none.
type Answers = Vec<(Partition, Result<i64, Error>)>;

impl Cluster {
    /// All partitions of topics.
    ///
    /// # Errors
    /// [`Error::Call`], also if a topic does not exist.
    pub async fn partitions(&self, topics: &[String]) -> Result<Vec<Partition>, Error> {
        let wanted = topics.to_vec();
        let counts = self
            .ask("read the partitions of topics", move |asker, patience| {
                let count = |topic: &String| {
                    let metadata = asker.fetch_metadata(Some(topic), patience)?;
                    let found = metadata.topics().iter().find(|found| found.name() == topic);
                    let count = found.map_or(0, |found| found.partitions().len());
                    Ok((topic.clone(), i32::try_from(count).unwrap_or(i32::MAX)))
                };
                wanted.iter().map(count).collect::<Result<Vec<_>, KafkaError>>()
            })
            .await?;
        let mut partitions = Vec::new();
        for (topic, count) in counts {
            if count == 0 {
                let unknown = KafkaError::MetadataFetch(Code::UnknownTopicOrPartition);
                return Err(
                    Error::call("read the partitions of a topic", unknown).at(&topic, None, None)
                );
            }
            partitions.extend((0..count).map(|number| Partition { topic: topic.clone(), number }));
        }
        Ok(partitions)
    }

    /// Where partitions end: the offset that the next record will have, of those that are
    /// committed. One request to each server.
    ///
    /// # Errors
    /// [`Error::Call`], also if the end of one of them can't be had.
    pub async fn ends(&self, partitions: &[Partition]) -> Result<BTreeMap<Partition, i64>, Error> {
        // Kafka answers the timestamp -1 with the end of a partition (ListOffsets), which for a
        // reader of committed records is its last stable offset.
        let ends = self.offsets("read where partitions end", partitions, Offset::End).await?;
        ends.into_iter().map(|(partition, end)| Ok((partition, end?))).collect()
    }

    /// Where partitions begin: the first offset that is not gone.
    ///
    /// # Errors
    /// As [`Self::ends`].
    pub async fn firsts(
        &self,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, i64>, Error> {
        // And -2 with its beginning.
        const DOING: &str = "read where partitions begin";
        let firsts = self.offsets(DOING, partitions, Offset::Beginning).await?;
        firsts.into_iter().map(|(partition, first)| Ok((partition, first?))).collect()
    }

    /// The first record with this timestamp or a later one, of the partitions that have one.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub async fn first_since(
        &self,
        partitions: &[Partition],
        time: Timestamp,
    ) -> Result<BTreeMap<Partition, i64>, Error> {
        // A negative number is a question of another kind.
        let since = Offset::Offset(time.ms().max(0));
        let found = self.offsets("look for a time in partitions", partitions, since).await?;
        Ok(found.into_iter().filter_map(|(at, offset)| Some((at, offset.ok()?))).collect())
    }

    /// Asks for an offset of each partition; an error where there is none.
    async fn offsets(
        &self,
        doing: &'static str,
        partitions: &[Partition],
        which: Offset,
    ) -> Result<Answers, Error> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = partitions.to_vec();
        let found = self
            .ask(doing, move |asker, patience| {
                asker.offsets_for_times(listed(&wanted, which)?, patience)
            })
            .await?;
        answered(&found, doing)
    }

    /// What a group (`NAME.group`) has committed: the offset to go on from, `None` where it has
    /// committed nothing.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub async fn committed(
        &self,
        group: &str,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, Option<i64>>, Error> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let failed = |error| Error::call("read what a group has committed", error);
        let (config, group) = (self.settings.consumer(group), group.to_owned());
        let (groups, wanted) = (Arc::clone(&self.groups), partitions.to_vec());
        blocking(move || {
            let mut groups = groups.lock().unwrap_or_else(PoisonError::into_inner);
            // Only the group's own consumer may ask; it does not join.
            let consumer = match groups.entry(group) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let made = config.create_with_context(Context::quiet());
                    new.insert(made.map_err(failed)?)
                }
            };
            // What it logged meanwhile.
            while consumer.poll(Duration::ZERO).is_some() {}
            let questions = listed(&wanted, Offset::Invalid).map_err(failed)?;
            let found = consumer.committed_offsets(questions, PATIENCE).map_err(failed)?;
            let mut committed = BTreeMap::new();
            for element in found.elements() {
                element.error().map_err(|error| {
                    failed(error).at(element.topic(), Some(element.partition()), None)
                })?;
                let offset = match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                committed.insert(of(element.topic(), element.partition()), offset);
            }
            Ok(committed)
        })
        .await
    }

    /// How many members a group (`NAME.group`) has: workers that run, or were killed moments ago.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub async fn members(&self, group: &str) -> Result<usize, Error> {
        let name = self.settings.group(group);
        self.ask("read who is in a group", move |asker, patience| {
            let found = asker.fetch_group_list(Some(&name), patience)?;
            Ok(found.groups().iter().map(|group| group.members().len()).sum())
        })
        .await
    }

    /// Where partitions end: the offset that the next record will have, whether those before are
    /// committed or not. Above [`Self::ends`] while a transaction is open.
    ///
    /// # Errors
    /// [`Error::Call`], also if the end of one of them can't be had.
    pub async fn all_ends(
        &self,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, i64>, Error> {
        const DOING: &str = "read where partitions end";
        let (settings, readers) = (self.settings.clone(), Arc::clone(&self.readers));
        let wanted = partitions.to_vec();
        blocking(move || {
            let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
            let reader = reader_of(&mut readers, &settings, View::All)?;
            let failed = |error| Error::call(DOING, error);
            let questions = listed(&wanted, Offset::End).map_err(failed)?;
            let found = reader.offsets_for_times(questions, PATIENCE).map_err(failed)?;
            let ends = answered(&found, DOING)?.into_iter();
            ends.map(|(partition, end)| Ok((partition, end?))).collect()
        })
        .await
    }

    /// The first record at or after an offset, of each partition, as seen; `None` where there is
    /// none. An offset whose record is gone, or which holds the mark of a transaction, is answered
    /// with the next record.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub async fn appended(
        &self,
        places: &BTreeMap<Partition, i64>,
        view: View,
    ) -> Result<BTreeMap<Partition, Option<Appended>>, Error> {
        self.first_records(places, view, |message| {
            let at = Timestamp::from_ms(message.timestamp().to_millis().unwrap_or(0));
            Appended { offset: message.offset(), at }
        })
        .await
    }

    /// As [`Self::appended`], with all of the records, of those that are committed.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub async fn records(
        &self,
        places: &BTreeMap<Partition, i64>,
    ) -> Result<BTreeMap<Partition, Option<Fetched>>, Error> {
        self.first_records(places, View::Committed, |message| Fetched::of(message)).await
    }

    async fn first_records<T: Send + 'static>(
        &self,
        places: &BTreeMap<Partition, i64>,
        view: View,
        read: impl Fn(&BorrowedMessage<'_>) -> T + Send + 'static,
    ) -> Result<BTreeMap<Partition, Option<T>>, Error> {
        if places.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut topics: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
        for (Partition { topic, number }, offset) in places {
            topics.entry(topic.clone()).or_default().insert(*number, *offset);
        }
        let (settings, readers) = (self.settings.clone(), Arc::clone(&self.readers));
        blocking(move || {
            let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
            let reader = reader_of(&mut readers, &settings, view)?;
            let mut found = BTreeMap::new();
            // The end of a partition is told without its topic, so one topic at a time.
            for (topic, places) in &topics {
                found.extend(first_records(reader, topic, places, &read)?);
            }
            Ok(found)
        })
        .await
    }
}

/// The client that reads single records in a view.
fn reader_of<'a>(
    readers: &'a mut BTreeMap<View, BaseConsumer<Context>>,
    settings: &Settings,
    view: View,
) -> Result<&'a BaseConsumer<Context>, Error> {
    Ok(match readers.entry(view) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let mut config = settings.reader();
            config.set("isolation.level", view.isolation());
            config.set("auto.offset.reset", "earliest");
            config.set("enable.partition.eof", "true");
            // Little is fetched, since one record is wanted.
            config.set("fetch.message.max.bytes", "1000");
            config.set("queued.min.messages", "1");
            let made = config.create_with_context(Context::quiet());
            new.insert(made.map_err(|error| Error::call("set up a client", error))?)
        }
    })
}

/// The first record at or after the offset of each partition of a topic.
fn first_records<T>(
    reader: &BaseConsumer<Context>,
    topic: &str,
    places: &BTreeMap<i32, i64>,
    read: &impl Fn(&BorrowedMessage<'_>) -> T,
) -> Result<BTreeMap<Partition, Option<T>>, Error> {
    let failed =
        |error| Error::call("read when a record was appended", error).at(topic, None, None);
    let mut assignment = TopicPartitionList::new();
    for (number, offset) in places {
        assignment.add_partition_offset(topic, *number, Offset::Offset(*offset)).map_err(failed)?;
    }
    reader.assign(&assignment).map_err(failed)?;
    reader.context().forget();
    let mut found = BTreeMap::new();
    let mut in_vain = 0;
    while found.len() < places.len() {
        let Some(polled) = reader.poll(POLL) else {
            in_vain += 1;
            if in_vain < POLLS {
                continue;
            }
            let timed_out = KafkaError::MessageConsumption(Code::OperationTimedOut);
            let heard = reader.context().heard().map(|(_, reason)| reason);
            return Err(failed(timed_out).with_heard(heard));
        };
        match polled {
            // Of the topic that was asked for before.
            Ok(message) if message.topic() != topic => {}
            Ok(message) => {
                let place = of(topic, message.partition());
                found.entry(place).or_insert_with(|| Some(read(&message)));
            }
            Err(KafkaError::PartitionEOF(number)) => {
                found.entry(of(topic, number)).or_insert(None);
            }
            Err(error) => {
                // What passes is told again and again until it has.
                let error = failed(error);
                in_vain += 1;
                if !error.is_transient() || in_vain >= POLLS {
                    return Err(error);
                }
            }
        }
    }
    reader.unassign().map_err(failed)?;
    Ok(found)
}

fn answered(found: &TopicPartitionList, doing: &'static str) -> Result<Answers, Error> {
    let mut offsets = Vec::with_capacity(found.count());
    for element in found.elements() {
        let place = |error: Error| error.at(element.topic(), Some(element.partition()), None);
        element.error().map_err(|error| place(Error::call(doing, error)))?;
        let none = KafkaError::OffsetFetch(Code::OffsetNotAvailable);
        let offset = match element.offset() {
            Offset::Offset(offset) => Ok(offset),
            _ => Err(place(Error::call(doing, none))),
        };
        offsets.push((of(element.topic(), element.partition()), offset));
    }
    Ok(offsets)
}

fn listed(partitions: &[Partition], offset: Offset) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for Partition { topic, number } in partitions {
        list.add_partition_offset(topic, *number, offset)?;
    }
    Ok(list)
}

fn of(topic: &str, number: i32) -> Partition {
    Partition { topic: topic.to_owned(), number }
}
