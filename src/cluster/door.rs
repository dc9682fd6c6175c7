//! Events by HTTP in production: what can be read is written to its source's topic as it came, and
//! answered once all replicas in sync have it. From there it goes the way of every record.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use tokio::time::{Instant, sleep, timeout_at};

use crate::identity::Rejected;
use crate::kafka::{self, Context, Settings};
use crate::model::{Event, Timestamp};
use crate::worker::{Accepted, Clock, Gather, Inlet, Refused, Source, Unread};

use super::Input;

/// How long a request waits for Kafka.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits for room among what is on its way.
const ROOM: Duration = Duration::from_millis(5);

/// The way of requests into the input topics.
pub struct Door {
    settings: Settings,
    producer: Mutex<FutureProducer<Context>>,
    topics: BTreeMap<String, String>,
    clock: std::sync::Arc<dyn Clock>,
}

/// What a request brings for its topic.
pub struct Gathered {
    at: Timestamp,
    records: Vec<Raw>,
    rejected: Vec<(usize, String)>,
}

/// A record as it came.
struct Raw {
    place: usize,
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
        clock: std::sync::Arc<dyn Clock>,
    ) -> Result<Self, kafka::Error> {
        let topics = inputs.iter().map(|input| (input.name.clone(), input.topic.clone()));
        Ok(Self {
            settings: settings.clone(),
            producer: Mutex::new(producer(settings)?),
            topics: topics.collect(),
            clock,
        })
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
        Gathered { at: self.clock.now(), records: Vec::new(), rejected: Vec::new() }
    }

    async fn take(&self, source: &Source, gathered: Gathered) -> Result<Accepted, Refused> {
        let refused = |error: kafka::Error| Refused::Kafka(error.to_string());
        let failed = |error| kafka::Error::call("write events", error);
        let topic = self.topics.get(&source.name).map_or("", String::as_str);
        let producer = self.producer().map_err(refused)?;
        let until = Instant::now() + PATIENCE;
        let mut accepted = Accepted { events: 0, rejected: gathered.rejected };
        let mut sent = Vec::with_capacity(gathered.records.len());
        for raw in &gathered.records {
            match queue(&producer, topic, raw, until).await {
                Ok(queued) => sent.push((raw, Some(queued))),
                Err(error) if is_too_large(&error) => sent.push((raw, None)),
                Err(error) => return Err(refused(failed(error).at(topic, None, None))),
            }
        }
        for (raw, queued) in sent {
            let ended = match queued {
                Some(queued) => match timeout_at(until, queued).await {
                    Ok(Ok(ended)) => ended.map(drop).map_err(|(error, _)| error),
                    Ok(Err(_)) => return Err(Refused::Stopping),
                    Err(_) => Err(KafkaError::MessageProduction(Code::MessageTimedOut)),
                },
                None => Err(KafkaError::MessageProduction(Code::MessageSizeTooLarge)),
            };
            match ended {
                Ok(()) => accepted.events += raw.events,
                Err(error) if is_too_large(&error) => {
                    let bytes = raw.bytes.len();
                    let reason = format!(
                        "{bytes} bytes are more than Kafka takes for {topic} (max.message.bytes)"
                    );
                    accepted.rejected.push((raw.place, reason));
                }
                Err(error) => return Err(refused(failed(error).at(topic, None, None))),
            }
        }
        Ok(accepted)
    }
}

/// Puts a record on its way, as soon as there is room.
async fn queue(
    producer: &FutureProducer<Context>,
    topic: &str,
    raw: &Raw,
    until: Instant,
) -> Result<DeliveryFuture, KafkaError> {
    loop {
        let record = FutureRecord::to(topic).payload(&raw.bytes[..]);
        let record = if raw.key.is_empty() { record } else { record.key(&raw.key[..]) };
        match producer.send_result(record) {
            Ok(queued) => return Ok(queued),
            Err((KafkaError::MessageProduction(Code::QueueFull), _)) if Instant::now() < until => {
                sleep(ROOM).await;
            }
            Err((error, _)) => return Err(error),
        }
    }
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

    fn good(&mut self, place: usize, _: u64, bytes: &[u8], events: Vec<Event>) {
        let count = events.len();
        // A record that tells of nothing is not an event; it need not be read once more.
        let Some(first) = events.into_iter().next() else { return };
        match first.identities.first() {
            Some(identity) => self.records.push(Raw {
                place,
                events: count,
                key: identity.value.as_bytes().to_vec(),
                bytes: bytes.to_vec(),
            }),
            None => {
                let rejected = Rejected::NoIdentity(Box::new(first));
                self.rejected.push((place, rejected.to_string()));
            }
        }
    }

    // The sender is told, and nothing is kept: a topic holds what can be read.
    fn bad(&mut self, _: u64, _: Unread, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventName, Identity};

    #[test]
    fn a_record_has_the_first_name_of_its_customer_as_key_and_without_one_is_told() {
        let at = Timestamp::from_ms(0);
        let mut gathered = Gathered { at, records: Vec::new(), rejected: Vec::new() };
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
    }
}
