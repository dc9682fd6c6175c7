//! Configurations as data: what they give and what is said of wrong ones.

use std::path::Path;

use super::*;
use crate::diagnostic::SourceFile;
use crate::journey::{ConsentMode, OnCap};
use crate::model::{Currency, MessageChannel, Zone};

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let file = SourceFile::new("waypost.yaml", text);
    let variables =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let (config, report) = Config::read(Some(&file), Path::new("/shop"), &variables);
    config.ok_or_else(|| report.render(false))
}

#[test]
fn everything_has_a_default() {
    let config = read("# nothing yet\n", &[]).expect("a configuration");
    assert_eq!(config.store.log, Path::new("/shop/data/log.db"));
    assert_eq!(config.store.partitions, 1);
    assert_eq!(config.http.listen, "127.0.0.1:7070".parse().expect("an address"));
    assert_eq!((config.ticks.every_ms, config.ticks.grace_ms), (1_000, 10_000));
    assert_eq!(config.rules(), Rules::default());
}

#[test]
fn a_whole_file_becomes_rules() {
    let text = r#"
store: { state: /var/lib/waypost/state.db, log: log.db, partitions: 4 }
inputs:
  storefront: { format: xdm }
  back-office: { format: mapping, mapping: mappings/erp.yaml, settle: 20m, carries: [ order.placed ] }
http: { listen: "0.0.0.0:80", token: very-secret-token, body_limit: 1 MB }
ticks: { every: 2s, grace: 1m }
checkpoint: { records: 500 }
cache_bytes: 1 GB
shops:
  default: { name: Shop, currency: EUR, zone: Europe/Amsterdam, country: NL }
  be: { name: Winkel, locale: nl-BE, country: BE, product_url: "https://shop.example/{sku}" }
consent:
  - { channel: email, mode: opt_in }
  - { channel: email, country: DE, mode: double_opt_in }
limits:
  - { channel: sms, at_most: 1, per: 7 days, on_cap: wait }
"#;
    let config = read(text, &[]).expect("a configuration");
    assert_eq!(config.checkpoint.records, 500);
    assert_eq!(config.store.log, Path::new("/shop/log.db"));
    assert_eq!(config.cache_bytes, 1_000_000_000);
    let rules = config.rules();
    let shop = rules.shop(Some(&"be".into()));
    assert_eq!(shop.name.as_deref(), Some("Winkel"));
    assert_eq!(shop.currency, Currency::new("EUR"));
    assert_eq!(shop.zone, Zone::named("Europe/Amsterdam"));
    assert_eq!(rules.consent(MessageChannel::Email, Some("DE")), ConsentMode::Double);
    assert_eq!(rules.consent(MessageChannel::Email, Some("NL")), ConsentMode::Explicit);
    assert_eq!(rules.settle_ms([EventName::OrderPlaced].iter()), 20 * 60_000);
    assert_eq!(rules.settle_ms([EventName::CartEmptied].iter()), 0);
    assert_eq!(rules.caps[0].on_cap, OnCap::Wait);
    // A secret is nowhere in what may be logged.
    let debug = format!("{config:?}");
    assert!(!debug.contains("very-secret"), "{debug}");
}

#[test]
fn variables_set_every_key() {
    let config = read(
        "http: { listen: 127.0.0.1:1 }\ninputs: { back-office: { format: xdm } }\n",
        &[
            ("WAYPOST_HTTP_LISTEN", "127.0.0.1:2"),
            ("WAYPOST_HTTP_TOKEN", "yes: no # not YAML"),
            ("WAYPOST_STORE_PARTITIONS", "4"),
            ("WAYPOST_INPUTS_BACK_OFFICE_SETTLE", "5m"),
            ("WAYPOST_INPUTS_APP_FORMAT", "cloudevents"),
            ("WAYPOST_INPUTS_APP_CARRIES", "[ cart.viewed, order.placed ]"),
            ("WAYPOST_SHOPS_DEFAULT_COUNTRY", "NO"),
            ("WAYPOST_LIMITS", "[ { at_most: 3, per: 7 days } ]"),
            ("PATH", "/bin"),
        ],
    )
    .expect("a configuration");
    assert_eq!(config.http.listen.port(), 2);
    assert_eq!(config.http.token, Some(Secret::new("yes: no # not YAML")));
    assert_eq!(config.store.partitions, 4);
    assert_eq!(config.inputs["back-office"].settle, Delay::exact(300_000));
    assert_eq!(config.inputs["app"].carries.as_ref().map(BTreeSet::len), Some(2));
    assert_eq!(config.default_shop.country.as_deref(), Some("NO"));
    assert_eq!(config.limits.len(), 1);
    for key in keys() {
        assert!(key.variable.starts_with("WAYPOST_"), "{key:?}");
        assert!(!key.meaning.is_empty(), "{key:?}");
    }
}

#[test]
fn secrets_are_not_shown_by_messages() {
    for (text, variables) in [
        ("http:\n  token: tooshort\n", &[][..]),
        ("http: { listen: \"0.0.0.0:80x\", token: tooshort }\n", &[]),
        ("http: { token: 'tooshort', tokens: 1 }\n", &[]),
        ("", &[("WAYPOST_HTTP_TOKEN", "tooshort")]),
    ] {
        let message = read(text, variables).expect_err("an error");
        assert!(!message.contains("tooshort"), "{message}");
        assert!(message.contains("*****"), "{message}");
    }
}

const COMPLETE: &str = "shops:\n  default: { sender: Shop <shop@shop.example>, postal_address: \"Dam 1, \
     Amsterdam\", public_url: \"https://mail.shop.example\" }\n";

#[test]
fn messages_are_caught_unless_a_provider_is_named() {
    let deliver = read("", &[]).expect("a configuration").deliver;
    assert_eq!((deliver.smtp, deliver.twilio), (None, None));
    assert_eq!(deliver.caught, Path::new("/shop/data/caught"));
    let nobody = Audience::Only { only_to: Vec::new(), redirect_email: None, redirect_sms: None };
    assert_eq!(deliver.audience, nobody);

    let text = format!(
        "{COMPLETE}deliver: {{ email: smtp, sms: twilio, only_to: [ Ann@shop.example, '@QA.example' ], \
         redirect_to: [ qa@shop.example, '+31612345678' ] }}\n\
         smtp: {{ host: mail.shop.example, user: shop }}\n\
         twilio: {{ account: AC1, token: very-secret, from: '+31600000000' }}\n"
    );
    let deliver =
        read(&text, &[("WAYPOST_SMTP_PASSWORD", "hidden-too")]).expect("a configuration").deliver;
    let smtp = deliver.smtp.clone().expect("a server");
    assert_eq!((smtp.port, smtp.tls), (465, Protection::Implicit));
    assert_eq!(
        deliver.audience,
        Audience::Only {
            only_to: vec!["ann@shop.example".into(), "@qa.example".into()],
            redirect_email: Some("qa@shop.example".into()),
            redirect_sms: Some("+31612345678".into()),
        }
    );
    let debug = format!("{deliver:?}");
    assert!(!debug.contains("very-secret") && !debug.contains("hidden-too"), "{debug}");
    let production = format!("environment: production\n{text}");
    let variables = [("WAYPOST_SMTP_PASSWORD", "p")];
    let audience = read(&production, &variables).expect("a configuration").deliver.audience;
    assert_eq!(audience, Audience::Everybody);
}

#[test]
fn a_provider_that_can_not_be_used_is_told_at_once() {
    let check = |text: &str, said: &[&str]| {
        let message = read(text, &[]).expect_err("an error");
        for words in said {
            assert!(message.contains(words), "{text}\nhas no {words:?}:\n{message}");
        }
    };
    let smtp = "deliver: { email: smtp }\nsmtp: { host: localhost, tls: none }\n";
    check("deliver: { email: smtp }\n", &["needs `smtp`", "waypost.yaml:1:1"]);
    check(smtp, &["shop `default` has no sender, no postal_address, no public_url"]);
    check(
        &format!(
            "{COMPLETE}deliver: {{ email: smtp }}\nsmtp: {{ host: mail.shop.example, tls: none }}\n"
        ),
        &["readable on the way", "`none` is for a server on this machine"],
    );
    check(
        &format!("{COMPLETE}deliver: {{ email: smtp }}\nsmtp: {{ host: a.example, user: me }}\n"),
        &["needs `smtp.password`", "WAYPOST_SMTP_PASSWORD"],
    );
    check("deliver: { sms: twilio }\n", &["needs `twilio`"]);
    check(
        "deliver: { sms: twilio }\ntwilio: { account: AC1, token: t }\n",
        &["needs `from` or `messaging_service`"],
    );
    check("deliver: { only_to: ann }\n", &["this is no address", "1:21"]);
    check("deliver: { redirect_to: [ a@b.example, c@b.example ] }\n", &["stands above"]);
    check("deliver: { at_once: 0 }\n", &["1 to 256 messages"]);
    check("environment: staging\n", &["production", "test"]);
}
