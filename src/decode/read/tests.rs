use std::io::{Cursor, Write};

use super::*;
use crate::decode::RECORD_BYTES_MAX;

/// What an input holds: records as `line:text`, dead letters as `line!reason`.
fn entries(bytes: Vec<u8>, form: Form) -> Vec<String> {
    let mut reader = Reader::new("input", Cursor::new(bytes), form).expect("an input");
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().expect("a readable input") {
        found.push(match entry {
            Entry::Record { line, bytes } => {
                format!("{line}:{}", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]))
            }
            Entry::Rejected { line, reason, .. } => {
                format!("{line}!{}", reason.split(['(', ';']).next().unwrap_or_default())
            }
        });
    }
    found
}

fn check(input: &str, form: Form, expected: &[&str]) {
    assert_eq!(entries(input.into(), form), expected, "{input}");
}

const CSV: Form = Form::Csv(CsvForm { delimiter: b',', header: true });

#[test]
fn records_are_cut_with_their_lines() {
    let auto = Form::Auto;
    check("", auto, &[]);
    check("\n\n", auto, &[]);
    check("{\"a\":1}\n\n{\"b\":2}", auto, &["1:{\"a\":1}", "3:{\"b\":2}"]);
    check("\u{feff}{\"a\":1}\r\n{\"b\":2}\r\n", auto, &["1:{\"a\":1}\r", "2:{\"b\":2}\r"]);
    check(
        "[{\"a\":1},\n {\"b\":[2,\n3]} , {\"c\":\"}\\\"\"}]\n",
        auto,
        &["1:{\"a\":1}", "2:{\"b\":[2,\n3]}", "3:{\"c\":\"}\\\"\"}"],
    );
    check("{\n \"a\": 1\n}\n{\n \"b\": 2\n}", auto, &["1:{\n \"a\": 1\n}", "4:{\n \"b\": 2\n}"]);
    check("{\"a\":1}{\"b\":2}", auto, &["1:{\"a\":1}", "1:{\"b\":2}"]);
    check("h,i\n1,2\n\n3,\"4\n5\"\n6,7", CSV, &["2:1,2", "4:3,\"4\n5\"", "6:6,7"]);
    check("h,i\r\n1,2\"x\r\n", CSV, &["2:1,2\"x\r"]);
    check("[]", auto, &[]);
}

#[test]
fn a_broken_record_takes_nothing_with_it() {
    check(
        "[{\"a\":1},\n{\"b\":\"open\n{\"c\":3}]",
        Form::Auto,
        &["1:{\"a\":1}", "2!broken JSON: a line ends within a string", "3:{\"c\":3}"],
    );
    check(
        "[{\"a\":1},\n{\"b\":{\"x\":1},\n{\"c\":3}]",
        Form::Auto,
        &[
            "1:{\"a\":1}",
            "2!broken JSON: the record is not closed before the next one begins",
            "3:{\"c\":3}",
        ],
    );
    check(
        "[{\"a\":1},\n{\"b\":{",
        Form::Auto,
        &["1:{\"a\":1}", "2!broken JSON: the record is not closed by the end of the input"],
    );
    check(
        "[1, {\"a\":1}, \"x\",\n null, {\"b\":2}]",
        Form::Auto,
        &[
            "1!not a JSON object",
            "1:{\"a\":1}",
            "1!not a JSON object",
            "2!not a JSON object",
            "2:{\"b\":2}",
        ],
    );
    check(
        "h,i\n1,\"2\n3,4\n5,6\n",
        CSV,
        &[
            "2!a quote opened on this line is not closed within 1048576 bytes or by the end",
            "3:3,4",
            "4:5,6",
        ],
    );
    check(
        "h,i\n1,\"2",
        CSV,
        &["2!a quote opened on this line is not closed within 1048576 bytes or by the end"],
    );
}

#[test]
fn a_record_too_long_is_passed_over() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(10 * RECORD_BYTES_MAX));
    let reason = format!("!the record has {} bytes, the limit is 1048576", long.len());
    let lines = format!("{{\"b\":1}}\n{long}\n{{\"c\":2}}\n");
    let found = entries(lines.into(), Form::Ndjson);
    assert_eq!(found, ["1:{\"b\":1}".into(), format!("2{reason}"), "3:{\"c\":2}".to_owned()]);
    let array = format!("[{{\"b\":1}},{long},\n{{\"c\":2}}]");
    let found = entries(array.into(), Form::Json);
    assert_eq!(found[0], "1:{\"b\":1}");
    assert!(found[1].starts_with("1!the record has 1048"), "{}", found[1]);
    assert_eq!(found[2..], ["2:{\"c\":2}"]);
    let csv = format!(
        "h\n1\n{}\n2\n\"{}\n3\n",
        "x".repeat(2 * RECORD_BYTES_MAX),
        "y".repeat(2 * RECORD_BYTES_MAX)
    );
    let found = entries(csv.into(), CSV);
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!((&found[0][..], &found[2][..], &found[4][..]), ("2:1", "4:2", "6:3"));
}

#[test]
fn an_input_of_broken_records_costs_no_more_than_its_length() {
    let rows = 20_000_u64;
    let input = format!(
        "[{}{{\"last\":1}}]",
        "{\"a\":{\"b\":\"some text to make it longer\"},\n".repeat(20_000)
    );
    let found = entries(input.into(), Form::Json);
    assert_eq!(found.len() as u64, rows + 1);
    for (entry, line) in found.iter().zip(1..=rows) {
        assert_eq!(
            *entry,
            format!(
                "{line}!{}",
                "broken JSON: the record is not closed before the next one begins"
            )
        );
    }
    assert_eq!(found.last().map(String::as_str), Some("20001:{\"last\":1}"));
}

#[test]
fn compressed_inputs_are_seen_and_their_ends_checked() {
    let plain = "{\"a\":1}\n".repeat(50_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(plain.as_bytes()).expect("memory");
    let gzip = gzip.finish().expect("memory");
    let zstd = zstd::encode_all(plain.as_bytes(), 1).expect("memory");
    for whole in [gzip, zstd] {
        let twice = [whole.clone(), whole.clone()].concat();
        assert_eq!(entries(whole.clone(), Form::Auto).len(), 50_000);
        assert_eq!(entries(twice, Form::Auto).len(), 100_000);
        let cut = entries(whole[..whole.len() / 2].to_vec(), Form::Auto);
        let (last, before) = cut.split_last().expect("a dead letter");
        assert!(last.contains("!the compressed input is cut off or damaged here"), "{last}");
        assert!(before.iter().all(|record| record.ends_with(":{\"a\":1}")), "{}", before.len());
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Reader::open(Path::new("no/such.csv"), Form::Auto).err().expect("no file");
    assert!(error.to_string().contains("no/such.csv"), "{error}");
}

#[test]
fn the_header_is_given_apart() {
    let mut reader =
        Reader::new("x", Cursor::new(b"a,\"b\nc\"\n1,2\n".to_vec()), CSV).expect("input");
    assert_eq!(reader.header().expect("readable"), Some(&b"a,\"b\nc\""[..]));
    assert!(matches!(reader.next_entry(), Ok(Some(Entry::Record { line: 3, bytes: b"1,2" }))));
}
