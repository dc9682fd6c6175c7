//! Runs a customer's records and timers in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use crate::engine::{Arrival, CustomerState, Effect};
use crate::log::{CustomerEvent, Handover, Merge, Record};
use crate::model::{CustomerId, MessageId, Timestamp, derive};
use crate::store::{Error, OutboxRow, Store};

use super::by_customer::ByCustomer;
use super::resident::Resident;
use super::{Arrived, Lane, Merges};

/// Customers that are worked on together: one, or those whom merges tie together.
struct Group {
    members: Vec<Member>,
    queue: VecDeque<Arrived>,
    effects: Vec<(CustomerId, Effect)>,
    overdue: Vec<(MessageId, Timestamp)>,
    outbox: Vec<OutboxRow>,
    applied: u64,
}

struct Member {
    resident: Resident,
    touched: bool,
}

impl<S: Store> Lane<S> {
    /// Runs these customers up to the watermark.
    pub(super) async fn run_customers(
        &mut self,
        ids: Vec<CustomerId>,
        mut fresh: ByCustomer<Vec<Arrived>>,
        watermark: Timestamp,
    ) -> Result<(), Error> {
        let groups = match self.merges {
            Merges::Inline if self.ties => self.groups(&ids, &fresh),
            Merges::Inline | Merges::Outbox | Merges::InLog => BTreeMap::new(),
        };
        let mut done: BTreeSet<CustomerId> = BTreeSet::new();
        for id in ids {
            match groups.get(&id).map(|group| group.as_slice()) {
                Some([first, others @ ..]) => {
                    if done.insert(*first) {
                        self.run_group(*first, others, &mut fresh, watermark)?;
                    }
                }
                Some([]) | None => self.run_group(id, &[], &mut fresh, watermark)?,
            }
        }
        Ok(())
    }

    /// The customers that merges and pointers tie together, by each of their ids.
    fn groups(
        &self,
        ids: &[CustomerId],
        fresh: &ByCustomer<Vec<Arrived>>,
    ) -> BTreeMap<CustomerId, Rc<Vec<CustomerId>>> {
        let mut ties = Ties::default();
        let mut look_at: Vec<CustomerId> = ids.to_vec();
        while let Some(id) = look_at.pop() {
            let queued = fresh.get(&id).into_iter().chain(self.pending.get(&id)).flatten();
            let merged = queued.filter_map(|arrived| match &arrived.record {
                Record::Merge(merge) => Some(merge.winner),
                _ => None,
            });
            let points_to = self.residents.state(id).and_then(|state| state.pointer);
            for other in merged.chain(points_to) {
                if ties.tie(id, other) {
                    // What the other is tied to, even where nothing is due for it.
                    look_at.push(other);
                }
            }
        }
        ties.groups()
    }

    fn run_group(
        &mut self,
        first: CustomerId,
        others: &[CustomerId],
        fresh: &mut ByCustomer<Vec<Arrived>>,
        watermark: Timestamp,
    ) -> Result<(), Error> {
        let mut arrivals = fresh.remove(&first).unwrap_or_default();
        let mut queue: Vec<Arrived> = self.pending.remove(&first).unwrap_or_default();
        let mut members = Vec::with_capacity(1 + others.len());
        members.push(Member { resident: self.residents.take_out(first), touched: false });
        for id in others {
            arrivals.extend(fresh.remove(id).unwrap_or_default());
            queue.extend(self.pending.remove(id).unwrap_or_default());
            members.push(Member { resident: self.residents.take_out(*id), touched: false });
        }
        if !others.is_empty() {
            arrivals.sort_by_key(|arrived| arrived.offset);
            queue.sort_by_key(Arrived::key);
        }
        // Nearly always the records are new, in order and not late: they are the queue.
        let in_order = |a: &Arrived, b: &Arrived| a.key() <= b.key();
        if queue.is_empty()
            && arrivals.iter().all(|arrived| arrived.late.is_none())
            && arrivals.is_sorted_by(in_order)
        {
            queue = std::mem::take(&mut arrivals);
        }
        let mut group = Group {
            members,
            queue: queue.into(),
            effects: Vec::new(),
            overdue: Vec::new(),
            outbox: Vec::new(),
            applied: 0,
        };
        for arrived in arrivals {
            match arrived.late {
                None => group.enqueue(arrived),
                Some(passed) => {
                    self.advance(&mut group, passed)?;
                    self.apply(&mut group, arrived, Arrival::Late(passed))?;
                    self.fire_overdue(&mut group, passed);
                }
            }
        }
        self.advance(&mut group, watermark)?;
        self.put_back(group, watermark);
        Ok(())
    }

    /// Applies everything in the queue and every timer up to `upto`, in one order.
    fn advance(&self, group: &mut Group, upto: Timestamp) -> Result<(), Error> {
        let mut reached = Timestamp::MIN;
        loop {
            let event = group.queue.front().map(|arrived| arrived.time).filter(|at| *at <= upto);
            let timer = self.first_due(group).filter(|(due, _)| *due <= upto);
            match (event, timer) {
                (Some(at), timer) if timer.is_none_or(|(due, _)| at <= due) => {
                    let Some(arrived) = group.queue.pop_front() else { return Ok(()) };
                    reached = reached.max(at);
                    self.apply(group, arrived, Arrival::InOrder)?;
                }
                (_, Some((due, member))) => {
                    reached = reached.max(due);
                    self.fire(group, member, reached);
                }
                (_, None) => return Ok(()),
            }
        }
    }

    /// Fires what a late record made due.
    fn fire_overdue(&self, group: &mut Group, watermark: Timestamp) {
        while let Some((due, member)) = self.first_due(group) {
            if due > watermark {
                return;
            }
            self.fire(group, member, watermark);
        }
    }

    fn first_due(&self, group: &Group) -> Option<(Timestamp, usize)> {
        let engine = self.timeline.last();
        group
            .members
            .iter()
            .enumerate()
            .filter_map(|(place, member)| Some((engine.next_due(&member.resident.state)?, place)))
            .min()
    }

    fn fire(&self, group: &mut Group, member: usize, now: Timestamp) {
        let member = &mut group.members[member];
        let mut effects = Vec::new();
        self.timeline.at(now).fire(&mut member.resident.state, now, &mut effects);
        member.touched = true;
        let id = member.resident.state.id;
        for effect in effects {
            group.note(id, effect, now);
        }
    }

    fn apply(&self, group: &mut Group, arrived: Arrived, arrival: Arrival) -> Result<(), Error> {
        group.applied += 1;
        let Some(customer) = arrived.record.customer() else { return Ok(()) };
        self.apply_to(group, customer, &arrived, arrival)
    }

    /// Applies a record to one customer; what it sends on goes by [`Merges`].
    fn apply_to(
        &self,
        group: &mut Group,
        customer: CustomerId,
        arrived: &Arrived,
        arrival: Arrival,
    ) -> Result<(), Error> {
        let now = match arrival {
            Arrival::InOrder => arrived.time,
            Arrival::Late(watermark) => watermark,
        };
        let engine = self.timeline.at(now);
        let member = group.member(customer);
        let state: &mut CustomerState = &mut member.resident.state;
        member.touched = true;
        let mut effects = Vec::new();
        match &arrived.record {
            Record::Event(record) => engine.event(state, &record.event, arrival, &mut effects),
            Record::Merge(merge) => {
                engine.merge_into(state, merge.winner, merge.time, merge.id, &mut effects);
            }
            // Where states are handed over at once there is nothing to wait for.
            Record::Expect(_) if self.merges == Merges::Inline => {}
            Record::Expect(merge) => engine.expect(state, merge.time, merge.id, &mut effects),
            Record::Handover(handover) => {
                let arriving = CustomerState::decode(&handover.state).map_err(|error| {
                    Error::Unusable(format!("the handover at offset {}: {error}", arrived.offset))
                })?;
                engine.handover(state, arriving, handover.time, handover.id, arrival, &mut effects);
            }
            Record::CartMoved(moved) => {
                engine.cart_moved(state, &moved.cart_id, moved.time, arrival, &mut effects);
            }
            Record::Tick(_) | Record::Control(_) => {}
        }
        for effect in effects {
            match (effect, self.merges) {
                (Effect::HandOver { winner, time, merge, state }, Merges::Inline) => {
                    let winner = group.goes_on(winner);
                    let member = group.member(winner);
                    member.touched = true;
                    let mut followed = Vec::new();
                    let into: &mut CustomerState = &mut member.resident.state;
                    engine.handover(into, *state, time, merge, arrival, &mut followed);
                    for effect in followed {
                        group.note(winner, effect, now);
                    }
                }
                (Effect::HandOver { winner, time, merge, state }, Merges::Outbox) => {
                    let bytes = state.encode().map_err(|e| Error::Unusable(e.to_string()))?;
                    let handover = Handover {
                        loser: customer,
                        winner,
                        time,
                        tie: arrived.tie,
                        id: merge,
                        state: bytes,
                    };
                    group.outbox.push(OutboxRow {
                        id: derive("handover", &[&merge.to_le_bytes(), &customer.to_bytes()]),
                        record: Record::Handover(Box::new(handover)),
                    });
                }
                (Effect::Forward { winner }, Merges::Inline) => {
                    self.apply_to(group, winner, arrived, arrival)?;
                }
                (Effect::Forward { winner }, Merges::Outbox) => {
                    group.outbox.extend(self.forwarded(arrived, winner));
                }
                (Effect::HandOver { .. } | Effect::Forward { .. }, Merges::InLog) => {}
                (effect, _) => group.note(customer, effect, now),
            }
        }
        Ok(())
    }

    /// The record addressed to the customer that this one became.
    fn forwarded(&self, arrived: &Arrived, winner: CustomerId) -> Option<OutboxRow> {
        let record = match &arrived.record {
            Record::Event(record) => Record::Event(Box::new(CustomerEvent {
                customer: winner,
                event: record.event.clone(),
            })),
            Record::Handover(handover) => {
                Record::Handover(Box::new(Handover { winner, ..(**handover).clone() }))
            }
            Record::Expect(merge) => Record::Expect(Box::new(Merge { winner, ..**merge })),
            Record::CartMoved(moved) => {
                let mut moved = moved.clone();
                moved.customer = winner;
                Record::CartMoved(moved)
            }
            Record::Merge(_) | Record::Tick(_) | Record::Control(_) => return None,
        };
        let place =
            [self.lease.partition.to_le_bytes().as_slice(), &arrived.offset.to_le_bytes()].concat();
        Some(OutboxRow { id: derive("forward", &[&place]), record })
    }

    fn put_back(&mut self, group: Group, watermark: Timestamp) {
        self.output.applied += group.applied;
        self.output.effects.extend(group.effects);
        self.output.overdue.extend(group.overdue);
        self.output.outbox.extend(group.outbox);
        match group.members.as_slice() {
            _ if group.queue.is_empty() => {}
            // Whole: a customer of many records is looked at in many flushes.
            [only] => {
                self.pending.insert(only.resident.state.id, group.queue.into());
            }
            _ => {
                for arrived in group.queue {
                    if let Some(customer) = arrived.record.customer() {
                        self.pending.entry(customer).or_default().push(arrived);
                    }
                }
            }
        }
        for member in group.members {
            let next_due = self.timeline.last().next_due(&member.resident.state);
            // A record that only waits for its time changes nothing.
            let touched = S::KEEPS_STATES && member.touched;
            self.residents.put_back(member.resident, next_due, touched, watermark);
        }
    }
}

/// Which customers are tied together: each points to another of its group, the last to itself.
#[derive(Default)]
struct Ties(BTreeMap<CustomerId, CustomerId>);

impl Ties {
    /// Ties two customers; `false` if they were tied already.
    fn tie(&mut self, a: CustomerId, b: CustomerId) -> bool {
        let (a, b) = (self.root(a), self.root(b));
        self.0.insert(a.max(b), a.min(b));
        self.0.insert(a.min(b), a.min(b));
        a != b
    }

    fn root(&mut self, id: CustomerId) -> CustomerId {
        let mut root = id;
        while let Some(next) = self.0.get(&root).copied().filter(|next| *next != root) {
            root = next;
        }
        // Points straight to the end, so that long chains are walked once.
        if root != id {
            self.0.insert(id, root);
        }
        root
    }

    /// The groups by each of their members, every group in the order of ids.
    fn groups(mut self) -> BTreeMap<CustomerId, Rc<Vec<CustomerId>>> {
        let mut members: BTreeMap<CustomerId, Vec<CustomerId>> = BTreeMap::new();
        for id in self.0.keys().copied().collect::<Vec<_>>() {
            members.entry(self.root(id)).or_default().push(id);
        }
        let mut groups = BTreeMap::new();
        for group in members.into_values().map(Rc::new) {
            groups.extend(group.iter().map(|id| (*id, Rc::clone(&group))));
        }
        groups
    }
}

impl Group {
    /// Takes an effect that was decided at `now`.
    fn note(&mut self, customer: CustomerId, effect: Effect, now: Timestamp) {
        if let Effect::Decide(decision) = &effect
            && decision.at < now
        {
            self.overdue.push((decision.message, now));
        }
        self.effects.push((customer, effect));
    }

    /// Puts a record into its place in the queue; records mostly come in order.
    fn enqueue(&mut self, arrived: Arrived) {
        let place = match self.queue.back() {
            Some(last) if last.key() > arrived.key() => {
                self.queue.partition_point(|queued| queued.key() <= arrived.key())
            }
            _ => self.queue.len(),
        };
        self.queue.insert(place, arrived);
    }

    /// The customer at the end of the pointers from this one.
    fn goes_on(&self, id: CustomerId) -> CustomerId {
        let pointer = |id: CustomerId| {
            let member = self.members.iter().find(|member| member.resident.state.id == id)?;
            member.resident.state.pointer
        };
        let mut last = id;
        // Each hop is another member, so there are no more hops than members.
        for _ in 0..self.members.len() {
            match pointer(last) {
                Some(next) => last = next,
                None => break,
            }
        }
        last
    }

    /// The member of this id. Ties were made so that it is there; a stray id is an empty customer
    /// that joins.
    fn member(&mut self, id: CustomerId) -> &mut Member {
        let place = self.members.iter().position(|member| member.resident.state.id == id);
        let place = place.unwrap_or_else(|| {
            self.members.push(Member { resident: Resident::empty(id), touched: false });
            self.members.len() - 1
        });
        &mut self.members[place]
    }
}
