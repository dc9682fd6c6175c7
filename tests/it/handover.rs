//! What is due waits for a state that is on its way: it may hold the purchase that decides it.

use serde_json::json;
use waypost::decode::{Auto, Decode, Raw};
use waypost::engine::{Effect, Options};
use waypost::journey::{Catalog, Rules, SourceFile, compile};
use waypost::lane::{Lane, Merges, NoStore, Timeline};
use waypost::log::{CustomerEvent, Merge, Record};
use waypost::model::{CustomerId, DAY_MS, HOUR_MS, MINUTE_MS, Tie, Timestamp};

use crate::support::block_on;
use crate::worker::events::event_at;

const REMINDER: &str = "format: 1
journey: abandoned-cart
starts_when: { event: cart.changed }
stops_when: [ { event: order.placed } ]
steps:
  - wait: 10 min
  - email: cart/first
";

/// Who fills the cart, and goes on.
const SHOPPER: CustomerId = CustomerId(1);
/// Who buys, and becomes the other.
const BUYER: CustomerId = CustomerId(2);

fn after(ms: i64) -> Timestamp {
    Timestamp::from_ms(1_800_000_000_000 + ms)
}

fn lane() -> Lane<NoStore> {
    let (plans, report) = compile(&[SourceFile::new("journeys/cart.yaml", REMINDER)], None);
    assert!(!report.has_errors(), "{}", report.render(false));
    let catalog = Catalog::new(plans, Rules::default());
    let timeline = Timeline::fixed(catalog, Options::default());
    block_on(Lane::take(NoStore, 0, 1, timeline, Merges::Outbox)).expect("a lane")
}

fn event(customer: CustomerId, name: &str, ms: i64, mut data: serde_json::Value) -> Record {
    data["customer"] = json!({ "email": "ann@shop.example" });
    let text = event_at(&format!("{name}{ms}"), name, after(ms), data);
    let tie = Tie { source: 1, partition: 0, offset: ms.unsigned_abs() };
    let raw = Raw { bytes: text.as_bytes(), append_time: None, tie, position: "x" };
    let mut events = Vec::new();
    Auto::default().decode(&raw, &mut events).expect("an event");
    Record::Event(Box::new(CustomerEvent { customer, event: events.remove(0) }))
}

/// A cart, an order of another, and that they are one, in a log that nothing was read of before.
fn records() -> Vec<Record> {
    let yes = json!({ "consents": [{ "channel": "email", "status": "given" }] });
    let cart = json!({ "cart_id": "c", "channel": "web",
        "items": [{ "sku": "A", "price": "30", "currency": "EUR" }] });
    let order = json!({ "order": { "id": "o", "total": "30", "currency": "EUR" } });
    let merge = Record::Merge(Box::new(Merge {
        loser: BUYER,
        winner: SHOPPER,
        time: after(2 * MINUTE_MS),
        tie: Tie { source: 1, partition: 0, offset: 9 },
        id: 9,
    }));
    let told = merge.told_to_winner().expect("the winner is told");
    vec![
        event(SHOPPER, "consent.changed", 0, yes),
        event(SHOPPER, "cart.item_added", 1, cart),
        event(BUYER, "order.placed", MINUTE_MS, order),
        merge,
        told,
    ]
}

struct Log {
    lane: Lane<NoStore>,
    end: u64,
}

impl Log {
    fn new() -> Self {
        Self { lane: lane(), end: 0 }
    }

    fn adds(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            block_on(self.lane.push(self.end, record)).expect("it is taken");
            self.end += 1;
        }
        block_on(self.lane.flush()).expect("it is applied");
    }

    /// What was decided, and what leaves.
    fn output(&mut self) -> (usize, Vec<Record>) {
        let output = self.lane.take_output();
        let decided = |effect: &Effect| matches!(effect, Effect::Decide(_));
        let decided = output.effects.iter().filter(|(_, effect)| decided(effect)).count();
        (decided, output.outbox.into_iter().map(|row| row.record).collect())
    }
}

#[test]
fn time_that_jumps_does_not_pass_an_order_that_is_on_its_way() {
    let mut log = Log::new();
    log.adds(records());
    // As after an outage: half an hour at once.
    log.adds([Record::Tick(after(30 * MINUTE_MS))]);
    let (decided, leaves) = log.output();
    assert_eq!((decided, leaves.len()), (0, 1), "nothing is decided without the order");
    log.adds(leaves);
    log.adds([Record::Tick(after(DAY_MS))]);
    let (decided, _) = log.output();
    assert_eq!(decided, 0, "the order stops the reminder");
}

#[test]
fn a_state_that_never_arrives_is_waited_for_an_hour() {
    let mut log = Log::new();
    log.adds(records());
    log.adds([Record::Tick(after(2 * MINUTE_MS + HOUR_MS - 1))]);
    assert_eq!(log.output().0, 0);
    log.adds([Record::Tick(after(2 * MINUTE_MS + HOUR_MS))]);
    assert_eq!(log.output().0, 1, "the customer goes on without it");
}

#[test]
fn what_was_due_before_they_were_one_waits_for_nothing() {
    let mut log = Log::new();
    let mut records = records();
    // The merge comes after the reminder was due.
    for record in &mut records {
        if let Record::Merge(merge) | Record::Expect(merge) = record {
            merge.time = after(20 * MINUTE_MS);
        }
    }
    log.adds(records);
    log.adds([Record::Tick(after(30 * MINUTE_MS))]);
    assert_eq!(log.output().0, 1);
}
