//! What is kept of a customer, and its stored encoding.
//!
//! Everything here is bounded by a named limit, and everything is plain data: the fold modules
//! change it, the encoding keeps it.

use serde::{Deserialize, Serialize};

use crate::model::{
    ConsentStatus, CustomerId, EventName, Item, MessageChannel, MessageId, Money, RunId, Text, Tie,
    Timestamp,
};

use super::run::Run;
use crate::journey::Class;

/// The most carts kept of one customer.
pub const CARTS_MAX: usize = 32;
/// The most lines kept of one cart.
pub const CART_LINES_MAX: usize = 500;
/// The most runs of one customer, those included that only wait for outcomes or a goal.
pub const RUNS_MAX: usize = 64;
/// The most recently viewed products kept.
pub const VIEWED_MAX: usize = 20;
/// The most event ids remembered.
pub const SEEN_MAX: usize = 1_000;
/// The longest an event id is remembered, in milliseconds.
pub const SEEN_MS: i64 = 24 * crate::model::HOUR_MS;
/// The most orders remembered one by one; older ones stay in the sums.
pub const ORDERS_MAX: usize = 64;
/// The most products remembered of one order.
pub const ORDER_SKUS_MAX: usize = 16;
/// The most marks of earlier runs, for `again`.
pub const AGAIN_MAX: usize = 128;
/// The most sent marks kept; the configuration takes no limit above it.
pub const SENT_MAX: usize = 256;
/// The most suppressed addresses remembered; the latest stay.
pub const SUPPRESSED_MAX: usize = 32;
/// The most merges remembered whose handover arrived; the log, too, leaves out a second one.
pub const MERGES_MAX: usize = 256;
/// The longest a sent mark is kept, in milliseconds; the configuration takes no limit over a
/// longer time.
pub const SENT_MARK_MS: i64 = 92 * crate::model::DAY_MS;
/// The largest encoded state, in bytes: held after each input (`weight`).
pub const STATE_BYTES_MAX: usize = 64 * 1024;

/// Everything kept of one customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustomerState {
    /// Whose state it is.
    pub id: CustomerId,
    /// Set when the customer was found to be another: every record goes on to that one.
    pub pointer: Option<CustomerId>,
    /// When the customer was erased: nothing that happened up to then builds it again.
    pub erased_at: Option<Timestamp>,
    /// The id the source itself uses, for output: the shop's customer id, else an id of the
    /// source's own, else the device.
    pub source_id: Option<Text>,
    /// Whether a person is known behind the device.
    pub known: bool,
    /// Whether the last sign-in was not followed by a sign-out.
    pub signed_in: bool,
    /// Effective time of the first event.
    pub first_seen: Timestamp,
    /// Effective time of the latest event.
    pub last_seen: Timestamp,
    /// Effective time of the latest web or app event.
    pub last_active: Option<Timestamp>,
    /// Email address.
    pub email: Option<Text>,
    /// Phone number in E.164.
    pub phone: Option<Text>,
    /// Shop of the latest event that named one.
    pub shop: Option<Text>,
    /// Facts about the person.
    pub profile: Profile,
    /// Effective time of the latest event that told facts about the person.
    pub facts_at: Option<Timestamp>,
    /// Effective time of the latest event that named the customer.
    pub named_at: Option<Timestamp>,
    /// What the customer said about being contacted.
    pub consents: Vec<Consent>,
    /// Addresses that bounced for good or complained: channel and short hash.
    pub suppressed: Vec<(MessageChannel, u32)>,
    /// Open carts, the latest touched last.
    pub carts: Vec<Cart>,
    /// How many carts without an id there have been.
    pub carts_opened: u32,
    /// When an order last closed a cart.
    pub cart_closed: Option<(Timestamp, Tie)>,
    /// What was recently looked at.
    pub browse: Browse,
    /// What was ordered.
    pub orders: Orders,
    /// When each kind of event last came.
    pub last: Vec<(EventName, Timestamp)>,
    /// Running journeys, and ended ones that still wait for outcomes or a goal.
    pub runs: Vec<Run>,
    /// Ended runs, for `again`.
    pub again: Vec<AgainMark>,
    /// `absent` journeys that had their turn, with the event's time they had it for.
    pub absent_done: Vec<(Text, Timestamp)>,
    /// Journeys in whose holdout the customer is by a merge.
    pub holdouts: Vec<Text>,
    /// Decided messages, for caps and bounces.
    pub sent: Vec<SentMark>,
    /// Recently seen event ids.
    pub seen: Seen,
    /// Merges whose handover arrived.
    pub merges: Vec<u64>,
    /// Merges whose handover is on its way, each with its time: what is due after that waits for it.
    pub awaited: Vec<(u64, Timestamp)>,
    /// The last reason for which a journey did not start, so that each is traced once.
    pub refusals: Vec<(Text, super::Reason)>,
}

/// Facts about the person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Given name.
    pub first_name: Option<Text>,
    /// Family name.
    pub last_name: Option<Text>,
    /// Language.
    pub locale: Option<Text>,
    /// IANA time zone.
    pub zone: Option<Text>,
    /// Country.
    pub country: Option<Text>,
    /// Birth date.
    pub birth_date: Option<Text>,
    /// Further attributes.
    pub attributes: Vec<(Text, Text)>,
}

/// What a customer said about one channel and topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// The channel.
    pub channel: MessageChannel,
    /// The topic; `None` means all.
    pub topic: Option<Text>,
    /// What was said.
    pub status: ConsentStatus,
    /// When.
    pub at: Timestamp,
}

/// A cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cart {
    /// The shop's cart id, else `#` and a number of ours.
    pub key: Text,
    /// What is in it.
    pub lines: Vec<Item>,
    /// When it last changed, or was last told of.
    pub touched_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// When its whole content was last told.
    pub whole_at: Option<(Timestamp, Tie)>,
    /// When the checkout was opened, if the cart has not changed since.
    pub checkout_at: Option<Timestamp>,
    /// The latest delta, to tell an open and an add of one item from two adds.
    pub last_delta: Option<(EventName, Timestamp, u64)>,
}

/// What was recently looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Browse {
    /// Products, the latest last.
    pub items: Vec<Item>,
    /// When a product, category or search was last viewed.
    pub last_at: Option<Timestamp>,
    /// The category last viewed.
    pub category: Option<Text>,
    /// The words last searched for.
    pub query: Option<Text>,
}

/// What was ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// How many, without cancelled ones.
    pub count: u32,
    /// Sums by currency, without cancelled ones.
    pub totals: Vec<Money>,
    /// When the first was placed.
    pub first_at: Option<Timestamp>,
    /// When the last was placed.
    pub last_at: Option<Timestamp>,
    /// Total of the last.
    pub last_total: Option<Money>,
    /// Products of the last.
    pub last_items: Vec<Item>,
    /// The latest orders one by one.
    pub recent: Vec<OrderMark>,
}

/// What tells orders apart: hashes of the number, and of the scope within which it is unique, where a
/// report named one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OrderNumber {
    /// Hash of the number; of the event for an order without one.
    pub number: u64,
    /// Short hash of the scope.
    pub scope: Option<u32>,
}

/// One order, remembered so that it counts once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderMark {
    /// Its number.
    pub number: OrderNumber,
    /// When it was placed.
    pub at: Timestamp,
    /// The source that first reported it.
    pub source: u16,
    /// What it counts in the sums.
    pub total: Option<Money>,
    /// Whether the total was stated, not summed from lines.
    pub stated: bool,
    /// Whether it was cancelled.
    pub cancelled: bool,
    /// Short hash of the cart that it bought.
    pub cart: Option<u32>,
    /// Short hashes of its products; [`ORDER_SKUS_MAX`] of them stand for any product.
    pub skus: Vec<u32>,
}

impl OrderMark {
    /// Remembers further products of the order.
    pub(super) fn has(&mut self, items: &[Item]) {
        for sku in items.iter().map(|item| short_hash(&item.sku)) {
            if self.skus.len() >= ORDER_SKUS_MAX {
                return;
            }
            if !self.skus.contains(&sku) {
                self.skus.push(sku);
            }
        }
    }

    /// Whether one of these products may be in the order.
    pub(super) fn may_have<'a>(&self, skus: impl IntoIterator<Item = &'a Text>) -> bool {
        self.skus.len() >= ORDER_SKUS_MAX
            || skus.into_iter().any(|sku| self.skus.contains(&short_hash(sku)))
    }
}

/// An ended run, for `again`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgainMark {
    /// The journey.
    pub journey: Text,
    /// The run's key.
    pub key: Text,
    /// When it ended.
    pub ended: Timestamp,
    /// The run; what started it can't start another.
    pub run: RunId,
    /// When it started: nothing earlier starts another.
    pub started: Timestamp,
    /// Whether the mark must outlive others: the journey does not let everyone in again at once.
    pub binding: bool,
}

/// Recently seen event ids, oldest first: hashes and times apart, so that looking for a hash runs
/// over nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    hashes: Vec<u64>,
    times: Vec<Timestamp>,
}

impl Seen {
    /// Remembers an event's id; `false` if it was seen within [`SEEN_MS`] before `now`.
    pub(super) fn remember(&mut self, id: &str, now: Timestamp) -> bool {
        let hash = fnv(id.as_bytes());
        if let Some(place) = self.hashes.iter().rposition(|seen| *seen == hash) {
            if now.since_ms(self.times[place]) <= SEEN_MS {
                return false;
            }
            self.hashes.remove(place);
            self.times.remove(place);
        }
        if self.hashes.len() >= SEEN_MAX {
            let old = self.times.iter().take_while(|at| now.since_ms(**at) > SEEN_MS).count();
            // A quarter at once, so that a busy customer does not move the rest with each event.
            let gone = old.max(SEEN_MAX / 4);
            self.hashes.drain(..gone);
            self.times.drain(..gone);
        }
        self.hashes.push(hash);
        self.times.push(now);
        true
    }

    /// Forgets ids that were seen too long before `now` to matter.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let old = self.times.iter().take_while(|at| now.since_ms(**at) > SEEN_MS).count();
        // Worth moving the rest only once half of them are old.
        if old * 2 > self.times.len() {
            self.hashes.drain(..old);
            self.times.drain(..old);
        }
    }

    /// How many ids are remembered.
    pub(super) const fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Forgets the oldest ids.
    pub(super) fn forget_oldest(&mut self, count: usize) {
        self.hashes.drain(..count);
        self.times.drain(..count);
    }

    /// Unites what two customers have seen.
    pub(super) fn unite(&mut self, other: Self) {
        let mut both: Vec<(Timestamp, u64)> = self
            .times
            .drain(..)
            .zip(self.hashes.drain(..))
            .chain(other.times.into_iter().zip(other.hashes))
            .collect();
        both.sort_unstable();
        let mut known = std::collections::BTreeSet::new();
        // The newest sight of each stays.
        both.reverse();
        both.retain(|(_, hash)| known.insert(*hash));
        both.truncate(SEEN_MAX);
        both.reverse();
        (self.times, self.hashes) = both.into_iter().unzip();
    }
}

/// FNV-1a: quick on short ids. Two ids of one customer's day collide once in 10^13.
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Tells texts of one customer apart in few bytes.
pub(super) fn short_hash(text: &str) -> u32 {
    let hash = fnv(text.as_bytes());
    let folded = (hash ^ (hash >> 32)) & u64::from(u32::MAX);
    u32::try_from(folded).unwrap_or(u32::MAX)
}

/// By which channels an address of a customer is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Reachable {
    email: bool,
    sms: bool,
}

impl Reachable {
    pub(super) const fn by(self, channel: MessageChannel) -> bool {
        match channel {
            MessageChannel::Email => self.email,
            MessageChannel::Sms => self.sms,
        }
    }
}

/// A decided message, for caps and bounces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentMark {
    /// The message.
    pub message: MessageId,
    /// Its channel.
    pub channel: MessageChannel,
    /// Whether caps count it: transactional messages they do not.
    pub class: Class,
    /// Its journey's topic.
    pub topic: Option<Text>,
    /// When it was due.
    pub at: Timestamp,
    /// Short hash of the address it was decided for, if one was known.
    pub address: Option<u32>,
}

impl CustomerState {
    /// The state of a customer of whom nothing is known yet.
    #[must_use]
    pub fn new(id: CustomerId) -> Self {
        Self {
            id,
            pointer: None,
            erased_at: None,
            source_id: None,
            known: false,
            signed_in: false,
            first_seen: Timestamp::MAX,
            last_seen: Timestamp::MIN,
            last_active: None,
            email: None,
            phone: None,
            shop: None,
            profile: Profile::default(),
            facts_at: None,
            named_at: None,
            consents: Vec::new(),
            suppressed: Vec::new(),
            carts: Vec::new(),
            carts_opened: 0,
            cart_closed: None,
            browse: Browse::default(),
            orders: Orders::default(),
            last: Vec::new(),
            runs: Vec::new(),
            again: Vec::new(),
            absent_done: Vec::new(),
            holdouts: Vec::new(),
            sent: Vec::new(),
            seen: Seen::default(),
            merges: Vec::new(),
            awaited: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// The customer as output names it: the source's own id where there is one.
    #[must_use]
    pub fn display_id(&self) -> Text {
        self.source_id.clone().unwrap_or_else(|| Text::from(self.id.to_string()))
    }

    /// When an event of this name last came.
    #[must_use]
    pub fn last(&self, name: &EventName) -> Option<Timestamp> {
        self.last.iter().find(|(known, _)| known == name).map(|&(_, at)| at)
    }

    /// The address by which a channel reaches the customer.
    #[must_use]
    pub const fn address(&self, channel: MessageChannel) -> Option<&Text> {
        match channel {
            MessageChannel::Email => self.email.as_ref(),
            MessageChannel::Sms => self.phone.as_ref(),
        }
    }

    /// By which channels an address is known.
    pub(super) const fn reachable(&self) -> Reachable {
        Reachable { email: self.email.is_some(), sms: self.phone.is_some() }
    }

    /// Whether an address bounced for good or complained.
    pub(super) fn is_suppressed(&self, channel: MessageChannel, address: &str) -> bool {
        self.suppressed.contains(&(channel, short_hash(address)))
    }

    /// Holds the sent marks within their limit: what caps don't count goes first, then the oldest.
    pub(super) fn limit_sent(&mut self) {
        while self.sent.len() > SENT_MAX {
            let uncounted = self.sent.iter().position(|mark| mark.class == Class::Transactional);
            self.sent.remove(uncounted.unwrap_or(0));
        }
    }

    /// Remembers an ended run, in the place of an earlier one of its journey and key. Where there
    /// is no room, the oldest mark that binds nobody goes first.
    pub(super) fn mark(&mut self, mark: AgainMark) {
        let of_run = |known: &AgainMark| known.journey == mark.journey && known.key == mark.key;
        if let Some(place) = self.again.iter().position(of_run) {
            self.again.remove(place);
        } else if self.again.len() >= AGAIN_MAX {
            let place = self.again.iter().position(|known| !known.binding).unwrap_or(0);
            self.again.remove(place);
        }
        self.again.push(mark);
    }

    /// The cart of this key.
    #[must_use]
    pub fn cart(&self, key: &str) -> Option<&Cart> {
        self.carts.iter().find(|cart| cart.key == key)
    }

    /// Whether a run that is not over is about the cart of this key.
    pub(super) fn has_run_about(&self, key: &str) -> bool {
        self.runs.iter().any(|run| run.cart.as_deref() == Some(key) && !run.is_over())
    }

    /// The cart last touched.
    #[must_use]
    pub fn open_cart(&self) -> Option<&Cart> {
        self.carts.last()
    }
}

/// First byte of every encoded state.
const ENCODING: u8 = 1;

/// Why a stored state can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Written by a later build.
    #[error(
        "a state of encoding {0}, which this build does not know; use the build that wrote it or a later one"
    )]
    Encoding(u8),
    /// Damaged bytes.
    #[error("a damaged state: {0}")]
    Damaged(String),
}

impl CustomerState {
    /// The stored bytes: a version byte, then postcard.
    ///
    /// # Errors
    /// [`StateError::Damaged`] if the encoder refuses, which no state gives cause for.
    pub fn encode(&self) -> Result<Vec<u8>, StateError> {
        postcard::to_extend(self, vec![ENCODING])
            .map_err(|error| StateError::Damaged(error.to_string()))
    }

    /// The state behind stored bytes, of this or an earlier encoding.
    ///
    /// # Errors
    /// [`StateError`] for bytes of a later build and for damaged ones.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        match bytes.split_first() {
            Some((&ENCODING, rest)) => {
                postcard::from_bytes(rest).map_err(|error| StateError::Damaged(error.to_string()))
            }
            Some((&other, _)) => Err(StateError::Encoding(other)),
            None => Err(StateError::Damaged("no bytes".into())),
        }
    }
}
