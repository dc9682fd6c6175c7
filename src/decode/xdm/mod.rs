//! Adobe Commerce XDM: storefront and back-office events, account events, profile records.
//!
//! Adobe's code, documentation and schemas disagree on many spellings; each is accepted. Field
//! names follow the public `storefront-events-collector` and Adobe's data connection guides.

mod names;
mod order;
mod person;
pub(super) mod phone;
mod shape;

pub use names::EVENT_TYPES;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::shape::Record;
use super::fields::{Reading, id, label, order_box, time, url};
use super::loose::first_known;
use super::record::{json_text, parse};
use super::{DATA_BYTES_MAX, Decode, Raw, Rejected, effective_time};
use crate::model::{Channel, Event, EventName, PageFacts, Text};

/// Reads XDM records, with and without the `xdm` wrapper.
#[derive(Clone, Debug, Default)]
pub struct Xdm {
    /// In which country a phone number without country code is read, where the record's addresses
    /// name none.
    pub countries: Arc<ShopCountries>,
}

/// The countries (ISO 3166 alpha-2) of the shops.
#[derive(Clone, Debug, Default)]
pub struct ShopCountries {
    /// By website or store view code.
    pub by_shop: BTreeMap<Text, Text>,
    /// Of records that name no shop, or none of these.
    pub default: Option<Text>,
}

impl ShopCountries {
    fn of(&self, shop: Option<&Text>) -> Option<&str> {
        let own = shop.and_then(|shop| self.by_shop.get(shop));
        own.or(self.default.as_ref()).map(Text::as_str)
    }
}

impl Decode for Xdm {
    fn decode(&self, raw: &Raw<'_>, out: &mut Vec<Event>) -> Result<(), Rejected> {
        let text = json_text(raw.bytes)?;
        let mut outer: Record<'_> = parse(text)?;
        let wrapped = outer.xdm.take();
        let record = wrapped.as_deref().unwrap_or(&outer);
        let own_time = match time(record.timestamp.text(), "timestamp")? {
            Some(time) => Some(time),
            None => time(outer.timestamp.text(), "timestamp")?,
        };
        let (time, clock_ahead) = effective_time(own_time, raw.append_time)?;
        let event_type = record.event_type.known();
        let name = name_of(record, event_type.as_deref())?;
        let reading = Reading::of(&name);
        let event_id = match reading.fact(id(record.id.text(), "_id"))? {
            Some(own) => Some(own),
            None => reading.fact(id(outer.id.text(), "_id"))?,
        };
        let event_id = event_id.unwrap_or_else(|| Text::from(raw.position));
        let mut event = Event::new(event_id, name, time);
        event.tie = raw.tie;
        event.clock_ahead = clock_ahead;
        self.fill(&mut event, record, event_type.as_deref())?;
        if matches!(event.name, EventName::Custom(_)) {
            event.data = Some(custom_data(text, wrapped.is_some())?);
        }
        out.push(event);
        Ok(())
    }
}

impl Xdm {
    fn fill(
        &self,
        event: &mut Event,
        record: &Record<'_>,
        event_type: Option<&str>,
    ) -> Result<(), Rejected> {
        let reading = Reading::of(&event.name);
        event.channel = reading.fact(channel(record, event_type))?;
        event.identities = person::identities(record, reading)?;
        let facts = order::order(record, &event.name, reading)?;
        event.order = order_box(&event.name, facts);
        (event.items, event.items_are) = order::items(record, &event.name, reading)?;
        if let Some(commerce) = record.commerce.get() {
            if let Some(cart) = reading.fact(commerce.cart.known("commerce.cart"))? {
                event.cart_id = reading.fact(id(cart.id.text(), "commerce.cart.cartID"))?;
            }
            if let Some(scope) = commerce.scope.get() {
                let code = first_known(&[
                    scope.store_view_code,
                    scope.store_view,
                    scope.website_code,
                    scope.website,
                ]);
                event.shop = reading.fact(id(code, "commerce.commerceScope.storeViewCode"))?;
            }
        }
        let country = self.countries.of(event.shop.as_ref());
        event.profile = person::profile(record, country, &mut event.identities, reading)?;
        event.consents = person::consents(record, reading)?;
        event.page = reading.fact(page(record, &event.name))?;
        Ok(())
    }
}

/// What the record tells of, from its `eventType`, else from what it holds.
fn name_of(record: &Record<'_>, event_type: Option<&str>) -> Result<EventName, Rejected> {
    if let Some(event_type) = event_type {
        return Ok(match names::event_name(event_type) {
            Some(EventName::WishlistItemAdded) if !saved_for_later(record) => custom(event_type)?,
            Some(EventName::PageViewed) if shows_category(record) => EventName::CategoryViewed,
            Some(name) => name,
            None => custom(event_type)?,
        });
    }
    // Cart views carry an order too, with nothing but its discount.
    let order = record.commerce.get().and_then(|commerce| commerce.order.get());
    if order.is_some_and(|order| first_known(&[order.purchase_id, order.price_total]).is_some()) {
        return Ok(EventName::OrderPlaced);
    }
    if person::tells_of(record) {
        return Ok(EventName::CustomerUpdated);
    }
    Err(Rejected::new(
        "no eventType, and neither an order nor a person to tell of; add an eventType or use a mapping",
    ))
}

/// An event type that is not Adobe Commerce's; the words for events of ours are no event types.
fn custom(event_type: &str) -> Result<EventName, Rejected> {
    let name = id(Some(event_type.into()), "eventType")?.unwrap_or_default();
    Ok(EventName::Custom(name))
}

/// `commerce.saveForLaters` with a measure of zero tells of no saving.
fn saved_for_later(record: &Record<'_>) -> bool {
    let measure = record.commerce.get().and_then(|commerce| commerce.save_for_laters.get());
    measure.and_then(|measure| measure.value.known()).is_none_or(|value| {
        value.parse::<crate::model::Amount>().is_ok_and(|value| value.micros() > 0)
    })
}

/// The collector puts the page type into `siteSection`.
fn shows_category(record: &Record<'_>) -> bool {
    let page = record.web.get().and_then(|web| web.page.get());
    page.and_then(|page| page.site_section.text())
        .is_some_and(|section| section.eq_ignore_ascii_case("category"))
}

/// Where it happened. The storefront collector runs in browsers, so its events are of the web
/// where they name no channel; an order without event type or channel was made in a store.
fn channel(record: &Record<'_>, event_type: Option<&str>) -> Result<Channel, Rejected> {
    if let Some(channel) = record.channel.known("channel")? {
        for text in [channel.kind.text(), channel.id.text()].into_iter().flatten() {
            let last = text.rsplit('/').next().unwrap_or(&text);
            if let Some(channel) = super::fields::channel(last) {
                return Ok(channel);
            }
        }
        return Ok(Channel::Unknown);
    }
    Ok(match event_type {
        Some(event_type) if names::event_name(event_type).is_none() => Channel::Unknown,
        Some(event_type) if names::is_back_office(event_type) => Channel::Unknown,
        Some(_) => Channel::Web,
        None if record.web.get().is_some() => Channel::Web,
        None if record.commerce.get().is_some() && record.identity_map.is_empty() => Channel::Store,
        None => Channel::Unknown,
    })
}

fn page(record: &Record<'_>, name: &EventName) -> Result<Option<Box<PageFacts>>, Rejected> {
    let mut facts = PageFacts::default();
    let web = record.web.known("web")?;
    if let Some(page) = web.map(|web| web.page.known("web.webPageDetails")).transpose()?.flatten() {
        facts.url = url(page.url.text());
        facts.name = label(page.name.known());
        if *name == EventName::CategoryViewed {
            facts.category = facts.name.clone();
        }
    }
    if let Some(search) = record.site_search.known("siteSearch")? {
        facts.query = label(search.query.text());
        let results = search.number_of_results.text();
        facts.results = super::fields::count(results, "siteSearch.numberOfResults")?;
    }
    Ok((facts != PageFacts::default()).then(|| Box::new(facts)))
}

/// The record of a custom event as its data, without the `xdm` wrapper.
fn custom_data(text: &str, wrapped: bool) -> Result<Box<str>, Rejected> {
    #[derive(Deserialize)]
    struct Wrapper<'a> {
        #[serde(borrow)]
        xdm: &'a RawValue,
    }
    let data = if wrapped { parse::<Wrapper<'_>>(text)?.xdm.get() } else { text.trim() };
    if data.len() > DATA_BYTES_MAX {
        return Err(Rejected::new(format!(
            "a custom event of {} bytes, the limit is {DATA_BYTES_MAX}; drop fields",
            data.len()
        )));
    }
    Ok(Box::from(data))
}
