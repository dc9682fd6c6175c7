//! Stopping, starting again, and what runs beside a worker.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::events::{cart_add, consent, order, plain};
use super::shop::{Shop, post, wait};
use super::{CART, THANKS};

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];

#[test]
fn a_stop_takes_in_what_was_accepted() {
    for partitions in [1, 4] {
        let shop = Shop::new(partitions, &[CART, THANKS]);
        let worker = shop.start();
        worker.takes(&consent("e1", ANN));
        worker.takes(&cart_add("e2", ANN, "c1"));
        worker.takes(&order("e3", ANN, "o1"));
        let said = worker.stops();
        assert!(!said.contains("ann@"), "{said}");
        // Nothing waits between log and lanes.
        let log = "SELECT sum(next_offset) FROM partitions";
        let state = "SELECT sum(end_offset) FROM lanes";
        assert_eq!(shop.count("data/log.db", log), shop.count("data/state.db", state));
        shop.verified();
    }
}

#[test]
fn a_second_worker_is_refused_and_readers_are_not() {
    let shop = Shop::new(1, &[CART, THANKS]);
    let worker = shop.start();
    worker.takes(&[consent("e1", ANN), order("e2", ANN, "o1")].join("\n"));
    shop.refuses(3, &["log.db", "in use by another waypost process", "stop that one"]);
    shop.write("orders.ndjson", &order("e9", ANN, "o9"));
    let import = shop.run(&["import", "orders", "orders.ndjson"]);
    assert_eq!(import.code, Some(3));
    assert!(import.stderr.contains("in use by another waypost process"), "{}", import.stderr);
    shop.wait_for("the mail", "SELECT count(*) FROM messages", |count| count == 1);
    // Beside it, while ticks move its lanes on.
    for _ in 0..5 {
        shop.verified();
        let why = shop.run(&["why", "7001"]);
        assert_eq!(why.code, Some(0), "{}", why.stderr);
        assert!(why.stdout.contains("email thanks/first"), "{}", why.stdout);
        worker.takes(&order(&format!("m{}", worker.said().len()), ANN, "more"));
    }
    worker.stops();
    shop.verified();
}

#[test]
fn a_client_that_says_no_more_does_not_hold_a_stop_up() {
    let shop = Shop::new(1, &[CART]);
    let worker = shop.start();
    let address = worker.url().trim_start_matches("http://").to_owned();
    let mut idle = std::net::TcpStream::connect(&address).expect("a connection");
    let head = "POST /events HTTP/1.1\r\nhost: shop\r\ncontent-length: 1000\r\n\r\n{\"spec";
    idle.write_all(head.as_bytes()).expect("the beginning of a request");
    worker.takes(&cart_add("e1", &[("device", "d1")], "c1"));
    worker.stops();
    shop.verified();
    drop(idle);
}

#[test]
fn standing_still_on_stdin_holds_neither_time_nor_a_stop_up() {
    let shop = Shop::new(1, &[CART, THANKS]);
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let worker = shop.start_with(&["run", "--stdin"], Stdio::from(reader)).expect("it starts");
    let lines = [consent("e1", ANN), order("e2", ANN, "o1")].join("\n") + "\n";
    writer.write_all(lines.as_bytes()).expect("it reads");
    // The pipe stays open and says no more: what came is taken in, and time passes.
    shop.wait_for("the mail", "SELECT count(*) FROM messages", |count| count == 1);
    worker.takes(&plain("e3", "page.viewed", ANN));
    writer.write_all((cart_add("e4", ANN, "c1") + "\n").as_bytes()).expect("it reads");
    shop.wait_for("the cart's mail", "SELECT count(*) FROM messages", |count| count == 2);
    worker.stops();
    shop.verified();
    drop(writer);
}

#[test]
fn the_end_of_stdin_is_not_the_end_of_the_worker() {
    let shop = Shop::new(1, &[THANKS]);
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let worker = shop.start_with(&["run", "--stdin"], Stdio::from(reader)).expect("it starts");
    let lines = [consent("e1", ANN), "{broken".into(), order("e2", ANN, "o1")].join("\n");
    writer.write_all(lines.as_bytes()).expect("it reads");
    drop(writer);
    shop.wait_for("the mail", "SELECT count(*) FROM messages", |count| count == 1);
    let dead = "SELECT count(*) FROM dead_letters WHERE position = 2";
    wait("the dead letter", || shop.count("data/log.db", dead) == 1);
    worker.stops();
    shop.verified();
}

#[test]
fn an_interrupt_stops_as_well_as_a_termination() {
    let shop = Shop::new(1, &[CART]);
    let worker = shop.start();
    assert_eq!(
        post(worker.url(), "/events", cart_add("e", ANN, "c").as_bytes(), None).map(|a| a.0),
        Some(202)
    );
    let pid = worker.pid().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    let done = worker.ended();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

#[test]
fn of_several_inputs_stdin_is_the_one_that_is_named() {
    let shop = Shop::new(1, &[CART]);
    shop.configure(1, "inputs: { storefront: { format: xdm }, office: { format: cloudevents } }\n");
    for (args, code, says) in [
        (
            &["run", "--stdin"][..],
            3,
            "--source which of the `inputs` standard input is: office, storefront",
        ),
        (&["run", "--stdin", "--source", "ofice"], 3, "has no `ofice`; it has office, storefront"),
        (&["run", "--source", "office"], 2, "--stdin"),
    ] {
        let Err(done) = shop.start_with(args, Stdio::null()) else { panic!("it started") };
        assert_eq!(done.code, Some(code), "{}", done.stderr);
        assert!(done.stderr.contains(says), "no `{says}` in {}", done.stderr);
    }
    assert!(!shop.path("data/log.db").exists(), "a worker that can't start leaves nothing behind");
    let file = shop.path("input");
    // XDM, which the input that comes first by its name does not read.
    let record = r#"{"eventType":"commerce.checkouts","identityMap":{"ECID":[{"id":"1"}]}}"#;
    std::fs::write(&file, record).expect("it can be written");
    let input = std::fs::File::open(&file).expect("it is there");
    let args = ["run", "--stdin", "--source", "storefront"];
    let worker = shop.start_with(&args, input.into()).expect("it starts");
    shop.wait_for("the state", "SELECT count(*) FROM states", |count| count == 1);
    worker.stops();
    assert_eq!(shop.count("data/log.db", "SELECT count(*) FROM dead_letters"), 0);
    assert_eq!(shop.verified()["states"], 1);
}
