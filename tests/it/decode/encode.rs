//! Events written as CloudEvents are read as what they were.

use proptest::prelude::*;
use proptest::{collection, option, sample};
use waypost::decode::{CloudEvents, Decode, Decoded, Form, Raw, Reader, Xdm, cloudevent};
use waypost::generate::{self, generate};
use waypost::model::{
    Amount, Channel, ConsentFact, ConsentStatus, Currency, Event, EventName, Identity, Item,
    ItemFacts, ItemsAre, MessageChannel, MessageId, OrderFacts, OutcomeFact, PageFacts,
    ProfileFacts, Text, Tie, Timestamp,
};

/// Reads what was written, and gives it back in the one order of attributes.
fn read(line: &str) -> Event {
    assert!(!line.contains('\n'), "{line}");
    let raw = Raw { bytes: line.as_bytes(), append_time: None, tie: Tie::default(), position: "x" };
    match CloudEvents.decode_record(&raw) {
        Ok(Decoded::Events(mut events)) => events.pop().expect("one event"),
        other => panic!("{other:?}: {line}"),
    }
}

fn plain(mut event: Event) -> Event {
    event.tie = Tie::default();
    event.clock_ahead = false;
    if let Some(profile) = &mut event.profile {
        profile.attributes.sort();
    }
    event
}

#[test]
fn a_feed_of_xdm_is_the_same_as_cloudevents() {
    let options = generate::Options {
        customers: 60,
        days: 3,
        seed: 11,
        start: "2026-03-02T00:00:00Z".parse().expect("a time"),
    };
    let mut feed = Vec::new();
    generate(&options, &mut feed, &mut |_, _| {}).expect("memory can be written");
    let mut reader = Reader::new("feed", std::io::Cursor::new(feed), Form::Auto).expect("a feed");
    let mut compared = 0;
    while let Some(entry) = reader.next_entry().expect("memory can be read") {
        let waypost::decode::Entry::Record { line, bytes } = entry else { continue };
        let position = format!("feed/{line}");
        let raw = Raw { bytes, append_time: None, tie: Tie::default(), position: &position };
        let Ok(Decoded::Events(events)) = Xdm::default().decode_record(&raw) else { continue };
        for event in events {
            if matches!(event.name, EventName::Custom(_)) {
                continue;
            }
            let line = cloudevent(&event);
            assert_eq!(plain(read(&line)), plain(event), "{line}");
            compared += 1;
        }
    }
    assert!(compared > 1_000, "{compared}");
}

fn word() -> impl Strategy<Value = Text> {
    "[a-zA-Z0-9é_./;=#-]{1,12}".prop_map(Text::from)
}

fn some_words() -> impl Strategy<Value = Option<Text>> {
    option::of(word())
}

fn identity() -> impl Strategy<Value = Identity> {
    // Numbers that can be dialled.
    let digits = 10_000_000..59_999_999_u32;
    prop_oneof![
        word().prop_filter_map("a name", |id| Identity::customer_id(&id)),
        word().prop_filter_map("a name", |id| Identity::email(&format!("{id}@shop.example"))),
        digits.prop_filter_map("a number", |number| Identity::phone(&format!("+316{number}"))),
        word().prop_filter_map("a device", |id| Identity::device(&id)),
        ("[ab]", word()).prop_filter_map("an id", |(kind, id)| Identity::other(&kind, &id)),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let money = option::of(
        (-5_000_000_i64..5_000_000).prop_map(|cents| Amount::from_micros(cents * 10_000)),
    );
    let options = collection::btree_map("[a-c]{1,2}", "[a-z=;]{1,3}", 0..3).prop_map(|chosen| {
        let pairs: Vec<String> = chosen.iter().map(|(a, b)| format!("{a}={b}")).collect();
        Text::from(pairs.join(";"))
    });
    (word(), 1..50_i64, money, options, some_words(), some_words()).prop_map(
        |(sku, quantity, price, options, name, url)| Item {
            sku,
            quantity,
            price,
            currency: price.and(Currency::new("EUR")),
            facts: ItemFacts { options, name, url, ..ItemFacts::default() }.boxed(),
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let names = EventName::KNOWN.iter().map(|(name, ..)| name.clone());
    let names: Vec<EventName> = names.filter(|name| !name.is_derived()).collect();
    let channels =
        vec![Channel::Unknown, Channel::Web, Channel::App, Channel::Store, Channel::Phone];
    let are = vec![ItemsAre::Mentioned, ItemsAre::Delta, ItemsAre::Whole];
    let status = vec![ConsentStatus::Given, ConsentStatus::Confirmed, ConsentStatus::Withdrawn];
    let by = vec![MessageChannel::Email, MessageChannel::Sms];
    let consent = (sample::select(by), some_words(), sample::select(status))
        .prop_map(|(channel, topic, status)| ConsentFact { channel, topic, status });
    let head = (sample::select(names), word(), 0..4_000_000_000_000_i64, sample::select(channels));
    let body = (
        collection::vec(identity(), 0..6),
        collection::vec(item(), 0..3),
        sample::select(are),
        collection::vec(consent, 1..3),
    );
    let facts = (
        some_words(),
        some_words(),
        some_words(),
        collection::btree_map("[a-z]{1,3}", word(), 0..3),
    );
    (head, body, facts, any::<u128>()).prop_map(|(head, body, facts, message)| {
        let (name, id, at, channel) = head;
        let mut event = Event::new(id, name, Timestamp::from_ms(at));
        event.channel = channel;
        let (identities, items, items_are, consents) = body;
        for identity in identities {
            if !event.identities.contains(&identity) {
                event.identities.push(identity);
            }
        }
        (event.items, event.items_are, event.consents) = (items, items_are, consents);
        let (one, two, three, attributes) = facts;
        (event.shop, event.cart_id) = (one.clone(), two.clone());
        let order = OrderFacts { id: two.clone(), coupon: one.clone(), ..OrderFacts::default() };
        let tells = event.name.is_order() || order.id.is_some() || order.coupon.is_some();
        event.order = tells.then(|| Box::new(order));
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let profile = ProfileFacts {
            first_name: three.clone(),
            locale: two,
            attributes,
            ..ProfileFacts::default()
        };
        event.profile = (profile != ProfileFacts::default()).then(|| Box::new(profile));
        let page = PageFacts { query: three.clone(), url: one, ..PageFacts::default() };
        event.page = (page != PageFacts::default()).then(|| Box::new(page));
        event.outcome = Some(Box::new(OutcomeFact {
            message: MessageId(message),
            revision: Some(3),
            reason: three,
            link: None,
        }));
        event
    })
}

proptest! {
    #[test]
    fn any_event_is_read_as_it_was_written(event in event()) {
        let line = cloudevent(&event);
        prop_assert_eq!(plain(read(&line)), plain(event), "{}", line);
    }
}

#[test]
fn a_custom_event_keeps_its_data_and_whose_it_is() {
    let mut event =
        Event::new("shop#7", EventName::new("quiz.finished"), Timestamp::from_ms(1_000));
    event.identities =
        Identity::customer_id("42").into_iter().chain(Identity::device("d1")).collect();
    for (data, kept) in [
        (r#"{"score": 1.50, "customer": {"id": "42", "device": "d1"}}"#, true),
        (r#"{"score":3,"answers":["a",null]}"#, false),
    ] {
        event.data = Some(data.into());
        let line = cloudevent(&event);
        let read = read(&line);
        assert_eq!((read.id.as_str(), &read.identities), ("shop#7", &event.identities), "{line}");
        assert_eq!(read.data.as_deref() == Some(data), kept, "{line}");
        let data: serde_json::Value =
            serde_json::from_str(&read.data.expect("data")).expect("json");
        assert!(data["score"].is_number(), "{line}");
    }
    (event.data, event.identities) = (Some("[1,2]".into()), Vec::new());
    assert_eq!(plain(read(&cloudevent(&event))), event);
    event.data = None;
    assert_eq!(plain(read(&cloudevent(&event))), event);
}
