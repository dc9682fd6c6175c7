//! Files that are made from the code: they are up to date, and the examples in them compile.
//!
//! `UPDATE=1 cargo test` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waypost::config::{self, Config};
use waypost::diagnostic::{Code, SourceFile};
use waypost::journey::{self, FUNCTIONS, Type, Var};
use waypost::metrics::{Described, Metrics};
use waypost::model::{EventName, Timestamp};

#[test]
fn journey_schema() {
    up_to_date("docs/schema/journey.schema.json", &journey::schema());
}

#[test]
fn configuration_schema() {
    up_to_date("docs/schema/waypost.schema.json", &config::schema());
}

#[test]
fn configuration_reference() {
    let lines: Vec<String> = config::keys()
        .iter()
        .map(|key| format!("| `{}` | {} | `{}` |", key.path, key.meaning, key.variable))
        .collect();
    let table = format!("| key | meaning | variable |\n|---|---|---|\n{}\n", lines.join("\n"));
    let text = with_section(&read("docs/configuration.md"), "keys", &table);
    up_to_date("docs/configuration.md", &text);
}

#[test]
fn metrics_reference() {
    let metrics = Metrics::new(Arc::new(|| Timestamp::from_ms(0)));
    let exposed = metrics.text();
    let row = |metric: &Described| {
        // Those without labels are always there, and are there as they are described.
        let typed = format!("# TYPE {} {}\n", metric.name, metric.kind);
        assert_eq!(exposed.contains(&typed), metric.labels.is_empty(), "{typed}");
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        format!(
            "| `{}` | {} | {} | {} |\n",
            metric.name,
            metric.kind,
            labels.join(", "),
            metric.help
        )
    };
    let rows: String = metrics.described().iter().map(row).collect();
    let table = format!("| metric | type | labels | what it says |\n|---|---|---|---|\n{rows}");
    let text = with_section(&read("docs/operations.md"), "metrics", &table);
    up_to_date("docs/operations.md", &text);
}

#[test]
fn examples_in_the_configuration_reference_are_read() {
    let text = read("docs/configuration.md");
    let examples = examples(&text);
    assert!(!examples.is_empty());
    for example in examples {
        let file = SourceFile::new("docs/configuration.md", example);
        let (config, report) = Config::read(Some(&file), Path::new(""), &BTreeMap::new());
        assert!(report.is_empty() && config.is_some(), "{}", report.render(false));
    }
}

#[test]
fn journey_reference() {
    let variables = Var::ALL
        .iter()
        .map(|(_, path, ty, meaning)| format!("| `{path}` | {} | {meaning} |", type_name(*ty)));
    let functions =
        FUNCTIONS.iter().map(|(_, usage, meaning)| format!("| `{usage}` | {meaning} |"));
    let events =
        EventName::KNOWN.iter().map(|(_, name, meaning)| format!("| `{name}` | {meaning} |"));
    let codes = Code::ALL.iter().map(|code| format!("| {} | {} |", code.as_str(), code.meaning()));
    let mut text = read("docs/journeys.md");
    for (section, head, lines) in [
        ("variables", "| variable | type | meaning |\n|---|---|---|\n", variables.collect()),
        ("functions", "| function | gives |\n|---|---|\n", functions.collect()),
        ("events", "| event | meaning |\n|---|---|\n", events.collect()),
        ("codes", "| code | meaning |\n|---|---|\n", codes.collect::<Vec<_>>()),
    ] {
        text = with_section(&text, section, &format!("{head}{}\n", lines.join("\n")));
    }
    up_to_date("docs/journeys.md", &text);
}

/// Examples are whole journeys, or parts of one that are put into a small journey.
#[test]
fn examples_in_the_reference_compile() {
    let text = read("docs/journeys.md");
    let examples = examples(&text);
    assert!(examples.len() > 5);
    for example in examples {
        let mut whole = String::from(example);
        for (field, line) in [
            ("format:", "format: 1"),
            ("journey:", "journey: example"),
            ("starts_when:", "starts_when: { event: order.shipped }"),
            ("steps:", "steps: [ { email: example } ]"),
        ] {
            if !example.lines().any(|line| line.starts_with(field)) {
                whole.push_str(line);
                whole.push('\n');
            }
        }
        let other = "format: 1\njourney: abandoned-checkout\nsteps: [ { email: example } ]\n\
                     starts_when: { event: order.shipped }\n";
        let files = [
            SourceFile::new("docs/journeys.md", whole),
            SourceFile::new("journeys/abandoned-checkout.yaml", other),
        ];
        let (plans, report) = journey::compile(&files, None::<&BTreeSet<String>>);
        assert!(report.is_empty(), "{}", report.render(false));
        assert_eq!(plans.len(), 2);
    }
}

fn examples(text: &str) -> Vec<&str> {
    text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "true or false",
        Type::Int => "number",
        Type::Text => "text",
        Type::Money => "money",
        Type::Time => "time",
        Type::Duration => "duration",
        Type::Items => "items",
        Type::Texts => "texts",
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_default()
}

/// The text with what stands between the marks of a section replaced.
fn with_section(text: &str, section: &str, content: &str) -> String {
    let (open, close) = (format!("<!-- {section} -->\n"), format!("<!-- /{section} -->"));
    let (before, rest) = text.split_once(&open).expect("the section begins");
    let (_, after) = rest.split_once(&close).expect("the section ends");
    format!("{before}{open}{content}{close}{after}")
}

fn up_to_date(name: &str, expected: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path(name), expected).expect("the file is written");
        return;
    }
    assert_eq!(read(name), expected, "{name} is stale: run the tests with UPDATE=1");
}
