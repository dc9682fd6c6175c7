//! Builds beside each other on one database: what is written is what all of them read.

use waypost::postgres::{Build, Error as PgError, Finished};

use super::on_a_server::{execute, open};
use super::*;
use crate::support;

/// The build after this one, which still writes as this one does.
const NEXT: Build = Build { name: "0.0.0-next", level: 2, lowest: 1 };
/// The build after that one, which does not.
const SECOND: Build = Build { name: "0.0.0-second", level: 3, lowest: 2 };

/// What a migration of a later build may do: what this one does goes on working.
pub(crate) const EXPANDED: &str =
    "ALTER TABLE lanes ADD COLUMN later bigint; CREATE TABLE later (id int);
     INSERT INTO waypost_migrations (version, name, checksum) VALUES (99, 'later', '')";

#[tokio::test]
async fn tables_that_a_later_build_expanded_still_carry_this_one() {
    let url = support::postgres().fresh_database();
    open(&url, 1).await;
    execute(&url, EXPANDED).await;
    let store = open(&url, 2).await;
    store.database().check().await.unwrap();
    let (lease, _) = store.take(0).await.unwrap();
    store.commit(lease, checkpoint(10, 5)).await.unwrap();
    // Only what comes after this build's newest may be unknown to it.
    execute(&url, "UPDATE waypost_migrations SET version = 0 WHERE version = 99").await;
    let error = store.database().check().await.unwrap_err();
    assert!(matches!(error, PgError::Changed { version: 0, .. }), "{error}");
}

#[tokio::test]
async fn an_upgrade_ends_once_no_worker_of_the_build_before_lives() {
    let store = on_a_server::fresh().await;
    let database = store.database();
    database.tell_of_worker("old", &Build::THIS).await.unwrap();
    database.tell_of_worker("new", &NEXT).await.unwrap();
    let Finished::Waits(workers) = database.finish_upgrade(&NEXT).await.unwrap() else {
        panic!("a worker lives that does not speak it");
    };
    let named: Vec<_> = workers.iter().map(|worker| worker.instance.as_str()).collect();
    assert_eq!(named, ["old"]);
    assert_eq!(database.level().await.unwrap().level, 1);

    database.forget_worker("old").await.unwrap();
    assert_eq!(database.finish_upgrade(&NEXT).await.unwrap(), Finished::Raised(2));
    assert_eq!(database.finish_upgrade(&NEXT).await.unwrap(), Finished::Already(2));
    let told = database.tell_of_worker("old", &Build::THIS).await.unwrap_err();
    for error in [told, database.check().await.unwrap_err(), database.migrate().await.unwrap_err()]
    {
        assert!(error.to_string().contains("run Waypost 0.0.0-next or a later one"), "{error}");
    }
    database.tell_of_worker("new", &NEXT).await.unwrap();
    let workers = database.workers().await.unwrap();
    assert_eq!(workers.iter().map(|one| one.instance.as_str()).collect::<Vec<_>>(), ["new"]);
}

#[tokio::test]
async fn a_worker_that_was_not_seen_for_minutes_does_not_hold_an_upgrade_up() {
    let url = support::postgres().fresh_database();
    let store = open(&url, 1).await;
    let database = store.database();
    for name in ["silent", "long gone"] {
        database.tell_of_worker(name, &Build::THIS).await.unwrap();
    }
    execute(&url, "UPDATE workers SET seen_at = seen_at - 121000").await;
    execute(&url, "UPDATE workers SET seen_at = 0 WHERE instance = 'long gone'").await;
    assert_eq!(database.finish_upgrade(&NEXT).await.unwrap(), Finished::Raised(2));
    database.tell_of_worker("new", &NEXT).await.unwrap();
    let workers = database.workers().await.unwrap();
    let known: Vec<_> = workers.iter().map(|one| (one.instance.as_str(), one.lives())).collect();
    assert_eq!(known, [("new", true), ("silent", false)]);
}

#[tokio::test]
async fn no_release_is_skipped() {
    let store = on_a_server::fresh().await;
    let database = store.database();
    let error = database.admits(&SECOND).await.unwrap_err();
    assert!(error.to_string().contains("run a release between the two first"), "{error}");
    assert!(matches!(
        database.finish_upgrade(&SECOND).await.unwrap_err(),
        PgError::Skipped { level: 1, .. }
    ));
    database.finish_upgrade(&NEXT).await.unwrap();
    assert_eq!(database.finish_upgrade(&SECOND).await.unwrap(), Finished::Raised(3));
}
