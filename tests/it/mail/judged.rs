//! What Python's email package and dkimpy say of built mails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::Value;
use waypost::config::Secret;
use waypost::deliver::Composer;
use waypost::engine::Decision;
use waypost::journey::{Class, Rules, Shop, Version};
use waypost::mail::{Dkim, DkimError, Message, clean_line, clean_name};
use waypost::model::{CustomerId, MessageChannel, MessageId, RunId, Timestamp};
use waypost::shipped;
use waypost::template::{Templates, example_shop};

use super::build::{HEADERS, as_body, hostile};
use super::{fixture, reminder};
use crate::support::full;

fn key(selector: &str, file: &str) -> Result<Dkim, DkimError> {
    let pem = std::fs::read_to_string(fixture("dkim", file)).expect("a key");
    Dkim::new("shop.example", selector, &Secret::new(pem))
}

fn keys() -> Vec<Dkim> {
    [("rsa", "rsa.pem"), ("rsa", "rsa-pkcs1.pem"), ("ed25519", "ed25519.pem")]
        .map(|(selector, file)| key(selector, file).expect("a key that signs"))
        .into()
}

#[test]
fn mails_are_read_and_their_signatures_hold_elsewhere() {
    let why = "it needs Debian's python3-dkim and python3-nacl";
    if !full("mails_are_read_and_their_signatures_hold_elsewhere", why) {
        return;
    }
    let mut runner = TestRunner::deterministic();
    let mut text = || hostile().new_tree(&mut runner).expect("a text").current();
    let mut messages = vec![reminder()];
    for _ in 0..300 {
        let mut message = reminder();
        message.to.name = Some(text());
        message.subject = text();
        message.text = text();
        message.html = text();
        messages.push(message);
    }
    let mails = messages.iter().map(|message| message.build(&keys()).expect("it is built"));
    for (message, found) in messages.iter().zip(judge(mails)) {
        check(message, &found);
    }
}

/// Each mail that ships, in each language, as delivery puts it together.
#[test]
fn every_shipped_mail_is_read_and_its_signatures_hold_elsewhere() {
    let why = "it needs Debian's python3-dkim and python3-nacl";
    if !full("every_shipped_mail_is_read_and_its_signatures_hold_elsewhere", why) {
        return;
    }
    let (templates, report) = Templates::compile(&shipped::templates(), "templates");
    assert!(!report.has_errors(), "{}", report.render(false));
    let sender = Some("Shop <shop@shop.example>".into());
    let rules = Rules { default_shop: Shop { sender, ..example_shop() }, ..Rules::default() };
    let composer = Composer {
        templates: templates.clone(),
        rules: Arc::new(rules),
        keys: keys().into(),
        secret: [7; 32],
        pages: String::new(),
        mark: "",
    };
    let mut mails = Vec::new();
    for name in templates.names().filter(|name| templates.has(name, MessageChannel::Email)) {
        let languages = templates.locales(name, MessageChannel::Email);
        for language in languages.into_iter().chain(["en"]) {
            let mut data = templates.sample(name).expect("a sample").clone();
            data["customer"]["locale"] = language.into();
            data["customer"]["email"] = "ann@shop.example".into();
            let decision = decision(name, data.to_string());
            let pinned = composer.compose(&decision, CustomerId(1), 1, decision.at);
            mails.push(pinned.expect("a mail").body);
        }
    }
    assert!(mails.len() >= 20, "only {} mails", mails.len());
    for found in judge(mails.into_iter()) {
        assert_eq!(found["defects"], serde_json::json!([]), "{found}");
        assert_eq!(found["signatures"], serde_json::json!([true, true, true]), "{found}");
    }
}

fn decision(template: &str, data: String) -> Decision {
    Decision {
        message: MessageId(5),
        customer: "7001".into(),
        journey: "shipped".into(),
        version: Version(1),
        run: RunId(1),
        step: "first".into(),
        occurrence: 0,
        channel: MessageChannel::Email,
        template: template.into(),
        topic: Some("reminders".into()),
        class: Class::Marketing,
        at: Timestamp::from_ms(1_772_442_000_000),
        settle_ms: 0,
        expires: None,
        window_end: None,
        withheld: None,
        data,
    }
}

#[test]
fn a_changed_mail_loses_its_signatures() {
    let why = "it needs Debian's python3-dkim and python3-nacl";
    if !full("a_changed_mail_loses_its_signatures", why) {
        return;
    }
    let mail = String::from_utf8(reminder().build(&keys()).expect("it is built")).expect("ASCII");
    let changes = [
        ("\r\nFrom: ", "\r\nFrom: Other <x@shop.example>\r\nFrom: "),
        ("List-Unsubscribe: <https://shop.example", "List-Unsubscribe: <https://evil.example"),
        ("List-Unsubscribe=One-Click", "List-Unsubscribe=Two-Click"),
        ("\r\nSubject: ", "\r\nSubject: Re: "),
        ("\r\nDate: Sat, 28", "\r\nDate: Sun, 29"),
        ("your cart is waiting", "your cart is gone"),
    ];
    let changed = changes.iter().map(|(from, to)| {
        assert!(mail.contains(from), "{from:?} in {mail}");
        mail.replacen(from, to, 1).into_bytes()
    });
    for ((from, _), found) in changes.iter().zip(judge(changed)) {
        for held in found["signatures"].as_array().expect("signatures") {
            assert_ne!(*held, Value::Bool(true), "{from:?} may be changed");
        }
    }
    // White space may change on the way.
    let folded = mail.replacen("Feedback-ID: ", "Feedback-ID:   ", 1).into_bytes();
    let found = judge([folded].into_iter()).remove(0);
    assert_eq!(found["signatures"], serde_json::json!([true, true, true]));
}

#[test]
fn keys_that_cannot_sign_are_refused_and_not_shown() {
    for (file, words) in
        [("rsa-1024.pem", "RSA of 2048 to 4096 bits"), ("rsa.txt", "no private key in PEM")]
    {
        let error = key("s", file).expect_err("it is refused").to_string();
        assert!(error.contains(words), "no `{words}` in `{error}`");
    }
    for (domain, selector) in [("", "s"), ("shop.example", ""), ("shop.example; x=1", "s")] {
        let pem = std::fs::read_to_string(fixture("dkim", "rsa.pem")).expect("a key");
        let refused = Dkim::new(domain, selector, &Secret::new(pem));
        assert!(matches!(refused, Err(DkimError::Name(_))), "{domain:?} {selector:?}");
    }
    let shown = format!("{:?} {:?}", keys(), Secret::new("swordfish".to_owned()));
    assert!(shown.contains("ed25519-sha256") && !shown.contains("swordfish"), "{shown}");
}

fn check(message: &Message, found: &Value) {
    assert_eq!(found["defects"], serde_json::json!([]), "{found}");
    let names: Vec<&str> =
        found["headers"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    let signatures = ["DKIM-Signature"; 3];
    assert!(names.iter().eq(signatures.iter().chain(&HEADERS)), "{names:?}");
    assert_eq!(found["subject"], clean_line(&message.subject, 250), "{found}");
    let to = found["to"].as_array().expect("recipients");
    assert_eq!((to.len(), &to[0][1]), (1, &Value::from(message.to.address.as_str())), "{found}");
    // Python 3.11 keeps the space between two encoded words of a name, which is not part of it.
    let dense = |text: &str| text.split_whitespace().collect::<String>();
    let name = message.to.name.as_deref().and_then(clean_name).unwrap_or_default();
    assert_eq!(dense(to[0][0].as_str().expect("a name")), dense(&name), "{found}");
    for (part, text) in [("text", &message.text), ("html", &message.html)] {
        let read = as_body(found[part].as_str().expect("a part"));
        assert_eq!(read.trim_end(), as_body(text).trim_end(), "{found}");
    }
    assert_eq!(found["signatures"], serde_json::json!([true, true, true]), "{found}");
}

/// What the judge says of each mail.
fn judge(mails: impl Iterator<Item = Vec<u8>>) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let files: Vec<PathBuf> = mails
        .enumerate()
        .map(|(number, mail)| {
            let file = folder.path().join(format!("{number:04}.eml"));
            std::fs::write(&file, mail).expect("it can be written");
            file
        })
        .collect();
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mail/judge.py");
    // Debian's own, which sees Debian's packages.
    let done = Command::new("/usr/bin/python3")
        .arg(judge)
        .arg(fixture("dkim", ""))
        .args(&files)
        .output()
        .expect("python3 runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let found: Vec<Value> = String::from_utf8(done.stdout)
        .expect("JSON")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(found.len(), files.len());
    found
}
