//! The worker of production: Kafka in, the log in Kafka, the store in Postgres, any number of
//! workers.
//!
//! The parts of one worker, in the direction of an event: [`ingest`](self) takes raw records in and
//! writes the log, the ticker says how far time is known, lanes apply the log and commit
//! checkpoints, delivery hands messages over, the relay brings what they leave in the outbox back
//! to ingest. Kafka's consumer groups share inputs and partitions out; an epoch in Postgres keeps
//! whoever lost one from writing.
//!
//! What can be tried again is tried again: Kafka or Postgres that are away for a while end nothing.

mod batch;
mod dead;
mod door;
mod feed;
mod ingest;
mod lanes;
mod lives;
mod members;
mod observe;
mod ready;
mod recover;
mod relay;
mod standing;
mod ticks;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::producer::FutureProducer;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use crate::config::Keep;
use crate::decode::Decode;
use crate::deliver::Delivery;
use crate::kafka::{self, Context, Settings};
use crate::log::{KafkaLog, Registry};
use crate::metrics::Metrics;
use crate::store::{Outgoing, PgStore};
use crate::worker::{Clock, Keeping, STOP_MAX, within_time};

pub use door::{Door, Gathered, Kept};
pub use ready::{Readiness, Shares};
pub use recover::{Found, Recovery, Release, Sides};
pub use standing::{Fit, Stands, Topics, of_one_time, standing, start_of_one_time};

use batch::Intake;
use batch::Source;
use observe::{Named, Seen};

/// How long a thread that blocks in a call to Kafka is waited for, once the worker stops.
const GIVE_UP: Duration = Duration::from_secs(10);

/// Everything a worker of production is made of.
pub struct Parts {
    /// How Kafka is spoken to.
    pub settings: Settings,
    /// The topic of the log.
    pub log_topic: String,
    /// Where dead letters go, too.
    pub dead_letters: Option<String>,
    /// The topic of what workers tell themselves.
    pub feedback_topic: String,
    /// What the log is kept with.
    pub registry: Registry,
    /// States, messages, trace and positions.
    pub store: Arc<PgStore>,
    /// The input topics.
    pub inputs: Vec<Input>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Hands messages over, if this worker does.
    pub delivery: Option<Delivery<PgStore>>,
    /// Raised when the outbox has something to take.
    pub outbox: watch::Sender<u64>,
    /// What it counts and measures.
    pub metrics: Arc<Metrics>,
    /// What Kafka's groups give it.
    pub shares: Arc<Shares>,
    /// How it runs.
    pub options: Options,
}

/// An input topic.
#[derive(Clone)]
pub struct Input {
    /// Name of the source.
    pub name: String,
    /// Its topic.
    pub topic: String,
    /// How its records are read.
    pub decode: Arc<dyn Decode>,
    /// Whether time waits for it.
    pub blocking: bool,
}

/// How a worker runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of this process among the workers.
    pub instance: String,
    /// What it does.
    pub roles: Roles,
    /// How often a tick is written.
    pub tick: Duration,
    /// How long after its append time a record may still be ordered, in milliseconds.
    pub grace_ms: i64,
    /// The most records of one checkpoint.
    pub checkpoint_records: usize,
    /// How much of the states is kept in memory, in bytes, over all lanes.
    pub cache_bytes: usize,
    /// How long what is over is kept.
    pub keep: Keep,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// It takes the inputs in, and ticks.
    pub ingest: bool,
    /// It decides: lanes, and the relay of what they leave.
    pub decide: bool,
    /// It hands messages over.
    pub deliver: bool,
}

/// Why a worker of production ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    /// The store or a lane failed.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// Kafka failed.
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    /// The identity graph can't be read.
    #[error(transparent)]
    Identity(#[from] crate::identity::GraphError),
    /// A release can't be used.
    #[error(transparent)]
    Release(#[from] crate::release::Error),
    /// Postgres and the topics are not of one time.
    #[error("{0}; stop all workers and run `waypost recover`")]
    Apart(String),
    /// Workers run while something is put in order that they work with.
    #[error(
        "workers are running, or were killed less than a minute ago: stop all of them, also those that only deliver, and try again"
    )]
    Running,
    /// A database without anything of this log.
    #[error(
        "the database knows nothing of what the topics hold, not even the key of the customers' ids, so nothing can be put in order: restore a backup of the database, or set another kafka.name and begin anew"
    )]
    Foreign,
    /// A batch did not get into the log.
    #[error(transparent)]
    NotWritten(kafka::Error),
    /// A task ended that should not have.
    #[error("{0} stopped unexpectedly")]
    Task(&'static str),
    /// It was told to stop and was not finished in time.
    #[error(
        "not everything was finished within {} s of the stop; nothing is lost: another worker, or the next start, goes on where this one was",
        STOP_MAX.as_secs()
    )]
    Overdue,
}

impl Error {
    /// Kafka has more committed than Postgres, which comes first, knows of.
    fn behind(place: &str, committed: u64, known: u64) -> Self {
        Self::Apart(behind(place, committed, known))
    }

    /// Whether the same may well succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Log(crate::log::Error::Taken { .. }) => true,
            // Its transaction is over; a new one is begun with whatever ended it out of the way.
            Self::NotWritten(error) => !error.is_lasting(),
            Self::Log(error) | Self::Release(crate::release::Error::Log(error)) => {
                error.is_transient()
            }
            Self::Store(error) => error.is_transient(),
            Self::Kafka(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether another worker has taken the lane.
    #[must_use]
    pub const fn is_fenced(&self) -> bool {
        matches!(self, Self::Store(crate::store::Error::Fenced { .. }))
    }
}

/// What it means that Kafka has more committed than Postgres knows of.
fn behind(place: &str, committed: u64, known: u64) -> String {
    format!(
        "the database is behind the topics: {place} was read up to {committed}, the database knows \
         of {known}, so it was restored to an older point, or is another one"
    )
}

/// How long to wait before something is tried again: longer each time, up to a limit.
#[derive(Debug, Default)]
struct Pause {
    tries: u32,
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    fn next(&mut self) -> Duration {
        let pause = Self::FIRST.saturating_mul(1 << self.tries.min(10)).min(Self::LONGEST);
        self.tries += 1;
        pause
    }

    /// Tells of a failure: of the first in a row aloud, of its repetitions to who looks closely.
    fn tell(&self, what: &str, error: &Error) {
        if self.tries == 0 {
            tracing::warn!(%error, "{what}; it is tried again until that works");
        } else {
            tracing::debug!(%error, tries = self.tries, "{what}, still");
        }
    }

    const fn reset(&mut self) {
        self.tries = 0;
    }
}

/// Runs until `stop` becomes true; then what is under way is finished.
///
/// # Errors
/// [`Error`] with what to do about it.
pub async fn run(mut parts: Parts, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
    let (database, instance) = (parts.store.database().clone(), parts.options.instance.clone());
    let lives = lives::Lives { database, instance };
    lives.begin().await?;
    let failed = |error| kafka::Error::call("set up a producer", error);
    let producer: FutureProducer<Context> =
        parts.settings.producer().create_with_context(Context::new()).map_err(failed)?;
    let (checkpoints, checkpointed) = watch::channel(0_u64);
    let (halt, halted) = watch::channel(false);
    let mut tasks = Tasks::default();
    parts.metrics.postgres_retries(parts.store.database().transient_failures());
    tokio::spawn(Arc::clone(&parts.metrics).watch(Arc::clone(&parts.store), halted.clone()));
    tasks.spawn("telling that it lives", lives.run(halted.clone()));
    let keeping = Keeping {
        store: Arc::clone(&parts.store),
        letters: parts.registry.clone(),
        keep: parts.options.keep,
        worker: parts.options.instance.clone(),
        clock: Arc::clone(&parts.clock),
        metrics: Arc::clone(&parts.metrics),
    };
    // A stop does not wait for it.
    tokio::spawn(keeping.run(halted.clone()));
    let delivery = parts.delivery.take().filter(|_| parts.options.roles.deliver);
    if parts.options.roles.ingest {
        ingest(&parts, &producer, &halted, &mut tasks).await?;
    }
    if parts.options.roles.decide {
        decide(&parts, checkpoints, &halted, &mut tasks)?;
    }
    let topic = parts.feedback_topic.clone();
    let relay = relay::Relay { store: Arc::clone(&parts.store), producer, topic };
    let (woken, halted_too) = (parts.outbox.subscribe(), halted.clone());
    tasks.spawn("the relay", relay.run(woken, halted_too));
    if let Some(delivery) = delivery {
        tasks.spawn("delivery", async move { Ok(delivery.run(checkpointed, halted).await?) });
    }
    let ended = tokio::select! {
        // A sender that is gone means stop, too.
        _ = stop.wait_for(|stop| *stop) => None,
        Some(ended) = tasks.join_next() => Some(ended),
    };
    halt.send_replace(true);
    parts.shares.ends();
    // What made it end is told even if the rest does not end in time.
    let failed = match ended {
        None => None,
        Some(Ok((_, Err(error)))) => Some(error),
        Some(Ok((name, Ok(())))) => Some(Error::Task(name)),
        Some(Err(_)) => Some(Error::Task("a part of the worker")),
    };
    let running = Arc::clone(&tasks.running);
    let end = async {
        let mut first = None;
        while let Some(ended) = tasks.join_next().await {
            if let Ok((name, Err(error))) = ended {
                tracing::warn!(part = name, %error, "while stopping");
                first.get_or_insert(error);
            }
        }
        first
    };
    let metrics = Arc::clone(&parts.metrics);
    let waits_for = || {
        let running = running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let parts = running.into_iter().map(str::to_owned);
        parts.chain(metrics.under_way()).collect::<Vec<_>>().join(", ")
    };
    let late = within_time(waits_for, end).await.unwrap_or(Some(Error::Overdue));
    failed.or(late).map_or(Ok(()), Err)
}

/// The parts of a running worker, each with its name.
#[derive(Default)]
struct Tasks {
    set: JoinSet<(&'static str, Result<(), Error>)>,
    /// Those that have not ended.
    running: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Tasks {
    fn spawn(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        self.set.spawn(async move { (name, work.await) });
    }

    async fn join_next(&mut self) -> Option<Result<(&'static str, Result<(), Error>), JoinError>> {
        let ended = self.set.join_next().await;
        if let Some(Ok((name, _))) = &ended {
            self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
        ended
    }
}

/// Begins to take the inputs in, and to tick.
async fn ingest(
    parts: &Parts,
    producer: &FutureProducer<Context>,
    halted: &watch::Receiver<bool>,
    tasks: &mut Tasks,
) -> Result<(), Error> {
    let Parts { registry, inputs, options, .. } = parts;
    let mut sources = Vec::with_capacity(inputs.len() + 1);
    for input in inputs {
        sources.push(Source {
            name: input.name.clone(),
            number: number(registry, &input.name).await?,
            topic: input.topic.clone(),
            decode: Some(Arc::clone(&input.decode)),
        });
    }
    let mut named: Vec<Named> = inputs
        .iter()
        .zip(&sources)
        .map(|(input, source)| Named {
            number: source.number,
            name: input.name.clone(),
            topic: input.topic.clone(),
            waits: input.blocking,
        })
        .collect();
    named.push(Named {
        number: batch::FEEDBACK,
        name: observe::FEEDBACK.to_owned(),
        topic: parts.feedback_topic.clone(),
        waits: true,
    });
    sources.push(Source {
        name: "feedback".to_owned(),
        number: batch::FEEDBACK,
        topic: parts.feedback_topic.clone(),
        decode: None,
    });
    let ledger = parts.store.ledger().clone();
    let ingest = ingest::Ingest {
        intake: Intake {
            registry: registry.clone(),
            ledger,
            sources,
            record_bytes_max: parts.settings.value_bytes_max(),
        },
        settings: parts.settings.clone(),
        instance: options.instance.clone(),
        log_topic: parts.log_topic.clone(),
        dead_letters: parts.dead_letters.clone(),
        clock: Arc::clone(&parts.clock),
        seen: Seen {
            metrics: Arc::clone(&parts.metrics),
            shares: Arc::clone(&parts.shares),
            inputs: named.clone(),
        },
    };
    let looking = kafka::Cluster::new(&parts.settings)?;
    let lags = observe::lags(looking, named, Arc::clone(&parts.metrics), halted.clone());
    // Dropped with the worker: nobody waits for a look.
    tokio::spawn(lags);
    let (handle, stop) = (tokio::runtime::Handle::current(), halted.clone());
    thread(tasks, "ingest", halted.clone(), move || ingest.run(&handle, &stop));
    let topics = inputs.iter().filter(|input| input.blocking).map(|input| &input.topic);
    let ticker = ticks::Ticker {
        registry: registry.clone(),
        cluster: kafka::Cluster::new(&parts.settings)?,
        producer: producer.clone(),
        clock: Arc::clone(&parts.clock),
        log_topic: parts.log_topic.clone(),
        topics: topics.chain([&parts.feedback_topic]).cloned().collect(),
        every: options.tick,
        grace_ms: options.grace_ms.max(1),
    };
    let stop = halted.clone();
    tasks.spawn("the ticker", ticker.run(stop));
    Ok(())
}

/// The number of a source, as soon as Postgres can say it.
async fn number(registry: &Registry, name: &str) -> Result<u16, Error> {
    let mut pause = Pause::default();
    loop {
        match registry.source(name).await {
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "the start waits");
                tokio::time::sleep(pause.next()).await;
            }
            numbered => return Ok(numbered?),
        }
    }
}

/// Begins to decide: joins the group of the workers, and runs the lanes that fall to this one.
fn decide(
    parts: &Parts,
    checkpoints: watch::Sender<u64>,
    halted: &watch::Receiver<bool>,
    tasks: &mut Tasks,
) -> Result<(), Error> {
    let Parts { settings, log_topic, options, .. } = parts;
    let positions = members::Positions::default();
    let shared = lanes::Shared {
        store: Arc::clone(&parts.store),
        log: KafkaLog::new(
            parts.registry.clone(),
            kafka::Cluster::new(settings)?,
            log_topic.clone(),
        ),
        feed: feed::Feed::start(settings, log_topic.clone())?,
        positions: Arc::clone(&positions),
        outbox: parts.outbox.clone(),
        checkpoints,
        records_max: options.checkpoint_records,
        cache_bytes: options.cache_bytes,
        lanes: Arc::new(AtomicUsize::new(1)),
        metrics: Arc::clone(&parts.metrics),
        shares: Arc::clone(&parts.shares),
    };
    let (sender, shares) = mpsc::unbounded_channel();
    let (settings, topic, stop) = (settings.clone(), log_topic.clone(), halted.clone());
    thread(tasks, "the group of the workers", halted.clone(), move || {
        members::join(&settings, &topic, sender, &positions, &stop)
    });
    let stop = halted.clone();
    tasks.spawn("the lanes", lanes::run(shared, shares, stop));
    Ok(())
}

/// Runs something that blocks in a thread of its own. A cluster that does not answer does not hold a
/// stop up: what is given up with the thread is as after a crash, a transaction that Kafka ends by
/// itself, and a share that goes to others a little later.
fn thread(
    tasks: &mut Tasks,
    name: &'static str,
    mut halted: watch::Receiver<bool>,
    work: impl FnOnce() -> Result<(), Error> + Send + 'static,
) {
    let (send, done) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new().name(name.into()).spawn(move || {
        // Nobody waits any more if the worker was torn down.
        let _ = send.send(work());
    });
    let overdue = async move {
        // A sender that is gone means stop, too.
        let _ = halted.wait_for(|halted| *halted).await;
        tokio::time::sleep(GIVE_UP).await;
    };
    tasks.spawn(name, async move {
        if started.is_err() {
            return Err(Error::Task(name));
        }
        tokio::select! {
            done = done => done.unwrap_or(Err(Error::Task(name))),
            () = overdue => {
                tracing::warn!("{name}: Kafka does not answer; what was under way is done again");
                Ok(())
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

    use super::*;

    #[test]
    fn a_batch_is_written_again_unless_that_can_not_help() {
        let of = |code| {
            let error = KafkaError::MessageProduction(code);
            Error::NotWritten(kafka::Error::call("write into the log", error))
        };
        for code in [Code::NotEnoughReplicas, Code::InvalidProducerEpoch, Code::PurgeQueue] {
            assert!(of(code).is_transient(), "{code}");
        }
        for code in [Code::TopicAuthorizationFailed, Code::MessageSizeTooLarge] {
            assert!(!of(code).is_transient(), "{code}");
        }
        let said = of(Code::TopicAuthorizationFailed).to_string();
        assert!(said.contains("can't write into the log"), "{said}");
        assert!(said.contains("docs/operations.md"), "{said}");
    }
}
