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

/// A cart of somebody who may be mailed, as a line.
fn cart(time: &str, id: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/shop","type":"cart.item_added","time":"{time}","data":{{"customer":{{"email":"c{id}@shop.example"}},"cart_id":"c{id}","items":[{{"sku":"A","price":"50","currency":"EUR"}}]}}}}"#
    ) + "\n"
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

/// Linux has a file that stands for a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_replay_without_room_for_its_lines_has_failed() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = write(folder.path(), "events.ndjson", &cart("2026-08-01T00:00:00Z", "1"));
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a full disk");
    let done = waypost()
        .args(["replay", "--until", "2026-08-03T00:00:00Z", "--events", &events])
        .stdout(full)
        .output()
        .expect("the command starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(3), "{said}");
    assert!(said.contains("error: can't write the decisions"), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
}

/// Linux has a file that stands for a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_replay_without_room_for_its_messages_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = waypost().args(["generate", "--customers", "150", "--days", "3"]).output();
    std::fs::write(path("week.ndjson"), made.expect("the command runs").stdout).expect("the file");
    std::fs::create_dir(path("mails")).expect("a folder");
    std::os::unix::fs::symlink("/dev/full", path("mails/index.ndjson")).expect("a link");
    let done = waypost()
        .args(["replay", "--events", &path("week.ndjson"), "--render", &path("mails")])
        .output()
        .expect("the command starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(3), "{said}");
    assert!(said.contains("error: can't write the rendered messages: "), "{said}");
    assert!(said.contains("free disk space") && !said.contains("the decisions"), "{said}");
}

#[test]
fn a_cart_without_end_is_a_dead_letter_with_the_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let row = cart("2026-08-01T00:00:00Z", "1");
    let item = r#"{"sku":"A","price":"50","currency":"EUR"}"#;
    let long = row.replace(item, &vec![item; 100_000].join(","));
    let events = write(folder.path(), "events.ndjson", &format!("{row}{long}"));
    let done = waypost().args(["replay", "--events", &events]).output().expect("it starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(said.contains("1 applied") && said.contains("1 dead letters"), "{said}");
    assert!(said.contains("events.ndjson:2: the record has "), "{said}");
    assert!(said.contains("the limit is 1048576; split it"), "{said}");
}

#[test]
fn every_message_of_a_replay_is_rendered() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = waypost().args(["generate", "--customers", "150", "--days", "3"]).output();
    let made = made.expect("the command runs");
    std::fs::write(folder.path().join("week.ndjson"), &made.stdout).expect("the file");
    let done = waypost()
        .args(["replay", "--events", &path("week.ndjson"), "--render", &path("mails")])
        .output()
        .expect("the command runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    let lines = String::from_utf8(done.stdout).expect("text");
    let sent = lines.lines().filter(|line| line.contains("\"decision\":\"send\"")).count();
    assert!(sent > 10, "{said}");
    let files = std::fs::read_dir(folder.path().join("mails")).expect("the folder");
    // One file for each, and the index.
    assert_eq!(files.count(), sent + 1, "{said}");
    assert!(said.contains(&format!("rendered {sent} messages")), "{said}");
}

#[test]
fn a_replay_reaches_from_the_year_1_to_the_year_9999() {
    let folder = tempfile::tempdir().expect("a folder");
    let times = [
        "0001-01-01T00:00:00Z",
        "0001-01-01T12:00:00Z",
        "9999-12-30T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ];
    let carts = times.iter().zip(["1", "2", "3", "4"]).map(|(time, id)| cart(time, id));
    let events = write(folder.path(), "events.ndjson", &carts.collect::<String>());
    let done = replay(&[&events]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(said.contains("events: 4 applied, 0 late"), "{said}");
    let lines = String::from_utf8(done.stdout).expect("text");
    let due: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|line| format!("{} {}", line["at"], line["step"]).replace('"', ""))
        .collect();
    // Nothing is later than the last time there is, whatever an hour after it would be.
    let expected = [
        "0001-01-01T08:00:00Z first",
        "0001-01-01T13:00:00Z first",
        "0001-01-02T08:00:00Z second",
        "0001-01-02T12:00:00Z second",
        "0001-01-05T08:00:00Z last",
        "0001-01-05T12:00:00Z last",
        "9999-12-30T00:00:00Z first",
        "9999-12-30T00:00:00Z last",
        "9999-12-30T00:00:00Z second",
        "9999-12-30T00:00:00Z first",
        "9999-12-30T00:00:00Z last",
        "9999-12-30T00:00:00Z second",
    ];
    assert_eq!(due, expected);
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

#[test]
fn a_comparison_names_what_is_gone_first_and_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let order = cart("2026-08-03T11:00:00Z", "1")
        .replace("cart.item_added", "order.placed")
        .replace("\"id\":\"1\"", "\"id\":\"order\"");
    let lines = cart("2026-08-03T09:00:00Z", "1") + &cart("2026-08-03T09:30:00Z", "2") + &order;
    let events =
        write(folder.path(), "events.ndjson", &(lines + &cart("2026-08-03T12:00:00Z", "3")));
    let before = replay(&[&events, "--assume-reachable"]);
    let before = String::from_utf8(before.stdout).expect("text");
    assert_eq!(before.lines().count(), 2, "{before}");
    let before = write(folder.path(), "before.ndjson", &before);
    let text = std::fs::read_to_string("journeys/abandoned-cart.yaml").expect("the journey");
    let text = text.replace("wait_quiet: 1h", "wait_quiet: 4h");
    let text = text.replace("gives_way_to: [ abandoned-checkout ]\n", "");
    let journey = write(folder.path(), "later.yaml", &text);
    let args =
        [events.as_str(), "--assume-reachable", "--against", &before, "--journeys", &journey];
    let done = replay(&args);
    let said = String::from_utf8_lossy(&done.stderr);
    for part in [
        "gone: 1 stopped by order.placed, 1 not decided by the end of the data\n",
        "2 customers differ; the first 2 messages that do, gone and new ones first:\n",
        " abandoned-cart first: send 2026-08-03T10:00:00Z -> stopped by order.placed\n",
    ] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
}
