//! What a customer's state may take, and what is let go of when it takes more.
//!
//! Every list in the state has a limit of its own; this holds them together under
//! [`STATE_BYTES_MAX`], after each input, by the state alone and so the same in every replay.

use crate::model::{Event, Item, OrderFacts, PageFacts, Text};

use super::run::Run;
use super::state::{Cart, CustomerState, STATE_BYTES_MAX};

/// The most bytes of lines kept of one cart; all carts of a customer have twice as much.
pub(super) const CART_BYTES_MAX: usize = STATE_BYTES_MAX / 4;
/// The most bytes of product lines that are kept of one event, one order, or what was looked at.
pub(super) const ITEMS_BYTES_MAX: usize = 4 * 1024;
/// What a new run may bring before the state has to be looked at again.
const ROOM_FOR_A_RUN: usize = STATE_BYTES_MAX / 4;
/// Seen ids that are kept in any case.
const SEEN_KEPT: usize = 64;

/// At most how many bytes a product line takes when it is stored.
pub(super) fn of_item(item: &Item) -> usize {
    let texts = [item.name(), item.category(), item.brand(), item.image(), item.url()];
    let facts: usize = texts.into_iter().flatten().map(|text| text.len() + 3).sum();
    48 + item.sku.len() + item.options().len() + facts
}

/// The same of several lines.
pub(super) fn of_items(items: &[Item]) -> usize {
    items.iter().map(of_item).sum()
}

/// The same of all carts.
pub(super) fn of_carts(carts: &[Cart]) -> usize {
    carts.iter().map(|cart| 96 + cart.key.len() + of_items(&cart.lines)).sum()
}

/// The first of an event's product lines, as many as are kept.
pub(super) fn first_of(event: &Event, count: usize) -> Vec<Item> {
    let mut room = ITEMS_BYTES_MAX;
    let fits = |item: &&Item| {
        let weight = of_item(item);
        let fits = weight <= room;
        room = room.saturating_sub(weight);
        fits
    };
    event.items.iter().take(count).take_while(fits).cloned().collect()
}

impl CustomerState {
    /// At most about how many bytes the state takes when it is stored.
    #[must_use]
    pub fn weight(&self) -> usize {
        let pairs = |pairs: &[(Text, Text)]| -> usize {
            pairs.iter().map(|(name, value)| name.len() + value.len() + 4).sum()
        };
        let profile = &self.profile;
        let names = [
            &profile.first_name,
            &profile.last_name,
            &profile.locale,
            &profile.zone,
            &profile.country,
            &profile.birth_date,
            &self.source_id,
            &self.email,
            &self.phone,
            &self.shop,
            &self.browse.category,
            &self.browse.query,
        ];
        let marks: usize =
            self.again.iter().map(|mark| 40 + mark.journey.len() + mark.key.len()).sum();
        let consents = self.consents.iter().map(|consent| 12 + of(consent.topic.as_ref()));
        let last = self.last.iter().map(|(name, _)| 10 + name.as_str().len());
        let sent = self.sent.iter().map(|mark| 36 + of(mark.topic.as_ref()));
        let lists = self.absent_done.iter().map(|(journey, _)| journey.len() + 8);
        let refusals = self.refusals.iter().map(|(journey, _)| journey.len() + 2);
        let holdouts = self.holdouts.iter().map(|journey| journey.len() + 2);
        let orders: usize = self.orders.recent.iter().map(|mark| 56 + 5 * mark.skus.len()).sum();
        400 + names.into_iter().map(|name| of(name.as_ref())).sum::<usize>()
            + pairs(&profile.attributes)
            + of_carts(&self.carts)
            + of_items(&self.browse.items)
            + of_items(&self.orders.last_items)
            + 16 * self.orders.totals.len()
            + orders
            + 18 * self.seen.len()
            + 10 * self.merges.len()
            + 20 * self.awaited.len()
            + marks
            + consents.chain(last).chain(sent).chain(lists).sum::<usize>()
            + 6 * self.suppressed.len()
            + refusals.chain(holdouts).sum::<usize>()
            + self.runs.iter().map(of_run).sum::<usize>()
    }

    /// Whether another run would make the state too large.
    pub(super) fn is_full(&self) -> bool {
        self.weight() > STATE_BYTES_MAX - ROOM_FOR_A_RUN
    }

    /// Lets go of what matters least until the state is within its limit, or nothing is left that
    /// may go.
    pub(super) fn lighten(&mut self) {
        while self.weight() > STATE_BYTES_MAX && self.let_go_of_least() {}
    }

    /// As [`Self::lighten`], until another run finds room.
    pub(super) fn make_space(&mut self) {
        while self.is_full() && self.let_go_of_least() {}
    }

    /// Lets go of one thing: carts that no run is about, runs that only wait for their goal, what
    /// was looked at, attributes, marks that bind nobody, old ids, the products of the last order,
    /// then the products and pages that runs started with, and at the very last lines of a cart.
    fn let_go_of_least(&mut self) -> bool {
        let unneeded = |cart: &Cart| !self.has_run_about(&cart.key);
        let others = self.carts.len().saturating_sub(1);
        if let Some(place) = self.carts[..others].iter().position(unneeded) {
            self.carts.remove(place);
        } else if let Some(place) = self.runs.iter().position(Run::is_over) {
            self.runs.remove(place);
        } else if !self.browse.items.is_empty() {
            self.browse.items.remove(0);
        } else if self.profile.attributes.pop().is_some() {
        } else if let Some(place) = self.again.iter().position(|mark| !mark.binding) {
            self.again.remove(place);
        } else if self.seen.len() > SEEN_KEPT {
            self.seen.forget_oldest(self.seen.len() / 2);
        } else if !self.orders.last_items.is_empty() {
            self.orders.last_items.pop();
        } else if let Some(run) = self.runs.iter_mut().find(|run| !run.start.items.is_empty()) {
            run.start.items.pop();
        } else if self.runs.iter_mut().any(|run| run.start.page.take().is_some()) {
        } else if let Some(cart) = self.carts.iter_mut().max_by_key(|cart| of_items(&cart.lines)) {
            return cart.lines.pop().is_some();
        } else {
            return false;
        }
        true
    }
}

fn of_run(run: &Run) -> usize {
    let order = run.start.order.as_deref().map_or(0, of_order);
    let page = run.start.page.as_deref().map_or(0, of_page);
    let decided: usize = run.decided.iter().map(|(step, _)| step.len() + 8).sum();
    let open: usize = run.open.iter().map(|open| open.step.len() + 48).sum();
    160 + run.journey.len()
        + run.key.len()
        + of(run.cart.as_ref())
        + run.start.name.as_str().len()
        + of(run.start.shop.as_ref())
        + of_items(&run.start.items)
        + order
        + page
        + decided
        + open
        + 16 * run.redo.len()
}

fn of_order(order: &OrderFacts) -> usize {
    let texts = [&order.id, &order.coupon, &order.shipping, &order.tracking, &order.tracking_url];
    60 + order.scope.len() + texts.into_iter().map(|text| of(text.as_ref())).sum::<usize>()
}

fn of_page(page: &PageFacts) -> usize {
    let texts = [&page.url, &page.name, &page.category, &page.query];
    16 + texts.into_iter().map(|text| of(text.as_ref())).sum::<usize>()
}

fn of(text: Option<&Text>) -> usize {
    text.map_or(1, |text| text.len() + 3)
}
