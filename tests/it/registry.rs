//! What a log in Kafka keeps in Postgres: how far time is known, and that erased names go.

use waypost::log::{DeadLetter, DeadLetterFilter, DeadLetters as _, Error, Registry};
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

fn letter(position: u64, payload: &[u8], reason: &str) -> DeadLetter {
    DeadLetter {
        source: 1,
        partition: 0,
        position,
        reason: reason.to_owned(),
        payload: Some(payload.to_vec()),
        whole: true,
        at: Timestamp::from_ms(1),
    }
}

/// Erases names, and holds what is left of some letters against what must be.
async fn check_erased(names: &[String]) {
    let registry = registry().await;
    let letters = [
        (letter(0, b"{\"email\":\"ANN@shop.example\"}", "odd"), false, "odd"),
        (letter(1, b"{\"email\":\"joann@shop.example\"}", "odd"), true, "odd"),
        (letter(2, b"{}", "no such mail: ann@shop.example"), false, "erased"),
        (letter(3, b"\xff\x00ann@shop.example\xfe", "odd"), false, "odd"),
        (letter(4, b"back\\slash ann@shop.example.", "odd"), false, "odd"),
        (letter(5, b"", "odd"), true, "odd"),
    ];
    let mut all: Vec<DeadLetter> = letters.iter().map(|(letter, _, _)| letter.clone()).collect();
    // More than are looked through at a time, and one more behind them.
    all.extend((6..1_500).map(|position| letter(position, b"{}", "odd")));
    all.push(letter(1_500, b"ann@shop.example", "odd"));
    let taking = registry.begin().await.expect("a batch");
    taking.keep(&[], &[], &all, &[]).await.expect("letters");
    let taking = registry.begin().await.expect("a batch");
    taking.keep(&[], &[], &[], names).await.expect("names are erased");
    let filter = DeadLetterFilter { limit: 2_000, ..DeadLetterFilter::default() };
    let left = registry.dead_letters(&filter).await.expect("letters");
    assert_eq!(left.len(), all.len());
    for (at, kept, reason) in letters
        .iter()
        .map(|(letter, kept, reason)| (letter.position, *kept, *reason))
        .chain([(1_499, true, "odd"), (1_500, false, "odd")])
    {
        let letter = left.iter().map(|kept| &kept.letter).find(|letter| letter.position == at);
        let letter = letter.expect("the letter is there");
        let found = (letter.payload.is_some(), letter.whole, letter.reason.as_str());
        assert_eq!(found, (kept, kept, reason), "{at}, {} names", names.len());
    }
}

#[tokio::test]
async fn erased_names_go_from_dead_letters_one_or_thousands_at_a_time() {
    let ann = "ann@shop.example".to_owned();
    check_erased(std::slice::from_ref(&ann)).await;
    check_erased(&[String::new(), ann.clone(), "zoë@shop.example".to_owned()]).await;
    let mut names: Vec<String> = (0..5_000).map(|name| format!("p{name}@shop.example")).collect();
    names.push(ann);
    check_erased(&names).await;
}
