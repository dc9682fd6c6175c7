//! `waypost dead-letters`: what a worker could not read, shown and handed in again.

use serde_json::Value;

use super::CART;
use super::events::{cart_add, plain};
use super::shop::{Shop, wait};

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];

fn list(shop: &Shop, args: &[&str]) -> Vec<Value> {
    let done = shop.run(&[&["dead-letters", "list", "--json"], args].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stdout.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
}

#[test]
fn a_letter_is_shown_masked_and_goes_in_once_the_cause_is_mended() {
    let shop = Shop::new(1, &[CART]);
    // The shop sends CloudEvents, and the configuration says that they are XDM.
    shop.configure(1, "inputs: { web: { format: xdm } }\n");
    let worker = shop.start();
    let (status, _) = worker.post("/events/web", cart_add("1", ANN, "c1").as_bytes());
    assert_eq!(status, 400);
    let (status, _) = worker.post("/events/web", b"{ \"broken");
    assert_eq!(status, 400);
    let (status, _) = worker.post("/events/web", plain("2", "page.viewed", &[]).as_bytes());
    assert_eq!(status, 400);
    worker.stops();
    let letters = list(&shop, &[]);
    assert_eq!(letters.len(), 3, "{letters:?}");
    let id = letters[2]["id"].to_string();
    let shown = shop.run(&["dead-letters", "show", &id]).stdout;
    assert!(shown.contains("an***@shop.example"), "{shown}");
    assert!(!shown.contains("ann@shop.example"), "{shown}");
    let raw = shop.run(&["dead-letters", "show", &id, "--raw"]).stdout;
    assert!(raw.contains("ann@shop.example"), "{raw}");

    shop.configure(1, "inputs: { web: { format: cloudevents } }\n");
    let worker = shop.start();
    let printed = shop.run(&["dead-letters", "retry", &id]);
    assert_eq!((printed.code, printed.stdout.trim_end()), (Some(0), raw.as_str()));
    // Two are refused again, as letters of their own; and the first is in.
    let url = worker.url().to_owned();
    let retry = ["dead-letters", "retry", "--source", "web", "--send", "--to", &url];
    let done = shop.run(&retry);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("1 handed in again, 2 not"), "{}", done.stderr);
    assert_eq!(list(&shop, &[]).len(), 2);
    assert_eq!(list(&shop, &["--all"]).len(), 5);
    let wanted = "SELECT count(*) FROM trace WHERE kind = 'started'";
    shop.wait_for("the run to start", wanted, |started| started == 1);
    let again = shop.run(&["dead-letters", "retry", &id, "--send", "--to", &url]);
    assert_eq!(again.code, Some(3), "{}", again.stderr);
    assert!(again.stderr.contains("it was retried before (--again)"), "{}", again.stderr);
    worker.stops();
    let nowhere = shop.run(&[&retry[..], &["--again"]].concat());
    assert_eq!(nowhere.code, Some(3), "{}", nowhere.stderr);
    assert!(nowhere.stderr.contains("no worker answers"), "{}", nowhere.stderr);
    shop.verified();
}

#[test]
fn old_letters_go_while_the_worker_runs() {
    let shop = Shop::new(1, &[CART]);
    shop.configure(1, "keep: { dead_letters: 1 day }\n");
    let worker = shop.start();
    for body in ["{ \"broken", "17"] {
        assert_eq!(worker.post("/events", body.as_bytes()).0, 400);
    }
    worker.stops();
    let older = "UPDATE dead_letters SET at = at - 2 * 86400000 WHERE id = 1";
    shop.change("data/log.db", older);
    assert_eq!(list(&shop, &[]).len(), 2);
    let worker = shop.start();
    wait("the old one to go", || list(&shop, &[]).len() == 1);
    worker.stops();
    assert_eq!(list(&shop, &[])[0]["id"], 2);
}
