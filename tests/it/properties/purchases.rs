//! No message follows a purchase that was known, held against the records themselves: every stop
//! rule on orders, also the narrowed ones, and customers who turn out to be one.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use waypost::engine::{Decision, Delivery, Effect, TraceKind};
use waypost::journey::{EventRule, Matching};
use waypost::lane::Merges;
use waypost::log::Record;
use waypost::model::{Channel, CustomerId, Event, EventName, RunId, Timestamp};

use super::promises::events;
use super::replay::{Told, replay};
use super::world::{Kind, World, worlds};
use super::{hold, journeys};

#[test]
fn no_message_after_a_known_purchase() {
    hold("no_message_after_a_known_purchase", 250, worlds(Kind::APART), holds);
}

#[test]
fn no_message_after_a_purchase_of_somebody_who_is_the_same() {
    hold("no_message_after_a_purchase_of_somebody_who_is_the_same", 250, worlds(Kind::ALL), holds);
}

fn holds(world: World) -> Result<(), TestCaseError> {
    let records = world.records();
    let told = replay(&world, &records, Merges::Inline, |_| true);
    let people = People::of(&records);
    let orders = orders(&records);
    let starts = starts(&told);
    let plans = journeys::plans(&world.journeys);
    for fate in told.messages().values() {
        let decision = &fate.decision;
        let unstarted = world.delivery == Delivery::Assumed || fate.outcomes.is_empty();
        let known = |at: Known| was_known(world.delivery, at, decision);
        let Some(person) = people.person(fate.customer) else { continue };
        if !fate.is_sent() || !unstarted || !person.became_one.iter().all(|at| known(*at)) {
            continue;
        }
        let start = starts[&decision.run];
        // What a run heard of a cart after an order of the other speaks for a newer cart.
        let since = person.last_cart.map_or(start, |last| last.max(start));
        let rules = plans.iter().filter(|plan| plan.name == decision.journey);
        let rules: Vec<&EventRule> = rules.flat_map(|plan| &plan.stops_when).collect();
        let overlooked = orders
            .iter()
            .filter(|order| person.of.contains(&order.customer))
            .filter(|order| order.event.time > since && known(order.known))
            .find(|order| rules.iter().any(|rule| order.stops(rule, decision)));
        if let Some(order) = overlooked {
            let (time, known) = (order.event.time, order.known);
            return Err(TestCaseError::fail(format!(
                "bought at {time} (late after {:?}), run from {start}, sent {decision:?}",
                known.late
            )));
        }
    }
    Ok(())
}

/// When something happened, with the watermark it came after if it came late.
#[derive(Clone, Copy, Debug)]
struct Known {
    time: Timestamp,
    late: Option<Timestamp>,
}

/// Whether the log told of it before the message started. Live, a message without an outcome has
/// not started at all.
fn was_known(delivery: Delivery, at: Known, decision: &Decision) -> bool {
    let ready = decision.at.plus_ms(decision.settle_ms);
    match (delivery, at.late) {
        (Delivery::Live, _) => true,
        (Delivery::Assumed, None) => at.time <= ready,
        (Delivery::Assumed, Some(watermark)) => watermark < ready,
    }
}

/// An order that nobody reported a second time.
struct Order<'a> {
    customer: CustomerId,
    event: &'a Event,
    known: Known,
}

impl Order<'_> {
    /// Whether a stop rule matches the order, by what the message tells of its run. A product that
    /// came into the cart later is left out.
    fn stops(&self, rule: &EventRule, decision: &Decision) -> bool {
        let data: serde_json::Value = serde_json::from_str(&decision.data).expect("json");
        let condition = match rule.condition.as_ref().map(|condition| condition.source()) {
            None => true,
            Some("event.channel == 'store'") => self.event.channel == Channel::Store,
            Some("event.channel != 'store'") => self.event.channel != Channel::Store,
            Some(other) => panic!("what is {other}?"),
        };
        let matching = match rule.matching {
            Matching::Any => true,
            Matching::SameItems => {
                let started_with = data["event"]["items"].as_array().into_iter().flatten();
                let mut skus = started_with.filter_map(|item| item["sku"].as_str());
                skus.any(|sku| self.event.items.iter().any(|item| item.sku == sku))
            }
            Matching::SameCart => {
                self.event.cart_id.as_ref().is_some_and(|cart| data["run"]["key"] == cart.as_str())
            }
            Matching::SameOrder => false,
        };
        rule.event == EventName::OrderPlaced && condition && matching
    }
}

fn orders(records: &[Record]) -> Vec<Order<'_>> {
    let number = |event: &Event| event.order.as_ref().and_then(|order| order.id.clone());
    let mut orders = Vec::new();
    for (record, late) in with_watermark(records) {
        let Record::Event(record) = record else { continue };
        let event = &record.event;
        if event.name != EventName::OrderPlaced {
            continue;
        }
        let mut reports = events(records).filter(|(_, other)| {
            let same = number(event).is_some() && number(other) == number(event);
            other.name == EventName::OrderPlaced && other.id != event.id && same
        });
        if reports.next().is_none() {
            let known = Known { time: event.time, late };
            orders.push(Order { customer: record.customer, event, known });
        }
    }
    orders
}

/// The records, each with the watermark that had passed it.
fn with_watermark(records: &[Record]) -> impl Iterator<Item = (&Record, Option<Timestamp>)> {
    let mut watermark: Option<Timestamp> = None;
    records.iter().map(move |record| {
        if let Record::Tick(tick) = record {
            watermark = watermark.max(Some(*tick));
        }
        let time = record.order().map(|(time, _)| time);
        (record, watermark.filter(|passed| time.is_some_and(|time| time <= *passed)))
    })
}

/// Customers who are one in the end.
#[derive(Default)]
struct Person {
    of: BTreeSet<CustomerId>,
    /// When they became one.
    became_one: Vec<Known>,
    /// The latest cart event of any of them, if there are several.
    last_cart: Option<Timestamp>,
    erased: bool,
}

struct People(Vec<Person>);

impl People {
    fn of(records: &[Record]) -> Self {
        let mut people: Vec<Person> = Vec::new();
        for (record, late) in with_watermark(records) {
            let Some(customer) = record.customer() else { continue };
            let mut merged = Person { of: BTreeSet::from([customer]), ..Person::default() };
            if let Record::Merge(merge) = record {
                merged.of.insert(merge.winner);
                merged.became_one.push(Known { time: merge.time, late });
            }
            let (same, others): (Vec<Person>, _) =
                people.into_iter().partition(|p| !p.of.is_disjoint(&merged.of));
            people = others;
            for known in same {
                merged.of.extend(known.of);
                merged.became_one.extend(known.became_one);
                merged.erased |= known.erased;
            }
            if let Record::Event(record) = record {
                merged.erased |= record.event.name == EventName::CustomerDeleted;
            }
            people.push(merged);
        }
        for person in people.iter_mut().filter(|person| person.of.len() > 1) {
            let own = events(records).filter(|(whose, _)| person.of.contains(whose));
            let carts = own.filter(|(_, event)| event.name.is_cart());
            person.last_cart = carts.map(|(_, event)| event.time).max();
        }
        Self(people)
    }

    /// The person behind a customer; `None` for one who was erased.
    fn person(&self, customer: CustomerId) -> Option<&Person> {
        let known = self.0.iter().find(|person| person.of.contains(&customer))?;
        (!known.erased).then_some(known)
    }
}

/// When each run started.
fn starts(told: &Told) -> BTreeMap<RunId, Timestamp> {
    let traces = told.effects.values().flatten().filter_map(|effect| match effect {
        Effect::Trace(trace) if trace.kind == TraceKind::Started => Some((trace.run?, trace.at)),
        _ => None,
    });
    traces.collect()
}
