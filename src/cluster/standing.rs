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
    let numbers = registry.sources().await?;
    let known: BTreeMap<(u16, u32), u64> = registry
        .inputs()
        .await?
        .into_iter()
        .map(|input| ((input.source, input.partition), input.next))
        .collect();
    let mut sources: Vec<(Option<u16>, &str, &String)> = topics
        .inputs
        .iter()
        .map(|(name, topic)| {
            let number = numbers.iter().find(|(_, known)| known == name);
            (number.map(|(number, _)| *number), name.as_str(), topic)
        })
        .collect();
    sources.push((Some(OWN_SOURCE), "feedback", &topics.feedback));
    let mut all = Vec::new();
    for (source, name, topic) in sources {
        let partitions = cluster.partitions(std::slice::from_ref(topic)).await?;
        for (partition, committed, end) in asked(cluster, GROUP, &partitions).await? {
            let known = source.and_then(|source| known.get(&(source, partition)).copied());
            let stands = Stands {
                topic: topic.clone(),
                partition,
                source,
                name: name.to_owned(),
                known: known.unwrap_or(0),
                committed,
                end,
                fit: Fit::Fits,
            };
            all.push(stands.judged(false));
        }
    }
    let lanes = ledger.lanes().await?;
    let held = ledger.held_lanes().await?;
    let partitions = cluster.partitions(std::slice::from_ref(&topics.log)).await?;
    for (partition, committed, end) in asked(cluster, LANES, &partitions).await? {
        let row = lanes.iter().find(|row| row.partition == partition);
        let stands = Stands {
            topic: topics.log.clone(),
            partition,
            source: None,
            name: String::new(),
            known: row.map_or(0, |row| row.position.end),
            committed,
            end,
            fit: Fit::Fits,
        };
        // A lane that was put back in order reads on from the restored point, and is not there yet.
        all.push(stands.judged(held.contains(&partition)));
    }
    Ok(all)
}

/// What a group has committed of partitions, and where they end.
async fn asked(
    cluster: &Cluster,
    group: &str,
    partitions: &[Partition],
) -> Result<Vec<(u32, Option<u64>, u64)>, Error> {
    let committed = cluster.committed(group, partitions).await?;
    // After what was committed: the end only grows.
    let ends = cluster.ends(partitions).await?;
    let of = |partition: &Partition| {
        let committed = committed.get(partition).copied().flatten();
        let end = ends.get(partition).copied().unwrap_or(0);
        let number = partition.number.cast_unsigned();
        (number, committed.map(i64::cast_unsigned), end.cast_unsigned())
    };
    Ok(partitions.iter().map(of).collect())
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
