//! Records of the log for the lanes of this process: one consumer reads all their partitions.
//!
//! It belongs to no group, because where a lane stands is in Postgres. A lane that is slower than
//! Kafka has its partition paused until it has caught up with what is read already.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Notify;

use crate::kafka::{self, Context, Settings};
use crate::log::{Record, record_of};

use super::Error;

/// Records of a partition that may wait for their lane before it is paused, in bytes.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// How long one poll waits.
const POLL: Duration = Duration::from_millis(50);

/// The way to the thread that reads.
#[derive(Clone)]
pub(super) struct Feed {
    commands: mpsc::Sender<Command>,
}

enum Command {
    Open { partition: u32, from: u64, waiting: Arc<Waiting> },
    Close { partition: u32, waiting: Arc<Waiting> },
    Resume { partition: u32 },
}

/// Records that were read and wait for their lane.
#[derive(Default)]
struct Waiting {
    queue: Mutex<Queue>,
    more: Notify,
}

#[derive(Default)]
struct Queue {
    records: VecDeque<(u64, Record)>,
    bytes: VecDeque<usize>,
    total: usize,
    paused: bool,
    failed: Option<Error>,
}

/// The records of one partition, in order.
pub(super) struct Records {
    feed: Feed,
    partition: u32,
    waiting: Arc<Waiting>,
}

impl Feed {
    /// Starts the thread. It ends when the last of its handles is gone.
    ///
    /// # Errors
    /// [`Error`] if the client can't be set up.
    pub(super) fn start(settings: &Settings, topic: String) -> Result<Self, Error> {
        let failed = |error| kafka::Error::call("set up a reader of the log", error);
        let mut config = settings.reader();
        // So much of each partition is read ahead.
        config.set("queued.max.messages.kbytes", "4096");
        config.set("queued.min.messages", "5000");
        let consumer: BaseConsumer<Context> =
            config.create_with_context(Context::new()).map_err(failed)?;
        let (commands, orders) = mpsc::channel();
        let reader = Reader { consumer, topic, open: BTreeMap::new() };
        std::thread::Builder::new()
            .name("log reader".into())
            .spawn(move || reader.run(&orders))
            .map_err(|_| Error::Task("the reader of the log"))?;
        Ok(Self { commands })
    }

    /// Begins to read a partition from an offset on, which must be there.
    pub(super) fn open(&self, partition: u32, from: u64) -> Records {
        let waiting = Arc::<Waiting>::default();
        let command = Command::Open { partition, from, waiting: Arc::clone(&waiting) };
        // A thread that is gone says so at the next reading: nothing ever comes.
        let _ = self.commands.send(command);
        Records { feed: self.clone(), partition, waiting }
    }
}

impl Records {
    /// Waits until records are there, and takes up to `records_max` of them.
    ///
    /// # Errors
    /// [`Error`] if the partition can't be read on.
    pub(super) async fn take(&self, records_max: usize) -> Result<Vec<(u64, Record)>, Error> {
        loop {
            let more = self.waiting.more.notified();
            if let Some(taken) = self.taken(records_max)? {
                return Ok(taken);
            }
            more.await;
        }
    }

    fn taken(&self, records_max: usize) -> Result<Option<Vec<(u64, Record)>>, Error> {
        let mut queue = self.waiting.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.records.is_empty() {
            return queue.failed.take().map_or(Ok(None), Err);
        }
        let count = records_max.min(queue.records.len());
        let taken: Vec<(u64, Record)> = queue.records.drain(..count).collect();
        let bytes: usize = queue.bytes.drain(..count).sum();
        queue.total -= bytes;
        if queue.paused && queue.total < WAITING_BYTES_MAX / 4 {
            queue.paused = false;
            let _ = self.feed.commands.send(Command::Resume { partition: self.partition });
        }
        Ok(Some(taken))
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        let waiting = Arc::clone(&self.waiting);
        let _ = self.feed.commands.send(Command::Close { partition: self.partition, waiting });
    }
}

/// What the thread works with.
struct Reader {
    consumer: BaseConsumer<Context>,
    topic: String,
    open: BTreeMap<u32, Arc<Waiting>>,
}

impl Reader {
    fn run(mut self, orders: &mpsc::Receiver<Command>) {
        loop {
            loop {
                match orders.try_recv() {
                    Ok(order) => self.obey(order),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
            self.poll();
        }
    }

    fn obey(&mut self, order: Command) {
        match order {
            Command::Open { partition, from, waiting } => match self.assign(partition, from) {
                Ok(()) => {
                    self.open.insert(partition, waiting);
                }
                Err(error) => waiting.fail(error),
            },
            Command::Close { partition, waiting } => {
                let is_open = self.open.get(&partition);
                if is_open.is_some_and(|open| Arc::ptr_eq(open, &waiting)) {
                    self.open.remove(&partition);
                    self.unassign(partition);
                }
            }
            Command::Resume { partition } => {
                if let Ok(list) = self.one(partition, None) {
                    let _ = self.consumer.resume(&list);
                }
            }
        }
    }

    fn assign(&mut self, partition: u32, from: u64) -> Result<(), Error> {
        if self.open.remove(&partition).is_some() {
            self.unassign(partition);
        }
        let at = Some(partition.cast_signed());
        let failed = |error| kafka::Error::call("read the log", error).at(&self.topic, at, None);
        let list = self.one(partition, Some(from)).map_err(failed)?;
        self.consumer.incremental_assign(&list).map_err(failed)?;
        // A pause outlasts the assignment it was made in.
        self.consumer.resume(&list).map_err(failed)?;
        Ok(())
    }

    fn unassign(&self, partition: u32) {
        if let Ok(list) = self.one(partition, None)
            && let Err(error) = self.consumer.incremental_unassign(&list)
        {
            tracing::warn!(partition, %error, "a partition of the log is still read");
        }
    }

    fn one(
        &self,
        partition: u32,
        from: Option<u64>,
    ) -> Result<TopicPartitionList, rdkafka::error::KafkaError> {
        let mut list = TopicPartitionList::new();
        let offset = from.map_or(Offset::Invalid, |from| Offset::Offset(from.cast_signed()));
        list.add_partition_offset(&self.topic, partition.cast_signed(), offset)?;
        Ok(list)
    }

    fn poll(&mut self) {
        let mut unreadable = None;
        match self.consumer.poll(POLL) {
            Some(Ok(message)) => {
                let partition = message.partition().cast_unsigned();
                let Some(waiting) = self.open.get(&partition) else { return };
                let offset = message.offset().cast_unsigned();
                match record_of(&self.topic, partition, offset, message.payload()) {
                    Ok(record) => {
                        if waiting.add(record, message.payload_len())
                            && let Ok(list) = self.one(partition, None)
                        {
                            let _ = self.consumer.pause(&list);
                        }
                    }
                    Err(error) => {
                        waiting.fail(error.into());
                        unreadable = Some(partition);
                    }
                }
            }
            Some(Err(error)) => {
                let error = kafka::Error::call("read the log", error);
                if error.is_transient() {
                    tracing::debug!(%error, "reading the log");
                    return;
                }
                tracing::error!(%error, "the log can't be read");
                for waiting in self.open.values() {
                    waiting.fail(Error::Task("the reader of the log"));
                }
            }
            None => {}
        }
        // Nothing may come after a record that can't be read: it would be passed over.
        if let Some(partition) = unreadable {
            self.open.remove(&partition);
            self.unassign(partition);
        }
    }
}

impl Waiting {
    /// Adds a record, and returns whether no more should come for now.
    fn add(&self, record: (u64, Record), bytes: usize) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.records.push_back(record);
        queue.bytes.push_back(bytes);
        queue.total += bytes;
        let full = !queue.paused && queue.total >= WAITING_BYTES_MAX;
        queue.paused |= full;
        drop(queue);
        self.more.notify_one();
        full
    }

    fn fail(&self, error: Error) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.failed.get_or_insert(error);
        drop(queue);
        self.more.notify_one();
    }
}
