//! The embedded worker: HTTP and standard input in, the log and its lanes, decided messages out.
//!
//! Three kinds of task, one direction: doors (`http`, standard input) hand decoded records to
//! `ingest`, the only writer of the log; each `lanes` task follows one partition and commits
//! its checkpoints. Ingest also writes the ticks, and takes what lanes leave in the outbox.

mod batch;
mod clock;
mod doors;
mod http;
mod ingest;
mod inlet;
mod keeping;
mod lanes;
mod misnamed;
mod public;
mod ready;
mod sending;
mod stopping;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::Keep;
use crate::decode::Decoder;
use crate::identity::Identify;
use crate::lane::Timeline;
use crate::log::{Log, LogReader};
use crate::metrics::Metrics;
use crate::model::Timestamp;
use crate::store::SqliteStore;

pub use batch::Batch;
pub use clock::{Clock, SystemClock};
pub use http::{AUTH_HEADER, BODY_BYTES_MAX_DEFAULT, Door, routes, serve};
pub use ingest::{Intake, Placed, Taken};
pub use inlet::{Accepted, Gather, Inlet, Refused, Source, Unread};
pub use keeping::Keeping;
pub use public::{Pages, routes as page_routes};
pub use ready::{Ready, STANDS_STILL, stands_still};
pub use sending::Sending;
pub use stopping::{STOP_MAX, within_time};

/// How long a worker that stops waits for messages that are being handed over.
const HAND_OVER: Duration = Duration::from_secs(20);

/// Everything a worker is made of.
pub struct Parts<C> {
    /// The log, of which this process is the writer.
    pub log: Log,
    /// States, messages, trace and positions.
    pub store: Arc<SqliteStore>,
    /// The identity stage.
    pub identify: Identify,
    /// The clock.
    pub clock: C,
    /// One timeline for each partition.
    pub timelines: Vec<Timeline>,
    /// Where HTTP comes in, from [`listen`]; `None` listens nowhere.
    pub listener: Option<TcpListener>,
    /// How messages leave; `None` keeps them.
    pub sending: Option<Sending>,
    /// What there was to apply when the worker opened.
    pub backlog: Backlog,
    /// What it counts and measures.
    pub metrics: Arc<Metrics>,
    /// How it runs.
    pub options: Options,
}

/// What the log held when the worker opened, and how many lanes have yet to apply it.
#[derive(Clone, Debug)]
pub struct Backlog {
    until: Option<Timestamp>,
    behind: watch::Sender<u32>,
}

impl Backlog {
    /// Everything that the log holds now.
    ///
    /// # Errors
    /// [`crate::log::Error`] if the log can't be read.
    pub async fn of(log: &Log) -> Result<Self, crate::log::Error> {
        let until = log.reader().last_append().await?;
        Ok(Self { until, behind: watch::Sender::new(log.partitions()) })
    }

    /// Waits until every lane has applied it.
    pub async fn applied(&self) {
        // There is always a sender: it is in `self`.
        let _ = self.behind.subscribe().wait_for(|lanes| *lanes == 0).await;
    }

    /// Whether a lane at this watermark has yet to apply its part.
    fn is_behind(&self, watermark: Option<Timestamp>) -> bool {
        watermark < self.until
    }
}

/// How a worker runs.
#[derive(Clone)]
pub struct Options {
    /// What HTTP asks for; off loopback it must be there.
    pub token: Option<String>,
    /// The largest body of one request, in bytes.
    pub body_bytes_max: usize,
    /// The sources, each with its name and how its records are read. `POST /events/NAME` is any;
    /// `POST /events` is the source where there is only one.
    pub sources: Vec<(String, Decoder)>,
    /// The source whose records are read from standard input, if one's are.
    pub stdin: Option<String>,
    /// How often a tick is written, in milliseconds.
    pub tick_ms: u64,
    /// How long after its append time a record may still be ordered, in milliseconds.
    pub grace_ms: i64,
    /// The most records of one checkpoint.
    pub checkpoint_records: usize,
    /// How much of the states is kept in memory, in bytes, over all lanes.
    pub cache_bytes: usize,
    /// How long what is over is kept; `None` removes nothing.
    pub keep: Option<Keep>,
}

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    /// The store or a lane failed.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The identity graph can't be read.
    #[error(transparent)]
    Identity(#[from] crate::identity::LoadError),
    /// The port is taken or may not be used.
    #[error(
        "can't listen on {address}: {source}; stop what uses the port, or set `http.listen` to another"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Off loopback without a token.
    #[error(
        "HTTP on {0} is reachable from other machines: set `http.token` (or WAYPOST_HTTP_TOKEN), or listen on 127.0.0.1"
    )]
    Token(SocketAddr),
    /// A task ended that should not have.
    #[error("{0} stopped unexpectedly")]
    Task(&'static str),
    /// It was told to stop and was not finished in time.
    #[error(
        "not everything was finished within {} s of the stop; nothing is lost: the next start goes on where this one was",
        STOP_MAX.as_secs()
    )]
    Overdue,
}

/// Listens on an address. Done first, so that a worker that can't listen has changed nothing.
///
/// # Errors
/// [`Error::Token`] for an address that other machines reach without a token, [`Error::Listen`]
/// for one that is in use or may not be used.
pub async fn listen(address: SocketAddr, token: Option<&str>) -> Result<TcpListener, Error> {
    if !address.ip().is_loopback() && token.is_none() {
        return Err(Error::Token(address));
    }
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

/// Listens where customers unsubscribe. They need no token but that of their link.
///
/// # Errors
/// [`Error::Listen`] for an address that is in use or may not be used.
pub async fn listen_to_customers(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

/// Runs until `stop` becomes true, then takes in what was accepted, checkpoints and returns.
///
/// `started` hears the address HTTP listens on.
///
/// # Errors
/// [`Error`] with what to do about it.
pub async fn run<C: Clock>(
    parts: Parts<C>,
    mut stop: watch::Receiver<bool>,
    started: impl FnOnce(Option<SocketAddr>),
) -> Result<(), Error> {
    let Parts { log, store, identify, clock, metrics, .. } = parts;
    let Parts { timelines, listener, sending, backlog, options, .. } = parts;
    let clock = Arc::new(clock);
    let reader = log.reader();
    let partitions = log.partitions();
    let pulse = ready::Pulse::default();
    let (intake, queue) =
        ingest::intake(Arc::clone(&clock) as Arc<dyn Clock>, Arc::clone(&metrics));
    let (outbox, woken) = watch::channel(0_u64);
    let (checkpoints, checkpointed) = watch::channel(0_u64);
    let (close, closing) = watch::channel(false);
    let (closed, ending) = watch::channel(false);
    let (finish, finished) = watch::channel(false);
    let opening = ingest::Ingest::open(
        log,
        identify,
        Arc::clone(&store),
        Arc::clone(&clock),
        &options,
        pulse.clone(),
    );
    let ingest = opening.await?;
    let sources = ingest.sources(&options);
    store.wait_for_the_file(true);
    let mut ingesting = tokio::spawn(ingest.run(queue, woken, ending));
    let mut lanes = tokio::task::JoinSet::new();
    for (partition, timeline) in (0_u32..).zip(timelines) {
        lanes.spawn(lanes::run(lanes::Part {
            store: Arc::clone(&store),
            reader: reader.clone(),
            partition,
            partitions,
            timeline,
            outbox: outbox.clone(),
            checkpoints: checkpoints.clone(),
            finished: finished.clone(),
            backlog: backlog.clone(),
            metrics: Arc::clone(&metrics),
            records_max: options.checkpoint_records,
            cache_bytes: options.cache_bytes / partitions.max(1) as usize,
        }));
    }
    let mut delivering = None;
    let mut pages = None;
    if let Some(sending) = sending {
        let (delivery, listener, routes) =
            sending.open(&store, &clock, &outbox, Arc::clone(&metrics)).await?;
        delivering = Some(tokio::spawn(delivery.run(checkpointed, closing.clone())));
        pages = Some((listener, routes));
    }
    keep(&options, &store, &reader, &clock, &metrics, &closing);
    let every = Duration::from_millis(options.tick_ms);
    let ready = ready::Embedded { clock, pulse, every, stop: closing.clone() };
    tokio::spawn(Arc::clone(&metrics).watch(Arc::clone(&store), closing.clone()));
    let doors = doors::Doors::open(listener, pages, intake, ready, sources, &options, closing);
    started(doors.address());
    let ended = tokio::select! {
        // A sender that is gone means stop, too.
        _ = stop.wait_for(|stop| *stop) => None,
        ended = &mut ingesting => Some(task("ingest", ended).map(drop)),
        Some(ended) = lanes.join_next() => Some(task("a lane", ended)),
        ended = of(&mut delivering) => Some(task("delivery", ended)),
    };
    // What made it end is told even if the rest does not end in time.
    let failed = ended.map(|ended| ended.err().unwrap_or(Error::Task("a part of the worker")));
    let goes_on = failed.is_none();
    // Requests under way get their answer, also from a worker that can't go on; and what is being
    // handed over is finished, as far as the time allows.
    close.send_replace(true);
    let end = async {
        doors.closed().await;
        hand_over(delivering).await?;
        // What is kept by now is enough: a stop is not held up by another program.
        store.wait_for_the_file(false);
        if !goes_on {
            return Ok(());
        }
        closed.send_replace(true);
        let log = task("ingest", ingesting.await)?;
        finish.send_replace(true);
        while let Some(ended) = lanes.join_next().await {
            task("a lane", ended)?;
        }
        close_files(log, &store).await;
        Ok(())
    };
    let end = within_time(|| waits_for(&metrics), end).await.unwrap_or(Err(Error::Overdue));
    failed.map_or(end, Err)
}

/// Nothing is lost if this fails: a write-ahead log that stays is read again.
async fn close_files(log: Log, store: &SqliteStore) {
    if let Err(error) = log.close().await {
        tracing::warn!(%error, "the log's write-ahead log stays beside it");
    }
    if let Err(error) = store.close().await {
        tracing::warn!(%error, "the state's write-ahead log stays beside it");
    }
}

/// Begins to remove what was kept long enough. A stop does not wait for it.
fn keep<C: Clock>(
    options: &Options,
    store: &Arc<SqliteStore>,
    reader: &LogReader,
    clock: &Arc<C>,
    metrics: &Arc<Metrics>,
    stop: &watch::Receiver<bool>,
) {
    let Some(keep) = options.keep else { return };
    let keeping = Keeping {
        store: Arc::clone(store),
        letters: reader.clone(),
        keep,
        worker: String::new(),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        metrics: Arc::clone(metrics),
    };
    tokio::spawn(keeping.run(stop.clone()));
}

/// What a worker that stops waits for.
fn waits_for(metrics: &Metrics) -> String {
    match metrics.under_way().as_slice() {
        [] => "what was accepted to be applied".to_owned(),
        some => some.join(", "),
    }
}

/// Waits for what is being handed over.
async fn hand_over(
    delivering: Option<tokio::task::JoinHandle<Result<(), crate::store::Error>>>,
) -> Result<(), Error> {
    let still = delivering.filter(|delivering| !delivering.is_finished());
    let Some(mut delivering) = still else { return Ok(()) };
    match tokio::time::timeout(HAND_OVER, &mut delivering).await {
        Ok(ended) => task("delivery", ended),
        Err(_) => {
            delivering.abort();
            tracing::warn!("a message was still being handed over; the next start looks after it");
            Ok(())
        }
    }
}

/// The end of a task, if there is one.
async fn of<T>(task: &mut Option<tokio::task::JoinHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// What a task ended with.
fn task<T, E: Into<Error>>(
    name: &'static str,
    ended: Result<Result<T, E>, tokio::task::JoinError>,
) -> Result<T, Error> {
    match ended {
        Ok(ended) => ended.map_err(Into::into),
        Err(_) => Err(Error::Task(name)),
    }
}
