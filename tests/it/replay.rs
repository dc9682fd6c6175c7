//! `waypost replay` and `waypost check` as commands: what they say of files that they can't use.

use std::path::Path;
use std::process::Output;

use crate::support::waypost;

/// Replays files with the shipped journeys.
fn replay(args: &[&str]) -> Output {
    waypost().args(["replay", "--events"]).args(args).output().expect("the command starts")
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("it can be written");
    path.display().to_string()
}

#[test]
fn a_replay_that_reads_no_row_at_all_has_failed() {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = write(folder.path(), "shop.csv", "at,what\n2026-01-02T10:00:00Z,sale\n");
    let rows = write(folder.path(), "rows.txt", "2026-01-02T10:00:00Z;sale\n");
    let json = write(folder.path(), "a.ndjson", "{\"what\":\"sale\"}\n{broken\n");
    let good = r#"{"eventType":"commerce.checkouts","timestamp":"2026-08-01T00:00:00Z","identityMap":{"ECID":[{"id":"1"}]}}"#;
    let some = write(folder.path(), "some.ndjson", &format!("{{broken\n{good}\n"));
    let empty = write(folder.path(), "empty.ndjson", "\n");
    let nothing = "error: no row at all could be read; the first: ";
    let mapping = "; rows that are no JSON need --mapping FILE";
    for (args, code, says, hint) in [
        (&[csv.as_str()][..], 3, nothing, true),
        (&[&rows], 3, nothing, true),
        (&[&json], 3, nothing, false),
        (&[&csv, &json], 3, nothing, true),
        (&[&csv, &some], 0, "events: 1 applied", false),
        (&[&some, "--until", "2020-01-01T00:00:00Z"], 0, "events: 0 applied", false),
        (&[&empty], 0, "events: 0 applied", false),
    ] {
        let done = replay(args);
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(says) && said.contains(mapping) == hint, "{args:?}: {said}");
    }
}

#[test]
fn a_folder_without_journeys_is_a_mistake_of_whoever_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    for args in [&["check", &path][..], &["replay", "--events", "-", "--journeys", &path]] {
        let done = waypost().args(args).output().expect("the command starts");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(3), "{args:?}: {said}");
        assert!(said.contains(&format!("no journey files (*.yaml) in {path}")), "{said}");
    }
}
