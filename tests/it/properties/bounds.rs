//! Ids, sizes, encodings and ends.

use proptest::prelude::*;
use waypost::engine::{CustomerState, STATE_BYTES_MAX};
use waypost::lane::Merges;
use waypost::log::{CustomerEvent, Record, decode, encode};
use waypost::model::{
    CustomerId, Event, EventName, HOUR_MS, Item, ItemFacts, ItemsAre, OrderFacts, PageFacts,
    ProfileFacts, Text, Timestamp,
};

use super::hold;
use super::replay::{Replay, replay};
use super::world::{Kind, worlds};

#[test]
fn message_ids_are_unique() {
    hold("message_ids_are_unique", 60, worlds(Kind::ALL), |world| {
        let told = replay(&world, &world.records(), Merges::Inline, |_| true);
        // A second decision of one id, and a change to what was never decided, panic in here.
        let messages = told.messages();
        for (id, fate) in &messages {
            prop_assert_eq!(*id, fate.decision.message);
        }
        Ok(())
    });
}

#[test]
fn encode_decode_is_identity() {
    hold("encode_decode_is_identity", 60, worlds(Kind::ALL), |world| {
        let records = world.records();
        prop_assert_eq!(&decode(&encode(&records).expect("bytes")).expect("records"), &records);
        let mut replay = Replay::start(&world, Merges::Inline);
        for record in records {
            replay.push(record);
            replay.flush();
            for state in replay.lane.states() {
                let bytes = state.encode().expect("bytes");
                prop_assert_eq!(&CustomerState::decode(&bytes).expect("a state"), state);
                prop_assert!(bytes.len() < STATE_BYTES_MAX);
            }
        }
        Ok(())
    });
}

#[test]
fn engine_terminates() {
    hold("engine_terminates", 60, worlds(Kind::ALL), |world| {
        let records = world.records();
        let told = replay(&world, &records, Merges::Inline, |_| true);
        let timeline = world.timeline();
        for mut state in told.states.into_values() {
            let mut effects = Vec::new();
            let mut fired = 0;
            let mut last = Timestamp::MIN;
            while let Some(due) = timeline.last().next_due(&state) {
                prop_assert!(due >= last, "time goes back from {} to {}", last, due);
                last = due;
                prop_assert!(timeline.last().fire(&mut state, due, &mut effects));
                fired += 1;
                prop_assert!(fired < 2_000, "no end after {} timers: {:?}", fired, state);
            }
        }
        Ok(())
    });
}

/// An event that is as large as a source may make it.
#[derive(Clone, Copy, Debug)]
struct Large {
    name: usize,
    cart: u16,
    sku: u16,
    items: usize,
    /// How long its texts are, in bytes: up to what is taken from a source.
    text: usize,
    gap: i64,
}

fn large() -> impl Strategy<Value = Large> {
    let text = prop::sample::select(vec![8_usize, 100, 255]);
    let items = prop::sample::select(vec![1_usize, 20, 500]);
    let gap = prop::sample::select(vec![0, 60_000, HOUR_MS]);
    (0_usize..9, 0_u16..40, any::<u16>(), items, text, gap)
        .prop_map(|(name, cart, sku, items, text, gap)| Large { name, cart, sku, items, text, gap })
}

impl Large {
    fn event(self, number: usize, time: Timestamp) -> Event {
        let names = [
            EventName::CartItemAdded,
            EventName::CartItemAdded,
            EventName::CartViewed,
            EventName::CheckoutStarted,
            EventName::ProductViewed,
            EventName::SearchRequested,
            EventName::OrderPlaced,
            EventName::CustomerUpdated,
            EventName::Custom(long(self.sku, self.text)),
        ];
        let mut event = Event::new(long(number as u16, self.text), names[self.name].clone(), time);
        event.tie.offset = number as u64;
        let items = || {
            (0..self.items).map(|place| Item {
                sku: long(self.sku.wrapping_add(place as u16), self.text),
                quantity: 1,
                price: "10".parse().ok(),
                facts: ItemFacts {
                    options: long(1, self.text),
                    name: Some(long(0, self.text * 4)),
                    category: Some(long(0, self.text * 4)),
                    brand: Some(long(0, self.text * 4)),
                    image: Some(long(0, self.text * 8)),
                    url: Some(long(0, self.text * 8)),
                }
                .boxed(),
                ..Item::default()
            })
        };
        event.items = items().collect();
        event.items_are = match event.name {
            EventName::CartItemAdded => ItemsAre::Delta,
            EventName::ProductViewed => ItemsAre::Mentioned,
            _ => ItemsAre::Whole,
        };
        if event.name.is_cart() {
            event.cart_id = Some(long(self.cart, self.text));
        }
        let label = || Some(long(self.sku, self.text * 4));
        event.page = Some(Box::new(PageFacts {
            url: Some(long(0, self.text * 8)),
            category: label(),
            query: label(),
            ..PageFacts::default()
        }));
        if event.name == EventName::OrderPlaced {
            event.order = Some(Box::new(OrderFacts {
                id: Some(long(self.sku, self.text)),
                scope: long(0, self.text),
                coupon: label(),
                tracking_url: Some(long(0, self.text * 8)),
                ..OrderFacts::default()
            }));
        }
        let attributes = (0..32).map(|n| (long(self.sku ^ n, self.text), long(0, self.text * 4)));
        event.profile = Some(Box::new(ProfileFacts {
            first_name: label(),
            last_name: label(),
            attributes: attributes.collect(),
            ..ProfileFacts::default()
        }));
        event
    }
}

/// A text of so many bytes, another one for each number.
fn long(number: u16, bytes: usize) -> Text {
    Text::from(format!("{number:0>bytes$}"))
}

#[test]
fn bounded_state() {
    let given = (worlds(Kind::ALL), prop::collection::vec(large(), 1..120));
    hold("bounded_state", 12, given, |(mut world, events)| {
        world.known = vec![true];
        world.steps.clear();
        let mut time: Timestamp = "2026-03-27T10:00:00Z".parse().expect("a time");
        let mut replay = Replay::start(&world, Merges::Inline);
        for (number, large) in events.into_iter().enumerate() {
            time = time.plus_ms(large.gap);
            let event = large.event(number, time);
            let customer = CustomerId(1);
            replay.push(Record::Event(Box::new(CustomerEvent { customer, event })));
            replay.push(Record::Tick(time));
            replay.flush();
        }
        for state in replay.lane.states() {
            let bytes = state.encode().expect("bytes").len();
            prop_assert!(bytes <= STATE_BYTES_MAX, "{} bytes: {}", bytes, parts(state));
        }
        Ok(())
    });
}

/// How much the parts of a state take, in bytes.
fn parts(state: &CustomerState) -> String {
    let all = state.encode().map_or(0, |bytes| bytes.len());
    let without = |change: &dyn Fn(&mut CustomerState)| {
        let mut less = state.clone();
        change(&mut less);
        all - less.encode().map_or(0, |bytes| bytes.len())
    };
    format!(
        "carts {}, browse {}, orders {}, runs {} ({}), again {}, seen {}, last {}, profile {}, \
         sent {}",
        without(&|state| state.carts.clear()),
        without(&|state| state.browse = Default::default()),
        without(&|state| state.orders = Default::default()),
        without(&|state| state.runs.clear()),
        state.runs.len(),
        without(&|state| state.again.clear()),
        without(&|state| state.seen = Default::default()),
        without(&|state| state.last.clear()),
        without(&|state| state.profile = Default::default()),
        without(&|state| state.sent.clear()),
    )
}
