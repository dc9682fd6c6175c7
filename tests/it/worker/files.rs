//! The two files: full, damaged, locked, mixed up, of another build. Nothing answered is lost.

use std::process::Stdio;

use sqlx::Connection;

use super::events::{cart_add, consent, customer, event, plain};
use super::shop::{Shop, in_runtime, post};
use super::{CART, THANKS};

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];

/// A shop whose worker has run and is stopped.
fn used(partitions: u32) -> Shop {
    let shop = Shop::new(partitions, &[CART, THANKS]);
    let worker = shop.start();
    worker.takes(&[consent("1", ANN), cart_add("2", ANN, "c1")].join("\n"));
    shop.wait_until_applied();
    worker.stops();
    shop
}

/// Runs a statement on a file, as another program would, and keeps the connection open.
async fn other_program(shop: &Shop, file: &str, sql: &'static str) -> sqlx::SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(shop.path(file));
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.expect("it opens");
    sqlx::raw_sql(sql).execute(&mut other).await.expect("the statement runs");
    other
}

#[test]
fn a_worker_without_room_says_so_and_loses_nothing_it_answered() {
    let shop = Shop::new(1, &[CART, THANKS]);
    // Without ticks it is a request that finds no room.
    let config = std::fs::read_to_string(shop.path("waypost.yaml")).expect("the file");
    shop.write("waypost.yaml", &config.replace("every: 20ms", "every: 10m"));
    // A limit on the size of files stands for the full disk: it needs no rights.
    let limited = "trap '' XFSZ; ulimit -f 6000; exec \"$@\"";
    let worker =
        shop.start_by(&["sh", "-c", limited, "sh"], &["run"], Stdio::null()).expect("it starts");
    let (mut answered, mut refused) = (Vec::new(), None);
    for number in 0..10_000_u64 {
        let id = number.to_string();
        // What does not compress well fills the file sooner.
        let noise: String = (0..200_u64)
            .map(|n| blake3::hash(&(number * 1_000 + n).to_be_bytes()).to_hex().to_string())
            .collect();
        let data = serde_json::json!({ "customer": customer(ANN), "noise": noise });
        let body = event(&id, "noise.made", data);
        match post(worker.url(), "/events", body.as_bytes(), None) {
            Some((202, _)) => answered.push(format!("/shop#{id}")),
            other => {
                refused = other;
                break;
            }
        }
    }
    let (status, words) = refused.expect("it is refused in words");
    assert_eq!(status, 507, "{words}");
    assert!(words.contains("the log can't be written") && words.contains("log.db"), "{words}");
    let done = worker.ended();
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    for word in ["error: ", "data/log.db", "nothing of this transaction was kept", "start again"] {
        assert!(done.stderr.contains(word), "no `{word}` in {}", done.stderr);
    }
    assert!(answered.len() > 20, "{} were answered", answered.len());
    // With room again, all that was answered is there.
    shop.write("waypost.yaml", &config);
    let worker = shop.start();
    worker.takes(&plain("last", "page.viewed", ANN));
    shop.wait_until_applied();
    worker.stops();
    shop.verified();
    let ids = super::future::event_ids(&shop);
    let lost: Vec<&String> = answered.iter().filter(|id| !ids.contains(*id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn a_file_that_another_program_locks_is_named() {
    for file in ["data/log.db", "data/state.db"] {
        let shop = used(1);
        in_runtime(async {
            let other = other_program(&shop, file, "BEGIN IMMEDIATE").await;
            shop.refuses(3, &[file, "locked by another program", "start again"]);
            other.close().await.expect("it closes");
        });
        shop.start().stops();
        shop.verified();
    }
}

#[test]
fn damaged_and_foreign_files_are_named_and_left_as_they_are() {
    for file in ["data/log.db", "data/state.db"] {
        let shop = used(1);
        in_runtime(async {
            let all = "PRAGMA wal_checkpoint(TRUNCATE)";
            other_program(&shop, file, all).await.close().await.expect("it closes");
        });
        let good = std::fs::read(shop.path(file)).expect("the file");
        let mut damaged = good.clone();
        // Behind the first page, which says what kind of file it is.
        damaged[4_096..].fill(0x5a);
        for (bytes, words) in [
            (damaged, &[file, "is damaged", "restore it from a backup"][..]),
            (
                b"not a database, just a text of some length".repeat(200),
                &[file, "is not a SQLite database"],
            ),
        ] {
            std::fs::write(shop.path(file), &bytes).expect("it can be written");
            shop.refuses(3, words);
            let verify = shop.run(&["verify"]);
            assert_eq!(verify.code, Some(3), "{}", verify.stderr);
            assert_eq!(std::fs::read(shop.path(file)).expect("the file"), bytes, "left as it is");
        }
        std::fs::write(shop.path(file), &good).expect("it can be written");
        shop.start().stops();
        shop.verified();
    }
    let shop = used(1);
    let config = std::fs::read_to_string(shop.path("waypost.yaml")).expect("the file");
    let mixed = config.replace(
        "log: data/log.db, state: data/state.db",
        "log: data/state.db, state: data/log.db",
    );
    shop.write("waypost.yaml", &mixed);
    shop.refuses(3, &["not a Waypost log", "paths of log and state are not mixed up"]);
    shop.write("waypost.yaml", &config.replace("partitions: 1", "partitions: 4"));
    shop.refuses(3, &["has 1 partitions, the configuration says 4", "set it to 1"]);
}

#[test]
fn files_of_another_build_are_refused() {
    for file in ["data/log.db", "data/state.db"] {
        let shop = used(1);
        for (sql, words) in [
            (
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9, 'later', 1, x'00', 0)",
                &[file, "written by a later build", "migration 9"][..],
            ),
            (
                "DELETE FROM _sqlx_migrations WHERE version = 9;
                 UPDATE _sqlx_migrations SET checksum = x'00'",
                &[file, "another form of migration 1"],
            ),
        ] {
            in_runtime(async {
                other_program(&shop, file, sql).await.close().await.expect("it closes");
            });
            shop.refuses(3, words);
        }
    }
}

#[test]
fn a_file_where_the_folder_should_be_is_named() {
    let shop = Shop::new(1, &[CART]);
    std::fs::remove_dir(shop.path("data")).expect("it is empty");
    shop.write("data", "a file where the folder should be");
    shop.refuses(3, &["data"]);
    assert_eq!(shop.run(&["verify"]).code, Some(3));
}

#[test]
fn verify_says_that_another_build_decided() {
    let shop = used(1);
    assert_eq!(shop.verified()["other_builds"], serde_json::json!([]));
    in_runtime(async {
        let sql = "UPDATE lanes SET build = '0.0.0-other'";
        other_program(&shop, "data/state.db", sql).await.close().await.expect("it closes");
    });
    assert_eq!(shop.verified()["other_builds"], serde_json::json!(["0.0.0-other"]));
    let told = shop.run(&["verify"]).stderr;
    assert!(told.contains("build 0.0.0-other decided last in a lane"), "{told}");
}
