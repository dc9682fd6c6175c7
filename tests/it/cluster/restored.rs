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

#[test]
fn a_database_of_yesterday_forgets_nothing_that_the_log_knows() {
    let server = MailServer::start(TAKES);
    let (site, pages) = shop(&[CART, LATE], &server);
    let worker = site.worker();
    let by = |name: &'static str| -> [(&'static str, &'static str); 1] {
        [(
            "email",
            match name {
                "ann" => "ann@shop.example",
                "bob" => "bob@shop.example",
                "carol" => "carol@shop.example",
                "dave" => "dave@shop.example",
                "frank" => "frank@shop.example",
                _ => "gina@shop.example",
            },
        )]
    };
    let on = |name: &'static str| -> [(&'static str, &'static str); 1] {
        [("device", if name == "bob" { "d-bob" } else { "d-carol" })]
    };
    let both = |name: &'static str| [on(name)[0], by(name)[0]];

    // Bob and his device are two customers, Carol is unknown.
    for name in ["ann", "bob", "dave", "frank", "gina"] {
        site.sends(&site.office, &[(name, consent(&format!("y-{name}"), &by(name)))]);
    }
    site.sends(&site.office, &[("frank", order("o-frank", &by("frank"), "frank-1"))]);
    site.sends(
        &site.web,
        &[
            ("ann", cart_add("c-ann", &by("ann"), "ann-1")),
            ("dave", cart_add("c-dave", &by("dave"), "dave-1")),
            ("gina", cart_add("c-gina", &by("gina"), "gina-1")),
            ("bob", plain("v-bob", "page.viewed", &on("bob"))),
        ],
    );
    for name in ["ann", "dave", "gina"] {
        wait("the first mails", || got(&server, name) >= 1);
    }
    let bob = "SELECT count(*) FROM graph";
    let known = site.count(bob);
    let dump = site.dumps();

    // What the dump does not know of.
    site.sends(
        &site.web,
        &[
            ("bob", plain("s-bob", "customer.signed_in", &both("bob"))),
            ("bob", cart_add("c-bob", &on("bob"), "bob-1")),
            ("carol", plain("s-carol", "customer.signed_in", &both("carol"))),
            ("carol", consent("y-carol", &by("carol"))),
            ("carol", cart_add("c-carol", &on("carol"), "carol-1")),
        ],
    );
    let path = unsubscribe_path(&server, "dave");
    let answer = post(&pages, &path, b"List-Unsubscribe=One-Click", None);
    assert_eq!(answer, Some((200, "unsubscribed\n".to_owned())));
    site.sends(&site.office, &[("gina", plain("e-gina", "customer.deleted", &by("gina")))]);
    for name in ["ann", "bob", "carol"] {
        wait("the second mails", || got(&server, name) == 2);
    }
    let erased = "SELECT count(*) FROM messages WHERE name = ''";
    site.wait_for("Gina to be forgotten", erased, |messages| messages > 0);
    let ended = "SELECT count(*) FROM messages WHERE outcome = 'email.sent'";
    site.wait_for("the log to know of them", ended, |messages| messages >= 7);
    assert!(site.count(bob) > known);
    worker.stops();
    let before = received(&server);

    site.restores(&dump);
    assert_eq!(site.count(bob), known);
    let done = site.run(&["run"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("run `waypost recover`"), "{}", done.stderr);
    let done = site.run(&["doctor"]);
    assert!(done.stdout.contains("the database is behind the topics"), "{}", done.stdout);
    let done = site.run(&["recover"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(site.count(bob), known, "it only looks");
    let done = site.done(&["recover", "--yes", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&done.stdout).expect("json");
    assert_eq!((&found["restored"], &found["erased"]), (&true.into(), &1.into()), "{found}");
    assert!(found["events"].as_u64() >= Some(5), "{found}");
    assert!(site.count(bob) > known);
    let done = site.done(&["recover"]);
    assert!(done.stderr.contains("there is nothing to put in order"), "{}", done.stderr);

    let worker = site.worker();
    site.wait_for("the lanes to come to the present", HELD, |held| held == 0);
    site.sends(
        &site.web,
        &[
            // The device is Bob's, who signed in after the dump.
            ("bob", cart_add("c2-bob", &on("bob"), "bob-2")),
            ("dave", cart_add("c2-dave", &by("dave"), "dave-2")),
            ("carol", cart_add("c2-carol", &on("carol"), "carol-2")),
        ],
    );
    // Carol buys, under the address that her device was linked with.
    site.sends(&site.office, &[("carol", order("o-carol", &by("carol"), "carol-1"))]);
    wait("Bob's mails", || got(&server, "bob") == 4);
    wait("the thanks to Frank", || got(&server, "frank") == 1);
    let open = "SELECT count(*) FROM deliveries
        WHERE status IN ('waiting', 'claimed', 'started', 'dot_sent')";
    wait("the thanks to Carol", || got(&server, "carol") == 3);
    site.wait_for("all mails to be out", open, |messages| messages == 0);
    worker.stops();

    let mut expected = before;
    for (name, more) in [("bob", 4), ("carol", 3), ("frank", 1)] {
        expected.insert(name.to_owned(), more);
    }
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
    let ann = [("email", "ann@shop.example")];
    site.sends(&site.web, &[("a", consent("1", &ann))]);
    let states = "SELECT count(*) FROM states";
    site.wait_for("Ann", states, |states| states == 1);
    let dump = site.dumps();
    site.write(&format!("journeys/{}.yaml", THANKS.0), THANKS.1);
    site.apply();
    let written = "SELECT count(*) FROM activations WHERE written";
    site.wait_for("the release to be in the log", written, |releases| releases == 2);
    site.sends(&site.office, &[("a", order("2", &ann, "o1"))]);
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
    site.sends(&site.office, &[("a", order("3", &ann, "o2"))]);
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
    let ann = [("email", "ann@shop.example")];
    let web = [("a", consent("1", &ann)), ("a", cart_add("2", &ann, "c1"))];
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
    site.sends(&site.web, &[("a", cart_add("3", &ann, "c2"))]);
    wait("the mails of the other cart", || got(&server, "ann") == 4);
    let sent = "SELECT count(*) FROM deliveries WHERE status = 'sent'";
    site.wait_for("their outcomes", sent, |sent| sent == 4);
    worker.stops();
}
