//! Events by HTTP in production: what can be read is written to its source's topic as it came, and
//! answered once all replicas in sync have it. From there it goes the way of every record. What
//! can't is kept as a dead letter before it is answered: no topic holds it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use tokio::time::{Instant, sleep, timeout_at};

use crate::identity::Rejected;
use crate::kafka::{self, Context, Settings};
use crate::log::{self, BY_HTTP, DeadLetter, Registry};
use crate::metrics::Metrics;
use crate::model::{Event, Timestamp};
use crate::worker::{Accepted, Clock, Gather, Inlet, Refused, Source, Unread};

use super::{Input, dead};

/// How long a request waits for Kafka.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits for room among what is on its way.
const ROOM: Duration = Duration::from_millis(5);

/// The way of requests into the input topics.
pub struct Door {
    settings: Settings,
    producer: Mutex<FutureProducer<Context>>,
    topics: BTreeMap<String, String>,
    registry: Registry,
    /// Where dead letters go, too.
    dead_letters: Option<String>,
    /// Numbers of the sources that had some.
    numbers: Mutex<BTreeMap<String, u16>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// What becomes of records that no topic will hold.
pub struct Kept {
    /// The table of dead letters.
    pub registry: Registry,
    /// The topic of dead letters, if there is one.
    pub topic: Option<String>,
    /// Counts them.
    pub metrics: Arc<Metrics>,
}

/// What a request brings for its topic.
pub struct Gathered {
    at: Timestamp,
    records: Vec<Raw>,
    /// Readable, and nobody's: their places in the request.
    rejected: Vec<(usize, String)>,
    dead: Vec<Dead>,
}

/// A record that no topic will hold.
struct Dead {
    line: u64,
    reason: String,
    bytes: Vec<u8>,
    whole: bool,
}

/// A record as it came.
struct Raw {
    place: usize,
    line: u64,
    events: usize,
    /// A name of its customer, so that what one customer does stays in order.
    key: Vec<u8>,
    bytes: Vec<u8>,
}

impl Door {
    /// The door to the topics of these inputs.
    ///
    /// # Errors
    /// [`kafka::Error`] if the client can't be set up.
    pub fn open(
        settings: &Settings,
        inputs: &[Input],
        kept: Kept,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, kafka::Error> {
        let topics = inputs.iter().map(|input| (input.name.clone(), input.topic.clone()));
        Ok(Self {
            settings: settings.clone(),
            producer: Mutex::new(producer(settings)?),
            topics: topics.collect(),
            registry: kept.registry,
            dead_letters: kept.topic,
            numbers: Mutex::default(),
            clock,
            metrics: kept.metrics,
        })
    }

    /// Keeps records as dead letters of a source, in the table and, if there is one, in the topic.
    async fn bury(
        &self,
        source: &Source,
        at: Timestamp,
        dead: Vec<Dead>,
        until: Instant,
    ) -> Result<(), Refused> {
        if dead.is_empty() {
            return Ok(());
        }
        let failed = |error: log::Error| Refused::Letters(error.to_string());
        let number = self.number(&source.name).await.map_err(failed)?;
        let letter = |dead: Dead| DeadLetter {
            source: number,
            partition: BY_HTTP,
            position: dead.line,
            reason: dead.reason,
            payload: Some(dead.bytes),
            whole: dead.whole,
            at,
        };
        let letters: Vec<DeadLetter> = dead.into_iter().map(letter).collect();
        self.registry.keep_letters(&letters).await.map_err(failed)?;
        let count = letters.len() as u64;
        self.metrics.taken_in(&source.name, count, count);
        let Some(topic) = &self.dead_letters else { return Ok(()) };
        let input = self.topics.get(&source.name).map_or("", String::as_str);
        let producer = self.producer().map_err(|error| Refused::Kafka(error.to_string()))?;
        let mut sent = Vec::with_capacity(letters.len());
        for letter in &letters {
            let (headers, payload) = dead::told(letter, &source.name, input);
            let record = || FutureRecord::to(topic).payload(payload).headers(headers.clone());
            sent.push(queue(&producer, record, until).await.map_err(|e| not_taken(topic, e))?);
        }
        for queued in sent {
            delivered(queued, until).await?.map_err(|error| not_taken(topic, error))?;
        }
        Ok(())
    }

    async fn number(&self, name: &str) -> Result<u16, log::Error> {
        let known = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        if let Some(number) = known {
            return Ok(number);
        }
        let number = self.registry.source(name).await?;
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.insert(name.to_owned(), number);
        Ok(number)
    }

    /// The producer; a new one, if the last can't go on: it writes each record once and in order,
    /// and gives up where it can't say so any more.
    fn producer(&self) -> Result<FutureProducer<Context>, kafka::Error> {
        let mut known = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if known.client().fatal_error().is_some() {
            *known = producer(&self.settings)?;
        }
        Ok(known.clone())
    }
}

fn producer(settings: &Settings) -> Result<FutureProducer<Context>, kafka::Error> {
    let mut config = settings.producer();
    // Where Java's producers put a key, so that it does not matter by which way an event comes.
    if config.get("partitioner").is_none() {
        config.set("partitioner", "murmur2_random");
    }
    let created = config.create_with_context(Context::new());
    created.map_err(|error| kafka::Error::call("set up a producer", error))
}

impl Inlet for Door {
    type Gathered = Gathered;

    fn begin(&self, _: &Source) -> Gathered {
        let (records, rejected, dead) = (Vec::new(), Vec::new(), Vec::new());
        Gathered { at: self.clock.now(), records, rejected, dead }
    }

    async fn take(&self, source: &Source, gathered: Gathered) -> Result<Accepted, Refused> {
        let topic = self.topics.get(&source.name).map_or("", String::as_str);
        let until = Instant::now() + PATIENCE;
        let Gathered { at, records, rejected, dead } = gathered;
        // Before anything is taken: one that is refused is sent again as a whole.
        self.bury(source, at, dead, until).await?;
        let producer = self.producer().map_err(|error| Refused::Kafka(error.to_string()))?;
        let mut accepted = Accepted { events: 0, rejected };
        let mut sent = Vec::with_capacity(records.len());
        for raw in records {
            let record = || {
                let record = FutureRecord::to(topic).payload(&raw.bytes[..]);
                if raw.key.is_empty() { record } else { record.key(&raw.key[..]) }
            };
            match queue(&producer, record, until).await {
                Ok(queued) => sent.push((raw, Some(queued))),
                Err(error) if is_too_large(&error) => sent.push((raw, None)),
                Err(error) => return Err(not_taken(topic, error)),
            }
        }
        let mut too_large = Vec::new();
        for (raw, queued) in sent {
            let ended = match queued {
                Some(queued) => delivered(queued, until).await?,
                None => Err(KafkaError::MessageProduction(Code::MessageSizeTooLarge)),
            };
            match ended {
                Ok(()) => accepted.events += raw.events,
                Err(error) if is_too_large(&error) => {
                    let bytes = raw.bytes.len();
                    let reason = format!(
                        "{bytes} bytes are more than Kafka takes for {topic} (max.message.bytes)"
                    );
                    accepted.rejected.push((raw.place, reason.clone()));
                    too_large.push(Dead { line: raw.line, reason, bytes: raw.bytes, whole: true });
                }
                Err(error) => return Err(not_taken(topic, error)),
            }
        }
        self.bury(source, at, too_large, until).await?;
        Ok(accepted)
    }
}

/// What Kafka says of a record that is on its way.
async fn delivered(
    queued: DeliveryFuture,
    until: Instant,
) -> Result<Result<(), KafkaError>, Refused> {
    match timeout_at(until, queued).await {
        Ok(Ok(ended)) => Ok(ended.map(drop).map_err(|(error, _)| error)),
        Ok(Err(_)) => Err(Refused::Stopping),
        Err(_) => Ok(Err(KafkaError::MessageProduction(Code::MessageTimedOut))),
    }
}

/// Puts a record on its way, as soon as there is room.
async fn queue<'r>(
    producer: &FutureProducer<Context>,
    record: impl Fn() -> FutureRecord<'r, [u8], [u8]>,
    until: Instant,
) -> Result<DeliveryFuture, KafkaError> {
    loop {
        match producer.send_result(record()) {
            Ok(queued) => return Ok(queued),
            Err((KafkaError::MessageProduction(Code::QueueFull), _)) if Instant::now() < until => {
                sleep(ROOM).await;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

fn not_taken(topic: &str, error: KafkaError) -> Refused {
    Refused::Kafka(kafka::Error::call("write events", error).at(topic, None, None).to_string())
}

const fn is_too_large(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageProduction(Code::MessageSizeTooLarge))
}

impl Gather for Gathered {
    fn at(&self) -> Timestamp {
        self.at
    }

    fn position(&self) -> &str {
        // Nothing is kept under it: ingest reads the record once more, at its offset.
        "http"
    }

    fn good(&mut self, place: usize, line: u64, bytes: &[u8], events: Vec<Event>) {
        let count = events.len();
        // A record that tells of nothing is not an event; it need not be read once more.
        let Some(first) = events.into_iter().next() else { return };
        match first.identities.first() {
            Some(identity) => self.records.push(Raw {
                place,
                line,
                events: count,
                key: identity.value.as_bytes().to_vec(),
                bytes: bytes.to_vec(),
            }),
            None => {
                let reason = Rejected::NoIdentity(Box::new(first)).to_string();
                self.rejected.push((place, reason.clone()));
                self.dead.push(Dead { line, reason, bytes: bytes.to_vec(), whole: true });
            }
        }
    }

    fn bad(&mut self, line: u64, unread: Unread, reason: &str) {
        let Unread { bytes, whole } = unread;
        self.dead.push(Dead { line, reason: reason.to_owned(), bytes, whole });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventName, Identity};

    #[test]
    fn a_record_has_the_first_name_of_its_customer_as_key_and_without_one_is_told() {
        let at = Timestamp::from_ms(0);
        let (records, rejected, dead) = (Vec::new(), Vec::new(), Vec::new());
        let mut gathered = Gathered { at, records, rejected, dead };
        let nobodys = Event::new("1".to_owned(), EventName::PageViewed, at);
        let mut anns = nobodys.clone();
        anns.identities.extend(Identity::email("ann@shop.example"));
        anns.identities.extend(Identity::email("also@shop.example"));
        gathered.good(0, 1, b"{1}", vec![anns.clone(), anns]);
        gathered.good(1, 2, b"{2}", vec![nobodys]);
        gathered.good(2, 3, b"{3}", Vec::new());
        let kept: Vec<_> =
            gathered.records.iter().map(|raw| (raw.place, raw.events, &raw.key[..])).collect();
        assert_eq!(kept, [(0, 2, &b"ann@shop.example"[..])]);
        assert_eq!(gathered.records[0].bytes, b"{1}");
        assert_eq!(gathered.rejected.len(), 1);
        assert_eq!(gathered.rejected[0].0, 1);
        assert_eq!((gathered.dead[0].line, &gathered.dead[0].bytes[..]), (2, &b"{2}"[..]));
    }
}
