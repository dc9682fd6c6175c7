//! Stored encodings stay readable: what released builds wrote is kept in `tests/fixtures` and
//! decoded here. `UPDATE=1` writes the fixture of the current encoding where it is missing; a
//! fixture that is there is never rewritten.

use std::fmt::Write as _;
use std::path::PathBuf;

use waypost::decode::{Auto, Decode, Raw};
use waypost::engine::{CustomerState, Options};
use waypost::generate::{self, generate};
use waypost::identity::Identify;
use waypost::journey::{Catalog, Rules, SourceFile, compile};
use waypost::lane::{Lane, Merges, NoStore, Timeline};
use waypost::log::{Record, decode, encode};
use waypost::model::Tie;

use crate::support::{block_on, files, update};

/// How many states and records a fixture holds.
const STATES: usize = 60;
const RECORDS: usize = 400;

#[test]
fn states_of_every_encoding_are_read() {
    let folder = folder("states");
    if update() {
        let (states, _) = week();
        write_missing(&folder, states.iter().map(|state| state.encode().expect("bytes")));
    }
    let mut read = 0;
    for path in files("tests/fixtures/states", "bin") {
        let told = blobs(&path)
            .iter()
            .map(|bytes| of_state(&CustomerState::decode(bytes).expect("a state")))
            .fold(String::new(), |all, line| all + &line + "\n");
        same_as_told(&path, &told);
        read += 1;
    }
    assert!(read > 0, "no fixture in {}", folder.display());
}

#[test]
fn records_of_every_encoding_are_read() {
    let folder = folder("records");
    if update() {
        let (_, records) = week();
        write_missing(&folder, [encode(&records).expect("bytes")].into_iter());
    }
    let mut read = 0;
    for path in files("tests/fixtures/records", "bin") {
        let told = blobs(&path)
            .iter()
            .flat_map(|bytes| decode(bytes).expect("records"))
            .map(|record| of_record(&record))
            .fold(String::new(), |all, line| all + &line + "\n");
        same_as_told(&path, &told);
        read += 1;
    }
    assert!(read > 0, "no fixture in {}", folder.display());
}

/// A few days of a shop: states with runs, carts and orders, and the records that led to them.
fn week() -> (Vec<CustomerState>, Vec<Record>) {
    let options = generate::Options {
        customers: 120,
        days: 2,
        seed: 7,
        start: "2026-03-02T00:00:00Z".parse().expect("a time"),
    };
    let mut lines = Vec::new();
    generate(&options, &mut lines, &mut |_, _| ()).expect("events");
    let journeys: Vec<SourceFile> = files("journeys", "yaml")
        .iter()
        .map(|path| SourceFile::new("j", std::fs::read_to_string(path).expect("a journey")))
        .collect();
    let (plans, _) = compile(&journeys, None);
    let timeline = Timeline::fixed(Catalog::new(plans, Rules::default()), Options::default());
    let mut lane = block_on(Lane::take(NoStore, 0, 1, timeline, Merges::Inline)).expect("a lane");
    let mut identify = Identify::in_memory([7; 32]);
    let (mut all, mut offset) = (Vec::new(), 0);
    for (line, bytes) in (1..).zip(lines.split(|byte| *byte == b'\n')) {
        let raw = Raw {
            bytes,
            append_time: None,
            tie: Tie { source: 0, partition: 0, offset: line },
            position: &format!("week:{line}"),
        };
        let mut events = Vec::new();
        if Auto::default().decode(&raw, &mut events).is_err() {
            continue;
        }
        for event in events {
            let mut records = Vec::new();
            if identify.identify(event, &mut records).is_err() {
                continue;
            }
            for record in records {
                all.push(record.clone());
                block_on(lane.push(offset, record)).expect("a record");
                offset += 1;
            }
        }
    }
    all.truncate(RECORDS);
    let end = "2026-03-03T12:00:00Z".parse().expect("a time");
    block_on(lane.advance_to(end)).expect("time moves");
    block_on(lane.flush()).expect("a flush");
    let mut states = lane.take_states();
    // Those that hold the most first.
    states.sort_by_key(|state| {
        let told = (state.runs.len(), state.carts.len(), state.orders.count);
        (std::cmp::Reverse(told), state.id)
    });
    states.truncate(STATES);
    (states, all)
}

fn of_state(state: &CustomerState) -> String {
    let mut line = format!("{} {} email {:?}", state.id, state.display_id(), state.email);
    for cart in &state.carts {
        let items: Vec<String> =
            cart.lines.iter().map(|line| format!("{}*{}", line.sku, line.quantity)).collect();
        let _ = write!(line, "; cart {} [{}]", cart.key, items.join(" "));
    }
    for run in &state.runs {
        let due = run.at.as_ref().map(|at| at.due.to_string());
        let _ = write!(line, "; run {} {} {} due {due:?}", run.journey, run.version, run.id);
    }
    let _ = write!(line, "; orders {} {:?}", state.orders.count, state.orders.totals);
    line
}

fn of_record(record: &Record) -> String {
    match record {
        Record::Event(record) => {
            let event = &record.event;
            let skus: Vec<&str> = event.items.iter().map(|item| item.sku.as_str()).collect();
            format!(
                "{} {} {} {} {}",
                record.customer,
                event.time,
                event.name,
                event.id,
                skus.join(" ")
            )
        }
        Record::Merge(merge) => {
            format!("{} becomes {} at {}", merge.loser, merge.winner, merge.time)
        }
        Record::Expect(merge) => format!("{} is awaited at {}", merge.loser, merge.winner),
        Record::Handover(handover) => format!("{} arrives at {}", handover.loser, handover.winner),
        Record::CartMoved(moved) => format!("cart {} leaves {}", moved.cart_id, moved.customer),
        Record::Tick(at) => format!("tick {at}"),
        Record::Control(control) => format!("release {} at {}", control.release, control.at),
    }
}

fn folder(kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(kind)
}

/// Writes the fixture of the encoding that the first blob is in, unless it is there.
fn write_missing(folder: &std::path::Path, blobs: impl Iterator<Item = Vec<u8>>) {
    let blobs: Vec<Vec<u8>> = blobs.collect();
    let version = blobs[0][0];
    let path = folder.join(format!("{version}.bin"));
    if path.exists() {
        return;
    }
    std::fs::create_dir_all(folder).expect("a folder");
    let mut bytes = Vec::new();
    for blob in blobs {
        bytes.extend(u32::try_from(blob.len()).expect("a length").to_le_bytes());
        bytes.extend(blob);
    }
    std::fs::write(path, bytes).expect("the fixture can be written");
}

/// The blobs of a fixture: a length of four bytes before each.
fn blobs(path: &std::path::Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).expect("a fixture");
    let (mut rest, mut blobs) = (bytes.as_slice(), Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (blob, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        blobs.push(blob.to_vec());
        rest = after;
    }
    blobs
}

/// Holds what was read against the text beside the fixture.
fn same_as_told(path: &std::path::Path, told: &str) {
    let text = path.with_extension("txt");
    if update() && !text.exists() {
        std::fs::write(&text, told).expect("the text can be written");
    }
    let expected = std::fs::read_to_string(&text).expect("what the fixture holds");
    assert_eq!(told, expected, "{} reads differently", path.display());
}
