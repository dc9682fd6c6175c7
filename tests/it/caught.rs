//! Messages kept in a folder instead of being sent.

use std::path::Path;

use serde_json::{Value, json};
use waypost::model::{MessageId, Timestamp};
use waypost::provider::{Caught, Note};

const FILE: &str = "20260328T213000.500Z-m00000000000000000000000000000007.eml";

fn note(at: &str, id: u128) -> Note<'static> {
    Note {
        at: at.parse::<Timestamp>().expect("a time"),
        message: MessageId(id),
        channel: "email",
        to: "ann@shop.example",
        subject: Some("Your \"cart\"\n"),
        template: "abandoned-cart/first",
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder");
    let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = entries.map(|entry| name(entry.expect("an entry"))).collect();
    names.sort();
    names
}

fn index(folder: &Path) -> Vec<Value> {
    let index = std::fs::read_to_string(folder.join("index.ndjson")).expect("the index");
    index.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn messages_are_files_in_the_order_of_time_and_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("to/be/made");
    let caught = Caught::open(&path).expect("it opens");
    for (at, id, extension) in [
        ("2026-03-28T21:30:01Z", 9, "txt"),
        ("2026-03-28T21:30:00.5Z", 7, "eml"),
        ("2026-03-28T21:30:00Z", 8, "eml"),
    ] {
        caught.keep(&note(at, id), extension, b"one").expect("it is kept");
    }
    // The same message again is the same file, with the later content.
    let caught = Caught::open(&path).expect("it opens again");
    let file = caught.keep(&note("2026-03-28T21:30:00.5Z", 7), "eml", b"two").expect("it is kept");
    assert_eq!(file, FILE);
    assert_eq!(
        names(&path),
        [
            "20260328T213000.000Z-m00000000000000000000000000000008.eml",
            FILE,
            "20260328T213001.000Z-m00000000000000000000000000000009.txt",
            "index.ndjson",
        ]
    );
    assert_eq!(std::fs::read(path.join(FILE)).expect("the file"), b"two");
    let index = index(&path);
    assert_eq!(index.len(), 4);
    let line = json!({
        "at": "2026-03-28T21:30:00.5Z",
        "message": MessageId(7).to_string(),
        "channel": "email",
        "to": "ann@shop.example",
        "subject": "Your \"cart\"\n",
        "template": "abandoned-cart/first",
        "file": FILE,
    });
    assert_eq!(index[3], line);
}

#[test]
fn a_full_disk_leaves_no_half_file_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let caught = Caught::open(path).expect("it opens");
    let at = "2026-03-28T21:30:00.5Z";
    caught.keep(&note(at, 7), "eml", b"one").expect("it is kept");
    // What is written there meets a full disk.
    let part = path.join(FILE).with_extension("part");
    std::os::unix::fs::symlink("/dev/full", &part).expect("a link");
    let error = caught.keep(&note(at, 7), "eml", b"two").expect_err("the disk is full").to_string();
    assert!(error.contains(FILE) && error.contains("free disk space"), "{error}");
    assert_eq!(names(path), [FILE, "index.ndjson"]);
    assert_eq!(std::fs::read(path.join(FILE)).expect("the file"), b"one");
    assert_eq!(index(path).len(), 1);

    // The index on a full disk: the message is not listed, so it is not kept either.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    std::os::unix::fs::symlink("/dev/full", path.join("index.ndjson")).expect("a link");
    let caught = Caught::open(path).expect("it opens");
    let error = caught.keep(&note(at, 7), "eml", b"two").expect_err("the disk is full").to_string();
    assert!(error.contains("free disk space"), "{error}");
    assert_eq!(names(path), ["index.ndjson"]);
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, b"").expect("a file");
    let error = Caught::open(&file).expect_err("a file is no folder").to_string();
    assert!(error.contains("can't write ") && error.contains("file"), "{error}");
    let caught = Caught::open(&folder.path().join("gone")).expect("it opens");
    std::fs::remove_dir_all(folder.path().join("gone")).expect("it goes");
    let error = caught.keep(&note("2026-03-28T21:30:00Z", 7), "eml", b"x").expect_err("it is gone");
    assert!(error.to_string().contains("gone"), "{error}");
}
