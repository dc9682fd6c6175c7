//! The lanes of this worker: one task for each partition of the log that is its share.
//!
//! The next batch is applied while the last one is committed. A lane that was taken by another, or
//! whose commit may or may not have been kept, is dropped and begun again from what Postgres has.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::engine::Options;
use crate::lane::{Lane, Merges};
use crate::log::{KafkaLog, ReadLog, Record};
use crate::metrics::Metrics;
use crate::release;
use crate::store::{PgStore, Store};

use super::feed::{Feed, Records};
use super::members::{Positions, Share};
use super::ready::Shares;
use super::{Error, Pause};

/// How long a lane that another has taken waits to hear that it is that one's to keep.
const FENCED: Duration = Duration::from_secs(5);

/// What lanes are given.
#[derive(Clone)]
pub(super) struct Shared {
    pub store: Arc<PgStore>,
    pub log: KafkaLog,
    pub feed: Feed,
    pub positions: Positions,
    /// Raised when the outbox has something to take.
    pub outbox: watch::Sender<u64>,
    /// Raised by each checkpoint: messages may be ready, or taken back.
    pub checkpoints: watch::Sender<u64>,
    pub records_max: usize,
    /// How much of the states all lanes together keep in memory, in bytes.
    pub cache_bytes: usize,
    /// How many lanes there are.
    pub lanes: Arc<AtomicUsize>,
    pub metrics: Arc<Metrics>,
    pub shares: Arc<Shares>,
}

/// Runs a lane for each partition that is this worker's, until `stop` becomes true.
///
/// # Errors
/// [`Error`] for what will not get better by itself.
pub(super) async fn run(
    shared: Shared,
    mut shares: mpsc::UnboundedReceiver<Share>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let mut ends: BTreeMap<u32, watch::Sender<bool>> = BTreeMap::new();
    let mut lanes: JoinSet<Result<u32, Error>> = JoinSet::new();
    loop {
        tokio::select! {
            Some(share) = shares.recv() => match share {
                Share::Ours(partitions) => {
                    tracing::info!(?partitions, "lanes taken");
                    shared.shares.has_lanes();
                    for partition in partitions {
                        let (end, ending) = watch::channel(false);
                        ends.insert(partition, end);
                        lanes.spawn(keep_up(shared.clone(), partition, ending));
                    }
                }
                Share::Gone(partitions) => {
                    tracing::info!(?partitions, "lanes given away");
                    for partition in partitions {
                        // It stops after the checkpoint under way, if that is still its own.
                        ends.remove(&partition);
                    }
                }
            },
            Some(ended) = lanes.join_next() => {
                let partition = ended.map_err(|_| Error::Task("a lane"))??;
                tracing::debug!(partition, "lane ended");
            }
            _ = stop.wait_for(|stop| *stop) => break,
        }
        shared.lanes.store(ends.len().max(1), Ordering::Relaxed);
    }
    drop(ends);
    while let Some(ended) = lanes.join_next().await {
        ended.map_err(|_| Error::Task("a lane"))??;
    }
    Ok(())
}

/// Keeps a lane going through whatever passes by, until it is given away.
async fn keep_up(
    shared: Shared,
    partition: u32,
    mut end: watch::Receiver<bool>,
) -> Result<u32, Error> {
    let mut pause = Pause::default();
    loop {
        match follow(&shared, partition, &mut end, &mut pause).await {
            Ok(()) => break,
            Err(error) if error.is_transient() || error.is_fenced() => {
                // Whoever was away too long hears late that the partition is another's; to take it
                // back at once would only disturb that one.
                pause.tell(&format!("lane {partition} begins again"), &error);
                let wait = if error.is_fenced() { FENCED } else { pause.next() };
                // Its sender is gone once the partition is another's.
                if tokio::time::timeout(wait, end.changed()).await.is_ok() {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
    }
    shared.metrics.lane_gone(partition);
    shared.positions.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    Ok(partition)
}

/// Takes a lane and follows its partition until it is given away.
async fn follow(
    shared: &Shared,
    partition: u32,
    end: &mut watch::Receiver<bool>,
    pause: &mut Pause,
) -> Result<(), Error> {
    // Taken first: until then who had it may go on, and past an activation.
    let (lease, position) = shared.store.take(partition).await?;
    let known = {
        let positions = shared.positions.lock().unwrap_or_else(PoisonError::into_inner);
        positions.get(&partition).copied().unwrap_or(0)
    };
    if known > position.end {
        let place = format!("partition {partition} of the log");
        return Err(Error::behind(&place, known, position.end));
    }
    let timeline = release::timeline(&shared.log, position.watermark, Options::default()).await?;
    let (store, partitions) = (shared.store.clone(), shared.log.partitions());
    let mut lane = Lane::of(store, (lease, position), partitions, timeline, Merges::Outbox);
    shared.metrics.lane_stands(&lane);
    let from = shared.log.begins(partition, lane.reads_from()).await?;
    let records = shared.feed.open(partition, from);
    let mut committing: Option<Committing> = None;
    loop {
        let batch = tokio::select! {
            biased;
            _ = end.changed() => break,
            done = finished(&mut committing) => {
                committing = None;
                landed(shared, &mut lane, done?);
                continue;
            }
            batch = records.take(shared.records_max) => batch?,
        };
        pause.reset();
        apply(shared, &mut lane, batch).await?;
        if let Some(previous) = committing.take() {
            let end = finished(&mut Some(previous)).await?;
            landed(shared, &mut lane, end);
        }
        let checkpoint = lane.checkpoint()?;
        let leaves = !checkpoint.outbox.is_empty();
        tracing::debug!(
            partition,
            end = checkpoint.position.end,
            states = checkpoint.states.len(),
            messages = checkpoint.messages.len(),
            leaves,
            "checkpoint"
        );
        let (store, lease) = (shared.store.clone(), lane.lease());
        let measured = shared.metrics.checkpoint(partition, &checkpoint);
        let end = checkpoint.position.end;
        let commit = measured.of(async move { store.commit(lease, checkpoint).await });
        committing = Some(tokio::spawn(async move { commit.await.map(|()| end) }));
    }
    if let Some(previous) = committing {
        let end = finished(&mut Some(previous)).await?;
        landed(shared, &mut lane, end);
    }
    drop::<Records>(records);
    Ok(())
}

/// Applies a batch, with the releases that it activates.
async fn apply(
    shared: &Shared,
    lane: &mut Lane<Arc<PgStore>>,
    batch: Vec<(u64, Record)>,
) -> Result<(), Error> {
    for (offset, record) in batch {
        if let Record::Control(control) = &record
            && !lane.has_release(control.release)
        {
            let files = shared.log.release(control.release).await?;
            let files = files.ok_or(release::Error::Missing(control.release))?;
            lane.learn(release::unpack(control.release, &files)?);
        }
        lane.push(offset, record).await?;
    }
    lane.flush().await?;
    Ok(())
}

/// A commit under way: up to which offset the database knows the log then.
type Committing = JoinHandle<Result<u64, crate::store::Error>>;

/// The end of a commit; never, if none is under way.
async fn finished(committing: &mut Option<Committing>) -> Result<u64, Error> {
    match committing {
        Some(committing) => Ok(committing.await.map_err(|_| Error::Task("a checkpoint"))??),
        None => std::future::pending().await,
    }
}

/// A checkpoint up to `end` is kept: whoever waits for it goes on. The lane itself may be further.
fn landed(shared: &Shared, lane: &mut Lane<Arc<PgStore>>, end: u64) {
    lane.landed();
    lane.trim(shared.cache_bytes / shared.lanes.load(Ordering::Relaxed).max(1));
    shared.metrics.lane_stands(lane);
    let partition = lane.lease().partition;
    let mut positions = shared.positions.lock().unwrap_or_else(PoisonError::into_inner);
    positions.insert(partition, end);
    drop(positions);
    shared.checkpoints.send_modify(|count| *count += 1);
    shared.outbox.send_modify(|count| *count += 1);
}
