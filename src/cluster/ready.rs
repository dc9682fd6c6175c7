//! Whether a worker of production can do its work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::log::Registry;
use crate::worker::{Clock, Ready, stands_still};

use super::Roles;

/// How long Postgres may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a worker has been given by Kafka's groups, where nothing to do counts, too; and whether it
/// gives it up.
#[derive(Debug, Default)]
pub struct Shares {
    inputs: AtomicBool,
    lanes: AtomicBool,
    ending: AtomicBool,
}

impl Shares {
    pub(super) fn has_inputs(&self) {
        self.inputs.store(true, Ordering::Relaxed);
    }

    pub(super) fn ends(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_lanes(&self) {
        self.lanes.store(true, Ordering::Relaxed);
    }
}

/// What a worker is asked.
pub struct Readiness {
    /// What the log is kept with.
    pub registry: Registry,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What the worker does.
    pub roles: Roles,
    /// What it was given.
    pub shares: Arc<Shares>,
    /// How often a tick is due.
    pub every: Duration,
    /// Becomes true when it is to stop.
    pub stop: watch::Receiver<bool>,
}

impl Ready for Readiness {
    async fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if *self.stop.borrow() || self.shares.ending.load(Ordering::Relaxed) {
            reasons.push("the worker is stopping".to_owned());
        }
        let now = self.clock.now();
        match tokio::time::timeout(PATIENCE, self.registry.pulse(now)).await {
            Ok(Ok(pulse)) => {
                if !pulse.released {
                    let text = "no release is in force: put one in force with `waypost apply`";
                    reasons.push(text.to_owned());
                }
                reasons.extend(stands_still(pulse.ticked, now, self.every));
            }
            Ok(Err(error)) => reasons.push(format!("Postgres: {error}")),
            Err(_) => reasons.push("Postgres does not answer".to_owned()),
        }
        let waits = |role: bool, given: &AtomicBool| role && !given.load(Ordering::Relaxed);
        if waits(self.roles.ingest, &self.shares.inputs) {
            reasons.push("ingest has not been given its partitions by Kafka yet".to_owned());
        }
        if waits(self.roles.decide, &self.shares.lanes) {
            reasons.push("the lanes have not been given their partitions by Kafka yet".to_owned());
        }
        reasons
    }
}
