//! The `data` of an event, to the event's fields.

use serde::Deserialize;

use super::schema::needed;
use super::shape::{Consent, CustomData, Customer, Data, Line, Order, Profile};
use crate::decode::fields::{
    InList, Reading, add_identity, amount, count, id, label, options, order_box, quantity, url,
    usual_items,
};
use crate::decode::loose::{Loose, Part};
use crate::decode::record::parse;
use crate::decode::xdm::phone;
use crate::decode::{ATTRIBUTES_MAX, DATA_BYTES_MAX, IDENTITIES_MAX, Rejected};
use crate::model::{
    Channel, ConsentFact, ConsentStatus, Currency, Event, EventName, Identity, Item, ItemFacts,
    ItemsAre, MessageChannel, OrderFacts, OutcomeFact, PageFacts, ProfileFacts, Text,
};

/// Fills in what `data` says.
///
/// # Errors
/// [`Rejected`] naming the field, also if the event says nothing without one that is missing.
pub(super) fn fill(event: &mut Event, data: &str) -> Result<(), Rejected> {
    let data: Data<'_> = if data == "null" { Data::default() } else { parse_data(data)? };
    let reading = Reading::of(&event.name);
    event.identities = identities(data.customer.known("data.customer")?, reading)?;
    event.shop = reading.fact(id(data.shop.text(), "data.shop"))?;
    event.channel = reading.fact(channel(data.channel))?;
    event.cart_id = reading.fact(id(data.cart_id.text(), "data.cart_id"))?;
    if let Some(lines) = reading.fact(data.items.known("data.items"))? {
        event.items_are = items_are(data.items_are, &event.name, reading)?;
        for (at, line) in lines.iter().enumerate() {
            event.items.extend(reading.fact(item(line, at, &event.name, reading))?);
        }
    }
    let order = reading.fact(data.order.known("data.order"))?;
    let order = order.map(|order| self::order(order, reading)).transpose()?;
    event.order = order_box(&event.name, order.unwrap_or_default());
    event.profile = profile(&data, &mut event.identities, reading)?;
    let consents = reading.fact(data.consents.known("data.consents"))?;
    for (at, consent) in consents.unwrap_or_default().iter().enumerate() {
        event.consents.extend(reading.fact(self::consent(consent, at))?);
    }
    event.outcome = outcome(&data)?;
    if let Some(page) = reading.fact(data.page.known("data.page"))? {
        let facts = PageFacts {
            url: url(page.url.text()),
            name: label(page.name.text()),
            category: label(page.category.text()),
            query: label(page.query.text()),
            results: reading.fact(count(page.results.text(), "data.page.results"))?,
        };
        event.page = (facts != PageFacts::default()).then(|| Box::new(facts));
    }
    let said = match needed(&event.name) {
        Some("consents") => !event.consents.is_empty(),
        Some("message") => event.outcome.is_some(),
        _ => true,
    };
    if !said {
        return Err(Rejected::new(format!(
            "data.{}: missing, {} says nothing without it",
            needed(&event.name).unwrap_or_default(),
            event.name
        )));
    }
    Ok(())
}

/// A custom event keeps its data as it is; who and where are read if they stand where ours do.
///
/// # Errors
/// [`Rejected`] naming the field, or for too much data.
pub(super) fn fill_custom(event: &mut Event, data: &str) -> Result<(), Rejected> {
    if data.len() > DATA_BYTES_MAX {
        return Err(Rejected::new(format!(
            "data: {} bytes, the limit is {DATA_BYTES_MAX}; drop fields",
            data.len()
        )));
    }
    if data.starts_with('{') {
        let known: CustomData<'_> = parse_data(data)?;
        let reading = Reading::of(&event.name);
        event.identities = identities(known.customer.known("data.customer")?, reading)?;
        event.shop = id(known.shop.text(), "data.shop")?;
        event.channel = channel(known.channel)?;
    }
    event.data = (data != "null").then(|| Box::from(data));
    Ok(())
}

/// Reads `data`; places in errors count from its start.
fn parse_data<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, Rejected> {
    parse(data).map_err(|rejected| Rejected::new(format!("data, {}", rejected.reason)))
}

fn identities(
    customer: Option<&Customer<'_>>,
    reading: Reading,
) -> Result<Vec<Identity>, Rejected> {
    let mut found = Vec::new();
    if let Some(customer) = customer {
        add_names(customer, reading, &mut found)?;
    }
    if found.len() > IDENTITIES_MAX {
        return Err(Rejected::new(format!(
            "data.customer.ids: more than {IDENTITIES_MAX} identities in one event"
        )));
    }
    Ok(found)
}

/// Adds the names of one object, and of those in it.
fn add_names(
    customer: &Customer<'_>,
    reading: Reading,
    found: &mut Vec<Identity>,
) -> Result<(), Rejected> {
    let mut add = |value: Loose<'_>, make: &dyn Fn(&str) -> Option<Identity>| {
        if let Some(value) = value.known() {
            add_identity(found, make(&value));
        }
    };
    add(customer.id, &Identity::customer_id);
    add(customer.email, &Identity::email);
    add(customer.phone, &|text| {
        phone::e164(text, None).and_then(|number| Identity::phone(&number))
    });
    add(customer.device, &Identity::device);
    for (namespace, value) in reading.fact(customer.ids.known("data.customer.ids"))? {
        add(*value, &|value| Identity::other(namespace, value));
    }
    let also = reading.fact(customer.also.known("data.customer.also"))?;
    for (at, names) in also.unwrap_or_default().iter().enumerate() {
        let field = InList { list: "data.customer.also", at, field: "" };
        if let Some(names) = reading.fact(names.known(field))? {
            add_names(names, reading, found)?;
        }
    }
    Ok(())
}

fn channel(value: Loose<'_>) -> Result<Channel, Rejected> {
    let Some(word) = value.text() else { return Ok(Channel::Unknown) };
    crate::decode::fields::channel(&word).ok_or_else(|| {
        Rejected::new(format!("data.channel: `{word}` is none of web, app, store, phone"))
    })
}

fn items_are(value: Loose<'_>, name: &EventName, reading: Reading) -> Result<ItemsAre, Rejected> {
    let stated = match value.text().as_deref() {
        None => Ok(None),
        Some("delta") => Ok(Some(ItemsAre::Delta)),
        Some("whole") => Ok(Some(ItemsAre::Whole)),
        Some("mentioned") => Ok(Some(ItemsAre::Mentioned)),
        Some(other) => Err(Rejected::new(format!(
            "data.items_are: `{other}` is none of delta, whole, mentioned"
        ))),
    };
    Ok(reading.fact(stated)?.unwrap_or_else(|| usual_items(name)))
}

fn item(
    line: &Part<Line<'_>>,
    at: usize,
    name: &EventName,
    reading: Reading,
) -> Result<Option<Item>, Rejected> {
    let field = |field: &'static str| InList { list: "data.items", at, field };
    let Some(line) = line.known(field(""))? else { return Ok(None) };
    let sku = id(line.sku.text(), field("sku"))?
        .ok_or_else(|| Rejected::new(format!("{}: missing", field("sku"))))?;
    let stated = reading.fact(count(line.quantity.text(), field("quantity")))?;
    let pairs = reading.fact(line.options.known(field("options")))?.iter();
    let chosen = pairs.filter_map(|(name, value)| Some((name.clone(), value.text()?))).collect();
    Ok(Some(Item {
        sku,
        quantity: quantity(stated, name),
        price: reading.fact(amount(line.price.text(), field("price")))?,
        currency: currency(line.currency),
        facts: ItemFacts {
            options: reading.fact(options(chosen, field("options")))?,
            name: label(line.name.text()),
            category: label(line.category.text()),
            brand: label(line.brand.text()),
            image: url(line.image.text()),
            url: url(line.url.text()),
        }
        .boxed(),
    }))
}

fn currency(value: Loose<'_>) -> Option<Currency> {
    value.text().and_then(|code| Currency::new(&code))
}

fn order(order: &Order<'_>, reading: Reading) -> Result<OrderFacts, Rejected> {
    let id = |value: Loose<'_>, field: &str| reading.fact(id(value.text(), field));
    let amount = |value: Loose<'_>, field: &str| reading.fact(amount(value.text(), field));
    Ok(OrderFacts {
        id: id(order.id, "data.order.id")?,
        scope: id(order.scope, "data.order.scope")?.unwrap_or_default(),
        total: amount(order.total, "data.order.total")?,
        discount: amount(order.discount, "data.order.discount")?,
        currency: currency(order.currency),
        coupon: id(order.coupon, "data.order.coupon")?,
        refunded: amount(order.refunded, "data.order.refunded")?,
        shipping: label(order.shipping.text()),
        tracking: label(order.tracking.text()),
        tracking_url: url(order.tracking_url.text()),
    })
}

/// The profile; a phone of the customer that has no country code is read as of the profile's
/// country, and kept as the attribute `phone_text` if it can't be dialled.
fn profile(
    data: &Data<'_>,
    identities: &mut Vec<Identity>,
    reading: Reading,
) -> Result<Option<Box<ProfileFacts>>, Rejected> {
    let none = Profile::default();
    let profile = reading.fact(data.profile.known("data.profile"))?.unwrap_or(&none);
    let mut facts = ProfileFacts {
        first_name: label(profile.first_name.text()),
        last_name: label(profile.last_name.text()),
        locale: label(profile.locale.text()),
        zone: label(profile.zone.text()),
        country: label(profile.country.text()),
        birth_date: label(profile.birth_date.text()),
        attributes: Vec::new(),
    };
    facts.attributes = reading.fact(attributes(profile))?;
    let phone_text = data.customer.get().and_then(|customer| customer.phone.known());
    if let Some(text) = phone_text
        && phone::e164(&text, None).is_none()
    {
        let number = phone::e164(&text, facts.country.as_deref());
        match number.and_then(|number| Identity::phone(&number)) {
            Some(identity) => add_identity(identities, Some(identity)),
            None => {
                facts.attributes.extend(label(Some(text)).map(|text| ("phone_text".into(), text)));
            }
        }
    }
    Ok((facts != ProfileFacts::default()).then(|| Box::new(facts)))
}

fn attributes(profile: &Profile<'_>) -> Result<Vec<(Text, Text)>, Rejected> {
    let mut attributes = Vec::new();
    for (name, value) in profile.attributes.known("data.profile.attributes")? {
        if let (Some(name), Some(value)) = (label(Some(name.clone())), label(value.text())) {
            attributes.push((name, value));
        }
    }
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(Rejected::new(format!(
            "data.profile.attributes: more than {ATTRIBUTES_MAX} attributes"
        )));
    }
    Ok(attributes)
}

fn consent(consent: &Part<Consent<'_>>, at: usize) -> Result<Option<ConsentFact>, Rejected> {
    let field = InList { list: "data.consents", at, field: "" };
    let Some(consent) = consent.known(field)? else { return Ok(None) };
    let wrong = |field: &str, value: Loose<'_>, words: &str| {
        let value = value.text().unwrap_or_default();
        Rejected::new(format!("data.consents[{at}].{field}: `{value}` is none of {words}"))
    };
    let channel = match consent.channel.text().as_deref() {
        Some("email") => MessageChannel::Email,
        Some("sms") => MessageChannel::Sms,
        _ => return Err(wrong("channel", consent.channel, "email, sms")),
    };
    let status = match consent.status.text().as_deref() {
        Some("given") => ConsentStatus::Given,
        Some("confirmed") => ConsentStatus::Confirmed,
        Some("withdrawn") => ConsentStatus::Withdrawn,
        _ => return Err(wrong("status", consent.status, "given, confirmed, withdrawn")),
    };
    let topic = id(consent.topic.text(), "data.consents.topic")?;
    Ok(Some(ConsentFact { channel, topic, status }))
}

fn outcome(data: &Data<'_>) -> Result<Option<Box<OutcomeFact>>, Rejected> {
    let Some(message) = data.message.text() else { return Ok(None) };
    let message = message.parse().map_err(|_| {
        Rejected::new("data.message: no message id; send back the one that came with the message")
    })?;
    let revision = count(data.revision.text(), "data.revision")?;
    let revision = revision
        .map(u32::try_from)
        .transpose()
        .map_err(|_| Rejected::new("data.revision: negative"))?;
    Ok(Some(Box::new(OutcomeFact {
        message,
        revision,
        reason: label(data.reason.text()),
        link: url(data.link.text()),
    })))
}
