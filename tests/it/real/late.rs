//! Rows that come late: what each must do, calculated row by row with the watermark in plain sight.

use std::collections::BTreeMap;

use super::{
    DAY, Dice, GRACE, HOUR, Line, MINUTE, Row, SECOND, plain_decisions, plain_journey, read_rows,
    run_rows, same, shared,
};

const MAIN: &str = "taobao_main.csv.gz";
const START_WITHIN: i64 = HOUR;

/// What late rows came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    late: usize,
    started_late: usize,
    too_late: usize,
    stopped_late: usize,
    waited_longer: usize,
}

/// A customer in the plain journey.
#[derive(Default)]
struct Passage {
    /// The time of the start, when the step was entered, whether it is the second wait, and due.
    run: Option<(i64, i64, bool, i64)>,
    bought: Option<i64>,
}

/// What the plain journey decides for rows in whatever order they arrive.
///
/// How far time is known before a row is the running maximum, the row included, less the grace.
/// A row that is later than that waits its turn; any other is late and applied at once, after
/// everything that is known by then.
fn decisions_of_arrivals(rows: &[Row], start_event: &str) -> (Vec<Line>, Counts) {
    let end = rows.iter().map(|row| row.at).max().unwrap_or_default();
    let mut greatest = i64::MIN / 2;
    // By customer: when it is applied, 0 in its turn or 1 late, and the row.
    let mut turns: BTreeMap<&str, Vec<(i64, u8, &Row)>> = BTreeMap::new();
    let mut counts = Counts::default();
    for row in rows {
        greatest = greatest.max(row.at);
        let known = greatest - GRACE;
        let late = row.at <= known;
        counts.late += usize::from(late);
        let turn = if late { (known, 1, row) } else { (row.at, 0, row) };
        turns.entry(&row.user).or_default().push(turn);
    }
    let mut lines = Vec::new();
    for (customer, mut turns) in turns {
        turns.sort_by_key(|(at, class, _)| (*at, *class));
        let mut passage = Passage::default();
        for (now, late, row) in turns {
            // In its turn a row comes before the timers of its instant, late after them.
            let fired_upto = if late == 1 { now } else { now - 1 };
            passage.fire(fired_upto, customer, &mut lines);
            passage.apply(row, now, late == 1, start_event, &mut counts);
        }
        passage.fire(end, customer, &mut lines);
    }
    lines.sort();
    (lines, counts)
}

impl Passage {
    fn fire(&mut self, upto: i64, customer: &str, lines: &mut Vec<Line>) {
        while let Some((start, _, second, due)) = self.run.filter(|(.., due)| *due <= upto) {
            let step = if second { "second" } else { "first" };
            lines.push(Line::send(due, customer, step));
            self.run = (!second).then_some((start, due, true, due + 23 * HOUR));
        }
    }

    fn apply(&mut self, row: &Row, now: i64, late: bool, start_event: &str, counts: &mut Counts) {
        if row.is_purchase() {
            self.bought = self.bought.max(Some(row.at));
            // An old order does not stop a newer cart's run.
            if self.run.is_some_and(|(start, ..)| row.at >= start) {
                self.run = None;
                counts.stopped_late += usize::from(late);
            }
            return;
        }
        if row.what != start_event {
            return;
        }
        match &mut self.run {
            Some((_, entered, false, due)) if row.at >= *entered => {
                counts.waited_longer += usize::from(late && row.at + HOUR > *due);
                *due = (*due).max(row.at + HOUR);
            }
            Some(_) => {}
            None if late && now - row.at > START_WITHIN => counts.too_late += 1,
            None if self.bought.is_some_and(|bought| bought > row.at) => {}
            None => {
                counts.started_late += usize::from(late);
                self.run = Some((row.at, row.at, false, row.at + HOUR));
            }
        }
    }
}

/// Without late rows both calculations agree, so that neither is wrong alone.
#[test]
fn both_calculations_agree_on_rows_in_order() {
    let Some(path) = shared("late::both_calculations_agree_on_rows_in_order", MAIN) else { return };
    let rows = read_rows(&path);
    let (lines, counts) = decisions_of_arrivals(&rows, "cart");
    same("in order", &lines, &plain_decisions(&rows, HOUR, 23 * HOUR));
    assert_eq!(counts, Counts::default());
}

/// The rows of the real file that lie before its window, at its end, at its head, and wherever a
/// die throws them: views, so the cart journey decides as without them.
#[test]
fn rows_out_of_the_window_at_odd_places() {
    let test = "late::rows_out_of_the_window_at_odd_places";
    let (Some(main), Some(odd)) = (shared(test, MAIN), shared(test, "taobao_out_of_window.csv.gz"))
    else {
        return;
    };
    let (rows, odd) = (read_rows(&main), read_rows(&odd));
    assert_eq!(odd.len(), 35);
    let mut dice = Dice(35);
    let mut scattered = rows.clone();
    for row in &odd {
        // Not among the first rows: they are no more than the grace later.
        scattered.insert(100 + dice.below(scattered.len() - 100), row.clone());
    }
    let expected = plain_decisions(&rows, HOUR, 23 * HOUR);
    let places = [
        ("at the end", [rows.as_slice(), &odd].concat(), 35),
        ("at the head", [odd.as_slice(), &rows].concat(), 0),
        ("anywhere", scattered, 35),
    ];
    for (place, arrived, late) in places {
        let told = run_rows(&plain_journey("1h", "23h"), &arrived);
        same(place, &told.lines(), &expected);
        assert_eq!((told.summary.late, told.count("late")), (late, late as usize), "{place}");
        assert_eq!((told.summary.events, told.summary.dead), (58_407, 0), "{place}");
    }
}

/// A journey that starts when something is viewed sees the same rows: they start nothing, and
/// stop no wait.
#[test]
fn rows_out_of_the_window_start_nothing() {
    let test = "late::rows_out_of_the_window_start_nothing";
    let (Some(main), Some(odd)) = (shared(test, MAIN), shared(test, "taobao_out_of_window.csv.gz"))
    else {
        return;
    };
    let mut rows = read_rows(&main);
    rows.extend(read_rows(&odd));
    let journey = plain_journey("1h", "23h").replace("cart.item_added", "product.viewed");
    let told = run_rows(&journey, &rows);
    let (lines, counts) = decisions_of_arrivals(&rows, "view");
    same("views", &told.lines(), &lines);
    assert_eq!((told.summary.late, counts.late, counts.started_late), (35, 35, 0));
    assert!(counts.too_late > 0);
    assert!(told.count("too late") > 0, "the trace says why nothing started");
}

/// 35 late purchases and 35 late cart events, on both sides of `start_within`.
#[test]
fn late_purchases_and_cart_events() {
    let Some(path) = shared("late::late_purchases_and_cart_events", MAIN) else { return };
    let rows = read_rows(&path);
    let behind = [
        0,
        SECOND,
        5 * MINUTE,
        30 * MINUTE,
        HOUR - 1,
        HOUR,
        HOUR + 1,
        61 * MINUTE,
        3 * HOUR,
        23 * HOUR,
        3 * DAY,
    ];
    let mut seen = Counts::default();
    for seed in 1..=4 {
        let mut dice = Dice(seed);
        let mut arrived = rows.clone();
        for number in 0..70 {
            // In the second half, for a customer who is about, so that it meets runs.
            let place = rows.len() / 2 + dice.below(rows.len() / 2);
            let greatest = arrived[..place].iter().map(|row| row.at).max().expect("rows before");
            let at = greatest - GRACE - behind[dice.below(behind.len())];
            let about: Vec<&Row> = arrived[..place]
                .iter()
                .rev()
                .filter(|row| row.is_cart() || number % 4 == 0 || number % 4 == 3)
                .take(40)
                .collect();
            let user = about[dice.below(about.len())].user.clone();
            let what = if number % 2 == 0 { "cart" } else { "purchase" };
            arrived.insert(place, Row::new(at, what, &user));
        }
        let (lines, counts) = decisions_of_arrivals(&arrived, "cart");
        let told = run_rows(&plain_journey("1h", "23h"), &arrived);
        same(&format!("seed {seed}"), &told.lines(), &lines);
        // A row inserted before another may make it late as well, never fewer than were inserted.
        assert_eq!(told.summary.late, counts.late as u64, "seed {seed}");
        assert_eq!(counts.late, 70, "seed {seed}");
        assert_ne!(lines, plain_decisions(&rows, HOUR, 23 * HOUR), "seed {seed}");
        seen.started_late += counts.started_late;
        seen.too_late += counts.too_late;
        seen.stopped_late += counts.stopped_late;
        seen.waited_longer += counts.waited_longer;
    }
    let Counts { started_late, too_late, stopped_late, waited_longer, .. } = seen;
    assert!(started_late > 5 && too_late > 5 && stopped_late > 5, "{seen:?}");
    assert!(waited_longer > 0, "{seen:?}");
}

/// A late cart event whose wait is over already: its message is due at its own time and decided
/// at the watermark, on either side of `start_within`.
#[test]
fn a_late_start_counts_from_its_own_time() {
    let start = 1_700_000_000_000;
    let end = start + 10 * HOUR;
    for (behind, started) in
        [(30 * MINUTE, true), (HOUR - 1, true), (HOUR, true), (HOUR + 1, false), (2 * HOUR, false)]
    {
        let rows = [
            Row::new(start, "view", "other"),
            Row::new(end, "view", "other"),
            Row::new(end - GRACE - behind, "cart", "ann"),
            Row::new(end + 2 * HOUR, "view", "other"),
        ];
        let journey = plain_journey("20m", "23h");
        let told = run_rows(&journey, &rows);
        let due = end - GRACE - behind + 20 * MINUTE;
        let expected: Vec<Line> =
            started.then(|| Line::send(due, "ann", "first")).into_iter().collect();
        same(&format!("{behind} ms behind"), &told.lines(), &expected);
        assert_eq!(told.summary.late, 1);
        assert_eq!(told.count("too late"), usize::from(!started));
    }
}
