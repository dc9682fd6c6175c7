//! Lanes under virtual time: customers with very many events, and wake-ups that find nothing due.

use waypost::engine::{Arrival, CustomerState, Options, STATE_BYTES_MAX};
use waypost::journey::{Catalog, Rules, SourceFile, compile};
use waypost::lane::{Lane, Merges, NoStore, Timeline};
use waypost::log::{CustomerEvent, Handover, Record};
use waypost::model::{
    ConsentFact, ConsentStatus, Currency, CustomerId, Event, EventName, Identity, Item, ItemFacts,
    ItemsAre, MessageChannel, OrderFacts, PageFacts, ProfileFacts, Text, Tie, Timestamp,
};
use waypost::store::{Outgoing, SqliteStore, Store};

use super::shop::in_runtime;
use super::{CART, THANKS};

const WHO: CustomerId = CustomerId(7);

fn timeline() -> Timeline {
    let files: Vec<SourceFile> =
        [CART, THANKS].iter().map(|(name, text)| SourceFile::new(*name, *text)).collect();
    let (plans, report) = compile(&files, None);
    assert!(!report.has_errors(), "{}", report.render(false));
    Timeline::fixed(Catalog::new(plans, Rules::default()), Options::default())
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(1_800_000_000_000 + ms)
}

fn record(event: Event) -> Record {
    Record::Event(Box::new(CustomerEvent { customer: WHO, event }))
}

/// A product view, or now and then one of everything that could grow, with a value of its own.
fn event(number: u64) -> Event {
    if number.is_multiple_of(16) {
        return odd_event(number / 16, number);
    }
    let time = at(i64::try_from(number).expect("small") * 200);
    let mut event = Event::new(number.to_string(), EventName::ProductViewed, time);
    event.tie = Tie { source: 1, partition: 0, offset: number };
    event.items = vec![Item { sku: Text::from(number.to_string()), ..Item::default() }];
    event
}

fn odd_event(odd: u64, number: u64) -> Event {
    use EventName::*;
    let names = [
        CartItemAdded,
        ProductViewed,
        OrderPlaced,
        CustomerUpdated,
        ConsentChanged,
        EmailBounced,
        CartViewed,
        SearchRequested,
        CheckoutStarted,
        CustomerSignedIn,
        OrderCancelled,
        WishlistItemAdded,
        CartOpened,
        CustomerUnsubscribed,
        SmsBounced,
        PageViewed,
    ];
    let place = usize::try_from(odd % 17).expect("small");
    let name =
        names.get(place).cloned().unwrap_or_else(|| EventName::new(&format!("odd.thing{number}")));
    let text = |what: &str| Text::from(format!("{what}-{number}"));
    let mut event = Event::new(text("id"), name, at(i64::try_from(number).expect("small") * 200));
    event.tie = Tie { source: 1, partition: 0, offset: number };
    event.shop = Some(text("shop"));
    event.identities.extend(Identity::email(&format!("ann{number}@shop.example")));
    event.identities.extend(Identity::phone(&format!("+316{:08}", number % 100_000_000)));
    event.cart_id = Some(text("cart"));
    event.items_are = ItemsAre::Whole;
    event.items = (0..3)
        .map(|n| Item {
            sku: text(&n.to_string()),
            quantity: "1".parse().expect("a quantity"),
            price: "12.50".parse().ok(),
            facts: ItemFacts {
                name: Some(text("name")),
                category: Some(text("category")),
                ..ItemFacts::default()
            }
            .boxed(),
            ..Item::default()
        })
        .collect();
    event.order = Some(Box::new(OrderFacts { id: Some(text("order")), ..OrderFacts::default() }));
    event.profile = Some(Box::new(ProfileFacts {
        first_name: Some(text("first")),
        attributes: vec![(text("attribute"), text("value"))],
        ..ProfileFacts::default()
    }));
    event.page = Some(Box::new(PageFacts { query: Some(text("query")), ..PageFacts::default() }));
    event.consents = vec![ConsentFact {
        channel: MessageChannel::Email,
        topic: Some(text("topic")),
        status: ConsentStatus::Given,
    }];
    event
}

#[test]
fn one_customer_with_very_many_events_stays_small() {
    one_customer(50_000);
}

#[test]
fn one_customer_with_five_million_events_stays_small_and_quick() {
    let why = "two minutes";
    if crate::support::full("one_customer_with_five_million_events_stays_small_and_quick", why) {
        one_customer(5_000_000);
    }
}

fn one_customer(events: u64) {
    let took = in_runtime(async {
        let mut lane = Lane::take(NoStore, 0, 1, timeline(), Merges::InLog).await.expect("a lane");
        let mut took = Vec::new();
        let part = events / 10;
        for tenth in 0..10 {
            // The quickest hundred of many: a busy machine slows some down, not all.
            let mut quickest = std::time::Duration::MAX;
            let mut since = clock();
            for number in tenth * part..(tenth + 1) * part {
                let event = event(number);
                let time = event.time;
                lane.push(number * 2, record(event)).await.expect("it is taken");
                if number % 100 == 99 {
                    lane.push(number * 2 + 1, Record::Tick(time)).await.expect("it is taken");
                    lane.flush().await.expect("it is applied");
                    lane.take_output();
                    quickest = quickest.min(since.elapsed());
                    since = clock();
                }
            }
            took.push(quickest);
            let state = lane.states().next().expect("the customer");
            let bytes = state.encode().expect("it encodes").len();
            assert!(bytes <= STATE_BYTES_MAX, "{bytes} bytes after {} events", (tenth + 1) * part);
        }
        took
    });
    // In the second tenth every list is full.
    assert!(took[9] < took[1] * 4, "it gets slower: {took:?}");
}

#[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

#[test]
fn very_many_devices_that_become_one_customer_stay_small() {
    in_runtime(async {
        let mut lane = Lane::take(NoStore, 0, 1, timeline(), Merges::InLog).await.expect("a lane");
        for number in 0..3_000_u64 {
            let loser = CustomerId(u128::from(1_000 + number));
            let mut state = CustomerState::new(loser);
            let engine = lane.engine();
            engine.event(&mut state, &odd_event(number, number), Arrival::InOrder, &mut Vec::new());
            let handover = Handover {
                loser,
                winner: WHO,
                time: at(i64::try_from(number).expect("small")),
                tie: Tie::default(),
                id: number,
                state: state.encode().expect("it encodes"),
            };
            lane.push(number * 2, Record::Handover(Box::new(handover))).await.expect("it is taken");
            lane.push(number * 2 + 1, Record::Tick(at(i64::try_from(number).expect("small"))))
                .await
                .expect("it is taken");
            lane.flush().await.expect("it is applied");
            lane.take_output();
        }
        let bytes = lane.states().next().expect("the customer").encode().expect("it encodes").len();
        assert!(bytes <= STATE_BYTES_MAX, "{bytes} bytes");
    });
}

#[test]
fn a_wake_up_that_finds_nothing_due_is_the_last_one_until_something_is() {
    let folder = tempfile::tempdir().expect("a folder");
    in_runtime(async {
        let store = std::sync::Arc::new(
            SqliteStore::open(&folder.path().join("state.db")).await.expect("a store"),
        );
        let mut lane = Lane::take(std::sync::Arc::clone(&store), 0, 1, timeline(), Merges::Outbox)
            .await
            .expect("a lane");
        let lease = waypost::store::Lease { partition: 0, epoch: 1 };
        // The quiet second starts again at +900 ms; the stored due time stays a lower bound.
        for (offset, ms) in [(0, 0), (2, 900)] {
            let mut added = Event::new(format!("e{ms}"), EventName::CartItemAdded, at(ms));
            added.identities.extend(Identity::email("ann@shop.example"));
            added.items = vec![Item {
                sku: "A".into(),
                quantity: "1".parse().expect("a quantity"),
                price: "30".parse().ok(),
                currency: Currency::new("EUR"),
                ..Item::default()
            }];
            added.items_are = ItemsAre::Delta;
            lane.push(offset, record(added)).await.expect("it is taken");
            commit(&mut lane, offset + 1, ms).await;
        }
        commit(&mut lane, 4, 1_500).await;
        assert_eq!(store.due(lease, at(1_500)).await.expect("due"), []);
        commit(&mut lane, 5, 1_900).await;
        let decided =
            waypost::store::Ledger::messages_of(store.ledger(), WHO).await.expect("messages");
        assert_eq!(decided.iter().map(|m| m.decision.at).collect::<Vec<_>>(), [at(1_900)]);
    });
}

async fn commit<S: Store>(lane: &mut Lane<S>, offset: u64, ms: i64) {
    lane.push(offset, Record::Tick(at(ms))).await.expect("it is taken");
    lane.flush().await.expect("it is applied");
    let checkpoint = lane.checkpoint().expect("it encodes");
    lane.commit(checkpoint).await.expect("it is kept");
}
