//! Messages leave the real worker: caught, by SMTP, held, cancelled, in doubt; and who unsubscribes.

use mail_parser::MessageParser;

use super::events::{cart_add, consent, order};
use super::shop::{Shop, get, post, wait};
use super::{CART, THANKS};
use crate::mail::postfix::Postfix;
use crate::mail_server::{DOT, Does, GREETING, MailServer, TAKES};
use crate::support::{full, root};

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];
const BOB: &[(&str, &str)] = &[("id", "7002"), ("email", "bob@shop.example")];

/// What a mail needs of the shop.
pub(super) const COMPLETE: &str = "shops: { default: { name: Fernhill, sender: shop@fernhill.example, \
                        postal_address: 1 Dam, public_url: \"https://mail.fernhill.example\" } }\n";

/// How many messages are so far on their way out.
pub(super) fn so_far(shop: &Shop, status: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM deliveries WHERE status = '{status}'");
    shop.count("data/state.db", &sql)
}

pub(super) fn wait_until(shop: &Shop, status: &str, count: i64) {
    let sql = format!("SELECT count(*) FROM deliveries WHERE status = '{status}'");
    shop.wait_for(status, &sql, |found| found >= count);
}

/// The caught mails: subject, recipient and text of each, in the order of their due times.
fn caught(shop: &Shop) -> Vec<(String, String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(shop.path("data/caught"))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == "eml"))
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| {
            let bytes = std::fs::read(file).expect("the mail");
            let mail = MessageParser::default().parse(&bytes).expect("a mail");
            let to = mail.to().and_then(|to| to.first()).and_then(|to| to.address());
            let subject = mail.subject().unwrap_or_default().to_owned();
            let text = mail.body_text(0).expect("a text part").into_owned();
            (subject, to.expect("a recipient").to_owned(), text)
        })
        .collect()
}

/// The link that unsubscribes, in a mail's text: where it is served, and its path.
fn link(text: &str) -> (String, String) {
    let start = text.find("http://").expect("a link");
    let link: String =
        text[start..].chars().take_while(|c| !c.is_whitespace() && *c != '>').collect();
    let path = link.find("/u/").expect("a path");
    (link[..path].to_owned(), link[path..].to_owned())
}

#[test]
fn the_link_of_a_caught_mail_unsubscribes_at_once() {
    let shop = Shop::new(1, &[CART]);
    let worker = shop.start();
    worker.takes(&[consent("1", ANN), cart_add("2", ANN, "c1")].join("\n"));
    wait_until(&shop, "sent", 1);
    let mails = caught(&shop);
    assert_eq!((mails.len(), mails[0].1.as_str()), (1, "ann@shop.example"));
    let (base, path) = link(&mails[0].2);
    let suppressed = "SELECT count(*) FROM suppressions WHERE reason = 'unsubscribed'";

    // Looking changes nothing, and neither does a link that was not made here.
    let (status, page) = get(&base, &path).expect("a page");
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("<form method=\"post\">") && !page.contains("ann@"), "{page}");
    // One character of the signature is another.
    let (start, end) = path.split_at(path.len() - 5);
    let other = if end.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{start}{other}{}", &end[1..]);
    assert_eq!(get(&base, &forged).expect("a page").0, 404);
    assert_eq!(
        post(&base, &forged, b"List-Unsubscribe=One-Click", None).expect("an answer").0,
        404
    );
    assert_eq!(shop.count("data/state.db", suppressed), 0);

    for _ in 0..2 {
        let (status, answer) =
            post(&base, &path, b"List-Unsubscribe=One-Click", None).expect("an answer");
        assert_eq!((status, answer.as_str()), (200, "unsubscribed\n"));
        // Answered is kept.
        assert_eq!(shop.count("data/state.db", suppressed), 1);
    }
    let second = "SELECT count(*) FROM messages WHERE step = 'second'";
    shop.wait_for("the second mail", second, |count| count == 1);
    let withheld = "SELECT count(*) FROM messages WHERE step = 'second' AND reason = 'consent'";
    assert_eq!(shop.count("data/state.db", withheld), 1, "the log knows of it, too");
    worker.stops();
    assert_eq!(caught(&shop).len(), 1);
    shop.verified();

    // A later yes lifts it.
    let worker = shop.start();
    worker.takes(&[consent("3", ANN), cart_add("4", ANN, "c2")].join("\n"));
    wait_until(&shop, "sent", 2);
    assert_eq!(shop.count("data/state.db", suppressed), 0);
    worker.stops();
    shop.verified();
}

#[test]
fn what_is_held_waits_and_an_order_takes_it_back() {
    let shop = Shop::new(1, &[CART, THANKS]);
    let worker = shop.start();
    let done = shop.run(&["sending", "hold", "--journey", "abandoned-cart"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let misspelt = shop.run(&["sending", "hold", "--template", "abandoned-cart/frist"]).stderr;
    assert!(misspelt.contains("abandoned-cart/first"), "{misspelt}");
    worker.takes(&[consent("1", ANN), consent("2", BOB)].join("\n"));
    worker.takes(&[cart_add("3", ANN, "c1"), cart_add("4", BOB, "c2")].join("\n"));
    wait_until(&shop, "waiting", 2);
    // Another journey is not held; its order takes the reminder back.
    worker.takes(&order("5", ANN, "o1"));
    wait_until(&shop, "sent", 1);
    wait_until(&shop, "cancelled", 1);
    let mails = caught(&shop);
    assert_eq!((mails.len(), mails[0].1.as_str()), (1, "ann@shop.example"), "her thanks");

    // Bob's is cancelled by hand.
    let list = shop.run(&["messages", "list", "--status", "waiting", "--json"]);
    let line: serde_json::Value =
        serde_json::from_str(list.stdout.lines().next().expect("a message")).expect("JSON");
    assert_eq!(
        (line["customer"].as_str(), line["status"].as_str()),
        (Some("7002"), Some("waiting"))
    );
    let id = line["message"].as_str().expect("an id");
    assert_eq!(shop.run(&["messages", "cancel", id]).code, Some(0));
    assert_eq!(shop.run(&["messages", "cancel", id]).code, Some(3), "once");
    let shown = shop.run(&["messages", "show", id]).stdout;
    assert!(shown.contains("cancelled by hand"), "{shown}");
    let status = shop.run(&["sending", "status"]).stderr;
    assert!(status.contains("journey abandoned-cart") && status.contains("cancelled"), "{status}");
    let released = shop.run(&["sending", "release", "--journey", "abandoned-cart"]);
    assert!(released.stderr.contains("released: journey abandoned-cart"), "{}", released.stderr);
    let outcome = "SELECT count(*) FROM messages WHERE outcome = 'email.cancelled'";
    shop.wait_for("the log to tell of it", outcome, |count| count == 1);
    worker.stops();
    assert_eq!(caught(&shop).len(), 1);
    shop.verified();
}

/// The lines of the configuration that send mails to a server.
fn by(server: &MailServer) -> String {
    format!(
        "{COMPLETE}deliver: {{ email: smtp, only_to: [ ann@shop.example ] }}\n\
         smtp: {{ host: 127.0.0.1, port: {}, tls: none }}\n",
        server.port()
    )
}

#[test]
fn wrong_words_are_wrong_usage_and_the_right_ones_are_named() {
    let shop = Shop::new(1, &[CART]);
    let check = |args: &[&str], code: i32, words: &[&str]| {
        let done = shop.run(args);
        assert_eq!(done.code, Some(code), "{args:?}: {}", done.stderr);
        for word in words {
            assert!(done.stderr.contains(word), "{args:?}: no `{word}` in {}", done.stderr);
        }
    };
    check(&["messages", "list", "--status", "wrong"], 2, &["wrong", "waiting", "in_doubt"]);
    check(&["messages", "resolve", "m1"], 2, &["--sent", "--not-sent"]);
    check(&["messages", "resolve", "m1", "--sent", "--not-sent"], 2, &["--sent", "--not-sent"]);
    for action in ["hold", "release"] {
        check(&["sending", action, "--channel", "wrong"], 2, &["wrong", "email or sms"]);
    }
    let to = &["send-test", "abandoned-cart/first", "--to", "me@shop.example"];
    let locale = &[&to[..], &["--locale", "zz_!!"]].concat();
    check(locale, 2, &["zz_!!", "a language is written as in nl or nl-BE"]);
    std::fs::remove_dir_all(shop.path("templates")).expect("the folder");
    check(to, 3, &["there are no templates at templates", "`templates:` in waypost.yaml"]);
}

#[test]
fn mails_go_by_smtp_and_outside_production_only_to_those_named() {
    let server = MailServer::start(TAKES);
    let shop = Shop::new(1, &[CART]);
    shop.configure(1, &by(&server));
    let worker = shop.start();
    worker.takes(&[consent("1", ANN), consent("2", BOB)].join("\n"));
    worker.takes(&[cart_add("3", ANN, "c1"), cart_add("4", BOB, "c2")].join("\n"));
    wait_until(&shop, "sent", 1);
    wait_until(&shop, "cancelled", 1);
    let got = server.mails();
    assert_eq!(got.len(), 1);
    for line in [
        "To: ann@shop.example",
        "From: Fernhill <shop@fernhill.example>",
        "List-Unsubscribe: <https://mail.fernhill.example/u/",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    ] {
        assert!(got[0].contains(line), "no `{line}` in\n{}", got[0]);
    }
    let why = shop.run(&["why", "bob@shop.example"]).stdout;
    let reason = "email abandoned-cart/first was not sent: not production, and `deliver.only_to`";
    assert!(why.contains(reason), "{why}");
    let said = worker.stops();
    assert!(said.contains("not production: to 1 named addresses, nobody else"), "{said}");
    assert!(!said.contains("ann@") && !said.contains("bob@"), "{said}");
    shop.verified();
}

/// Through a mail server as shops run them, which hands the mail on.
#[test]
fn a_mail_goes_through_postfix() {
    let test = "a_mail_goes_through_postfix";
    if !full(test, "it needs Debian's postfix") || !root(test, "Postfix starts as root only") {
        return;
    }
    let inbox = MailServer::start(TAKES);
    let postfix = Postfix::start(&format!("smtp:[127.0.0.1]:{}", inbox.port()));
    let shop = Shop::new(1, &[CART]);
    shop.configure(
        1,
        &format!(
            "{COMPLETE}deliver: {{ email: smtp, only_to: [ ann@shop.example, gone@shop.example ] }}\n\
             smtp: {{ host: 127.0.0.1, port: {}, tls: none }}\n",
            postfix.port()
        ),
    );
    let gone = &[("id", "7003"), ("email", "gone@shop.example")];
    let worker = shop.start();
    worker.takes(&[consent("1", ANN), consent("2", gone)].join("\n"));
    worker.takes(&[cart_add("3", ANN, "c1"), cart_add("4", gone, "c2")].join("\n"));
    wait_until(&shop, "sent", 2);
    wait("both mails to arrive", || inbox.mails().len() == 2);
    for mail in inbox.mails() {
        for line in [
            "by localhost (Postfix)",
            "To: ann@shop.example",
            "Subject: Hello",
            "List-Unsubscribe: <https://mail.fernhill.example/u/",
        ] {
            assert!(mail.contains(line), "no `{line}` in\n{mail}");
        }
    }
    let detail =
        "SELECT count(*) FROM deliveries WHERE status = 'sent' AND detail LIKE '%queued as%'";
    assert_eq!(shop.count("data/state.db", detail), 2);
    // It knows no such recipient, so the second mail is not tried.
    assert_eq!(so_far(&shop, "refused"), 1);
    let second = "SELECT count(*) FROM messages WHERE step = 'second' AND reason = 'suppressed'";
    shop.wait_for("the second mail to be withheld", second, |count| count == 1);
    worker.stops();
    shop.verified();
}

#[test]
fn a_bad_address_is_suppressed() {
    let server = MailServer::start(&[("RCPT", Does::Says("550 5.1.1 no such user"))]);
    let shop = Shop::new(1, &[CART]);
    shop.configure(1, &by(&server));
    let worker = shop.start();
    worker.takes(&[consent("1", ANN), cart_add("2", ANN, "c1")].join("\n"));
    wait_until(&shop, "refused", 1);
    let second = "SELECT count(*) FROM messages WHERE step = 'second' AND reason = 'suppressed'";
    shop.wait_for("the second mail to be withheld", second, |count| count == 1);
    assert_eq!(
        shop.count("data/state.db", "SELECT count(*) FROM suppressions WHERE reason = 'bounced'"),
        1
    );
    let told = shop.run(&["why", "ann@shop.example"]).stdout;
    let reason = "email abandoned-cart/first could not be sent: RCPT: 5.1.1 no such user\n";
    let (reason, heard) = (told.find(reason), told.find("hears of email.bounced"));
    assert!(reason.is_some() && reason < heard, "the reason, then the outcome: {told}");
    assert!(told.contains("withholds email abandoned-cart/second: "), "{told}");
    worker.stops();
    assert_eq!(server.mails().len(), 0);
    shop.verified();
}

#[test]
fn a_mail_whose_answer_is_lost_is_in_doubt_and_not_sent_again() {
    let server = MailServer::start(&[(DOT, Does::HangsUp)]);
    let shop = Shop::new(1, &[THANKS]);
    shop.configure(1, &by(&server));
    let worker = shop.start();
    worker.takes(&[consent("1", ANN), order("2", ANN, "o1")].join("\n"));
    wait_until(&shop, "in_doubt", 1);
    worker.stops();
    server.becomes(TAKES);
    let worker = shop.start();
    worker.takes(&order("3", ANN, "o2"));
    wait_until(&shop, "sent", 1);
    assert_eq!(so_far(&shop, "in_doubt"), 1, "it stays");
    let told = shop.run(&["why", "ann@shop.example"]).stdout;
    let doubt = "email thanks/first may have been sent or not: the server closed the connection";
    assert!(told.contains(doubt), "{told}");
    assert_eq!(server.mails().len(), 2, "one of each, and none of them again");
    let id = shop.text(
        "data/state.db",
        "SELECT 'm' || lower(hex(message)) FROM deliveries WHERE status = 'in_doubt'",
    );
    assert_eq!(shop.run(&["messages", "resolve", &id, "--sent"]).code, Some(0));
    assert_eq!(shop.run(&["messages", "resolve", &id, "--sent"]).code, Some(3), "once");
    let told = "SELECT count(*) FROM messages WHERE outcome = 'email.sent'";
    shop.wait_for("the log to tell of both", told, |count| count == 2);
    worker.stops();
    shop.verified();
}

#[test]
fn a_store_that_another_program_locks_holds_the_worker_up_and_does_not_end_it() {
    let shop = Shop::new(1, &[THANKS]);
    let worker = shop.start();
    worker.takes(&[consent("1", ANN), consent("2", BOB), order("3", ANN, "o1")].join("\n"));
    wait_until(&shop, "sent", 1);
    let lock = shop.lock("data/state.db");
    let told = "another program has locked the file";
    wait("the worker to notice", || worker.said().contains(told));
    // Events are taken in meanwhile; nothing comes of them yet.
    for n in 4..20 {
        worker.takes(&order(&n.to_string(), BOB, "o2"));
    }
    assert_eq!(so_far(&shop, "sent"), 1);
    lock.release();
    wait_until(&shop, "sent", 2);
    let said = worker.stops();
    assert_eq!(said.matches(told).count(), 1, "{said}");
    assert!(said.contains("the file is not locked any more"), "{said}");
    shop.verified();
}

#[test]
fn a_worker_stops_also_while_its_store_is_locked() {
    let shop = Shop::new(1, &[THANKS]);
    let worker = shop.start();
    worker.takes(&consent("1", ANN));
    shop.wait_until_applied();
    let lock = shop.lock("data/state.db");
    wait("the worker to notice", || worker.said().contains("another program has locked the file"));
    let done = worker.stop();
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("state.db is locked by another program"), "{}", done.stderr);
    lock.release();
    shop.start().stops();
    shop.verified();
}

#[test]
fn why_tells_what_a_message_waits_for() {
    let server = MailServer::start(&[(GREETING, Does::Says("554 5.7.1 who are you"))]);
    let shop = Shop::new(1, &[THANKS]);
    shop.configure(1, &by(&server));
    let worker = shop.start();
    worker.takes(&[consent("1", ANN), order("2", ANN, "o1")].join("\n"));
    let tried = "SELECT count(*) FROM deliveries WHERE status = 'waiting' AND try_after > 0";
    shop.wait_for("a try", tried, |count| count == 1);
    let told = shop.run(&["why", "ann@shop.example"]).stdout;
    let waits = "email thanks/first did not go and is tried again after ";
    assert!(told.contains(waits) && told.contains(": greeting: 5.7.1 who are you"), "{told}");
    let said = worker.stops();
    assert!(said.contains("the provider refuses everything; messages wait"), "{said}");
    shop.verified();
}

#[test]
fn a_test_message_goes_to_oneself_and_counts_nowhere() {
    let shop = Shop::new(1, &[CART]);
    let test = |to: &str| shop.run(&["send-test", "abandoned-cart/first", "--to", to]);
    let done = test("me@shop.example");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let mails = caught(&shop);
    assert_eq!((mails[0].0.as_str(), mails[0].1.as_str()), ("[TEST] Hello", "me@shop.example"));
    assert!(!shop.path("data/state.db").exists(), "it is kept nowhere");
    // With a provider only those named may be written to, here as everywhere.
    let server = MailServer::start(TAKES);
    shop.configure(1, &by(&server));
    let done = test("me@shop.example");
    assert_eq!(done.code, Some(3));
    assert!(
        done.stderr.contains("`deliver.only_to` does not name me@shop.example"),
        "{}",
        done.stderr
    );
    assert_eq!(test("ann@shop.example").code, Some(0));
    assert_eq!(server.mails().len(), 1);
    assert!(server.mails()[0].contains("Subject: [TEST] Hello"), "{}", server.mails()[0]);
}
