//! Records decoded a second on one core, beside a bare serde_json parse of the same bytes.
//!
//! `cargo bench --bench decode [-- FILE.ndjson]`: FILE holds rows of the workload mapping; without
//! one, rows are made here.
#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]

mod size;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use serde_json::value::RawValue;
use waypost::decode::{Auto, Decode, Entry, Form, Mapping, Raw, Reader};
use waypost::model::{Event, Tie};

use size::{argument, size};

const ROWS: u64 = 400_000;

fn main() {
    let count = size(ROWS);
    let rows = match argument() {
        Some(file) => std::fs::read(file).expect("the file"),
        None => (0..count).map(workload_row).collect::<String>().into_bytes(),
    };
    let csv: String = (0..count).map(csv_row).collect();
    let xdm: String = (0..count / 4).map(xdm_row).collect();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mappings");
    let workload = Mapping::load(&examples.join("workload-ndjson.yaml")).expect("a mapping");
    let shop = Mapping::load(&examples.join("shop-csv.yaml")).expect("a mapping");
    let shop = shop.for_header(CSV_HEADER.as_bytes()).expect("the columns");

    measure("mapped NDJSON", &rows, &workload);
    measure("mapped CSV", csv.as_bytes(), &shop);
    measure("XDM", xdm.as_bytes(), &Auto::default());
    bare("bare parse, NDJSON", &rows);
    bare("bare parse, XDM", xdm.as_bytes());
}

fn measure(name: &str, bytes: &[u8], decoder: &dyn Decode) {
    let form = Form::Ndjson;
    let (mut events, mut rejected) = (0_u64, 0_u64);
    let elapsed = time(|| {
        let source = std::io::Cursor::new(bytes.to_vec());
        let mut reader = Reader::new(name, source, form).expect("an input");
        let mut out: Vec<Event> = Vec::with_capacity(1_024);
        while let Some(entry) = reader.next_entry().expect("an input") {
            let Entry::Record { line, bytes } = entry else { continue };
            let tie = Tie { source: 0, partition: 0, offset: line };
            let raw = Raw { bytes, append_time: None, tie, position: "rows:1" };
            rejected += u64::from(decoder.decode(&raw, &mut out).is_err());
            if out.len() == 1_000 {
                events += 1_000;
                black_box(&out);
                out.clear();
            }
        }
        events += out.len() as u64;
    });
    report(name, events, bytes.len(), elapsed);
    assert_eq!(rejected, 0, "{name}: rejected records make no measurement");
}

/// What a parse alone costs: each line checked to be one JSON value, nothing kept.
fn bare(name: &str, bytes: &[u8]) {
    let mut rows = 0;
    let elapsed = time(|| {
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            black_box(serde_json::from_slice::<&RawValue>(line).expect("JSON"));
            rows += 1;
        }
    });
    report(name, rows, bytes.len(), elapsed);
    let mut rows = 0;
    let elapsed = time(|| {
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            black_box(serde_json::from_slice::<serde_json::Value>(line).expect("JSON"));
            rows += 1;
        }
    });
    report(&format!("{name}, to a tree"), rows, bytes.len(), elapsed);
}

fn time(work: impl FnOnce()) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}

fn report(name: &str, rows: u64, bytes: usize, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64();
    println!(
        "{name:32} {:>9.0} rows/s {:>6.0} MB/s ({rows} rows, {:.2} s)",
        rows as f64 / seconds,
        bytes as f64 / seconds / 1e6,
        seconds
    );
}

fn workload_row(n: u64) -> String {
    let (word, sku, price) = match n % 5 {
        0 | 1 => ("productPageView", n % 997, n % 90 + 10),
        2 => ("addToCart", n % 997, n % 90 + 10),
        3 => ("removeFromCart", n % 997, n % 90 + 10),
        _ => ("startCheckout", 0, 0),
    };
    format!(
        "{{\"_id\":\"{n:016x}\",\"type\":\"{word}\",\"customerId\":\"c{:07}\",\"timestamp\":{},\"sku\":\"SKU-{sku:05}\",\"price\":{price}.99,\"quantity\":1}}\n",
        n % 20_000,
        1_700_000_000_000 + n * 7,
    )
}

const CSV_HEADER: &str = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session,quantity,order_id";

fn csv_row(n: u64) -> String {
    let word = ["view", "view", "cart", "remove_from_cart", "purchase"][(n % 5) as usize];
    format!(
        "2022-10-{:02}T{:02}:{:02}:{:02}Z,{word},{},1487580005134238464,apparel.shoes,runail,{}.62,{},26dd6e6e-4dac-4778-8d2c-92e149dab885,,\n",
        n % 28 + 1,
        n % 24,
        n % 60,
        n % 59,
        5_773_203 + n % 997,
        n % 90,
        463_240_011 + n % 20_000,
    )
}

fn xdm_row(n: u64) -> String {
    format!(
        r#"{{"_id":"4b41703f-e42e-485b-8d63-{n:012x}","timestamp":"2026-08-01T09:15:27.114Z","eventType":"commerce.productListAdds","identityMap":{{"ECID":[{{"id":"84281643067178465783746543501073{n:06}","primary":true}}]}},"personID":"84281643067178465783746543501073{n:06}","channel":{{"_id":"https://ns.adobe.com/xdm/channels/web","_type":"https://ns.adobe.com/xdm/channel-types/web"}},"commerce":{{"commerceScope":{{"environmentID":"27a15179-5545-4d23-e654-1b4ac0b42bd3","websiteCode":"base","storeCode":"main_website_store","storeViewCode":"default"}},"cart":{{"cartID":"{n}"}},"productListAdds":{{"value":1}}}},"productListItems":[{{"SKU":"ts{n}","name":"T-Shirt","quantity":1,"priceTotal":20.5,"currencyCode":"USD","discountAmount":0,"selectedOptions":[]}}]}}"#
    ) + "\n"
}
