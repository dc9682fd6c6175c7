//! Files as a replay reads them: whose row counts, and which can't be believed.

use std::io::Write as _;

use waypost::decode::Decoder;
use waypost::engine::Decision;
use waypost::journey::{Catalog, Rules, SourceFile, compile};
use waypost::replay::{DeadLetter, FLUSH_ROWS, Input, Options, Watch, replay};

const JOURNEY: &str = "
format: 1
journey: cart
starts_when: { event: cart.item_added }
stops_when: { event: order.placed }
start_within: 5h
again: always
steps: [ { wait: 1h }, { email: cart/first } ]
";

/// One case: files with how late each is known, until when, and what comes of them.
struct Case<'a> {
    name: &'a str,
    /// Rows such as `12:00 page.viewed ann`, on 2 March unless a day stands before: `05T12:00`.
    files: &'a [(&'a str, i64)],
    until: Option<&'a str>,
    /// Decisions as `13:00 ann send`.
    decided: &'a [&'a str],
    /// Lines of dead letters.
    dead: &'a [&'a str],
}

#[test]
fn rows_are_read_as_they_would_have_come() {
    let shop = "12:00 page.viewed ann\n12:00 cart.item_added bob\n17:30 page.viewed zed";
    for case in [
        Case {
            name: "a row two days ahead of its surroundings, with one that can't be read behind it",
            files: &[(
                "12:00 cart.item_added ann\n09T12:00 page.viewed zed\nbroken\n12:30 order.placed ann\n14:00 page.viewed zed",
                0,
            )],
            until: None,
            decided: &[],
            dead: &["2", "3"],
        },
        Case {
            name: "the first row is two days ahead",
            files: &[(
                "09T12:00 page.viewed zed\nbroken\nbroken\n12:00 cart.item_added ann\n14:00 page.viewed zed",
                0,
            )],
            until: None,
            decided: &["13:00 ann send"],
            dead: &["1", "2", "3"],
        },
        Case {
            name: "a row two days ahead, and nothing behind it that can be read",
            files: &[("12:00 cart.item_added ann\n09T12:00 page.viewed zed\nbroken", 0)],
            until: None,
            decided: &["13:00 ann send"],
            dead: &["3"],
        },
        Case {
            name: "an order that is known in time",
            files: &[(shop, 0), ("12:10 order.placed bob", 30)],
            until: Some("13:30"),
            decided: &[],
            dead: &[],
        },
        Case {
            name: "an order that is known after the end",
            files: &[(shop, 0), ("12:10 order.placed bob", 120)],
            until: Some("13:30"),
            decided: &["13:00 bob send"],
            dead: &[],
        },
        Case {
            name: "a cart event that is known after the end",
            files: &[(shop, 0), ("12:10 cart.item_added ann", 120)],
            until: Some("13:30"),
            decided: &["13:00 bob send"],
            dead: &[],
        },
        Case {
            name: "a cart event that is known late, but before the end",
            files: &[(shop, 0), ("12:10 cart.item_added ann", 120)],
            until: Some("14:30"),
            decided: &["13:00 bob send", "13:10 ann send"],
            dead: &[],
        },
    ] {
        check(&case);
    }
}

fn check(case: &Case<'_>) {
    let files: Vec<_> = case.files.iter().map(|(rows, delay)| (file(rows), *delay)).collect();
    let inputs = files.iter().map(|(file, minutes)| Input {
        path: file.path().to_owned(),
        decoder: Decoder::default(),
        arrival_delay_ms: minutes * 60_000,
        history: false,
    });
    let options = Options {
        inputs: inputs.collect(),
        topics: None,
        until: case.until.map(|at| time(at).parse().expect("a time")),
        grace_ms: 10_000,
        assume_reachable: true,
        key: [7; 32],
        flush_rows: FLUSH_ROWS,
    };
    let (plans, report) = compile(&[SourceFile::new("cart.yaml", JOURNEY)], None);
    assert!(!report.has_errors(), "{}", report.render(false));
    let mut told = Told::default();
    replay(Catalog::new(plans, Rules::default()), &options, &mut told).expect("a replay");
    assert_eq!(told.decided, case.decided, "{}", case.name);
    assert_eq!(told.dead, case.dead, "{}", case.name);
}

/// The rows as a file of CloudEvents; a line without three words is written as it is.
fn file(rows: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    for (number, row) in rows.lines().enumerate() {
        let line = match row.split(' ').collect::<Vec<_>>().as_slice() {
            [at, what, who] => serde_json::json!({
                "specversion": "1.0",
                "id": format!("{row} {number}"),
                "source": "/shop",
                "type": what,
                "time": time(at),
                "data": { "customer": { "id": who }, "items": [{ "sku": "A" }] },
            })
            .to_string(),
            _ => row.to_owned(),
        };
        writeln!(file, "{line}").expect("a temporary file takes bytes");
    }
    file
}

fn time(at: &str) -> String {
    let day = if at.contains('T') { "" } else { "02T" };
    format!("2026-03-{day}{at}:00Z")
}

#[derive(Default)]
struct Told {
    decided: Vec<String>,
    dead: Vec<String>,
}

impl Watch for Told {
    fn decision(&mut self, decision: &Decision) -> std::io::Result<()> {
        let at = decision.at.to_string();
        let verdict = if decision.withheld.is_some() { "withheld" } else { "send" };
        self.decided.push(format!("{} {} {verdict}", &at[11..16], decision.customer));
        Ok(())
    }

    fn dead_letter(&mut self, dead: &DeadLetter) -> std::io::Result<()> {
        let line = dead.position.rsplit(':').next().unwrap_or_default();
        self.dead.push(line.to_owned());
        Ok(())
    }
}
