//! Delivery: claim, last check, render, hand over, outcome.
//!
//! A message is claimed once the lane's watermark has passed its due time and settle. Directly
//! before the first byte one transaction looks once more whether it may go, and pins what is sent;
//! before the last byte another remembers that the provider may have it. What becomes of it is kept
//! together with the event that tells the log. Nothing here reads a rule of a journey.
//!
//! Several workers may deliver from one store ([`Outgoing`]): what one leaves in the middle, another
//! looks after.

mod attempt;
mod compose;
mod link;
mod retry;
mod route;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::metrics::Metrics;
use crate::model::Timestamp;
use crate::store::{self, Claim, Outgoing};

pub use compose::{ComposeError, Composer, Rendered, UNSUBSCRIBE_PATH, allowed};
pub use link::Link;
pub use route::{Routes, Way};

/// How often delivery looks for what other workers have left, and for what is ready without a
/// checkpoint of this one.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long it waits for a database that can't be reached.
const PAUSE: Duration = Duration::from_secs(1);

/// What delivery works with.
pub struct Delivery<S> {
    /// Where messages and their way out are kept.
    pub store: Arc<S>,
    /// Puts messages together; it changes when other templates come into force.
    pub composer: watch::Receiver<Arc<Composer>>,
    /// Where they leave.
    pub routes: Routes,
    /// How many messages are handed over at one time.
    pub at_once: u32,
    /// What time it is.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Raised when the outbox has something to take.
    pub outbox: watch::Sender<u64>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl<S: Outgoing> Delivery<S> {
    /// Sends what is ready each time that `woken` changes, until `stop` becomes true; then what is
    /// being handed over is finished, and nothing more is begun.
    ///
    /// A database that can't be reached for a while is waited for.
    ///
    /// # Errors
    /// [`store::Error`] if the store fails; messages under way are looked after at the next start.
    pub async fn run(
        self,
        mut woken: watch::Receiver<u64>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), store::Error> {
        let at_once = self.at_once.max(1);
        let this = Arc::new(self);
        let mut under_way: JoinSet<Result<(), store::Error>> = JoinSet::new();
        // What each task is about, to look after a message whose task breaks off.
        let mut claims: Vec<(tokio::task::Id, Claim)> = Vec::new();
        let mut look = Look { at: Instant::now(), failing: false };
        loop {
            let room = at_once.saturating_sub(u32::try_from(under_way.len()).unwrap_or(u32::MAX));
            let mut claimed = 0;
            if !*stop.borrow() {
                for claim in this.find(&mut look, room).await? {
                    claimed += 1;
                    let (this, about) = (Arc::clone(&this), claim.clone());
                    let task = under_way.spawn(async move { this.attempt(claim).await });
                    claims.push((task.id(), about));
                }
            }
            if *stop.borrow() && under_way.is_empty() {
                return Ok(());
            }
            let ready = claimed < room && !look.failing;
            tokio::select! {
                Some(ended) = under_way.join_next_with_id() => {
                    let (task, ended) = match ended {
                        Ok((task, ended)) => (task, Some(ended)),
                        Err(error) => (error.id(), None),
                    };
                    let place = claims.iter().position(|(about, _)| *about == task);
                    let claim = place.map(|place| claims.swap_remove(place).1);
                    let ended = match (ended, claim) {
                        (Some(ended), _) => ended,
                        (None, Some(claim)) => {
                            let message = claim.message.decision.message;
                            tracing::error!(%message, "handing over a message broke off");
                            this.broke_off(&claim).await
                        }
                        (None, None) => Ok(()),
                    };
                    look.heed(ended)?;
                }
                // What was claimed did not fill the room, so nothing more is ready: the next
                // checkpoint may change that.
                Ok(()) = woken.changed(), if ready => {}
                Ok(()) = stop.changed() => {}
                () = sleep_until(look.at), if woken.has_changed().is_ok() => {}
                else => return Ok(()),
            }
        }
    }

    /// Looks after what others left, if it is time, and claims as much as there is room for.
    async fn find(&self, look: &mut Look, room: u32) -> Result<Vec<Claim>, store::Error> {
        let time = look.at <= Instant::now();
        if look.failing && !time {
            return Ok(Vec::new());
        }
        if time {
            let recovered = self.recover().await;
            if !look.heed(recovered)? {
                return Ok(Vec::new());
            }
            look.at = Instant::now() + LOOK_EVERY;
        }
        if room == 0 {
            return Ok(Vec::new());
        }
        let mut claims = Vec::new();
        let claimed = self.store.claim((self.now)(), room).await;
        look.heed(claimed.map(|claimed| claims = claimed))?;
        Ok(claims)
    }

    /// Puts right what workers that stopped in the middle had left.
    async fn recover(&self) -> Result<(), store::Error> {
        let recovered =
            self.store.recover((self.now)(), |channel| self.routes.is_caught(channel)).await?;
        if recovered.again + recovered.in_doubt > 0 {
            tracing::warn!(
                again = recovered.again,
                in_doubt = recovered.in_doubt,
                "messages were under way when a worker stopped"
            );
            self.wake_outbox();
        }
        Ok(())
    }

    fn wake_outbox(&self) {
        self.outbox.send_modify(|count| *count += 1);
    }
}

/// When delivery looks around again.
struct Look {
    at: Instant,
    /// Whether the database could not be reached, which is said once.
    failing: bool,
}

impl Look {
    /// Whether it went well; what may go well a little later is waited for.
    fn heed(&mut self, ended: Result<(), store::Error>) -> Result<bool, store::Error> {
        match ended {
            Ok(()) => {
                self.failing = false;
                Ok(true)
            }
            Err(error) if error.is_transient() || error.is_busy() => {
                if !self.failing {
                    tracing::warn!(%error, "delivery waits for the database");
                }
                self.failing = true;
                self.at = Instant::now() + PAUSE;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
