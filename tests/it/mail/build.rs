//! Built messages: the same bytes each time, and read by another parser as they were meant.

use mail_parser::{HeaderValue, MessageParser};
use proptest::prelude::*;
use waypost::mail::{BuildError, Mailbox, Message, Unsubscribe, clean_line, clean_name};
use waypost::model::Timestamp;

use super::{address, reminder};

/// What every full message has, in the order of the wire; nothing else, and each once.
pub(super) const HEADERS: [&str; 14] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Id",
    "Feedback-ID",
    "Auto-Submitted",
    "X-Waypost-Message",
    "MIME-Version",
    "Content-Type",
];

#[test]
fn a_message_is_what_it_should_be_on_the_wire() {
    let message = reminder();
    let bytes = message.build(&[]).expect("it is built");
    assert_eq!(bytes, message.build(&[]).expect("it is built"), "the same message, the same bytes");
    check(&message, &bytes);
    let text = String::from_utf8(bytes).expect("it is ASCII");
    let head = text.split("\r\n\r\n").next().expect("a head");
    for line in [
        "To: =?utf-8?b?Wm/DqyBPJ0hhcmE=?= <zoe@xn--bcher-kva.example>",
        "Date: Sat, 28 Mar 2026 21:50:00 +0000",
        "Message-ID: <m00000000000000000123456789abcdef@shop.example>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "List-Id: <reminders.shop.example>",
        "Feedback-ID: abandoned-cart:first:shop:waypost1",
        "Auto-Submitted: auto-generated",
        "X-Waypost-Message: m00000000000000000123456789abcdef",
    ] {
        assert!(head.lines().any(|found| found == line), "no `{line}` in\n{head}");
    }
    let longest = text.lines().map(str::len).max().unwrap_or(0);
    assert!(longest <= 150, "a line has {longest} bytes");
}

#[test]
fn what_is_not_given_is_not_there() {
    let mut message = reminder();
    message.to.name = None;
    message.reply_to = None;
    message.unsubscribe = None;
    message.list_id = None;
    message.feedback_id = None;
    let bytes = message.build(&[]).expect("it is built");
    let text = String::from_utf8(bytes).expect("it is ASCII");
    assert!(text.contains("\r\nTo: zoe@xn--bcher-kva.example\r\n"), "{text}");
    for name in ["List-", "Feedback-ID", "Reply-To"] {
        assert!(!text.contains(&format!("\r\n{name}")), "{name} in {text}");
    }
    message.date = Timestamp::MIN;
    let bytes = message.build(&[]).expect("it is built");
    assert!(String::from_utf8_lossy(&bytes).contains("Date: Thu, 01 Jan 1970 00:00:00 +0000"));
}

type Change = Box<dyn Fn(&mut Message)>;

#[test]
fn what_an_operator_sets_wrongly_is_named() {
    let long = format!("https://shop.example/{}", "x".repeat(900));
    let url = |url: &str| {
        let url = url.to_owned();
        move |message: &mut Message| {
            message.unsubscribe = Some(Unsubscribe { url: url.clone(), mailto: None });
        }
    };
    let list = |list: &'static str| move |m: &mut Message| m.list_id = Some(list.to_owned());
    let feedback = |id: &'static str| move |m: &mut Message| m.feedback_id = Some(id.to_owned());
    let cases: Vec<(Change, &str)> = vec![
        (Box::new(url("http://shop.example/u")), "https URL"),
        (Box::new(url("https://")), "https URL"),
        (Box::new(url("https://shop.example/a b")), "https URL"),
        (Box::new(url("https://shop.example/>\r\nBcc: x")), "https URL"),
        (Box::new(url("https://bücher.example/")), "https URL"),
        (Box::new(url(&long)), "https URL"),
        (
            Box::new(|m| {
                let mailto = Some("unsubscribe@shop.example".to_owned());
                m.unsubscribe =
                    Some(Unsubscribe { url: "https://shop.example/u".to_owned(), mailto });
            }),
            "mailto URL",
        ),
        (Box::new(list("reminders")), "domain name"),
        (Box::new(list("a.b>\r\nBcc: x")), "domain name"),
        (Box::new(feedback("a:b:c:d:sender")), "`:`"),
        (Box::new(feedback("a:b:c:no")), "5 to 15"),
        (Box::new(feedback("a b:sender")), "letters"),
        (Box::new(|m| m.html = "x".repeat((1 << 20) + 1)), "more than 1 MiB"),
        (Box::new(|m| m.text = "x".repeat((1 << 20) + 1)), "the text part"),
    ];
    for (change, words) in cases {
        let mut message = reminder();
        change(&mut message);
        let error: BuildError = message.build(&[]).expect_err("it is refused");
        assert!(error.to_string().contains(words), "no `{words}` in `{error}`");
    }
}

/// Texts as profiles hold them, and worse.
pub(super) fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        Just("\r\nBcc: all@shop.example\r\n\r\n".to_owned()),
        Just("=?utf-8?q?=0d=0aX:_y?=".to_owned()),
        Just("\u{202e}\u{2028}\u{85}\u{0}".to_owned()),
        Just("\", <x@y.example>, \"".to_owned()),
        Just("\\\"(;:)[].,@".to_owned()),
        Just("Zoë 👩‍🦰 例え".to_owned()),
        Just("--=_0\r\n.\r\n".to_owned()),
        "[ a-z=?_\"\\\\]{0,90}",
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]
    #[test]
    fn no_text_of_a_profile_adds_or_changes_a_header(
        name in hostile(), subject in hostile(), text in hostile(), html in hostile(),
    ) {
        let mut message = reminder();
        message.to.name = Some(name);
        message.subject = subject;
        message.text = text;
        message.html = html;
        let bytes = message.build(&[]).expect("it is built");
        check(&message, &bytes);
    }
}

/// That another parser reads the message as it was meant, and the wire's rules hold.
fn check(message: &Message, bytes: &[u8]) {
    assert!(bytes.is_ascii(), "it needs no 8BITMIME");
    let text = String::from_utf8_lossy(bytes);
    assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']), "bare CR, LF or NUL: {text:?}");
    assert!(text.split("\r\n").all(|line| line.len() <= 998), "a line is too long: {text}");

    let parsed = MessageParser::new().parse(bytes).expect("it is a message");
    let names: Vec<&str> = parsed.headers().iter().map(|header| header.name()).collect();
    assert!(names.iter().map(|n| n.to_ascii_lowercase()).eq(HEADERS.map(str::to_ascii_lowercase)));
    let subject = clean_line(&message.subject, 250);
    assert_eq!(parsed.subject().unwrap_or_default(), subject, "{text}");
    one_mailbox(parsed.header("To"), &message.to, &text);
    one_mailbox(parsed.header("From"), &message.from, &text);
    assert_eq!(parsed.message_id(), Some(&*format!("{}@shop.example", message.id)));
    assert_eq!((parsed.text_body.len(), parsed.html_body.len(), parsed.parts.len()), (1, 1, 3));
    let html = parsed.body_html(0).expect("an HTML part");
    assert_eq!(html.trim_end(), as_body(&message.html).trim_end(), "{text}");
    let plain = parsed.body_text(0).expect("a text part");
    assert_eq!(plain.trim_end(), as_body(&message.text).trim_end(), "{text}");
}

fn one_mailbox(header: Option<&HeaderValue<'_>>, expected: &Mailbox, text: &str) {
    let found = header.and_then(HeaderValue::as_address).expect("an address").clone();
    let found = found.into_list();
    assert_eq!(found.len(), 1, "{text}");
    assert_eq!(found[0].address.as_deref(), Some(expected.address.as_str()), "{text}");
    let name = expected.name.as_deref().and_then(clean_name);
    assert_eq!(found[0].name.as_deref(), name.as_deref(), "{text}");
}

/// What of a text must come out: line ends as CRLF, no control characters but tabs.
pub(super) fn as_body(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: String =
        lines.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect();
    lines.replace('\n', "\r\n")
}

#[test]
fn an_address_without_a_name_stands_alone() {
    for name in [None, Some(String::new()), Some("\u{0}".to_owned())] {
        let mut message = reminder();
        message.to = Mailbox { name, address: address("ann@shop.example") };
        let bytes = message.build(&[]).expect("it is built");
        assert!(String::from_utf8_lossy(&bytes).contains("\r\nTo: ann@shop.example\r\n"));
    }
}
