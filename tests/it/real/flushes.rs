//! What must not matter: how many rows are applied between two flushes, and which of two
//! customers comes first in the file at one instant.

use std::collections::BTreeMap;

use waypost::generate;

use super::{
    DAY, Dice, GRACE, HOUR, Row, json, options, plain_journey, run, run_all, run_rows, same,
    shared, shop_csv, temporary, write_rows,
};

const MAIN: &str = "taobao_main.csv.gz";

/// A made-up shop: few customers, much at one instant, rows out of order inside the grace and
/// beyond it, and rows that can't be read.
fn crowd(seed: u64) -> Vec<Row> {
    let mut dice = Dice(seed);
    let mut at = 1_700_000_000_000;
    let mut rows = Vec::new();
    for _ in 0..3_000 {
        at += [0, 0, 1_000, 20_000, 90_000, HOUR / 4][dice.below(6)];
        let behind = [0, 0, 0, 0, GRACE / 2, GRACE - 1, GRACE, HOUR / 2, 2 * HOUR][dice.below(9)];
        let what = ["view", "cart", "cart", "cart", "remove_from_cart", "purchase", "juggle"]
            [dice.below(7)];
        let mut row = Row::new(at - behind, what, &format!("u{}", dice.below(25)));
        row.sku = format!("s{}", dice.below(6));
        row.price = format!("{}.5", dice.below(90));
        rows.push(row);
    }
    rows
}

/// Two journeys in one, so that carts, conditions and both kinds of wait are in it.
fn journey() -> String {
    plain_journey("10m", "5h")
        .replace("steps:", "only_while: \"cart.total >= money('20')\"\nsteps:")
}

#[test]
fn the_flush_size_changes_no_byte() {
    for seed in [11, 12] {
        let file = write_rows(&crowd(seed));
        let mut options = options(vec![shop_csv(file.path())]);
        let whole = run(&journey(), &options);
        assert!(whole.decisions.len() > 50, "{}", whole.decisions.len());
        assert!(whole.summary.late > 100 && whole.summary.dead > 100, "{:?}", whole.summary);
        for flush_rows in [1, 2, 7, 100, 1_024] {
            options.flush_rows = flush_rows;
            let told = run(&journey(), &options);
            let what = format!("seed {seed}, {flush_rows} rows a flush");
            same(&format!("{what}, sorted"), &contents(&told), &contents(&whole));
            same(&what, &texts(&told), &texts(&whole));
            assert_eq!(told.summary, whole.summary, "seed {seed}, {flush_rows} rows a flush");
        }
    }
}

#[test]
fn the_flush_size_changes_no_byte_of_nine_real_days() {
    let test = "flushes::the_flush_size_changes_no_byte_of_nine_real_days";
    let Some(path) = shared(test, MAIN) else { return };
    let mut options = options(vec![shop_csv(&path)]);
    let journey = plain_journey("1h", "23h");
    let whole = run(&journey, &options);
    assert!(whole.decisions.len() > 500, "{}", whole.decisions.len());
    for flush_rows in [97, 4_096] {
        options.flush_rows = flush_rows;
        let told = run(&journey, &options);
        same(&format!("{flush_rows} rows a flush"), &texts(&told), &texts(&whole));
        assert_eq!(told.summary, whole.summary, "{flush_rows} rows a flush");
    }
}

/// A JSON array on one line, as programs write it: records without an id are events of their own.
#[test]
fn records_on_one_line_are_events_of_their_own() {
    let record = |minute: usize| {
        format!(
            r#"{{"eventType":"commerce.productListAdds","timestamp":"2026-03-02T10:{minute:02}:00Z","identityMap":{{"ECID":[{{"id":"11"}}]}},"productListItems":[{{"SKU":"A","quantity":1}}]}}"#
        )
    };
    let records: Vec<String> = (0..30).map(record).collect();
    for (between, form) in [(",\n", "a line each"), (",", "one line")] {
        let file = temporary(format!("[{}]", records.join(between)).as_bytes(), ".json");
        let mut options = options(vec![json(file.path())]);
        options.until = Some("2026-03-02T23:00:00Z".parse().expect("a time"));
        let told = run(&plain_journey("1h", "5h"), &options);
        assert_eq!((told.summary.events, told.summary.duplicates), (30, 0), "{form}");
        let carts: Vec<serde_json::Value> = told
            .decisions
            .iter()
            .map(|decision| serde_json::from_str(&decision.data).expect("JSON"))
            .collect();
        let counts: Vec<Option<i64>> =
            carts.iter().map(|data| data["cart"]["count"].as_i64()).collect();
        assert_eq!(counts, [Some(30), Some(30)], "{form}");
    }
}

/// Anonymous browsing, sign-ins, shared devices, orders told twice, late and broken records: what
/// ties customers together must not hang on which of their records meet in one flush.
#[test]
fn the_flush_size_changes_no_byte_where_customers_merge() {
    let start = "2026-03-02T00:00:00Z".parse().expect("a time");
    let made = generate::Options { customers: 300, days: 4, seed: 5, start };
    let mut bytes = Vec::new();
    generate::generate(&made, &mut bytes, &mut |_, _| {}).expect("generates");
    let file = temporary(&bytes, ".ndjson");
    let shipped = waypost::shipped::journeys();
    let journeys: Vec<&str> = shipped.iter().map(|file| file.text.as_str()).collect();
    let mut options = options(vec![json(file.path())]);
    let whole = run_all(&journeys, &options);
    assert!(whole.decisions.len() > 50, "{}", whole.decisions.len());
    assert!(whole.count("merged") > 50 && whole.summary.late > 10, "{:?}", whole.traces);
    for flush_rows in [1, 13, 500] {
        options.flush_rows = flush_rows;
        let told = run_all(&journeys, &options);
        same(&format!("{flush_rows} rows a flush"), &texts(&told), &texts(&whole));
        assert_eq!(told.summary, whole.summary, "{flush_rows} rows a flush");
    }
}

/// Rows of one instant in another order, each customer's own order kept.
#[test]
fn the_order_of_strangers_at_one_instant_changes_no_decision() {
    for seed in 1..=5 {
        // In order, so that a row that is late is not part of it.
        let mut rows = crowd(seed);
        rows.retain(|row| row.what != "juggle");
        rows.sort_by_key(|row| row.at);
        let told = run_rows(&journey(), &rows);
        let mut dice = Dice(100 + seed);
        let mut permuted = Vec::new();
        for instant in rows.chunk_by(|a, b| a.at == b.at) {
            let mut by_customer: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
            for row in instant {
                by_customer.entry(&row.user).or_default().push(row.clone());
            }
            let mut queues: Vec<_> = by_customer.into_values().collect();
            dice.shuffle(&mut queues);
            permuted.extend(queues.into_iter().flatten());
        }
        assert_ne!(permuted, rows);
        let again = run_rows(&journey(), &permuted);
        same(&format!("seed {seed}"), &contents(&again), &contents(&told));
        assert!(told.decisions.len() > 30, "{}", told.decisions.len());
    }
}

/// The lines as the command writes them.
fn texts(told: &super::Told) -> Vec<String> {
    String::from_utf8_lossy(&told.ndjson).lines().map(str::to_owned).collect()
}

/// Everything of the decisions but the ids that come from a row's place in its file.
fn contents(told: &super::Told) -> Vec<String> {
    let mut contents: Vec<String> = told
        .decisions
        .iter()
        .map(|d| format!("{} {} {} {:?} {}", d.at, d.customer, d.step, d.withheld, d.data))
        .collect();
    contents.sort();
    contents
}

/// A file replayed in two files gives what it gives as one, where each customer is in one file.
#[test]
fn customers_in_two_files_decide_as_in_one() {
    let mut rows = crowd(31);
    rows.retain(|row| row.what != "juggle");
    rows.sort_by_key(|row| row.at);
    let one = run_rows(&journey(), &rows);
    let (a, b): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| row.user.bytes().map(u32::from).sum::<u32>() % 2 == 0);
    assert!(a.len() > 500 && b.len() > 500);
    let (a, b) = (write_rows(&a), write_rows(&b));
    let two = run(&journey(), &options(vec![shop_csv(a.path()), shop_csv(b.path())]));
    same("two files", &contents(&two), &contents(&one));
    assert!(one.decisions.iter().all(|d| d.at.ms() < 1_700_000_000_000 + 60 * DAY));
}
