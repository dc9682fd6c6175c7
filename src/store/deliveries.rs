//! The way out of a message: what delivery keeps of it, and what stands in its way.

use crate::mail::Address;
use crate::model::{EventName, MessageChannel, MessageId, Text, Timestamp, derive_keyed};

use super::StoredMessage;

macro_rules! delivery_statuses {
    ($($variant:ident = $word:literal, $doc:literal;)*) => {
        /// How far a message is on its way out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DeliveryStatus {
            $(#[doc = $doc] $variant,)*
        }

        impl DeliveryStatus {
            /// Every status with its word and its meaning.
            pub const ALL: &'static [(Self, &'static str, &'static str)] =
                &[$((Self::$variant, $word, $doc),)*];

            /// The word used in output and tables.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The status of this word.
            #[must_use]
            pub fn named(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

delivery_statuses! {
    Waiting = "waiting", "It waits: for its time, for another try, or for a hold to end.";
    Claimed = "claimed", "Delivery has taken it; nothing has gone to the provider.";
    Started = "started", "It is being handed to the provider, who can't have accepted it yet.";
    DotSent = "dot_sent", "All of it went to the provider, whose answer is awaited.";
    Sent = "sent", "The provider took it.";
    Refused = "refused", "It can't be sent: refused for good, or it can't be rendered.";
    Expired = "expired", "Its time passed before it could be sent.";
    MissedWindow = "missed_window", "Its send window closed before it could be sent.";
    Cancelled = "cancelled", "It was stopped, suppressed or cancelled before it started.";
    InDoubt = "in_doubt", "All of it went to the provider and no answer came: sent or not, nobody knows.";
}

impl DeliveryStatus {
    /// Whether nothing more will happen of itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Claimed | Self::Started | Self::DotSent)
    }

    /// How a message ended of which delivery told this; `None` for what only others tell.
    pub(super) const fn told_by(outcome: &EventName) -> Option<Self> {
        Some(match outcome {
            EventName::EmailStarted | EventName::SmsStarted => Self::InDoubt,
            EventName::EmailSent | EventName::SmsSent => Self::Sent,
            EventName::EmailBounced
            | EventName::SmsBounced
            | EventName::EmailFailed
            | EventName::SmsFailed => Self::Refused,
            EventName::EmailExpired | EventName::SmsExpired => Self::Expired,
            EventName::EmailMissedWindow | EventName::SmsMissedWindow => Self::MissedWindow,
            EventName::EmailCancelled | EventName::SmsCancelled => Self::Cancelled,
            _ => return None,
        })
    }
}

/// What delivery keeps of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// How far it is.
    pub status: DeliveryStatus,
    /// How often handing it over was begun.
    pub attempts: u32,
    /// Not before this, by the wall clock, where another try waits.
    pub try_after: Option<Timestamp>,
    /// The revision that is or was sent, once pinned.
    pub revision: Option<u32>,
    /// Whom it is for; `None` before the first attempt and once erased.
    pub address: Option<Text>,
    /// The subject of a mail; `None` before the first attempt and once erased.
    pub subject: Option<Text>,
    /// The provider's words, or why it was not sent.
    pub detail: Option<String>,
    /// When this last changed, by the wall clock.
    pub changed: Timestamp,
}

/// A message that delivery has claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The message with its newest content.
    pub message: StoredMessage,
    /// Whoever holds another lease can't start it.
    pub lease: i64,
    /// How often handing it over was begun before.
    pub attempts: u32,
    /// What the first attempt pinned, if there was one.
    pub pinned: Option<Pinned>,
}

/// What the first attempt pinned: each further one sends the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Which revision of the message this is.
    pub revision: u32,
    /// Whom it is for. Outside production it may go to another address.
    pub address: Text,
    /// Where a mail's bounces go.
    pub sender: Option<Text>,
    /// The subject of a mail.
    pub subject: Option<Text>,
    /// What is handed to the provider.
    pub body: Vec<u8>,
}

/// What the transaction directly before the first byte said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// It may go.
    Go,
    /// It has newer content than was rendered: render again.
    Newer,
    /// It was stopped, held or taken by another: leave it alone.
    Gone,
    /// The address is suppressed, for this reason; the message has ended as cancelled.
    Suppressed(SuppressionReason),
}

/// What the log is told of a message, as an `email.*` or `sms.*` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It can't be taken back any more.
    Started,
    /// The provider took it.
    Sent,
    /// The address is bad.
    Bounced,
    /// It can't be sent.
    Failed,
    /// Its time had passed.
    Expired,
    /// Its window had closed.
    MissedWindow,
    /// It was cancelled.
    Cancelled,
}

impl Outcome {
    /// The event that tells it.
    #[must_use]
    pub const fn event(self, channel: MessageChannel) -> EventName {
        use MessageChannel::{Email, Sms};
        match (channel, self) {
            (Email, Self::Started) => EventName::EmailStarted,
            (Email, Self::Sent) => EventName::EmailSent,
            (Email, Self::Bounced) => EventName::EmailBounced,
            (Email, Self::Failed) => EventName::EmailFailed,
            (Email, Self::Expired) => EventName::EmailExpired,
            (Email, Self::MissedWindow) => EventName::EmailMissedWindow,
            (Email, Self::Cancelled) => EventName::EmailCancelled,
            (Sms, Self::Started) => EventName::SmsStarted,
            (Sms, Self::Sent) => EventName::SmsSent,
            (Sms, Self::Bounced) => EventName::SmsBounced,
            (Sms, Self::Failed) => EventName::SmsFailed,
            (Sms, Self::Expired) => EventName::SmsExpired,
            (Sms, Self::MissedWindow) => EventName::SmsMissedWindow,
            (Sms, Self::Cancelled) => EventName::SmsCancelled,
        }
    }
}

/// How a message ended, and what the log is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// How.
    pub status: DeliveryStatus,
    /// The outcome that goes to the log.
    pub outcome: Outcome,
    /// The provider's words, or why not.
    pub detail: Option<String>,
    /// The address is bad: nothing more goes to it.
    pub suppress: bool,
}

impl End {
    /// Whoever held it stopped before the provider's answer came.
    pub(super) fn unanswered() -> Self {
        Self::of(
            DeliveryStatus::InDoubt,
            Outcome::Started,
            "the worker stopped while the provider's answer was awaited".to_owned(),
        )
    }

    /// It could have gone in a time that the restored store knows nothing of.
    pub(super) fn unsure() -> Self {
        Self::of(
            DeliveryStatus::InDoubt,
            Outcome::Started,
            "the database was restored; whether it was sent before that is not known".to_owned(),
        )
    }

    /// The address may not be written to.
    pub(super) fn suppressed(reason: SuppressionReason) -> Self {
        let detail = format!("suppressed: {}", reason.as_str());
        Self::of(DeliveryStatus::Cancelled, Outcome::Cancelled, detail)
    }

    /// Somebody cancelled it.
    pub(super) fn by_hand() -> Self {
        Self::of(DeliveryStatus::Cancelled, Outcome::Cancelled, "cancelled by hand".to_owned())
    }

    /// Somebody found out what became of it.
    pub(super) fn resolved(sent: bool) -> Self {
        let (status, outcome) = match sent {
            true => (DeliveryStatus::Sent, Outcome::Sent),
            false => (DeliveryStatus::Refused, Outcome::Failed),
        };
        Self::of(status, outcome, "resolved by hand".to_owned())
    }

    const fn of(status: DeliveryStatus, outcome: Outcome, detail: String) -> Self {
        Self { status, outcome, detail: Some(detail), suppress: false }
    }
}

/// An address that must not be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// By which channel.
    pub channel: MessageChannel,
    /// The hash of the address, by [`address_hash`].
    pub address: [u8; 16],
    /// For which topic; `None` for everything.
    pub topic: Option<Text>,
    /// Why.
    pub reason: SuppressionReason,
    /// Since when.
    pub at: Timestamp,
}

/// The hash under which an address is suppressed, keyed with the store's secret: without it nobody
/// can test whether an address is among them. Case does not count, nor how a domain is written: an
/// address in the letters of its language is the one that goes over the wire.
#[must_use]
pub fn address_hash(secret: &[u8; 32], channel: MessageChannel, address: &str) -> [u8; 16] {
    let on_the_wire = match channel {
        MessageChannel::Email => Address::parse(address).ok(),
        MessageChannel::Sms => None,
    };
    let address = on_the_wire.as_ref().map_or(address, Address::as_str).trim().to_lowercase();
    derive_keyed(secret, "suppression", &[channel.as_str().as_bytes(), address.as_bytes()])
        .to_be_bytes()
}

/// Why an address is suppressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SuppressionReason {
    /// The person said no: marketing stops, order mails still come.
    Unsubscribed,
    /// It does not exist, or takes no mail: nothing goes to it.
    Bounced,
    /// A mail to it was reported as spam: nothing goes to it.
    Complained,
}

impl SuppressionReason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[Self::Unsubscribed, Self::Bounced, Self::Complained];

    /// The word used in output and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
        }
    }
}

/// What is not to be sent for now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// Everything.
    All,
    /// All messages of a channel.
    Channel(MessageChannel),
    /// All messages of a journey.
    Journey(Text),
    /// All messages of a template.
    Template(Text),
}

impl Hold {
    /// The words under which it is kept: kind and name.
    #[must_use]
    pub fn words(&self) -> (&'static str, &str) {
        match self {
            Self::All => ("all", ""),
            Self::Channel(channel) => ("channel", channel.as_str()),
            Self::Journey(journey) => ("journey", journey),
            Self::Template(template) => ("template", template),
        }
    }
}

/// What a list of messages is narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Only those of this journey.
    pub journey: Option<Text>,
    /// Only those that are so far on their way out.
    pub status: Option<DeliveryStatus>,
    /// Only those to this customer, as output names it.
    pub customer: Option<Text>,
    /// Only this one.
    pub message: Option<MessageId>,
    /// At most so many, the newest first.
    pub limit: u32,
}
