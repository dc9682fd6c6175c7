//! What ingest counts, and how far it is behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Message};
use tokio::sync::watch;

use crate::kafka::{self, Cluster};
use crate::metrics::{EVERY, Lag, Metrics};

use super::batch::Identifying;
use super::ingest::GROUP;
use super::ready::Shares;

/// The name of what workers tell themselves, among the sources.
pub(super) const FEEDBACK: &str = "feedback";

/// An input as metrics name it.
#[derive(Clone)]
pub(super) struct Named {
    pub number: u16,
    pub name: String,
    pub topic: String,
    /// Whether time waits for it.
    pub waits: bool,
}

/// Counts what ingest does.
pub(super) struct Seen {
    pub metrics: Arc<Metrics>,
    pub shares: Arc<Shares>,
    pub inputs: Vec<Named>,
}

impl Seen {
    /// Raw records of a batch and its dead letters, for each input.
    pub(super) fn count(
        &self,
        messages: &[BorrowedMessage<'_>],
        batch: &Identifying,
    ) -> Vec<(u64, u64)> {
        let of = |input: &Named| {
            let records = messages.iter().filter(|message| message.topic() == input.topic);
            let dead = batch.dead.iter().filter(|letter| letter.source == input.number);
            (records.count() as u64, dead.count() as u64)
        };
        self.inputs.iter().map(of).collect()
    }

    /// A batch that was counted is in the log.
    pub(super) fn taken_in(&self, counted: &[(u64, u64)]) {
        for (input, (records, dead)) in self.inputs.iter().zip(counted) {
            if *records > 0 {
                self.metrics.taken_in(&input.name, *records, *dead);
            }
        }
    }
}

/// Looks every [`EVERY`] how far ingest, of whichever worker, is behind, until `stop` becomes true.
pub(super) async fn lags(
    cluster: Cluster,
    inputs: Vec<Named>,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) {
    let waits = |name: &str| inputs.iter().any(|input| input.waits && input.name == name);
    loop {
        match look(&cluster, &inputs).await {
            Ok(lags) => metrics.lags(Some(&lags), waits),
            Err(error) => {
                // Ingest says itself that Kafka can't be had; a number that is old says nothing.
                tracing::debug!(%error, "how far ingest is behind is not known");
                metrics.lags(None, waits);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn look(
    cluster: &Cluster,
    inputs: &[Named],
) -> Result<BTreeMap<(String, i32), Lag>, kafka::Error> {
    let topics: Vec<String> = inputs.iter().map(|input| input.topic.clone()).collect();
    let partitions = cluster.partitions(&topics).await?;
    let mut lags = BTreeMap::new();
    for (partition, behind) in cluster.behind(GROUP, &partitions).await? {
        let Some(input) = inputs.iter().find(|input| input.topic == partition.topic) else {
            continue;
        };
        let from = behind.first.map_or(behind.end, |first| first.offset);
        let records = behind.end.saturating_sub(from).max(0).cast_unsigned();
        let lag = Lag { records, oldest: behind.first.map(|first| first.at) };
        lags.insert((input.name.clone(), partition.number), lag);
    }
    Ok(lags)
}
