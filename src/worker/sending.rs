//! How messages leave a worker: delivery, and the pages on which customers unsubscribe.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::deliver::{Composer, Delivery, Routes};
use crate::journey::Rules;
use crate::mail::Dkim;
use crate::metrics::Metrics;
use crate::store::{Listing, Outgoing};
use crate::template::Templates;

use super::{Clock, Error, public};

/// How messages leave a worker.
pub struct Sending {
    /// What is rendered.
    pub templates: Templates,
    /// The shops.
    pub rules: Arc<Rules>,
    /// Keys that sign mails.
    pub keys: Arc<[Dkim]>,
    /// Where messages leave.
    pub routes: Routes,
    /// How many are handed over at one time.
    pub at_once: u32,
    /// Where customers unsubscribe, from [`super::listen_to_customers`].
    pub pages: TcpListener,
}

impl Sending {
    /// Delivery, and the pages that customers see.
    pub(super) async fn open<C: Clock, S: Outgoing>(
        self,
        store: &Arc<S>,
        clock: &Arc<C>,
        outbox: &watch::Sender<u64>,
        metrics: Arc<Metrics>,
    ) -> Result<(Delivery<S>, TcpListener, axum::Router), Error> {
        let Self { templates, rules, keys, routes, at_once, pages: listener } = self;
        let secret = store.ledger().secret_key().await?;
        let pages = public::Pages {
            store: Arc::clone(store),
            clock: Arc::clone(clock) as Arc<dyn Clock>,
            secret,
            outbox: outbox.clone(),
            shop: rules.default_shop.name.clone(),
            locale: rules.default_shop.locale.clone(),
        };
        let here =
            listener.local_addr().map_or_else(|_| String::new(), |at| format!("http://{at}"));
        let now = Arc::clone(clock);
        let composer = Composer { templates, rules, keys, secret, pages: here, mark: "" };
        let delivery = Delivery {
            store: Arc::clone(store),
            // The embedded worker has the templates of its start.
            composer: watch::channel(Arc::new(composer)).1,
            routes,
            at_once,
            now: Arc::new(move || now.now()),
            outbox: outbox.clone(),
            metrics,
        };
        Ok((delivery, listener, public::routes(pages)))
    }
}
