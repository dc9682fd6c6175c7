//! What a log in Kafka keeps in Postgres: how far time is known.

use waypost::log::{Error, Registry};
use waypost::model::{DAY_MS, Timestamp};
use waypost::worker::{Clock as _, SystemClock};

use crate::store::fresh_on_a_server;

async fn registry() -> Registry {
    let store = fresh_on_a_server().await;
    Registry::open(store.database().clone(), 1).await.expect("a registry")
}

#[tokio::test]
async fn one_wrong_clock_moves_time_on_no_further() {
    let registry = registry().await;
    let now = SystemClock.now();
    let tick = |at: Timestamp| registry.begin_tick(at, at);
    assert!(tick(now.plus_ms(-1_000)).await.expect("a tick").is_some());
    for ahead in [60_000, 365 * DAY_MS] {
        let error = tick(now.plus_ms(ahead)).await.expect_err("ahead");
        assert!(matches!(error, Error::ClockAhead { by_ms } if by_ms <= ahead), "{error}");
        assert!(error.is_transient(), "the worker goes on");
        assert!(error.to_string().contains("waypost doctor"), "{error}");
    }
    assert!(tick(now).await.expect("a tick").is_some(), "time was not moved on");
    assert!(tick(now).await.expect("no tick").is_none(), "it was said before");
}
