//! Putting Postgres and the topics in order again, when one of them was put back: `waypost recover`.
//!
//! Everything that the database has forgotten and that must not be decided anew is in the topics:
//! the rows of the identity graph beside the records of the log, what was relayed in the feedback
//! topic, activations and ticks in the log. Lanes decide again what they had decided, with the same
//! ids. What was sent is told by the log, and until that is read nothing leaves the lanes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::identity::changes_of;
use crate::kafka::{Cluster, Fetched, Partition, Reading, Settings, Stretch};
use crate::log::{
    self, Control, GRAPH_HEADER, GraphRow, InputStands, KafkaLog, ReadLog, Record, Registry,
    Relayed, decode_rows,
};
use crate::model::{EventName, OWN_SOURCE, ReleaseId, Tie, Timestamp};
use crate::store::{Ledger, Outgoing, PgStore, Restored};

use super::Error;
use super::batch::ID_HEADER;
use super::ingest::GROUP;
use super::standing::{Fit, LANES, Stands, Topics, standing};

/// How many rows of the graph are kept in one transaction.
const ROWS_MAX: usize = 5_000;

/// What was found, for people and programs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Found {
    /// Partitions whose positions do not fit.
    pub apart: Vec<Stands>,
    /// The database was restored to an older point.
    pub restored: bool,
    /// Records of the log that the lanes have to apply again.
    pub records: u64,
    /// Of these, events that ingest had taken in and the database does not know of.
    pub events: u64,
    /// Rows of the identity graph that come back from the log.
    pub identities: usize,
    /// Customers erased since, whose dead letters are to be erased again.
    pub erased: usize,
    /// Relayed records that are remembered again.
    pub relayed: usize,
    /// Releases that came into force since.
    pub releases: Vec<Release>,
    /// The last instant that the log has ticked.
    pub ticked: Option<Timestamp>,
    /// Numbers of sources in the log that the database has no name of.
    pub unknown_sources: Vec<u16>,
    /// Records of the feedback topic that Kafka has deleted since.
    pub feedback_gone: u64,
}

/// A release that came into force in a time that the database does not know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// Its id.
    pub id: String,
    /// In force from then on.
    pub at: Timestamp,
    /// The database has its files; if not, it must be applied again from the same files.
    pub is_there: bool,
}

/// What is to be put in order, and how.
pub struct Recovery {
    /// What was found.
    pub found: Found,
    lost: Lost,
}

/// What the topics hold that the database does not know of.
#[derive(Default)]
struct Lost {
    graph: BTreeMap<u128, (u32, GraphRow)>,
    erased: BTreeSet<String>,
    controls: BTreeSet<(Timestamp, [u8; 16])>,
    activations: Vec<Control>,
    relayed: Vec<Relayed>,
    /// The latest time of what workers told themselves.
    told: Option<Timestamp>,
}

/// Kafka and Postgres, as they are asked and written here.
pub struct Sides<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// How it is spoken to.
    pub settings: &'a Settings,
    /// The log.
    pub log: &'a KafkaLog,
    /// The store.
    pub store: &'a PgStore,
    /// The topics.
    pub topics: &'a Topics,
}

impl Recovery {
    /// Compares Postgres with the topics and reads what it does not know of. Nothing is changed.
    /// `None` if all is as it should be.
    ///
    /// # Errors
    /// [`Error`] if workers run, if the database is not one of this log, if what must be read is
    /// gone from the topics, or if Kafka or Postgres fail.
    pub async fn look(sides: &Sides<'_>) -> Result<Option<Self>, Error> {
        let Sides { cluster, log, store, topics, .. } = sides;
        let registry = log.registry();
        let all = standing(cluster, registry, store.ledger(), topics).await?;
        let apart: Vec<Stands> =
            all.iter().filter(|stands| stands.fit != Fit::Fits).cloned().collect();
        if apart.is_empty() {
            return Ok(None);
        }
        let members = cluster.members(GROUP).await? + cluster.members(LANES).await?;
        if members > 0 {
            return Err(Error::Running);
        }
        let restored = apart.iter().any(|stands| stands.fit == Fit::Behind);
        if restored && registry.inputs().await?.is_empty() {
            return Err(Error::Foreign);
        }
        let mut found = Found { apart, restored, ..Found::default() };
        let mut lost = Lost::default();
        if restored {
            lost.read_log(sides, &all, &mut found).await?;
            lost.read_feedback(sides, &all, &mut found).await?;
            lost.leave_out_what_is_known(registry, &mut found).await?;
        }
        Ok(Some(Self { found, lost }))
    }

    /// Puts all in order. The inputs come last: whatever ends this before leaves it to be done again.
    ///
    /// # Errors
    /// [`Error`]; then it is to be done again.
    pub async fn mend(&self, sides: &Sides<'_>, now: Timestamp) -> Result<(), Error> {
        let Self { found, lost } = self;
        let (registry, store) = (sides.log.registry(), sides.store);
        let of_log = |stands: &&Stands| stands.topic == sides.topics.log;
        let cut: BTreeMap<u32, u64> = found
            .apart
            .iter()
            .filter(|stands| stands.fit == Fit::Cut && of_log(stands))
            .map(|stands| (stands.partition, stands.go_on()))
            .collect();
        let lanes: Vec<Restored> = (0..registry.partitions())
            .map(|partition| Restored { partition, from: cut.get(&partition).copied() })
            .filter(|lane| found.restored || lane.from.is_some())
            .collect();
        let until = match found.restored {
            true => Some((now.max(lost.told.unwrap_or(now)), self.unsure_until(store, now).await?)),
            false => None,
        };
        store.restored(&lanes, until).await?;
        let rows: Vec<&GraphRow> = lost.graph.values().map(|(_, row)| row).collect();
        for part in rows.chunks(ROWS_MAX) {
            let part: Vec<GraphRow> = part.iter().map(|row| (*row).clone()).collect();
            registry.begin().await?.keep(&[], &part, &[], &[]).await?;
        }
        let names: Vec<String> = lost.erased.iter().cloned().collect();
        registry.begin().await?.keep(&[], &[], &[], &names).await?;
        let feedback_is_new = found.apart.iter().any(|stands| {
            stands.topic == sides.topics.feedback && stands.fit == Fit::Cut && stands.go_on() == 0
        });
        if feedback_is_new {
            registry.forget_all_received().await?;
        }
        registry.keep_received(&lost.relayed).await?;
        let mut inputs = Vec::new();
        for stands in found.apart.iter().filter(|stands| !of_log(stands)) {
            let source = match stands.source {
                Some(source) => source,
                None => registry.source(&stands.name).await?,
            };
            inputs.push(InputStands { source, partition: stands.partition, next: stands.go_on() });
        }
        registry.go_on_from(&inputs, &lost.activations, found.ticked).await?;
        Ok(())
    }

    /// What was ready by then may have gone before the loss.
    async fn unsure_until(&self, store: &PgStore, now: Timestamp) -> Result<Timestamp, Error> {
        let lanes = store.ledger().lanes().await?;
        let known = lanes.iter().filter_map(|lane| lane.position.watermark).max();
        Ok(known.max(self.found.ticked).unwrap_or(now))
    }
}

impl Lost {
    /// Reads the log from where the lanes stand to its end.
    async fn read_log(
        &mut self,
        sides: &Sides<'_>,
        all: &[Stands],
        found: &mut Found,
    ) -> Result<(), Error> {
        let lanes = sides.store.ledger().lanes().await?;
        let low = |partition: u32| {
            let lane = lanes.iter().find(|lane| lane.partition == partition);
            lane.map_or(0, |lane| lane.position.low)
        };
        let of_log = all.iter().filter(|stands| stands.topic == sides.topics.log);
        let wanted = of_log
            .filter(|stands| stands.fit != Fit::Cut)
            .map(|stands| (stands.partition, low(stands.partition), stands.end));
        let stretches = stretches(sides.cluster, &sides.topics.log, wanted.collect()).await?;
        for (stretch, from) in &stretches {
            if *from > 0 && stretch.from > *from {
                return Err(log::Error::HeadGone {
                    topic: sides.topics.log.clone(),
                    partition: stretch.partition.number.cast_unsigned(),
                    from: from.cast_unsigned(),
                    first: stretch.from.cast_unsigned(),
                }
                .into());
            }
        }
        let known: BTreeMap<(u16, u32), u64> = all
            .iter()
            .filter_map(|stands| Some(((stands.source?, stands.partition), stands.known)))
            .collect();
        let state = (std::mem::take(self), std::mem::take(found), BTreeSet::new());
        let topic = sides.topics.log.clone();
        let read = read(sides.settings, stretches, state, move |state, partition, fetched| {
            let (lost, found, sources) = state;
            let offset = fetched.offset.cast_unsigned();
            let damaged = |source| {
                let path = topic.clone();
                Error::Log(log::Error::Records { path, partition, offset, source })
            };
            let payload = fetched.payload.as_deref().unwrap_or_default();
            let records = log::decode(payload).map_err(damaged)?;
            let header = fetched.headers.iter().find(|(name, _)| name == GRAPH_HEADER);
            let rows = header.map_or(Ok(Vec::new()), |(_, bytes)| decode_rows(bytes));
            let tie = records.last().and_then(Record::order).map(|(_, tie)| tie);
            lost.keep_newest(rows.map_err(damaged)?, tie.unwrap_or_default())?;
            found.records += 1;
            for record in records {
                lost.hear(&record, found);
                if let (Record::Event(_), Some((_, tie))) = (&record, record.order())
                    && tie.source != OWN_SOURCE
                {
                    sources.insert(tie.source);
                    let next = known.get(&(tie.source, tie.partition)).copied().unwrap_or(0);
                    found.events += u64::from(tie.offset >= next);
                }
            }
            Ok(())
        });
        let sources: BTreeSet<u16>;
        (*self, *found, sources) = read.await?;
        let names = sides.log.sources().await?;
        let unknown = sources.into_iter().filter(|one| names.iter().all(|(known, _)| known != one));
        found.unknown_sources = unknown.collect();
        Ok(())
    }

    /// Keeps the latest form of each row of the graph.
    fn keep_newest(&mut self, rows: Vec<(u128, Vec<u8>)>, tie: Tie) -> Result<(), Error> {
        for (key, row) in rows {
            let changes = changes_of(key, &row)?;
            if self.graph.get(&key).is_none_or(|(newest, _)| *newest < changes) {
                self.graph.insert(key, (changes, GraphRow { key, row, tie }));
            }
        }
        Ok(())
    }

    /// Takes what a record of the log says to the database.
    fn hear(&mut self, record: &Record, found: &mut Found) {
        match record {
            Record::Tick(watermark) => found.ticked = found.ticked.max(Some(*watermark)),
            Record::Control(control) => {
                self.controls.insert((control.at, control.release.to_bytes()));
            }
            Record::Event(event) if event.event.name == EventName::CustomerDeleted => {
                found.erased += 1;
                let names = event.event.identities.iter();
                self.erased.extend(names.map(|identity| identity.value.to_string()));
            }
            _ => self.hear_own(record),
        }
    }

    /// Heeds how late it is by what workers told themselves.
    fn hear_own(&mut self, record: &Record) {
        if let Record::Event(event) = record
            && event.event.tie.source == OWN_SOURCE
        {
            self.told = self.told.max(Some(event.event.time));
        }
    }

    /// Reads what was relayed: what ingest has taken in is remembered, and the rest says how late it is.
    async fn read_feedback(
        &mut self,
        sides: &Sides<'_>,
        all: &[Stands],
        found: &mut Found,
    ) -> Result<(), Error> {
        let topic = &sides.topics.feedback;
        let of_feedback = all.iter().filter(|stands| stands.topic == *topic);
        let wanted: Vec<(u32, u64, u64)> = of_feedback
            .clone()
            .filter(|stands| stands.fit != Fit::Cut)
            .map(|stands| (stands.partition, stands.known, stands.end))
            .collect();
        let taken: BTreeMap<u32, u64> =
            of_feedback.map(|stands| (stands.partition, stands.committed.unwrap_or(0))).collect();
        let stretches = stretches(sides.cluster, topic, wanted).await?;
        found.feedback_gone =
            stretches.iter().map(|(stretch, from)| (stretch.from - from).unsigned_abs()).sum();
        *self = read(
            sides.settings,
            stretches,
            std::mem::take(self),
            move |lost, partition, fetched| {
                let position = fetched.offset.cast_unsigned();
                let id = fetched.headers.iter().find(|(name, _)| name == ID_HEADER);
                let id = id.and_then(|(_, id)| id.as_slice().try_into().ok());
                let at = fetched.at.unwrap_or(Timestamp::MIN);
                if let Some(id) = id.map(u128::from_be_bytes)
                    && taken.get(&partition).is_some_and(|taken| position < *taken)
                {
                    lost.relayed.push(Relayed { id, partition, position, at });
                }
                let records = log::decode(fetched.payload.as_deref().unwrap_or_default());
                for record in records.unwrap_or_default() {
                    lost.hear_own(&record);
                }
                Ok(())
            },
        )
        .await?;
        found.relayed = self.relayed.len();
        Ok(())
    }

    /// Leaves out what the database has as well.
    async fn leave_out_what_is_known(
        &mut self,
        registry: &Registry,
        found: &mut Found,
    ) -> Result<(), Error> {
        let keys: Vec<u128> = self.graph.keys().copied().collect();
        for part in keys.chunks(ROWS_MAX) {
            for (key, stored) in registry.graph(part).await? {
                let stored = changes_of(key, &stored)?;
                if self.graph.get(&key).is_some_and(|(changes, _)| *changes <= stored) {
                    self.graph.remove(&key);
                }
            }
        }
        found.identities = self.graph.len();
        let known = registry.controls().await?;
        for (at, release) in &self.controls {
            let control = Control { release: ReleaseId::from_bytes(*release), at: *at };
            if known.contains(&control) {
                continue;
            }
            let is_there = registry.release(control.release).await?.is_some();
            found.releases.push(Release { id: control.release.to_string(), at: *at, is_there });
            self.activations.push(control);
        }
        Ok(())
    }
}

/// The stretches of a topic from these offsets to these ends, each with the offset that was asked
/// for: what is gone already is left out.
async fn stretches(
    cluster: &Cluster,
    topic: &str,
    wanted: Vec<(u32, u64, u64)>,
) -> Result<Vec<(Stretch, i64)>, Error> {
    let partition =
        |number: u32| Partition { topic: topic.to_owned(), number: number.cast_signed() };
    let partitions: Vec<Partition> =
        wanted.iter().map(|(number, _, _)| partition(*number)).collect();
    let firsts = cluster.firsts(&partitions).await?;
    let stretch = |(number, from, end): (u32, u64, u64)| {
        let partition = partition(number);
        let first = firsts.get(&partition).copied().unwrap_or(0);
        let (from, end) = (from.cast_signed(), end.cast_signed());
        (Stretch { from: from.max(first).min(end), end, partition }, from)
    };
    Ok(wanted.into_iter().map(stretch).collect())
}

/// Reads stretches to their ends, on a thread of its own, and returns what came of the state.
async fn read<S: Send + 'static>(
    settings: &Settings,
    stretches: Vec<(Stretch, i64)>,
    mut state: S,
    mut take_in: impl FnMut(&mut S, u32, Fetched) -> Result<(), Error> + Send + 'static,
) -> Result<S, Error> {
    let settings = settings.clone();
    let stretches = stretches.into_iter().map(|(stretch, _)| stretch);
    let stretches: Vec<Stretch> = stretches.filter(|one| one.from < one.end).collect();
    if stretches.is_empty() {
        return Ok(state);
    }
    let reading = tokio::task::spawn_blocking(move || {
        for mut reading in Reading::open(&settings, stretches)? {
            let partition = reading.stretch().partition.number.cast_unsigned();
            while let Some(record) = reading.read()? {
                take_in(&mut state, partition, record)?;
            }
        }
        Ok(state)
    });
    reading.await.map_err(|_| Error::Task("the reader of a topic"))?
}
