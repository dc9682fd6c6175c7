//! One passage of one customer through one journey.

use serde::{Deserialize, Serialize};

use super::weight::first_of;
use crate::journey::{NodeIx, Version};
use crate::model::{
    Channel, Event, EventName, Item, MessageChannel, MessageId, OrderFacts, PageFacts, RunId, Text,
    Tie, Timestamp,
};

/// The most messages of one run that may wait for their start at one time.
pub const OPEN_MESSAGES_MAX: usize = 16;
/// The most product lines kept of a start event.
pub(super) const START_ITEMS_MAX: usize = 20;

/// One passage of one customer through one journey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Hash of journey, customer at start, key, the start event's id (or the scheduled instant), and its
    /// time: a source may use an id again.
    pub id: RunId,
    /// The journey.
    pub journey: Text,
    /// The structure the run started with and stays in.
    pub version: Version,
    /// What the run is about: a cart, an order, a field's value; empty for the customer.
    pub key: Text,
    /// The cart it started with.
    pub cart: Option<Text>,
    /// What started it.
    pub start: StartEvent,
    /// Time of the event whose absence started it.
    pub absent_since: Option<Timestamp>,
    /// In the holdout: it runs, and its messages are withheld.
    pub holdout: bool,
    /// Where it stands; `None` once it is over.
    pub at: Option<Standing>,
    /// The last quiet wait that was passed.
    pub quiet: Option<NodeIx>,
    /// How often each step decided a message.
    pub decided: Vec<(Text, u32)>,
    /// How many messages it decided to send.
    pub sent: u32,
    /// Decided messages that have not started and have no outcome.
    pub open: Vec<OpenMessage>,
    /// Messages that are looked at again, with when: delivery missed their window.
    pub redo: Vec<(NodeIx, Timestamp)>,
    /// Until when its goal counts; `None` without a goal, and once it was reached.
    pub goal_until: Option<Timestamp>,
}

/// Where an active run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The node.
    pub node: NodeIx,
    /// When it was entered.
    pub entered: Timestamp,
    /// When its timer fires.
    pub due: Timestamp,
    /// What the timer is for.
    pub waiting: Waiting,
}

/// What a run's timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// The node itself: a wait, or a message that is due now or when its window opens.
    Node,
    /// An address; when the timer fires, the message is withheld.
    Address,
    /// Quiet, again: the address came, and its owner is there now.
    Quiet,
    /// Room under a limit; the standing's `entered` is when the message might have gone first.
    Room,
}

/// What started a run, as conditions and templates see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartEvent {
    /// The event's name; for a schedule, the custom name `schedule`.
    pub name: EventName,
    /// Its effective time.
    pub time: Timestamp,
    /// Its tie.
    pub tie: Tie,
    /// Where it happened.
    pub channel: Channel,
    /// In which shop.
    pub shop: Option<Text>,
    /// Its products, at most `START_ITEMS_MAX`.
    pub items: Vec<Item>,
    /// Its order.
    pub order: Option<Box<OrderFacts>>,
    /// Its page, category or search.
    pub page: Option<Box<PageFacts>>,
}

/// A decided message that has not started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenMessage {
    /// The message.
    pub id: MessageId,
    /// Its step.
    pub step: Text,
    /// Its channel.
    pub channel: MessageChannel,
    /// When it was due.
    pub at: Timestamp,
    /// It may start once everything up to `at` and this much later has been applied.
    pub settle_ms: i64,
    /// Its newest revision.
    pub revision: u32,
    /// The node that decided it, for a next occurrence.
    pub node: NodeIx,
}

impl Run {
    /// Whether nothing can come of it any more but its goal: it is not under way, and no message of
    /// it waits for its start or for its next window.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !self.is_active() && self.open.is_empty() && self.redo.is_empty()
    }

    /// Whether it is under way, not merely waiting for outcomes or its goal.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.at.is_some()
    }
}

impl StartEvent {
    /// What is kept of the event that starts a run.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self {
            name: event.name.clone(),
            time: event.time,
            tie: event.tie,
            channel: event.channel,
            shop: event.shop.clone(),
            items: first_of(event, START_ITEMS_MAX),
            order: event.order.clone(),
            page: event.page.clone(),
        }
    }

    /// The start of a run that no event started.
    #[must_use]
    pub fn at(name: EventName, time: Timestamp) -> Self {
        Self {
            name,
            time,
            tie: Tie::default(),
            channel: Channel::default(),
            shop: None,
            items: Vec::new(),
            order: None,
            page: None,
        }
    }
}
