//! Retention: once a minute one worker removes what was kept long enough, in small parts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::config::Keep;
use crate::log::DeadLetters;
use crate::metrics::{Metrics, Rows};
use crate::store::Retention;

use super::Clock;

/// How often it is looked for what is old.
const EVERY: Duration = Duration::from_secs(60);
/// The most rows of one transaction.
const ROWS_MAX: u32 = 1_000;
/// What lies between two transactions, so that others come first.
const BETWEEN: Duration = Duration::from_millis(200);

/// The retention of one worker.
pub struct Keeping<S, L> {
    /// Messages and trace.
    pub store: Arc<S>,
    /// Dead letters.
    pub letters: L,
    /// How long what is kept.
    pub keep: Keep,
    /// Name of this worker among others.
    pub worker: String,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Counts what is removed.
    pub metrics: Arc<Metrics>,
}

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error(transparent)]
    Log(#[from] crate::log::Error),
}

impl<S: Retention, L: DeadLetters> Keeping<S, L> {
    /// Removes until `stop` becomes true. That it fails is told of, and holds nothing else up.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut told = false;
        loop {
            let passed = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                passed = self.pass() => passed,
            };
            match passed {
                Ok(()) => told = false,
                Err(error) => {
                    if !told {
                        tracing::warn!(%error, "what was kept long enough stays; it is tried again each minute");
                    }
                    told = true;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Removes all that is old, if it is this worker's turn.
    async fn pass(&self) -> Result<(), Error> {
        for rows in [Rows::Messages, Rows::Trace, Rows::DeadLetters] {
            while self.part(rows).await? {
                tokio::time::sleep(BETWEEN).await;
            }
        }
        Ok(())
    }

    /// Removes a part; returns whether there may be more.
    async fn part(&self, rows: Rows) -> Result<bool, Error> {
        let keep = match rows {
            Rows::Messages => self.keep.messages,
            Rows::Trace => self.keep.trace,
            Rows::DeadLetters => self.keep.dead_letters,
        };
        let Some(keep) = keep else { return Ok(false) };
        let now = self.clock.now();
        if !self.store.takes_turn(&self.worker, now).await? {
            return Ok(false);
        }
        let before = now.plus_ms(-keep.nominal_ms());
        let removed = match rows {
            Rows::Messages => self.store.remove_messages(before, ROWS_MAX).await?,
            Rows::Trace => self.store.remove_trace(before, ROWS_MAX).await?,
            Rows::DeadLetters => self.letters.remove_letters(before, ROWS_MAX).await?,
        };
        self.metrics.removed(rows, removed);
        if removed > 0 {
            tracing::debug!(rows = rows.as_str(), removed, %before, "removed");
        }
        Ok(removed == u64::from(ROWS_MAX))
    }
}
