//! The way out of messages in the production store: what is looked after, and what is claimed next.

use waypost::model::MessageId;
use waypost::postgres::query_scalar;
use waypost::store::{Begin, Hold, Recovered};

use crate::support;

use super::on_a_server::{DOT_SENT_MS, execute, pinned, with_messages};
use super::*;

/// The statuses of all deliveries, in the order of their messages.
async fn statuses(store: &PgStore) -> Vec<String> {
    let mut reading = store.database().begin("a test").await.unwrap();
    query_scalar("SELECT status FROM deliveries ORDER BY message")
        .fetch_all(&mut *reading)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_row_that_can_not_be_read_keeps_no_other_from_being_looked_after() {
    let url = support::postgres().fresh_database();
    let store = with_messages(&url, 5).await;
    let claims = store.claim(at(2_000), 5).await.unwrap();
    for claim in &claims[1..] {
        assert_eq!(store.start(claim, &pinned(), at(2_000)).await.unwrap(), Begin::Go);
    }
    for claim in &claims[2..] {
        store.dot_sent(claim, at(2_000)).await.unwrap();
    }
    // Words of another build: of no matter for 0 to 2, but what 3 leaves by says how it goes on.
    execute(
        &url,
        "UPDATE messages SET class = 'newer' WHERE get_byte(message, 15) < 3;
         UPDATE messages SET channel = 'newer' WHERE get_byte(message, 15) IN (0, 3)",
    )
    .await;
    let late = at(2_000 + DOT_SENT_MS);
    let recovered = store.recover(late, |_| false).await.unwrap();
    assert_eq!(recovered, Recovered { again: 2, in_doubt: 2 });
    let left = ["waiting", "waiting", "in_doubt", "dot_sent", "in_doubt"];
    assert_eq!(statuses(&store).await, left);
    assert_eq!(store.outbox_pending(9).await.unwrap().len(), 2, "the log hears of the doubtful");

    // A build that knows the word looks after it.
    execute(&url, "UPDATE messages SET channel = 'email'").await;
    let later = at(2_000 + 2 * DOT_SENT_MS);
    let recovered = store.recover(later, |_| false).await.unwrap();
    assert_eq!(recovered, Recovered { again: 0, in_doubt: 1 });
}

#[tokio::test]
async fn what_could_have_gone_for_longest_is_claimed_first() {
    let url = support::postgres().fresh_database();
    let store = with_messages(&url, 4).await;
    let claims = store.claim(at(2_000), 3).await.unwrap();
    for (claim, try_after) in claims.iter().zip([5_000, 4_000, 6_000]) {
        store.again(claim, at(try_after), true, "later", at(2_000)).await.unwrap();
    }
    let claimed = async |now, limit| -> Vec<u128> {
        let claims = store.claim(at(now), limit).await.unwrap();
        claims.iter().map(|claim| claim.message.decision.message).map(|MessageId(id)| id).collect()
    };
    store.hold(&Hold::All, true, at(2_000)).await.unwrap();
    assert_eq!(claimed(9_000, 9).await, [], "all are held");
    store.hold(&Hold::All, false, at(2_000)).await.unwrap();
    assert_eq!(claimed(5_000, 1).await, [3], "a first try, for which nothing else is awaited");
    assert_eq!(claimed(3_999, 9).await, [], "tries again, before their time");
    assert_eq!(claimed(5_000, 1).await, [1]);
    assert_eq!(claimed(5_000, 9).await, [0]);
    assert_eq!(claimed(6_000, 9).await, [2]);
}
