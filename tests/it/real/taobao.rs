//! A plain abandoned-cart journey over nine days of 576 customers, line by line.

use std::collections::BTreeSet;

use crate::support::waypost;

use super::{
    HOUR, Line, Row, SECOND, plain_decisions, plain_journey, read_rows, run_file, run_rows, same,
    shared, temporary,
};

const MAIN: &str = "taobao_main.csv.gz";

#[test]
fn every_decision_equals_the_calculated_one() {
    let Some(path) = shared("taobao::every_decision_equals_the_calculated_one", MAIN) else {
        return;
    };
    let rows = read_rows(&path);
    for (quiet, waits) in [("1h", HOUR), ("4h", 4 * HOUR), ("24h", 24 * HOUR)] {
        let told = run_file(&plain_journey(quiet, "23h"), &path);
        let calculated = plain_decisions(&rows, waits, 23 * HOUR);
        same(quiet, &told.lines(), &calculated);
        assert!(calculated.len() > 500, "{quiet}: only {} decisions", calculated.len());
        assert_eq!((told.summary.events, told.summary.late, told.summary.dead), (58_372, 0, 0));
    }
}

/// The command, its names and its order: `at`, then customer.
#[test]
fn the_command_writes_the_same_lines() {
    let Some(path) = shared("taobao::the_command_writes_the_same_lines", MAIN) else { return };
    let journey = temporary(plain_journey("1h", "23h").as_bytes(), ".yaml");
    let output = waypost()
        .args(["replay", "--assume-reachable", "--mapping", "examples/mappings/shop-csv.yaml"])
        .arg("--events")
        .arg(&path)
        .arg("--journeys")
        .arg(journey.path())
        .output()
        .expect("the command runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("may be mailed: 0 of 576, no consent source"), "{said}");
    let mut lines: Vec<Line> = Vec::new();
    for text in String::from_utf8(output.stdout).expect("UTF-8").lines() {
        let line: serde_json::Value = serde_json::from_str(text).expect("a JSON object");
        let field = |name: &str| line[name].as_str().map(str::to_owned);
        let present = |name: &str| field(name).unwrap_or_else(|| panic!("no `{name}` in {text}"));
        assert_eq!((present("journey"), present("channel")), ("cart".into(), "email".into()));
        assert_eq!(present("template"), format!("cart/{}", present("step")));
        for name in ["version", "run", "message"] {
            present(name);
        }
        assert!(line["data"]["cart"]["items"].is_array(), "{text}");
        lines.push(Line {
            at: present("at").parse::<jiff::Timestamp>().expect("a time").as_millisecond(),
            customer: present("customer"),
            step: present("step"),
            decision: present("decision"),
            reason: field("reason"),
        });
    }
    assert!(lines.is_sorted(), "the lines are in the order of time, then customer");
    same("command", &lines, &plain_decisions(&read_rows(&path), HOUR, 23 * HOUR));
}

/// Rows that were moved to when a timer is due, and to a millisecond before and after.
#[test]
fn rows_at_the_instant_of_a_due_timer() {
    let Some(path) = shared("taobao::rows_at_the_instant_of_a_due_timer", MAIN) else { return };
    let rows = carts_and_purchases(&read_rows(&path));
    let untouched = plain_decisions(&rows, HOUR, 23 * HOUR);
    for away in [-1, 0, 1] {
        let mut moved = rows.clone();
        let [mut carts, mut purchases] = [0, 0];
        let mut done = BTreeSet::new();
        for (number, line) in untouched.iter().enumerate() {
            // The customer's next row of one kind and the other, by turns; one for each customer.
            let wanted = |row: &&mut Row| {
                row.user == line.customer && row.at > line.at && row.is_cart() == (number % 2 == 0)
            };
            if done.contains(&line.customer) {
                continue;
            }
            let Some(row) = moved.iter_mut().find(wanted) else { continue };
            row.at = line.at + away;
            *(if row.is_cart() { &mut carts } else { &mut purchases }) += 1;
            done.insert(&line.customer);
        }
        assert!(carts > 80 && purchases > 80, "{carts} cart events, {purchases} purchases");
        moved.sort_by_key(|row| row.at);
        let calculated = plain_decisions(&moved, HOUR, 23 * HOUR);
        assert_ne!(calculated, untouched);
        let told = run_rows(&plain_journey("1h", "23h"), &moved);
        same(&format!("moved to {away} ms from due"), &told.lines(), &calculated);
        assert_eq!(told.summary.late, 0);
    }
}

/// Time ends with the last event's time, and what is due at that very instant still happens.
#[test]
fn a_timer_due_at_the_end() {
    let start = 1_700_000_000_000;
    for (away, sends) in [(-1, 0), (0, 1), (1, 1)] {
        let rows = [Row::new(start, "cart", "ann"), Row::new(start + HOUR + away, "view", "other")];
        let told = run_rows(&plain_journey("1h", "23h"), &rows);
        let expected = [Line::send(start + HOUR, "ann", "first")];
        same("the end", &told.lines(), &expected[..sends]);
        same("calculated", &plain_decisions(&rows, HOUR, 23 * HOUR), &expected[..sends]);
    }
}

/// A purchase beside a cart event: before and after it in the file at one instant, and within
/// one second before and after.
#[test]
fn a_purchase_and_a_cart_event_within_one_second() {
    let Some(path) = shared("taobao::a_purchase_and_a_cart_event_within_one_second", MAIN) else {
        return;
    };
    let rows = carts_and_purchases(&read_rows(&path));
    let mut outcomes = BTreeSet::new();
    for away in [-SECOND, -400, 0, 400, SECOND] {
        for purchase_first in [true, false] {
            let mut beside = Vec::new();
            for (number, row) in rows.iter().enumerate() {
                let purchase = Row::new(row.at + away, "purchase", &row.user);
                let chosen = row.is_cart() && number % 5 == 0;
                if chosen && purchase_first {
                    beside.push(purchase.clone());
                }
                beside.push(row.clone());
                if chosen && !purchase_first {
                    beside.push(purchase);
                }
            }
            beside.sort_by_key(|row| row.at);
            let calculated = plain_decisions(&beside, HOUR, 23 * HOUR);
            let told = run_rows(&plain_journey("1h", "23h"), &beside);
            same(&format!("{away} ms, {purchase_first}"), &told.lines(), &calculated);
            outcomes.insert(calculated);
        }
    }
    assert!(outcomes.len() > 1, "the order makes a difference");
}

/// The rows that the plain journey looks at; browsing is in the other tests.
fn carts_and_purchases(rows: &[Row]) -> Vec<Row> {
    rows.iter().filter(|row| row.is_cart() || row.is_purchase()).cloned().collect()
}
