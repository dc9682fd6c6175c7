//! Delivery over a database that goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use waypost::config::Audience;
use waypost::deliver::{Composer, Delivery, Routes, Way};
use waypost::journey::{Class, Rules, Shop};
use waypost::metrics::Metrics;
use waypost::model::{MessageId, Timestamp};
use waypost::postgres::Postgres;
use waypost::provider::Caught;
use waypost::store::{
    DeliveryStatus, Listing, MessageChange, MessageFilter, Outgoing, PgStore, Store,
};
use waypost::template::{TemplateFile, Templates};

use super::desk::{Desk, MESSAGE, decision};
use crate::support;

/// No condition may take longer to come true on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_database_that_goes_away_is_waited_for() {
    let mut server = support::Postgres::own(&[]);
    let database = Postgres::connect(&server.fresh_database(), None, 4).await.expect("a database");
    database.migrate().await.expect("tables");
    let mut desk = Desk::over(PgStore::new(database), decision(Class::Marketing, None)).await;
    let caught = tempfile::tempdir().expect("a folder");
    let (woken, wakes) = watch::channel(0_u64);
    let (stop, stops) = watch::channel(false);
    let delivery = delivery(&desk.store, &caught).await;
    let task = tokio::spawn(delivery.run(wakes, stops));
    ends(&*desk.store, MESSAGE, DeliveryStatus::Sent).await;

    server.kill();
    woken.send_modify(|count| *count += 1);
    let error = desk.store.outbox_pending(1).await.expect_err("it is away");
    assert!(error.is_transient(), "{error:?}");
    server.restart();
    desk.take_again().await;
    let mut second = decision(Class::Marketing, None);
    second.message = MessageId(8);
    desk.checkpoint(vec![MessageChange::Decided(Box::new(second))], &[]).await;
    // Nobody wakes it: it looks around by itself.
    ends(&*desk.store, MessageId(8), DeliveryStatus::Sent).await;
    stop.send_replace(true);
    task.await.expect("no panic").expect("no fault of the store");
}

/// Delivery from a store into a folder.
pub(super) async fn delivery<S: Outgoing>(
    store: &Arc<S>,
    caught: &tempfile::TempDir,
) -> Delivery<S> {
    let template = "---\nsubject: Hello\npreheader: It is us.\n---\n<html lang=\"en\"><body>\
                    <p>Hi {{default unsubscribe_url \"\"}}</p></body></html>\n";
    let files = [
        ("cart/first/email.html", template),
        ("cart/first/sms.txt", "Hello.\n"),
        ("cart/first/sample.json", "{}"),
    ];
    let files = files.map(|(path, text)| TemplateFile {
        path: path.to_owned(),
        bytes: text.as_bytes().to_vec(),
    });
    let (templates, report) = Templates::compile(&files, "templates");
    assert!(!report.has_errors(), "{}", report.render(false));
    let shop = Shop { sender: Some("shop@shop.example".into()), ..Shop::default() };
    let caught = Arc::new(Caught::open(caught.path()).expect("a folder"));
    Delivery {
        store: Arc::clone(store),
        composer: watch::channel(Arc::new(Composer {
            templates,
            rules: Arc::new(Rules { default_shop: shop, ..Rules::default() }),
            keys: Arc::from([]),
            secret: store.ledger().secret_key().await.expect("a key"),
            pages: "http://127.0.0.1:1".into(),
            mark: "",
        }))
        .1,
        routes: Routes {
            email: Way::Caught(Arc::clone(&caught)),
            sms: Way::Caught(caught),
            audience: Audience::Everybody,
        },
        at_once: 2,
        now: Arc::new(|| Timestamp::from_ms(2_000)),
        outbox: watch::channel(0).0,
        metrics: Arc::new(Metrics::new(Arc::new(|| Timestamp::from_ms(2_000)))),
    }
}

/// Waits until a message has ended so.
pub(super) async fn ends<S: Outgoing>(store: &S, message: MessageId, status: DeliveryStatus) {
    let filter = MessageFilter { message: Some(message), limit: 1, ..MessageFilter::default() };
    let looking = async {
        loop {
            let found = store.ledger().messages(&filter).await.expect("messages");
            let row = found[0].1.clone().expect("a delivery");
            if row.status.is_final() {
                return assert_eq!(row.status, status, "{row:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.expect("it ends in time");
}
