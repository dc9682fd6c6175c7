//! An event as the CloudEvent that is read back as it.

use serde_json::{Map, Value, json};

use super::data::fill_custom;
use crate::decode::fields::is_known;

use crate::model::{
    Channel, ConsentFact, ConsentStatus, Event, EventName, Identity, Item, ItemsAre, Namespace,
    OrderFacts, OutcomeFact, PageFacts, ProfileFacts, Text,
};

/// The event as CloudEvents JSON on one line. Reading it gives the event again, but for its place in
/// its source, what is said of the input's clock, and the order of a profile's attributes. Of a
/// custom event it has who, where, and the data; data that is no object can't hold the first two.
#[must_use]
pub fn cloudevent(event: &Event) -> String {
    let mut envelope = Map::new();
    envelope.insert("specversion".into(), "1.0".into());
    // Read, the source stands before the id with this between them.
    let stands = |part: &str| is_known(part) && part.trim() == part;
    let (source, id) = event
        .id
        .split_once('#')
        .filter(|(source, id)| stands(source) && stands(id))
        .unwrap_or(("", &event.id));
    envelope.insert("id".into(), id.into());
    if !source.is_empty() {
        envelope.insert("source".into(), source.into());
    }
    envelope.insert("type".into(), event.name.as_str().into());
    envelope.insert("time".into(), event.time.to_string().into());
    let head = Value::Object(envelope).to_string();
    let data = data(event);
    if data == "{}" || data == "null" {
        return head;
    }
    format!("{},\"data\":{data}}}", &head[..head.len() - 1])
}

/// What stands under `data`, as JSON.
fn data(event: &Event) -> String {
    let ours = said(event);
    let Some(own) = event.data.as_deref() else { return Value::Object(ours).to_string() };
    let mut read = Event::new("", event.name.clone(), event.time);
    let names = |event: &Event| (event.identities.clone(), event.shop.clone(), event.channel);
    let same = fill_custom(&mut read, own).is_ok() && names(&read) == names(event);
    match serde_json::from_str::<Value>(own) {
        Ok(Value::Object(mut own)) if !same => {
            // Other data under our names gives way.
            for name in ["customer", "shop", "channel"] {
                own.remove(name);
            }
            own.extend(ours);
            Value::Object(own).to_string()
        }
        // A line break may stand between, and nowhere else.
        Ok(_) => own.replace(['\n', '\r'], " "),
        Err(_) => Value::Object(ours).to_string(),
    }
}

/// What an event of ours says; of a custom one who and where.
fn said(event: &Event) -> Map<String, Value> {
    let mut data = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            data.insert(name.to_owned(), value);
        }
    };
    add("customer", customer(&event.identities));
    add("shop", text(event.shop.as_ref()));
    let channel = match event.channel {
        Channel::Unknown => None,
        Channel::Web => Some("web"),
        Channel::App => Some("app"),
        Channel::Store => Some("store"),
        Channel::Phone => Some("phone"),
    };
    add("channel", channel.map(Value::from));
    if matches!(event.name, EventName::Custom(_)) {
        return data;
    }
    add("cart_id", text(event.cart_id.as_ref()));
    if !event.items.is_empty() || event.items_are != ItemsAre::Mentioned {
        add("items", Some(event.items.iter().map(item).collect()));
        let are = match event.items_are {
            ItemsAre::Mentioned => "mentioned",
            ItemsAre::Delta => "delta",
            ItemsAre::Whole => "whole",
        };
        add("items_are", Some(are.into()));
    }
    add("order", event.order.as_deref().map(order));
    add("profile", event.profile.as_deref().map(profile));
    if !event.consents.is_empty() {
        add("consents", Some(event.consents.iter().map(consent).collect()));
    }
    add("page", event.page.as_deref().map(page));
    if let Some(outcome) = event.outcome.as_deref() {
        let OutcomeFact { message, revision, reason, link } = outcome;
        add("message", Some(message.to_string().into()));
        add("revision", revision.map(Value::from));
        add("reason", text(reason.as_ref()));
        add("link", text(link.as_ref()));
    }
    data
}

/// The names of a customer, in their order: in one object as far as its fields can hold them, the
/// rest in further ones.
fn customer(identities: &[Identity]) -> Option<Value> {
    let mut objects: Vec<(Map<String, Value>, usize)> = Vec::new();
    for Identity { namespace, value } in identities {
        let (field, place) = match namespace {
            Namespace::CustomerId => ("id", 1),
            Namespace::Email => ("email", 2),
            Namespace::Phone => ("phone", 3),
            Namespace::Device => ("device", 4),
            Namespace::Other(_) => ("ids", 5),
        };
        let fits = |(object, last): &&mut (Map<String, Value>, usize)| {
            // Other ids may share one object, as far as they are in the order of their kinds.
            place > *last || (place == 5 && *last == 5 && after_all(object, namespace))
        };
        let value = Value::from(value.as_str());
        let object = match objects.last_mut().filter(fits) {
            Some(fitting) => fitting,
            None => {
                objects.push((Map::new(), 0));
                let end = objects.len() - 1;
                &mut objects[end]
            }
        };
        object.1 = place;
        match namespace {
            Namespace::Other(name) => {
                let ids = object.0.entry(field).or_insert_with(|| json!({}));
                ids[name.as_str()] = value;
            }
            _ => {
                object.0.insert(field.to_owned(), value);
            }
        }
    }
    let mut objects = objects.into_iter().map(|(object, _)| object);
    let mut first = objects.next()?;
    let further: Vec<Value> = objects.map(Value::Object).collect();
    if !further.is_empty() {
        first.insert("also".into(), further.into());
    }
    Some(Value::Object(first))
}

/// Whether a kind of id comes after all that an object has.
fn after_all(object: &Map<String, Value>, namespace: &Namespace) -> bool {
    let Namespace::Other(name) = namespace else { return false };
    let ids = object.get("ids").and_then(Value::as_object);
    ids.into_iter().flat_map(Map::keys).all(|known| known.as_str() < name.as_str())
}

fn item(item: &Item) -> Value {
    let mut fields = fields([
        ("sku", Some(item.sku.as_str().into())),
        ("quantity", Some(item.quantity.into())),
        ("price", item.price.map(|price| price.to_string().into())),
        ("currency", item.currency.map(|currency| currency.code().into())),
        ("name", text(item.name())),
        ("category", text(item.category())),
        ("brand", text(item.brand())),
        ("image", text(item.image())),
        ("url", text(item.url())),
    ]);
    let options = item.options();
    if !options.is_empty() {
        fields["options"] = chosen(options);
    }
    fields
}

/// Chosen options by attribute. Where an option itself holds `;` or `=`, all are one: read, they
/// are the same text again.
fn chosen(options: &str) -> Value {
    let pairs: Option<Vec<(&str, &str)>> =
        options.split(';').map(|pair| pair.split_once('=')).collect();
    let plain = |pairs: &[(&str, &str)]| {
        pairs.is_sorted()
            && pairs.windows(2).all(|two| two[0].0 != two[1].0)
            && pairs.iter().all(|(_, value)| !value.is_empty() && value.trim() == *value)
    };
    let object = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
    };
    match (pairs.filter(|pairs| plain(pairs)), options.split_once('=')) {
        (Some(pairs), _) => Value::Object(object(&pairs)),
        (None, Some(all)) => Value::Object(object(&[all])),
        (None, None) => json!({}),
    }
}

fn order(order: &OrderFacts) -> Value {
    let amount = |amount: Option<crate::model::Amount>| amount.map(|it| it.to_string().into());
    fields([
        ("id", text(order.id.as_ref())),
        ("scope", text(Some(&order.scope).filter(|scope| !scope.is_empty()))),
        ("total", amount(order.total)),
        ("discount", amount(order.discount)),
        ("currency", order.currency.map(|currency| currency.code().into())),
        ("coupon", text(order.coupon.as_ref())),
        ("refunded", amount(order.refunded)),
        ("shipping", text(order.shipping.as_ref())),
        ("tracking", text(order.tracking.as_ref())),
        ("tracking_url", text(order.tracking_url.as_ref())),
    ])
}

fn profile(profile: &ProfileFacts) -> Value {
    let mut shown = fields([
        ("first_name", text(profile.first_name.as_ref())),
        ("last_name", text(profile.last_name.as_ref())),
        ("locale", text(profile.locale.as_ref())),
        ("zone", text(profile.zone.as_ref())),
        ("country", text(profile.country.as_ref())),
        ("birth_date", text(profile.birth_date.as_ref())),
    ]);
    if !profile.attributes.is_empty() {
        let attributes = profile.attributes.iter();
        let attributes =
            attributes.map(|(name, value)| (name.to_string(), Value::from(value.as_str())));
        shown["attributes"] = Value::Object(attributes.collect());
    }
    shown
}

fn consent(consent: &ConsentFact) -> Value {
    let status = match consent.status {
        ConsentStatus::Given => "given",
        ConsentStatus::Confirmed => "confirmed",
        ConsentStatus::Withdrawn => "withdrawn",
    };
    fields([
        ("channel", Some(consent.channel.as_str().into())),
        ("topic", text(consent.topic.as_ref())),
        ("status", Some(status.into())),
    ])
}

fn page(page: &PageFacts) -> Value {
    fields([
        ("url", text(page.url.as_ref())),
        ("name", text(page.name.as_ref())),
        ("category", text(page.category.as_ref())),
        ("query", text(page.query.as_ref())),
        ("results", page.results.map(Value::from)),
    ])
}

fn text(text: Option<&Text>) -> Option<Value> {
    text.map(|text| text.as_str().into())
}

/// An object of the fields that say something.
fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let known = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(known.collect())
}
