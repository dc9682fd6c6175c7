//! What the engine wants done: the whole vocabulary on one screen.
//!
//! Effects are data. The lane turns them into rows of one checkpoint; a replay turns them into
//! lines. Nothing here does anything.

use serde::{Deserialize, Serialize};

use super::CustomerState;
use crate::journey::{Class, Version};
use crate::model::{CustomerId, EventName, MessageChannel, MessageId, RunId, Text, Timestamp};

/// One thing the engine wants done, in the order in which it decided it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A message was decided: to be sent, or withheld with a reason.
    Decide(Box<Decision>),
    /// A message that was decided and has not started is not to be sent after all.
    Cancel {
        /// The message.
        message: MessageId,
        /// Why.
        reason: Reason,
    },
    /// A message that has not started has newer content: its next revision.
    Revise {
        /// The message.
        message: MessageId,
        /// Number of the revision; the first is 1.
        revision: u32,
        /// What the template sees, as JSON.
        data: String,
    },
    /// An outcome arrived for a message.
    Outcome {
        /// The message.
        message: MessageId,
        /// Which outcome: an `email.*` or `sms.*` event.
        outcome: EventName,
        /// Delivery itself told it, not a source.
        ours: bool,
    },
    /// What the owner of an address says about being contacted. Delivery heeds it for messages that
    /// are decided already.
    Consent(Box<ConsentSaid>),
    /// Something to remember of a run or of an event.
    Trace(Box<Trace>),
    /// The state goes to another customer's partition, because they are one person.
    HandOver {
        /// The customer who goes on.
        winner: CustomerId,
        /// Time of the merge.
        time: Timestamp,
        /// Identity of the merge; the winner remembers it.
        merge: u64,
        /// The state that leaves.
        state: Box<CustomerState>,
    },
    /// An event reached a customer who is a pointer: it belongs to the winner.
    Forward {
        /// The customer who goes on.
        winner: CustomerId,
    },
    /// Everything stored about the customer outside the state is to be erased.
    Erase,
}

/// What the owner of an address says about being contacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentSaid {
    /// By which channel.
    pub channel: MessageChannel,
    /// The address, as it is known when this is said.
    pub address: Text,
    /// For which topic; `None` means all.
    pub topic: Option<Text>,
    /// Yes, or no.
    pub given: bool,
    /// When.
    pub at: Timestamp,
}

/// A decided message, to be sent or withheld.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Hash of journey, run, step and occurrence.
    pub message: MessageId,
    /// The customer as output names it: the source's own id where it has one.
    pub customer: Text,
    /// The journey.
    pub journey: Text,
    /// Its structure.
    pub version: Version,
    /// The run.
    pub run: RunId,
    /// The step's id.
    pub step: Text,
    /// Which passage of the run through the step: 0 for the first.
    pub occurrence: u32,
    /// By which channel.
    pub channel: MessageChannel,
    /// The template.
    pub template: Text,
    /// What consent and unsubscribing speak of.
    pub topic: Option<Text>,
    /// What it is.
    pub class: Class,
    /// When it is due; the decision's time.
    pub at: Timestamp,
    /// It may be claimed only when the watermark has passed `at` by this, in milliseconds.
    pub settle_ms: i64,
    /// After this it must not go out.
    pub expires: Option<Timestamp>,
    /// When its send window closes; a delivery that misses it says `missed_window`.
    pub window_end: Option<Timestamp>,
    /// `None` to send, else why it is withheld.
    pub withheld: Option<Reason>,
    /// What the template sees, as JSON.
    pub data: String,
}

macro_rules! reasons {
    ($($variant:ident = $word:literal, $doc:literal;)*) => {
        /// Why a message is withheld or cancelled, or a run not started or ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $(#[doc = $doc] $variant,)*
        }

        impl Reason {
            /// Every reason with its word and its meaning.
            pub const ALL: &'static [(Self, &'static str, &'static str)] =
                &[$((Self::$variant, $word, $doc),)*];

            /// The word used in output and tables.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }
        }
    };
}

// New reasons go to the end: their place is stored.
reasons! {
    Consent = "consent", "The customer has not given the consent that this message needs.";
    NoAddress = "no_address", "No address is known for the channel.";
    Cap = "cap", "A limit over all journeys leaves no room.";
    Holdout = "holdout", "The customer is in the journey's holdout group.";
    Stopped = "stopped", "A stop rule of the journey matched before the message started.";
    GaveWay = "gave_way", "A journey that this one gives way to started or is running.";
    TooMany = "too_many", "The customer has as many runs as one customer may have.";
    Suppressed = "suppressed", "The address bounced for good or complained.";
    OnlyWhile = "only_while", "The journey's `only_while` did not hold.";
    Moved = "moved", "The cart belongs to another customer now.";
    Merged = "merged", "Two runs of one key became one when two customers became one.";
    Erased = "erased", "The customer was erased.";
    Again = "again", "The journey's `again` does not let the customer in yet.";
    Running = "running", "A run of this key is under way.";
    TooLate = "too_late", "The event came later than `start_within` allows.";
    BeforeActivation = "before_activation", "The event is older than the journey's activation.";
    Condition = "condition", "The condition of the start did not hold.";
    ExpressionFailed = "expression_failed", "A condition had no value, for example because of two currencies.";
    Finished = "finished", "The run came to its end.";
    LimitReached = "limit_reached", "The schedule's `at_most` was reached.";
}

/// Something to remember, for `why` and for the funnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// When, in the log's time.
    pub at: Timestamp,
    /// What.
    pub kind: TraceKind,
    /// Of which journey, if of one.
    pub journey: Option<(Text, Version)>,
    /// Of which run, if of one.
    pub run: Option<RunId>,
    /// At which step, if at one.
    pub step: Option<Text>,
    /// Why, if there is a reason.
    pub reason: Option<Reason>,
    /// Further words: the event that did it, the condition that failed.
    pub detail: Option<Text>,
}

/// What a trace entry tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TraceKind {
    /// A run started; with the reason `holdout` if it will send nothing.
    Started,
    /// A run did not start.
    NotStarted,
    /// A decided message was cancelled.
    Cancelled,
    /// A message waits: for an address, for room under a cap, for its window.
    Waits,
    /// A condition was read; the detail says how it came out.
    Decided,
    /// A run was stopped before its end.
    Stopped,
    /// A run came to its end.
    Ended,
    /// A run reached its goal.
    GoalReached,
    /// An event came late.
    Late,
    /// An event came a second time and was not applied again.
    Duplicate,
    /// The customer became one with another.
    Merged,
    /// A cart went to another customer.
    CartMoved,
    /// The customer was erased.
    Erased,
    /// An outcome arrived.
    Outcome,
    /// A replay waited in vain for a reply to a message that it does not send.
    Unknowable,
    /// A message had started when a stop became known that had happened before it was due.
    Overtaken,
}

impl TraceKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Started,
        Self::NotStarted,
        Self::Cancelled,
        Self::Waits,
        Self::Decided,
        Self::Stopped,
        Self::Ended,
        Self::GoalReached,
        Self::Late,
        Self::Duplicate,
        Self::Merged,
        Self::CartMoved,
        Self::Erased,
        Self::Outcome,
        Self::Unknowable,
        Self::Overtaken,
    ];

    /// The word used in tables and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::NotStarted => "not_started",
            Self::Cancelled => "cancelled",
            Self::Waits => "waits",
            Self::Decided => "decided",
            Self::Stopped => "stopped",
            Self::Ended => "ended",
            Self::GoalReached => "goal_reached",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Merged => "merged",
            Self::CartMoved => "cart_moved",
            Self::Erased => "erased",
            Self::Outcome => "outcome",
            Self::Unknowable => "unknowable",
            Self::Overtaken => "overtaken",
        }
    }
}
