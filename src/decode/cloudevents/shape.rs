//! The CloudEvents envelope and the `data` of our own events.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::schema::{ChannelWord, Number, Scalar, StatusWord, Time, Whole};
use super::schema::{ItemsAreWord, MessageChannelWord};
use crate::decode::loose::{List, Loose, Pairs, Part};

/// The envelope: CloudEvents 1.0, structured content mode.
#[derive(Deserialize, Default)]
#[serde(default, expecting = "a CloudEvent, a JSON object")]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    pub specversion: Loose<'a>,
    pub id: Loose<'a>,
    pub source: Loose<'a>,
    #[serde(rename = "type")]
    pub kind: Loose<'a>,
    pub time: Loose<'a>,
    pub data_base64: Loose<'a>,
    pub data: Option<&'a RawValue>,
}

/// What an event says. Every field may be left out or null; numbers may be written as strings;
/// fields that are not named here are passed over.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(default, expecting = "data to be an object")]
#[schemars(rename = "Data")]
pub(super) struct Data<'a> {
    /// Who it was.
    #[serde(borrow)]
    #[schemars(with = "Option<Customer<'a>>")]
    pub customer: Part<Customer<'a>>,
    /// Store view or website code that says which shop it was.
    #[schemars(with = "Scalar")]
    pub shop: Loose<'a>,
    /// Where it happened.
    #[schemars(with = "ChannelWord")]
    pub channel: Loose<'a>,
    /// The cart's id.
    #[schemars(with = "Scalar")]
    pub cart_id: Loose<'a>,
    /// The products it speaks of.
    #[schemars(with = "Option<Vec<Line<'a>>>")]
    pub items: List<Part<Line<'a>>>,
    /// What `items` are: what came or went (`delta`), the whole cart or order (`whole`), or only
    /// spoken of (`mentioned`). Each event has its usual meaning.
    #[schemars(with = "ItemsAreWord")]
    pub items_are: Loose<'a>,
    /// The order.
    #[schemars(with = "Option<Order<'a>>")]
    pub order: Part<Order<'a>>,
    /// What is known of the person; a field left out keeps what was known before.
    #[schemars(with = "Option<Profile<'a>>")]
    pub profile: Part<Profile<'a>>,
    /// Consent given, confirmed or withdrawn.
    #[schemars(with = "Option<Vec<Consent<'a>>>")]
    pub consents: List<Part<Consent<'a>>>,
    /// The page, category or search.
    #[schemars(with = "Option<Page<'a>>")]
    pub page: Part<Page<'a>>,
    /// The message that an outcome speaks of: `m` and 32 hexadecimal digits.
    #[schemars(with = "Scalar")]
    pub message: Loose<'a>,
    /// The revision of the message that was sent.
    #[schemars(with = "Whole")]
    pub revision: Loose<'a>,
    /// Why, on failures, in the provider's words.
    #[schemars(with = "Scalar")]
    pub reason: Loose<'a>,
    /// The link that was followed.
    #[schemars(with = "Scalar")]
    pub link: Loose<'a>,
}

/// What is read of a custom event besides keeping its data.
#[derive(Deserialize, Default)]
#[serde(default, expecting = "data to be an object")]
pub(super) struct CustomData<'a> {
    #[serde(borrow)]
    pub customer: Part<Customer<'a>>,
    pub shop: Loose<'a>,
    pub channel: Loose<'a>,
}

/// The names of a customer; one is enough.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(default)]
#[schemars(rename = "Customer")]
pub(super) struct Customer<'a> {
    /// The shop's customer or account id.
    #[serde(borrow)]
    #[schemars(with = "Scalar")]
    pub id: Loose<'a>,
    /// Email address, in any case.
    #[schemars(with = "Scalar")]
    pub email: Loose<'a>,
    /// Phone number, best in E.164 (`+31612345678`).
    #[schemars(with = "Scalar")]
    pub phone: Loose<'a>,
    /// Cookie or device id.
    #[schemars(with = "Scalar")]
    pub device: Loose<'a>,
    /// Further ids, by a name of the source's own.
    #[schemars(with = "Option<BTreeMap<String, Scalar>>")]
    pub ids: Pairs<'a, Loose<'a>>,
    /// Further names, where the customer has two of a kind, such as two devices.
    #[schemars(with = "Option<Vec<Customer<'a>>>")]
    pub also: List<Part<Self>>,
}

/// One product line.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(default)]
#[schemars(rename = "Item")]
pub(super) struct Line<'a> {
    /// Stock keeping unit. Needed.
    #[serde(borrow)]
    #[schemars(with = "Scalar")]
    pub sku: Loose<'a>,
    /// How many; 1 if left out.
    #[schemars(with = "Whole")]
    pub quantity: Loose<'a>,
    /// Price of one.
    #[schemars(with = "Number")]
    pub price: Loose<'a>,
    /// Currency of the price, ISO 4217.
    #[schemars(with = "Scalar")]
    pub currency: Loose<'a>,
    /// Product name.
    #[schemars(with = "Scalar")]
    pub name: Loose<'a>,
    /// Category.
    #[schemars(with = "Scalar")]
    pub category: Loose<'a>,
    /// Brand.
    #[schemars(with = "Scalar")]
    pub brand: Loose<'a>,
    /// Address of the picture.
    #[schemars(with = "Scalar")]
    pub image: Loose<'a>,
    /// Address of the product page.
    #[schemars(with = "Scalar")]
    pub url: Loose<'a>,
    /// Chosen options by attribute, such as `{"size": "S"}`.
    #[schemars(with = "Option<BTreeMap<String, Scalar>>")]
    pub options: Pairs<'a, Loose<'a>>,
}

/// The order.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(default)]
#[schemars(rename = "Order")]
pub(super) struct Order<'a> {
    /// The shop's order number; reports with one number are one order.
    #[serde(borrow)]
    #[schemars(with = "Scalar")]
    pub id: Loose<'a>,
    /// Within which the order number is unique.
    #[schemars(with = "Scalar")]
    pub scope: Loose<'a>,
    /// Order total.
    #[schemars(with = "Number")]
    pub total: Loose<'a>,
    /// Discount on the order.
    #[schemars(with = "Number")]
    pub discount: Loose<'a>,
    /// Currency of the amounts, ISO 4217.
    #[schemars(with = "Scalar")]
    pub currency: Loose<'a>,
    /// Coupon code that was used.
    #[schemars(with = "Scalar")]
    pub coupon: Loose<'a>,
    /// Amount refunded, on `order.refunded`.
    #[schemars(with = "Number")]
    pub refunded: Loose<'a>,
    /// Shipping method.
    #[schemars(with = "Scalar")]
    pub shipping: Loose<'a>,
    /// Carrier's tracking number.
    #[schemars(with = "Scalar")]
    pub tracking: Loose<'a>,
    /// Carrier's tracking page.
    #[schemars(with = "Scalar")]
    pub tracking_url: Loose<'a>,
}

/// What is known of the person.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(default)]
#[schemars(rename = "Profile")]
pub(super) struct Profile<'a> {
    /// Given name.
    #[serde(borrow)]
    #[schemars(with = "Scalar")]
    pub first_name: Loose<'a>,
    /// Family name.
    #[schemars(with = "Scalar")]
    pub last_name: Loose<'a>,
    /// Language, as a BCP 47 tag.
    #[schemars(with = "Scalar")]
    pub locale: Loose<'a>,
    /// IANA time zone.
    #[schemars(with = "Scalar")]
    pub zone: Loose<'a>,
    /// Country, ISO 3166 alpha-2.
    #[schemars(with = "Scalar")]
    pub country: Loose<'a>,
    /// Birth date, `YYYY-MM-DD`.
    #[schemars(with = "Time")]
    pub birth_date: Loose<'a>,
    /// Further attributes, at most 32.
    #[schemars(with = "Option<BTreeMap<String, Scalar>>")]
    pub attributes: Pairs<'a, Loose<'a>>,
}

/// One consent.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(default)]
#[schemars(rename = "Consent")]
pub(super) struct Consent<'a> {
    /// By which channel. Needed.
    #[serde(borrow)]
    #[schemars(with = "MessageChannelWord")]
    pub channel: Loose<'a>,
    /// For which topic; all of them if left out.
    #[schemars(with = "Scalar")]
    pub topic: Loose<'a>,
    /// What was said. Needed.
    #[schemars(with = "StatusWord")]
    pub status: Loose<'a>,
}

/// The page, category or search.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(default)]
#[schemars(rename = "Page")]
pub(super) struct Page<'a> {
    /// Address of the page.
    #[serde(borrow)]
    #[schemars(with = "Scalar")]
    pub url: Loose<'a>,
    /// Title or name.
    #[schemars(with = "Scalar")]
    pub name: Loose<'a>,
    /// Category shown.
    #[schemars(with = "Scalar")]
    pub category: Loose<'a>,
    /// Words searched for.
    #[schemars(with = "Scalar")]
    pub query: Loose<'a>,
    /// How many results a search gave.
    #[schemars(with = "Whole")]
    pub results: Loose<'a>,
}
