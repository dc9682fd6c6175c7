//! What lies in the store, looked at now and then.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::store::{Listing, Outgoing, Pending};

use super::Metrics;

/// How often the store is asked.
pub const EVERY: Duration = Duration::from_secs(15);

impl Metrics {
    /// Asks the store every [`EVERY`] for what waits in it, until `stop` becomes true.
    pub async fn watch<S: Outgoing>(
        self: Arc<Self>,
        store: Arc<S>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            match store.ledger().pending().await {
                Ok(pending) => self.sample(&pending),
                // Whoever works with the store says that it can't be had.
                Err(error) => tracing::debug!(%error, "what waits in the store is not known"),
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Takes what waits in the store.
    pub fn sample(&self, pending: &Pending) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.waiting.set(number(pending.waiting));
        self.in_doubt.set(number(pending.in_doubt));
        self.outbox.set(number(pending.outbox));
        *self.due_since.lock().unwrap_or_else(PoisonError::into_inner) = pending.oldest;
    }
}
