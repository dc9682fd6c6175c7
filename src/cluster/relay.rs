//! What lanes, delivery and the pages left in the outbox goes into the feedback topic, and from
//! there through ingest like any event. Any worker relays any row: ingest remembers their ids.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::watch;

use crate::kafka::{self, Context};
use crate::log::encode;
use crate::store::{OutboxRow, PgStore, Store};

use super::batch::ID_HEADER;
use super::{Error, Pause};

/// The most rows of one round.
const ROWS_MAX: u32 = 5_000;
/// How often rows that others left are looked for.
const EVERY: Duration = Duration::from_millis(500);

/// How long a worker that stops may relay.
const LAST: Duration = Duration::from_secs(5);

/// The relay of one worker.
pub(super) struct Relay {
    pub store: Arc<PgStore>,
    pub producer: FutureProducer<Context>,
    pub topic: String,
}

impl Relay {
    /// Relays until `stop` becomes true.
    ///
    /// # Errors
    /// [`Error`] for what will not get better by itself.
    pub(super) async fn run(
        self,
        mut woken: watch::Receiver<u64>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Error> {
        let mut pause = Pause::default();
        while !*stop.borrow() {
            // Dropped in the middle a round is done again: ingest remembers ids.
            let round = tokio::select! {
                biased;
                round = self.round() => round,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            match round {
                Ok(true) => {
                    pause.reset();
                    continue;
                }
                Ok(false) => pause.reset(),
                Err(error) if error.is_transient() => {
                    pause.tell("the outbox waits", &error);
                    tokio::time::sleep(pause.next()).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                _ = woken.changed() => {}
                () = tokio::time::sleep(EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        // What was left while the others stopped. It can wait for another worker, or the next start.
        match tokio::time::timeout(LAST, self.all()).await {
            Ok(Err(error)) if !error.is_transient() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Relays all that is there.
    async fn all(&self) -> Result<(), Error> {
        while self.round().await? {}
        Ok(())
    }

    /// Relays what is there, and returns whether there may be more.
    async fn round(&self) -> Result<bool, Error> {
        let rows = self.store.outbox_pending(ROWS_MAX).await?;
        if rows.is_empty() {
            return Ok(false);
        }
        let more = rows.len() >= ROWS_MAX as usize;
        let mut sent = Vec::with_capacity(rows.len());
        for OutboxRow { id, record } in &rows {
            let key = record.customer().map(|customer| customer.to_bytes()).unwrap_or_default();
            let bytes = encode(std::slice::from_ref(record))
                .map_err(|error| crate::store::Error::Unusable(error.to_string()))?;
            let id = id.to_be_bytes();
            let headers = OwnedHeaders::new_with_capacity(1)
                .insert(Header { key: ID_HEADER, value: Some(&id[..]) });
            let message =
                FutureRecord::to(&self.topic).key(&key[..]).payload(&bytes[..]).headers(headers);
            let queued = self.producer.send_result(message);
            sent.push(match queued {
                Ok(sent) => sent,
                Err((error, _)) => return Err(failed(error, &self.topic)),
            });
        }
        for sent in sent {
            let ended = sent.await.map_err(|_| Error::Task("the producer"))?;
            ended.map_err(|(error, _)| failed(error, &self.topic))?;
        }
        let ids: Vec<u128> = rows.iter().map(|row| row.id).collect();
        self.store.outbox_done(&ids).await?;
        Ok(more)
    }
}

fn failed(error: rdkafka::error::KafkaError, topic: &str) -> Error {
    kafka::Error::call("relay the outbox", error).at(topic, None, None).into()
}
