//! Delivery at work on a message, with a clock that is set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use waypost::config::{Audience, Secret};
use waypost::deliver::{Composer, Delivery, Routes, Way};
use waypost::engine::Decision;
use waypost::journey::{Class, Rules, Shop};
use waypost::mail::{Security, Smtp, SmtpSettings, Timeouts};
use waypost::metrics::Metrics;
use waypost::model::Timestamp;
use waypost::provider::Caught;
use waypost::store::{DeliveryRow, DeliveryStatus, Listing, MessageFilter, Outgoing};
use waypost::template::{TemplateFile, Templates};

use super::desk::{Desk, MESSAGE, decision};
use crate::mail_server::MailServer;

/// No condition may take longer to come true on a busy machine.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// The way to a mail server on this machine.
pub(super) fn to_port(port: u16, timeouts: Timeouts) -> Way<Smtp> {
    let settings = SmtpSettings {
        host: "127.0.0.1".into(),
        port,
        security: Security::None,
        allow_clear: false,
        hello: "shop.example".into(),
        login: Some(("shop".into(), Secret::new("secret"))),
        ca_file: None,
        timeouts,
    };
    Way::Provider(Smtp::new(settings).expect("settings"))
}

pub(super) fn to(server: &MailServer) -> Way<Smtp> {
    to_port(server.port(), Timeouts::default())
}

/// Names as many products of a cart as a template may.
const LIST: &str = "{{#each (first cart.items 50)}}{{sku}} {{/each}}, and {{more cart.items 50}}";
/// A product as templates are tried with.
const SAMPLE: &str = r#"{ "cart": { "items": [ { "sku": "A", "quantity": 1 } ] } }"#;

/// Delivery at work on a desk's one message.
pub(super) struct Work {
    pub(super) desk: Desk,
    clock: Arc<AtomicI64>,
    woken: watch::Sender<u64>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) task: tokio::task::JoinHandle<Result<(), waypost::store::Error>>,
}

impl Work {
    pub(super) async fn begin(decision: Decision, email: Way<Smtp>, audience: Audience) -> Self {
        Self::on(<Desk>::new(decision).await, email, audience).await
    }

    pub(super) async fn on(desk: Desk, email: Way<Smtp>, audience: Audience) -> Self {
        let template = "---\nsubject: Hello\npreheader: It is us.\n---\n<html lang=\"en\"><body>\
                        <p>{{cart.count}} {{default unsubscribe_url \"\"}}</p></body></html>\n";
        let files = [
            ("cart/first/email.html", template),
            ("cart/first/sample.json", "{ \"cart\": { \"count\": 1 } }"),
            ("cart/list/email.html", &template.replace("{{cart.count}}", LIST)),
            ("cart/list/sample.json", SAMPLE),
        ];
        let files = files.map(|(path, text)| TemplateFile {
            path: path.to_owned(),
            bytes: text.as_bytes().to_vec(),
        });
        let (templates, report) = Templates::compile(&files, "templates");
        assert!(!report.has_errors(), "{}", report.render(false));
        let shop = Shop { sender: Some("shop@shop.example".into()), ..Shop::default() };
        let rules = Rules { default_shop: shop, ..Rules::default() };
        let clock = Arc::new(AtomicI64::new(2_000));
        let (woken, wakes) = watch::channel(0);
        let (stop, stops) = watch::channel(false);
        let time = Arc::clone(&clock);
        let caught = tempfile::tempdir().expect("a folder");
        let composer = Composer {
            templates,
            rules: Arc::new(rules),
            keys: Arc::from([]),
            secret: desk.store.ledger().secret_key().await.expect("a key"),
            pages: "http://127.0.0.1:1".into(),
            mark: "",
        };
        let delivery = Delivery {
            store: Arc::clone(&desk.store),
            composer: watch::channel(Arc::new(composer)).1,
            routes: Routes {
                email,
                sms: Way::Caught(Arc::new(Caught::open(caught.path()).expect("a folder"))),
                audience,
            },
            at_once: 2,
            now: Arc::new(move || Timestamp::from_ms(time.load(Ordering::SeqCst))),
            outbox: watch::channel(0).0,
            metrics: Arc::new(Metrics::new(Arc::new(|| Timestamp::from_ms(0)))),
        };
        let task = tokio::spawn(delivery.run(wakes, stops));
        Self { desk, clock, woken, stop, task }
    }

    /// Moves the clock on, as checkpoints would wake delivery.
    pub(super) fn later(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
        self.woken.send_modify(|count| *count += 1);
    }

    /// Waits until the message's way out looks so.
    pub(super) async fn until(
        &self,
        what: &str,
        wanted: impl Fn(&DeliveryRow) -> bool,
    ) -> DeliveryRow {
        let filter = MessageFilter { message: Some(MESSAGE), limit: 1, ..MessageFilter::default() };
        let looking = async {
            loop {
                let found = self.desk.store.ledger().messages(&filter).await.expect("messages");
                let row = found[0].1.clone().expect("a delivery");
                if wanted(&row) {
                    return row;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, looking).await;
        found.unwrap_or_else(|_| panic!("waited too long for {what}"))
    }

    pub(super) async fn ends(&self, status: DeliveryStatus, detail: &str) {
        let row = self.until(status.as_str(), |row| row.status.is_final()).await;
        assert_eq!(row.status, status, "{row:?}");
        let said = row.detail.unwrap_or_default();
        assert!(said.contains(detail), "no `{detail}` in `{said}`");
    }

    pub(super) async fn stops(self) {
        self.stop.send_replace(true);
        self.task.await.expect("no panic").expect("no fault of the store");
    }
}

pub(super) fn marketing() -> Decision {
    let data = "{\"customer\":{\"email\":\"ann@shop.example\"},\"cart\":{\"count\":1}}";
    Decision { data: data.into(), ..decision(Class::Marketing, None) }
}
