//! One thing a customer did.

use serde::{Deserialize, Serialize};

use super::{Amount, Currency, EventName, Identity, MessageId, Text, Timestamp};

/// The most items one event may list; more is a dead letter.
pub const ITEMS_MAX: usize = 1_000;

/// The source number of the events that Waypost makes itself: outcomes and unsubscribes. The others
/// are numbered from 0 as they are first seen, and don't come so far.
pub const OWN_SOURCE: u16 = u16::MAX;

/// One thing a customer did, as decoded from a source and kept in the log.
///
/// Facts that only some events have are boxed, so that a page view stays small.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The source's own event id, else its source position; unique within a customer.
    pub id: Text,
    /// What happened.
    pub name: EventName,
    /// Effective time: the earlier of when it happened and when the raw input took it.
    pub time: Timestamp,
    /// Orders events of one effective time.
    pub tie: Tie,
    /// Where it happened.
    pub channel: Channel,
    /// The source's clock was ahead of the input that took the event; `time` is the input's.
    pub clock_ahead: bool,
    /// Loaded history: it builds state and starts no run.
    pub history: bool,
    /// Store view (or website) code that says which shop of the configuration this is.
    pub shop: Option<Text>,
    /// The names the event carries for its customer.
    pub identities: Vec<Identity>,
    /// The cart's id, on cart events that have one.
    pub cart_id: Option<Text>,
    /// The products the event speaks of; `items_are` says how.
    pub items: Vec<Item>,
    /// What `items` mean for the cart.
    pub items_are: ItemsAre,
    /// What an order event says of its order.
    pub order: Option<Box<OrderFacts>>,
    /// What an account, profile or order event says of the person.
    pub profile: Option<Box<ProfileFacts>>,
    /// Consent given or withdrawn.
    pub consents: Vec<ConsentFact>,
    /// Which message an outcome (`email.*`, `sms.*`) speaks of.
    pub outcome: Option<Box<OutcomeFact>>,
    /// The page, category or search of a browse event.
    pub page: Option<Box<PageFacts>>,
    /// The data of a custom event, as JSON text of at most 64 KB.
    pub data: Option<Box<str>>,
}

impl Event {
    /// An event with nothing but its name, time and id.
    #[must_use]
    pub fn new(id: impl Into<Text>, name: EventName, time: Timestamp) -> Self {
        Self {
            id: id.into(),
            name,
            time,
            tie: Tie::default(),
            channel: Channel::default(),
            clock_ahead: false,
            history: false,
            shop: None,
            identities: Vec::new(),
            cart_id: None,
            items: Vec::new(),
            items_are: ItemsAre::default(),
            order: None,
            profile: None,
            consents: Vec::new(),
            outcome: None,
            page: None,
            data: None,
        }
    }
}

/// The order of events of one effective time: source, partition, offset.
///
/// A source is numbered when it is first seen; in a replay of files it is the file as named, and
/// the offset is the line.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct Tie {
    /// Number of the source.
    pub source: u16,
    /// Partition of the raw input.
    pub partition: u32,
    /// Offset in the raw input.
    pub offset: u64,
}

/// Where an event happened.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub enum Channel {
    /// The source did not say.
    #[default]
    Unknown,
    /// The web shop.
    Web,
    /// A mobile app.
    App,
    /// A physical store.
    Store,
    /// By phone.
    Phone,
}

/// What the items of an event mean for the cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum ItemsAre {
    /// The event only mentions products: a view, a wish list.
    #[default]
    Mentioned,
    /// What came into or left the cart.
    Delta,
    /// The whole cart, or the whole order.
    Whole,
}

/// One product line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Item {
    /// Stock keeping unit; with the chosen options it says which cart line.
    pub sku: Text,
    /// How many; 1 where the source does not say.
    pub quantity: i64,
    /// Price of one, where the source says; a line total is divided by the quantity.
    pub price: Option<Amount>,
    /// Currency of the price.
    pub currency: Option<Currency>,
    /// What else the source says, from [`ItemFacts::boxed`].
    pub facts: Option<Box<ItemFacts>>,
}

/// What only some sources say of a product line; boxed, because states keep many lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ItemFacts {
    /// Chosen options, as `attribute=value` joined by `;` in the order of attributes.
    pub options: Text,
    /// Product name.
    pub name: Option<Text>,
    /// Category: its path, else its name, else its id.
    pub category: Option<Text>,
    /// Brand.
    pub brand: Option<Text>,
    /// Address of the picture.
    pub image: Option<Text>,
    /// Address of the product page.
    pub url: Option<Text>,
}

impl ItemFacts {
    /// The facts as an item keeps them: none at all where nothing is known.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl Item {
    /// Chosen options; empty where the source names none.
    #[must_use]
    pub fn options(&self) -> &str {
        self.facts.as_ref().map_or("", |facts| &facts.options)
    }

    /// Product name.
    #[must_use]
    pub fn name(&self) -> Option<&Text> {
        self.facts.as_ref()?.name.as_ref()
    }

    /// Category: its path, else its name, else its id.
    #[must_use]
    pub fn category(&self) -> Option<&Text> {
        self.facts.as_ref()?.category.as_ref()
    }

    /// Brand.
    #[must_use]
    pub fn brand(&self) -> Option<&Text> {
        self.facts.as_ref()?.brand.as_ref()
    }

    /// Address of the picture.
    #[must_use]
    pub fn image(&self) -> Option<&Text> {
        self.facts.as_ref()?.image.as_ref()
    }

    /// Address of the product page.
    #[must_use]
    pub fn url(&self) -> Option<&Text> {
        self.facts.as_ref()?.url.as_ref()
    }
}

/// What an order event says of its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct OrderFacts {
    /// The shop's order number; `None` makes it an order of its own.
    pub id: Option<Text>,
    /// Within which the order number is unique: environment, website, store.
    pub scope: Text,
    /// Order total.
    pub total: Option<Amount>,
    /// Discount on the order.
    pub discount: Option<Amount>,
    /// Currency of the amounts.
    pub currency: Option<Currency>,
    /// Coupon code that was used.
    pub coupon: Option<Text>,
    /// Amount refunded, on `order.refunded`.
    pub refunded: Option<Amount>,
    /// Shipping method.
    pub shipping: Option<Text>,
    /// Carrier's tracking number.
    pub tracking: Option<Text>,
    /// Carrier's tracking page.
    pub tracking_url: Option<Text>,
}

/// What an event says of the person; `None` says nothing, it does not clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ProfileFacts {
    /// Given name.
    pub first_name: Option<Text>,
    /// Family name.
    pub last_name: Option<Text>,
    /// Language, as a BCP 47 tag.
    pub locale: Option<Text>,
    /// IANA time zone.
    pub zone: Option<Text>,
    /// Country, ISO 3166 alpha-2.
    pub country: Option<Text>,
    /// Birth date, `YYYY-MM-DD`.
    pub birth_date: Option<Text>,
    /// Further attributes, by name, as the source spells them; at most 32.
    pub attributes: Vec<(Text, Text)>,
}

/// A way to reach a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MessageChannel {
    /// Email.
    Email,
    /// SMS.
    Sms,
}

impl MessageChannel {
    /// The word used in files, tables and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }
}

/// What a customer said about being contacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConsentStatus {
    /// Said yes.
    Given,
    /// Said yes and confirmed it (the second step of double opt-in).
    Confirmed,
    /// Said no, or unsubscribed.
    Withdrawn,
}

/// One consent given or withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentFact {
    /// By which channel.
    pub channel: MessageChannel,
    /// For which topic; `None` means all.
    pub topic: Option<Text>,
    /// What was said.
    pub status: ConsentStatus,
}

/// Which message an outcome speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeFact {
    /// The message.
    pub message: MessageId,
    /// The revision that was sent, on `email.sent` and `sms.sent`.
    pub revision: Option<u32>,
    /// Why, on failures, in the provider's words.
    pub reason: Option<Text>,
    /// The link that was followed.
    pub link: Option<Text>,
}

/// The page, category or search of a browse event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct PageFacts {
    /// Address of the page.
    pub url: Option<Text>,
    /// Title or name of the page.
    pub name: Option<Text>,
    /// Category shown.
    pub category: Option<Text>,
    /// Words searched for.
    pub query: Option<Text>,
    /// How many results a search gave.
    pub results: Option<i64>,
}
