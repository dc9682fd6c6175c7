//! An event in one line: what differs from an event with nothing but a name.

use std::fmt::Display;

use waypost::model::{
    Channel, ConsentFact, Event, Item, ItemsAre, OrderFacts, OutcomeFact, PageFacts, ProfileFacts,
    Timestamp,
};

/// The event in one line; its time only if it is not `usual_time`.
pub(super) fn show(event: &Event, usual_time: Timestamp) -> String {
    let mut line = vec![event.name.to_string()];
    let mut add = |name: &str, value: Option<&dyn Display>| {
        line.extend(value.map(|value| format!("{name}={value}")));
    };
    add("id", (!event.id.starts_with("case:")).then_some(&event.id));
    add("time", (event.time != usual_time).then_some(&event.time));
    add("clock_ahead", event.clock_ahead.then_some(&true));
    let channel = format!("{:?}", event.channel).to_lowercase();
    add("channel", (event.channel != Channel::Unknown).then_some(&channel));
    add("shop", event.shop.as_ref().map(|value| value as &dyn Display));
    for identity in &event.identities {
        let namespace =
            format!("{:?}", identity.namespace).replace("Other(\"", "").replace("\")", "");
        add(&namespace, Some(&identity.value));
    }
    add("cart", event.cart_id.as_ref().map(|value| value as &dyn Display));
    if !event.items.is_empty() || event.items_are != ItemsAre::Mentioned {
        let items: Vec<_> = event.items.iter().map(item).collect();
        line.push(format!("{:?}[{}]", event.items_are, items.join(", ")));
    }
    line.extend(event.order.as_deref().map(order));
    line.extend(event.profile.as_deref().map(profile));
    line.extend(event.outcome.as_deref().map(outcome));
    line.extend(event.page.as_deref().map(page));
    line.extend(event.consents.iter().map(consent));
    line.extend(event.data.as_ref().map(|data| format!("data={data}")));
    line.join(" ")
}

fn item(item: &Item) -> String {
    let mut parts = vec![item.sku.to_string()];
    if !item.options().is_empty() {
        parts.push(format!("({})", item.options()));
    }
    parts.push(format!("x{}", item.quantity));
    parts.extend(item.price.map(|price| price.to_string()));
    parts.extend(item.currency.map(|currency| currency.to_string()));
    for (name, value) in [
        ("name", item.name()),
        ("category", item.category()),
        ("brand", item.brand()),
        ("image", item.image()),
        ("url", item.url()),
    ] {
        parts.extend(value.as_ref().map(|value| format!("{name}={value}")));
    }
    parts.join(" ")
}

fn order(order: &OrderFacts) -> String {
    let scope = Some(&order.scope).filter(|scope| !scope.is_empty());
    facts(
        "order",
        [
            ("id", text(order.id.as_ref())),
            ("scope", text(scope)),
            ("total", text(order.total.as_ref())),
            ("discount", text(order.discount.as_ref())),
            ("currency", text(order.currency.as_ref())),
            ("coupon", text(order.coupon.as_ref())),
            ("refunded", text(order.refunded.as_ref())),
            ("shipping", text(order.shipping.as_ref())),
            ("tracking", text(order.tracking.as_ref())),
            ("tracking_url", text(order.tracking_url.as_ref())),
        ],
    )
}

fn profile(profile: &ProfileFacts) -> String {
    let known = [
        ("first_name", text(profile.first_name.as_ref())),
        ("last_name", text(profile.last_name.as_ref())),
        ("locale", text(profile.locale.as_ref())),
        ("zone", text(profile.zone.as_ref())),
        ("country", text(profile.country.as_ref())),
        ("birth_date", text(profile.birth_date.as_ref())),
    ];
    let attributes = profile.attributes.iter();
    facts(
        "profile",
        known.into_iter().chain(attributes.map(|(name, value)| (&**name, text(Some(value))))),
    )
}

fn outcome(outcome: &OutcomeFact) -> String {
    facts(
        "outcome",
        [
            ("message", text(Some(&outcome.message))),
            ("revision", text(outcome.revision.as_ref())),
            ("reason", text(outcome.reason.as_ref())),
            ("link", text(outcome.link.as_ref())),
        ],
    )
}

fn page(page: &PageFacts) -> String {
    facts(
        "page",
        [
            ("url", text(page.url.as_ref())),
            ("name", text(page.name.as_ref())),
            ("category", text(page.category.as_ref())),
            ("query", text(page.query.as_ref())),
            ("results", text(page.results.as_ref())),
        ],
    )
}

fn consent(consent: &ConsentFact) -> String {
    let status = format!("{:?}", consent.status).to_lowercase();
    facts(
        "consent",
        [(consent.channel.as_str(), Some(status)), ("topic", text(consent.topic.as_ref()))],
    )
}

fn text(value: Option<&impl Display>) -> Option<String> {
    value.map(ToString::to_string)
}

fn facts<'a>(name: &str, fields: impl IntoIterator<Item = (&'a str, Option<String>)>) -> String {
    let known: Vec<_> = fields
        .into_iter()
        .filter_map(|(field, value)| value.map(|value| format!("{field}={value}")))
        .collect();
    format!("{name}{{{}}}", known.join(", "))
}
