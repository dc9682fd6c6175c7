//! Two customers turn out to be one; a cart turns out to be another's.

use std::collections::BTreeMap;

use crate::journey::RunPer;
use crate::model::{EventName, RunId, Text, Tie, Timestamp};

use super::known::About;
use super::profile::ATTRIBUTES_MAX;
use super::state::{CARTS_MAX, Cart, CustomerState, RUNS_MAX, VIEWED_MAX};
use super::{
    Arrival, Effect, Engine, Reason, Run, TraceKind, cart, orders, trace_customer, trace_run,
};

impl Engine {
    /// The loser's side of a merge: its state leaves and it becomes a pointer.
    pub fn merge_into(
        &self,
        state: &mut CustomerState,
        winner: crate::model::CustomerId,
        time: Timestamp,
        merge: u64,
        effects: &mut Vec<Effect>,
    ) {
        if state.pointer.is_some() {
            return;
        }
        let mut pointer = CustomerState::new(state.id);
        pointer.pointer = Some(winner);
        let leaving = std::mem::replace(state, pointer);
        let detail = Text::from(winner.to_string());
        trace_customer(effects, time, TraceKind::Merged, Some(detail));
        effects.push(Effect::HandOver { winner, time, merge, state: Box::new(leaving) });
    }

    /// The winner's side, before the loser's state arrives: what is due after the merge waits for it.
    pub fn expect(
        &self,
        state: &mut CustomerState,
        time: Timestamp,
        merge: u64,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(winner) = state.pointer {
            effects.push(Effect::Forward { winner });
            return;
        }
        let known = state.merges.contains(&merge)
            || state.awaited.iter().any(|(awaited, _)| *awaited == merge);
        if !known && state.erased_at.is_none() {
            state.awaited.push((merge, time));
        }
    }

    /// The winner's side: the loser's state arrives. Each merge is applied once.
    pub fn handover(
        &self,
        state: &mut CustomerState,
        mut arriving: CustomerState,
        time: Timestamp,
        merge: u64,
        arrival: Arrival,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(winner) = state.pointer {
            effects.push(Effect::Forward { winner });
            return;
        }
        state.awaited.retain(|(awaited, _)| *awaited != merge);
        if state.merges.contains(&merge) {
            return;
        }
        if state.erased_at.is_some() {
            // It was on its way when its receiver was erased, and goes the same way.
            let detail = Text::from(arriving.id.to_string());
            trace_customer(effects, arrival.instant(time), TraceKind::Merged, Some(detail));
            let open = arriving.runs.iter().flat_map(|run| &run.open);
            effects.extend(
                open.map(|open| Effect::Cancel { message: open.id, reason: Reason::Erased }),
            );
            effects.push(Effect::Erase);
            return;
        }
        state.merges.push(merge);
        let now = arrival.instant(time);
        self.settle_open_messages(state, now, arrival.into());
        self.settle_open_messages(&mut arriving, now, arrival.into());
        self.keep_holdouts(state, &arriving);
        let detail = Text::from(arriving.id.to_string());
        trace_customer(effects, now, TraceKind::Merged, Some(detail));
        let had = (state.reachable(), arriving.reachable());
        let theirs: Vec<RunId> = arriving.runs.iter().map(|run| run.id).collect();
        // Before carts are dropped or joined: each run with its own cart.
        let mut known = BTreeMap::new();
        self.known_stops(&arriving, state, &mut known);
        self.known_stops(state, &arriving, &mut known);
        drop_bought_carts(state, &mut arriving);
        let numbered: Vec<Text> = self
            .catalog
            .plans()
            .iter()
            .filter(|active| active.plan.one_run_per == RunPer::Cart)
            .map(|active| active.plan.name.clone())
            .collect();
        let runs = unite(state, arriving, &numbered);
        for run in runs {
            self.run_arrives(state, run, now, effects);
        }
        for place in 0..state.runs.len() {
            self.hold_against_known(state, place, &known, now, effects);
        }
        self.limit_carts(state, now, effects);
        // Whichever of the two had the address: each run lacked what its own customer had not.
        let lacked = |run: &Run, channel| {
            let had = if theirs.contains(&run.id) { had.1 } else { had.0 };
            !had.by(channel)
        };
        self.addresses_found(state, lacked, time);
        self.tidy(state, now);
    }

    /// Holdout wins: where one of the two is in a journey's holdout, both are.
    fn keep_holdouts(&self, state: &mut CustomerState, arriving: &CustomerState) {
        for active in self.catalog.plans() {
            let (name, plan) = (&active.plan.name, &active.plan);
            let either = self.in_holdout(state, plan) || self.in_holdout(arriving, plan);
            if either && !state.holdouts.contains(name) {
                state.holdouts.push(name.clone());
            }
        }
    }

    /// A cart was claimed by another customer: it leaves, and its run ends as moved.
    pub fn cart_moved(
        &self,
        state: &mut CustomerState,
        cart_id: &Text,
        time: Timestamp,
        arrival: Arrival,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(winner) = state.pointer {
            effects.push(Effect::Forward { winner });
            return;
        }
        self.settle_open_messages(state, arrival.instant(time), arrival.into());
        // A cart without an id of the shop's is the one that has only a number of ours.
        let own_number =
            || state.carts.iter().rev().map(|cart| &cart.key).find(|k| k.starts_with('#'));
        let cart_id = match cart_id.as_str() {
            "" => &own_number().cloned().unwrap_or_default(),
            _ => cart_id,
        };
        if cart_id.is_empty() {
            return;
        }
        if cart::take_away(state, cart_id).is_some() {
            trace_customer(effects, time, TraceKind::CartMoved, Some(cart_id.clone()));
        }
        for place in 0..state.runs.len() {
            let run = &state.runs[place];
            if run.cart.as_ref() == Some(cart_id) && !run.is_over() {
                self.end_run(state, place, time, Reason::Moved, Some(cart_id.clone()), effects);
            }
        }
    }

    /// A run arrives: it joins, or it and the winner's own run of that key become one.
    fn run_arrives(
        &self,
        state: &mut CustomerState,
        run: Run,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let twin = state.runs.iter().position(|own| {
            own.is_active() && run.is_active() && own.journey == run.journey && own.key == run.key
        });
        self.make_room(state);
        if state.runs.len() >= RUNS_MAX {
            let reason = Some(Reason::TooMany);
            trace_run(effects, &run, now, TraceKind::Stopped, reason, None);
            effects.extend(
                run.open
                    .iter()
                    .map(|open| Effect::Cancel { message: open.id, reason: Reason::TooMany }),
            );
            return;
        }
        state.runs.push(run);
        let arrived = state.runs.len() - 1;
        if let Some(own) = twin {
            let further = |run: &Run| {
                let standing = run.at.as_ref().map(|at| (at.node, at.entered));
                (run.decided.len(), standing, std::cmp::Reverse(run.id))
            };
            let goes = if further(&state.runs[own]) >= further(&state.runs[arrived]) {
                arrived
            } else {
                own
            };
            self.end_run(state, goes, now, Reason::Merged, None, effects);
        }
    }

    /// Drops the carts beyond the limit: those that no run is about first, else with their runs.
    fn limit_carts(&self, state: &mut CustomerState, now: Timestamp, effects: &mut Vec<Effect>) {
        while state.carts.len() > CARTS_MAX {
            let unneeded = |cart: &Cart| !state.has_run_about(&cart.key);
            let place = state.carts.iter().position(unneeded).unwrap_or(0);
            let gone = state.carts.remove(place).key;
            for place in 0..state.runs.len() {
                if state.runs[place].cart.as_ref() == Some(&gone) {
                    self.end_run(state, place, now, Reason::TooMany, None, effects);
                }
            }
        }
    }

    /// Which runs of one customer an event that the other knows of stops, and the event.
    fn known_stops(
        &self,
        of: &CustomerState,
        other: &CustomerState,
        stops: &mut BTreeMap<RunId, EventName>,
    ) {
        for run in of.runs.iter().filter(|run| !run.is_over()) {
            let Some(plan) = self.plan_of(run) else { continue };
            let own = run.cart.as_ref().and_then(|key| of.cart(key));
            let cart = if run.cart.is_some() { own } else { of.open_cart() };
            let heard = cart.map_or(run.start.time, |cart| cart.touched_at.max(run.start.time));
            let since = run.absent_since.map_or(heard, |absent| absent.plus_ms(1));
            let about = About {
                start: &run.start,
                cart: run.cart.as_ref(),
                lines: own.map_or(&[], |cart| &cart.lines),
                bought_since: own.is_some_and(|cart| was_bought(cart, other.cart_closed)),
            };
            // At an equal time the other's event comes after.
            let stop = about.known_stop(&plan.stops_when, other, |_, at| at >= since);
            if let Some(event) = stop {
                stops.insert(run.id, event.clone());
            }
        }
    }

    /// Stops a run that an event known by now should have stopped, and lets it give way.
    fn hold_against_known(
        &self,
        state: &mut CustomerState,
        place: usize,
        known: &BTreeMap<RunId, EventName>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let run = &state.runs[place];
        if run.is_over() {
            return;
        }
        if let Some(event) = known.get(&run.id) {
            let detail = Text::from(event.as_str());
            self.end_run(state, place, now, Reason::Stopped, Some(detail), effects);
            return;
        }
        let Some(plan) = self.plan_of(run) else { return };
        let other = plan
            .gives_way_to
            .iter()
            .find(|other| state.runs.iter().any(|run| run.is_active() && run.journey == **other));
        if let Some(other) = other.cloned() {
            self.end_run(state, place, now, Reason::GaveWay, Some(other), effects);
        }
    }
}

/// Drops the carts that were bought on the other side. They don't come back.
fn drop_bought_carts(state: &mut CustomerState, arriving: &mut CustomerState) {
    arriving.carts.retain(|cart| !was_bought(cart, state.cart_closed));
    state.carts.retain(|cart| !was_bought(cart, arriving.cart_closed));
}

/// Whether an order that closed a cart then bought this one, too, as far as can be told.
fn was_bought(cart: &Cart, closed: Option<(Timestamp, Tie)>) -> bool {
    closed.is_some_and(|(at, _)| cart.touched_at <= at)
}

/// Unites everything but the runs, which it returns with their keys made the winner's.
fn unite(state: &mut CustomerState, mut arriving: CustomerState, per_cart: &[Text]) -> Vec<Run> {
    renumber_carts(state, &mut arriving, per_cart);
    let prefer_arriving = arriving.known && !state.known;
    let newer_arrives = arriving.last_seen > state.last_seen;
    let pick = |own: &mut Option<Text>, theirs: Option<Text>, prefer: bool| {
        if own.is_none() || (prefer && theirs.is_some()) {
            *own = theirs;
        }
    };
    pick(&mut state.source_id, arriving.source_id.take(), prefer_arriving);
    pick(&mut state.email, arriving.email.take(), prefer_arriving);
    pick(&mut state.phone, arriving.phone.take(), prefer_arriving);
    pick(&mut state.shop, arriving.shop.take(), newer_arrives);
    let theirs = std::mem::take(&mut arriving.profile);
    pick(&mut state.profile.first_name, theirs.first_name, prefer_arriving);
    pick(&mut state.profile.last_name, theirs.last_name, prefer_arriving);
    pick(&mut state.profile.locale, theirs.locale, prefer_arriving);
    pick(&mut state.profile.zone, theirs.zone, prefer_arriving);
    pick(&mut state.profile.country, theirs.country, prefer_arriving);
    pick(&mut state.profile.birth_date, theirs.birth_date, prefer_arriving);
    for (name, value) in theirs.attributes {
        let room = state.profile.attributes.len() < ATTRIBUTES_MAX;
        if room && !state.profile.attributes.iter().any(|(known, _)| *known == name) {
            state.profile.attributes.push((name, value));
        }
    }
    state.known |= arriving.known;
    state.signed_in |= arriving.signed_in;
    state.first_seen = state.first_seen.min(arriving.first_seen);
    state.last_seen = state.last_seen.max(arriving.last_seen);
    state.last_active = state.last_active.max(arriving.last_active);
    state.facts_at = state.facts_at.max(arriving.facts_at);
    state.named_at = state.named_at.max(arriving.named_at);
    unite_marks(state, &mut arriving);
    orders::unite(state, &arriving.orders);
    unite_browse(state, &mut arriving, newer_arrives);
    state.carts.append(&mut arriving.carts);
    state.carts.sort_by(|a, b| (a.touched_at, &a.key).cmp(&(b.touched_at, &b.key)));
    state.cart_closed = state.cart_closed.max(arriving.cart_closed);
    let mut runs = std::mem::take(&mut arriving.runs);
    for run in state.runs.iter().chain(&runs) {
        if run.holdout && !state.holdouts.contains(&run.journey) {
            state.holdouts.push(run.journey.clone());
        }
    }
    for run in state.runs.iter_mut().chain(&mut runs) {
        run.holdout |= state.holdouts.contains(&run.journey);
    }
    runs
}

/// Gives the arriving carts numbers that the winner has not used, wherever they are spoken of. An
/// open cart without an id joins the winner's own, if there is one: without ids there is one cart.
fn renumber_carts(state: &mut CustomerState, arriving: &mut CustomerState, per_cart: &[Text]) {
    let (offset, theirs_opened) = (state.carts_opened, arriving.carts_opened);
    state.carts_opened += arriving.carts_opened;
    let numbered = |cart: &Cart| cart.key.starts_with('#');
    let own_open = state.carts.iter().rposition(|cart| numbered(cart) && !cart.lines.is_empty());
    let their_open =
        arriving.carts.iter().rposition(|cart| numbered(cart) && !cart.lines.is_empty());
    let mut joined = None;
    if let (Some(own), Some(theirs)) = (own_open, their_open) {
        let theirs = arriving.carts.remove(theirs);
        let into = &mut state.carts[own];
        joined = Some((theirs.key.clone(), into.key.clone()));
        cart::join(into, theirs);
    }
    let rename = |key: &mut Text| match &joined {
        Some((from, to)) if from == key => key.clone_from(to),
        _ => {
            let number = key.strip_prefix('#').and_then(|number| number.parse::<u32>().ok());
            if let Some(number) = number.filter(|number| *number <= theirs_opened) {
                *key = Text::from(format!("#{}", number.saturating_add(offset)));
            }
        }
    };
    arriving.carts.iter_mut().for_each(|cart| rename(&mut cart.key));
    // Only keys that are carts: an order or a field may look like a number of ours.
    let of_carts = arriving.again.iter_mut().filter(|mark| per_cart.contains(&mark.journey));
    of_carts.for_each(|mark| rename(&mut mark.key));
    for run in &mut arriving.runs {
        if run.cart.as_ref() == Some(&run.key) {
            rename(&mut run.key);
        }
        if let Some(cart) = &mut run.cart {
            rename(cart);
        }
    }
    // One cart told under both: the newer telling stays.
    arriving.carts.retain(|cart| match state.carts.iter_mut().find(|own| own.key == cart.key) {
        Some(own) => {
            if own.touched_at < cart.touched_at {
                *own = cart.clone();
            }
            false
        }
        None => true,
    });
}

fn unite_marks(state: &mut CustomerState, arriving: &mut CustomerState) {
    for consent in arriving.consents.drain(..) {
        super::profile::keep_consent(&mut state.consents, consent);
    }
    for mark in arriving.suppressed.drain(..) {
        if !state.suppressed.contains(&mark) {
            state.suppressed.push(mark);
        }
    }
    for (name, at) in arriving.last.drain(..) {
        super::profile::saw(state, &name, at);
    }
    let mut marks = std::mem::take(&mut state.again);
    marks.append(&mut arriving.again);
    marks.sort_by(|a, b| (a.ended, &a.journey, &a.key).cmp(&(b.ended, &b.journey, &b.key)));
    for mark in marks {
        state.mark(mark);
    }
    for (journey, at) in arriving.absent_done.drain(..) {
        match state.absent_done.iter_mut().find(|(own, _)| *own == journey) {
            Some((_, own)) => *own = (*own).max(at),
            None => state.absent_done.push((journey, at)),
        }
    }
    for journey in arriving.holdouts.drain(..) {
        if !state.holdouts.contains(&journey) {
            state.holdouts.push(journey);
        }
    }
    for mark in arriving.sent.drain(..) {
        if !state.sent.iter().any(|own| own.message == mark.message) {
            state.sent.push(mark);
        }
    }
    state.sent.sort_by_key(|mark| (mark.at, mark.message));
    state.limit_sent();
    state.seen.unite(std::mem::take(&mut arriving.seen));
    for merge in arriving.merges.drain(..) {
        if !state.merges.contains(&merge) {
            state.merges.push(merge);
        }
    }
    state.awaited.append(&mut arriving.awaited);
    let arrived = std::mem::take(&mut state.merges);
    state.awaited.retain(|(merge, _)| !arrived.contains(merge));
    state.merges = arrived;
}

fn unite_browse(state: &mut CustomerState, arriving: &mut CustomerState, newer_arrives: bool) {
    let theirs = std::mem::take(&mut arriving.browse);
    let own = std::mem::take(&mut state.browse);
    let (mut newer, older) = if newer_arrives { (theirs, own) } else { (own, theirs) };
    let mut items = older.items;
    items.retain(|item| !newer.items.iter().any(|seen| seen.sku == item.sku));
    items.append(&mut newer.items);
    let excess = items.len().saturating_sub(VIEWED_MAX);
    newer.items = items.split_off(excess);
    newer.last_at = newer.last_at.max(older.last_at);
    newer.category = newer.category.or(older.category);
    newer.query = newer.query.or(older.query);
    state.browse = newer;
}
