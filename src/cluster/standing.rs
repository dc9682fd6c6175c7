//! Whether Postgres and the topics are of one time.
//!
//! Postgres is committed before Kafka. So what a group has committed in Kafka is never ahead of what
//! Postgres knows, unless Postgres was restored to an older point, or is another one. And what
//! Postgres knows is never behind the end of a topic, unless the topic was made anew or cut off.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::kafka::{Cluster, Partition};
use crate::log::Registry;
use crate::model::OWN_SOURCE;
use crate::store::{Ledger, PgLedger};

use super::ingest::GROUP;
use super::{Error, Pause, behind};

/// The group of the workers that decide.
pub(super) const LANES: &str = "lanes";

/// The topics that positions in Postgres speak of.
#[derive(Clone, Debug)]
pub struct Topics {
    /// Name and topic of each input.
    pub inputs: Vec<(String, String)>,
    /// The topic of what workers tell themselves.
    pub feedback: String,
    /// The topic of the log.
    pub log: String,
}

/// A partition of a topic in Postgres and in Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stands {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The source that it is an input of, by number; `None` for the log.
    #[serde(skip)]
    pub source: Option<u16>,
    /// Name of the source, until it has a number.
    #[serde(skip)]
    pub name: String,
    /// The first offset that Postgres does not know of.
    pub known: u64,
    /// The first offset that the group has not committed, if it has committed any.
    pub committed: Option<u64>,
    /// Where the topic ends.
    pub end: u64,
    /// What that means.
    pub fit: Fit,
}

/// Whether positions in Postgres and in Kafka fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// They do.
    Fits,
    /// Postgres is behind: it was restored to an older point, or is another one.
    Behind,
    /// The topic ends before what Postgres knows: it was made anew, or cut off.
    Cut,
}

impl Stands {
    fn judged(mut self, is_held: bool) -> Self {
        self.fit = match self.committed {
            _ if self.known > self.end => Fit::Cut,
            Some(committed) if committed > self.known && !is_held => Fit::Behind,
            _ => Fit::Fits,
        };
        self
    }

    /// Where to go on. A topic that was made anew has lost what its group had committed, and is
    /// read from its beginning; one that was cut off, from its end.
    pub(super) fn go_on(&self) -> u64 {
        match (self.fit, self.committed) {
            (Fit::Cut, Some(_)) => self.end,
            (Fit::Cut, None) => 0,
            (Fit::Behind, Some(committed)) => committed,
            _ => self.known,
        }
    }

    /// What it means, in words.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { topic, partition, known, end, .. } = self;
        let place = format!("partition {partition} of {topic}");
        match (self.fit, self.committed) {
            (Fit::Fits, _) | (Fit::Behind, None) => format!("{place}: as it should be"),
            (Fit::Behind, Some(committed)) => behind(&place, committed, *known),
            (Fit::Cut, _) => format!(
                "the database is ahead of the topics: it knows {place} up to {known}, which ends at \
                 {end}, so the topic was made anew or has lost its end"
            ),
        }
    }
}

/// Compares Postgres with the topics, which must be there.
///
/// # Errors
/// [`Error`] if Kafka or Postgres can't be asked.
pub async fn standing(
    cluster: &Cluster,
    registry: &Registry,
    ledger: &PgLedger,
    topics: &Topics,
) -> Result<Vec<Stands>, Error> {
    // Workers may be running. So what is said later is asked later, and never the other way round:
    // what groups have committed, what Postgres knows, where topics end.
    let asked: Vec<&String> = topics.inputs.iter().map(|(_, topic)| topic).collect();
    let mut of_inputs = Vec::new();
    for topic in asked.into_iter().chain([&topics.feedback]) {
        of_inputs.push(cluster.partitions(std::slice::from_ref(topic)).await?);
    }
    let of_log = cluster.partitions(std::slice::from_ref(&topics.log)).await?;
    let inputs = of_inputs.concat();
    let taken_in = cluster.committed(GROUP, &inputs).await?;
    let applied = cluster.committed(LANES, &of_log).await?;
    let held = ledger.held_lanes().await?;
    let numbers = registry.sources().await?;
    let known: BTreeMap<(u16, u32), u64> = registry
        .inputs()
        .await?
        .into_iter()
        .map(|input| ((input.source, input.partition), input.next))
        .collect();
    let lanes = ledger.lanes().await?;
    let mut ends = cluster.ends(&inputs).await?;
    ends.extend(cluster.ends(&of_log).await?);

    let stands =
        |partition: &Partition, committed: Option<i64>, source, name: &str, known| Stands {
            topic: partition.topic.clone(),
            partition: partition.number.cast_unsigned(),
            source,
            name: name.to_owned(),
            known,
            committed: committed.map(i64::cast_unsigned),
            end: ends.get(partition).copied().unwrap_or(0).cast_unsigned(),
            fit: Fit::Fits,
        };
    let mut all = Vec::new();
    let names = topics.inputs.iter().map(|(name, _)| name.as_str()).chain(["feedback"]);
    for (place, (name, partitions)) in names.zip(&of_inputs).enumerate() {
        let source = match place == topics.inputs.len() {
            true => Some(OWN_SOURCE),
            false => numbers.iter().find(|(_, known)| known == name).map(|(number, _)| *number),
        };
        for partition in partitions {
            let number = partition.number.cast_unsigned();
            let next = source.and_then(|source| known.get(&(source, number)).copied());
            let committed = taken_in.get(partition).copied().flatten();
            all.push(stands(partition, committed, source, name, next.unwrap_or(0)).judged(false));
        }
    }
    for partition in &of_log {
        let number = partition.number.cast_unsigned();
        let end = lanes.iter().find(|row| row.partition == number).map(|row| row.position.end);
        let committed = applied.get(partition).copied().flatten();
        // A lane that was put back in order reads on from the restored point, and is not there yet.
        let is_held = held.contains(&number);
        all.push(stands(partition, committed, None, "", end.unwrap_or(0)).judged(is_held));
    }
    Ok(all)
}

/// Refuses to work where Postgres and the topics are not of one time.
///
/// # Errors
/// [`Error::Apart`] with the first difference and what to do about it; [`Error`] if it can't be
/// found out.
pub async fn of_one_time(
    cluster: &Cluster,
    registry: &Registry,
    ledger: &PgLedger,
    topics: &Topics,
) -> Result<(), Error> {
    let all = standing(cluster, registry, ledger, topics).await?;
    match all.into_iter().find(|stands| stands.fit != Fit::Fits) {
        Some(stands) => Err(Error::Apart(stands.told())),
        None => Ok(()),
    }
}

/// As [`of_one_time`], as soon as Kafka and Postgres can say it: a group that is new has no
/// coordinator for a moment.
///
/// # Errors
/// [`Error`] for what will not get better by itself.
pub async fn start_of_one_time(
    cluster: &Cluster,
    registry: &Registry,
    ledger: &PgLedger,
    topics: &Topics,
) -> Result<(), Error> {
    let mut pause = Pause::default();
    loop {
        match of_one_time(cluster, registry, ledger, topics).await {
            Err(error) if error.is_transient() => {
                pause.tell("the start waits", &error);
                tokio::time::sleep(pause.next()).await;
            }
            done => return done,
        }
    }
}
