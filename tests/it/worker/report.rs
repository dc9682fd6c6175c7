//! `waypost report`: its numbers are those of the store's rows.

use std::collections::BTreeMap;

use waypost::engine::TraceKind;
use waypost::model::CustomerId;
use waypost::store::{Ledger, MessageStatus, SqliteLedger};

use super::events::{cart_add, consent, order};
use super::shop::{Shop, in_runtime};

/// A reminder that some customers, by the hash of their id, never get.
const REMIND: (&str, &str) = (
    "remind",
    "format: 1
journey: remind
description: Reminds of a <cart>.
holdout: 40%
one_run_per: cart
starts_when: { event: cart.changed }
stops_when: [ { event: order.placed } ]
again: always
steps:
  - wait_quiet: 1s
  - email: remind/first
goal: { event: order.placed, within: 7 days }
",
);

#[test]
fn its_numbers_are_those_of_the_rows() {
    let shop = Shop::new(2, &[REMIND]);
    let worker = shop.start();
    let people: Vec<(String, String)> =
        (0..40).map(|n| (format!("{}", 7_000 + n), format!("p{n}@shop.example"))).collect();
    let mut lines = Vec::new();
    for (n, (id, email)) in people.iter().enumerate() {
        let who = [("id", id.as_str()), ("email", email.as_str())];
        if n % 3 == 0 {
            lines.push(consent(&format!("c{n}"), &who));
        }
        lines.push(cart_add(&format!("a{n}"), &who, &format!("cart-{n}")));
        if n % 4 == 0 {
            lines.push(order(&format!("o{n}"), &who, &format!("order-{n}")));
        }
    }
    worker.takes(&lines.join("\n"));
    // Who buys at once gets no message; the others' are decided a second later.
    shop.wait_for("30 messages", "SELECT count(*) FROM messages", |count| count == 30);
    shop.wait_until_applied();
    worker.takes(&order("late", &[("id", &people[1].0)], "order-late"));
    let goals = "SELECT count(*) FROM trace WHERE kind = 'goal_reached'";
    shop.wait_for("11 goals", goals, |count| count == 11);
    worker.stops();

    let done = shop.run(&["report", "remind", "--json", "--html", "remind.html"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let told: serde_json::Value = serde_json::from_str(&done.stdout).expect("one object");
    let (mut kinds, mut messages) = (BTreeMap::new(), BTreeMap::new());
    let mut groups: BTreeMap<bool, (u64, u64)> = BTreeMap::new();
    for (customer, traces, rows) in rows(&shop) {
        for trace in &traces {
            *kinds.entry(trace.kind).or_insert(0_u64) += 1;
        }
        for row in &rows {
            let reason = row.reason.map_or("", |reason| reason.as_str());
            *messages.entry((row.status.as_str(), reason)).or_insert(0_u64) += 1;
        }
        // By what came of the messages, where the report goes by the start of the run.
        let held =
            |reason| rows.iter().any(|row| row.reason.is_some_and(|it| it.as_str() == reason));
        let started = traces.iter().find(|trace| trace.kind == TraceKind::Started);
        let started = started.unwrap_or_else(|| panic!("{customer} started"));
        let holdout = started.reason.is_some();
        assert!(rows.is_empty() || holdout == held("holdout"), "{customer}");
        let group = groups.entry(holdout).or_default();
        group.0 += 1;
        group.1 += u64::from(traces.iter().any(|trace| trace.kind == TraceKind::GoalReached));
    }
    for (name, kind) in [("started", TraceKind::Started), ("ended", TraceKind::Ended)] {
        assert_eq!(told[name], kinds[&kind], "{told}");
    }
    assert_eq!(told["goals"], kinds[&TraceKind::GoalReached]);
    assert_eq!(told["stopped"]["stopped"], kinds[&TraceKind::Stopped]);
    let listed = told["steps"][0]["messages"].as_array().expect("a list");
    let listed: BTreeMap<(&str, &str), u64> = listed
        .iter()
        .map(|row| {
            let word = |name: &str| row[name].as_str().unwrap_or_default();
            ((word("status"), word("reason")), row["messages"].as_u64().expect("a number"))
        })
        .collect();
    assert_eq!(listed, messages);
    assert_eq!(messages.values().sum::<u64>(), 30);
    assert!(messages.contains_key(&(MessageStatus::Withheld.as_str(), "consent")));
    assert!(groups.len() == 2, "nobody is in one of the groups: {groups:?}");
    for (name, holdout) in [("in_journey", false), ("holdout", true)] {
        let group = &told["customers"][name];
        let counted = (group["customers"].as_u64(), group["reached"].as_u64());
        let (customers, reached) = groups[&holdout];
        assert_eq!(counted, (Some(customers), Some(reached)), "{name}: {told}");
    }

    let text = shop.run(&["report", "remind"]);
    for part in [
        "runs started                              40",
        "first: withheld, holdout",
        "holdout, gets none",
    ] {
        assert!(text.stdout.contains(part), "no `{part}` in\n{}", text.stdout);
    }
    let page = std::fs::read_to_string(shop.path("remind.html")).expect("the page");
    for part in ["Journey remind", "Reminds of a &lt;cart&gt;.", "id=\"goal\"", "id=\"time\""] {
        assert!(page.contains(part), "no `{part}` in the page");
    }
}

/// Every customer's trace and messages.
fn rows(
    shop: &Shop,
) -> Vec<(CustomerId, Vec<waypost::engine::Trace>, Vec<waypost::store::StoredMessage>)> {
    in_runtime(async {
        let ledger =
            SqliteLedger::open(&shop.path("data/state.db")).await.expect("the store opens");
        let mut rows = Vec::new();
        for partition in 0..2 {
            for (customer, _) in ledger.states(partition, None, 1_000).await.expect("states") {
                let traces = ledger.trace_of(customer).await.expect("its trace");
                let messages = ledger.messages_of(customer).await.expect("its messages");
                rows.push((customer, traces, messages));
            }
        }
        rows
    })
}

#[test]
fn a_journey_that_is_not_known_is_an_error_with_the_way_out() {
    let shop = Shop::new(1, &[REMIND]);
    let none = shop.run(&["report", "remind"]);
    assert_eq!(none.code, Some(3));
    assert!(none.stderr.contains("there is no log at"), "{}", none.stderr);
    shop.start().stops();
    for (name, told) in [
        ("remnd", "there is no journey `remnd`; did you mean `remind`?"),
        ("welcome", "there is no journey `welcome`; there are remind"),
    ] {
        let done = shop.run(&["report", name]);
        assert_eq!((done.code, done.stdout.as_str()), (Some(3), ""));
        assert!(done.stderr.contains(told), "{}", done.stderr);
    }
    // One that nobody has met is known all the same.
    let quiet = shop.run(&["report", "remind"]);
    assert_eq!(quiet.code, Some(0), "{}", quiet.stderr);
    assert!(
        quiet.stdout.contains("runs started                               0"),
        "{}",
        quiet.stdout
    );
}
