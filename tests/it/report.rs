//! The page of a report: the same for the same report, well-formed, and nothing gets in unescaped.

use std::path::Path;

use proptest::prelude::*;
use waypost::engine::Reason;
use waypost::model::{MessageChannel, Timestamp};
use waypost::report::{
    Group, Input, Journey, Kind, Line, Next, People, Report, SampleMail, Step, Story, masked,
};
use waypost::store::MessageStatus;

use crate::support::{update, waypost};

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// A report with something in each section; `text` stands wherever a person could have written it.
fn report(text: &dyn Fn(&str) -> String) -> Report {
    let mut cart = Journey::named(&text("abandoned-cart"));
    cart.description = Some(text("Remind shoppers of the cart they left."));
    cart.versions = vec!["8b60d213".to_owned()];
    cart.started = 1_200;
    cart.ended = 400;
    cart.goals = Some(310);
    cart.goals_after_message = Some(120);
    cart.not_started.extend([(Reason::OnlyWhile, 600), (Reason::Again, 12)]);
    cart.stopped.extend([(Reason::Stopped, 500), (Reason::GaveWay, 90), (Reason::Moved, 1)]);
    let sent = ((MessageStatus::Decided, None), 420);
    let withheld = |reason, count| ((MessageStatus::Withheld, Some(reason)), count);
    cart.steps = vec![
        Step {
            name: text("first"),
            messages: [
                sent,
                withheld(Reason::NoAddress, 150),
                withheld(Reason::Consent, 80),
                ((MessageStatus::Cancelled, Some(Reason::Stopped)), 7),
            ]
            .into(),
            outcomes: [(text("email.sent"), 400)].into(),
        },
        Step { name: text("second"), ..Step::default() },
    ];
    for (time, sent, withheld) in [
        ("2026-03-02T03:19:53Z", 120, 40),
        ("2026-03-02T12:00:00Z", 180, 90),
        ("2026-03-04T23:59:59Z", 120, 107),
    ] {
        cart.times.add(at(time), sent, withheld);
    }
    cart.people = Some(People {
        in_journey: Group { customers: 900, reached: 250 },
        holdout: Group { customers: 100, reached: 21 },
    });
    let mut quiet = Journey::named(&text("win-back"));
    quiet.people = Some(People::default());
    let mail = |html: Option<&str>, subject: Option<&str>| SampleMail {
        at: at("2026-03-02T03:19:53Z"),
        journey: text("abandoned-cart"),
        channel: if html.is_some() { MessageChannel::Email } else { MessageChannel::Sms },
        template: text("abandoned-cart/first"),
        to: masked(&text("ann@shop.example")),
        subject: subject.map(text),
        html: html.map(text),
        text: text("You left something:\n- 1 x Trail shoe, € 89,00"),
    };
    let line = |time, kind, journey: Option<&str>, words: &str| Line {
        at: at(time),
        kind,
        journey: journey.map(text),
        words: text(words),
    };
    let cart_name = Some("abandoned-cart");
    Report {
        title: text("A week of a made-up shop"),
        about: text("What 1,000 people did in a shop."),
        facts: vec![("events", text("waypost-demo/events.ndjson"))],
        journeys: vec![cart, quiet],
        input: Some(Input {
            events: 5_137,
            late: 303,
            duplicates: 38,
            customers: 1_165,
            reach: text("may be mailed: 345 of 1,165"),
            dead: 11,
            dead_letters: vec![(text("events.ndjson:7270"), text("broken JSON at column 91"))],
        }),
        mails: vec![mail(Some(MAIL), Some("You left something in your cart")), mail(None, None)],
        story: Some(Story {
            customer: text("10000009"),
            lines: vec![
                line("2026-03-02T03:38:52Z", Kind::Started, cart_name, "starts"),
                line("2026-03-02T03:40:00Z", Kind::GaveWay, cart_name, "gives way"),
                line("2026-03-02T04:00:00Z", Kind::Merged, None, "becomes one with another"),
                line("2026-03-02T04:47:51Z", Kind::Sent, cart_name, "decides to send email"),
                line("2026-03-02T05:00:00Z", Kind::Withheld, cart_name, "withholds `email`"),
                line("2026-03-02T06:00:00Z", Kind::Goal, cart_name, "reaches its goal"),
                line("2026-03-02T06:00:00Z", Kind::Stopped, cart_name, "is stopped by an order"),
            ],
        }),
        next: vec![Next { words: text("Change `1h` to `4h`:"), command: text("waypost check") }],
    }
}

/// A small mail, as a template gives it.
const MAIL: &str = r#"<!doctype html>
<html lang="en"><head><meta name="viewport" content="width=device-width"><style>
body { margin: 0; font-family: sans-serif; background: #f2f2f2 }
</style></head><body><table role="presentation" width="100%"><tr><td align="center">
<table role="presentation" style="max-width:600px;background:#fff"><tr><td style="padding:24px">
<h1>Still thinking it over?</h1><p>Your cart is where you left it.</p>
<img src="https://shop.example/shoe.jpg" alt="Trail shoe" width="120" height="120">
<p><a href="https://shop.example/cart">Back to the cart</a></p>
</td></tr></table></td></tr></table></body></html>"#;

/// What stands there for a picture that the page does not load.
const TILE: &str = "data:image/gif;base64,R0lGODlhAQABAPAAAOTk5AAAACwAAAAAAQABAAACAkQBADs=";

const SECTIONS: [&str; 8] =
    ["journeys", "goal", "time", "withheld", "mails", "story", "run", "next"];

#[test]
fn the_page_of_a_report_is_the_same_bytes() {
    let page = report(&str::to_owned).html();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/report.html");
    if update() {
        std::fs::write(&golden, &page).expect("the file can be written");
    }
    let kept = std::fs::read_to_string(&golden).expect("the page as it was");
    assert!(
        page == kept,
        "the page is another one: look at it, UPDATE=1 rewrites what is expected"
    );
}

#[test]
fn a_section_without_content_is_left_out() {
    let whole = report(&str::to_owned);
    let headings = |report: &Report| -> Vec<String> {
        let page = report.html();
        let parsed = parse(&page);
        let headings = parsed.descendants().filter(|node| node.has_tag_name("h2"));
        headings.filter_map(|node| node.attribute("id").map(str::to_owned)).collect()
    };
    assert_eq!(headings(&whole), SECTIONS);
    assert_eq!(headings(&Report::default()), ["journeys"]);
    let without_mails = Report { mails: Vec::new(), ..whole };
    assert!(!headings(&without_mails).contains(&"mails".to_owned()));
}

/// What a page must be to work from a file, for everybody.
#[test]
fn the_page_needs_nothing_else() {
    let page = report(&str::to_owned).html();
    let parsed = parse(&page);
    let mut ids = std::collections::BTreeSet::new();
    for node in parsed.descendants().filter(|node| node.is_element()) {
        let name = node.tag_name().name();
        assert!(!["script", "link", "object", "embed", "form", "base"].contains(&name), "{name}");
        for attribute in node.attributes() {
            let (key, value) = (attribute.name(), attribute.value());
            assert!(!key.starts_with("on") && !["src", "action", "background"].contains(&key));
            assert!(key != "href" || value.starts_with('#'), "{key}={value}");
            assert!(key != "id" || ids.insert(value), "{value} is there twice");
        }
        match name {
            "iframe" => assert_eq!(node.attribute("sandbox"), Some("")),
            "svg" => assert!(node.attribute("aria-label").is_some()),
            "table" => assert!(node.children().any(|child| child.has_tag_name("caption"))),
            "th" => assert!(node.attribute("scope").is_some()),
            _ => {}
        }
    }
    let targets = parsed.descendants().filter_map(|node| node.attribute("href"));
    for target in targets {
        assert!(ids.contains(target.trim_start_matches('#')), "{target} leads nowhere");
    }
    let style = parsed.descendants().find(|node| node.has_tag_name("style")).expect("a style");
    let style = style.text().expect("its text");
    assert!(!style.contains("url(") && !style.contains("@import"), "the style loads something");
    assert!(page.contains("default-src 'none'"), "the policy is there");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever people wrote is shown as they wrote it, and adds no element and no attribute.
    #[test]
    fn hostile_text_stays_text(hostile in hostile()) {
        let shape = |page: &str| -> Vec<String> {
            let parsed = parse(page);
            let elements = parsed.descendants().filter(|node| node.is_element());
            elements
                .map(|node| {
                    let attributes = node.attributes().map(|attribute| attribute.name().to_owned());
                    format!("{} {:?}", node.tag_name().name(), attributes.collect::<Vec<_>>())
                })
                .collect()
        };
        let plain = report(&|text| format!("{text}x")).html();
        let page = report(&|text| format!("{text}{hostile}")).html();
        prop_assert_eq!(shape(&page), shape(&plain));
        let parsed = parse(&page);
        let shown = shown(&hostile);
        let title = parsed.descendants().find(|node| node.has_tag_name("h1")).expect("a title");
        let expected = format!("A week of a made-up shop{shown}");
        prop_assert_eq!(title.text(), Some(expected.as_str()));
        let frame = parsed.descendants().find(|node| node.has_tag_name("iframe")).expect("a frame");
        let mail = MAIL.replace("https://shop.example/shoe.jpg", TILE);
        let expected = format!("{mail}{shown}");
        prop_assert_eq!(frame.attribute("srcdoc"), Some(expected.as_str()));
    }
}

/// Text as an attacker, or an unlucky person, would write it; backticks would make code of it.
fn hostile() -> impl Strategy<Value = String> {
    let bits = prop_oneof![
        Just("</title></style></script><script>alert(1)</script>"),
        Just("\"><img src=x onerror=alert(1)>"),
        Just("' onload='alert(1)"),
        Just("<!-- ]]> &amp; &lt; &#60; &nbsp;"),
        Just("\u{0}\u{1b}[31m\r\n\t\u{85}\u{2028}\u{202e}\u{FFFF}"),
        Just("{{{raw}}} Zoë 漢字 🚲"),
    ];
    let parts = prop_oneof![bits.prop_map(str::to_owned), "[^`]{0,12}"];
    proptest::collection::vec(parts, 0..6).prop_map(|parts| parts.concat())
}

/// What of a text a page can show.
fn shown(text: &str) -> String {
    let gone =
        |c: char| c.is_control() && c != '\n' && c != '\t' || c == '\u{FFFE}' || c == '\u{FFFF}';
    let kept = text.chars().filter(|c| *c != '\r');
    kept.map(|c| if gone(c) { '\u{FFFD}' } else { c }).collect()
}

/// The page as a strict parser sees it: each element is closed, each attribute is quoted.
fn parse(page: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    roxmltree::Document::parse_with_options(page, options).expect("the page is well-formed")
}

/// A replay with a page writes the lines that it writes without one, and the same page again.
#[test]
fn a_replay_writes_its_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let run = |args: &[&str]| waypost().args(args).output().expect("the command runs");
    let week = file("week.ndjson");
    let made = run(&["generate", "--customers", "150", "--days", "2", "--out", &week]);
    assert!(made.status.success());
    let replay = |more: &[&str]| {
        let done = run(&[&["replay", "--events", &week], more].concat());
        (done.status.code(), done.stdout, String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (_, lines, _) = replay(&[]);
    let page = |name: &str| {
        let (code, out, told) = replay(&["--html", &file(name)]);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains(&format!("report: {}", file(name))), "{told}");
        assert!(out == lines, "the page changes the lines");
        std::fs::read_to_string(file(name)).expect("the page")
    };
    let first = page("first.html");
    assert!(first == page("second.html"), "the same replay gives another page");
    let parsed = parse(&first);
    let sent = lines.split(|byte| *byte == b'\n');
    let sent = sent.filter(|line| String::from_utf8_lossy(line).contains("\"decision\":\"send\""));
    let figure = |name: &str| {
        let term = parsed.descendants().find(|node| node.text() == Some(name)).expect(name);
        term.next_sibling_element().and_then(|node| node.text().map(str::to_owned))
    };
    assert_eq!(figure("messages to be sent"), Some(sent.count().to_string()));

    let (code, out, told) = replay(&["--html", &file("none/page.html")]);
    assert_eq!((code, out.as_slice()), (Some(3), &b""[..]), "nothing is replayed in vain");
    assert!(told.contains("can't write") && told.contains("page.html"), "{told}");
    let (code, _, told) = replay(&["--against", &week]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("line 1 is no decision that `waypost replay` wrote"), "{told}");
}
