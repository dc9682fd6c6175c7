//! Stops that were known before the run which they concern: it starts late, or arrives by a merge.
//!
//! Of an order its products and its cart are kept, for rules that ask for them. What else a rule
//! asks (a condition, the cart of another event) can't be judged any more and counts as matched:
//! a reminder after a purchase is worse than a missing one.

use crate::journey::{EventRule, Matching};
use crate::model::{EventName, Item, Text, Timestamp};

use super::orders;
use super::run::StartEvent;
use super::state::{CustomerState, ORDERS_MAX, short_hash};

/// A run as stop rules see it, whether it has started or is about to.
pub(super) struct About<'a> {
    pub start: &'a StartEvent,
    /// Its own cart.
    pub cart: Option<&'a Text>,
    /// What is in that cart.
    pub lines: &'a [Item],
    /// An order that came later bought that cart, as far as can be told.
    pub bought_since: bool,
}

impl About<'_> {
    /// Whether one of these rules has been matched by something that `known` knows of and that
    /// came `after`; says by which event.
    pub(super) fn known_stop<'r>(
        &self,
        rules: &'r [EventRule],
        known: &CustomerState,
        after: impl Fn(&EventRule, Timestamp) -> bool,
    ) -> Option<&'r EventName> {
        let matched = |rule: &&EventRule| {
            let after = |at: Timestamp| after(rule, at);
            let of_orders = rule.event == EventName::OrderPlaced;
            (of_orders && self.bought_since)
                || (known.last(&rule.event).is_some_and(after)
                    && (!of_orders || self.an_order(rule, known, after)))
        };
        rules.iter().find(matched).map(|rule| &rule.event)
    }

    /// Whether one of the orders after an instant matches the rule.
    fn an_order(
        &self,
        rule: &EventRule,
        known: &CustomerState,
        after: impl Fn(Timestamp) -> bool,
    ) -> bool {
        let recent = &known.orders.recent;
        if recent.len() >= ORDERS_MAX && recent.iter().all(|mark| after(mark.at)) {
            // Some of those after it are not remembered one by one.
            return true;
        }
        let own_cart = self.cart.map(|cart| short_hash(cart));
        recent.iter().filter(|mark| after(mark.at) && !orders::is_of(mark, self.start)).any(
            |mark| {
                let bought_it = mark.cart.is_some() && mark.cart == own_cart;
                match rule.matching {
                    Matching::Any => true,
                    Matching::SameItems => {
                        let items = self.lines.iter().chain(&self.start.items);
                        bought_it || mark.may_have(items.map(|item| &item.sku))
                    }
                    Matching::SameCart => bought_it,
                    // An order that starts a run is no other order.
                    Matching::SameOrder => false,
                }
            },
        )
    }
}
