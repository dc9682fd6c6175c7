//! Orders and cancellations of 3,103 customers over a year: who lapses when, and how many orders
//! each has placed.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::full;

use super::{
    DAY, Line, Row, Told, options, read_rows, run, same, shared, shop_csv, timestamp, write_rows,
};

const ORDERS: &str = "orders_main.csv.gz";
const LAPSE: i64 = 90 * DAY;

fn win_back(again: &str) -> String {
    format!(
        "format: 1
journey: win-back
one_run_per: customer
starts_when: {{ absent: order.placed, for: 90 days }}
again: {again}
steps:
  - email: win-back/first
"
    )
}

/// An order of a customer: when its first row came, and the sum of its rows in thousandths.
struct Order<'a> {
    number: &'a str,
    at: i64,
    rows: Vec<(i64, i64)>,
}

/// Each customer's orders by their numbers, whatever rows tell of them.
fn orders(rows: &[Row]) -> BTreeMap<&str, Vec<Order<'_>>> {
    let mut orders: BTreeMap<&str, Vec<Order<'_>>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.is_purchase()) {
        let own = orders.entry(&row.user).or_default();
        let told = (row.at, thousandths(&row.price) * row.quantity.parse::<i64>().expect("units"));
        match own.iter_mut().find(|order| order.number == row.order) {
            Some(order) => order.rows.push(told),
            None => own.push(Order { number: &row.order, at: row.at, rows: vec![told] }),
        }
    }
    orders
}

fn thousandths(price: &str) -> i64 {
    let (whole, part) = price.split_once('.').unwrap_or((price, ""));
    assert!(part.len() <= 3, "{price}");
    format!("{whole}{part:0<3}").parse().expect("a price")
}

/// Each lapse up to `end`: its line, how many orders there were by then, and their worth.
fn lapses(rows: &[Row], again: bool, end: i64) -> Vec<(Line, i64, i64)> {
    let mut lapses = Vec::new();
    for (customer, orders) in orders(rows) {
        let mut times: Vec<i64> = orders.iter().map(|order| order.at).collect();
        times.sort_unstable();
        let dues = times.iter().filter_map(|at| {
            let due = at + LAPSE;
            // An order at the very instant comes first.
            let ordered = times.iter().any(|other| other > at && *other <= due);
            (!ordered && due <= end).then_some(due)
        });
        let dues: BTreeSet<i64> = dues.collect();
        for due in dues.into_iter().take(if again { usize::MAX } else { 1 }) {
            let count = orders.iter().filter(|order| order.at <= due).count();
            let rows = orders.iter().flat_map(|order| &order.rows);
            let worth = rows.filter(|(at, _)| *at <= due).map(|(_, worth)| worth).sum();
            let count = i64::try_from(count).expect("few");
            lapses.push((Line::send(due, customer, "first"), count, worth));
        }
    }
    lapses.sort();
    lapses
}

fn replayed(told: &Told) -> Vec<(Line, i64, i64)> {
    let mut lapses: Vec<_> = told
        .decisions
        .iter()
        .map(|decision| {
            assert_eq!(decision.withheld, None);
            let data: serde_json::Value = serde_json::from_str(&decision.data).expect("JSON");
            let worth = data["orders"]["total"]["amount"].as_str().expect("a total");
            (
                Line::send(decision.at.ms(), &decision.customer, &decision.step),
                data["orders"]["count"].as_i64().expect("a count"),
                thousandths(worth),
            )
        })
        .collect();
    lapses.sort();
    lapses
}

fn check(rows: &[Row], told: impl Fn(&str, Option<i64>) -> Told) {
    let end = rows.iter().map(|row| row.at).max().expect("rows");
    let cancels = rows.iter().filter(|row| row.what == "cancel").count();
    assert!(cancels > 100, "{cancels} cancellations");
    for (again, is_again) in [("always", true), ("never", false)] {
        let calculated = lapses(rows, is_again, end);
        let told = told(&win_back(again), None);
        same(again, &replayed(&told), &calculated);
        assert_eq!((told.summary.events, told.summary.dead), (rows.len() as u64, 0));
        assert_eq!((told.summary.late, told.count("started")), (0, calculated.len()));
        assert!(calculated.len() > 100, "{}", calculated.len());
    }
    // A year later everybody has lapsed, with all their orders counted.
    let later = end + 365 * DAY;
    let calculated = lapses(rows, true, later);
    let told = told(&win_back("always"), Some(later));
    same("a year later", &replayed(&told), &calculated);
    let last: BTreeMap<&str, i64> =
        calculated.iter().map(|(line, count, _)| (line.customer.as_str(), *count)).collect();
    let all: BTreeMap<&str, i64> = orders(rows)
        .into_iter()
        .map(|(customer, orders)| (customer, i64::try_from(orders.len()).expect("few")))
        .collect();
    assert_eq!(last, all);
}

#[test]
fn every_eighth_customer_lapses_when_calculated() {
    let Some(path) = shared("orders::every_eighth_customer_lapses_when_calculated", ORDERS) else {
        return;
    };
    let rows: Vec<Row> = read_rows(&path)
        .into_iter()
        .filter(|row| row.user.parse::<u64>().expect("a number") % 8 == 0)
        .collect();
    let file = write_rows(&rows);
    check(&rows, |journey, until| {
        let mut options = options(vec![shop_csv(file.path())]);
        options.until = until.map(timestamp);
        run(journey, &options)
    });
}

#[test]
fn every_customer_lapses_when_calculated() {
    let test = "real::orders::every_customer_lapses_when_calculated";
    if !full(test, "288,603 rows, three times") {
        return;
    }
    let Some(path) = shared("orders::every_customer_lapses_when_calculated", ORDERS) else {
        return;
    };
    let rows = read_rows(&path);
    let users: BTreeSet<&str> = rows.iter().map(|row| row.user.as_str()).collect();
    assert_eq!((users.len(), orders(&rows).len()), (3_103, 3_075), "28 only ever cancelled");
    check(&rows, |journey, until| {
        let mut options = options(vec![shop_csv(&path)]);
        options.until = until.map(timestamp);
        run(journey, &options)
    });
}
