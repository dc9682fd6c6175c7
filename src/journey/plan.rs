//! What a journey file compiles to: an explicit state machine that the engine runs.
//!
//! A plan is immutable. A run points at a node by its number and at its plan by name and version,
//! so people inside keep the structure they started with.

use crate::model::{Delay, EventName, MessageChannel, Text, Zone};

use super::Var;
use super::expr::Expr;
use super::moment::Moment;

/// The structure of a journey as a hash: two files of one structure have one version.
///
/// Descriptions, comments and template content are no structure.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A node of a plan, by its place in [`Plan::nodes`].
pub type NodeIx = u32;

/// A compiled journey.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The journey's name.
    pub name: Text,
    /// What the author says of it.
    pub description: Option<String>,
    /// Hash of the structure.
    pub version: Version,
    /// Whether it may be applied.
    pub status: Status,
    /// What consent and caps ask of its messages, where the step does not say otherwise.
    pub class: Class,
    /// What consent and the preference page speak of.
    pub topic: Option<Text>,
    /// Which runs of a customer are one.
    pub one_run_per: RunPer,
    /// What starts a run.
    pub start: Start,
    /// Needed to start, and read again before every message.
    pub only_while: Option<Expr>,
    /// What ends a run at any time.
    pub stops_when: Vec<EventRule>,
    /// A run ends when one of these journeys starts for the customer.
    pub gives_way_to: Vec<Text>,
    /// Whether a customer may come again.
    pub again: Again,
    /// How long a message waits for an address that is not known yet; `None` withholds at once.
    pub no_address: Option<Delay>,
    /// When messages may go out.
    pub send_only: Option<SendWindow>,
    /// How long after the window allowed it a message may still go out.
    pub skip_after: Option<Delay>,
    /// Who goes first where a cap leaves too little room: 0 to 100, higher first.
    pub priority: u8,
    /// Share of customers that get no message, in hundredths of a percent.
    pub holdout: u16,
    /// A late event starts a run only if it is no older than this.
    pub start_within: Delay,
    /// The machine; a run starts at node 0.
    pub nodes: Vec<Node>,
    /// What counts as success.
    pub goal: Option<Goal>,
}

impl Plan {
    /// The events that can stop a run, derived ones as those they are derived from.
    pub fn stops(&self) -> impl Iterator<Item = &EventName> + Clone {
        const OF_CART: &[EventName] = &[
            EventName::CartOpened,
            EventName::CartItemAdded,
            EventName::CartItemRemoved,
            EventName::CartViewed,
            EventName::CheckoutStarted,
        ];
        self.stops_when.iter().flat_map(|rule| {
            if rule.event.is_derived() { OF_CART } else { std::slice::from_ref(&rule.event) }
        })
    }

    /// How long a run takes if each step takes as long as it says, in milliseconds; of branches all
    /// count. Send windows come on top, and a wait for quiet without `at_most` takes longer while
    /// the customer stays busy.
    #[must_use]
    pub fn length_ms(&self) -> i64 {
        let longer = |delay: &Delay, other: &Option<Delay>| {
            delay.nominal_ms().max(other.map_or(0, Delay::nominal_ms))
        };
        let steps = self.nodes.iter().map(|node| match &node.step {
            Step::Wait { delay, and_quiet, .. } => longer(delay, and_quiet),
            Step::WaitQuiet { delay, at_most, .. } => longer(delay, at_most),
            Step::WaitFor { at_most, .. } => at_most.nominal_ms(),
            Step::Message { .. } => self.no_address.map_or(0, Delay::nominal_ms),
            Step::WaitUntil { moment, .. } => moment.nominal_ms(),
            Step::If { .. } | Step::Experiment { .. } | Step::FirstOf { .. } | Step::End => 0,
        });
        steps.fold(0, i64::saturating_add)
    }
}

/// Whether a journey may be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Applied.
    Live,
    /// Checked, tested and replayed, never applied.
    Draft,
}

/// What a message is, which decides consent, caps and settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Needs consent; caps and settle hold.
    Marketing,
    /// Belongs to something the customer did: no consent, no caps, no settle.
    Transactional,
}

/// Which runs of a customer are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunPer {
    /// One run for each customer.
    Customer,
    /// One for each cart; without cart ids, the customer's open cart.
    Cart,
    /// One for each order.
    Order,
    /// One for each value of a text variable of the start event.
    Field(Var),
}

/// What starts a run.
#[derive(Clone, Debug)]
pub enum Start {
    /// An event, with a condition that only the start needs.
    Event {
        /// The event.
        event: EventName,
        /// Read at the start alone.
        condition: Option<Expr>,
    },
    /// At set times, for the customers that meet a condition.
    Schedule {
        /// When.
        schedule: super::schedule::Schedule,
        /// For whom.
        condition: Option<Expr>,
        /// At most so many at each time.
        at_most: Option<u32>,
    },
    /// An event of the past has not come again for this long.
    Absent {
        /// The event.
        event: EventName,
        /// How long.
        delay: Delay,
        /// Read when the time has passed.
        condition: Option<Expr>,
    },
}

/// An event that a rule waits for.
#[derive(Clone, Debug)]
pub struct EventRule {
    /// The event.
    pub event: EventName,
    /// Which of them.
    pub matching: Matching,
    /// A further condition, over `event` and the rest.
    pub condition: Option<Expr>,
}

/// Which events of a name match a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Any of the customer.
    Any,
    /// One that shares a product with the run's cart or start event.
    SameItems,
    /// One of the run's own cart.
    SameCart,
    /// One of the run's own order.
    SameOrder,
}

/// Whether a customer may come again after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Never.
    Never {
        /// Counted for each.
        per: AgainPer,
    },
    /// At once.
    Always,
    /// So long after the end of the last run.
    After {
        /// How long.
        delay: Delay,
        /// Counted for each.
        per: AgainPer,
    },
}

/// For what `again` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgainPer {
    /// The run's key (a cart, an order, a field's value).
    Key,
    /// The customer.
    Customer,
}

/// When messages may go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendWindow {
    /// On which weekdays it may open, Monday first.
    pub days: [bool; 7],
    /// Minute of the day at which it opens.
    pub from_minute: u16,
    /// Minute of the day at which it closes; not after `from_minute` means overnight, equal means all day.
    pub to_minute: u16,
    /// Whose wall clock.
    pub zone: WindowZone,
}

/// Whose wall clock a window follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowZone {
    /// A fixed zone.
    Fixed(Zone),
    /// The customer's, else this one (else the shop's).
    Customer {
        /// For customers whose zone is not known; `None` is the shop's.
        unknown: Option<Zone>,
    },
}

/// What counts as success, and within what time of the start.
#[derive(Clone, Debug)]
pub struct Goal {
    /// The event.
    pub rule: EventRule,
    /// Counted from the start of the run, for the holdout too, and after a stop.
    pub within: Delay,
}

/// One state of the machine.
#[derive(Clone, Debug)]
pub struct Node {
    /// The step's id: its `id:`, else its template's last part, else kind and number.
    pub id: Text,
    /// What happens here.
    pub step: Step,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Waits a while.
    Wait {
        /// How long.
        delay: Delay,
        /// And until the customer has been quiet for this long.
        and_quiet: Option<Delay>,
        /// Then.
        next: NodeIx,
    },
    /// Waits until the customer has been quiet; starts again with each of their events.
    WaitQuiet {
        /// How long it must be quiet.
        delay: Delay,
        /// But no longer than this from entering the step.
        at_most: Option<Delay>,
        /// Then.
        next: NodeIx,
    },
    /// Waits for an event.
    WaitFor {
        /// The event.
        rule: EventRule,
        /// But no longer than this.
        at_most: Delay,
        /// When it came.
        then: NodeIx,
        /// When it did not.
        otherwise: NodeIx,
    },
    /// Waits until a moment; one that has passed is not waited for.
    WaitUntil {
        /// Which.
        moment: Moment,
        /// Then.
        next: NodeIx,
    },
    /// Goes one of two ways.
    If {
        /// By this condition.
        condition: Expr,
        /// When it is true.
        then: NodeIx,
        /// When it is not.
        otherwise: NodeIx,
    },
    /// Goes the way of the customer's variant, which is a hash of customer, journey and step.
    Experiment {
        /// At least two.
        variants: Vec<Variant>,
    },
    /// Goes to the first of these messages that can reach the customer by its channel.
    FirstOf {
        /// Message nodes, the preferred one first.
        messages: Vec<NodeIx>,
    },
    /// Decides a message.
    Message {
        /// By which channel.
        channel: MessageChannel,
        /// The template's folder under `templates`.
        template: Text,
        /// What it is.
        class: Class,
        /// The coupon pool named for it, if any.
        coupon: Option<Text>,
        /// Then.
        next: NodeIx,
    },
    /// The run is over.
    End,
}

/// A way of an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name, as traces tell it.
    pub name: Text,
    /// How many go this way, in relation to the weights of the others; above zero.
    pub weight: u32,
    /// Where it begins.
    pub first: NodeIx,
}
