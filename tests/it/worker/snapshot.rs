//! `waypost snapshot`, and a verify from one when the log has lost its head.

use super::CART;
use super::events::{cart_add, consent, order};
use super::shop::{Shop, in_runtime};

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];
const BOB: &[(&str, &str)] = &[("id", "7002"), ("email", "bob@shop.example")];
const CID: &[(&str, &str)] = &[("id", "7003"), ("email", "cid@shop.example")];

/// Changes one of the shop's files.
fn change(shop: &Shop, file: &str, sql: &str) -> u64 {
    use sqlx::Connection;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(shop.path(file));
    in_runtime(async {
        let mut file = sqlx::SqliteConnection::connect_with(&options).await.expect("a file");
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        sqlx::query(sql).execute(&mut file).await.expect("a change").rows_affected()
    })
}

#[test]
fn a_verify_begins_at_a_snapshot_when_the_head_is_gone() {
    let shop = Shop::new(2, &[CART]);
    let worker = shop.start();
    let people = [ANN, BOB, CID];
    for (n, who) in people.into_iter().enumerate() {
        worker.takes(&consent(&format!("a{n}"), who));
        worker.takes(&cart_add(&format!("b{n}"), who, &format!("c{n}")));
    }
    // Everybody is between the first message and the second.
    let messages = "SELECT count(*) FROM messages";
    shop.wait_for("the first messages", messages, |messages| messages >= 3);
    // The worker goes on: the snapshot stands here or later.
    let low = shop.count("data/state.db", "SELECT min(low_offset) FROM lanes");
    let taken = shop.run(&["snapshot", "snapshots"]);
    assert_eq!(taken.code, Some(0), "{}", taken.stderr);
    assert!(taken.stderr.contains("2 lanes and 3 states in snapshots/"), "{}", taken.stderr);
    worker.takes(&order("d", BOB, "o1"));
    worker.takes(&cart_add("e", CID, "c9"));
    shop.wait_for("more messages", messages, |messages| messages >= 6);
    shop.wait_until_applied();
    worker.stops();
    let whole = shop.verified();
    let from = |path: &str| shop.run(&["verify", "--json", "--from", path]);
    let figures = |done: &super::shop::Done| -> serde_json::Value {
        serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"))
    };
    let since = from("snapshots");
    assert_eq!(since.code, Some(0), "{since:?}");
    let report = figures(&since);
    assert_eq!((&report["differences"], &report["states"]), (&0.into(), &whole["states"]));
    let count = |report: &serde_json::Value, what: &str| report[what].as_u64().expect("a count");
    assert!(count(&report, "messages") >= 1, "{report}");
    assert!(count(&report, "messages") < count(&whole, "messages"), "{report}");
    assert!(count(&report, "records") < count(&whole, "records"), "{report}");

    // The head goes, as by a retention.
    assert!(low > 0);
    let gone = format!("DELETE FROM batches WHERE base_offset + records <= {low}");
    assert!(change(&shop, "data/log.db", &gone) > 0);
    let done = shop.run(&["verify"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("the log has lost its head"), "{}", done.stderr);
    assert!(done.stderr.contains("waypost verify --from"), "{}", done.stderr);
    assert_eq!(figures(&from("snapshots")), report);

    // What differs since is found; what is no snapshot is not used.
    change(
        &shop,
        "data/state.db",
        "UPDATE messages SET step = 'other' WHERE seq = (SELECT max(seq) FROM messages)",
    );
    let differs = from("snapshots");
    assert_eq!(differs.code, Some(1), "{differs:?}");
    for (file, words) in [
        ("waypost.yaml", "is no snapshot"),
        ("nowhere", "nowhere"),
        ("data", "there is no snapshot"),
    ] {
        let done = from(file);
        assert_eq!(done.code, Some(3), "{done:?}");
        assert!(done.stderr.contains(words), "{file}: {}", done.stderr);
    }
    let other = Shop::new(2, &[CART]);
    other.start().stops();
    let path = shop.path("snapshots").display().to_string();
    let done = other.run(&["verify", "--from", &path]);
    assert!(done.stderr.contains("a snapshot of another log"), "{done:?}");
}
