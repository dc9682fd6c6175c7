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
    let [year, month] = [400, 30].map(|days| Some(Delay::days(days)));
    assert_eq!(config.keep, Keep { messages: year, trace: year, dead_letters: month });
}

#[test]
fn how_long_is_kept_is_said_and_not_too_short() {
    let keep = |written: &str| read(&format!("keep: {{ {written} }}"), &[]);
    let kept = keep("messages: forever, dead_letters: 1 day").expect("a configuration").keep;
    let (trace, day) = (Some(Delay::days(400)), Some(Delay::days(1)));
    assert_eq!(kept, Keep { messages: None, trace, dead_letters: day });
    for (written, told) in [
        ("messages: 6 days", "write at least 7 days, or `forever`"),
        ("trace: 23h", "write at least 1 day, or `forever`"),
        ("dead_letters: never", "duration"),
    ] {
        let report = keep(written).expect_err("a mistake");
        assert!(report.contains(told), "{told} is not in\n{report}");
    }
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

const PRODUCTION: &str = r#"
kafka:
  brokers: [ "kafka-1:9092", "kafka-2:9092,kafka-3:9092" ]
  partitions: 8
  retention: 400 days
  dead_letters: shop.dead
  properties: { security.protocol: SASL_SSL, sasl: { mechanism: SCRAM-SHA-512, username: shop }, linger.ms: 20 }
  secret_files: { ssl.key.password: keys/kafka }
postgres: { url: "postgres://waypost:hidden-too@db.example/waypost?sslmode=verify-full" }
inputs:
  web: { topic: shop.web, format: xdm }
  erp: { topic: shop.erp, format: cloudevents, blocking: false }
"#;

#[test]
fn production_is_kafka_and_postgres() {
    let variables = [
        ("WAYPOST_KAFKA_SECRETS_SASL_PASSWORD", "very: secret # 1"),
        ("WAYPOST_KAFKA_PROPERTIES_SASL_USERNAME", "waypost"),
        ("WAYPOST_KAFKA_REPLICATION", "3"),
        ("WAYPOST_POSTGRES_CONNECTIONS", "20"),
    ];
    let config = read(PRODUCTION, &variables).expect("a configuration");
    let Production { kafka, postgres } = config.production.clone().expect("production");
    assert_eq!(kafka.brokers, ["kafka-1:9092", "kafka-2:9092", "kafka-3:9092"]);
    assert_eq!((kafka.partitions, kafka.replication), (8, Some(3)));
    assert_eq!(kafka.retention, Some(Delay::days(400)));
    assert_eq!(kafka.dead_letters.as_deref(), Some("shop.dead"));
    assert_eq!(
        (kafka.log_topic(), kafka.feedback_topic()),
        ("waypost.log".into(), "waypost.feedback".into())
    );
    let properties: Vec<_> =
        kafka.properties.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(
        properties,
        [
            ("linger.ms", "20"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "waypost"),
            ("security.protocol", "SASL_SSL"),
        ]
    );
    assert_eq!(kafka.secrets["sasl.password"], Secret::new("very: secret # 1"));
    assert_eq!(kafka.secret_files["ssl.key.password"], Path::new("/shop/keys/kafka"));
    assert_eq!(postgres.connections, 20);
    assert_eq!(postgres.shown(), "postgres://waypost:***@db.example/waypost?sslmode=verify-full");
    assert_eq!(config.inputs["web"].topic.as_deref(), Some("shop.web"));
    assert!(config.inputs["web"].blocking && !config.inputs["erp"].blocking);
    let shown = format!("{config:?}{:?}", config.settings(&Origins::new()));
    assert!(!shown.contains("very: secret") && !shown.contains("hidden-too"), "{shown}");
    // The defaults.
    let least = "kafka: { brokers: k }\npostgres: { url: 'postgresql://db/waypost' }\n\
                 inputs: { web: { topic: shop.web, format: xdm } }\n";
    let Production { kafka, postgres } =
        read(least, &[]).expect("a configuration").production.expect("production");
    assert_eq!((kafka.name.as_str(), kafka.partitions), ("waypost", 64));
    assert_eq!((kafka.replication, kafka.retention, postgres.connections), (None, None, 10));
    assert_eq!(read("", &[]).expect("a configuration").production, None);
}

#[test]
fn mistakes_about_production_are_told() {
    let check = |kafka: &str, postgres: &str, inputs: &str, said: &[&str]| {
        let text = format!("{kafka}\n{postgres}\n{inputs}\n");
        let message = read(&text, &[]).expect_err("an error");
        for words in said {
            assert!(message.contains(words), "{text}\nhas no {words:?}:\n{message}");
        }
        assert!(!message.contains("hidden"), "{message}");
    };
    let kafka = "kafka: { brokers: k:9092 }";
    let postgres = "postgres: { url: 'postgres://db/waypost' }";
    let inputs = "inputs: { web: { topic: shop.web, format: xdm } }";
    let of = |rest: &str, said: &[&str]| {
        check(&format!("kafka: {{ brokers: k:9092, {rest} }}"), postgres, inputs, said);
    };
    check(kafka, "", inputs, &["`kafka` needs `postgres`"]);
    check("", postgres, "", &["`postgres` needs `kafka`"]);
    check("", "", inputs, &["`topic` has a meaning only with `kafka`"]);
    check(
        "",
        "",
        "inputs: { web: { blocking: true, format: xdm } }",
        &["`blocking` has a meaning"],
    );
    check(kafka, postgres, "", &["`kafka` needs `inputs`"]);
    check(kafka, postgres, "inputs: { web: { format: xdm } }", &["the input `web` needs `topic`"]);
    check(
        kafka,
        postgres,
        "inputs: { a: { topic: t, format: xdm }, b: { topic: t, format: xdm } }",
        &["`t` is read by the input `a`, too", "a topic of its own"],
    );
    check(
        kafka,
        postgres,
        "inputs: { a: { topic: waypost.log, format: xdm } }",
        &["read by Waypost's own log, too"],
    );
    check(kafka, postgres, "inputs: { a: { topic: shop/web, format: xdm } }", &["'/' is none of"]);
    of("partitions: 0", &["1 to 1024 partitions"]);
    of("partitions: 1025", &["1 to 1024 partitions"]);
    of("replication: 0", &["1 to 15 replicas"]);
    of("retention: 0s", &["keeps nothing"]);
    of("dead_letters: waypost.log", &["is Waypost's own log topic"]);
    of("name: 'shop nl'", &["' ' is none of"]);
    of("name: ''", &["has no letter"]);
    of("partitionz: 3", &["`partitionz` is no field of `kafka`"]);
    for (property, said) in [
        ("group.id", "set that, where two workers share a Kafka"),
        ("enable.auto.commit", "positions are kept"),
        ("isolation.level", "once it is certain"),
        ("enable.idempotence", "written once, in order"),
        ("bootstrap.servers", "`kafka.brokers`"),
        ("log_level", "--log"),
    ] {
        let message = format!("Waypost sets `{property}` itself");
        of(&format!("properties: {{ {property}: x }}"), &[&message, said]);
    }
    of("properties: { sasl: { password: hidden } }", &["would be shown", "`kafka.secrets`"]);
    of(
        "secrets: { ssl.key.password: hidden }, secret_files: { ssl.key.password: a }",
        &["`ssl.key.password` is given twice"],
    );
    check("kafka: { brokers: 'kafka://k:9092' }", postgres, inputs, &["has no scheme"]);
    check("kafka: { brokers: 'a, ,b' }", postgres, inputs, &["this is no server"]);
    check("kafka: { brokers: [] }", postgres, inputs, &["names no server"]);
    check(kafka, "postgres: { url: 'hidden@db' }", inputs, &["no address of a database"]);
    check(kafka, "postgres: { connections: 5 }", inputs, &["needs `url`"]);
    check(
        kafka,
        "postgres: { url: 'postgres://a:hidden@db/w', password: hidden }",
        inputs,
        &["given twice"],
    );
    check(
        kafka,
        "postgres: { url: 'postgres://db/waypost', connections: 1 }",
        inputs,
        &["2 to 1000 connections"],
    );
}

#[test]
fn a_store_beside_kafka_is_warned_of() {
    let file = SourceFile::new("waypost.yaml", format!("{PRODUCTION}store: {{ partitions: 4 }}\n"));
    let (config, report) = Config::read(Some(&file), Path::new(""), &BTreeMap::new());
    assert!(config.is_some());
    let message = report.render(false);
    assert!(message.contains("`store` is not used"), "{message}");
}

#[test]
fn what_kubernetes_sets_for_services_is_no_key() {
    let set = |name: &str| BTreeMap::from([(name.to_owned(), "10.0.0.1".to_owned())]);
    for name in [
        "WAYPOST_PUBLIC_SERVICE_HOST",
        "WAYPOST_PUBLIC_SERVICE_PORT",
        "WAYPOST_PUBLIC_SERVICE_PORT_HTTP",
        "WAYPOST_PUBLIC_PORT",
        "WAYPOST_PUBLIC_PORT_80_TCP",
        "WAYPOST_PUBLIC_PORT_80_TCP_ADDR",
    ] {
        let (config, report) = Config::read(None, Path::new(""), &set(name));
        assert!(config.is_some() && !report.has_errors(), "{name}: {}", report.render(false));
    }
    let (_, report) = Config::read(None, Path::new(""), &set("WAYPOST_PUBLIC_PORTS"));
    assert!(report.has_errors());
}
