//! What the integration tests share.

pub(crate) mod faulty;
mod kafka;
mod pgbouncer;
mod postgres;
mod relay;
mod secure;
mod server;
mod tokens;

pub(crate) use kafka::{Kafka, kafka};
pub(crate) use pgbouncer::PgBouncer;
pub(crate) use postgres::{Postgres, dump, postgres, restore};
pub(crate) use relay::Relay;
pub(crate) use secure::{Listener, PASSWORD, Secure, USER, secure};
pub(crate) use server::free_port;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Whether to run a test that takes long or needs more than Rust.
///
/// `tests/run` asks for all of them; plain `cargo test` leaves them out and says so, naming the
/// test and why it is left.
#[must_use]
pub(crate) fn full(test: &str, why: &str) -> bool {
    #[expect(clippy::disallowed_methods, reason = "how tests/run asks for the long tests")]
    let full = std::env::var("TESTS_FULL").is_ok_and(|value| value == "1");
    if !full {
        left(&format!("left to tests/run: {test} ({why})\n"));
    }
    full
}

/// Whether this is root, which few tests need; they are left out without, and said to be.
#[must_use]
pub(crate) fn root(test: &str, why: &str) -> bool {
    let root = is_root();
    if !root {
        left(&format!("left out without root: {test} ({why})\n"));
    }
    root
}

#[must_use]
pub(crate) fn is_root() -> bool {
    let id = std::process::Command::new("id").arg("-u").output().expect("id runs");
    id.stdout == b"0\n"
}

/// Straight to the handle: the test harness keeps what `println!` writes to itself.
fn left(line: &str) {
    std::io::stderr().write_all(line.as_bytes()).expect("standard error takes a line");
}

/// The path of a file of public data that is no part of the project, if it is there; else says that
/// the test is left out.
///
/// It is looked for in the folder that `TESTS_SHARED_DATA` names, else in `../shared/data` beside
/// the crate. `tests/run` counts what is left out by the lines of the file `TESTS_LEFT_OUT`.
#[must_use]
pub(crate) fn shared_data(test: &str, name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("TESTS_SHARED_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    let line =
        format!("left out: {test}: {} is not there; set TESTS_SHARED_DATA\n", path.display());
    // Written past the test harness, which would hide it.
    std::io::stderr().write_all(line.as_bytes()).expect("standard error takes a line");
    if let Some(file) = std::env::var_os("TESTS_LEFT_OUT") {
        let mut file = File::options().append(true).open(file).expect("the file of tests/run");
        file.write_all(line.as_bytes()).expect("it takes a line");
    }
    None
}

/// The command, without the variables that are meant for the tests: to it they would be
/// configuration that it does not know.
#[must_use]
pub(crate) fn waypost() -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_waypost"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WAYPOST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Whether a test may rewrite what it expects.
#[must_use]
pub(crate) fn update() -> bool {
    #[expect(clippy::disallowed_methods, reason = "how a person asks for it")]
    let update = std::env::var("UPDATE").is_ok_and(|value| value == "1");
    update
}

/// The files of a folder of the crate with this extension, in the order of their names.
#[must_use]
pub(crate) fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// The value of a future that waits for nothing but memory.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}
