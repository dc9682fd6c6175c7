//! What journeys share: caps, consent rules, shops and what is known of each source.
//!
//! They stand in the configuration and are part of a release, because they change decisions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Currency, Delay, EventName, MessageChannel, Text, Zone};

/// Everything that journeys share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Limits over all journeys.
    pub caps: Vec<Cap>,
    /// What counts as consent, the most specific first; without a match consent must be explicit.
    pub consents: Vec<ConsentRule>,
    /// Shops by website or store view code.
    pub shops: BTreeMap<Text, Shop>,
    /// The shop of events that name none, or none that is configured.
    pub default_shop: Shop,
    /// What is known of the sources, by name.
    pub sources: BTreeMap<Text, SourceRule>,
}

/// At most so many marketing messages in a sliding window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    /// For one channel, or for all together.
    pub channel: Option<MessageChannel>,
    /// For one topic, or for all together.
    pub topic: Option<Text>,
    /// How many.
    pub at_most: u32,
    /// In what time, nominal (a day has 24 hours).
    pub per: Delay,
    /// What happens to a message that finds no room.
    pub on_cap: OnCap,
}

/// What happens to a message that finds no room under a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnCap {
    /// It is withheld; the run goes on.
    #[default]
    Skip,
    /// It waits for room.
    Wait,
}

/// What counts as consent for a channel in a country.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRule {
    /// The channel.
    pub channel: MessageChannel,
    /// The country (ISO 3166 alpha-2), or all.
    pub country: Option<Text>,
    /// What counts.
    pub mode: ConsentMode,
}

/// What counts as consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ConsentMode {
    /// The customer said yes.
    #[default]
    Explicit,
    /// The customer said yes, or has placed an order and not said no.
    Soft,
    /// The customer said yes and confirmed it.
    Double,
}

/// One shop: a website or store view.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shop {
    /// Its name, as customers know it.
    pub name: Option<Text>,
    /// Sender address of its mails.
    pub sender: Option<Text>,
    /// Postal address that its marketing mails carry.
    pub postal_address: Option<Text>,
    /// Its currency, for amounts that name none.
    pub currency: Option<Currency>,
    /// Its zone, for customers whose zone is not known.
    pub zone: Option<Zone>,
    /// Its language.
    pub locale: Option<Text>,
    /// Its country, for customers whose country is not known.
    pub country: Option<Text>,
    /// Address under which Waypost's unsubscribe pages are reachable.
    pub public_url: Option<Text>,
    /// Address of a product page, with `{sku}` in it.
    pub product_url: Option<Text>,
    /// Address of the cart, with `{cart_id}` in it.
    pub cart_url: Option<Text>,
}

/// What is known of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRule {
    /// How long after it happened an event of this source may come.
    pub settle: Delay,
    /// Which events it carries; `None` means any.
    pub carries: Option<Vec<EventName>>,
}

impl Rules {
    /// The shop of this code, else the default shop.
    #[must_use]
    pub fn shop(&self, code: Option<&Text>) -> &Shop {
        code.and_then(|code| self.shops.get(code)).unwrap_or(&self.default_shop)
    }

    /// What counts as consent by this channel in this country.
    #[must_use]
    pub fn consent(&self, channel: MessageChannel, country: Option<&str>) -> ConsentMode {
        let of_channel = || self.consents.iter().filter(|rule| rule.channel == channel);
        of_channel()
            .find(|rule| rule.country.is_some() && rule.country.as_deref() == country)
            .or_else(|| of_channel().find(|rule| rule.country.is_none()))
            .map_or(ConsentMode::default(), |rule| rule.mode)
    }

    /// The longest settle, in milliseconds, of the sources that can carry one of these events.
    #[must_use]
    pub fn settle_ms<'a>(&self, events: impl Iterator<Item = &'a EventName> + Clone) -> i64 {
        self.sources
            .values()
            .filter(|source| match &source.carries {
                None => events.clone().next().is_some(),
                Some(carried) => events.clone().any(|event| carried.contains(event)),
            })
            .map(|source| source.settle.nominal_ms())
            .max()
            .unwrap_or(0)
    }
}
