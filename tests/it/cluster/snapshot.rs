//! A snapshot of Postgres, and a verify from it over a log topic whose head is gone.

use super::site::Site;
use crate::support::kafka;
use crate::worker::CART;
use crate::worker::events::{cart_add, consent, order};
use crate::worker::shop::in_runtime;

#[test]
fn a_verify_begins_at_a_snapshot_when_the_topic_has_lost_its_head() {
    let site = Site::new(2, &[CART], "");
    let worker = site.worker();
    let names: Vec<String> = (0..6).map(|n| format!("70{n:02}")).collect();
    let people: Vec<Vec<(&str, String)>> = names
        .iter()
        .map(|id| vec![("id", id.clone()), ("email", format!("{id}@shop.example"))])
        .collect();
    let mut web = Vec::new();
    for (n, person) in people.iter().enumerate() {
        let person: Vec<(&str, &str)> =
            person.iter().map(|(name, value)| (*name, value.as_str())).collect();
        web.push(("k", consent(&format!("a{n}"), &person)));
        web.push(("k", cart_add(&format!("b{n}"), &person, &format!("c{n}"))));
    }
    site.sends(&site.web, &web);
    let messages = "SELECT count(*) FROM messages";
    site.wait_for("the first messages", messages, |messages| messages >= 6);
    // Where the lanes stand is as the snapshot has it.
    worker.stops();
    let taken = site.done(&["snapshot", "snapshots"]).stderr;
    assert!(taken.contains("2 lanes and 6 states in snapshots/"), "{taken}");
    let lows: Vec<i64> = (0..2)
        .map(|partition| {
            site.count(&format!("SELECT low_offset FROM lanes WHERE partition = {partition}"))
        })
        .collect();
    let worker = site.worker();
    site.sends(&site.office, &[("k", order("d", &[("id", "7001")], "o1"))]);
    site.wait_for("the second messages", messages, |messages| messages >= 11);
    worker.stops();
    let whole = site.verified();
    let report = site.verified_from("snapshots");
    assert_eq!(report["states"], whole["states"], "{report}");
    assert!(report["records"].as_u64() < whole["records"].as_u64(), "{report}");

    assert!(lows.iter().all(|low| *low > 0), "{lows:?}");
    in_runtime(kafka().delete_before(&site.log_topic(), &lows));
    let done = site.run(&["verify"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("the log has lost its head"), "{done:?}");
    assert_eq!(site.verified_from("snapshots"), report);
    // A snapshot of a store that has not moved since leaves nothing to replay.
    site.done(&["snapshot", "later"]);
    let later = site.verified_from("later");
    assert_eq!((&later["messages"], &later["states"]), (&0.into(), &whole["states"]), "{later}");
}
