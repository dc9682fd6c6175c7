//! `docs/events.md` and the JSON Schema say what the code does; `UPDATE=1` rewrites both.

use std::fmt::Write;

use waypost::decode::{Auto, Decode, EVENT_TYPES, Mapping, Reads, cloudevents_schema, data_fields};
use waypost::model::{EventName, ItemsAre};

use super::cases::{crate_root, outcome};

#[test]
fn the_examples_and_tables_of_the_events_page_hold() {
    let page = read("docs/events.md");
    let page = run_examples(&page);
    let page = replace(&page, "event types", &event_types());
    let page = replace(&page, "event names", &event_names());
    check("docs/events.md", &page);
}

#[test]
fn the_schema_is_the_codes() {
    let schema = serde_json::to_string_pretty(&cloudevents_schema()).expect("JSON") + "\n";
    check("docs/schema/cloudevents.schema.json", &schema);
}

/// Fails if the file is not as it should be; with `UPDATE=1` writes it.
fn check(file: &str, expected: &str) {
    let path = crate_root().join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, expected).expect(file);
    }
    let found = read(file);
    for (line, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "{file}:{}: stale; run the tests with UPDATE=1", line + 1);
    }
    assert_eq!(found.len(), expected.len(), "{file} ends early or late");
}

fn read(file: &str) -> String {
    std::fs::read_to_string(crate_root().join(file)).unwrap_or_default()
}

/// The page with every `text` block below an example holding what the example becomes.
fn run_examples(page: &str) -> String {
    let mut mapping: Option<Mapping> = None;
    let mut becomes: Option<String> = None;
    let mut ran = 0;
    let mut rewritten = Vec::new();
    let mut blocks = page.split("```");
    rewritten.extend(blocks.next().map(str::to_owned));
    for (at, block) in blocks.enumerate() {
        let is_code = at % 2 == 0;
        let (language, body) = block.split_once('\n').unwrap_or((block, ""));
        match language {
            "yaml" if is_code => mapping = Some(Mapping::parse("events.md", body).expect(body)),
            "json" | "csv" if is_code => {
                becomes = Some(match mapping.take() {
                    Some(mapping) => outcomes(mapping, body),
                    None => outcome(&Auto::default(), body, 0),
                });
            }
            "text" if is_code => {
                ran += 1;
                let becomes = becomes.take().expect("an example above");
                rewritten.push(format!("text\n{becomes}\n"));
                continue;
            }
            "" if !is_code || body.is_empty() => (),
            other => assert!(!is_code, "a block of {other}"),
        }
        rewritten.push(block.to_owned());
    }
    assert!(ran >= 8, "only {ran} examples");
    rewritten.join("```")
}

fn outcomes(mapping: Mapping, body: &str) -> String {
    let mut rows = body.lines();
    let mapping = match mapping.reads() {
        Reads::Json => mapping,
        Reads::Csv => {
            let header = rows.next().expect("a header");
            mapping.for_header(header.as_bytes()).expect("the columns")
        }
    };
    let decoder: &dyn Decode = &mapping;
    let lines: Vec<_> = rows.zip(2..).map(|(row, line)| outcome(decoder, row, line)).collect();
    lines.join("\n").replace("=- \n", "=- ignored\n")
}

fn replace(page: &str, name: &str, table: &str) -> String {
    let start = format!("<!-- {name} -->\n");
    let (before, rest) = page.split_once(&start).expect(name);
    let (_, after) = rest.split_once("<!-- end -->").expect("an end");
    format!("{before}{start}{table}<!-- end -->{after}")
}

fn event_types() -> String {
    let mut table = String::from("| Adobe's `eventType` | Event | Items are |\n|---|---|---|\n");
    for (adobe, name) in EVENT_TYPES {
        let items = match items_are(name) {
            ItemsAre::Mentioned => "",
            ItemsAre::Delta => "delta",
            ItemsAre::Whole => "whole",
        };
        writeln!(table, "| `{adobe}` | `{name}` | {items} |").expect("memory");
    }
    table
}

/// What an event's items usually are, asked of the decoder itself.
fn items_are(name: &EventName) -> ItemsAre {
    let record =
        format!(r#"{{"specversion":"1.0","type":"{name}","data":{{"items":[{{"sku":"A"}}]}}}}"#);
    let shown = outcome(&Auto::default(), &record, 0);
    match shown {
        shown if shown.contains(" Delta[") => ItemsAre::Delta,
        shown if shown.contains(" Whole[") => ItemsAre::Whole,
        shown if shown.contains(" Mentioned[") => ItemsAre::Mentioned,
        shown => panic!("{shown}"),
    }
}

fn event_names() -> String {
    let mut table = String::from(
        "| `type` | Means | `data` beside customer, shop and channel |\n|---|---|---|\n",
    );
    for (name, text, means) in EventName::KNOWN {
        if name.is_derived() {
            continue;
        }
        let told: Vec<_> = data_fields(name)
            .iter()
            .filter(|field| !["customer", "shop", "channel"].contains(field))
            .map(|field| format!("`{field}`"))
            .collect();
        writeln!(table, "| `{text}` | {means} | {} |", told.join(", ")).expect("memory");
    }
    table
}
