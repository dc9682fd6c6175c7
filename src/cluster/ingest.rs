//! Ingest: raw records of all inputs in, identified records into the log, in one order.
//!
//! A batch is two transactions, Postgres first: what identify changed is kept under the positions
//! that caused it. Then Kafka takes the records and the inputs' offsets together. If the second
//! fails, the batch is read again and yields the same records; a worker that has lost an input is
//! refused by both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Header, OwnedHeaders, ToBytes};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::kafka::{self, Context, Settings};
use crate::log::{self, DeadLetter, GRAPH_HEADER, Held, Record, encode, encode_rows};
use crate::worker::Clock;

use super::batch::{Identifying, Intake};
use super::dead;
use super::observe::Seen;
use super::{Error, Pause};

/// The group of the workers that take inputs in, after the name of the installation.
pub(super) const GROUP: &str = "ingest";
/// The most records of one batch.
const RECORDS_MAX: usize = 10_000;
/// The most bytes of one batch, before decoding.
const BYTES_MAX: usize = 32 << 20;
/// How long the first record of a batch is waited for.
const FIRST: Duration = Duration::from_millis(100);
/// How long another record is waited for: what is fetched comes in parts, and a batch costs two
/// transactions.
const MORE: Duration = Duration::from_millis(20);
/// How often it is looked whether records have arrived.
const LOOK: Duration = Duration::from_millis(1);
/// How long one call about a transaction may take.
const CALL: Duration = Duration::from_secs(30);
/// How often a transaction, or a step of one, is tried where that may help at once.
const TRIES: u32 = 10;

/// The consumer's context: it remembers that partitions changed hands.
struct Hands {
    inner: Context,
    changed: AtomicBool,
}

impl ClientContext for Hands {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.inner.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.inner.error(error, reason);
    }
}

impl ConsumerContext for Hands {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.changed.store(true, Ordering::Release);
    }
}

/// The ingest stage of one worker; it has a thread of its own.
pub(super) struct Ingest {
    pub intake: Intake,
    pub settings: Settings,
    /// Name of this process, for the id of its transactions.
    pub instance: String,
    pub log_topic: String,
    /// Where dead letters go, too.
    pub dead_letters: Option<String>,
    pub clock: Arc<dyn Clock>,
    pub seen: Seen,
}

/// Where a running stage stands.
struct Running {
    consumer: BaseConsumer<Hands>,
    producer: BaseProducer<Context>,
    held: BTreeMap<(usize, i32), Held>,
    group: Option<ConsumerGroupMetadata>,
}

impl Ingest {
    /// Takes in until `stop` becomes true. What can be tried again is tried again.
    ///
    /// # Errors
    /// [`Error`] for what will not get better by itself.
    pub(super) fn run(self, handle: &Handle, stop: &watch::Receiver<bool>) -> Result<(), Error> {
        let failed = |error| kafka::Error::call("set up ingest", error);
        let mut config = self.settings.consumer(GROUP);
        // All partitions change hands together, with a call for each: a batch is of one assignment.
        config.set("partition.assignment.strategy", "roundrobin");
        // Ticks wait for new partitions at once, so they have to be found soon.
        config.set("topic.metadata.refresh.interval.ms", "10000");
        let hands = Hands { inner: Context::new(), changed: AtomicBool::new(false) };
        let consumer: BaseConsumer<Hands> = config.create_with_context(hands).map_err(failed)?;
        let topics: Vec<&str> =
            self.intake.sources.iter().map(|source| source.topic.as_str()).collect();
        consumer.subscribe(&topics).map_err(failed)?;
        let producer = self.producer()?;
        let mut running = Running { consumer, producer, held: BTreeMap::new(), group: None };
        let mut pause = Pause::default();
        while !*stop.borrow() {
            match self.step(&mut running, handle) {
                Ok(()) => pause.reset(),
                Err(error) if error.is_transient() => {
                    pause.tell("ingest waits", &error);
                    std::thread::sleep(pause.next());
                    self.rewind(&mut running, handle, stop)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn producer(&self) -> Result<BaseProducer<Context>, Error> {
        let failed = |error| kafka::Error::call("set up ingest", error);
        let config = self.settings.transactional(&format!("ingest.{}", self.instance));
        let producer: BaseProducer<Context> =
            config.create_with_context(Context::new()).map_err(failed)?;
        producer.init_transactions(CALL).map_err(failed)?;
        Ok(producer)
    }

    /// One batch, or nothing if there is none.
    fn step(&self, running: &mut Running, handle: &Handle) -> Result<(), Error> {
        let consumer = &running.consumer;
        let messages = poll(consumer)?;
        if consumer.context().changed.swap(false, Ordering::AcqRel) {
            // What was read before belongs to somebody else now, or is read once more.
            drop(messages);
            return self.take_hold(running, handle);
        }
        if messages.is_empty() {
            return Ok(());
        }
        let _span = tracing::info_span!(target: crate::metrics::SPANS, "ingest batch", records = messages.len()).entered();
        let identified = handle.block_on(self.identify(&messages, &running.held))?;
        let counted = self.seen.count(&messages, &identified);
        self.write(running, &identified)?;
        for (right, next) in &identified.next {
            let is_of = |held: &&mut Held| **held == *right;
            if let Some(held) = running.held.values_mut().find(is_of) {
                held.next = held.next.max(*next);
            }
        }
        self.seen.taken_in(&counted);
        tracing::debug!(
            taken = identified.taken,
            records = identified.records.len(),
            dead_letters = identified.dead.len(),
            "batch taken in"
        );
        Ok(())
    }

    /// Identifies a batch, again where Postgres gave it up in favour of another worker's.
    async fn identify(
        &self,
        messages: &[BorrowedMessage<'_>],
        held: &BTreeMap<(usize, i32), Held>,
    ) -> Result<Identifying, Error> {
        for _ in 1..TRIES {
            match self.intake.identify(messages, held, self.clock.now()).await {
                Err(Error::Log(log::Error::Postgres(error))) if error.gave_way() => {
                    tracing::debug!(%error, "a batch gave way");
                }
                done => return done,
            }
        }
        self.intake.identify(messages, held, self.clock.now()).await
    }

    /// Takes every partition that is assigned now.
    fn take_hold(&self, running: &mut Running, handle: &Handle) -> Result<(), Error> {
        const DOING: &str = "take partitions of the inputs";
        let failed = |error| kafka::Error::call(DOING, error);
        running.held.clear();
        running.group = running.consumer.group_metadata();
        let assigned = running.consumer.assignment().map_err(failed)?;
        self.seen.shares.has_inputs();
        if assigned.count() == 0 {
            return Ok(());
        }
        // Taken first: what who had them before puts into the log until then is committed by now.
        let mut known = BTreeMap::new();
        for element in assigned.elements() {
            let Some(input) = self.intake.input(element.topic()) else { continue };
            let (number, partition) = (self.intake.sources[input].number, element.partition());
            let taking = self.intake.registry.take_input(number, partition.cast_unsigned());
            let (held, begun) = handle.block_on(taking)?;
            running.held.insert((input, partition), held);
            known.insert((element.topic().to_owned(), partition), (begun, held.next));
        }
        let committed = running.consumer.committed_offsets(assigned, CALL).map_err(failed)?;
        for element in committed.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            let at = |error| failed(error).at(topic, Some(partition), None);
            element.error().map_err(at)?;
            let known = known.get(&(topic.to_owned(), partition)).copied();
            let (begun, next) = known.unwrap_or_default();
            if let Offset::Offset(committed) = element.offset()
                && committed.cast_unsigned() > next
            {
                let place = format!("partition {partition} of {topic}");
                return Err(Error::behind(&place, committed.cast_unsigned(), next));
            }
            if element.offset() == Offset::Invalid && begun > 0 {
                tracing::warn!(
                    topic,
                    partition,
                    offset = begun,
                    "the group's position is lost; ingest goes on from the last batch it knows"
                );
                let start = Offset::Offset(begun.cast_signed());
                running.consumer.seek(topic, partition, start, CALL).map_err(at)?;
            }
        }
        tracing::info!(partitions = running.held.len(), "ingest has its partitions");
        Ok(())
    }

    /// Goes back to where the inputs' offsets are committed, after a batch that was not.
    fn rewind(
        &self,
        running: &mut Running,
        handle: &Handle,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), Error> {
        let mut pause = Pause::default();
        loop {
            if *stop.borrow() {
                return Ok(());
            }
            match self.try_rewind(running, handle) {
                Err(error) if error.is_transient() => {
                    tracing::debug!(%error, "going back waits");
                    std::thread::sleep(pause.next());
                    // Not to be thrown out of the group meanwhile.
                    drop(running.consumer.poll(Duration::ZERO));
                }
                done => return done,
            }
        }
    }

    fn try_rewind(&self, running: &mut Running, handle: &Handle) -> Result<(), Error> {
        let failed = |error| kafka::Error::call("go back in the inputs", error);
        let assigned = running.consumer.assignment().map_err(failed)?;
        if assigned.count() > 0 {
            let committed = running.consumer.committed_offsets(assigned, CALL).map_err(failed)?;
            let mut back = TopicPartitionList::new();
            for element in committed.elements() {
                let at = |error| failed(error).at(element.topic(), Some(element.partition()), None);
                element.error().map_err(at)?;
                let start = match element.offset() {
                    Offset::Offset(offset) => Offset::Offset(offset),
                    _ => Offset::Beginning,
                };
                let added = back.add_partition_offset(element.topic(), element.partition(), start);
                added.map_err(failed)?;
            }
            let sought = running.consumer.seek_partitions(back, CALL).map_err(failed)?;
            for element in sought.elements() {
                let at = |error| failed(error).at(element.topic(), Some(element.partition()), None);
                element.error().map_err(at)?;
            }
        }
        running.consumer.context().changed.store(false, Ordering::Release);
        self.take_hold(running, handle)
    }

    /// Writes a batch into the log together with the inputs' offsets.
    fn write(&self, running: &mut Running, batch: &Identifying) -> Result<(), Error> {
        let Err(error) = self.try_write(running, batch) else { return Ok(()) };
        self.seen.metrics.aborted();
        let fatal = matches!(&error, KafkaError::Transaction(error) if error.is_fatal())
            || running.producer.client().fatal_error().is_some();
        if fatal {
            running.producer = self.producer()?;
        } else {
            // A transaction that can't be ended is ended by the next beginning, or by its time.
            let aborted = running.producer.abort_transaction(CALL);
            if aborted.is_err() {
                running.producer = self.producer()?;
            }
        }
        let error = kafka::Error::call("write into the log", error);
        Err(Error::NotWritten(error.at(&self.log_topic, None, None)))
    }

    fn try_write(&self, running: &mut Running, batch: &Identifying) -> Result<(), KafkaError> {
        let producer = &running.producer;
        producer.begin_transaction()?;
        let partitions = self.intake.registry.partitions();
        for (place, record) in batch.records.iter().enumerate() {
            let rows = batch.rows.get(&place).map(|rows| encode_rows(rows));
            send(producer, &self.log_topic, partitions, record, rows.as_deref())?;
            if let Some(told) = record.told_to_winner() {
                send(producer, &self.log_topic, partitions, &told, None)?;
            }
        }
        for letter in self.dead_letters.iter().flat_map(|_| &batch.dead) {
            self.send_dead(producer, letter)?;
        }
        let mut offsets = TopicPartitionList::new();
        for (held, next) in &batch.next {
            let source = self.intake.sources.iter().find(|source| source.number == held.source);
            let Some(source) = source else { continue };
            let (partition, next) = (held.partition.cast_signed(), next.cast_signed());
            offsets.add_partition_offset(&source.topic, partition, Offset::Offset(next))?;
        }
        let group = running.group.as_ref().ok_or(KafkaError::Canceled)?;
        again(|| producer.send_offsets_to_transaction(&offsets, group, CALL))?;
        arrive(producer);
        again(|| producer.commit_transaction(CALL))
    }

    /// Hands a dead letter to the producer.
    fn send_dead(
        &self,
        producer: &BaseProducer<Context>,
        letter: &DeadLetter,
    ) -> Result<(), KafkaError> {
        let Some(topic) = &self.dead_letters else { return Ok(()) };
        let sources = &self.intake.sources;
        let source = sources.iter().find(|source| source.number == letter.source);
        let (name, input) = source.map_or(("", ""), |source| (&source.name, &source.topic));
        let (headers, kept) = dead::told(letter, name, input);
        enqueue(producer, BaseRecord::<(), [u8]>::to(topic).payload(kept).headers(headers))
    }
}

/// Does a step of a transaction again as long as Kafka says that this may help.
fn again(step: impl Fn() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    for _ in 1..TRIES {
        match step() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
            done => return done,
        }
    }
    step()
}

/// Hands a record to the producer; the transaction's end says whether it arrived.
fn send(
    producer: &BaseProducer<Context>,
    topic: &str,
    partitions: u32,
    record: &Record,
    rows: Option<&[u8]>,
) -> Result<(), KafkaError> {
    let Some(customer) = record.customer() else { return Ok(()) };
    let key = customer.to_bytes();
    let bytes = encode(std::slice::from_ref(record)).map_err(|_| KafkaError::Canceled)?;
    let partition = customer.partition(partitions).cast_signed();
    let mut next = BaseRecord::to(topic).partition(partition).key(&key[..]).payload(&bytes[..]);
    if rows.is_some() {
        let header = Header { key: GRAPH_HEADER, value: rows };
        next = next.headers(OwnedHeaders::new_with_capacity(1).insert(header));
    }
    enqueue(producer, next)
}

/// Waits until what was handed over has arrived, or failed. The client's commit waits for that, too,
/// but looks every 100 ms only, which is most of what a batch takes.
fn arrive(producer: &BaseProducer<Context>) {
    let most = CALL.as_millis() / LOOK.as_millis();
    for _ in 0..most {
        if producer.in_flight_count() == 0 {
            break;
        }
        producer.poll(LOOK);
    }
}

fn enqueue<K: ToBytes + ?Sized>(
    producer: &BaseProducer<Context>,
    mut next: BaseRecord<'_, K, [u8]>,
) -> Result<(), KafkaError> {
    loop {
        match producer.send(next) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                producer.poll(FIRST);
                next = back;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// The records that are there, up to a batch. A poll in which partitions change hands brings no
/// record, so what was polled before that is of those that this worker had.
fn poll(consumer: &BaseConsumer<Hands>) -> Result<Vec<BorrowedMessage<'_>>, Error> {
    let mut messages = Vec::new();
    let mut bytes = 0;
    let mut wait = FIRST;
    while messages.len() < RECORDS_MAX && bytes < BYTES_MAX {
        match consumer.poll(wait) {
            Some(Ok(message)) => {
                bytes += message.payload_len();
                messages.push(message);
                wait = MORE;
            }
            Some(Err(error)) => {
                let error = kafka::Error::call("read the inputs", error);
                if error.is_transient() {
                    tracing::debug!(%error, "reading the inputs");
                    break;
                }
                return Err(error.into());
            }
            None => break,
        }
    }
    Ok(messages)
}
