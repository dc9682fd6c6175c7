//! SMS leave the real worker through a provider's HTTP, and each of its answers has its end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::events::{customer, event, order};
use super::sending::{so_far, wait_until};
use super::shop::Shop;

/// Thanks for an order, as a text message.
pub(super) const TEXT: (&str, &str) = (
    "texts",
    "format: 1
journey: texts
one_run_per: order
starts_when: { event: order.placed }
again: always
steps:
  - wait: 1s
  - sms: texts/thanks
",
);

/// Says yes to text messages.
pub(super) fn yes(id: &str, names: &[(&str, &str)]) -> String {
    let said = json!([{ "channel": "sms", "status": "given" }]);
    event(id, "consent.changed", json!({ "customer": customer(names), "consents": said }))
}

/// What a provider answers for a number: the status and the body.
type Answers = &'static [(&'static str, u16, &'static str)];

const ANN: &[(&str, &str)] = &[("id", "7001"), ("phone", "+31 6 12345601")];
const BOB: &[(&str, &str)] = &[("id", "7002"), ("phone", "+31612345602")];
const CID: &[(&str, &str)] = &[("id", "7003"), ("phone", "+31612345603")];

/// The head and the form of a request.
type Request = (String, BTreeMap<String, String>);

/// A provider of the shape of Twilio, on this machine. It ends with the process.
struct Provider {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Request>>>,
}

impl Provider {
    fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let got: Arc<Mutex<Vec<Request>>> = Arc::default();
        let keeps = Arc::clone(&got);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                let (head, form) = request(&client);
                let answer = answers.iter().find(|(to, ..)| form["To"] == *to);
                let (_, status, body) = answer.expect("an answer for the number");
                keeps.lock().expect("nobody panicked").push((head, form));
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                (&client).write_all(answer.as_bytes()).expect("it can be answered");
            }
        });
        Self { address, got }
    }

    /// The lines of the configuration that send there.
    fn configuration(&self) -> String {
        format!(
            "deliver: {{ sms: twilio, only_to: [ \"+31612345601\", \"+31612345602\", \"+31612345603\" ] }}\n\
             twilio: {{ account: AC0123, token: \"sword fish\", from: \"+15005550006\", url: \"http://{}\" }}\n",
            self.address
        )
    }

    fn numbers(&self) -> Vec<String> {
        let got = self.got.lock().expect("nobody panicked");
        let mut numbers: Vec<String> = got.iter().map(|(_, form)| form["To"].clone()).collect();
        numbers.sort();
        numbers
    }
}

fn request(client: &TcpStream) -> Request {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("a head") > 0, "it breaks off");
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut form = vec![0; length.expect("a length").parse().expect("a number")];
    reader.read_exact(&mut form).expect("a form");
    (head, form_urlencoded::parse(&form).into_owned().collect())
}

#[test]
fn each_answer_of_the_provider_has_its_end() {
    let provider = Provider::start(&[
        ("+31612345601", 201, r#"{"sid": "SM1f00", "status": "queued"}"#),
        ("+31612345602", 400, r#"{"code": 21610, "message": "+31612345602 has said STOP"}"#),
        ("+31612345603", 500, "<html>"),
    ]);
    let shop = Shop::new(1, &[TEXT]);
    shop.configure(1, &provider.configuration());
    let worker = shop.start();
    worker.takes(&[yes("1", ANN), yes("2", BOB), yes("3", CID)].join("\n"));
    worker.takes(&[order("4", ANN, "o1"), order("5", BOB, "o2"), order("6", CID, "o3")].join("\n"));
    for status in ["sent", "refused", "in_doubt"] {
        wait_until(&shop, status, 1);
    }
    {
        let got = provider.got.lock().expect("nobody panicked");
        let (head, form) =
            got.iter().find(|(_, form)| form["To"] == "+31612345601").expect("Ann's");
        assert!(head.starts_with("post /2010-04-01/accounts/ac0123/messages.json "), "{head}");
        // `AC0123:sword fish`, in the letters of a head that is all lower case.
        assert!(head.contains("authorization: basic qumwmtizonn3b3jkigzpc2g="), "{head}");
        assert_eq!((form["From"].as_str(), form["Body"].as_str()), ("+15005550006", "Hello."));
    }
    // Who said STOP to the provider has unsubscribed here, too, and the log knows it.
    let state = "data/state.db";
    let suppressed = "SELECT count(*) FROM suppressions WHERE channel = 'sms' AND topic = '' \
                      AND reason = 'unsubscribed'";
    assert_eq!(shop.count(state, suppressed), 1);
    let told =
        "SELECT count(*) FROM messages WHERE outcome IN ('sms.sent', 'sms.failed', 'sms.started')";
    shop.wait_for("the log to tell of the three", told, |count| count == 3);
    worker.takes(&[order("7", BOB, "o4"), order("8", CID, "o5")].join("\n"));
    let withheld = "SELECT count(*) FROM messages WHERE name = '7002' AND reason = 'consent'";
    shop.wait_for("the next to be withheld", withheld, |count| count == 1);
    wait_until(&shop, "in_doubt", 2);
    let numbers = ["+31612345601", "+31612345602", "+31612345603", "+31612345603"];
    assert_eq!(provider.numbers(), numbers, "none of them again");
    for (name, words) in [
        ("7001", "hears of sms.sent"),
        ("7002", "sms texts/thanks could not be sent: end of the message: +***02 has said STOP"),
        ("7002", "consent by sms: withdrawn"),
        ("7003", "sms texts/thanks may have been sent or not: the provider answered HTTP 500"),
    ] {
        let told = shop.run(&["why", name]).stdout;
        assert!(told.contains(words), "no `{words}` in {told}");
    }
    let said = worker.stops();
    assert!(!said.contains("31612345"), "{said}");
    shop.verified();
}

#[test]
fn with_a_wrong_password_text_messages_wait_and_say_why() {
    let provider =
        Provider::start(&[("+31612345601", 401, r#"{"code": 20003, "message": "Authenticate"}"#)]);
    let shop = Shop::new(1, &[TEXT]);
    shop.configure(1, &provider.configuration());
    let worker = shop.start();
    worker.takes(&[yes("1", ANN), order("2", ANN, "o1")].join("\n"));
    let tried = "SELECT count(*) FROM deliveries WHERE status = 'waiting' AND try_after > 0";
    shop.wait_for("a try", tried, |count| count == 1);
    let told = shop.run(&["why", "7001"]).stdout;
    let waits = "sms texts/thanks did not go and is tried again after ";
    assert!(told.contains(waits) && told.contains(": end of the message: Authenticate"), "{told}");
    assert_eq!(shop.count("data/state.db", "SELECT attempts FROM deliveries"), 0, "not its fault");
    let said = worker.stops();
    assert!(said.contains("the provider refuses everything; messages wait"), "{said}");
    assert!(!said.contains("sword"), "{said}");
    shop.verified();
}

#[test]
fn a_phone_that_is_free_text_is_no_address() {
    let shop = Shop::new(1, &[TEXT]);
    let worker = shop.start();
    let phones = ["call me maybe", "+31 (0) zes", "+31612345601"];
    for (n, phone) in ["7001", "7002", "7003"].iter().zip(phones) {
        let names = [("id", *n), ("phone", phone)];
        worker.takes(&[yes(&format!("y{n}"), &names), order(n, &names, n)].join("\n"));
    }
    let all = "SELECT count(*) FROM messages";
    shop.wait_for("a decision for each", all, |count| count == 3);
    wait_until(&shop, "sent", 1);
    let withheld = "SELECT count(*) FROM messages WHERE reason = 'no_address'";
    assert_eq!(shop.count("data/state.db", withheld), 2);
    assert_eq!(so_far(&shop, "waiting"), 0);
    for name in ["7001", "7002"] {
        let told = shop.run(&["why", name]).stdout;
        assert!(told.contains("phone not known"), "{told}");
        assert!(told.contains("consent by sms: given"), "{told}");
        let words = "withholds sms texts/thanks: no address is known for the channel";
        assert!(told.contains(words), "{told}");
    }
    worker.stops();
    shop.verified();
}

#[test]
fn a_channel_and_a_template_are_held_by_themselves() {
    let shop = Shop::new(1, &[TEXT, super::THANKS]);
    let worker = shop.start();
    let names = [("id", "7001"), ("phone", "+31612345601"), ("email", "ann@shop.example")];
    let sending = |action: &str, option: &str, name: &str, says: &str| {
        let done = shop.run(&["sending", action, option, name]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(done.stderr.contains(says), "no `{says}` in {}", done.stderr);
    };
    worker.takes(&[yes("1", &names), super::events::consent("2", &names)].join("\n"));
    let sent = |channel: &str| {
        let sql = format!(
            "SELECT count(*) FROM deliveries JOIN messages USING (message)
             WHERE deliveries.status = 'sent' AND channel = '{channel}'"
        );
        shop.count("data/state.db", &sql)
    };
    // What is held, by which option; the channel that goes; the one that waits.
    for (round, (option, name, goes, waits)) in [
        ("--channel", "sms", "email", "sms"),
        ("--channel", "email", "sms", "email"),
        ("--template", "thanks/first", "sms", "email"),
        ("--template", "texts/thanks", "email", "sms"),
    ]
    .into_iter()
    .enumerate()
    {
        let before = i64::try_from(round).expect("few");
        let what = format!("{} {name}", option.trim_start_matches('-'));
        sending("hold", option, name, &format!("held: {what}"));
        worker.takes(&order(&format!("o{round}"), &names, &format!("o{round}")));
        wait_until(&shop, "sent", 2 * before + 1);
        wait_until(&shop, "waiting", 1);
        let ready = "SELECT count(*) FROM deliveries JOIN lanes USING (partition)
                     WHERE status = 'waiting' AND ready <= watermark";
        shop.wait_for("its time", ready, |count| count == 1);
        assert_eq!((sent(goes), sent(waits)), (before + 1, before), "{what}");
        assert!(shop.run(&["sending", "status"]).stderr.contains(&format!(": {what}")));
        sending("release", option, name, &format!("released: {what}"));
        wait_until(&shop, "sent", 2 * before + 2);
        assert_eq!((sent(goes), sent(waits)), (before + 1, before + 1), "{what}");
    }
    assert!(shop.run(&["sending", "status"]).stderr.contains("nothing is held"));
    worker.stops();
    shop.verified();
}
