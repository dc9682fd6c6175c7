//! What the embedded store guarantees of its file.

use std::path::Path;

use waypost::model::CustomerId;
use waypost::sqlite::{Error as FileError, Limits};
use waypost::store::{Checkpoint, Error, Lease, Ledger, SqliteLedger, SqliteStore, Store};

use super::{checkpoint, four_lanes_share, seen, state};

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).await.unwrap()
}

#[tokio::test]
async fn a_reopened_file_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path).await;
    let (lease, _) = store.take(0).await.unwrap();
    store.commit(lease, checkpoint(10, 5)).await.unwrap();
    let before = seen(&store, lease).await;
    drop(store);
    let store = open(&path).await;
    assert_eq!(seen(&store, lease).await, before);
    let (new, position) = store.take(0).await.unwrap();
    assert_eq!((new.epoch, position.end), (2, 5));
    // A reader needs no lock.
    let ledger = SqliteLedger::open(&path).await.unwrap();
    assert_eq!(ledger.messages_of(CustomerId(3)).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_store_is_shared_by_tasks() {
    let folder = tempfile::tempdir().unwrap();
    four_lanes_share(open(&folder.path().join("state.db")).await).await;
}

#[tokio::test]
async fn several_lanes_share_one_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("state.db")).await;
    let (zero, _) = store.take(0).await.unwrap();
    let (one, _) = store.take(1).await.unwrap();
    let before = seen(&store, zero).await;
    let stale = Lease { epoch: one.epoch + 1, ..one };
    let both = vec![(zero, checkpoint(10, 5)), (stale, checkpoint(20, 5))];
    assert!(matches!(store.commit_all(both).await, Err(Error::Fenced { partition: 1, .. })));
    assert_eq!(seen(&store, zero).await, before);
    store.commit_all(vec![(zero, checkpoint(10, 5)), (one, checkpoint(20, 5))]).await.unwrap();
    assert_eq!(store.take(1).await.unwrap().1.end, 5);
}

#[tokio::test]
async fn a_full_disk_keeps_nothing_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(open(&path).await);
    let limits = Limits { bytes_max: Some(256 * 1024) };
    let store = SqliteStore::open_limited(&path, limits).await.unwrap();
    let (lease, _) = store.take(0).await.unwrap();
    store.commit(lease, checkpoint(10, 5)).await.unwrap();
    let before = seen(&store, lease).await;
    let mut big = checkpoint(20, 6);
    big.states.extend((1_000..3_000).map(|id| state(id, None, &[7; 400])));
    let error = store.commit(lease, big.clone()).await.unwrap_err();
    assert!(matches!(error, Error::File(FileError::Full { .. })), "{error}");
    assert!(error.to_string().contains("state.db"), "{error}");
    assert_eq!(seen(&store, lease).await, before);
    // What fits still goes in, and with more room so does the rest.
    store.commit(lease, checkpoint(30, 6)).await.unwrap();
    drop(store);
    let store = open(&path).await;
    store.commit(lease, big).await.unwrap();
}

#[tokio::test]
async fn unusable_files_are_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path).await;
    let error = SqliteStore::open(&path).await.unwrap_err().to_string();
    assert!(error.contains("in use by another waypost process"), "{error}");
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    let (lease, _) = store.take(0).await.unwrap();
    store.commit(lease, checkpoint(10, 5)).await.unwrap();
    drop(store);

    let missing = SqliteLedger::open(&folder.path().join("none.db")).await.unwrap_err();
    assert!(missing.to_string().contains("`waypost run` creates it"), "{missing}");

    let text = folder.path().join("text.db");
    std::fs::write(
        &text,
        "not a database, but long enough to have a head of 100 bytes\n".repeat(9),
    )
    .unwrap();
    let error = SqliteStore::open(&text).await.unwrap_err().to_string();
    assert!(error.contains("is not a SQLite database"), "{error}");

    let log = folder.path().join("log.db");
    drop(waypost::log::Log::open(&log, 1).await.unwrap());
    let error = SqliteStore::open(&log).await.unwrap_err().to_string();
    assert!(error.contains("not a Waypost state store"), "{error}");
    let error = SqliteLedger::open(&log).await.unwrap_err().to_string();
    assert!(error.contains("not a Waypost state store"), "{error}");
}

#[tokio::test]
async fn damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path).await;
    let (lease, _) = store.take(0).await.unwrap();
    let states = (0..500).map(|id| state(id, None, &[7; 400])).collect();
    store.commit(lease, Checkpoint { states, ..Checkpoint::default() }).await.unwrap();
    // Dropped alone it would be closed a little later, by a thread.
    store.close().await.unwrap();
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() > 100_000, "the write-ahead log is in the file after closing");
    for byte in &mut bytes[8_192..] {
        *byte = 0xA5;
    }
    std::fs::write(&path, bytes).unwrap();
    let error = match SqliteStore::open(&path).await {
        Err(error) => error,
        Ok(store) => store.load(lease, &[CustomerId(5)]).await.unwrap_err(),
    };
    assert!(matches!(error, Error::File(FileError::Corrupt { .. })), "{error}");
    assert!(error.to_string().contains("restore it from a backup"), "{error}");
}

#[tokio::test]
async fn other_migrations_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (change, told) in [
        (
            "INSERT INTO _sqlx_migrations SELECT 99, 'later', installed_on, 1, checksum, 1 FROM _sqlx_migrations",
            "later build",
        ),
        ("UPDATE _sqlx_migrations SET checksum = x'00'", "another form of migration 1"),
    ] {
        let path = folder.path().join(format!("{}.db", told.replace(' ', "-")));
        drop(open(&path).await);
        change_file(&path, change).await;
        let error = SqliteStore::open(&path).await.unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

async fn change_file(path: &Path, sql: &'static str) {
    use sqlx::Connection;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
