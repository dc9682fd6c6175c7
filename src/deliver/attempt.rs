//! One try to hand one message over.

use std::sync::Arc;

use tracing::Instrument as _;

use crate::engine::Decision;
use crate::metrics::SPANS;
use crate::model::{MessageChannel, SECOND_MS, Text, Timestamp};
use crate::provider::{Answer, Class, scrub};
use crate::store::{
    self, Begin, Claim, DeliveryStatus, End, Listing, MessageFilter, Outcome, Pinned, Suppression,
    SuppressionReason, address_hash,
};

use super::Delivery;
use super::retry::{FAULT_MS, Failure, next_try};
use super::route::Outgoing;

/// How often starting a message is tried in a row: its content may become newer meanwhile.
const STARTS_MAX: u32 = 5;

impl<S: store::Outgoing> Delivery<S> {
    /// Takes a claimed message as far as it goes now: to its end, or back to waiting.
    pub(super) async fn attempt(&self, claim: Claim) -> Result<(), store::Error> {
        let _under_way = self.metrics.handing_over();
        let decision = &claim.message.decision;
        let span = tracing::info_span!(
            target: SPANS,
            "delivery attempt",
            message = %decision.message,
            channel = decision.channel.as_str(),
            journey = %decision.journey,
            step = %decision.step,
            tries = claim.attempts + 1,
        );
        self.go(claim).instrument(span).await
    }

    async fn go(&self, mut claim: Claim) -> Result<(), store::Error> {
        for _ in 0..STARTS_MAX {
            let now = (self.now)();
            if let Some(end) = too_late(&claim.message.decision, now) {
                return self.end(&claim, end).await;
            }
            let (pinned, to) = match self.pinned(&claim, now) {
                Ok(pinned) => pinned,
                Err(end) => return self.end(&claim, end).await,
            };
            let begin = match self.store.start(&claim, &pinned, now).await {
                // Another program has locked the file; the next look asks for the time again.
                Err(error) if error.is_busy() => continue,
                begin => begin?,
            };
            match begin {
                Begin::Go => return self.hand_over(&claim, &pinned, &to).await,
                Begin::Newer => {
                    let message = claim.message.decision.message;
                    let Some(newest) = self.store.ledger().message_of(message).await? else {
                        return Ok(());
                    };
                    claim.message = newest;
                }
                Begin::Gone => return Ok(()),
                Begin::Suppressed(_) => {
                    let channel = claim.message.decision.channel;
                    self.metrics.delivered(channel, DeliveryStatus::Cancelled);
                    self.wake_outbox();
                    return Ok(());
                }
            }
        }
        let later = (self.now)().plus_ms(SECOND_MS);
        let why = "its content kept changing, or the store was locked";
        self.again(&claim, later, false, why).await
    }

    /// What is to be handed over: what the first attempt pinned, or the newest content; and where
    /// it really goes, which outside production may be elsewhere than to the customer.
    fn pinned(&self, claim: &Claim, now: Timestamp) -> Result<(Pinned, Text), End> {
        let channel = claim.message.decision.channel;
        let pinned = match &claim.pinned {
            Some(pinned) => pinned.clone(),
            None => self.composed(claim, now)?,
        };
        match self.routes.destination(channel, &pinned.address) {
            Some(to) => Ok((pinned, to)),
            None => {
                let why = "not production, and `deliver.only_to` does not name the address";
                Err(End {
                    status: DeliveryStatus::Cancelled,
                    outcome: Outcome::Cancelled,
                    detail: Some(why.to_owned()),
                    suppress: false,
                })
            }
        }
    }

    /// The newest content, rendered and put together.
    fn composed(&self, claim: &Claim, now: Timestamp) -> Result<Pinned, End> {
        let decision = &claim.message.decision;
        let composer = Arc::clone(&self.composer.borrow());
        let composed =
            composer.compose(decision, claim.message.customer, claim.message.revision, now);
        composed.map_err(|error| {
            // It may quote what the template was given.
            let why = scrub(&error.to_string());
            tracing::error!(message = %decision.message, template = %decision.template, why,
                "a message can't be put together");
            End {
                status: DeliveryStatus::Refused,
                outcome: Outcome::Failed,
                detail: Some(why),
                suppress: false,
            }
        })
    }

    /// Hands a started message over, and keeps what came of it.
    async fn hand_over(
        &self,
        claim: &Claim,
        pinned: &Pinned,
        to: &Text,
    ) -> Result<(), store::Error> {
        let decision = &claim.message.decision;
        let outgoing = Outgoing { decision, pinned, to, at: (self.now)() };
        // What is said of the inbox that mails are redirected to is not said of the customer's.
        let own = *to == pinned.address;
        let before_dot = || async {
            self.store.dot_sent(claim, (self.now)()).await.map_err(|error| error.to_string())
        };
        let answer = self.routes.hand_over(&outgoing, before_dot).await;
        let end = |status, outcome, detail: String, suppress| End {
            status,
            outcome,
            detail: Some(detail),
            suppress,
        };
        let refused =
            |reply, outcome, suppress| end(DeliveryStatus::Refused, outcome, reply, suppress);
        match answer {
            Answer::Accepted { reply, .. } => {
                let reply = if own { reply } else { format!("redirected: {reply}") };
                let sent = end(DeliveryStatus::Sent, Outcome::Sent, reply, false);
                self.end(claim, sent).await
            }
            Answer::InDoubt { why } => {
                tracing::warn!(message = %decision.message, %why, "whether a message was taken is not known");
                let doubtful = end(DeliveryStatus::InDoubt, Outcome::Started, why, false);
                self.end(claim, doubtful).await
            }
            Answer::NotSent { phase, why } => {
                self.later(claim, Failure::OfChannel, None, &format!("{phase}: {why}")).await
            }
            Answer::Refused { phase, reply, class, retry_after, .. } => {
                let reply = format!("{phase}: {reply}");
                match class {
                    Class::Transient => {
                        self.later(claim, Failure::OfMessage, retry_after, &reply).await
                    }
                    Class::ChannelFault => {
                        tracing::error!(
                            channel = decision.channel.as_str(),
                            reply,
                            "the provider refuses everything; messages wait"
                        );
                        let later = (self.now)().plus_ms(FAULT_MS);
                        self.again(claim, later, false, &reply).await
                    }
                    Class::Permanent { address_is_bad: true } if own => {
                        self.end(claim, refused(reply, Outcome::Bounced, true)).await
                    }
                    Class::OptedOut if own => {
                        self.opted_out(claim, pinned).await?;
                        self.end(claim, refused(reply, Outcome::Failed, false)).await
                    }
                    Class::Content | Class::Permanent { .. } | Class::OptedOut => {
                        self.end(claim, refused(reply, Outcome::Failed, false)).await
                    }
                }
            }
        }
    }

    /// Puts a message that did not go back, or ends it if no other try is left in its time.
    async fn later(
        &self,
        claim: &Claim,
        failure: Failure,
        asked: Option<std::time::Duration>,
        why: &str,
    ) -> Result<(), store::Error> {
        let decision = &claim.message.decision;
        let now = (self.now)();
        let Some(at) = next_try(decision.message, claim.attempts + 1, failure, now, asked) else {
            let end = End {
                status: DeliveryStatus::Refused,
                outcome: Outcome::Failed,
                detail: Some(format!("no try is left; the last: {why}")),
                suppress: false,
            };
            return self.end(claim, end).await;
        };
        match too_late(decision, at) {
            Some(end) => {
                let detail = Some(format!("no try is left in its time; the last: {why}"));
                self.end(claim, End { detail, ..end }).await
            }
            None => {
                tracing::warn!(message = %decision.message, tries = claim.attempts + 1, next = %at,
                    why, "a message did not go; it is tried again");
                self.again(claim, at, true, why).await
            }
        }
    }

    /// The provider says that the recipient told it to stop: as an unsubscribe from everything.
    async fn opted_out(&self, claim: &Claim, pinned: &Pinned) -> Result<(), store::Error> {
        let channel: MessageChannel = claim.message.decision.channel;
        let suppression = Suppression {
            channel,
            address: address_hash(&self.composer.borrow().secret, channel, &pinned.address),
            topic: None,
            reason: SuppressionReason::Unsubscribed,
            at: (self.now)(),
        };
        let customer = claim.message.customer;
        let keep = || async { self.store.unsubscribe(&suppression, customer).await.map(drop) };
        self.keep(claim, keep).await
    }

    /// What is to be done about a message whose attempt broke off, by a fault in this program: its
    /// data makes it happen again, so it is not repeated.
    pub(super) async fn broke_off(&self, claim: &Claim) -> Result<(), store::Error> {
        let filter = MessageFilter {
            message: Some(claim.message.decision.message),
            limit: 1,
            ..MessageFilter::default()
        };
        let found = self.store.ledger().messages(&filter).await?.pop();
        let status = found.and_then(|(_, delivery)| delivery).map(|delivery| delivery.status);
        let (status, outcome) = match status {
            Some(DeliveryStatus::DotSent) => (DeliveryStatus::InDoubt, Outcome::Started),
            _ => (DeliveryStatus::Refused, Outcome::Failed),
        };
        let detail = Some("handing it over failed by a fault in this program".to_owned());
        self.end(claim, End { status, outcome, detail, suppress: false }).await
    }

    /// Keeps an end.
    async fn end(&self, claim: &Claim, end: End) -> Result<(), store::Error> {
        self.keep(claim, || self.store.end(claim, &end, (self.now)())).await?;
        self.metrics.delivered(claim.message.decision.channel, end.status);
        self.wake_outbox();
        Ok(())
    }

    /// Puts a message back, to be tried again.
    async fn again(
        &self,
        claim: &Claim,
        at: Timestamp,
        counts: bool,
        why: &str,
    ) -> Result<(), store::Error> {
        self.keep(claim, || self.store.again(claim, at, counts, why, (self.now)())).await?;
        self.metrics.tried_again(claim.message.decision.channel);
        Ok(())
    }

    /// Keeps what became of a message, which nobody else knows: as long as the store takes nothing
    /// for now, until this process ends. Whether it still counts by then is the store's to say.
    async fn keep<F, Fut>(&self, claim: &Claim, keep: F) -> Result<(), store::Error>
    where
        F: Fn() -> Fut + Send,
        Fut: Future<Output = Result<(), store::Error>> + Send,
    {
        let mut said = false;
        loop {
            match keep().await {
                Err(error) if error.is_busy() || error.is_transient() => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!(message = %claim.message.decision.message, %error,
                            "what became of a message waits to be kept");
                    }
                    // A file that is busy has been waited for already.
                    if error.is_transient() {
                        tokio::time::sleep(super::PAUSE).await;
                    }
                }
                kept => return kept,
            }
        }
    }
}

/// How a message ends whose time has passed.
fn too_late(decision: &Decision, now: Timestamp) -> Option<End> {
    let end = |status, outcome, detail: &str| {
        Some(End { status, outcome, detail: Some(detail.to_owned()), suppress: false })
    };
    if decision.expires.is_some_and(|expires| now > expires) {
        return end(DeliveryStatus::Expired, Outcome::Expired, "its time had passed");
    }
    if decision.window_end.is_some_and(|closes| now >= closes) {
        let detail = "its send window had closed";
        return end(DeliveryStatus::MissedWindow, Outcome::MissedWindow, detail);
    }
    None
}
