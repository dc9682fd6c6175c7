//! Whatever the bytes, nothing panics, nothing is lost, and the good records around them are read.

use std::io::Cursor;

use proptest::prelude::*;
use waypost::decode::{Auto, CsvForm, Decode, Entry, Form, Mapping, Raw, Reader};
use waypost::model::{Tie, Timestamp};

use super::cases::shipped;

/// Pieces that records are made of, so that noise gets past the first byte.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        proptest::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "\n",
            "\r\n",
            "null",
            "1e9",
            "-0.5",
            "\"\"",
            "{\"eventType\":\"commerce.checkouts\"",
            "\"productListItems\":[",
            "{\"SKU\":\"A\"",
            "\"identityMap\":{",
            "\"ECID\":[{\"id\":\"1\"}]",
            "\"specversion\":\"1.0\"",
            "\"data\":{",
            "\"type\":\"cart.viewed\"",
            "\"items\":",
            "\"timestamp\":",
            "\"2026-01-01T00:00:00Z\"",
            "9999-12-31T23:59:59Z,view,a,,,,1,2,,3,4",
            "\"quantity\":9223372036854775807",
            "\"priceTotal\":\"9e60\"",
            "\\u0000",
            "\u{feff}",
            "é",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn decoders() -> Vec<Box<dyn Decode>> {
    let every_field: Mapping = Mapping::parse(
        "noise.yaml",
        "format: 1\nsource: noise\nreads: json\ntime: { path: timestamp, as: epoch_s }\nevent: { path: eventType, otherwise: custom }\nitems: [ { each: productListItems, sku: SKU, quantity: quantity, line_total: priceTotal } ]\ncustomer: { device: 'identityMap.ECID[0].id', phone: type }\norder: { id: data.order.id, total: quantity }\npage: { results: items }",
    )
    .expect("a mapping");
    let shop = shipped("shop-csv.yaml")
        .for_header(b"event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session,quantity,order_id")
        .expect("the columns");
    vec![Box::new(Auto::default()), Box::new(every_field), Box::new(shop)]
}

fn entries(bytes: &[u8], form: Form) -> Vec<(u64, Option<Vec<u8>>)> {
    let mut reader = Reader::new("noise", Cursor::new(bytes.to_vec()), form).expect("memory");
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().expect("memory") {
        found.push(match entry {
            Entry::Record { line, bytes } => (line, Some(bytes.to_vec())),
            Entry::Rejected { line, reason, .. } => {
                assert!(!reason.is_empty());
                (line, None)
            }
        });
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn no_record_panics(bytes in noise()) {
        for decoder in decoders() {
            for append_time in [None, Some(Timestamp::from_ms(0))] {
                let raw = Raw { bytes: &bytes, append_time, tie: Tie::default(), position: "noise:1" };
                let mut out = Vec::new();
                if let Err(rejected) = decoder.decode(&raw, &mut out) {
                    prop_assert!(!rejected.reason.is_empty() && out.is_empty());
                }
            }
        }
    }

    #[test]
    fn no_input_panics_and_lines_never_go_back(bytes in noise()) {
        for form in [Form::Auto, Form::Ndjson, Form::Json, Form::Csv(CsvForm::default())] {
            let found = entries(&bytes, form);
            prop_assert!(found.is_sorted_by_key(|(line, _)| *line), "{form:?} {found:?}");
        }
    }

    #[test]
    fn noise_on_a_line_costs_only_that_line(bytes in noise()) {
        let line: Vec<u8> = bytes.into_iter().filter(|byte| *byte != b'\n').collect();
        let good = b"{\"eventType\":\"commerce.checkouts\"}";
        let input = [&good[..], &line, good].join(&b'\n');
        let found = entries(&input, Form::Ndjson);
        prop_assert_eq!(found.first(), Some(&(1, Some(good.to_vec()))));
        prop_assert_eq!(found.last(), Some(&(3, Some(good.to_vec()))));
    }

    #[test]
    fn json_records_are_cut_the_same_however_they_are_laid_out(
        records in proptest::collection::vec("[a-z{}\\[\\]\",\\\\é]{0,12}", 0..8),
        pretty in any::<bool>(),
    ) {
        let values: Vec<_> = records
            .iter()
            .map(|text| serde_json::json!({"a": text, "b": [{"c": text}, []]}))
            .collect();
        let text = if pretty {
            serde_json::to_string_pretty(&values)
        } else {
            serde_json::to_string(&values)
        };
        let found = entries(text.expect("JSON").as_bytes(), Form::Auto);
        let parsed: Vec<serde_json::Value> = found
            .iter()
            .map(|(_, bytes)| serde_json::from_slice(bytes.as_ref().expect("a record")).expect("JSON"))
            .collect();
        prop_assert_eq!(parsed, values);
    }

    #[test]
    fn csv_rows_are_cut_as_the_csv_crate_cuts_them(
        rows in proptest::collection::vec(proptest::collection::vec("[a,\"\né ]{0,6}", 2), 1..8),
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in &rows {
            writer.write_record(row).expect("memory");
        }
        let bytes = writer.into_inner().expect("memory");
        let form = Form::Csv(CsvForm { delimiter: b',', header: false });
        let found = entries(&bytes, form);
        prop_assert_eq!(found.len(), rows.len());
        for ((_, found), row) in found.iter().zip(&rows) {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .from_reader(found.as_deref().expect("a row"));
            let read: csv::StringRecord = reader.records().next().expect("a row").expect("a row");
            prop_assert_eq!(read.iter().collect::<Vec<_>>(), row.iter().collect::<Vec<_>>());
        }
    }
}
