//! A made-up workload with a reference of its own: `examples/journeys/workload.yaml` decides what
//! the rules below say, message by message, with the cart in cents.
//!
//! Each customer has a cart and is in step 0, 1 or 2.
//! - An add puts products into the cart; worth 20.00 or more it takes a customer from step 0 to 1.
//! - In step 1, an hour after the last add, removal or checkout the first reminder goes out and
//!   step 2 begins; with an empty cart there is no reminder, and step 0 begins.
//! - 24 h later the second reminder goes out unless the cart is empty; step 0 begins.
//! - An order empties the cart and begins step 0. A view is nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{DAY, Dice, HOUR, mapped, options, run, same, temporary, timestamp};

const EVENTS: usize = 20_000;

struct Happened {
    at: i64,
    what: &'static str,
    customer: usize,
    sku: usize,
    cents: i64,
    quantity: i64,
}

/// What is said of one message: customer, step, due, total in cents, and the cart.
type Reminder = (String, u8, i64, i64, String);

#[test]
fn the_journey_decides_what_the_rules_say() {
    let journey = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/journeys/workload.yaml"),
    )
    .expect("the journey");
    for seed in [1, 2, 3] {
        let happened = workload(seed);
        let file = temporary(ndjson(&happened).as_bytes(), ".ndjson");
        let mut options = options(vec![mapped(file.path(), "workload-ndjson.yaml")]);
        options.until = Some(timestamp(happened[EVENTS - 1].at + 365 * DAY));
        let told = run(&journey, &options);
        assert_eq!((told.summary.events, told.summary.dead), (EVENTS as u64, 0));
        let mut replayed: Vec<Reminder> = told.decisions.iter().map(reminder).collect();
        replayed.sort();
        let (expected, seen) = reference(&happened);
        same(&format!("seed {seed}"), &replayed, &expected);
        for (what, times) in [
            ("a start below 20.00 refused", seen.too_small),
            ("the first reminder with an empty cart", seen.empty_at_first),
            ("the second reminder with an empty cart", seen.empty_at_second),
            ("a reminder of a cart below 20.00", seen.small_reminders),
            ("a second reminder", seen.second),
            ("an order in step 2", seen.bought_in_step_2),
        ] {
            assert!(times > 10, "seed {seed}: {what} happened {times} times");
        }
    }
}

/// Visits of some minutes to several hours apart, over three days, no two events at one instant.
fn workload(seed: u64) -> Vec<Happened> {
    let mut dice = Dice(seed);
    let customers = EVENTS / 20;
    let start = 1_767_225_600_000;
    let mut times: Vec<(i64, usize)> = Vec::new();
    while times.len() < EVENTS {
        let customer = dice.below(customers);
        let mut at = start + i64::try_from(dice.below(3 * 24 * 60)).expect("small") * 60_000;
        for _ in 0..=dice.below(12) {
            at += 1 + i64::try_from(dice.below(240_000)).expect("small");
            times.push((at, customer));
        }
    }
    times.truncate(EVENTS);
    times.sort_unstable();
    let prices: Vec<i64> =
        (0..300).map(|_| 100 + i64::try_from(dice.below(4_000)).expect("small")).collect();
    let mut last = 0;
    let mut carts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut happened = Vec::with_capacity(EVENTS);
    for (at, customer) in times {
        last = at.max(last + 1);
        let cart = carts.entry(customer).or_default();
        let mut sku = dice.below(prices.len());
        let what = match dice.below(20) {
            0..9 => "productPageView",
            9..14 => "addToCart",
            14..18 => "removeFromCart",
            18 => "startCheckout",
            _ => "orderPlaced",
        };
        let mut quantity = 0;
        match what {
            "addToCart" => {
                quantity = 1 + i64::try_from(dice.below(5) / 4).expect("small");
                cart.extend(std::iter::repeat_n(sku, usize::try_from(quantity).expect("small")));
            }
            "removeFromCart" => {
                quantity = 1;
                // Mostly something that is there; now and then something that is not.
                if !cart.is_empty() && dice.below(10) > 0 {
                    sku = cart.remove(dice.below(cart.len()));
                }
            }
            "orderPlaced" => cart.clear(),
            _ => {}
        }
        happened.push(Happened { at: last, what, customer, sku, cents: prices[sku], quantity });
    }
    happened
}

fn ndjson(happened: &[Happened]) -> String {
    let mut text = String::new();
    for (number, event) in happened.iter().enumerate() {
        let Happened { at, what, customer, sku, cents, quantity } = event;
        let (whole, part) = (cents / 100, cents % 100);
        writeln!(
            text,
            "{{\"_id\":\"n{number}\",\"type\":\"{what}\",\"customerId\":\"c{customer:04}\",\
             \"timestamp\":{at},\"sku\":\"s{sku:03}\",\"price\":{whole}.{part:02},\"quantity\":{quantity}}}"
        )
        .expect("text");
    }
    text
}

/// How often what is hard came up.
#[derive(Default)]
struct Seen {
    too_small: usize,
    empty_at_first: usize,
    empty_at_second: usize,
    small_reminders: usize,
    second: usize,
    bought_in_step_2: usize,
}

/// The rules at the head of this file, customer by customer.
fn reference(happened: &[Happened]) -> (Vec<Reminder>, Seen) {
    let mut reminders = Vec::new();
    let mut seen = Seen::default();
    for customer in 0..EVENTS / 20 {
        let name = format!("c{customer:04}");
        let mut cart: BTreeMap<usize, (i64, i64)> = BTreeMap::new();
        let (mut step, mut due) = (0_u8, 0);
        let own = happened.iter().filter(|event| event.customer == customer);
        for event in own.map(Some).chain([None]) {
            let now = event.map_or(i64::MAX, |event| event.at);
            while step > 0 && due < now {
                let total = cart.values().map(|(quantity, cents)| quantity * cents).sum();
                let empty = cart.is_empty();
                if empty {
                    *(if step == 1 {
                        &mut seen.empty_at_first
                    } else {
                        &mut seen.empty_at_second
                    }) += 1;
                } else {
                    let lines: Vec<String> =
                        cart.iter().map(|(sku, (units, _))| format!("s{sku:03}:{units}")).collect();
                    reminders.push((name.clone(), step, due, total, lines.join("|")));
                    seen.small_reminders += usize::from(total < 2_000);
                    seen.second += usize::from(step == 2);
                }
                if step == 1 && !empty {
                    (step, due) = (2, due + 24 * HOUR);
                } else {
                    step = 0;
                }
            }
            let Some(event) = event else { break };
            match event.what {
                "addToCart" => {
                    let line = cart.entry(event.sku).or_default();
                    *line = (line.0 + event.quantity, event.cents);
                    let total: i64 = cart.values().map(|(quantity, cents)| quantity * cents).sum();
                    seen.too_small += usize::from(step == 0 && total < 2_000);
                    if step == 0 && total >= 2_000 {
                        step = 1;
                    }
                }
                "removeFromCart" => {
                    if let Some(line) = cart.get_mut(&event.sku) {
                        line.0 -= event.quantity;
                        if line.0 <= 0 {
                            cart.remove(&event.sku);
                        }
                    }
                }
                "startCheckout" => {}
                "orderPlaced" => {
                    cart.clear();
                    seen.bought_in_step_2 += usize::from(step == 2);
                    step = 0;
                }
                _ => continue,
            }
            if step == 1 {
                due = event.at + HOUR;
            }
        }
    }
    reminders.sort();
    (reminders, seen)
}

/// The reminder that a decision stands for.
fn reminder(decision: &waypost::engine::Decision) -> Reminder {
    let data: serde_json::Value = serde_json::from_str(&decision.data).expect("JSON");
    let mut lines: Vec<String> = data["cart"]["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| format!("{}:{}", item["sku"].as_str().expect("a product"), item["quantity"]))
        .collect();
    lines.sort();
    let total = data["cart"]["total"]["amount"].as_str().expect("a total");
    let cents = total.replace('.', "").parse().expect("two decimals");
    let step = if decision.step == "first" { 1 } else { 2 };
    assert_eq!(decision.withheld, None);
    (decision.customer.to_string(), step, decision.at.ms(), cents, lines.join("|"))
}
