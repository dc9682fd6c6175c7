//! What the integration tests share.

use std::io::Write as _;

/// Whether to run a test that takes long or needs more than Rust.
///
/// `tests/run` asks for all of them; plain `cargo test` leaves them out and says so, naming the
/// test and why it is left.
#[must_use]
pub(crate) fn full(test: &str, why: &str) -> bool {
    #[expect(clippy::disallowed_methods, reason = "how tests/run asks for the long tests")]
    let full = std::env::var("WAYPOST_FULL").is_ok_and(|value| value == "1");
    if !full {
        // Straight to the handle: the test harness keeps what `println!` writes to itself.
        let line = format!("left to tests/run: {test} ({why})\n");
        std::io::stderr().write_all(line.as_bytes()).expect("standard error takes a line");
    }
    full
}
