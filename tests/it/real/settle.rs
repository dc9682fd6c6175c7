//! Purchases that are known a quarter of an hour after they happened, as a back office reports
//! them: which messages they still take back while the source is given time to settle.

use std::collections::BTreeMap;

use waypost::journey::{Rules, SourceRule};
use waypost::model::Delay;
use waypost::replay::Input;

use super::{
    GRACE, HOUR, Line, MINUTE, Row, options, plain_journey, read_rows, run_by, same, shared,
    shop_csv, write_rows,
};

const MAIN: &str = "taobao_main.csv.gz";
const DELAY: i64 = 15 * MINUTE;

/// A row as it arrives: how far time was known before it, whether that makes it late, and it.
struct Arrival<'a> {
    known: i64,
    late: bool,
    row: &'a Row,
}

/// The rows of both files in the order in which they arrive, and how far time is known in the end.
///
/// What is known before a row is the least of the files that have rows left: the next row's time
/// less the grace, or just before the next row comes for the one that comes later on purpose.
fn arrivals<'a>(shop: &'a [Row], office: &'a [Row]) -> (Vec<Arrival<'a>>, i64) {
    let (mut shop, mut office) = (shop.iter().peekable(), office.iter().peekable());
    let mut known = i64::MIN;
    let (mut arrivals, mut greatest) = (Vec::new(), i64::MIN);
    loop {
        let of_shop = shop.peek().map(|row| row.at);
        let of_office = office.peek().map(|row| row.at + DELAY);
        let marks = of_shop.map(|at| at - GRACE).into_iter().chain(of_office.map(|at| at - 1));
        let Some(mark) = marks.min() else { break };
        known = known.max(mark);
        let next = match (of_shop, of_office) {
            (Some(at), Some(other)) if at > other => office.next(),
            (Some(_), _) => shop.next(),
            (None, _) => office.next(),
        };
        let Some(row) = next else { break };
        greatest = greatest.max(row.at);
        arrivals.push(Arrival { known, late: row.at <= known, row });
    }
    (arrivals, known.max(greatest))
}

/// A run: its start, its messages, whether it waits for the first or the second, and until when.
struct Run {
    start: i64,
    messages: Vec<usize>,
    waits: Option<(&'static str, i64)>,
}

/// What the plain journey decides, message by message, and how many were taken back by a row that
/// came after they were due.
fn calculated(shop: &[Row], office: &[Row], settle: i64) -> (Vec<Line>, usize) {
    let (arrivals, end) = arrivals(shop, office);
    let mut by_customer: BTreeMap<&str, Vec<&Arrival<'_>>> = BTreeMap::new();
    for arrival in &arrivals {
        by_customer.entry(&arrival.row.user).or_default().push(arrival);
    }
    let (mut lines, mut taken_back) = (Vec::new(), 0);
    for (customer, mut arrivals) in by_customer {
        arrivals.sort_by_key(|a| if a.late { (a.known, 1) } else { (a.row.at, 0) });
        let mut runs: Vec<Run> = Vec::new();
        let fire = |runs: &mut Vec<Run>, lines: &mut Vec<Line>, upto: i64| {
            let Some(run) = runs.last_mut() else { return };
            while let Some((step, due)) = run.waits.filter(|(_, due)| *due <= upto) {
                run.messages.push(lines.len());
                lines.push(Line::send(due, customer, step));
                run.waits = (step == "first").then_some(("second", due + 23 * HOUR));
            }
        };
        for arrival in arrivals {
            let Arrival { known, late, row } = arrival;
            let now = if *late { *known } else { row.at };
            fire(&mut runs, &mut lines, if *late { now } else { now - 1 });
            let waits = runs.last().and_then(|run| run.waits);
            if row.is_purchase() {
                for run in runs.iter_mut().filter(|run| run.start <= row.at) {
                    run.waits = None;
                    for &message in &run.messages {
                        let line = &mut lines[message];
                        let ready = line.at + settle;
                        let started = if *late { now >= ready } else { now > ready };
                        if !started && line.reason.is_none() {
                            line.decision = "withheld".to_owned();
                            line.reason = Some("stopped".to_owned());
                            taken_back += 1;
                        }
                    }
                }
            } else if row.is_cart() {
                match (waits, runs.last_mut()) {
                    (Some(("first", _)), Some(run)) => run.waits = Some(("first", row.at + HOUR)),
                    (Some(_), _) => {}
                    (None, _) => runs.push(Run {
                        start: row.at,
                        messages: Vec::new(),
                        waits: Some(("first", row.at + HOUR)),
                    }),
                }
            }
        }
        fire(&mut runs, &mut lines, end);
    }
    lines.sort();
    (lines, taken_back)
}

#[test]
fn purchases_that_are_reported_late() {
    let Some(path) = shared("settle::purchases_that_are_reported_late", MAIN) else { return };
    // Every purchase a moment after a reminder is due would be rare: some are brought there.
    let mut rows = read_rows(&path);
    rows.retain(|row| row.is_cart() || row.is_purchase());
    let reminders = super::plain_decisions(&rows, HOUR, 23 * HOUR);
    for (number, reminder) in (0_i64..).zip(reminders.iter().step_by(4)) {
        let away = (number % 60 - 30) * MINUTE;
        rows.push(Row::new(reminder.at + away, "purchase", &reminder.customer));
    }
    rows.sort_by_key(|row| row.at);
    let (office, shop): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(Row::is_purchase);
    let (shop_file, office_file) = (write_rows(&shop), write_rows(&office));
    let mut counts = Vec::new();
    for (settle, settle_ms) in [("0s", 0), ("10m", 10 * MINUTE), ("20m", 20 * MINUTE)] {
        let mut rules = Rules::default();
        let settle: Delay = settle.parse().expect("a duration");
        rules.sources.insert("office".into(), SourceRule { settle, carries: None });
        let late = Input { arrival_delay_ms: DELAY, ..shop_csv(office_file.path()) };
        let mut options = options(vec![shop_csv(shop_file.path()), late]);
        let (lines, taken_back) = calculated(&shop, &office, settle_ms);
        for flush_rows in [options.flush_rows, 50] {
            options.flush_rows = flush_rows;
            let told = run_by(&[&plain_journey("1h", "23h")], rules.clone(), &options);
            same(&format!("settle {settle_ms}, {flush_rows}"), &told.lines(), &lines);
            let ats: Vec<i64> = told.decisions.iter().map(|decision| decision.at.ms()).collect();
            assert!(ats.is_sorted(), "lines are in the order of their time");
            assert!(told.summary.late > 1_000, "{}", told.summary.late);
        }
        counts.push(taken_back);
    }
    assert_eq!(counts[0], 0, "without settle nothing that is due is taken back");
    assert!(counts[1] > 10 && counts[2] > counts[1], "{counts:?}");
}
