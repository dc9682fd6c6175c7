//! Generated worlds: a few customers, what they did, when it came, and which journeys were on.

use proptest::prelude::*;
use waypost::engine::{Delivery, Options};
use waypost::journey::{Cap, Catalog, ConsentMode, ConsentRule, OnCap, Rules, Shop, SourceRule};
use waypost::lane::Timeline;
use waypost::model::{Delay, EventName, HOUR_MS, MINUTE_MS, MessageChannel, Zone};

use super::journeys;

const DAY: i64 = 24 * HOUR_MS;

/// A world before its records are written down.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// Which journeys are on.
    pub journeys: Vec<usize>,
    /// Which rules hold: an index of [`rules`].
    pub rules: u8,
    /// When a message counts as started.
    pub delivery: Delivery,
    /// Who is known, with addresses and consent, from the beginning.
    pub known: Vec<bool>,
    /// What happens, in the order in which it arrives.
    pub steps: Vec<Step>,
}

/// One thing that arrives.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// How long after the one before it arrives, in milliseconds.
    pub gap: i64,
    pub what: What,
}

/// What arrives.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// Somebody did something so long before it arrives.
    Did { who: usize, deed: Deed, behind: i64, source: u16 },
    /// Time is known up to so long before.
    Tick { grace: i64 },
}

/// What somebody did. Carts and orders: 0 has no id, others have one.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    Add {
        cart: u8,
        item: u8,
        quantity: i64,
    },
    Remove {
        cart: u8,
        item: u8,
        quantity: i64,
    },
    ViewCart {
        cart: u8,
        items: Vec<u8>,
    },
    Checkout {
        cart: u8,
        items: Vec<u8>,
    },
    ViewProduct {
        item: u8,
    },
    Search {
        words: u8,
    },
    Order {
        id: u8,
        cart: u8,
        items: Vec<u8>,
        store: bool,
    },
    CancelOrder {
        id: u8,
    },
    ShipOrder {
        id: u8,
    },
    Consent {
        sms: bool,
        topic: bool,
        status: u8,
    },
    Unsubscribe,
    SignIn {
        email: bool,
    },
    SignOut,
    Facts {
        zone: u8,
    },
    /// An outcome of one of the messages decided so far.
    Outcome {
        nth: usize,
        kind: u8,
    },
    /// Turns out to be another.
    Merge {
        with: usize,
    },
    /// A cart is claimed by somebody else.
    LoseCart {
        cart: u8,
    },
    Delete,
    /// An event comes a second time.
    Again {
        back: usize,
    },
}

/// What a kind of world may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Customers may become one, lose carts and be erased, so that histories mix.
    pub ties: bool,
    /// Records may come after the watermark passed them.
    pub late: bool,
    /// Outcomes may come.
    pub outcomes: bool,
    /// Schedules that share an `at_most` out among partitions.
    pub rations: bool,
}

impl Kind {
    /// Everything.
    pub(super) const ALL: Self = Self { ties: true, late: true, outcomes: true, rations: true };
    /// Nobody has to do with anybody else.
    pub(super) const APART: Self = Self { ties: false, ..Self::ALL };
}

/// Worlds of a kind.
pub(super) fn worlds(kind: Kind) -> impl Strategy<Value = World> {
    (
        prop::collection::vec(0..journeys::POOL, 1..=4),
        0..RULES,
        prop::bool::weighted(0.5),
        prop::collection::vec(prop::bool::weighted(0.8), 1..=5),
        prop::collection::vec(step(kind), 5..60),
    )
        .prop_map(move |(mut journeys, rules, live, known, steps)| {
            journeys.retain(|place| kind.rations || *place != journeys::RATIONED);
            let delivery = if live { Delivery::Live } else { Delivery::Assumed };
            World { journeys, rules, delivery, known, steps }
        })
}

fn step(kind: Kind) -> impl Strategy<Value = Step> {
    let gap = prop_oneof![
        4 => Just(0),
        1 => Just(1),
        4 => Just(MINUTE_MS),
        4 => Just(10 * MINUTE_MS),
        3 => Just(30 * MINUTE_MS),
        3 => Just(HOUR_MS),
        1 => Just(4 * HOUR_MS),
        1 => Just(11 * HOUR_MS),
        1 => Just(DAY - HOUR_MS),
        1 => Just(DAY),
        1 => Just(3 * DAY),
        1 => Just(7 * DAY),
    ];
    let lateness = i64::from(kind.late);
    let behind = prop_oneof![
        12 => Just(0),
        2 => Just(MINUTE_MS),
        1 => Just(30 * MINUTE_MS),
        1 => Just(HOUR_MS),
        1 => Just(DAY),
    ]
    .prop_map(move |behind| behind * lateness);
    let grace = prop_oneof![
        1 => Just(1), 2 => Just(10_000), 1 => Just(MINUTE_MS), 1 => Just(2 * HOUR_MS)
    ];
    let did = (0_usize..6, deed(kind), behind, 0_u16..2)
        .prop_map(|(who, deed, behind, source)| What::Did { who, deed, behind, source });
    let what = prop_oneof![3 => did, 1 => grace.prop_map(|grace| What::Tick { grace })];
    (gap, what).prop_map(|(gap, what)| Step { gap, what })
}

fn deed(kind: Kind) -> impl Strategy<Value = Deed> {
    let items = || prop::collection::vec(0_u8..4, 0..3);
    let shopping = prop_oneof![
        6 => (0_u8..3, 0_u8..4, 1_i64..3)
            .prop_map(|(cart, item, quantity)| Deed::Add { cart, item, quantity }),
        2 => (0_u8..3, 0_u8..4, 1_i64..3)
            .prop_map(|(cart, item, quantity)| Deed::Remove { cart, item, quantity }),
        2 => (0_u8..3, items()).prop_map(|(cart, items)| Deed::ViewCart { cart, items }),
        2 => (0_u8..3, items()).prop_map(|(cart, items)| Deed::Checkout { cart, items }),
        3 => (0_u8..4).prop_map(|item| Deed::ViewProduct { item }),
        1 => (0_u8..3).prop_map(|words| Deed::Search { words }),
        3 => (0_u8..3, 0_u8..3, items(), any::<bool>())
            .prop_map(|(id, cart, items, store)| Deed::Order { id, cart, items, store }),
        1 => (0_u8..3).prop_map(|id| Deed::CancelOrder { id }),
        1 => (0_u8..3).prop_map(|id| Deed::ShipOrder { id }),
    ];
    let person = prop_oneof![
        3 => (any::<bool>(), any::<bool>(), 0_u8..3)
            .prop_map(|(sms, topic, status)| Deed::Consent { sms, topic, status }),
        1 => Just(Deed::Unsubscribe),
        3 => any::<bool>().prop_map(|email| Deed::SignIn { email }),
        1 => Just(Deed::SignOut),
        2 => (0_u8..4).prop_map(|zone| Deed::Facts { zone }),
        2 => (1_usize..6).prop_map(|back| Deed::Again { back }),
    ];
    let (ties, outcomes) = (u32::from(kind.ties), u32::from(kind.outcomes));
    let ties = prop_oneof![
        4 => (0_usize..6).prop_map(|with| Deed::Merge { with }),
        2 => (0_u8..3).prop_map(|cart| Deed::LoseCart { cart }),
        1 => Just(Deed::Delete),
    ]
    .prop_map(move |deed| if ties == 0 { Deed::ViewProduct { item: 0 } } else { deed });
    let outcome = (0_usize..6, 0_u8..OUTCOMES).prop_map(move |(nth, kind)| match outcomes {
        0 => Deed::ViewProduct { item: 1 },
        _ => Deed::Outcome { nth, kind },
    });
    prop_oneof![12 => shopping, 5 => person, 2 => ties, 2 => outcome]
}

/// How many outcomes there are.
const OUTCOMES: u8 = 7;

/// The outcome of this number, by mail or SMS.
pub(super) fn outcome(kind: u8, channel: MessageChannel) -> EventName {
    let words = ["started", "sent", "opened", "bounced", "failed", "missed_window", "complained"];
    let word = match (words[usize::from(kind)], channel) {
        ("opened" | "complained", MessageChannel::Sms) => "delivered",
        (word, _) => word,
    };
    EventName::new(&format!("{}.{word}", channel.as_str()))
}

/// How many sets of rules there are.
const RULES: u8 = 5;

/// The rules of this number.
pub(super) fn rules(number: u8) -> Rules {
    let cap = |channel, at_most, per: &str, on_cap| Cap {
        channel,
        topic: None,
        at_most,
        per: per.parse().expect("a delay"),
        on_cap,
    };
    let mut rules = Rules {
        default_shop: Shop { zone: Zone::named("Europe/Amsterdam"), ..Shop::default() },
        ..Rules::default()
    };
    let settle =
        |minutes: i64, carries| SourceRule { settle: Delay::exact(minutes * MINUTE_MS), carries };
    match number {
        1 => {
            rules.caps = vec![cap(None, 1, "4h", OnCap::Wait), cap(None, 2, "2 days", OnCap::Skip)]
        }
        2 => {
            rules.caps = vec![cap(Some(MessageChannel::Email), 1, "1 day", OnCap::Skip)];
            rules
                .sources
                .insert("back office".into(), settle(20, Some(vec![EventName::OrderPlaced])));
        }
        3 => {
            rules.caps = vec![
                cap(None, 2, "1 day", OnCap::Wait),
                Cap { topic: Some("reminders".into()), ..cap(None, 1, "3 days", OnCap::Wait) },
            ];
            let soft = ConsentMode::Soft;
            rules.consents =
                vec![ConsentRule { channel: MessageChannel::Sms, country: None, mode: soft }];
        }
        4 => {
            rules.sources.insert("shop".into(), settle(60, None));
        }
        _ => {}
    }
    rules
}

impl World {
    /// Its catalog, in force from the beginning.
    pub(super) fn timeline(&self) -> Timeline {
        let catalog = Catalog::new(journeys::plans(&self.journeys), rules(self.rules));
        let options = Options { delivery: self.delivery, assume_reachable: false };
        Timeline::fixed(catalog, options)
    }
}
