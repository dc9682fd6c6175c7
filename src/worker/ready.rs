//! Whether a worker can do its work.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::model::Timestamp;

use super::Clock;

/// How long time may stand still before a worker is not ready, or three ticks if that is longer.
pub const STANDS_STILL: Duration = Duration::from_secs(30);

/// Says what keeps a worker from its work.
pub trait Ready: Send + Sync + 'static {
    /// The reasons, one a line; none if it works.
    fn reasons(&self) -> impl Future<Output = Vec<String>> + Send;
}

/// That time stands still, if it does; a tick is due as often as `every` says.
#[must_use]
pub fn stands_still(last: Option<Timestamp>, now: Timestamp, every: Duration) -> Option<String> {
    let Some(last) = last else { return Some("no tick was written yet".to_owned()) };
    let since = now.since_ms(last);
    let seconds = since / 1_000;
    let most = i64::try_from(STANDS_STILL.max(every * 3).as_millis()).unwrap_or(i64::MAX);
    (since > most).then(|| {
        format!("time stands still: the last tick was written {seconds} s ago, and nothing is sent")
    })
}

/// When the embedded worker last wrote a tick.
#[derive(Clone)]
pub(super) struct Pulse(Arc<AtomicI64>);

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MIN)))
    }
}

impl Pulse {
    pub(super) fn beat(&self, at: Timestamp) {
        self.0.store(at.ms(), Ordering::Relaxed);
    }

    fn last(&self) -> Option<Timestamp> {
        let last = self.0.load(Ordering::Relaxed);
        (last != i64::MIN).then(|| Timestamp::from_ms(last))
    }
}

/// What the embedded worker is asked. Its release is in force before it listens, and its files are
/// open, or it ends.
pub(super) struct Embedded {
    pub clock: Arc<dyn Clock>,
    pub pulse: Pulse,
    pub every: Duration,
    pub stop: watch::Receiver<bool>,
}

impl Ready for Embedded {
    async fn reasons(&self) -> Vec<String> {
        let stopping = self.stop.borrow().then(|| "the worker is stopping".to_owned());
        let still = stands_still(self.pulse.last(), self.clock.now(), self.every);
        stopping.into_iter().chain(still).collect()
    }
}
