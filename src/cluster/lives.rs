//! Tells the others that this worker lives, and hears whether its build may go on: an upgrade that
//! is finished ends workers of the builds before.

use std::time::Duration;

use tokio::sync::watch;

use crate::postgres::{Build, Postgres};
use crate::store;

use super::{Error, Pause};

/// How often it is told.
const EVERY: Duration = Duration::from_secs(10);
/// How long the last word may take.
const LAST: Duration = Duration::from_secs(2);

/// A worker that tells of itself.
pub(super) struct Lives {
    pub database: Postgres,
    /// Name of this process.
    pub instance: String,
}

impl Lives {
    /// Tells it for the first time, as soon as Postgres hears it: nothing is written before.
    ///
    /// # Errors
    /// [`Error`] if this build may not work on the database.
    pub(super) async fn begin(&self) -> Result<(), Error> {
        let mut pause = Pause::default();
        loop {
            match self.tell().await {
                Err(error) if error.is_transient() => {
                    pause.tell("the start waits", &error);
                    tokio::time::sleep(pause.next()).await;
                }
                told => return told,
            }
        }
    }

    /// Tells it until `stop` becomes true.
    ///
    /// # Errors
    /// [`Error`] if this build may not go on.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
        let mut pause = Pause::default();
        let mut wait = EVERY;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            wait = match self.tell().await {
                Ok(()) => {
                    pause.reset();
                    EVERY
                }
                Err(error) if error.is_transient() => {
                    pause.tell("others do not hear that this worker lives", &error);
                    pause.next()
                }
                Err(error) => return Err(error),
            };
        }
        // Without it the worker is remembered as one that was killed.
        let _ = tokio::time::timeout(LAST, self.database.forget_worker(&self.instance)).await;
        Ok(())
    }

    async fn tell(&self) -> Result<(), Error> {
        let told = self.database.tell_of_worker(&self.instance, &Build::THIS).await;
        told.map_err(|error| store::Error::from(error).into())
    }
}
