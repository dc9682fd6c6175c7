//! Writes a world down as the records of a log.

use std::collections::BTreeMap;

use waypost::engine::Effect;
use waypost::lane::Merges;
use waypost::log::{CartMoved, CustomerEvent, Merge, Record};
use waypost::model::{
    Channel, ConsentFact, ConsentStatus, CustomerId, Event, EventName, HOUR_MS, Identity, Item,
    ItemsAre, MessageChannel, MessageId, OrderFacts, OutcomeFact, PageFacts, ProfileFacts, Text,
    Tie, Timestamp, derive,
};

use super::replay::Replay;
use super::world::{Deed, Step, What, World, outcome};

/// The night in which the clocks change follows two days later.
const START: &str = "2026-03-27T10:00:00Z";
/// Time goes on for so long after the last record, so that what waits is decided.
const AFTERMATH_MS: i64 = 20 * 24 * HOUR_MS;

impl World {
    /// Its records in the order of their arrival. Outcomes name messages that were decided by
    /// then: a lane decides while the records are written.
    pub(super) fn records(&self) -> Vec<Record> {
        let mut writer = Writer::new(self);
        for step in &self.steps {
            writer.step(step);
        }
        let end = writer.clock;
        for ahead in [-10_000, HOUR_MS, AFTERMATH_MS] {
            writer.write(Record::Tick(end.plus_ms(ahead)));
        }
        writer.records
    }
}

struct Writer {
    clock: Timestamp,
    records: Vec<Record>,
    /// Whom each of the people is known as.
    people: Vec<CustomerId>,
    /// Who became whom.
    winners: BTreeMap<CustomerId, CustomerId>,
    erased: u64,
    lane: Replay,
    /// What may be spoken of by outcomes: messages to be sent, by customer.
    decided: BTreeMap<CustomerId, Vec<(MessageId, MessageChannel)>>,
}

impl Writer {
    fn new(world: &World) -> Self {
        let people = (0..world.known.len() as u64).map(|who| customer(who, 0)).collect();
        let mut writer = Self {
            clock: START.parse().expect("a time"),
            records: Vec::new(),
            people,
            winners: BTreeMap::new(),
            erased: 0,
            lane: Replay::start(world, Merges::Inline),
            decided: BTreeMap::new(),
        };
        for who in 0..world.known.len() {
            if world.known[who] {
                writer.known(who);
            }
        }
        writer
    }

    /// Somebody with addresses and consent.
    fn known(&mut self, who: usize) {
        let mut event = self.event(EventName::ConsentChanged, 0, 0);
        event.identities.extend(Identity::email(&format!("{who}@shop.example")));
        event.identities.extend(Identity::phone(&format!("+3161234567{who}")));
        event.consents = [MessageChannel::Email, MessageChannel::Sms]
            .map(|channel| ConsentFact { channel, topic: None, status: ConsentStatus::Given })
            .to_vec();
        self.write_event(who, event);
    }

    fn step(&mut self, step: &Step) {
        self.clock = self.clock.plus_ms(step.gap);
        match &step.what {
            What::Tick { grace } => self.write(Record::Tick(self.clock.plus_ms(-grace))),
            What::Did { who, deed, behind, source } => {
                self.did(who % self.people.len(), deed, *behind, *source);
            }
        }
    }

    fn did(&mut self, who: usize, deed: &Deed, behind: i64, source: u16) {
        match deed {
            Deed::Merge { with } => self.merge(who, with % self.people.len(), behind, source),
            Deed::LoseCart { cart } => {
                let (time, tie) = self.place(behind, source);
                let cart_id = cart_id(*cart).unwrap_or_default();
                let customer = self.people[who];
                self.write(Record::CartMoved(Box::new(CartMoved { customer, cart_id, time, tie })));
            }
            Deed::Delete => {
                let event = self.event(EventName::CustomerDeleted, behind, source);
                self.write_event(who, event);
                // Whoever comes back is somebody new.
                self.erased += 1;
                let gone = self.now(self.people[who]);
                for other in 0..self.people.len() {
                    if self.now(self.people[other]) == gone {
                        self.people[other] = customer(other as u64, self.erased);
                    }
                }
            }
            Deed::Again { back } => {
                let mut earlier = self.records.iter().rev().filter_map(|record| match record {
                    Record::Event(record) => Some(record.clone()),
                    _ => None,
                });
                if let Some(record) = earlier.nth(*back) {
                    self.write(Record::Event(record));
                }
            }
            Deed::Outcome { nth, kind } => {
                let of = self.decided.get(&self.people[who]);
                let Some(&(message, channel)) = of.and_then(|all| all.iter().rev().nth(*nth))
                else {
                    return;
                };
                let mut event = self.event(outcome(*kind, channel), behind, source);
                event.outcome = Some(Box::new(OutcomeFact {
                    message,
                    revision: None,
                    reason: None,
                    link: None,
                }));
                self.write_event(who, event);
            }
            deed => {
                let mut event = self.event(name(deed), behind, source);
                tell(deed, who, &mut event);
                self.write_event(who, event);
            }
        }
    }

    fn merge(&mut self, who: usize, with: usize, behind: i64, source: u16) {
        let (loser, winner) = (self.now(self.people[who]), self.now(self.people[with]));
        if loser == winner {
            return;
        }
        let (time, tie) = self.place(behind, source);
        let merge = Record::Merge(Box::new(Merge { loser, winner, time, tie, id: tie.offset }));
        let told = merge.told_to_winner();
        self.write(merge);
        told.into_iter().for_each(|told| self.write(told));
        self.winners.insert(loser, winner);
        // Some of what the loser does still goes to the loser: it is under way.
        if tie.offset.is_multiple_of(3) {
            return;
        }
        for person in &mut self.people {
            if *person == loser {
                *person = winner;
            }
        }
    }

    /// The customer whom this one has become.
    fn now(&self, mut customer: CustomerId) -> CustomerId {
        while let Some(winner) = self.winners.get(&customer) {
            customer = *winner;
        }
        customer
    }

    fn place(&self, behind: i64, source: u16) -> (Timestamp, Tie) {
        let offset = self.records.len() as u64;
        (self.clock.plus_ms(-behind), Tie { source, partition: 0, offset })
    }

    fn event(&self, name: EventName, behind: i64, source: u16) -> Event {
        let (time, tie) = self.place(behind, source);
        let mut event = Event::new(format!("e{}", tie.offset), name, time);
        event.tie = tie;
        event
    }

    fn write_event(&mut self, who: usize, event: Event) {
        let customer = self.people[who];
        self.write(Record::Event(Box::new(CustomerEvent { customer, event })));
    }

    fn write(&mut self, record: Record) {
        self.lane.push(record.clone());
        self.records.push(record);
        for (customer, effect) in self.lane.flush() {
            if let Effect::Decide(decision) = effect
                && decision.withheld.is_none()
            {
                let of = self.decided.entry(customer).or_default();
                of.push((decision.message, decision.channel));
            }
        }
    }
}

fn customer(who: u64, life: u64) -> CustomerId {
    CustomerId(derive("somebody", &[&who.to_le_bytes(), &life.to_le_bytes()]))
}

fn name(deed: &Deed) -> EventName {
    match deed {
        Deed::Add { .. } => EventName::CartItemAdded,
        Deed::Remove { .. } => EventName::CartItemRemoved,
        Deed::ViewCart { .. } => EventName::CartViewed,
        Deed::Checkout { .. } => EventName::CheckoutStarted,
        Deed::ViewProduct { .. } => EventName::ProductViewed,
        Deed::Search { .. } => EventName::SearchRequested,
        Deed::Order { .. } => EventName::OrderPlaced,
        Deed::CancelOrder { .. } => EventName::OrderCancelled,
        Deed::ShipOrder { .. } => EventName::OrderShipped,
        Deed::Consent { .. } => EventName::ConsentChanged,
        Deed::Unsubscribe => EventName::CustomerUnsubscribed,
        Deed::SignIn { .. } => EventName::CustomerSignedIn,
        Deed::SignOut => EventName::CustomerSignedOut,
        Deed::Facts { .. } => EventName::CustomerUpdated,
        Deed::Outcome { .. }
        | Deed::Merge { .. }
        | Deed::LoseCart { .. }
        | Deed::Delete
        | Deed::Again { .. } => EventName::PageViewed,
    }
}

/// Puts what somebody did into its event.
fn tell(deed: &Deed, who: usize, event: &mut Event) {
    let whole = |event: &mut Event, items: &[u8]| {
        event.items = items.iter().map(|sku| item(*sku, 1)).collect();
        event.items_are = ItemsAre::Whole;
    };
    let order = |event: &mut Event, id: u8| {
        let id = (id > 0).then(|| Text::from(format!("{who}-{id}")));
        event.order = Some(Box::new(OrderFacts { id, ..OrderFacts::default() }));
    };
    match deed {
        Deed::Add { cart, item: sku, quantity } | Deed::Remove { cart, item: sku, quantity } => {
            event.cart_id = cart_id(*cart);
            event.items = vec![item(*sku, *quantity)];
            event.items_are = ItemsAre::Delta;
        }
        Deed::ViewCart { cart, items } | Deed::Checkout { cart, items } => {
            event.cart_id = cart_id(*cart);
            whole(event, items);
        }
        Deed::ViewProduct { item: sku } => event.items = vec![item(*sku, 1)],
        Deed::Search { words } => {
            let query = Some(Text::from(format!("words {words}")));
            event.page = Some(Box::new(PageFacts { query, ..PageFacts::default() }));
        }
        Deed::Order { id, cart, items, store } => {
            event.cart_id = cart_id(*cart);
            whole(event, items);
            order(event, *id);
            event.channel = if *store { Channel::Store } else { Channel::Web };
        }
        Deed::CancelOrder { id } | Deed::ShipOrder { id } => order(event, *id),
        Deed::Consent { sms, topic, status } => {
            event.consents.push(ConsentFact {
                channel: if *sms { MessageChannel::Sms } else { MessageChannel::Email },
                topic: topic.then(|| "reminders".into()),
                status: match status {
                    0 => ConsentStatus::Given,
                    1 => ConsentStatus::Confirmed,
                    _ => ConsentStatus::Withdrawn,
                },
            });
        }
        Deed::SignIn { email: true } => {
            event.identities.extend(Identity::email(&format!("{who}@home.example")));
        }
        Deed::Facts { zone } => {
            let zones = ["Europe/Amsterdam", "America/New_York", "Asia/Tokyo", "Nowhere/Atall"];
            let zone = Some(zones[usize::from(*zone)].into());
            event.profile = Some(Box::new(ProfileFacts { zone, ..ProfileFacts::default() }));
        }
        _ => {}
    }
}

fn cart_id(cart: u8) -> Option<Text> {
    (cart > 0).then(|| Text::from(format!("c{cart}")))
}

fn item(sku: u8, quantity: i64) -> Item {
    Item {
        sku: Text::from(format!("sku{sku}")),
        quantity,
        price: format!("{}.50", 20 + 35 * u32::from(sku)).parse().ok(),
        currency: waypost::model::Currency::new("EUR"),
        ..Item::default()
    }
}
