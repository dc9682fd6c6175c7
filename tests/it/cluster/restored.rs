//! Postgres is restored to an older point, or the topics are lost: nobody is written to twice, what
//! people said stays said, and whoever was known to be one person stays one.

use std::collections::BTreeMap;

use super::site::Site;
use crate::mail_server::{MailServer, TAKES};
use crate::support::free_port;
use crate::worker::events::{cart_add, consent, order, plain};
use crate::worker::shop::{post, wait};
use crate::worker::{CART, THANKS};

/// Thanks for an order so late that the database was restored meanwhile.
const LATE: (&str, &str) = (
    "late",
    "format: 1
journey: late
one_run_per: order
starts_when: { event: order.placed }
again: always
steps:
  - wait: 40s
  - email: thanks/first
",
);

const ANN: (&str, &str) = ("email", "ann@shop.example");
const BOB: (&str, &str) = ("email", "bob@shop.example");
const BOBS: (&str, &str) = ("device", "d-bob");
const CAROL: (&str, &str) = ("email", "carol@shop.example");
const CAROLS: (&str, &str) = ("device", "d-carol");
const DAVE: (&str, &str) = ("email", "dave@shop.example");
const FRANK: (&str, &str) = ("email", "frank@shop.example");
const GINA: (&str, &str) = ("email", "gina@shop.example");

/// Lanes that nothing leaves yet.
const HELD: &str = "SELECT count(*) FROM lanes WHERE restored_until IS NOT NULL";

/// A shop whose mails a server takes, at a port for the pages of customers.
fn shop(journeys: &[(&str, &str)], server: &MailServer) -> (Site, String) {
    let pages = free_port();
    let site = Site::without_release(
        4,
        journeys,
        &format!(
            "shops: {{ default: {{ name: Fernhill, sender: shop@fernhill.example, \
             postal_address: 1 Dam, public_url: \"https://mail.fernhill.example\" }} }}\n\
             deliver: {{ email: smtp, only_to: [ \"@shop.example\" ] }}\n\
             smtp: {{ host: 127.0.0.1, port: {}, tls: none }}\n",
            server.port()
        ),
    );
    let written = site.read("waypost.yaml");
    let written = written.replace("public: 127.0.0.1:0", &format!("public: 127.0.0.1:{pages}"));
    site.write("waypost.yaml", &written);
    site.apply();
    (site, format!("http://127.0.0.1:{pages}"))
}

/// How many mails went to each, by the name before the `@`.
fn received(server: &MailServer) -> BTreeMap<String, usize> {
    let mut received = BTreeMap::new();
    for said in server.heard("RCPT") {
        let name = said.split_once('<').and_then(|(_, to)| to.split_once('@'));
        *received.entry(name.expect("an address").0.to_owned()).or_insert(0) += 1;
    }
    received
}

fn got(server: &MailServer, name: &str) -> usize {
    received(server).get(name).copied().unwrap_or(0)
}

/// Where the link leads that unsubscribes whoever got this mail.
fn unsubscribe_path(server: &MailServer, name: &str) -> String {
    let to = format!("{name}@shop.example");
    let mail = server.mails().into_iter().find(|mail| mail.contains(&to)).expect("a mail");
    let (_, link) =
        mail.split_once("List-Unsubscribe: <https://mail.fernhill.example").expect("it");
    let (link, _) = link.split_once('>').expect("its end");
    link.split_whitespace().collect()
}

/// What is in the dump. Bob and his device are two customers there, Carol is nobody.
fn before_the_dump(site: &Site, server: &MailServer) {
    let people = [ANN, BOB, DAVE, FRANK, GINA].into_iter().enumerate();
    let consents: Vec<(&str, String)> =
        people.map(|(n, person)| ("k", consent(&format!("y{n}"), &[person]))).collect();
    site.sends(&site.office, &consents);
    site.sends(&site.office, &[("k", order("o-frank", &[FRANK], "frank-1"))]);
    let web = [
        ("ann", cart_add("c-ann", &[ANN], "ann-1")),
        ("dave", cart_add("c-dave", &[DAVE], "dave-1")),
        ("gina", cart_add("c-gina", &[GINA], "gina-1")),
        ("bob", plain("v-bob", "page.viewed", &[BOBS])),
    ];
    site.sends(&site.web, &web);
    for name in ["ann", "dave", "gina"] {
        wait("the first mails", || got(server, name) >= 1);
    }
}

/// What is in the log only: a merge, a new customer, an unsubscribe, an erasure, mails.
fn after_the_dump(site: &Site, server: &MailServer, pages: &str) {
    let web = [
        ("bob", plain("s-bob", "customer.signed_in", &[BOBS, BOB])),
        ("bob", cart_add("c-bob", &[BOBS], "bob-1")),
        ("carol", plain("s-carol", "customer.signed_in", &[CAROLS, CAROL])),
        ("carol", consent("y-carol", &[CAROL])),
        ("carol", cart_add("c-carol", &[CAROLS], "carol-1")),
    ];
    site.sends(&site.web, &web);
    let path = unsubscribe_path(server, "dave");
    let answer = post(pages, &path, b"List-Unsubscribe=One-Click", None);
    assert_eq!(answer, Some((200, "unsubscribed\n".to_owned())));
    site.sends(&site.office, &[("gina", plain("e-gina", "customer.deleted", &[GINA]))]);
    for name in ["ann", "bob", "carol"] {
        wait("the second mails", || got(server, name) == 2);
    }
    let erased = "SELECT count(*) FROM messages WHERE name = ''";
    site.wait_for("Gina to be forgotten", erased, |messages| messages > 0);
    let ended = "SELECT count(*) FROM messages WHERE outcome = 'email.sent'";
    site.wait_for("the log to know of them", ended, |messages| messages >= 7);
}

#[test]
fn a_database_of_yesterday_forgets_nothing_that_the_log_knows() {
    let server = MailServer::start(TAKES);
    let (site, pages) = shop(&[CART, LATE], &server);
    let worker = site.worker();
    before_the_dump(&site, &server);
    let identities = "SELECT count(*) FROM graph";
    let known = site.count(identities);
    let dump = site.dumps();
    after_the_dump(&site, &server, &pages);
    assert!(site.count(identities) > known);
    worker.stops();
    let before = received(&server);

    site.restores(&dump);
    let done = site.run(&["run"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("run `waypost recover`"), "{}", done.stderr);
    let done = site.run(&["doctor"]);
    assert!(done.stdout.contains("the database is behind the topics"), "{}", done.stdout);
    let done = site.run(&["recover"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(site.count(identities), known, "it only looks");
    let done = site.done(&["recover", "--yes", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&done.stdout).expect("json");
    assert_eq!((&found["restored"], &found["erased"]), (&true.into(), &1.into()), "{found}");
    assert!(found["events"].as_u64() >= Some(5), "{found}");
    assert!(site.count(identities) > known);
    let done = site.done(&["recover"]);
    assert!(done.stderr.contains("there is nothing to put in order"), "{}", done.stderr);

    let worker = site.worker();
    site.wait_for("the lanes to come to the present", HELD, |held| held == 0);
    let web = [
        // The device is Bob's, who signed in after the dump.
        ("bob", cart_add("c2-bob", &[BOBS], "bob-2")),
        ("dave", cart_add("c2-dave", &[DAVE], "dave-2")),
        ("carol", cart_add("c2-carol", &[CAROLS], "carol-2")),
    ];
    site.sends(&site.web, &web);
    // Carol buys, under the address that her device was linked with: she is thanked, no more.
    site.sends(&site.office, &[("carol", order("o-carol", &[CAROL], "carol-1"))]);
    for (name, mails) in [("bob", 4), ("frank", 1), ("carol", 3)] {
        wait("the mails of later", || got(&server, name) == mails);
    }
    let open = "SELECT count(*) FROM deliveries
        WHERE status IN ('waiting', 'claimed', 'started', 'dot_sent')";
    site.wait_for("all mails to be out", open, |messages| messages == 0);
    worker.stops();

    let later = [("bob", 4), ("carol", 3), ("frank", 1)].map(|(name, all)| (name.to_owned(), all));
    let mut expected = before;
    expected.extend(later);
    assert_eq!(received(&server), expected);
    let in_doubt = "SELECT count(*) FROM deliveries WHERE status = 'in_doubt'";
    assert_eq!(site.count(in_doubt), 0);
    assert_eq!(site.count("SELECT count(*) FROM messages WHERE name LIKE 'gina%'"), 0);
    site.verified();
}

#[test]
fn a_release_of_the_lost_time_is_named_and_applied_again() {
    let server = MailServer::start(TAKES);
    let (site, _) = shop(&[CART], &server);
    let worker = site.worker();
    site.sends(&site.web, &[("a", consent("1", &[ANN]))]);
    let states = "SELECT count(*) FROM states";
    site.wait_for("Ann", states, |states| states == 1);
    let dump = site.dumps();
    site.write(&format!("journeys/{}.yaml", THANKS.0), THANKS.1);
    site.apply();
    let written = "SELECT count(*) FROM activations WHERE written";
    site.wait_for("the release to be in the log", written, |releases| releases == 2);
    wait("its templates", || worker.said().contains("other templates are in force"));
    site.sends(&site.office, &[("a", order("2", &[ANN], "o1"))]);
    wait("the thanks", || got(&server, "ann") == 1);
    let known = "SELECT count(*) FROM messages WHERE outcome = 'email.sent'";
    site.wait_for("the log to know of it", known, |messages| messages == 1);
    worker.stops();

    site.restores(&dump);
    let told = site.done(&["recover", "--yes"]).stdout;
    assert!(told.contains("run `waypost apply` from the same files"), "{told}");
    let done = site.run(&["run"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("whose files are missing"), "{}", done.stderr);
    site.apply();
    let worker = site.worker();
    site.wait_for("the lane to come to the present", HELD, |held| held == 0);
    site.sends(&site.office, &[("a", order("3", &[ANN], "o2"))]);
    wait("the other thanks", || got(&server, "ann") == 2);
    worker.stops();
    assert_eq!(site.count("SELECT count(*) FROM activations"), 2);
    site.verified();
}

#[test]
fn topics_that_were_made_anew_are_read_from_their_beginning() {
    let server = MailServer::start(TAKES);
    let (site, _) = shop(&[CART], &server);
    let worker = site.worker();
    let web = [("a", consent("1", &[ANN])), ("a", cart_add("2", &[ANN], "c1"))];
    site.sends(&site.web, &web);
    wait("the mails", || got(&server, "ann") == 2);
    let known = "SELECT count(*) FROM messages WHERE outcome = 'email.sent'";
    site.wait_for("the log to know of them", known, |messages| messages == 2);
    worker.stops();

    site.loses_its_topics();
    let done = site.run(&["run"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("the database is ahead of the topics"), "{}", done.stderr);
    site.done(&["recover", "--yes"]);
    let worker = site.worker();
    // Known to the shop and sent again, and something new.
    site.sends(&site.web, &web);
    site.sends(&site.web, &[("a", cart_add("3", &[ANN], "c2"))]);
    wait("the mails of the other cart", || got(&server, "ann") == 4);
    let sent = "SELECT count(*) FROM deliveries WHERE status = 'sent'";
    site.wait_for("their outcomes", sent, |sent| sent == 4);
    worker.stops();
}
