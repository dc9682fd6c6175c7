//! `POST /events`: what is taken, what is refused, and how it is said.

use serde_json::{Value, json};

use super::CART;
use super::events::{cart_add, customer, event, event_at, plain};
use super::shop::{Shop, Worker, number, post};

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];

/// A source with a header row.
const TILL: &str = "format: 1
source: till
reads: csv
csv: { delimiter: \";\" }
time: at
event: { value: order.placed }
customer: { email: mail }
";

/// Posts, and asserts the status and what the answer says.
fn check(worker: &Worker, path: &str, body: &[u8], status: u16, says: &str) {
    let (found, answer) = worker.post(path, body);
    let shown = String::from_utf8_lossy(&body[..body.len().min(100)]).into_owned();
    assert_eq!(found, status, "{path} {shown}: {answer}");
    assert!(answer.contains(says), "{path} {shown}: no `{says}` in {answer}");
}

#[test]
fn one_event_an_array_and_lines_are_taken() {
    let shop = Shop::new(1, &[CART]);
    let worker = shop.start();
    let one = |id: &str| plain(id, "page.viewed", ANN);
    let accepted = |count: usize| format!(r#"{{"accepted":{count},"rejected":[]}}"#);
    let array = format!("[{},\n {}]", one("2"), one("3"));
    let lines = format!("{}\n\n{}\r\n{}", one("4"), one("5"), one("6"));
    let xdm = r#"{"_id":"x1","eventType":"web.webpagedetails.pageViews","identityMap":{"ECID":[{"id":"12345678901234567890123456789012345678"}]}}"#;
    for (body, count) in [(one("1"), 1), (array, 2), (lines, 3), (xdm.into(), 1)] {
        check(&worker, "/events", body.as_bytes(), 202, &accepted(count));
    }
    // What is answered is in the log, whatever comes after: not even a checkpoint is needed.
    drop(worker);
    let records = "SELECT sum(records) FROM batches WHERE payload IS NOT NULL";
    assert!(number(&shop.path("data/log.db"), records) >= 7);
    let worker = shop.start();
    worker.stops();
    assert!(shop.verified()["states"].as_i64().is_some_and(|states| states == 2));
}

#[test]
fn what_is_wrong_is_answered_with_its_index_and_kept_as_a_dead_letter() {
    let shop = Shop::new(1, &[CART]);
    let worker = shop.start();
    let body = [
        plain("1", "page.viewed", ANN),
        "{\"specversion\":\"1.0\", broken".into(),
        plain("2", "page.viewed", ANN),
        json!({ "specversion": "1.0", "id": "3", "type": "page.viewed", "data": {} }).to_string(),
    ]
    .join("\n");
    let (status, answer) = worker.post("/events", body.as_bytes());
    assert_eq!(status, 202);
    let answer: Value = serde_json::from_str(&answer).expect("json");
    assert_eq!(answer["accepted"], 2);
    let rejected: Vec<(u64, &str)> = answer["rejected"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| (one["index"].as_u64().unwrap(), one["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(rejected.len(), 2, "{answer}");
    assert_eq!(rejected[0].0, 1);
    assert!(rejected[0].1.starts_with("broken JSON at column 23"), "{answer}");
    assert_eq!(rejected[1], (3, "no identity: the event names no customer"));
    let whole =
        "SELECT count(*) FROM dead_letters WHERE position = 4 AND payload LIKE '%page.viewed%'";
    let cut = "SELECT count(*) FROM dead_letters WHERE position = 2 AND payload LIKE '%broken'";
    assert_eq!(shop.count("data/log.db", whole), 1);
    assert_eq!(shop.count("data/log.db", cut), 1);
    worker.stops();
    shop.verified();
}

#[test]
fn hostile_bodies_are_answered_and_the_worker_goes_on() {
    let shop = Shop::new(1, &[CART]);
    let worker = shop.start();
    let with = |data: Value| event("h", "cart.viewed", data).into_bytes();
    let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)).into_bytes();
    let items: Vec<Value> = (0..100_000).map(|n| json!({ "sku": n.to_string() })).collect();
    let large = with(json!({ "customer": customer(ANN), "note": "x".repeat(10 << 20) }));
    let many = with(json!({ "customer": customer(ANN), "items": items }));
    let some: Vec<Value> = items[..2_000].to_vec();
    let some = with(json!({ "customer": customer(ANN), "items": some }));
    let mut invalid = plain("i", "page.viewed", ANN).into_bytes();
    let within = invalid.windows(3).position(|three| three == b"ann").expect("the name");
    invalid[within] = 0xff;
    let nul = plain("n", "page.viewed", &[("id", "a\u{0}b")]).into_bytes();
    let typed = br#"{"specversion":"1.0","id":"t","type":"cart.viewed","data":{"items":7}}"#;
    for (body, says) in [
        (&b"{\"specversion\":"[..], "broken JSON"),
        (b"17", "a record is an object"),
        (b"\"text\"", "a record is an object"),
        (&typed[..], "data.items: a number where a list is expected"),
        (&deep, "the limit is 100"),
        (&large, "the limit is 1048576"),
        (&many, "the limit is"),
        (&some, "more than 1000 elements in a list"),
        (&invalid, "not UTF-8"),
        (&nul, "NUL"),
    ] {
        check(&worker, "/events", body, 400, says);
    }
    for (body, says) in [
        (&b""[..], "holds no records"),
        (b" \n\n ", "holds no records"),
        (b"[]", "holds no records"),
    ] {
        check(&worker, "/events", body, 400, says);
    }
    let reasons =
        shop.text("data/log.db", "SELECT group_concat(reason, char(10)) FROM dead_letters");
    assert_eq!(reasons.lines().count(), 10, "each hostile record is a dead letter:\n{reasons}");
    worker.takes(&cart_add("ok", ANN, "c1"));
    worker.stops();
    shop.verified();
}

#[test]
fn a_name_that_is_nearly_ours_is_taken_with_a_warning() {
    let shop = Shop::new(1, &[CART]);
    let worker = shop.start();
    let names = ["cart.item_aded", "myshop.stockAlert", "order.placd"];
    let body: Vec<String> =
        names.iter().map(|name| event(name, name, json!({ "customer": customer(ANN) }))).collect();
    let (status, answer) = worker.post("/events", body.join("\n").as_bytes());
    let answer: Value = serde_json::from_str(&answer).expect("json");
    assert_eq!((status, &answer["accepted"]), (202, &json!(3)));
    let told = |index: usize, name: &str, meant: &str| {
        let text = format!(
            "`{name}` is not one of Waypost's events and was taken as the shop's own; did you mean `{meant}`?"
        );
        json!({ "index": index, "warning": text })
    };
    let expected =
        [told(0, "cart.item_aded", "cart.item_added"), told(2, "order.placd", "order.placed")];
    assert_eq!(answer["warnings"], json!(expected));
    worker.stops();
}

#[test]
fn times_far_from_now_are_kept_and_hold_nothing_up() {
    let shop = Shop::new(1, &[CART]);
    let worker = shop.start();
    let at = |id: &str, time: &str| {
        let time = time.parse().expect("a time");
        event_at(id, "page.viewed", time, json!({ "customer": customer(ANN) }))
    };
    worker.takes(&at("old", "0001-01-01T00:00:00Z"));
    worker.takes(&at("new", "9999-12-31T23:59:59Z"));
    shop.wait_until_applied();
    worker.takes(&cart_add("now", ANN, "c1"));
    shop.wait_for("the mail", "SELECT count(*) FROM messages", |count| count == 1);
    worker.stops();
    shop.verified();
}

#[test]
fn sources_are_named_and_bodies_have_a_limit() {
    let shop = Shop::new(1, &[CART]);
    shop.configure(
        1,
        "inputs:\n  storefront: { format: xdm }\n  office: { format: cloudevents }\n\
         \x20 till: { format: mapping, mapping: till.yaml }\n\
         cache_bytes: 1 MB\n",
    );
    shop.write("till.yaml", TILL);
    let config = std::fs::read_to_string(shop.path("waypost.yaml")).expect("the file");
    shop.write("waypost.yaml", &config.replacen("127.0.0.1:0", "127.0.0.1:0, body_limit: 2 KB", 1));
    let worker = shop.start();
    check(
        &worker,
        "/events/office",
        plain("1", "page.viewed", ANN).as_bytes(),
        202,
        "\"accepted\":1",
    );
    for path in ["/events/ofice", "/events"] {
        check(
            &worker,
            path,
            b"{}",
            404,
            "post to /events/office, /events/storefront, /events/till",
        );
    }
    // A body without its header row is somebody's data: it is not shown.
    let row = b"2026-01-02T10:00:00Z;ann@shop.example\n";
    let (status, answer) = worker.post("/events/till", row);
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("no column `at`, `mail` among its 2"), "{answer}");
    assert!(!answer.contains("ann@"), "{answer}");
    check(&worker, "/events/office", &[b' '; 3_000], 413, "`http.body_limit`");
    // A small body that holds far more than a large one may.
    let lines = format!("{}\n", plain("2", "page.viewed", ANN)).repeat(1_000);
    let mut small = Vec::new();
    let mut packer = flate2::write::GzEncoder::new(&mut small, flate2::Compression::best());
    std::io::Write::write_all(&mut packer, lines.as_bytes()).expect("it packs");
    packer.finish().expect("it packs");
    assert!(small.len() < 2_000, "{} bytes", small.len());
    check(&worker, "/events/office", &small, 413, "`http.body_limit`");
    worker.stops();
    assert_eq!(shop.verified()["states"], 1);
}

#[test]
fn a_path_or_a_method_that_is_not_there_is_answered_in_words() {
    let shop = Shop::new(1, &[CART]);
    let worker = shop.start();
    check(&worker, "/event", b"{}", 404, "events go to POST /events");
    check(&worker, "/healthz", b"{}", 405, "GET /healthz answers ok");
    worker.stops();
}

#[test]
fn a_phone_without_country_code_is_of_the_shops_country() {
    let shop = Shop::new(1, &[CART]);
    shop.configure(1, "shops: { default: { country: NL } }\n");
    let worker = shop.start();
    let profile =
        r#"{"identityMap":{"CustomerId":[{"id":"42"}]},"mobilePhone":{"number":"06-12345678"}}"#;
    worker.takes(profile);
    shop.wait_until_applied();
    worker.stops();
    let why = shop.run(&["why", "+31612345678"]);
    assert!(why.stdout.contains("phone +3***"), "{}{}", why.stdout, why.stderr);
}

#[test]
fn off_loopback_a_token_is_needed_and_asked_for() {
    let shop = Shop::new(1, &[CART]);
    let config = std::fs::read_to_string(shop.path("waypost.yaml")).expect("the file");
    shop.write("waypost.yaml", &config.replacen("127.0.0.1:0", "0.0.0.0:0", 1));
    shop.refuses(3, &["a server that others can reach needs `http.token`", "waypost.yaml:2:17"]);
    assert!(!shop.path("data/log.db").exists(), "a worker that can't start leaves nothing behind");
    shop.write(
        "waypost.yaml",
        &config.replacen("127.0.0.1:0", "0.0.0.0:0, token: let-me-in-please", 1),
    );
    let worker = shop.start();
    let url = worker.url().replace("0.0.0.0", "127.0.0.1");
    let body = plain("1", "page.viewed", ANN);
    for (token, status) in [(None, 401), (Some("wrong"), 401), (Some("let-me-in-please"), 202)] {
        let (found, answer) = post(&url, "/events", body.as_bytes(), token).expect("an answer");
        assert_eq!(found, status, "{answer}");
        assert_eq!(answer.contains("`http.token`"), status == 401, "{answer}");
        assert!(!answer.contains("let-me-in"), "{answer}");
    }
    let said = worker.stops();
    assert!(!said.contains("let-me-in"), "{said}");
}

#[test]
fn a_port_in_use_is_named() {
    let shop = Shop::new(1, &[CART]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let config = std::fs::read_to_string(shop.path("waypost.yaml")).expect("the file");
    shop.write("waypost.yaml", &config.replace("127.0.0.1:0", &address));
    shop.refuses(3, &[&format!("can't listen on {address}"), "`http.listen`"]);
}
