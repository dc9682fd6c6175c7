//! One task for each partition: reads the log, runs the lane, commits checkpoints.

use std::sync::Arc;

use tokio::sync::watch;

use crate::lane::{Lane, Merges, Timeline};
use crate::log::{LogReader, ReadLog};
use crate::metrics::Metrics;
use crate::store::SqliteStore;

use super::{Backlog, Error};

/// What a lane task is given.
pub(super) struct Part {
    pub store: Arc<SqliteStore>,
    pub reader: LogReader,
    pub partition: u32,
    pub partitions: u32,
    pub timeline: Timeline,
    /// Raised when the outbox has something to take.
    pub outbox: watch::Sender<u64>,
    /// Raised by each checkpoint: messages may be ready, or taken back.
    pub checkpoints: watch::Sender<u64>,
    /// Becomes true when ingest has written all there is.
    pub finished: watch::Receiver<bool>,
    pub backlog: Backlog,
    pub metrics: Arc<Metrics>,
    pub records_max: usize,
    pub cache_bytes: usize,
}

/// Runs a lane until ingest has finished and everything is applied.
pub(super) async fn run(part: Part) -> Result<(), Error> {
    let Part {
        store,
        reader,
        partition,
        partitions,
        timeline,
        outbox,
        checkpoints,
        mut finished,
        ..
    } = part;
    let mut lane = Lane::take(store, partition, partitions, timeline, Merges::Outbox).await?;
    let mut next = lane.reads_from();
    part.metrics.lane_stands(&lane);
    let mut behind = true;
    loop {
        if behind && !part.backlog.is_behind(lane.position().watermark) {
            behind = false;
            part.backlog.behind.send_modify(|lanes| *lanes -= 1);
        }
        // Asked before reading: what ingest wrote before it finished is then read below.
        let last = *finished.borrow();
        let records = reader.read(partition, next, part.records_max).await?;
        if records.is_empty() {
            if last {
                return Ok(());
            }
            tokio::select! {
                _ = reader.grown(partition, next) => {}
                _ = finished.changed() => {}
            }
            continue;
        }
        for (offset, record) in records {
            next = offset + 1;
            lane.push(offset, record).await?;
        }
        lane.flush().await?;
        let checkpoint = lane.checkpoint()?;
        let leaves = !checkpoint.outbox.is_empty();
        tracing::debug!(
            partition,
            end = checkpoint.position.end,
            states = checkpoint.states.len(),
            messages = checkpoint.messages.len(),
            "checkpoint"
        );
        let measured = part.metrics.checkpoint(partition, &checkpoint);
        measured.of(lane.commit(checkpoint)).await?;
        lane.trim(part.cache_bytes);
        part.metrics.lane_stands(&lane);
        checkpoints.send_modify(|count| *count += 1);
        if leaves {
            outbox.send_modify(|count| *count += 1);
        }
    }
}
