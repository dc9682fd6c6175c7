//! Carts with removals, prices, duplicate rows and purchases: what a message shows of the cart,
//! held against a fold of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use super::{
    HOUR, Line, MINUTE, Row, options, plain_decisions, plain_journey, read_rows, run, run_file,
    same, shared, shop_csv, temporary, write_rows,
};

const COSMETICS: &str = "cosmetics_5slices.csv.gz";
const MULTI: &str = "multicategory_head.csv.gz";

/// A cart as a message shows it: products with quantity and price in cents, and the total.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shown {
    items: BTreeMap<String, (i64, i64)>,
    total: i64,
}

/// The customer's cart after these rows: an add adds one, with its price for all of them; a
/// removal takes one away if it is there; a purchase closes the cart.
fn fold<'a>(rows: impl Iterator<Item = &'a Row>) -> Shown {
    let mut items: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for row in rows {
        match row.what.as_str() {
            "cart" => {
                let line = items.entry(row.sku.clone()).or_default();
                *line = (line.0 + 1, cents(&row.price));
            }
            "remove_from_cart" => {
                if let Some(line) = items.get_mut(&row.sku) {
                    line.0 -= 1;
                    if line.0 == 0 {
                        items.remove(&row.sku);
                    }
                }
            }
            "purchase" => items.clear(),
            _ => {}
        }
    }
    let total = items.values().map(|(quantity, price)| quantity * price).sum();
    Shown { items, total }
}

/// Cents of a price such as `2.6`, by its digits.
fn cents(text: &str) -> i64 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(part.len() <= 2, "{text}");
    sign * format!("{whole}{part:0<2}").parse::<i64>().expect("a price")
}

/// What the plain journey with removals decides, and the cart that each message shows.
///
/// Minute by minute in spirit: after each row and before the next, whatever is due is decided.
fn calculated(rows: &[Row], quiet: i64, then: i64) -> (Vec<(Line, Shown)>, usize) {
    let end = rows.iter().map(|row| row.at).max().unwrap_or_default();
    let mut by_customer: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        by_customer.entry(&row.user).or_default().push(row);
    }
    let (mut lines, mut starts) = (Vec::new(), 0);
    for (customer, rows) in by_customer {
        // The step that is waited for, and when it is due.
        let mut waits: Option<(&str, i64)> = None;
        for (place, row) in rows.iter().enumerate() {
            let is_cart_event = matches!(row.what.as_str(), "cart" | "remove_from_cart");
            match (row.what.as_str(), waits) {
                ("cart", None) => {
                    starts += 1;
                    waits = Some(("first", row.at + quiet));
                }
                (_, Some(("first", _))) if is_cart_event => waits = Some(("first", row.at + quiet)),
                ("purchase", _) => waits = None,
                _ => {}
            }
            let next = rows.get(place + 1).map_or(end + 1, |next| next.at);
            while let Some((step, due)) = waits.filter(|(_, due)| *due < next) {
                let shown = fold(rows[..=place].iter().copied());
                lines.push((Line::send(due, customer, step), shown));
                waits = (step == "first").then_some(("second", due + then));
            }
        }
    }
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    (lines, starts)
}

/// The decisions with the carts in them.
fn replayed(told: &super::Told) -> Vec<(Line, Shown)> {
    let carts = told.decisions.iter().map(|decision| {
        let data: serde_json::Value = serde_json::from_str(&decision.data).expect("JSON");
        let cart = &data["cart"];
        let amount =
            |value: &serde_json::Value| cents(value["amount"].as_str().expect("an amount"));
        let items: BTreeMap<String, (i64, i64)> = cart["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| {
                let sku = item["sku"].as_str().expect("a product").to_owned();
                (sku, (item["quantity"].as_i64().expect("a quantity"), amount(&item["price"])))
            })
            .collect();
        let lines = cart["lines"].as_u64().expect("lines");
        assert_eq!(usize::try_from(lines).expect("few"), items.len(), "no product twice");
        let units: i64 = items.values().map(|(quantity, _)| quantity).sum();
        assert_eq!(cart["count"].as_i64(), Some(units));
        let line = (decision.at.ms(), decision.customer.to_string(), decision.step.to_string());
        (line, Shown { items, total: amount(&cart["total"]) })
    });
    let mut carts: Vec<_> = carts
        .map(|((at, customer, step), shown)| (Line::send(at, &customer, &step), shown))
        .collect();
    carts.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(told.decisions.iter().all(|decision| decision.withheld.is_none()));
    carts
}

#[test]
fn carts_of_cosmetics_with_removals_and_duplicates() {
    let test = "carts::carts_of_cosmetics_with_removals_and_duplicates";
    let Some(path) = shared(test, COSMETICS) else { return };
    let rows = read_rows(&path);
    // What makes the file hard is there.
    let of = |what: &str| rows.iter().filter(|row| row.what == what).count();
    assert!(of("remove_from_cart") > 500 && of("purchase") > 100);
    assert!(rows.iter().any(|row| cents(&row.price) <= 0));
    for (quiet, quiet_ms) in [("2m", 2 * MINUTE), ("10m", 10 * MINUTE)] {
        let (lines, starts) = calculated(&rows, quiet_ms, 15 * MINUTE);
        let told = run_file(&plain_journey(quiet, "15m"), &path);
        same(quiet, &replayed(&told), &lines);
        assert_eq!(told.count("started"), starts, "{quiet}");
        let steps = &told.summary.journeys["cart"].steps;
        for step in ["first", "second"] {
            let sends = lines.iter().filter(|(line, _)| line.step == step).count();
            assert_eq!(steps[step].send, sends as u64, "{quiet}: {step}");
            assert!(sends > 100, "{quiet}: {sends} of {step}");
        }
        // A row without an id is an event of its own, however alike another is.
        assert_eq!((told.summary.events, told.summary.duplicates), (4_995, 0));
        let many = lines.iter().any(|(_, shown)| shown.items.values().any(|line| line.0 > 1));
        assert!(many, "{quiet}: a cart with more than one of a product");
        let empty = lines.iter().any(|(_, shown)| shown.items.is_empty());
        assert!(empty, "{quiet}: a cart that was emptied");
    }
}

/// Duplicate rows count twice: without them, carts differ.
#[test]
fn exact_duplicates_of_rows_are_events_of_their_own() {
    let test = "carts::exact_duplicates_of_rows_are_events_of_their_own";
    let Some(path) = shared(test, COSMETICS) else { return };
    let rows = read_rows(&path);
    let mut seen = BTreeSet::new();
    let once: Vec<Row> =
        rows.iter().filter(|row| seen.insert(format!("{row:?}"))).cloned().collect();
    assert!(once.len() < rows.len() - 100, "{} of {}", once.len(), rows.len());
    let file = write_rows(&once);
    let told = run_file(&plain_journey("10m", "15m"), file.path());
    let with = calculated(&rows, 10 * MINUTE, 15 * MINUTE).0;
    let without = calculated(&once, 10 * MINUTE, 15 * MINUTE).0;
    same("each row once", &replayed(&told), &without);
    assert_ne!(with, without);
}

#[test]
fn carts_of_many_categories_with_prices() {
    let Some(path) = shared("carts::carts_of_many_categories_with_prices", MULTI) else { return };
    let rows = read_rows(&path);
    let (lines, starts) = calculated(&rows, 10 * MINUTE, HOUR);
    let told = run_file(&plain_journey("10m", "1h"), &path);
    same("carts", &replayed(&told), &lines);
    assert_eq!(told.count("started"), starts);
    assert!(lines.len() > 30 && starts > 100, "{} decisions, {starts} starts", lines.len());
    assert_eq!((told.summary.events, told.summary.dead, told.summary.late), (17_434, 0, 0));
    // The two calculations of this folder agree where there are no removals.
    let plain: Vec<Line> = lines.into_iter().map(|(line, _)| line).collect();
    same("without carts", &plain, &plain_decisions(&rows, 10 * MINUTE, HOUR));
}

/// Rows that can't be read are in the dead letters with their lines, and change nothing else.
#[test]
fn every_rejected_row_is_a_dead_letter_with_its_line() {
    let test = "carts::every_rejected_row_is_a_dead_letter_with_its_line";
    for (name, quiet) in [(COSMETICS, "10m"), (MULTI, "10m")] {
        let Some(path) = shared(test, name) else { continue };
        let rows = read_rows(&path);
        let whole = write_rows(&rows);
        let text = std::fs::read_to_string(whole.path()).expect("the rows");
        let broken: [&[u8]; 9] = [
            b"yesterday,cart,1,,,,2.62,7,,,",
            b"2022-13-01T00:00:00Z,cart,1,,,,2.62,7,,,",
            b"2022-10-01T00:00:00Z,juggle,1,,,,2.62,7,,,",
            b"2022-10-01T00:00:00Z,,1,,,,2.62,7,,,",
            b"2022-10-01T00:00:00Z,cart,1,,,,cheap,7,,,",
            b"2022-10-01T00:00:00Z,cart,1,,,,2.62,7,,many,",
            b"2022-10-01T00:00:00Z,cart,1,,,,2.62,,,,",
            b"2022-10-01T00:00:00Z,cart",
            b"2022-10-01T00:00:00Z,cart,1,,,,2.62,\xff\xfe,,,",
        ];
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        let mut line = 0;
        for (number, row) in text.lines().enumerate() {
            line += 1;
            writeln!(bytes, "{row}").expect("bytes");
            if number % 37 == 36 {
                line += 1;
                bytes.extend_from_slice(broken[(number / 37) % broken.len()]);
                bytes.push(b'\n');
                expected.push(line);
            }
        }
        let file = temporary(&bytes, ".csv");
        let journey = plain_journey(quiet, "15m");
        let told = run(&journey, &options(vec![shop_csv(file.path())]));
        let mut dead = told.dead_lines();
        dead.sort_unstable();
        same(name, &dead, &expected);
        assert_eq!(told.summary.dead, expected.len() as u64, "{name}");
        assert!(told.summary.dead_letters.iter().all(|dead| !dead.reason.is_empty()));
        same(name, &replayed(&told), &calculated(&rows, 10 * MINUTE, 15 * MINUTE).0);
    }
}

/// However many there are, the command's file has each.
#[test]
fn the_command_writes_every_dead_letter() {
    let rows: Vec<Row> = (0..3_500)
        .map(|number| {
            Row::new(1_700_000_000_000, if number % 2 == 0 { "view" } else { "juggle" }, "7")
        })
        .collect();
    let file = write_rows(&rows);
    let journey = temporary(plain_journey("1h", "23h").as_bytes(), ".yaml");
    let dead = temporary(b"", ".ndjson");
    let output = crate::support::waypost()
        .args(["replay", "--mapping", "examples/mappings/shop-csv.yaml"])
        .arg("--events")
        .arg(file.path())
        .arg("--journeys")
        .arg(journey.path())
        .arg("--dead-letters")
        .arg(dead.path())
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let positions: Vec<String> = std::fs::read_to_string(dead.path())
        .expect("the file")
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|dead| dead["position"].as_str().expect("a position").to_owned())
        .collect();
    // The header is line 1, so every other row from line 3 on.
    let expected: Vec<String> =
        (0..1_750).map(|number| format!("{}:{}", file.path().display(), 3 + 2 * number)).collect();
    same("dead letters", &positions, &expected);
}
