//! Which partitions of the log are this worker's: Kafka's consumer group shares them out.
//!
//! The group decides who works, not what counts: a lane is taken in Postgres, whose epoch keeps
//! out whoever had it before. The positions committed here are for tools that show lag.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::{mpsc, watch};

use crate::kafka::{self, Context, Settings};

use super::Error;
use super::standing::LANES;

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);
/// After how many polls positions are committed: every few seconds.
const COMMIT: u64 = 50;

/// What becomes of partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// They are this worker's now.
    Ours(Vec<u32>),
    /// They are another's, or nobody's.
    Gone(Vec<u32>),
}

/// Where the lanes of this worker stand.
pub(super) type Positions = Arc<Mutex<BTreeMap<u32, u64>>>;

struct Sharing {
    inner: Context,
    shares: mpsc::UnboundedSender<Share>,
}

impl ClientContext for Sharing {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.inner.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.inner.error(error, reason);
    }
}

impl ConsumerContext for Sharing {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let _ = self.shares.send(Share::Gone(numbers(list)));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            // Lanes read by themselves, from where they stand.
            if let Err(error) = consumer.pause(list) {
                tracing::debug!(%error, "partitions are read twice");
            }
            let _ = self.shares.send(Share::Ours(numbers(list)));
        }
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<u32> {
    list.elements().iter().map(|element| element.partition().cast_unsigned()).collect()
}

/// Joins the group, and tells what becomes of partitions until `stop` becomes true; then it leaves
/// the group. It has a thread of its own.
///
/// # Errors
/// [`Error`] if the client can't be set up or the topic can't be had.
pub(super) fn join(
    settings: &Settings,
    topic: &str,
    shares: mpsc::UnboundedSender<Share>,
    positions: &Positions,
    stop: &watch::Receiver<bool>,
) -> Result<(), Error> {
    let failed = |error| kafka::Error::call("join the workers", error).at(topic, None, None);
    let context = Sharing { inner: Context::new(), shares };
    let consumer: BaseConsumer<Sharing> =
        settings.consumer(LANES).create_with_context(context).map_err(failed)?;
    consumer.subscribe(&[topic]).map_err(failed)?;
    let mut polls = 0_u64;
    while !*stop.borrow() {
        // A record that came before the pause is read by its lane.
        if let Some(Err(error)) = consumer.poll(POLL) {
            let error = failed(error);
            if !error.is_transient() {
                return Err(error.into());
            }
            tracing::debug!(%error, "the group of the workers");
        }
        polls += 1;
        if polls.is_multiple_of(COMMIT) {
            commit(&consumer, topic, positions);
        }
    }
    commit(&consumer, topic, positions);
    consumer.unsubscribe();
    Ok(())
}

/// Commits where lanes stand, for tools; nothing depends on it.
fn commit(consumer: &BaseConsumer<Sharing>, topic: &str, positions: &Positions) {
    let mut list = TopicPartitionList::new();
    for (partition, end) in positions.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let offset = Offset::Offset(end.cast_signed());
        if list.add_partition_offset(topic, partition.cast_signed(), offset).is_err() {
            return;
        }
    }
    if list.count() > 0
        && let Err(error) = consumer.commit(&list, CommitMode::Async)
    {
        tracing::debug!(%error, "positions are not shown to tools");
    }
}
