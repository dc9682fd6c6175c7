//! Folds orders: each counts once, whoever reports it and however often.

use crate::model::{Amount, DAY_MS, Event, EventName, Item, Money, OrderFacts, Timestamp, derive};

use super::run::StartEvent;
use super::state::{
    CustomerState, ORDER_SKUS_MAX, ORDERS_MAX, OrderMark, OrderNumber, Orders, short_hash,
};
use super::weight::{ITEMS_BYTES_MAX, first_of, of_items};

/// Reports of one number within this time are of one order if one of them names no scope, in
/// milliseconds: tills begin again at 1.
const ONE_ORDER_MS: i64 = 2 * DAY_MS;

/// What an order event told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderNews {
    /// An order that was not known.
    New,
    /// A further report, or a further row, of an order that was placed then.
    Known(Timestamp),
}

/// Applies `order.placed`.
pub(super) fn placed(orders: &mut Orders, event: &Event) -> OrderNews {
    let number = number_of(event);
    let stated = event.order.as_ref().and_then(|order| order.total);
    let currency = event
        .order
        .as_ref()
        .and_then(|order| order.currency)
        .or_else(|| event.items.iter().find_map(|item| item.currency));
    let total = stated.or_else(|| sum(&event.items)).map(|amount| Money { amount, currency });
    if let Some(place) = find(orders, number, Some(event.time)) {
        let scope = &mut orders.recent[place].number.scope;
        *scope = scope.or(number.scope);
        again(orders, place, event, total, stated.is_some());
        return OrderNews::Known(orders.recent[place].at);
    }
    orders.count += 1;
    add(&mut orders.totals, total, 1);
    orders.first_at = Some(orders.first_at.map_or(event.time, |first| first.min(event.time)));
    if orders.last_at.is_none_or(|last| last <= event.time) {
        orders.last_at = Some(event.time);
        orders.last_total = total;
        orders.last_items = first_of(event, super::run::START_ITEMS_MAX);
    }
    if orders.recent.len() >= ORDERS_MAX {
        orders.recent.remove(0);
    }
    let mut mark = OrderMark {
        number,
        at: event.time,
        source: event.tie.source,
        total,
        stated: stated.is_some(),
        cancelled: false,
        cart: event.cart_id.as_deref().map(short_hash),
        skus: Vec::with_capacity(event.items.len().min(ORDER_SKUS_MAX)),
    };
    mark.has(&event.items);
    orders.recent.push(mark);
    OrderNews::New
}

/// Remembers which cart the newest order bought, where it did not say so itself.
pub(super) fn bought(orders: &mut Orders, cart: &str) {
    if let Some(mark) = orders.recent.last_mut() {
        mark.cart.get_or_insert_with(|| short_hash(cart));
    }
}

/// Whether two events may tell of one order, going by number and scope.
pub(super) fn may_be_one(a: &OrderFacts, b: &OrderFacts) -> bool {
    let scopes = a.scope == b.scope || a.scope.is_empty() || b.scope.is_empty();
    a.id.is_some() && a.id == b.id && scopes
}

/// Whether this is the order that started a run.
pub(super) fn is_of(mark: &OrderMark, start: &StartEvent) -> bool {
    let number = start.order.as_ref().and_then(|order| OrderNumber::of(order));
    number.is_some_and(|number| mark.number.may_be(number))
}

/// Applies `order.cancelled`: the order leaves the count and the sums.
pub(super) fn cancelled(orders: &mut Orders, event: &Event) {
    // However long ago it was placed.
    let found = find(orders, number_of(event), None).map(|place| &mut orders.recent[place]);
    if let Some(mark) = found.filter(|mark| !mark.cancelled) {
        mark.cancelled = true;
        orders.count = orders.count.saturating_sub(1);
        add(&mut orders.totals, mark.total, -1);
    }
}

/// Unites the orders of two customers who are one.
pub(super) fn unite(winner: &mut CustomerState, loser: &Orders) {
    let orders = &mut winner.orders;
    let mut shared_count = 0;
    for mark in &loser.recent {
        if let Some(place) = find(orders, mark.number, Some(mark.at)) {
            let known = &mut orders.recent[place];
            known.number.scope = known.number.scope.or(mark.number.scope);
            if !mark.cancelled {
                shared_count += 1;
                add(&mut orders.totals, mark.total, -1);
            }
        } else {
            orders.recent.push(mark.clone());
        }
    }
    orders.recent.sort_by_key(|mark| (mark.at, mark.number));
    let excess = orders.recent.len().saturating_sub(ORDERS_MAX);
    orders.recent.drain(..excess);
    orders.count = (orders.count + loser.count).saturating_sub(shared_count);
    for total in &loser.totals {
        add(&mut orders.totals, Some(*total), 1);
    }
    orders.first_at = match (orders.first_at, loser.first_at) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    if orders.last_at < loser.last_at {
        orders.last_at = loser.last_at;
        orders.last_total = loser.last_total;
        orders.last_items.clone_from(&loser.last_items);
    }
}

/// A further report of a known order: it fills what was missing; rows of an order that its own
/// source tells row by row add up.
fn again(orders: &mut Orders, place: usize, event: &Event, total: Option<Money>, stated: bool) {
    let mark = &mut orders.recent[place];
    mark.has(&event.items);
    let same_source = mark.source == event.tie.source;
    let (before, after) = match (mark.total, total) {
        (before, Some(_)) if stated && !mark.stated => (before, total),
        (None, Some(_)) => (None, total),
        (Some(had), Some(more)) if same_source && !stated && !mark.stated => {
            (Some(had), had.amount.plus(more.amount).map(|amount| Money { amount, ..had }))
        }
        _ => return,
    };
    mark.total = after;
    mark.stated |= stated;
    let (cancelled, at) = (mark.cancelled, mark.at);
    if !cancelled {
        add(&mut orders.totals, before, -1);
        add(&mut orders.totals, after, 1);
    }
    if orders.last_at == Some(at) {
        orders.last_total = after;
        let room = super::run::START_ITEMS_MAX.saturating_sub(orders.last_items.len());
        if same_source && !stated && of_items(&orders.last_items) < ITEMS_BYTES_MAX {
            orders.last_items.extend(first_of(event, room));
        }
    }
}

/// Adds (or with -1 takes) an order's total to the sum of its currency.
fn add(totals: &mut Vec<Money>, total: Option<Money>, sign: i64) {
    let Some(total) = total else { return };
    let signed = Amount::from_micros(total.amount.micros().saturating_mul(sign));
    match totals.iter_mut().find(|sum| sum.currency == total.currency) {
        Some(sum) => sum.amount = sum.amount.plus(signed).unwrap_or(sum.amount),
        None => totals.push(Money { amount: signed, currency: total.currency }),
    }
}

/// The place of the order of this number: where one of the two was told without a scope, the latest
/// that was placed within [`ONE_ORDER_MS`] of `at`.
fn find(orders: &Orders, number: OrderNumber, at: Option<Timestamp>) -> Option<usize> {
    let near = |mark: &OrderMark| {
        at.is_none_or(|at| at.since_ms(mark.at).saturating_abs() <= ONE_ORDER_MS)
    };
    let recent = &orders.recent;
    let same = |mark: &OrderMark| mark.number == number && number.scope.is_some();
    recent
        .iter()
        .rposition(same)
        .or_else(|| recent.iter().rposition(|mark| mark.number.may_be(number) && near(mark)))
}

impl OrderNumber {
    fn of(order: &OrderFacts) -> Option<Self> {
        let number = high_half(derive("order", &[order.id.as_ref()?.as_bytes()]));
        let scope = (!order.scope.is_empty()).then(|| short_hash(&order.scope));
        Some(Self { number, scope })
    }

    /// Whether the two may be one order: no report without a scope says otherwise.
    const fn may_be(self, other: Self) -> bool {
        let apart = match (self.scope, other.scope) {
            (Some(own), Some(theirs)) => own != theirs,
            _ => false,
        };
        self.number == other.number && !apart
    }
}

/// What an event says of its order's number; an order without one is one of its own.
fn number_of(event: &Event) -> OrderNumber {
    event.order.as_ref().and_then(|order| OrderNumber::of(order)).unwrap_or_else(|| OrderNumber {
        number: high_half(derive("order without id", &[event.id.as_bytes()])),
        scope: Some(0),
    })
}

fn high_half(hash: u128) -> u64 {
    u64::try_from(hash >> 64).unwrap_or(0)
}

fn sum(items: &[Item]) -> Option<Amount> {
    items
        .iter()
        .map(|item| item.price.and_then(|price| price.times(item.quantity)))
        .try_fold(Amount::ZERO, |sum, line| line.and_then(|line| sum.plus(line)))
        .filter(|_| !items.is_empty())
}

/// Whether an event tells of an order being placed for the first time or again.
pub(super) fn fold(state: &mut CustomerState, event: &Event) -> Option<OrderNews> {
    match event.name {
        EventName::OrderPlaced => Some(placed(&mut state.orders, event)),
        EventName::OrderCancelled => {
            cancelled(&mut state.orders, event);
            None
        }
        _ => None,
    }
}
