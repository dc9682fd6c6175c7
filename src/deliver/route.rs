//! Where messages leave: a provider for each channel, or a folder.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Audience;
use crate::engine::Decision;
use crate::mail::{Address, Envelope, Smtp};
use crate::model::{MessageChannel, Text, Timestamp};
use crate::provider::{Answer, Caught, Class, Note, Phase};
use crate::sms::{Number, Sms, Twilio};
use crate::store::Pinned;

use super::compose::allowed;

/// Where the messages of each channel leave.
pub struct Routes {
    /// Mails.
    pub email: Way<Smtp>,
    /// SMS.
    pub sms: Way<Twilio>,
    /// Who may be written to by a provider.
    pub audience: Audience,
}

/// The way out of a channel.
pub enum Way<P> {
    /// Kept in a folder; nothing leaves the machine.
    Caught(Arc<Caught>),
    /// Handed to a provider.
    Provider(P),
}

/// What is handed over.
pub(super) struct Outgoing<'a> {
    pub decision: &'a Decision,
    pub pinned: &'a Pinned,
    /// Where it really goes; see [`Routes::destination`].
    pub to: &'a Text,
    pub at: Timestamp,
}

impl Routes {
    /// Where a message to this address really goes; `None`: to nobody, because this is not
    /// production and `deliver.only_to` does not name the address.
    #[must_use]
    pub fn destination(&self, channel: MessageChannel, address: &Text) -> Option<Text> {
        if self.is_caught(channel) {
            return Some(address.clone());
        }
        allowed(&self.audience, channel, address)
    }

    /// Whether messages of the channel are kept in a folder. One that is caught twice is one file.
    #[must_use]
    pub const fn is_caught(&self, channel: MessageChannel) -> bool {
        match channel {
            MessageChannel::Email => matches!(self.email, Way::Caught(_)),
            MessageChannel::Sms => matches!(self.sms, Way::Caught(_)),
        }
    }

    /// Hands one message over that is kept nowhere; `None` if its address may not be written to.
    pub async fn send_once(
        &self,
        decision: &Decision,
        pinned: Pinned,
        at: Timestamp,
    ) -> Option<Answer> {
        let to = self.destination(decision.channel, &pinned.address)?;
        let outgoing = Outgoing { decision, pinned: &pinned, to: &to, at };
        Some(self.hand_over(&outgoing, || async { Ok(()) }).await)
    }

    /// Hands a message over. `before_dot` is awaited before the last byte that the provider needs.
    pub(super) async fn hand_over<F, Fut>(&self, outgoing: &Outgoing<'_>, before_dot: F) -> Answer
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<(), String>>,
    {
        match (outgoing.decision.channel, &self.email, &self.sms) {
            (MessageChannel::Email, Way::Provider(smtp), _) => {
                mail(smtp, outgoing, before_dot).await
            }
            (MessageChannel::Sms, _, Way::Provider(twilio)) => {
                sms(twilio, outgoing, before_dot).await
            }
            (MessageChannel::Email, Way::Caught(caught), _)
            | (MessageChannel::Sms, _, Way::Caught(caught)) => {
                keep(Arc::clone(caught), outgoing, before_dot).await
            }
        }
    }
}

async fn mail<F, Fut>(smtp: &Smtp, outgoing: &Outgoing<'_>, before_dot: F) -> Answer
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<(), String>>,
{
    let Pinned { sender, body, .. } = outgoing.pinned;
    let sender = sender.as_deref().map(Address::parse);
    let envelope = match (sender, Address::parse(outgoing.to)) {
        (Some(Ok(sender)), Ok(recipient)) => Envelope { sender, recipient },
        _ => return unusable(Phase::Mail, "the mail names no sender, or its address is none"),
    };
    smtp.send(&envelope, body, before_dot).await
}

async fn sms<F, Fut>(twilio: &Twilio, outgoing: &Outgoing<'_>, before_dot: F) -> Answer
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<(), String>>,
{
    let body = &outgoing.pinned.body;
    let to = match Number::parse(outgoing.to) {
        Ok(to) => to,
        Err(error) => return unusable(Phase::Connect, &error.to_string()),
    };
    // What is left of its time: a message that comes later is worth nothing.
    let left = outgoing.decision.expires.map(|expires| expires.ms() - outgoing.at.ms());
    let valid_for = left.map(|ms| Duration::from_millis(ms.max(1_000).unsigned_abs()));
    let body = String::from_utf8_lossy(body).into_owned();
    let sms = Sms { to, body, valid_for, status_callback: None };
    twilio.send(&sms, before_dot).await
}

/// Our own refusal of something that no provider could take.
fn unusable(phase: Phase, why: &str) -> Answer {
    Answer::Refused {
        phase,
        code: None,
        enhanced: None,
        reply: why.to_owned(),
        class: Class::Content,
        retry_after: None,
    }
}

/// Keeps a message in the folder; files are written by a thread that may block.
async fn keep<F, Fut>(caught: Arc<Caught>, outgoing: &Outgoing<'_>, before_dot: F) -> Answer
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<(), String>>,
{
    if let Err(why) = before_dot().await {
        return Answer::NotSent { phase: Phase::Dot, why };
    }
    let decision = outgoing.decision;
    // Its due time, so that each try gives the same file.
    let at = decision.at;
    let (message, channel, template) =
        (decision.message, decision.channel, decision.template.clone());
    let Pinned { subject, body, .. } = outgoing.pinned.clone();
    let to = outgoing.to.clone();
    let kept = tokio::task::spawn_blocking(move || {
        let note = Note {
            at,
            message,
            channel: channel.as_str(),
            to: &to,
            subject: subject.as_deref(),
            template: &template,
        };
        let extension = match channel {
            MessageChannel::Email => "eml",
            MessageChannel::Sms => "txt",
        };
        caught.keep(&note, extension, &body).map_err(|error| error.to_string())
    });
    match kept.await.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(file) => Answer::Accepted { reply: format!("caught as {file}"), reference: None },
        // Nothing of it was kept, so nothing is in doubt.
        Err(why) => Answer::NotSent { phase: Phase::Body, why },
    }
}
