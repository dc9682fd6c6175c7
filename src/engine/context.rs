//! What conditions and templates see: one view over state, run and event.

use std::borrow::Cow;
use std::sync::LazyLock;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::journey::{Env, Moment, MomentDay, Rules, Shop, Value, Var, WindowZone};
use crate::model::{
    Amount, Channel, Event, EventName, Item, Money, OrderFacts, PageFacts, Text, Timestamp, Zone,
};

use super::run::{Run, StartEvent};
use super::state::{Cart, CustomerState};

/// An event as conditions see it: the one being applied, or the one that started a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventView<'a> {
    name: &'a EventName,
    time: Timestamp,
    channel: Channel,
    shop: Option<&'a Text>,
    items: &'a [Item],
    order: Option<&'a OrderFacts>,
    page: Option<&'a PageFacts>,
}

impl<'a> From<&'a Event> for EventView<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            name: &event.name,
            time: event.time,
            channel: event.channel,
            shop: event.shop.as_ref(),
            items: &event.items,
            order: event.order.as_deref(),
            page: event.page.as_deref(),
        }
    }
}

impl<'a> From<&'a StartEvent> for EventView<'a> {
    fn from(start: &'a StartEvent) -> Self {
        Self {
            name: &start.name,
            time: start.time,
            channel: start.channel,
            shop: start.shop.as_ref(),
            items: &start.items,
            order: start.order.as_deref(),
            page: start.page.as_deref(),
        }
    }
}

/// Everything a condition or a template may read at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub state: &'a CustomerState,
    pub rules: &'a Rules,
    pub cart: Option<&'a Cart>,
    pub event: Option<EventView<'a>>,
    pub run: Option<&'a Run>,
    pub now: Timestamp,
}

impl<'a> Context<'a> {
    /// For a run: its own cart, and the event that started it.
    pub(super) fn of_run(
        state: &'a CustomerState,
        rules: &'a Rules,
        run: &'a Run,
        now: Timestamp,
    ) -> Self {
        let cart = match &run.cart {
            Some(key) if !run.key.is_empty() => state.cart(key),
            _ => state.open_cart(),
        };
        Self { state, rules, cart, event: Some((&run.start).into()), run: Some(run), now }
    }

    /// The shop the customer is in.
    pub(super) fn shop(&self) -> &'a Shop {
        self.rules.shop(self.event.and_then(|event| event.shop).or(self.state.shop.as_ref()))
    }

    /// The customer's country, else the shop's.
    pub(super) fn country(&self) -> Option<&'a Text> {
        self.state.profile.country.as_ref().or(self.shop().country.as_ref())
    }

    /// The customer's zone, where it is known and exists.
    pub(super) fn customer_zone(&self) -> Option<Zone> {
        self.state.profile.zone.as_deref().and_then(Zone::named)
    }

    /// The zone in which days are counted: the customer's, else the shop's, else UTC.
    pub(super) fn zone(&self) -> Zone {
        self.customer_zone().or_else(|| self.shop().zone.clone()).unwrap_or_else(Zone::utc)
    }

    /// The zone of a wall clock that a journey names.
    pub(super) fn clock(&self, whose: &WindowZone) -> Zone {
        match whose {
            WindowZone::Fixed(zone) => zone.clone(),
            WindowZone::Customer { unknown } => {
                self.customer_zone().or_else(|| unknown.clone()).unwrap_or_else(|| self.zone())
            }
        }
    }

    /// When a moment is that is waited for from now on; `None` if it has passed or is not known.
    pub(super) fn until(&self, moment: &Moment) -> Option<Timestamp> {
        let fact = match moment.day {
            MomentDay::Fact { var, .. } => match self.value(var) {
                Value::Time(time) => Some(time),
                _ => None,
            },
            MomentDay::Weekdays(_) | MomentDay::Date(_) => None,
        };
        moment.after(self.now, fact, &self.clock(&moment.zone))
    }

    fn in_currency(&self, amount: Amount, items: &[Item]) -> Money {
        let currency = items.iter().find_map(|item| item.currency).or(self.shop().currency);
        Money { amount, currency }
    }

    fn cart_total(&self) -> Option<Money> {
        let Some(cart) = self.cart else {
            return Some(self.in_currency(Amount::ZERO, &[]));
        };
        let total = total(&cart.lines)?;
        Some(self.in_currency(total, &cart.lines))
    }

    fn orders_total(&self) -> Money {
        let orders = &self.state.orders;
        let main = orders.last_total.and_then(|total| total.currency);
        let sum = orders.totals.iter().find(|sum| sum.currency == main).or(orders.totals.first());
        let sum = sum.copied().unwrap_or_default();
        Money { currency: sum.currency.or(self.shop().currency), ..sum }
    }

    fn order_total(&self) -> Option<Money> {
        let event = self.event?;
        let order = event.order?;
        let stated = order.total.or_else(|| total(event.items));
        stated.map(|amount| Money { amount, currency: order.currency.or(self.shop().currency) })
    }
}

/// Sum of lines; `None` if a line has no price or the sum is too large.
fn total(items: &[Item]) -> Option<Amount> {
    items.iter().try_fold(Amount::ZERO, |sum, item| {
        item.price?.times(item.quantity).and_then(|line| sum.plus(line))
    })
}

fn units(items: &[Item]) -> i64 {
    items.iter().fold(0_i64, |sum, item| sum.saturating_add(item.quantity))
}

fn text<'a>(text: Option<&'a Text>) -> Value<'a> {
    text.map_or(Value::Null, |text| Value::Text(Cow::Borrowed(text.as_str())))
}

fn time<'a>(time: Option<Timestamp>) -> Value<'a> {
    time.map_or(Value::Null, Value::Time)
}

fn money<'a>(money: Option<Money>) -> Value<'a> {
    money.map_or(Value::Null, Value::Money)
}

fn count<'a>(count: usize) -> Value<'a> {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

const fn channel_word(channel: Channel) -> &'static str {
    match channel {
        Channel::Unknown => "unknown",
        Channel::Web => "web",
        Channel::App => "app",
        Channel::Store => "store",
        Channel::Phone => "phone",
    }
}

impl Env for Context<'_> {
    fn value(&self, var: Var) -> Value<'_> {
        let state = self.state;
        let items = |items: &'_ [Item]| Value::Items(Cow::Owned(items.to_vec()));
        match var {
            Var::CustomerId => text(state.source_id.as_ref()),
            Var::CustomerFirstName => text(state.profile.first_name.as_ref()),
            Var::CustomerLastName => text(state.profile.last_name.as_ref()),
            Var::CustomerEmail => text(state.email.as_ref()),
            Var::CustomerPhone => text(state.phone.as_ref()),
            Var::CustomerLocale => {
                text(state.profile.locale.as_ref().or(self.shop().locale.as_ref()))
            }
            Var::CustomerCountry => text(self.country()),
            Var::CustomerZone => text(state.profile.zone.as_ref()),
            Var::CustomerKnown => Value::Bool(state.known),
            Var::CustomerFirstSeen => {
                time((state.first_seen != Timestamp::MAX).then_some(state.first_seen))
            }
            Var::CustomerSignedIn => Value::Bool(state.signed_in),
            Var::CartId => {
                text(self.cart.map(|cart| &cart.key).filter(|key| !key.starts_with('#')))
            }
            Var::CartTotal => money(self.cart_total()),
            Var::CartCount => Value::Int(self.cart.map_or(0, |cart| units(&cart.lines))),
            Var::CartLines => count(self.cart.map_or(0, |cart| cart.lines.len())),
            Var::CartItems => match self.cart {
                Some(cart) => Value::Items(Cow::Borrowed(&cart.lines)),
                None => items(&[]),
            },
            Var::CartChangedAt => time(self.cart.map(|cart| cart.changed_at)),
            Var::CartCheckout => {
                Value::Bool(self.cart.is_some_and(|cart| cart.checkout_at.is_some()))
            }
            Var::EventName => self
                .event
                .map_or(Value::Null, |event| Value::Text(Cow::Borrowed(event.name.as_str()))),
            Var::EventTime => time(self.event.map(|event| event.time)),
            Var::EventChannel => self.event.map_or(Value::Null, |event| {
                Value::Text(Cow::Borrowed(channel_word(event.channel)))
            }),
            Var::EventShop => text(self.event.and_then(|event| event.shop)),
            Var::EventItems => match self.event {
                Some(event) => Value::Items(Cow::Borrowed(event.items)),
                None => items(&[]),
            },
            Var::EventOrderId => {
                text(self.event.and_then(|event| event.order).and_then(|order| order.id.as_ref()))
            }
            Var::EventOrderTotal => money(self.order_total()),
            Var::EventCoupon => text(
                self.event.and_then(|event| event.order).and_then(|order| order.coupon.as_ref()),
            ),
            Var::EventCategory => text(self.event.and_then(|event| {
                let of_page = event.page.and_then(|page| page.category.as_ref());
                of_page.or_else(|| event.items.first().and_then(|item| item.category()))
            })),
            Var::EventQuery => {
                text(self.event.and_then(|event| event.page).and_then(|page| page.query.as_ref()))
            }
            Var::EventResults => self
                .event
                .and_then(|event| event.page)
                .and_then(|page| page.results)
                .map_or(Value::Null, Value::Int),
            Var::OrdersCount => Value::Int(i64::from(state.orders.count)),
            Var::OrdersTotal => Value::Money(self.orders_total()),
            Var::OrdersFirstAt => time(state.orders.first_at),
            Var::OrdersLastAt => time(state.orders.last_at),
            Var::OrdersLastTotal => money(state.orders.last_total),
            Var::OrdersLastItems => Value::Items(Cow::Borrowed(&state.orders.last_items)),
            Var::BrowseItems => {
                Value::Items(Cow::Owned(state.browse.items.iter().rev().cloned().collect()))
            }
            Var::BrowseCount => count(state.browse.items.len()),
            Var::BrowseLastAt => time(state.browse.last_at),
            Var::BrowseCategory => text(state.browse.category.as_ref()),
            Var::BrowseQuery => text(state.browse.query.as_ref()),
            Var::RunStartedAt => time(self.run.map(|run| run.start.time)),
            Var::RunMessages => Value::Int(self.run.map_or(0, |run| i64::from(run.sent))),
            Var::RunKey => text(self.run.map(|run| &run.key)),
            Var::Now => Value::Time(self.now),
        }
    }
}

/// The context as JSON: one object a group (`customer`, `cart`, ...), facts that are not known
/// left out, money as `{"amount": "20.00", "currency": "EUR"}`, times as RFC 3339.
impl Serialize for Context<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut groups = serializer.serialize_map(None)?;
        for (group, vars) in GROUPS.iter() {
            let absent = match *group {
                "event" => self.event.is_none(),
                "run" => self.run.is_none(),
                _ => false,
            };
            if *group == "now" {
                groups.serialize_entry("now", &Shown(&self.now))?;
            } else if !absent {
                groups.serialize_entry(group, &Group { context: self, vars })?;
            }
        }
        groups.end()
    }
}

/// Variables with their names in a group.
type NamedVars = Vec<(Var, &'static str)>;

/// The groups in the order of [`Var::ALL`], each with its variables and their names in it. Made
/// once: every decision is written with it.
static GROUPS: LazyLock<Vec<(&str, NamedVars)>> = LazyLock::new(|| {
    let mut groups: Vec<(&str, NamedVars)> = Vec::new();
    for (var, path, _, _) in Var::ALL {
        let (group, name) = path.split_once('.').unwrap_or((path, ""));
        match groups.last_mut() {
            Some((last, vars)) if *last == group => vars.push((*var, name)),
            _ => groups.push((group, vec![(*var, name)])),
        }
    }
    groups
});

/// The variables of one group.
struct Group<'a> {
    context: &'a Context<'a>,
    vars: &'a [(Var, &'static str)],
}

impl Serialize for Group<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        for (var, name) in self.vars {
            if *var == Var::BrowseItems {
                // Written as they are kept: as a value they would be copied to turn them round.
                fields.serialize_entry(name, &NewestFirst(&self.context.state.browse.items))?;
                continue;
            }
            let value = self.context.value(*var);
            if value != Value::Null {
                fields.serialize_entry(name, &Json(&value))?;
            }
        }
        if self.vars.iter().any(|(var, _)| *var == Var::CustomerId) {
            let attributes = &self.context.state.profile.attributes;
            if !attributes.is_empty() {
                fields.serialize_entry("attributes", &Pairs(attributes))?;
            }
        }
        fields.end()
    }
}

struct NewestFirst<'a>(&'a [Item]);

impl Serialize for NewestFirst<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().rev().map(ItemJson))
    }
}

struct Pairs<'a>(&'a [(Text, Text)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

struct Json<'a>(&'a Value<'a>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_none(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) | Value::Duration(value) => serializer.serialize_i64(*value),
            Value::Text(value) => serializer.serialize_str(value),
            Value::Money(value) => MoneyJson(*value).serialize(serializer),
            Value::Time(value) => serializer.collect_str(value),
            Value::Items(items) => serializer.collect_seq(items.iter().map(ItemJson)),
            Value::Texts(texts) => serializer.collect_seq(texts.iter()),
        }
    }
}

struct MoneyJson(Money);

impl Serialize for MoneyJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("amount", &Shown(&self.0.amount))?;
        if let Some(currency) = &self.0.currency {
            fields.serialize_entry("currency", currency.code())?;
        }
        fields.end()
    }
}

struct Shown<'a, T: std::fmt::Display>(&'a T);

impl<T: std::fmt::Display> Serialize for Shown<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

struct ItemJson<'a>(&'a Item);

impl Serialize for ItemJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let item = self.0;
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("sku", &item.sku)?;
        fields.serialize_entry("quantity", &item.quantity)?;
        if let Some(price) = item.price {
            fields.serialize_entry(
                "price",
                &MoneyJson(Money { amount: price, currency: item.currency }),
            )?;
            if let Some(total) = price.times(item.quantity) {
                let total = Money { amount: total, currency: item.currency };
                fields.serialize_entry("total", &MoneyJson(total))?;
            }
        }
        let optional = [
            ("name", item.name()),
            ("category", item.category()),
            ("brand", item.brand()),
            ("image", item.image()),
            ("url", item.url()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                fields.serialize_entry(name, value)?;
            }
        }
        if !item.options().is_empty() {
            fields.serialize_entry("options", item.options())?;
        }
        fields.end()
    }
}
