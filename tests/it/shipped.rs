//! The journeys and mails that ship: complete, without mistakes, and fit to be sent as they are.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value as Json, json};
use waypost::journey::{self, Plan, Shop, Step};
use waypost::model::{MessageChannel, Zone};
use waypost::shipped;
use waypost::template::{Email, Frame, TemplateFile, Templates, example_shop};

/// What Gmail shows of a mail before it cuts it off (https://support.google.com/mail).
const MAIL_BYTES_MAX: usize = 102 * 1024;
/// What phones show of a subject, and mail programs of a preheader.
const SUBJECT_MAX: usize = 45;
const PREHEADER_MAX: usize = 90;

const UNSUBSCRIBE: &str = "https://waypost.shop.example/u/abc";

fn plans() -> Vec<Plan> {
    let names = templates();
    let names: BTreeSet<String> = names.names().map(str::to_owned).collect();
    let (plans, report) = journey::compile(&shipped::journeys(), Some(&names));
    assert!(report.is_empty(), "{}", report.render(false));
    plans
}

fn templates() -> Templates {
    let (templates, report) = Templates::compile(&shipped::templates(), "templates");
    assert!(report.is_empty(), "{}", report.render(false));
    templates
}

#[test]
fn the_binary_holds_the_files_of_the_folders() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown = |files: &[TemplateFile]| -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a text");
        files.iter().map(|file| (file.path.clone(), text(&file.bytes))).collect()
    };
    let mut there = Templates::read(&root.join("templates")).expect("the templates");
    there.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(shown(&shipped::templates()), shown(&there), "name each file in src/shipped.rs");

    let there: Vec<(String, String)> = crate::support::files("journeys", "yaml")
        .iter()
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (format!("journeys/{name}"), std::fs::read_to_string(path).expect("a journey"))
        })
        .collect();
    let held: Vec<(String, String)> =
        shipped::journeys().into_iter().map(|file| (file.path, file.text)).collect();
    assert_eq!(held, there, "name each file in src/shipped.rs");
}

/// Journeys and templates fit together, and no template is left that nothing sends.
#[test]
fn every_template_is_sent_by_a_journey() {
    let (plans, templates) = (plans(), templates());
    let report = templates.check(&plans);
    assert!(report.is_empty(), "{}", report.render(false));
    let sent: BTreeSet<&str> = plans
        .iter()
        .flat_map(|plan| &plan.nodes)
        .filter_map(|node| match &node.step {
            Step::Message { template, .. } => Some(template.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(sent, templates.names().collect());
}

#[test]
fn every_mail_is_fit_to_be_sent() {
    let shop = example_shop();
    let templates = templates();
    for name in templates.names() {
        assert_eq!(templates.locales(name, MessageChannel::Email), ["nl"], "{name}");
        let sample = templates.sample(name).expect("a sample");
        for (what, data) in [("sample", sample), ("least", &least()), ("hostile", &hostile())] {
            let mut subjects = BTreeSet::new();
            for language in ["en", "nl"] {
                let mail = templates.email(name, data, &frame(&shop, language));
                let mail = mail.expect("the mail is rendered");
                check(&mail, language, &format!("{name} in {language} with {what} data"));
                subjects.insert(mail.subject);
            }
            assert_eq!(subjects.len(), 2, "{name} says the same in both languages: {subjects:?}");
        }
    }
}

fn check(mail: &Email, language: &str, what: &str) {
    let Email { subject, preheader, html, text, .. } = mail;
    let shop = example_shop();
    assert!(html.len() < MAIL_BYTES_MAX, "{what}: {} bytes", html.len());
    assert!(subject.chars().count() <= SUBJECT_MAX, "{what}: {subject}");
    assert!((20..=PREHEADER_MAX).contains(&preheader.chars().count()), "{what}: {preheader}");
    assert!(html.contains(&format!("<html lang=\"{language}\"")), "{what}: the language");
    assert_eq!(html.matches("<h1").count(), 1, "{what}: one heading");
    assert!(html.contains("name=\"color-scheme\""), "{what}: light and dark");
    for image in html.split("<img").skip(1) {
        let image = image.split('>').next().unwrap_or_default();
        assert!(image.contains(" alt=\"") && image.contains(" width=\""), "{what}: <img{image}>");
        // With both sides given, browsers draw a broken picture over the tile where it can't be had.
        assert!(!image.contains(" height="), "{what}: <img{image}>");
    }
    for table in html.split("<table").skip(1) {
        let table = table.split('>').next().unwrap_or_default();
        assert!(table.contains("role=\"presentation\""), "{what}: <table{table}>");
    }
    for loaded in ["<link", "@import", "url(", "<script"] {
        assert!(!html.contains(loaded), "{what}: {loaded}");
    }
    let address = shop.postal_address.as_deref().expect("an address");
    for part in [html, text] {
        assert!(part.contains(address), "{what}: the postal address");
        assert!(part.contains(UNSUBSCRIBE), "{what}: how to unsubscribe");
        assert!(!part.contains("{{") && !part.contains("}}"), "{what}: a tag is left");
    }
    assert!(!html.contains("<b>bold</b>"), "{what}: a name is taken for markup");
    assert!(!text.contains(" ,") && !html.contains(" ,"), "{what}: a gap before a comma");
}

/// One product or many, none, and one that costs nothing.
#[test]
fn mails_say_how_much_there_is() {
    let (shop, templates) = (example_shop(), templates());
    let free = json!({ "amount": "0.00", "currency": "EUR" });
    let customer = json!({ "email": "a@shop.example", "known": true, "signed_in": false });
    for (name, count, language, said, unsaid) in [
        ("post-purchase/thanks", 0, "en", "Thank you", "What you ordered"),
        ("post-purchase/thanks", 5, "en", "What you ordered", " more"),
        ("post-purchase/thanks", 7, "en", "And 2 more", "SKU-5"),
        ("post-purchase/thanks", 6, "nl", "En nog 1 ander artikel", "artikelen"),
        ("post-purchase/thanks", 7, "nl", "En nog 2 andere artikelen", "SKU-5"),
        ("win-back/first", 0, "en", "We hope you are doing well.", "What you ordered"),
        ("win-back/first", 5, "en", "And 2 more", "SKU-3"),
        ("win-back/first", 4, "nl", "En nog 1 ander artikel", "artikelen"),
        ("welcome/first", 0, "en", "Welcome", "looked at last"),
        ("post-purchase/cross-sell", 1, "en", "also looked at this. Here it is again", "these"),
        ("post-purchase/cross-sell", 2, "en", "also looked at these. Here they are again", "this."),
        ("abandoned-cart/first", 1, "en", "You put this in", "these"),
        ("abandoned-cart/second", 1, "en", "1 item in", "items"),
        ("abandoned-cart/second", 10, "en", "And 5 more in your cart", "SKU-5"),
        ("abandoned-cart/second", 1, "nl", "1 artikel uitgekozen", "artikelen"),
        ("abandoned-cart/second", 1, "en", "€0.00", "more"),
    ] {
        let items: Vec<Json> = (0..count)
            .map(|n| json!({ "sku": format!("SKU-{n}"), "quantity": 1, "total": free }))
            .collect();
        let mut data = whole(&customer, &items);
        if name == "win-back/first" {
            data["orders"]["last_items"] = items.into();
        }
        let text = templates.email(name, &data, &frame(&shop, language)).expect("a mail").text;
        assert!(text.contains(said) && !text.contains(unsaid), "{name} of {count}: {text}");
    }
}

/// A text in English is English for everyone, whatever they and the shop speak else.
#[test]
fn a_default_mail_is_written_in_its_own_language() {
    let templates = templates();
    let dutch = Shop { locale: Some("nl-NL".into()), ..example_shop() };
    let british = Shop { locale: Some("en-GB".into()), ..example_shop() };
    let sample = templates.sample("win-back/first").expect("a sample");
    for (shop, locale, lang, date, price) in [
        (&dutch, "de-DE", "en", "on March 2, 2026.", "€62.35"),
        (&dutch, "en-US", "en-US", "on March 2, 2026.", "€62.35"),
        (&british, "fr-BE", "en-GB", "on 2 March 2026.", "€62.35"),
        (&british, "nl-BE", "nl", "op 2 maart 2026.", "€\u{a0}62,35"),
    ] {
        let mail = templates.email("win-back/first", sample, &frame(shop, locale)).expect("a mail");
        assert!(mail.html.contains(&format!("<html lang=\"{lang}\"")), "{locale}: {}", mail.html);
        assert!(mail.text.contains(date) && mail.text.contains(price), "{locale}: {}", mail.text);
    }
}

#[test]
fn every_sms_is_short_names_the_shop_and_says_how_to_stop() {
    let shop = example_shop();
    let templates = templates();
    let mut seen = 0;
    for name in templates.names().filter(|name| templates.has(name, MessageChannel::Sms)) {
        for data in [templates.sample(name).expect("a sample"), &least(), &hostile()] {
            for language in ["en", "nl"] {
                let sms = templates.sms(name, data, &frame(&shop, language)).expect("an SMS").text;
                // All of ASCII's letters and digits are in GSM 03.38, where 160 fit into one.
                assert!(sms.is_ascii() && sms.len() <= 160, "{name}: {} {sms}", sms.len());
                assert!(sms.starts_with("Your shop: ") && sms.contains("STOP"), "{name}: {sms}");
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "an SMS ships");
}

/// A made-up week and what follows from it: each template is sent to somebody, and renders with what
/// the engine gives.
#[test]
fn every_template_is_sent_in_the_demo_s_shop() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = folder.path().join("week.ndjson").display().to_string();
    for args in [
        &["generate", "--customers", "300", "--days", "7", "--out", &events][..],
        &["replay", "--events", &events, "--until", "2026-07-01T00:00:00Z"],
    ] {
        let output = crate::support::waypost().args(args).output().expect("the command runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        std::fs::write(folder.path().join(args[0]), output.stdout).expect("a file");
    }
    let decisions = std::fs::read_to_string(folder.path().join("replay")).expect("the decisions");
    let templates = templates();
    let mut sent = BTreeSet::new();
    for line in decisions.lines().filter(|line| line.contains("\"decision\":\"send\"")) {
        let decision: Json = serde_json::from_str(line).expect("JSON");
        let text = |field: &str| decision[field].as_str().expect("a text").to_owned();
        let (template, channel, data) = (text("template"), text("channel"), &decision["data"]);
        let shop = example_shop();
        let language = data["customer"]["locale"].as_str().unwrap_or("en");
        let frame = frame(&shop, language);
        // Whom no variant is for gets the English text, and it says so.
        let written_in = match &language[..2] {
            "nl" => "nl",
            "en" => language,
            _ => "en",
        };
        match channel.as_str() {
            "email" => {
                let mail = templates.email(&template, data, &frame).expect("the mail is rendered");
                check(&mail, written_in, &format!("{template} in {language} with {data}"));
            }
            _ => assert!(templates.sms(&template, data, &frame).is_ok(), "{template} with {data}"),
        }
        sent.insert((template, channel));
    }
    let mut all: BTreeSet<(String, String)> =
        templates.names().map(|name| (name.to_owned(), "email".to_owned())).collect();
    all.insert(("abandoned-checkout/second".to_owned(), "sms".to_owned()));
    assert_eq!(sent, all);
}

fn frame<'a>(shop: &'a Shop, locale: &'a str) -> Frame<'a> {
    let zone = Zone::named("Europe/Amsterdam").expect("a zone");
    Frame { shop, locale: Some(locale), zone, unsubscribe_url: Some(UNSUBSCRIBE) }
}

/// The least that is known of a customer and a product.
fn least() -> Json {
    whole(
        &json!({ "email": "a@shop.example", "known": true, "signed_in": false }),
        &[json!({
            "sku": "FH-1", "quantity": 1,
        })],
    )
}

/// More than anybody planned for.
fn hostile() -> Json {
    let money = json!({ "amount": "12345.67", "currency": "EUR" });
    let names = [
        "Hand-knitted merino wool mountaineering cardigan with a hood",
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
        "كرسي خشبي مصنوع يدويًا",
        "<b>bold</b> & \"quoted\" {{name}}",
    ];
    let items: Vec<Json> = (0..12)
        .map(|number| {
            json!({
                "sku": format!("SKU-{number}"), "quantity": 99, "price": money, "total": money,
                "name": names[number % names.len()].replace("{{name}}", "{ {name} }"),
                "image": "https://shop.example/a.jpg?a=1&b=\"2\"",
                "options": "color=very dark forest green;size=XXL",
            })
        })
        .collect();
    let name = "Maximiliana-Wilhelmina Alexandrina van der Bloemendaal\r\nBcc: x@y.example";
    let customer = json!({
        "first_name": name, "email": "a@shop.example", "phone": "+31612345678",
        "known": true, "signed_in": true,
    });
    whole(&customer, &items)
}

fn whole(customer: &Json, items: &[Json]) -> Json {
    let at = "2026-03-02T01:07:15Z";
    json!({
        "customer": customer,
        "cart": { "count": items.len(), "lines": items.len(), "items": items, "checkout": false },
        "event": { "name": "cart.changed", "time": at, "channel": "web", "items": items },
        "orders": { "count": 0, "total": { "amount": "0.00" }, "last_items": [] },
        "browse": { "items": items, "count": items.len() },
        "run": { "started_at": at, "messages": 0, "key": "" },
        "now": at,
    })
}
