//! `waypost why`: a decided, a withheld and a stopped message in plain words.

use super::events::{cart_add, consent, order, plain};
use super::shop::Shop;
use super::{CART, THANKS};

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];
const BOB: &[(&str, &str)] = &[("id", "7002"), ("email", "bob@shop.example")];
const CID: &[(&str, &str)] = &[("id", "7003"), ("email", "cid@shop.example")];

/// What `why` writes, with times and Waypost's own ids replaced: they differ from run to run.
fn told(shop: &Shop, args: &[&str]) -> String {
    let done = shop.run(&[&["why"], args].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(done.stderr, "");
    let mut told = String::new();
    for line in done.stdout.lines() {
        let words = line.split(' ').map(|word| {
            let bare = word.trim_end_matches([',', ':']);
            let after = &word[bare.len()..];
            if bare.parse::<waypost::model::Timestamp>().is_ok() {
                format!("TIME{after}")
            } else if bare.parse::<waypost::model::CustomerId>().is_ok() {
                format!("CUSTOMER{after}")
            } else {
                word.to_owned()
            }
        });
        told.push_str(&words.collect::<Vec<_>>().join(" "));
        told.push('\n');
    }
    told
}

/// A template shown with what was decided for Ann: the newest message of that template.
fn previewed(shop: &Shop) {
    let folder = shop.path("templates/abandoned-cart/first");
    std::fs::create_dir_all(&folder).expect("a folder");
    shop.write(
        "templates/abandoned-cart/first/sms.txt",
        "x {{cart.count}} {{default customer.email \"-\"}}",
    );
    shop.write("templates/abandoned-cart/first/sample.json", "{ \"cart\": { \"count\": 7 } }");
    let done = shop.run(&[
        "preview",
        "abandoned-cart/first",
        "--as",
        "sms",
        "--customer",
        "ann@shop.example",
    ]);
    assert_eq!(done.stdout, "x 1 ann@shop.example\n", "{}", done.stderr);
    let told = "with the data of email abandoned-cart/first, decided for ";
    assert!(done.stderr.contains(told), "{}", done.stderr);
    let done = shop.run(&["preview", "abandoned-cart/first", "--customer", "nobody"]);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("no message was decided for `nobody` yet"), "{}", done.stderr);
}

#[test]
fn each_message_is_explained() {
    let shop = Shop::new(4, &[CART, THANKS]);
    // On a busy machine an event must not come late, which would be told, too.
    let config = std::fs::read_to_string(shop.path("waypost.yaml")).expect("the file");
    shop.write("waypost.yaml", &config.replace("grace: 5ms", "grace: 2s"));
    let worker = shop.start();
    // Ann's cart is of a device first; Bob never said yes; Cid buys before the mail is due.
    worker.takes(&[consent("1", ANN), cart_add("2", &[("device", "phone-1")], "c1")].join("\n"));
    worker.takes(&plain("3", "customer.signed_in", &[ANN, &[("device", "phone-1")]].concat()));
    worker
        .takes(&[cart_add("4", BOB, "c2"), consent("5", CID), cart_add("6", CID, "c3")].join("\n"));
    worker.takes(&[cart_add("6", CID, "c3"), order("7", CID, "o1")].join("\n"));
    worker.takes(&plain("8", "page.viewed", &[("id", "7004"), ("email", "dee@shop.example")]));
    let all = "SELECT count(*) FROM messages";
    shop.wait_for("two mails to Ann and Bob, thanks to Cid", all, |count| count == 5);
    // What became of them is told, too.
    let under_way = "SELECT count(*) FROM deliveries
        WHERE status IN ('waiting', 'claimed', 'started', 'dot_sent')";
    shop.wait_for("all mails to be out", under_way, |count| count == 0);
    shop.wait_for("the log to know", "SELECT count(*) FROM outbox", |count| count == 0);
    shop.wait_until_applied();
    worker.stops();
    previewed(&shop);
    let mut all = String::new();
    for args in [
        &["ann@shop.example"][..],
        &["phone-1"],
        &["Bob@Shop.example"],
        &["7003"],
        &["7003", "--journey", "thanks"],
        &["7002", "--journey", "thanks"],
        &["7004"],
    ] {
        all.push_str(&format!("$ waypost why {}\n{}\n", args.join(" "), told(&shop, args)));
    }
    assert_eq!(told(&shop, &["7001"]), told(&shop, &["ann@shop.example"]));
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/worker/why.txt");
    if crate::support::update() {
        std::fs::write(&golden, &all).expect("the file can be written");
    }
    let kept = std::fs::read_to_string(&golden).expect("what `why` told before");
    assert_eq!(all, kept, "UPDATE=1 rewrites what is expected");
    for (journey, help) in
        [("thank", "did you mean `thanks`?"), ("welcome", "there are: abandoned-cart, thanks")]
    {
        let none = shop.run(&["why", "7002", "--journey", journey]);
        assert_eq!((none.code, none.stdout.as_str()), (Some(3), ""));
        let says = format!("no journey `{journey}` was ever in force here; {help}");
        assert!(none.stderr.contains(&says), "no `{says}` in {}", none.stderr);
    }
    let json = shop.run(&["why", "7002", "--json"]);
    let lines: Vec<serde_json::Value> =
        json.stdout.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert!(lines.iter().any(|line| line["journey"] == "abandoned-cart"), "{}", json.stdout);
}

/// A till whose customers are known by their loyalty card, and by a device in the app.
const TILL: &str = "format: 1
source: till
reads: csv
time: at
event: { column: kind, is: { sale: order.placed, view: page.viewed } }
customer: { loyalty: card, device: app, customer_id: account }
";
const TILL_ROWS: &str = "at,kind,card,app,account
2026-01-02T10:00:00Z,view,,d-9,
2026-01-02T10:01:00Z,sale,L-9,d-9,
2026-01-02T10:02:00Z,view,,d-9,
2026-01-02T10:03:00Z,sale,L-8,,
2026-01-02T10:04:00Z,sale,L-7,,42
";

#[test]
fn a_customer_is_shown_and_found_by_an_id_of_the_sources_own() {
    let shop = Shop::new(1, &[THANKS]);
    shop.configure(1, "inputs: { till: { format: mapping, mapping: till.yaml } }\n");
    shop.write("till.yaml", TILL);
    shop.write("till.csv", TILL_ROWS);
    let until = ["--until", "2026-01-03T00:00:00Z"];
    let files = ["replay", "--events", "till.csv", "--mapping", "till.yaml"];
    let done = shop.run(&[&files[..], &until].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let shown = |line: &str| -> String {
        let line: serde_json::Value = serde_json::from_str(line).expect("json");
        line["customer"].as_str().expect("a name").to_owned()
    };
    assert_eq!(done.stdout.lines().map(shown).collect::<Vec<_>>(), ["L-9", "L-8", "42"]);
    let worker = shop.start();
    let (status, answer) = worker.post("/events", TILL_ROWS.as_bytes());
    assert_eq!(status, 202, "{answer}");
    shop.wait_until_applied();
    worker.stops();
    for name in ["L-9", "loyalty=L-9", "d-9", "L-8", "L-7", "42"] {
        let told = told(&shop, &[name]);
        assert!(told.contains("orders: 1\n"), "{name}: {told}");
    }
    let nobody = shop.run(&["why", "L-6"]);
    assert!(nobody.stderr.contains("nobody is known as `L-6`"), "{}", nobody.stderr);
}

#[test]
fn who_is_not_known_is_said() {
    let shop = Shop::new(1, &[CART]);
    let none = shop.run(&["why", "7001"]);
    assert_eq!(none.code, Some(3));
    assert!(none.stderr.contains("there is no log at"), "{}", none.stderr);
    assert!(none.stderr.contains("`waypost run` creates it"), "{}", none.stderr);
    shop.start().stops();
    let nobody = shop.run(&["why", "7001"]);
    assert_eq!((nobody.code, nobody.stdout.as_str()), (Some(3), ""));
    assert!(nobody.stderr.contains("nobody is known as `7001`"), "{}", nobody.stderr);
    let usage = shop.run(&["why"]);
    assert_eq!(usage.code, Some(2), "{}", usage.stderr);
    let wrong = shop.run(&["verify", "--jsn"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    let journey = shop.run(&["run", "--config", "none.yaml"]);
    assert_eq!(journey.code, Some(3), "{}", journey.stderr);
}
