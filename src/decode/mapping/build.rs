//! Slots to an event.

use std::borrow::Cow;

use super::file::{ItemsWord, Otherwise, TimeForm};
use super::plan::{
    ConsentPlan, EventRule, ItemPlan, Kind, OrderPlan, PagePlan, Plan, ProfilePlan, Slot, Slots,
    Take, Target,
};
use super::words::consent_status;
use crate::decode::fields::{
    Reading, add_identity, amount, channel, count, id, is_known, label, options, order_box,
    price_of_one, quantity, time, url, usual_items,
};
use crate::decode::xdm::phone;
use crate::decode::{Raw, Rejected, effective_time};
use crate::model::{
    ConsentFact, Currency, Event, EventName, ITEMS_MAX, Identity, Item, ItemFacts, ItemsAre,
    OrderFacts, PageFacts, ProfileFacts, SECOND_MS, Text, Timestamp,
};

/// The event of a record; `None` for a record that the mapping says is none.
///
/// # Errors
/// [`Rejected`] naming the column or path.
pub(super) fn event(
    plan: &Plan,
    slots: &Slots<'_>,
    raw: &Raw<'_>,
) -> Result<Option<Event>, Rejected> {
    let record = &slots.record[..];
    let Some((name, items_word)) = event_name(plan, record)? else { return Ok(None) };
    let own = match &plan.time {
        Some((take, form, label)) => own_time(take.of(record, &[]), *form, label)?,
        None => None,
    };
    let (time, clock_ahead) = effective_time(own, raw.append_time)?;
    let from = From { record, element: &[] };
    let reading = Reading::of(&name);
    let own_id = reading.fact(id(from.get(&plan.id), "id"))?;
    let mut event = Event::new(own_id.unwrap_or_else(|| Text::from(raw.position)), name, time);
    event.tie = raw.tie;
    event.clock_ahead = clock_ahead;
    event.shop = reading.fact(id(from.get(&plan.shop), "shop"))?;
    if let Some(word) = from.get(&plan.channel) {
        event.channel = reading.fact(channel(&word).ok_or_else(|| {
            Rejected::new(format!("channel: `{word}` is none of web, app, store, phone"))
        }))?;
    }
    event.cart_id = reading.fact(id(from.get(&plan.cart_id), "cart_id"))?;
    let facts = profile(&plan.profile, record);
    event.profile = identities(plan, record, &mut event.identities, facts);
    if items_word != Some(ItemsWord::None) {
        event.items = reading.fact(items(plan, slots, &event.name))?;
        event.items_are = match items_word {
            _ if event.items.is_empty() && slots.elements.is_none() => ItemsAre::Mentioned,
            Some(ItemsWord::Delta) => ItemsAre::Delta,
            Some(ItemsWord::Whole) => ItemsAre::Whole,
            Some(ItemsWord::Mentioned) => ItemsAre::Mentioned,
            Some(ItemsWord::None) | None => usual_items(&event.name),
        };
    }
    if event.name.is_order() {
        let order = order(&plan.order, record, reading)?;
        event.order = order_box(&event.name, order);
    }
    event.page = reading.fact(page(&plan.page, record))?;
    for (at, one) in plan.consents.iter().enumerate() {
        event.consents.extend(reading.fact(consent(one, at, record))?);
    }
    Ok(Some(event))
}

/// The values at hand: of the record, and of the element that is read.
#[derive(Clone, Copy)]
struct From<'s> {
    record: &'s [Slot<'s>],
    element: &'s [Slot<'s>],
}

impl<'s> From<'s> {
    fn get(self, take: &'s Option<Take>) -> Slot<'s> {
        take.as_ref()?.of(self.record, self.element)
    }
}

fn event_name(
    plan: &Plan,
    record: &[Slot<'_>],
) -> Result<Option<(EventName, Option<ItemsWord>)>, Rejected> {
    let with_items = |target: &Target| target.name.clone().map(|name| (name, target.items));
    match &plan.event {
        EventRule::Always(target) => Ok(with_items(target)),
        EventRule::ByWord { slot, label, words, otherwise } => {
            let word = record[*slot].as_deref().unwrap_or_default();
            if let Some((_, target)) = words.iter().find(|(known, _)| known == word) {
                return Ok(with_items(target));
            }
            match otherwise {
                Otherwise::Ignore => Ok(None),
                Otherwise::Custom if !word.is_empty() => {
                    let name = id(Some(Cow::Borrowed(word)), label)?.unwrap_or_default();
                    Ok(Some((EventName::Custom(name), None)))
                }
                Otherwise::Custom | Otherwise::Reject => Err(Rejected::new(format!(
                    "{label}: `{}` is not in the mapping; add it under event.is, or say otherwise: ignore",
                    word.chars().take(40).collect::<String>()
                ))),
            }
        }
    }
}

fn own_time(value: Slot<'_>, form: TimeForm, label: &str) -> Result<Option<Timestamp>, Rejected> {
    let Some(text) = value else { return Ok(None) };
    let scale = match form {
        TimeForm::Rfc3339 => return time(Some(text), label),
        TimeForm::EpochMs => 1,
        TimeForm::EpochS => SECOND_MS,
    };
    if let Ok(whole) = text.parse::<i64>() {
        return in_range(whole.checked_mul(scale), &text, label);
    }
    let Some(exact) = amount(Some(Cow::Borrowed(text.as_ref())), label)? else { return Ok(None) };
    in_range(exact.micros().checked_mul(scale).map(|micros| micros / 1_000_000), &text, label)
}

fn in_range(ms: Option<i64>, text: &str, label: &str) -> Result<Option<Timestamp>, Rejected> {
    let accepted = Timestamp::MIN.ms()..=Timestamp::MAX.ms();
    match ms.filter(|ms| accepted.contains(ms)) {
        Some(ms) => Ok(Some(Timestamp::from_ms(ms))),
        None => Err(Rejected::new(format!(
            "{label}: `{text}` is no time of the years 1 to 9999 in the unit of the mapping"
        ))),
    }
}

/// Adds the identities; a phone that can't be dialled becomes the attribute `phone_text`.
fn identities(
    plan: &Plan,
    record: &[Slot<'_>],
    found: &mut Vec<Identity>,
    mut facts: ProfileFacts,
) -> Option<Box<ProfileFacts>> {
    found.reserve_exact(plan.customer.len());
    for (kind, take) in &plan.customer {
        let Some(value) = take.of(record, &[]) else { continue };
        let identity = match kind {
            Kind::CustomerId => Identity::customer_id(&value),
            Kind::Email => Identity::email(&value),
            Kind::Device => Identity::device(&value),
            Kind::Other(namespace) => Identity::other(namespace, &value),
            Kind::Phone => {
                let number = phone::e164(&value, facts.country.as_deref());
                let identity = number.and_then(|number| Identity::phone(&number));
                if identity.is_none()
                    && let Some(text) = label(Some(value))
                {
                    facts.attributes.push(("phone_text".into(), text));
                }
                identity
            }
        };
        add_identity(found, identity);
    }
    (facts != ProfileFacts::default()).then(|| Box::new(facts))
}

fn profile(plan: &ProfilePlan, record: &[Slot<'_>]) -> ProfileFacts {
    let from = From { record, element: &[] };
    let get = |take| label(from.get(take));
    let attributes = plan.attributes.iter();
    ProfileFacts {
        first_name: get(&plan.first_name),
        last_name: get(&plan.last_name),
        locale: get(&plan.locale),
        zone: get(&plan.zone),
        country: get(&plan.country),
        birth_date: get(&plan.birth_date),
        attributes: attributes
            .filter_map(|(name, take)| Some((name.clone(), label(take.of(record, &[]))?)))
            .collect(),
    }
}

fn items(plan: &Plan, slots: &Slots<'_>, name: &EventName) -> Result<Vec<Item>, Rejected> {
    let reading = Reading::of(name);
    let elements = slots.elements.as_deref().unwrap_or_default();
    if elements.len() > ITEMS_MAX {
        return Err(Rejected::new(format!("items: more than {ITEMS_MAX} in one record; split it")));
    }
    let mut items = Vec::new();
    for item_plan in &plan.items {
        if item_plan.of_elements {
            for element in elements {
                let item = item(item_plan, &slots.record, element, name);
                items.extend(reading.fact(item)?);
            }
        } else if let Some(item) = reading.fact(item(item_plan, &slots.record, &[], name))? {
            if items.is_empty() {
                items.reserve_exact(plan.items.len());
            }
            items.push(item);
        }
    }
    Ok(items)
}

/// One product line; `None` where there is no SKU.
fn item(
    plan: &ItemPlan,
    record: &[Slot<'_>],
    element: &[Slot<'_>],
    name: &EventName,
) -> Result<Option<Item>, Rejected> {
    let from = From { record, element };
    let Some(sku) = id(plan.sku.of(record, element), "items.sku")? else { return Ok(None) };
    let reading = Reading::of(name);
    // Without knowing of how many the total is, the price of one is not known.
    let stated = reading.fact(count(from.get(&plan.quantity), "items.quantity").map(Some))?;
    let mut item = Item { sku, quantity: quantity(stated.flatten(), name), ..Item::default() };
    match &plan.line_total {
        Some(_) => {
            let total = amount(from.get(&plan.line_total), "items.line_total");
            let total = reading.fact(total)?;
            price_of_one(&mut item, total.filter(|_| stated.is_some()));
        }
        None => item.price = reading.fact(amount(from.get(&plan.price), "items.price"))?,
    }
    item.currency = from.get(&plan.currency).and_then(|code| Currency::new(&code));
    let mut facts = ItemFacts {
        options: Text::default(),
        name: label(from.get(&plan.name)),
        category: label(from.get(&plan.category)),
        brand: label(from.get(&plan.brand)),
        image: url(from.get(&plan.image)),
        url: url(from.get(&plan.url)),
    };
    if !plan.options.is_empty() {
        let chosen = plan.options.iter().filter_map(|(name, take)| {
            Some((Cow::Borrowed(name.as_str()), take.of(record, element)?))
        });
        facts.options = reading.fact(options(chosen.collect(), "items.options"))?;
    }
    item.facts = facts.boxed();
    Ok(Some(item))
}

fn order(plan: &OrderPlan, record: &[Slot<'_>], reading: Reading) -> Result<OrderFacts, Rejected> {
    let from = From { record, element: &[] };
    let id = |take, field: &str| reading.fact(id(from.get(take), field));
    let amount = |take, field: &str| reading.fact(amount(from.get(take), field));
    Ok(OrderFacts {
        id: id(&plan.id, "order.id")?,
        scope: id(&plan.scope, "order.scope")?.unwrap_or_default(),
        total: amount(&plan.total, "order.total")?,
        discount: amount(&plan.discount, "order.discount")?,
        currency: from.get(&plan.currency).and_then(|code| Currency::new(&code)),
        coupon: id(&plan.coupon, "order.coupon")?,
        refunded: amount(&plan.refunded, "order.refunded")?,
        shipping: label(from.get(&plan.shipping)),
        tracking: label(from.get(&plan.tracking)),
        tracking_url: url(from.get(&plan.tracking_url)),
    })
}

fn page(plan: &PagePlan, record: &[Slot<'_>]) -> Result<Option<Box<PageFacts>>, Rejected> {
    let from = From { record, element: &[] };
    let facts = PageFacts {
        url: url(from.get(&plan.url)),
        name: label(from.get(&plan.name)),
        category: label(from.get(&plan.category)),
        query: label(from.get(&plan.query)),
        results: count(from.get(&plan.results), "page.results")?,
    };
    Ok((facts != PageFacts::default()).then(|| Box::new(facts)))
}

fn consent(
    plan: &ConsentPlan,
    at: usize,
    record: &[Slot<'_>],
) -> Result<Option<ConsentFact>, Rejected> {
    let Some(word) = plan.status.of(record, &[]).filter(|word| is_known(word)) else {
        return Ok(None);
    };
    let mapped = plan.words.iter().find(|(known, _)| *known == *word).map(|(_, status)| *status);
    let status = mapped.or_else(|| consent_status(&word)).ok_or_else(|| {
        Rejected::new(format!(
            "consents[{at}].status: `{}` is not in the mapping; add it under `is`",
            word.chars().take(40).collect::<String>()
        ))
    })?;
    let topic = plan.topic.as_ref().and_then(|take| take.of(record, &[]));
    let topic = id(topic, "consents.topic")?;
    Ok(Some(ConsentFact { channel: plan.channel, topic, status }))
}
