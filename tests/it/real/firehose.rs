//! Two hours of 58,732 customers that arrive out of order, each row inside the grace.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Dice, GRACE, MINUTE, Row, plain_decisions, plain_journey, read_rows, run_file, run_rows, same,
    shared,
};

const FIREHOSE: &str = "taobao_2h_firehose.csv.gz";

#[test]
fn shuffled_arrival_inside_the_grace_changes_nothing() {
    let test = "firehose::shuffled_arrival_inside_the_grace_changes_nothing";
    let Some(path) = shared(test, FIREHOSE) else { return };
    let rows = read_rows(&path);
    let journey = plain_journey("10m", "30m");
    let calculated = plain_decisions(&rows, 10 * MINUTE, 30 * MINUTE);
    assert!(calculated.len() > 2_000, "{} decisions", calculated.len());
    same("in order", &run_file(&journey, &path).lines(), &calculated);
    for seed in [1, 2] {
        let shuffled = shuffle(&rows, seed);
        assert_ne!(shuffled, rows);
        let told = run_rows(&journey, &shuffled);
        same(&format!("seed {seed}"), &told.lines(), &calculated);
        assert_eq!((told.summary.late, told.summary.dead), (0, 0));
        assert_eq!(told.summary.events, 96_168);
    }
}

/// Rows of each stretch of less than the grace in an order drawn by lot. Rows of one customer at
/// one instant keep theirs: there it is the file's order that says what came first.
fn shuffle(rows: &[Row], seed: u64) -> Vec<Row> {
    let mut dice = Dice(seed);
    let mut shuffled = Vec::with_capacity(rows.len());
    for stretch in rows.chunk_by(|a, b| a.at / GRACE == b.at / GRACE) {
        let mut order: Vec<usize> = (0..stretch.len()).collect();
        dice.shuffle(&mut order);
        let mut alike: BTreeMap<(&str, i64), BTreeSet<usize>> = BTreeMap::new();
        for (place, row) in stretch.iter().enumerate() {
            alike.entry((&row.user, row.at)).or_default().insert(place);
        }
        for place in order {
            let row = &stretch[place];
            let own = alike.get_mut(&(row.user.as_str(), row.at)).expect("it is there");
            shuffled.push(stretch[own.pop_first().expect("one for each")].clone());
        }
    }
    shuffled
}
