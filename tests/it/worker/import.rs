//! `waypost import`: history builds state and starts no run.

use std::process::Stdio;

use serde_json::json;

use super::events::{consent, customer, event_at, order, plain};
use super::shop::{Shop, now, wait};
use super::{CART, THANKS};
use waypost::model::DAY_MS;

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];

/// Misses customers who have not bought for 90 days.
const WIN_BACK: (&str, &str) = (
    "win-back",
    "format: 1
journey: win-back
starts_when: { absent: order.placed, for: 90 days }
steps:
  - email: win-back/first
",
);

/// Two orders without a number, and a row that is none.
const ROWS: &str = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session,quantity,order_id
2026-01-02T10:00:00Z,purchase,5,1,,,10.00,7001,s1,1,
2026-01-09T10:00:00Z,purchase,6,1,,,11.00,7001,s2,1,
2026-01-10T10:00:00Z,cart,6,1,,,11.00,7001,s2,1,
";

/// An order of some days ago.
fn order_ago(days: i64, id: &str, names: &[(&str, &str)], number: &str) -> String {
    let order = json!({ "id": number, "total": "30", "currency": "EUR" });
    let data = json!({ "customer": customer(names), "order": order });
    event_at(id, "order.placed", now().plus_ms(-days * DAY_MS), data)
}

/// Imports a file and returns what was said.
fn import(shop: &Shop, kind: &str, file: &str) -> String {
    let done = shop.run(&["import", kind, file]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    assert!(!done.stderr.contains('@'), "{}", done.stderr);
    done.stderr
}

#[test]
fn history_builds_state_and_starts_nothing() {
    let shop = Shop::new(4, &[CART, THANKS, WIN_BACK]);
    let profile = json!({ "customer": customer(ANN), "profile": { "first_name": "Ann" } });
    shop.write(
        "profiles.json",
        &format!("[{}]", event_at("p1", "customer.updated", now(), profile)),
    );
    shop.write("consents.ndjson", &consent("c1", ANN));
    let orders: Vec<String> =
        (0..20).map(|n| order_ago(40 + n, &format!("o{n}"), ANN, &n.to_string())).collect();
    shop.write("orders.ndjson", &orders.join("\n"));
    import(&shop, "profiles", "profiles.json");
    import(&shop, "consents", "consents.ndjson");
    let said = import(&shop, "orders", "orders.ndjson");
    assert!(said.contains("20 events loaded as history\n"), "{said}");
    let worker = shop.start();
    // The first start knows of what was imported, too.
    wait("whom mails may reach", || worker.said().contains("may be mailed: "));
    assert!(worker.said().contains("may be mailed: 1 of 1\n"), "{}", worker.said());
    shop.wait_until_applied();
    let know = |shop: &Shop, orders: &str| {
        let why = shop.run(&["why", "ann@shop.example"]).stdout;
        assert!(why.contains(orders), "{why}");
        assert!(why.contains("consent by email: given"), "{why}");
        assert!(why.contains("no journey has met this customer yet"), "{why}");
        assert!(why.contains("are not applied yet"), "{why}");
    };
    know(&shop, "orders: 20\n");
    worker.stops();
    shop.verified();
    // The same again, and the same with more: nothing counts twice.
    import(&shop, "consents", "consents.ndjson");
    let said = import(&shop, "orders", "orders.ndjson");
    assert!(said.contains("the same was imported before, its first 20 rows"), "{said}");
    assert!(said.contains("0 events loaded"), "{said}");
    shop.write("longer.ndjson", &[orders.join("\n"), order_ago(3, "o20", ANN, "20")].join("\n"));
    let said = import(&shop, "orders", "longer.ndjson");
    assert!(said.contains("21 events loaded"), "{said}");
    let worker = shop.start();
    shop.wait_until_applied();
    know(&shop, "orders: 21\n");
    worker.stops();
    assert_eq!(shop.verified()["messages"], 0);
}

#[test]
fn rows_without_ids_are_known_again_by_their_file_and_line() {
    let shop = Shop::new(1, &[CART, THANKS]);
    let mapping = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/mappings/shop-csv.yaml");
    shop.write("orders.csv", ROWS);
    shop.write("copy.csv", ROWS);
    let import = |file: &str, says: &str| {
        let done = shop.run(&["import", "orders", file, "--mapping", mapping]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(done.stderr.contains(says), "{file}: {}", done.stderr);
    };
    import("orders.csv", "2 events loaded as history\n1 rows rejected");
    import("./orders.csv", "0 events loaded as history\n");
    import("copy.csv", "0 events loaded as history\n");
    // The file has grown: its old rows are known by their lines.
    shop.write(
        "orders.csv",
        &format!("{ROWS}2026-01-11T10:00:00Z,purchase,6,1,,,11.00,7001,s3,1,\n"),
    );
    import("orders.csv", "3 events loaded as history\n1 rows rejected");
    let worker = shop.start();
    shop.wait_until_applied();
    worker.stops();
    let why = shop.run(&["why", "7001"]).stdout;
    assert!(why.contains("orders: 3\n"), "{why}");
    shop.verified();
}

#[test]
fn what_does_not_belong_is_rejected_with_its_line() {
    let shop = Shop::new(1, &[CART]);
    let rows = [
        order_ago(10, "o1", ANN, "1"),
        "{broken".to_owned(),
        plain("p1", "page.viewed", ANN),
        order("o2", &[], "2"),
    ];
    shop.write("orders.ndjson", &rows.join("\n"));
    let said = import(&shop, "orders", "orders.ndjson");
    assert!(said.contains("1 events loaded as history\n3 rows rejected"), "{said}");
    for says in [
        "orders.ndjson:2: broken JSON",
        "orders.ndjson:3: a page.viewed event",
        "orders.ndjson:4: no identity",
    ] {
        assert!(said.contains(says), "no `{says}` in {said}");
    }
    let lines =
        "SELECT group_concat(position || ' ' || (payload IS NOT NULL), ' ') FROM dead_letters";
    assert_eq!(shop.text("data/log.db", lines), "2 1 3 1 4 1");
    // Nothing but rejected rows is a failure; a file that is not there, too; a kind that is not, is wrong usage.
    shop.write("none.ndjson", "{broken\n");
    for (args, code, says) in [
        (["import", "orders", "none.ndjson"], 3, "nothing could be loaded from none.ndjson"),
        (["import", "orders", "absent.ndjson"], 3, "can't open absent.ndjson"),
        (["import", "carts", "none.ndjson"], 2, "possible values: orders, profiles, consents"),
    ] {
        let done = shop.run(&args);
        assert_eq!(done.code, Some(code), "{}", done.stderr);
        assert!(done.stderr.contains(says), "no `{says}` in {}", done.stderr);
    }
}

#[test]
fn an_import_is_history_for_absent_journeys_too() {
    let shop = Shop::new(1, &[WIN_BACK]);
    let bob: &[(&str, &str)] = &[("id", "7002"), ("email", "bob@shop.example")];
    shop.write("consents.ndjson", &[consent("c1", ANN), consent("c2", bob)].join("\n"));
    let orders = [order_ago(100, "o1", ANN, "1"), order_ago(80, "o2", bob, "2")];
    shop.write("orders.ndjson", &orders.join("\n"));
    import(&shop, "consents", "consents.ndjson");
    import(&shop, "orders", "orders.ndjson");
    let worker = shop.start();
    shop.wait_until_applied();
    worker.stops();
    let report = shop.verified();
    assert_eq!(report["messages"], 0, "nobody is missed at once");
    // Bob's 90 days are over in ten days; Ann's were over before the journey was there.
    let started = super::future::decided(&shop, 11);
    assert_eq!(started, ["7002 win-back win-back/first 10"]);
}

#[test]
fn an_import_without_room_says_so_and_goes_on_later() {
    let shop = Shop::new(1, &[CART]);
    let orders: Vec<String> = (0..20_000)
        .map(|n| {
            order_ago(
                40,
                &blake3::hash(&[n as u8, (n >> 8) as u8]).to_string(),
                ANN,
                &n.to_string(),
            )
        })
        .collect();
    shop.write("orders.ndjson", &orders.join("\n"));
    // A limit on the size of files stands for the full disk: it needs no rights.
    let limited = "trap '' XFSZ; ulimit -f 1000; exec \"$@\"";
    let args = ["import", "orders", "orders.ndjson"];
    let Err(done) = shop.start_by(&["sh", "-c", limited, "sh"], &args, Stdio::null()) else {
        panic!("an import does not listen");
    };
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    for word in ["error: ", "data/log.db", "nothing of this transaction was kept", "start again"] {
        assert!(done.stderr.contains(word), "no `{word}` in {}", done.stderr);
    }
    let said = import(&shop, "orders", "orders.ndjson");
    assert!(said.contains("the same was imported before, its first "), "{said}");
    let worker = shop.start();
    shop.wait_until_applied();
    worker.stops();
    let why = shop.run(&["why", "7001"]).stdout;
    assert!(why.contains("orders: 20000\n"), "{why}");
}
