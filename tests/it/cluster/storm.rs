//! Workers come, go, are killed and stand still; the broker and the database are restarted: nothing
//! is lost, nothing is decided twice, and no reminder follows a purchase.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use waypost::model::Timestamp;

use super::site::Site;
use crate::support::{Kafka, Postgres};
use crate::worker::events::{cart_add, consent, order};
use crate::worker::shop::{Worker, now};

/// Reminds of a cart after it was quiet for some seconds.
const REMINDER: (&str, &str) = (
    "abandoned-cart",
    "format: 1
journey: abandoned-cart
one_run_per: cart
starts_when: { event: cart.changed }
stops_when: [ { event: order.placed } ]
again: always
steps:
  - wait_quiet: 6s
  - email: abandoned-cart/first
",
);

/// What is still on its way.
const UNDER_WAY: &str = "SELECT count(*) FROM deliveries
    WHERE status IN ('waiting', 'claimed', 'started', 'dot_sent')";

/// To whom a reminder went, and when it was due.
const REMINDED: &str = "SELECT address, at FROM deliveries JOIN messages USING (message)
    WHERE address IS NOT NULL";

/// Sends a signal to a worker.
fn signal(worker: &Worker, name: &str) {
    let sent = Command::new("kill").args([name, &worker.pid().to_string()]).status();
    assert!(sent.expect("kill is there").success());
}

/// One round of customers: all say yes and fill a cart, every third one buys at once. Returns when
/// the broker took the order of each who bought, by address.
fn round(site: &Site, number: usize, customers: usize) -> BTreeMap<String, Timestamp> {
    let names: Vec<(String, String)> = (0..customers)
        .map(|n| (format!("d-{number}-{n}"), format!("c-{number}-{n}@shop.example")))
        .collect();
    let (mut web, mut office) = (Vec::new(), Vec::new());
    for (n, (device, email)) in names.iter().enumerate() {
        let id = format!("{number}-{n}");
        let both = [("device", device.as_str()), ("email", email.as_str())];
        let on = [("device", device.as_str())];
        web.push((device.as_str(), consent(&format!("y{id}"), &both)));
        for part in 0..3 {
            let event = cart_add(&format!("a{id}-{part}"), &on, &format!("cart-{id}"));
            web.push((device.as_str(), event));
        }
    }
    site.sends(&site.web, &web);
    for (n, (_, email)) in names.iter().enumerate().step_by(3) {
        let by = [("email", email.as_str())];
        let number = format!("order-{number}-{n}");
        office.push((email.as_str(), order(&number, &by, &number)));
    }
    let taken = site.sends(&site.office, &office);
    office.iter().map(|(email, _)| (*email).to_owned()).zip(taken).collect()
}

#[test]
fn nothing_that_happens_to_workers_or_servers_changes_what_is_decided() {
    let full = std::env::var_os("TESTS_FULL").is_some();
    // Each thing happens once. The kill comes before the first mail is due: what a killed worker had
    // claimed is another's only after a lease of 15 minutes, for which no test waits.
    let (rounds, customers) = if full { (6, 800) } else { (6, 200) };
    let mut kafka = Kafka::own(&[]);
    let mut postgres = Postgres::own(&[]);
    let site = Site::on(&kafka, &postgres, 12, &[REMINDER], "");
    let mut workers: Vec<Option<Worker>> = (0..3).map(|_| Some(site.worker())).collect();
    let mut bought = BTreeMap::new();
    for number in 0..rounds {
        bought.extend(round(&site, number, customers));
        match number % 6 {
            0 => {
                workers[0].take().expect("it runs").kill();
                workers[0] = Some(site.worker());
            }
            1 => signal(workers[1].as_ref().expect("it runs"), "-STOP"),
            2 => {
                postgres.kill();
                postgres.restart();
            }
            3 => {
                // Its lanes and inputs are others' by now.
                std::thread::sleep(Duration::from_secs(7));
                signal(workers[1].as_ref().expect("it runs"), "-CONT");
            }
            4 => {
                kafka.kill();
                kafka.restart();
            }
            _ => {
                workers.push(Some(site.worker()));
                // Right after the broker came back, leaving may take longer than a stop may: it is
                // cut off then, and says so.
                let done = workers[2].take().expect("it runs").stop();
                assert!(matches!(done.code, Some(0 | 4)), "{}", done.stderr);
                workers[2] = Some(site.worker());
            }
        }
    }
    let end = now();
    // Time went on past the last reminder, and all of them are out.
    let behind = format!(
        "SELECT count(*) FROM lanes WHERE watermark IS NULL OR watermark < {}",
        end.plus_ms(9_000).ms()
    );
    site.wait_for("time to go on", &behind, |lanes| lanes == 0);
    site.wait_for("all mails to be out", UNDER_WAY, |messages| messages == 0);
    for worker in workers.into_iter().flatten() {
        worker.stops();
    }
    let report = site.verified();
    assert_eq!(report["other_builds"], serde_json::json!([]));

    let decided: BTreeMap<String, i64> = site.pairs(REMINDED).into_iter().collect();
    let total = site.count("SELECT count(*) FROM messages WHERE status = 'decided'");
    assert_eq!(decided.len() as i64, total, "one reminder a person");
    for number in 0..rounds {
        for n in 0..customers {
            let email = format!("c-{number}-{n}@shop.example");
            match (bought.get(&email), decided.get(&email)) {
                (None, reminded) => assert!(reminded.is_some(), "{email} was not reminded"),
                // The broker had the order only after the reminder was due.
                (Some(taken), Some(due)) => assert!(taken.ms() > *due, "{email} had bought"),
                (Some(_), None) => {}
            }
        }
    }
    let sent = site.count("SELECT count(*) FROM deliveries WHERE status = 'sent'");
    assert_eq!(sent, total, "all of them are sent");
}
