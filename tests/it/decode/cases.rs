//! `cases/*.txt`: records, each followed by what becomes of it.
//!
//! A record is a line. Below it stands `=> ` and the event in one line (see `show`), `=! ` and the
//! reason of a rejection, or `=- ` for a record that is no event. `UPDATE=1` writes what is found;
//! read the difference before you keep it. Every record is given the append time 2026-08-20.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use waypost::decode::{Auto, Decode, Decoded, Mapping, Raw, Reads, ShopCountries, Xdm};
use waypost::model::{Tie, Timestamp};

use super::show::show;

pub(super) const APPEND_TIME: &str = "2026-08-20T12:00:00Z";

#[test]
fn xdm() {
    check("xdm.txt", &Auto::default());
}

#[test]
fn xdm_of_shops_in_two_countries() {
    let by_shop = [("be".into(), "BE".into())].into();
    let countries = ShopCountries { by_shop, default: Some("NL".into()) };
    check("xdm-shops.txt", &Xdm { countries: Arc::new(countries) });
}

#[test]
fn cloudevents() {
    check("cloudevents.txt", &Auto::default());
}

#[test]
fn the_shop_mapping() {
    let mapping = shipped("shop-csv.yaml");
    let header = b"event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session,quantity,order_id";
    check("shop-csv.txt", &mapping.for_header(header).expect("the columns"));
}

#[test]
fn the_workload_mapping() {
    let mapping = shipped("workload-ndjson.yaml");
    assert_eq!(mapping.reads(), Reads::Json);
    check("workload-ndjson.txt", &mapping);
}

/// A mapping that comes with the project.
pub(super) fn shipped(name: &str) -> Mapping {
    Mapping::load(&crate_root().join("examples/mappings").join(name)).expect(name)
}

pub(super) fn crate_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// What becomes of a record, as a line of a case file.
pub(super) fn outcome(decoder: &dyn Decode, record: &str, line: usize) -> String {
    let usual: Timestamp = APPEND_TIME.parse().expect("a time");
    let position = format!("case:{line}");
    let raw = Raw {
        bytes: record.as_bytes(),
        append_time: Some(usual),
        tie: Tie::default(),
        position: &position,
    };
    match decoder.decode_record(&raw) {
        Ok(Decoded::Events(events)) => {
            let lines: Vec<_> = events.iter().map(|event| show(event, usual)).collect();
            format!("=> {}", lines.join("\n=> "))
        }
        Ok(Decoded::Skip) => "=- ".into(),
        Err(rejected) => format!("=! {rejected}"),
    }
}

fn check(file: &str, decoder: &dyn Decode) {
    let path = crate_root().join("tests/it/decode/cases").join(file);
    let text = std::fs::read_to_string(&path).expect(file);
    let mut found = String::new();
    let mut records = 0;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('=') {
            continue;
        }
        found.push_str(line);
        found.push('\n');
        if !line.is_empty() && !line.starts_with('#') {
            records += 1;
            found.push_str(&outcome(decoder, line, number));
            found.push('\n');
        }
    }
    assert!(records > 0, "{file} holds no record");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &found).expect(file);
    }
    for (expected, found) in text.lines().zip(found.lines()) {
        assert_eq!(found, expected, "{file}; see the head of cases.rs");
    }
    assert_eq!(text, found, "{file} ends early or late");
}
