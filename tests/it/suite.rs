//! `tests/run`: what it says of a machine that lacks something, and of what was left out.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

/// Runs `tests/run` with a program in the place of cargo.
fn run(cargo: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cargo");
    std::fs::write(&path, format!("#!/bin/sh\n{cargo}\n")).expect("it can be written");
    let may_run = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, may_run).expect("it can be run");
    std::process::Command::new("sh")
        .arg("tests/run")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .env("HOME", folder.path())
        .env("XDG_CACHE_HOME", cache())
        .output()
        .expect("it starts")
}

/// Where the user's cache is, with Kafka in it.
fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from)
}

#[test]
fn an_old_cargo_is_missing_and_a_newer_one_is_not() {
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    for (version, code, says) in [
        ("1.9.0", 3, format!("missing: Rust-{wanted}(https://rustup.rs,not-1.9.0)")),
        ("1.94.1", 3, format!("missing: Rust-{wanted}(https://rustup.rs,not-1.94.1)")),
        ("1.95.0", 0, "tests/run: all passed".to_owned()),
        ("1.101.0-nightly", 0, "tests/run: all passed".to_owned()),
        ("2.0.0", 0, "tests/run: all passed".to_owned()),
    ] {
        let done =
            run(&format!("[ \"$1\" != --version ] || echo 'cargo {version} (0 2026-01-01)'"));
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{version}: {said}");
        assert!(said.contains(&says), "{version}: no `{says}` in {said}");
    }
}

#[test]
fn what_was_left_out_stands_in_the_last_line() {
    let version = concat!("echo cargo ", env!("CARGO_PKG_RUST_VERSION"), ".0");
    for (tests, last) in [
        (":", " s"),
        (
            "printf 'left out: a\\nleft out: b\\n' >> \"$TESTS_LEFT_OUT\"",
            " s; left out: 2 comparisons with real data (TESTS_SHARED_DATA is not there)",
        ),
    ] {
        let done = run(&format!(
            "case \"$1 $3\" in --version*) {version} ;; 'test --all-targets') {tests} ;; esac"
        ));
        let said = String::from_utf8_lossy(&done.stdout);
        assert_eq!(done.status.code(), Some(0), "{said}");
        let line = said.lines().last().expect("a last line");
        let begins = line.starts_with("tests/run: all passed in ");
        assert!(begins && line.ends_with(last), "{line}");
    }
}
