//! Workers come, go, are killed and stand still; broker, database and mail server are away, slow or
//! unwilling; a release comes: nothing is lost, nothing is decided or sent twice, and no reminder
//! follows a purchase.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use waypost::model::Timestamp;

use super::site::Site;
use crate::mail_server::Does::{Says, Waits};
use crate::mail_server::{DOT, MailServer, Script, TAKES};
use crate::support::{Kafka, Postgres, Relay};
use crate::worker::events::{cart_add, consent, order};
use crate::worker::shop::{Worker, now, wait_at_most};

/// What befalls a storm, one after another, each while the mails of a round go out or are about to.
const STRIKES: &[fn(&mut Storm)] = &[
    Storm::kills_while_events_come,
    |storm| storm.kills_while(&[("RCPT", Waits)]),
    |storm| storm.kills_while(&[(DOT, Waits)]),
    Storm::kills_before_the_first_byte,
    Storm::slows_the_database,
    Storm::stops_a_worker_for_long,
    Storm::kills_the_database,
    Storm::lets_the_stopped_go_on,
    Storm::refuses_mails,
    Storm::applies_a_release,
    Storm::kills_the_broker,
    Storm::exchanges_a_worker,
];

/// How many workers run, and how many mails each hands over at a time (`deliver.at_once`).
const WORKERS: usize = 3;
const AT_ONCE: usize = 8;

const LANES: u32 = 12;

/// A message of a killed worker waits two minutes, one that was refused for now as long.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is still on its way.
const UNDER_WAY: &str = "SELECT count(*) FROM deliveries
    WHERE status IN ('waiting', 'claimed', 'started', 'dot_sent')";

/// As that, without what may have gone with a killed worker: it stays so for 15 minutes.
const WORKED_ON: &str = "SELECT count(*) FROM deliveries
    WHERE status IN ('waiting', 'claimed', 'started')
        OR (status = 'dot_sent' AND changed > extract(epoch FROM now()) * 1000 - 10000)";

/// Those 15 minutes, for which no test waits, are over.
const LEASES_END: &str = "WITH ended AS (
        UPDATE deliveries SET lease_until = 0 WHERE status = 'dot_sent' RETURNING message)
    SELECT count(*) FROM ended";

/// Of whose end the log has not told.
const UNTOLD: &str = "SELECT count(*) FROM messages WHERE status = 'decided' AND outcome IS NULL";

/// To whom a mail was put together, how it ended, and when it was due.
const ENDS: &str = "SELECT address || ' ' || deliveries.status, at
    FROM deliveries JOIN messages USING (message) WHERE address IS NOT NULL";

/// Reminds of a cart after it was quiet for some seconds.
fn journey(release: usize) -> String {
    let template = ["first", "second"][release % 2];
    format!(
        "format: 1
journey: abandoned-cart
one_run_per: cart
starts_when: {{ event: cart.changed }}
stops_when: [ {{ event: order.placed }} ]
again: always
steps:
  - wait_quiet: 6s
  - email: abandoned-cart/{template}
"
    )
}

struct Storm {
    site: Site,
    kafka: Kafka,
    postgres: Postgres,
    /// Between the workers and the database.
    relay: Relay,
    mails: MailServer,
    workers: Vec<Worker>,
    releases: usize,
    customers: usize,
}

impl Storm {
    fn new() -> Self {
        let (kafka, postgres) = (Kafka::own(&[]), Postgres::own(&[]));
        let (relay, mails) = (Relay::to(postgres.address()), MailServer::start(TAKES));
        let more = format!(
            "shops: {{ default: {{ name: Fernhill, sender: shop@fernhill.example, \
               postal_address: 1 Dam, public_url: \"https://mail.fernhill.example\" }} }}
deliver: {{ email: smtp, only_to: [ \"@shop.example\" ], at_once: {AT_ONCE} }}
smtp: {{ host: 127.0.0.1, port: {}, tls: none }}
",
            mails.port()
        );
        let site = Site::on(&kafka, &postgres, LANES, &[("abandoned-cart", &journey(0))], &more);
        let configuration = site.read("waypost.yaml");
        let relayed = configuration.replace(postgres.address(), &relay.address());
        site.write("waypost.yaml", &relayed);
        let workers = (0..WORKERS).map(|_| site.worker()).collect();
        Self { site, kafka, postgres, relay, mails, workers, releases: 1, customers: 0 }
    }

    /// Customers who say yes and fill a cart, every third one of whom buys at once. Returns when
    /// the broker took the order of each who bought, by address.
    fn round(&mut self, number: usize, customers: usize) -> BTreeMap<String, Timestamp> {
        self.customers += customers;
        let names: Vec<(String, String)> =
            (0..customers).map(|n| (format!("d-{number}-{n}"), email(number, n))).collect();
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
        self.site.sends(&self.site.web, &web);
        for (n, (_, email)) in names.iter().enumerate().step_by(3) {
            let by = [("email", email.as_str())];
            let number = format!("order-{number}-{n}");
            office.push((email.as_str(), order(&number, &by, &number)));
        }
        let taken = self.site.sends(&self.site.office, &office);
        office.iter().map(|(email, _)| (*email).to_owned()).zip(taken).collect()
    }

    fn kills_while_events_come(&mut self) {
        self.workers.remove(0).kill();
        self.workers.push(self.site.worker());
    }

    /// `kill -9` while every worker hands over all that it can, and the server is silent there.
    fn kills_while(&mut self, silent: Script) {
        self.mails.becomes(silent);
        let all = WORKERS * AT_ONCE;
        wait_at_most(PATIENCE, "mails at the server", || self.mails.waiting() == all);
        self.workers.remove(0).kill();
        self.mails.becomes(TAKES);
        self.workers.push(self.site.worker());
    }

    /// `kill -9` while every worker has claimed all that it can and can start none of it.
    fn kills_before_the_first_byte(&mut self) {
        let customers = self.customers as i64;
        let inside = "SELECT count(*) FROM trace WHERE kind = 'started'";
        self.waits_for("all to be inside", inside, |runs| runs >= customers);
        let claimed = "SELECT count(*) FROM deliveries WHERE status = 'claimed'";
        let all = (WORKERS * AT_ONCE) as i64;
        let Self { site, workers, .. } = self;
        site.with_locked("suppressions", || {
            wait_at_most(PATIENCE, "mails to be claimed", || site.count(claimed) == all);
            workers.remove(0).kill();
        });
        self.workers.push(self.site.worker());
    }

    fn slows_the_database(&mut self) {
        self.relay.delays(Duration::from_millis(25));
        self.waits_for_time_to_pass(now());
        self.relay.delays(Duration::ZERO);
    }

    fn stops_a_worker_for_long(&mut self) {
        signal(&self.workers[0], "-STOP");
    }

    fn lets_the_stopped_go_on(&mut self) {
        // Its lanes and inputs are others' by now.
        self.waits_for_time_to_pass(now());
        signal(&self.workers[0], "-CONT");
    }

    fn kills_the_database(&mut self) {
        self.postgres.kill();
        self.postgres.restart();
    }

    fn refuses_mails(&mut self) {
        let refused = "SELECT count(*) FROM deliveries
            WHERE status = 'waiting' AND detail LIKE 'RCPT: %not now'";
        self.mails.becomes(&[("RCPT", Says("451 4.3.0 not now"))]);
        self.waits_for("mails to be refused", refused, |refused| refused >= 20);
        self.mails.becomes(TAKES);
    }

    /// While customers are inside, who keep what they began with.
    fn applies_a_release(&mut self) {
        self.site.write("journeys/abandoned-cart.yaml", &journey(self.releases));
        self.site.apply();
        self.releases += 1;
    }

    fn kills_the_broker(&mut self) {
        self.kafka.kill();
        self.kafka.restart();
    }

    fn exchanges_a_worker(&mut self) {
        self.workers.push(self.site.worker());
        // Right after the broker came back, leaving may take longer than a stop may: it is cut off
        // then, and says so.
        let done = self.workers.remove(0).stop();
        assert!(matches!(done.code, Some(0 | 4)), "{}", done.stderr);
    }

    fn waits_for_time_to_pass(&self, moment: Timestamp) {
        let passed = format!("SELECT count(*) FROM lanes WHERE watermark >= {}", moment.ms());
        self.waits_for("time to go on", &passed, |lanes| lanes == i64::from(LANES));
    }

    fn waits_for(&self, what: &str, sql: &str, wanted: impl Fn(i64) -> bool) {
        wait_at_most(PATIENCE, what, || wanted(self.site.count(sql)));
    }

    /// Waits until a query gives nothing more; how long for each of those that it gives now does not
    /// depend on how many they are.
    fn waits_for_each(&self, what: &str, sql: &str) {
        let mut left = self.site.count(sql);
        while left > 0 {
            let what = format!("{what}: {left} are left");
            self.waits_for(&what, sql, |still| still < left);
            left = self.site.count(sql);
        }
    }

    /// Waits until everything has its end and the log knows it, and stops the workers.
    fn calms_down(&mut self) {
        // Past the last reminder.
        self.waits_for_time_to_pass(now().plus_ms(9_000));
        self.waits_for_each("all mails to be out", WORKED_ON);
        self.site.count(LEASES_END);
        self.waits_for_each("the rest to be in doubt", UNDER_WAY);
        self.waits_for_each("the log to know", UNTOLD);
        for worker in self.workers.drain(..) {
            worker.stops();
        }
    }
}

fn email(round: usize, customer: usize) -> String {
    format!("c-{round}-{customer}@shop.example")
}

/// Sends a signal to a worker.
fn signal(worker: &Worker, name: &str) {
    let sent = Command::new("kill").args([name, &worker.pid().to_string()]).status();
    assert!(sent.expect("kill is there").success());
}

/// Rounds and customers of each: for a number of events, if one is given.
fn size() -> (usize, usize) {
    #[expect(clippy::disallowed_methods, reason = "how a person asks for a longer storm")]
    let (full, events) = (std::env::var("TESTS_FULL"), std::env::var("TESTS_STORM_EVENTS"));
    match (events, full) {
        (Ok(events), _) => {
            let events: usize = events.parse().expect("TESTS_STORM_EVENTS is a number");
            // A customer has four events, and every third one a fifth.
            let customers = (events * 3 / 13 / STRIKES.len()).clamp(200, 4_000);
            ((events * 3 / 13).div_ceil(customers).max(STRIKES.len()), customers)
        }
        (_, Ok(full)) if full == "1" => (2 * STRIKES.len(), 600),
        _ => (STRIKES.len(), 200),
    }
}

#[test]
fn nothing_that_happens_to_workers_or_servers_changes_what_is_decided() {
    let (rounds, customers) = size();
    let mut storm = Storm::new();
    let mut bought = BTreeMap::new();
    for number in 0..rounds {
        bought.extend(storm.round(number, customers));
        STRIKES[number % STRIKES.len()](&mut storm);
    }
    storm.calms_down();
    let Storm { site, mails, .. } = storm;
    let report = site.verified();
    assert_eq!(report["other_builds"], serde_json::json!([]));
    let templates = site.count("SELECT count(DISTINCT template) FROM messages");
    assert_eq!(templates, 2, "both releases decided");

    let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
    for mail in mails.mails() {
        let to = mail.lines().find_map(|line| line.strip_prefix("To: ")).expect("an address");
        *arrived.entry(to.to_owned()).or_default() += 1;
    }
    let mut reminded: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut in_doubt = 0;
    for (end, due) in site.pairs(ENDS) {
        let (email, status) = end.split_once(' ').expect("two words");
        let arrived = arrived.remove(email).unwrap_or(0);
        match status {
            "sent" => assert_eq!(arrived, 1, "{email} got it once"),
            "in_doubt" => {
                assert!(arrived <= 1, "{email} got it once, or not at all");
                in_doubt += 1;
            }
            "cancelled" if bought.contains_key(email) => {
                assert_eq!(arrived, 0, "{email} had bought");
                continue;
            }
            _ => panic!("{email}: {status}"),
        }
        let twice = reminded.insert(email.to_owned(), Timestamp::from_ms(due));
        assert_eq!(twice, None, "{email} was reminded twice");
    }
    assert_eq!(arrived, BTreeMap::new(), "nobody else got a mail");
    assert!(in_doubt >= AT_ONCE, "what a killed worker had sent is in doubt, not {in_doubt}");
    for number in 0..rounds {
        for n in 0..customers {
            let email = email(number, n);
            match (bought.get(&email), reminded.get(&email)) {
                (None, reminded) => assert!(reminded.is_some(), "{email} was not reminded"),
                // The broker had the order only after the reminder was due.
                (Some(taken), Some(due)) => assert!(taken > due, "{email} had bought"),
                (Some(_), None) => {}
            }
        }
    }
}
