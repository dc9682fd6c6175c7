//! What a provider said is kept, however long the store takes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::http::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::watch;
use waypost::config::Secret;
use waypost::deliver::Way;
use waypost::engine::Decision;
use waypost::journey::Class;
use waypost::model::{CustomerId, MessageChannel, Timestamp};
use waypost::sms::{Sender, Timeouts, Twilio, TwilioSettings};
use waypost::store::{
    Begin, Claim, DeliveryStatus, End, Error, Hold, Outgoing, Pinned, Recovered, SqliteLedger,
    SqliteStore, StoredMessage, Suppression,
};

use super::desk::{Desk, MESSAGE, decision};
use super::outage::{delivery, ends};

/// More than anybody would count to.
const REFUSALS: u32 = 100;

/// A store that takes no answer of a provider so many times.
struct Refusing {
    store: Arc<SqliteStore>,
    left: AtomicU32,
}

impl Refusing {
    fn takes(&self) -> Result<(), Error> {
        let less = |left: u32| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(_) => Err(Error::File(waypost::sqlite::Error::Busy { path: "state.db".into() })),
            Err(_) => Ok(()),
        }
    }
}

impl Outgoing for Refusing {
    type Ledger = SqliteLedger;

    fn ledger(&self) -> &SqliteLedger {
        self.store.ledger()
    }

    async fn recover(
        &self,
        now: Timestamp,
        repeatable: impl Fn(MessageChannel) -> bool + Send,
    ) -> Result<Recovered, Error> {
        self.store.recover(now, repeatable).await
    }

    async fn claim(&self, now: Timestamp, limit: u32) -> Result<Vec<Claim>, Error> {
        self.store.claim(now, limit).await
    }

    async fn start(&self, claim: &Claim, pinned: &Pinned, now: Timestamp) -> Result<Begin, Error> {
        self.store.start(claim, pinned, now).await
    }

    async fn dot_sent(&self, claim: &Claim, now: Timestamp) -> Result<(), Error> {
        self.store.dot_sent(claim, now).await
    }

    async fn end(&self, claim: &Claim, end: &End, now: Timestamp) -> Result<(), Error> {
        self.takes()?;
        self.store.end(claim, end, now).await
    }

    async fn again(
        &self,
        claim: &Claim,
        try_after: Timestamp,
        counts: bool,
        detail: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.takes()?;
        self.store.again(claim, try_after, counts, detail, now).await
    }

    async fn hold(&self, hold: &Hold, held: bool, now: Timestamp) -> Result<bool, Error> {
        self.store.hold(hold, held, now).await
    }

    async fn cancel(&self, message: &StoredMessage, now: Timestamp) -> Result<bool, Error> {
        self.store.cancel(message, now).await
    }

    async fn resolve(
        &self,
        message: &StoredMessage,
        sent: bool,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.store.resolve(message, sent, now).await
    }

    async fn unsubscribe(
        &self,
        suppression: &Suppression,
        customer: CustomerId,
    ) -> Result<bool, Error> {
        self.takes()?;
        self.store.unsubscribe(suppression, customer).await
    }
}

/// Delivers a message until it has ended so; the desk that it left.
async fn delivered(decision: Decision, sms: Option<Way<Twilio>>, status: DeliveryStatus) -> Desk {
    let desk = <Desk>::new(decision).await;
    let store = Refusing { store: Arc::clone(&desk.store), left: AtomicU32::new(REFUSALS) };
    let caught = tempfile::tempdir().expect("a folder");
    let mut delivery = delivery(&Arc::new(store), &caught).await;
    if let Some(sms) = sms {
        delivery.routes.sms = sms;
    }
    let (_woken, wakes) = watch::channel(0_u64);
    let (stop, stops) = watch::channel(false);
    let task = tokio::spawn(delivery.run(wakes, stops));
    ends(&*desk.store, MESSAGE, status).await;
    stop.send_replace(true);
    task.await.expect("no panic").expect("no fault of the store");
    desk
}

#[tokio::test]
async fn that_it_was_taken() {
    delivered(decision(Class::Marketing, None), None, DeliveryStatus::Sent).await;
}

#[tokio::test]
async fn that_its_owner_said_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("a port"));
    let says = r#"{"code": 21610, "message": "they said STOP"}"#;
    let app = Router::new().fallback(move || async move { (StatusCode::BAD_REQUEST, says) });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let settings = TwilioSettings {
        base_url: url,
        account: "AC0123".to_owned(),
        token: Secret::new("sword fish".to_owned()),
        sender: Sender::From("+15005550006".to_owned()),
        ca_file: None,
        timeouts: Timeouts::default(),
    };
    let twilio = Way::Provider(Twilio::new(settings).expect("settings"));
    let text = Decision {
        channel: MessageChannel::Sms,
        data: r#"{"customer":{"phone":"+31612345678"}}"#.to_owned(),
        ..decision(Class::Marketing, None)
    };
    let desk = delivered(text, Some(twilio), DeliveryStatus::Refused).await;
    let told: Vec<String> = desk.told().await.iter().map(|name| name.as_str().to_owned()).collect();
    assert_eq!(told, ["customer.unsubscribed", "sms.failed"]);
}
