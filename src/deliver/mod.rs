//! Delivery: claim, last check, render, hand over, outcome.
//!
//! A message is claimed once the lane's watermark has passed its due time and settle. Directly
//! before the first byte one transaction looks once more whether it may go, and pins what is sent;
//! before the last byte another remembers that the provider may have it. What becomes of it is kept
//! together with the event that tells the log. Nothing here reads a rule of a journey.

mod attempt;
mod compose;
mod link;
mod retry;
mod route;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::model::Timestamp;
use crate::store::{self, Claim, SqliteStore};

pub use compose::{ComposeError, Composer, Rendered, UNSUBSCRIBE_PATH, allowed};
pub use link::Link;
pub use route::{Routes, Way};

/// What delivery works with.
pub struct Delivery {
    /// Where messages and their way out are kept.
    pub store: Arc<SqliteStore>,
    /// Puts messages together.
    pub composer: Composer,
    /// Where they leave.
    pub routes: Routes,
    /// How many messages are handed over at one time.
    pub at_once: u32,
    /// What time it is.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Raised when the outbox has something to take.
    pub outbox: watch::Sender<u64>,
}

impl Delivery {
    /// Sends what is ready each time that `woken` changes, until `stop` becomes true; then what is
    /// being handed over is finished, and nothing more is begun.
    ///
    /// # Errors
    /// [`store::Error`] if the store fails; messages under way are looked after at the next start.
    pub async fn run(
        self,
        mut woken: watch::Receiver<u64>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), store::Error> {
        let recovered =
            self.store.recover((self.now)(), |channel| self.routes.is_caught(channel)).await?;
        if recovered.again + recovered.in_doubt > 0 {
            tracing::warn!(
                again = recovered.again,
                in_doubt = recovered.in_doubt,
                "messages were under way when the worker stopped"
            );
            self.wake_outbox();
        }
        let at_once = self.at_once.max(1);
        let this = Arc::new(self);
        let mut under_way: JoinSet<Result<(), store::Error>> = JoinSet::new();
        // What each task is about, to look after a message whose task breaks off.
        let mut claims: Vec<(tokio::task::Id, Claim)> = Vec::new();
        loop {
            let room = at_once.saturating_sub(u32::try_from(under_way.len()).unwrap_or(u32::MAX));
            let mut claimed = 0;
            if room > 0 && !*stop.borrow() {
                for claim in this.store.claim((this.now)(), room).await? {
                    claimed += 1;
                    let (this, about) = (Arc::clone(&this), claim.clone());
                    let task = under_way.spawn(async move { this.attempt(claim).await });
                    claims.push((task.id(), about));
                }
            }
            if *stop.borrow() && under_way.is_empty() {
                return Ok(());
            }
            tokio::select! {
                Some(ended) = under_way.join_next_with_id() => {
                    let (task, ended) = match ended {
                        Ok((task, ended)) => (task, Some(ended)),
                        Err(error) => (error.id(), None),
                    };
                    let place = claims.iter().position(|(about, _)| *about == task);
                    let claim = place.map(|place| claims.swap_remove(place).1);
                    match (ended, claim) {
                        (Some(ended), _) => ended?,
                        (None, Some(claim)) => {
                            let message = claim.message.decision.message;
                            tracing::error!(%message, "handing over a message broke off");
                            this.broke_off(&claim).await?;
                        }
                        (None, None) => {}
                    }
                }
                // What was claimed did not fill the room, so nothing more is ready: the next
                // checkpoint may change that.
                Ok(()) = woken.changed(), if claimed < room => {}
                Ok(()) = stop.changed() => {}
                else => return Ok(()),
            }
        }
    }

    fn wake_outbox(&self) {
        self.outbox.send_modify(|count| *count += 1);
    }
}
