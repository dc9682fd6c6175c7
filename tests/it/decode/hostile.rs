//! One file of everything that sources get wrong: each record that can't be read is named by its
//! line, and every other one is read.

use std::io::{Cursor, Write};
use std::time::Duration;

use waypost::decode::{Auto, Decode, Entry, Form, Mapping, RECORD_BYTES_MAX, Raw, Reader};
use waypost::model::{ITEMS_MAX, Tie, Timestamp};

const GOOD: &str = r#"{"eventType":"commerce.checkouts","timestamp":"2026-08-01T00:00:00Z"}"#;

/// Records that can't be read, each with what its reason says.
fn bad_records() -> Vec<(Vec<u8>, &'static str)> {
    let cart = |items: usize| {
        let list = vec![r#"{"SKU":"A"}"#; items].join(",");
        format!(r#"{{"eventType":"commerce.productListViews","productListItems":[{list}]}}"#)
    };
    let long = "x".repeat(10 * RECORD_BYTES_MAX);
    let deep = |open: &str, close: &str| {
        format!(r#"{{"eventType":"a","more":{}1{}}}"#, open.repeat(10_000), close.repeat(10_000))
    };
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        (text(&format!(r#"{{"eventType":"{long}"}}"#)), "10485776 bytes, the limit is 1048576"),
        (text(&deep("[", "]")), "nested 10001 deep, the limit is 100"),
        (text(&deep(r#"{"a":"#, "}")), "nested 10001 deep, the limit is 100"),
        (text(&cart(100_000)), "bytes, the limit is 1048576"),
        (text(&cart(ITEMS_MAX + 1)), "more than 1000 elements in a list"),
        (b"{\"eventType\":\"\xff\xfe\"}".to_vec(), "not UTF-8 at byte 15"),
        (b"{\"eventType\":\"a\0b\"}".to_vec(), "NUL character at byte 16"),
        (text(r#"{"person":{"name":{"firstName":"A\u0000"}}}"#), "NUL character at byte 34"),
        (text(r#"{"eventType":"commerce.checkouts""#), "broken JSON"),
        (text(r#"{"eventType":"commerce.checkouts"} x"#), "broken JSON at column 36"),
        (
            text(r#"{"eventType":"commerce.checkouts","commerce":7}"#),
            "commerce: a number where an object is expected",
        ),
        (text("eventType=commerce.checkouts"), "not a JSON object"),
    ]
}

/// Good records and dead letters, by line.
fn read(input: Vec<u8>, form: Form) -> (Vec<u64>, Vec<(u64, String)>) {
    let mut reader = Reader::new("input", Cursor::new(input), form).expect("memory");
    let (mut good, mut bad, mut events) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(entry) = reader.next_entry().expect("memory") {
        match entry {
            Entry::Rejected { line, reason, .. } => bad.push((line, reason)),
            Entry::Record { line, bytes } => {
                let append_time = Some(Timestamp::from_ms(1_800_000_000_000));
                let raw = Raw { bytes, append_time, tie: Tie::default(), position: "input" };
                match Auto::default().decode(&raw, &mut events) {
                    Ok(()) => good.push(line),
                    Err(rejected) => bad.push((line, rejected.reason)),
                }
            }
        }
    }
    assert_eq!(events.len(), good.len());
    (good, bad)
}

#[test]
fn each_bad_record_is_named_and_no_other_is_lost() {
    let bad = bad_records();
    let mut input = Vec::new();
    for (record, _) in &bad {
        writeln!(input, "{GOOD}").expect("memory");
        input.extend_from_slice(record);
        input.push(b'\n');
    }
    writeln!(input, "{GOOD}").expect("memory");
    let (good, found) = read(input, Form::Ndjson);
    let lines: Vec<u64> = (0..=bad.len() as u64).map(|n| 2 * n + 1).collect();
    assert_eq!(good, lines);
    assert_eq!(found.len(), bad.len());
    for ((line, reason), ((_, expected), n)) in found.iter().zip(bad.iter().zip(1..)) {
        assert_eq!(*line, 2 * n, "{reason}");
        assert!(reason.contains(expected), "line {line}: {reason}\n  not {expected}");
    }
}

#[test]
fn a_truncated_gzip_gives_what_stands_before_its_end() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let rows = 20_000;
    for n in 0..rows {
        writeln!(gzip, "{}", GOOD.replace("00Z", &format!("00.{:03}Z", n % 1_000)))
            .expect("memory");
    }
    let whole = gzip.finish().expect("memory");
    let (good, bad) = read(whole.clone(), Form::Auto);
    assert_eq!((good.len(), bad.len()), (rows, 0));
    let (good, bad) = read(whole[..whole.len() - 2_000].to_vec(), Form::Auto);
    assert!(good.len() > rows / 2 && good.is_sorted(), "{}", good.len());
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0].0, good.len() as u64 + 1);
    assert!(bad[0].1.contains("cut off or damaged"), "{}", bad[0].1);
}

#[test]
fn times_at_both_ends_are_kept() {
    for (time, kept) in [
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "2027-01-15T08:00:00Z"),
    ] {
        let record = GOOD.replace("2026-08-01T00:00:00Z", time);
        let append_time = Some(Timestamp::from_ms(1_800_000_000_000));
        let raw =
            Raw { bytes: record.as_bytes(), append_time, tie: Tie::default(), position: "input" };
        let mut events = Vec::new();
        Auto::default().decode(&raw, &mut events).expect(time);
        assert_eq!(events[0].time.to_string(), kept);
        assert_eq!(events[0].clock_ahead, time != kept);
    }
}

#[test]
fn a_yaml_bomb_is_refused() {
    let mut bomb = String::from("format: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let references = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{references}]\n"));
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(Mapping::parse("bomb.yaml", &bomb).err()));
    let error = receiver.recv_timeout(Duration::from_secs(20)).expect("an answer in time");
    assert!(error.expect("a mistake").to_string().starts_with("bomb.yaml:"));
}
