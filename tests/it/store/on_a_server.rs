//! What the production store guarantees beyond the contract: many workers at a time, leases that
//! end, a database that comes and goes, roles without rights, a pooler in between.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use waypost::mail;
use waypost::model::{MINUTE_MS, MessageChannel, MessageId, Text};
use waypost::postgres::{Error as PgError, Postgres, query_scalar};
use waypost::sms;
use waypost::store::{
    Begin, Claim, DeliveryStatus, End, Listing, MessageFilter, Outcome, Pinned, Recovered,
    Suppression, SuppressionReason, address_hash,
};

use crate::support;

use super::*;

/// How long the leases of a message last.
const CLAIMED_MS: i64 = MINUTE_MS;
const STARTED_MS: i64 = 2 * MINUTE_MS;
pub(super) const DOT_SENT_MS: i64 = 15 * MINUTE_MS;

/// No condition may take longer to come true on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A store in a database of its own.
pub(crate) async fn fresh() -> PgStore {
    open(&support::postgres().fresh_database(), 4).await
}

pub(super) async fn open(url: &str, connections: u32) -> PgStore {
    let database = Postgres::connect(url, None, connections).await.unwrap();
    database.migrate().await.unwrap();
    PgStore::new(database)
}

pub(super) async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
}

/// A store with messages 0 to `messages` to be sent, whose time has come.
pub(super) async fn with_messages(url: &str, messages: u128) -> PgStore {
    let store = open(url, 4).await;
    let (lease, _) = store.take(0).await.unwrap();
    let ready = Checkpoint {
        position: Position { low: 1, end: 1, watermark: Some(at(2_000)) },
        messages: (0..messages).map(|id| (CustomerId(3), decision(id, None))).collect(),
        ..Checkpoint::default()
    };
    store.commit(lease, ready).await.unwrap();
    store
}

pub(super) fn pinned() -> Pinned {
    Pinned {
        revision: 1,
        address: "ann@shop.example".into(),
        sender: Some("shop@shop.example".into()),
        subject: None,
        body: b"the mail".to_vec(),
    }
}

pub(super) async fn status(store: &PgStore, message: u128) -> DeliveryStatus {
    let filter =
        MessageFilter { message: Some(MessageId(message)), limit: 1, ..MessageFilter::default() };
    let found = store.ledger().messages(&filter).await.unwrap();
    found[0].1.as_ref().unwrap().status
}

#[tokio::test]
async fn two_workers_fence_each_other() {
    let url = support::postgres().fresh_database();
    let (one, two) = (open(&url, 2).await, open(&url, 2).await);
    let (old, _) = one.take(0).await.unwrap();
    one.commit(old, checkpoint(10, 5)).await.unwrap();
    let (new, position) = two.take(0).await.unwrap();
    assert_eq!(position.end, 5);
    let before = seen(&two, new).await;
    let error = one.commit(old, checkpoint(20, 6)).await.unwrap_err();
    assert!(matches!(error, Error::Fenced { partition: 0, .. }), "{error}");
    assert!(!error.is_transient());
    assert_eq!(seen(&two, new).await, before);
    two.commit(new, checkpoint(20, 6)).await.unwrap();
}

#[tokio::test]
async fn lanes_of_one_store_share_it() {
    four_lanes_share(fresh().await).await;
}

#[tokio::test]
async fn no_message_is_claimed_twice() {
    let url = support::postgres().fresh_database();
    let _store = with_messages(&url, 300).await;
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let worker = open(&url, 2).await;
        workers.spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let claims = worker.claim(at(2_000), 7).await.unwrap();
                if claims.is_empty() {
                    return claimed;
                }
                claimed.extend(claims.iter().map(|claim| claim.message.decision.message));
            }
        });
    }
    let mut all = Vec::new();
    while let Some(claimed) = workers.join_next().await {
        all.extend(claimed.unwrap());
    }
    let different: BTreeSet<MessageId> = all.iter().copied().collect();
    assert_eq!((all.len(), different.len()), (300, 300));
}

#[tokio::test]
async fn what_is_under_way_is_looked_after_once_its_lease_has_ended() {
    let url = support::postgres().fresh_database();
    let store = with_messages(&url, 3).await;
    let claims = store.claim(at(2_000), 3).await.unwrap();
    let ids: Vec<u128> = claims.iter().map(|claim| claim.message.decision.message.0).collect();
    assert_eq!(ids, [0, 1, 2]);
    for claim in &claims[1..] {
        assert_eq!(store.start(claim, &pinned(), at(2_000)).await.unwrap(), Begin::Go);
    }
    store.dot_sent(&claims[2], at(2_000)).await.unwrap();
    let other = open(&url, 2).await;
    let again = Recovered { again: 1, in_doubt: 0 };
    for (message, lasts, left, is) in [
        (0, CLAIMED_MS, again, DeliveryStatus::Waiting),
        (1, STARTED_MS, again, DeliveryStatus::Waiting),
        (2, DOT_SENT_MS, Recovered { again: 0, in_doubt: 1 }, DeliveryStatus::InDoubt),
    ] {
        let early = other.recover(at(2_000 + lasts - 1), |_| false).await.unwrap();
        assert_eq!(early, Recovered::default(), "another worker may be at message {message}");
        let late = other.recover(at(2_000 + lasts), |_| false).await.unwrap();
        assert_eq!(late, left, "message {message}");
        assert_eq!(status(&store, message).await, is, "message {message}");
    }
    assert_eq!(store.outbox_pending(9).await.unwrap().len(), 1, "the log hears of the doubtful");
    // Where nobody gets it twice, what went whole goes again.
    let again = other.claim(at(2_000 + DOT_SENT_MS), 9).await.unwrap();
    assert_eq!(again.len(), 2);
    other.start(&again[0], &pinned(), at(2_000 + DOT_SENT_MS)).await.unwrap();
    other.dot_sent(&again[0], at(2_000 + DOT_SENT_MS)).await.unwrap();
    let late = at(2_000 + 2 * DOT_SENT_MS);
    let repeated = store.recover(late, |channel| channel == MessageChannel::Email).await.unwrap();
    assert_eq!(repeated, Recovered { again: 2, in_doubt: 0 });
}

#[test]
fn a_lease_outlasts_what_it_is_for() {
    let [started, dot_sent] =
        [STARTED_MS, DOT_SENT_MS].map(|ms| Duration::from_millis(ms.unsigned_abs()));
    // What keeping the next step may take.
    let keeping = Duration::from_secs(30);
    let (mail, sms) = (mail::Timeouts::default(), sms::Timeouts::default());
    assert!(mail.connect + mail.before_dot + keeping <= started);
    assert!(2 * sms.connect + keeping <= started);
    assert!(mail.dot.max(sms.answer) + keeping <= dot_sent);
}

#[tokio::test]
async fn who_lost_a_lease_can_do_nothing_more() {
    let url = support::postgres().fresh_database();
    let store = with_messages(&url, 2).await;
    let claims = store.claim(at(2_000), 2).await.unwrap();
    let after = at(2_000 + STARTED_MS);
    // Nobody has looked after it yet.
    assert_eq!(store.start(&claims[0], &pinned(), after).await.unwrap(), Begin::Gone);
    assert_eq!(status(&store, 0).await, DeliveryStatus::Waiting);
    // Another has it.
    store.start(&claims[1], &pinned(), at(2_000)).await.unwrap();
    let other = open(&url, 2).await;
    other.recover(after, |_| false).await.unwrap();
    let theirs: Vec<Claim> = other.claim(after, 9).await.unwrap();
    let theirs = theirs.iter().find(|claim| claim.message.decision.message == MessageId(1));
    let theirs = theirs.unwrap();
    assert_eq!(store.start(&claims[1], &pinned(), after).await.unwrap(), Begin::Gone);
    assert!(store.dot_sent(&claims[1], after).await.is_err());
    let end =
        End { status: DeliveryStatus::Sent, outcome: Outcome::Sent, detail: None, suppress: false };
    store.end(&claims[1], &end, after).await.unwrap();
    store.again(&claims[1], after, true, "later", after).await.unwrap();
    assert_eq!(status(&store, 1).await, DeliveryStatus::Claimed);
    assert_eq!(other.start(theirs, &pinned(), after).await.unwrap(), Begin::Go);
    other.dot_sent(theirs, after).await.unwrap();
    other.end(theirs, &end, after).await.unwrap();
    assert_eq!(status(&store, 1).await, DeliveryStatus::Sent);
}

#[tokio::test]
async fn an_unsubscribe_waits_for_a_start_that_did_not_see_it() {
    let store = fresh().await;
    let secret = store.ledger().secret_key().await.unwrap();
    let address = address_hash(&secret, MessageChannel::Email, "ann@shop.example");
    let suppression = Suppression {
        channel: MessageChannel::Email,
        address,
        topic: None,
        reason: SuppressionReason::Unsubscribed,
        at: at(1),
    };
    // As a start does between its look at the suppressions and its end.
    let key = i64::from_be_bytes(address[..8].try_into().unwrap());
    let mut starting = store.database().begin("a test").await.unwrap();
    query_scalar::<String>("SELECT pg_advisory_xact_lock_shared($1)::text")
        .bind(key)
        .fetch_one(&mut *starting)
        .await
        .unwrap();
    let no = tokio::spawn({
        let store = store.clone();
        async move { store.unsubscribe(&suppression, CustomerId(3)).await.unwrap() }
    });
    let waiting = async {
        loop {
            let waits: bool = query_scalar(
                "SELECT EXISTS (SELECT 1 FROM pg_locks
                     WHERE locktype = 'advisory' AND NOT granted AND database =
                         (SELECT oid FROM pg_database WHERE datname = current_database()))",
            )
            .fetch_one(&mut *starting)
            .await
            .unwrap();
            if waits {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap();
    assert!(!no.is_finished());
    drop(starting);
    assert!(no.await.unwrap());
}

#[tokio::test]
async fn many_that_start_together_migrate_once() {
    let url = support::postgres().fresh_database();
    let mut starters = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        starters.spawn(async move {
            let store = open(&url, 1).await;
            store.ledger().secret_key().await.unwrap()
        });
    }
    let mut secrets = BTreeSet::new();
    while let Some(secret) = starters.join_next().await {
        secrets.insert(secret.unwrap());
    }
    assert_eq!(secrets.len(), 1);
    assert_ne!(secrets.first(), Some(&[0; 32]));
}

#[tokio::test]
async fn a_role_without_rights_works_once_another_has_migrated() {
    let url = support::postgres().fresh_database();
    let name = url.rsplit('/').next().unwrap();
    let role = format!("role_{name}");
    execute(&url, &format!("CREATE ROLE {role} LOGIN PASSWORD 'hush-hush'")).await;
    // Since version 15 this is so anyway.
    execute(&url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    let (_, place) = url.split_once('@').unwrap();
    let theirs = format!("postgres://{role}@{place}");
    let connect = || Postgres::connect(&theirs, Some("hush-hush"), 2);
    let database = connect().await.unwrap();
    let error = database.migrate().await.unwrap_err();
    assert!(matches!(error, PgError::NotAllowed { .. }), "{error:?}");
    assert!(error.to_string().contains("run `waypost migrate`"), "{error}");
    assert!(database.check().await.unwrap_err().to_string().contains("run `waypost migrate`"));

    open(&url, 1).await;
    let grant =
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}");
    execute(&url, &grant).await;
    database.migrate().await.unwrap();
    let store = PgStore::new(database);
    let (lease, _) = store.take(0).await.unwrap();
    store.commit(lease, checkpoint(10, 5)).await.unwrap();
    assert_eq!(store.claim(at(5_000), 9).await.unwrap().len(), 0);
    drop(store);
    execute(&url, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn databases_of_other_builds_and_programs_are_refused() {
    for (change, told) in [
        ("UPDATE upgrade SET level = 99, build = '9.9.9'", "run Waypost 9.9.9 or a later one"),
        ("UPDATE waypost_migrations SET checksum = ''", "another form of migration 1"),
        ("DROP TABLE waypost_migrations", "tables of another program"),
    ] {
        let url = support::postgres().fresh_database();
        open(&url, 1).await;
        execute(&url, change).await;
        let database = Postgres::connect(&url, None, 1).await.unwrap();
        let error = database.migrate().await.unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[tokio::test]
async fn what_can_not_be_reached_is_told_without_the_password() {
    let url = support::postgres().fresh_database();
    let (_, place) = url.split_once('@').unwrap();
    let refused =
        Postgres::connect(&format!("postgres://postgres:hush-hush@{place}"), None, 1).await;
    let (server, _) = place.rsplit_once('/').unwrap();
    let user = url.split_once('@').unwrap().0;
    let missing = Postgres::connect(&format!("{user}@{server}/nothing_there"), None, 1).await;
    let away = Postgres::connect("postgres://ann:hush-hush@127.0.0.1:1/waypost", None, 1).await;
    let text = Postgres::connect("postgres://ann:hush-hush@[:5432/waypost", None, 1).await;
    for (result, told, transient) in [
        (refused, "refuses the connection", false),
        (missing, "refuses the connection", false),
        (away, "postgres://ann@127.0.0.1:1/waypost can't be reached", true),
        (text, "can't be read", false),
    ] {
        let error = result.unwrap_err();
        let all = format!("{error} {error:?}");
        assert!(error.to_string().contains(told), "{error}");
        assert!(!all.contains("hush-hush"), "{all}");
        assert_eq!(error.is_transient(), transient, "{error}");
    }
}

#[tokio::test]
async fn a_database_that_starts_again_is_waited_for() {
    let mut server = support::Postgres::own(&[]);
    let store = open(&server.fresh_database(), 4).await;
    let (lease, _) = store.take(0).await.unwrap();
    store.commit(lease, checkpoint(10, 5)).await.unwrap();
    // Two connections of the pool, so that the first that is mended is not the only one.
    let (one, two) = tokio::join!(store.due(lease, at(9)), store.outbox_pending(9));
    assert!(one.is_ok() && two.is_ok());
    server.kill();
    let error = store.commit(lease, checkpoint(20, 6)).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    server.restart();
    let (lease, position) = store.take(0).await.unwrap();
    assert_eq!(position.end, 5, "what was not kept is not there");
    store.commit(lease, checkpoint(20, 6)).await.unwrap();
    assert_eq!(store.ledger().messages_of(CustomerId(3)).await.unwrap().len(), 6);
    // Connections that broke while nobody used them are not handed out.
    server.kill();
    server.restart();
    store.commit(lease, checkpoint(30, 7)).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_cut_is_an_interruption() {
    let url = support::postgres().fresh_database();
    let store = open(&url, 1).await;
    let mut transaction = store.database().begin("a test").await.unwrap();
    let cut = query_scalar::<bool>("SELECT pg_terminate_backend(pg_backend_pid())");
    let error = cut.fetch_one(&mut *transaction).await.unwrap_err();
    let error = store.database().failed("a test")(error);
    assert!(matches!(error, PgError::Interrupted { .. }), "{error:?}");
    assert!(error.is_transient());
    drop(transaction);
    store.take(0).await.unwrap();
}

#[tokio::test]
async fn no_statement_has_a_name() {
    let store = open(&support::postgres().fresh_database(), 1).await;
    everything(&store).await;
    let mut transaction = store.database().begin("a test").await.unwrap();
    let named: Vec<String> = query_scalar("SELECT statement FROM pg_prepared_statements")
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(named, [""; 0]);
}

#[tokio::test]
async fn it_works_behind_a_pooler_that_changes_connections() {
    let url = support::postgres().fresh_database();
    let pooler = support::PgBouncer::before(&url);
    let store = open(pooler.url(), 8).await;
    four_lanes_share(store.clone()).await;
    everything(&store).await;
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        workers.spawn(async move { everything(&store).await });
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
}

/// Every kind of statement, once or more; works in a store that was used before.
async fn everything(store: &PgStore) {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(500);
    let partition = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let (lease, _) = store.take(partition).await.unwrap();
    let first = u128::from(partition) * 10_000;
    let mut one = checkpoint(first, 5_000);
    one.messages.push((CustomerId(first), decision(first + 9, None)));
    one.states.push(StateRow { customer: CustomerId(77), next_due: None, state: None });
    one.consents = [true, false].map(|given| consent(given, 1)).to_vec();
    one.erased = vec![CustomerId(first + 1)];
    store.commit(lease, one).await.unwrap();
    store.scan(lease, None, 2).await.unwrap();
    store.due(lease, at(9)).await.unwrap();
    let ledger = store.ledger();
    for ledger in [ledger, &ledger.one_moment()] {
        seen_by(ledger, partition).await;
    }
    store.recover(at(1), |_| false).await.unwrap();
    for claim in store.claim(at(5_000), 2).await.unwrap() {
        if store.start(&claim, &pinned(), at(5_000)).await.unwrap() == Begin::Go {
            store.dot_sent(&claim, at(5_000)).await.unwrap();
            store.again(&claim, at(6_000), true, "later", at(5_000)).await.unwrap();
        }
    }
    let outbox = store.outbox_pending(2).await.unwrap();
    store.outbox_done(&outbox.iter().map(|row| row.id).collect::<Vec<_>>()).await.unwrap();
}

async fn seen_by(ledger: &PgLedger, partition: u32) {
    let filter = MessageFilter { limit: 5, ..MessageFilter::default() };
    ledger.messages(&filter).await.unwrap();
    ledger.deliveries().await.unwrap();
    ledger.holds().await.unwrap();
    ledger.states(partition, None, 5).await.unwrap();
    ledger.state(partition, CustomerId(3)).await.unwrap();
    ledger.journeys().await.unwrap();
    ledger.journey("cart").await.unwrap();
    ledger.lanes().await.unwrap();
    ledger.trace_of(CustomerId(3)).await.unwrap();
}

fn consent(given: bool, when: i64) -> waypost::engine::ConsentSaid {
    waypost::engine::ConsentSaid {
        channel: MessageChannel::Email,
        address: "bob@shop.example".into(),
        topic: Some(Text::new("reminders")),
        given,
        at: at(when),
    }
}

#[tokio::test]
async fn one_moment_stays_as_it_is() {
    let store = fresh().await;
    let (lease, _) = store.take(0).await.unwrap();
    store.commit(lease, checkpoint(10, 5)).await.unwrap();
    let moment = store.ledger().one_moment();
    let before = moment.messages_of(CustomerId(3)).await.unwrap();
    store.commit(lease, checkpoint(20, 6)).await.unwrap();
    assert_eq!(moment.messages_of(CustomerId(3)).await.unwrap(), before);
    assert_eq!(moment.lanes().await.unwrap()[0].position.end, 5);
    assert_eq!(store.ledger().lanes().await.unwrap()[0].position.end, 6);
}

#[tokio::test]
async fn a_text_with_a_nul_stops_nothing() {
    let store = fresh().await;
    let (lease, _) = store.take(0).await.unwrap();
    let mut one = checkpoint(10, 5);
    let MessageChange::Decided(mut odd) = decision(20, None) else { unreachable!() };
    odd.customer = Text::new("a\0b");
    odd.data = "\"\0\"".into();
    one.messages.push((CustomerId(5), MessageChange::Decided(odd)));
    one.trace.push((CustomerId(5), trace("a\0b")));
    store.commit(lease, one).await.unwrap();
    let kept = store.ledger().messages_of(CustomerId(5)).await.unwrap();
    assert_eq!(kept[0].decision.customer, "a\u{fffd}b");
    let filter =
        MessageFilter { customer: Some("a\0b".into()), limit: 1, ..MessageFilter::default() };
    assert_eq!(store.ledger().messages(&filter).await.unwrap().len(), 1);
}

/// What owners of addresses say within one checkpoint comes to the same as in SQLite, which takes
/// one word after another.
#[tokio::test]
async fn words_of_one_checkpoint_count_in_their_order() {
    type Row = (Vec<u8>, String, String, i64);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let file = SqliteStore::open(&path).await.unwrap();
    let server = fresh().await;
    let said = |owner: u32, words: u32| -> Vec<waypost::engine::ConsentSaid> {
        // Four words of four bits each: yes or no, of a topic or of everything, at one of four times.
        let word = |shift: u32| (words >> (4 * shift)) & 15;
        (0..4)
            .map(word)
            .map(|word| waypost::engine::ConsentSaid {
                address: format!("{owner}@shop.example").as_str().into(),
                topic: (word & 2 > 0).then(|| Text::new("reminders")),
                ..consent(word & 1 > 0, i64::from(word >> 2))
            })
            .collect()
    };
    // Every so often one of all there are, and the same owners twice: what was kept counts too.
    let sequences: Vec<(u32, u32)> = (0..1_200).map(|n| (n % 600, n * 54_331 % 65_536)).collect();
    let (own, theirs) = (file.take(0).await.unwrap().0, server.take(0).await.unwrap().0);
    for half in sequences.chunks(600) {
        let consents: Vec<_> =
            half.iter().flat_map(|(owner, words)| said(*owner, *words)).collect();
        let checkpoint = Checkpoint { consents, ..Checkpoint::default() };
        file.commit(own, checkpoint.clone()).await.unwrap();
        server.commit(theirs, checkpoint).await.unwrap();
    }
    let (key, other) =
        (file.ledger().secret_key().await.unwrap(), server.ledger().secret_key().await.unwrap());
    drop(file);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let select = "SELECT address, topic, reason, at FROM suppressions";
    let in_file: Vec<Row> = sqlx::query_as(select).fetch_all(&mut connection).await.unwrap();
    let mut transaction = server.database().begin("a test").await.unwrap();
    let on_server: Vec<Row> =
        waypost::postgres::query_as(select).fetch_all(&mut *transaction).await.unwrap();
    for owner in 0..600 {
        let of = |rows: &[Row], key: &[u8; 32]| {
            let hash = address_hash(key, MessageChannel::Email, &format!("{owner}@shop.example"));
            let rows = rows.iter().filter(|row| row.0 == hash);
            rows.map(|row| (row.1.clone(), row.2.clone(), row.3)).collect::<BTreeSet<_>>()
        };
        let words: Vec<_> = sequences.iter().filter(|(of, _)| *of == owner).collect();
        assert_eq!(of(&on_server, &other), of(&in_file, &key), "owner {owner}: {words:?}");
    }
    assert!(in_file.len() > 300, "{}", in_file.len());
}
