//! One try to hand one message over.

use crate::engine::Decision;
use crate::model::{MessageChannel, SECOND_MS, Timestamp};
use crate::provider::{Answer, Class};
use crate::store::{
    self, Begin, Claim, DeliveryStatus, End, Outcome, Pinned, Suppression, SuppressionReason,
    address_hash,
};

use super::Delivery;
use super::retry::{FAULT_MS, next_try};
use super::route::Outgoing;

/// How often a message is rendered again because its content became newer meanwhile.
const RENDERS_MAX: u32 = 5;

impl Delivery {
    /// Takes a claimed message as far as it goes now: to its end, or back to waiting.
    pub(super) async fn attempt(&self, mut claim: Claim) -> Result<(), store::Error> {
        for _ in 0..RENDERS_MAX {
            let now = (self.now)();
            if let Some(end) = too_late(&claim.message.decision, now) {
                return self.end(&claim, end).await;
            }
            let pinned = match self.pinned(&claim, now) {
                Ok(pinned) => pinned,
                Err(end) => return self.end(&claim, end).await,
            };
            match self.store.start(&claim, &pinned, now).await? {
                Begin::Go => return self.hand_over(&claim, &pinned).await,
                Begin::Newer => {
                    let message = claim.message.decision.message;
                    let Some(newest) = self.store.ledger().message_of(message).await? else {
                        return Ok(());
                    };
                    claim.message = newest;
                }
                Begin::Gone => return Ok(()),
                Begin::Suppressed(_) => {
                    self.wake_outbox();
                    return Ok(());
                }
            }
        }
        let later = (self.now)().plus_ms(SECOND_MS);
        self.store.again(&claim, later, false, "its content kept changing", (self.now)()).await
    }

    /// What is to be handed over: what the first attempt pinned, or the newest content.
    fn pinned(&self, claim: &Claim, now: Timestamp) -> Result<Pinned, End> {
        if let Some(pinned) = &claim.pinned {
            return Ok(pinned.clone());
        }
        let decision = &claim.message.decision;
        let mut pinned = self
            .composer
            .compose(decision, claim.message.customer, claim.message.revision, now)
            .map_err(|error| {
                tracing::error!(message = %decision.message, template = %decision.template, %error,
                "a message can't be put together");
                End {
                    status: DeliveryStatus::Refused,
                    outcome: Outcome::Failed,
                    detail: Some(error.to_string()),
                    suppress: false,
                }
            })?;
        match self.routes.destination(decision.channel, &pinned.address) {
            Some(destination) => pinned.address = destination,
            None => {
                let why = "not production, and `deliver.only_to` does not name the address";
                return Err(End {
                    status: DeliveryStatus::Cancelled,
                    outcome: Outcome::Cancelled,
                    detail: Some(why.to_owned()),
                    suppress: false,
                });
            }
        }
        Ok(pinned)
    }

    /// Hands a started message over, and keeps what came of it.
    async fn hand_over(&self, claim: &Claim, pinned: &Pinned) -> Result<(), store::Error> {
        let decision = &claim.message.decision;
        let outgoing = Outgoing { decision, pinned, at: (self.now)() };
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
                let sent = end(DeliveryStatus::Sent, Outcome::Sent, reply, false);
                self.end(claim, sent).await
            }
            Answer::InDoubt { why } => {
                tracing::warn!(message = %decision.message, %why, "whether a message was taken is not known");
                let doubtful = end(DeliveryStatus::InDoubt, Outcome::Started, why, false);
                self.end(claim, doubtful).await
            }
            Answer::NotSent { phase, why } => {
                self.later(claim, None, &format!("{phase}: {why}")).await
            }
            Answer::Refused { phase, reply, class, retry_after, .. } => {
                let reply = format!("{phase}: {reply}");
                match class {
                    Class::Transient => self.later(claim, retry_after, &reply).await,
                    Class::ChannelFault => {
                        tracing::error!(
                            channel = decision.channel.as_str(),
                            reply,
                            "the provider refuses everything; messages wait"
                        );
                        let (now, later) = ((self.now)(), (self.now)().plus_ms(FAULT_MS));
                        self.store.again(claim, later, false, &reply, now).await
                    }
                    Class::Content | Class::Permanent { address_is_bad: false } => {
                        self.end(claim, refused(reply, Outcome::Failed, false)).await
                    }
                    Class::Permanent { address_is_bad: true } => {
                        self.end(claim, refused(reply, Outcome::Bounced, true)).await
                    }
                    Class::OptedOut => {
                        self.opted_out(claim, pinned).await?;
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
        asked: Option<std::time::Duration>,
        why: &str,
    ) -> Result<(), store::Error> {
        let decision = &claim.message.decision;
        let now = (self.now)();
        let Some(at) = next_try(decision.message, claim.attempts + 1, now, asked) else {
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
            None => self.store.again(claim, at, true, why, now).await,
        }
    }

    /// The provider says that the recipient told it to stop: as an unsubscribe from everything.
    async fn opted_out(&self, claim: &Claim, pinned: &Pinned) -> Result<(), store::Error> {
        let channel: MessageChannel = claim.message.decision.channel;
        let suppression = Suppression {
            channel,
            address: address_hash(&self.composer.secret, channel, &pinned.address),
            topic: None,
            reason: SuppressionReason::Unsubscribed,
            at: (self.now)(),
        };
        self.store.unsubscribe(&suppression, claim.message.customer).await?;
        Ok(())
    }

    async fn end(&self, claim: &Claim, end: End) -> Result<(), store::Error> {
        self.store.end(&claim.message, &end, (self.now)()).await?;
        self.wake_outbox();
        Ok(())
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
