//! What is said of files that are wrong: cases as data, in `diagnostics/*.txt`.
//!
//! A case is a title, one or more files, and the report as people see it. `UPDATE=1 cargo test`
//! writes the reports anew; read the difference before committing it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use waypost::config::Config;
use waypost::diagnostic::{Code, Report, SourceFile};
use waypost::template::{TemplateFile, Templates};

/// A case: its title, its files, and the report that is expected.
struct Case {
    title: String,
    files: Vec<SourceFile>,
    expected: String,
}

const TITLE: &str = "=== ";
const FILE: &str = "--- file ";
const REPORT: &str = "--- report";

#[test]
fn journeys() {
    let templates: BTreeSet<String> = ["cart/first", "cart/second"].map(String::from).into();
    check("journeys.txt", |files| waypost::journey::compile(files, Some(&templates)).1);
}

/// A file `environment` holds variables, one a line.
#[test]
fn configurations() {
    check("configuration.txt", |files| {
        let of = |path| files.iter().find(|file| file.path == path);
        let variables = of("environment").map_or("", |file| &file.text);
        let variables = variables
            .lines()
            .map(|line| line.split_once('=').expect("a variable"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Config::read(of("waypost.yaml"), Path::new(""), &variables).1
    });
}

/// Files below `journeys` are compiled and held against the templates.
#[test]
fn templates() {
    check("templates.txt", |files| {
        let (journeys, templates): (Vec<_>, Vec<_>) =
            files.iter().cloned().partition(|file| file.path.starts_with("journeys/"));
        let templates: Vec<TemplateFile> = templates
            .into_iter()
            .map(|file| TemplateFile {
                path: file.path.trim_start_matches("templates/").to_owned(),
                bytes: file.text.into_bytes(),
            })
            .collect();
        let (templates, mut report) = Templates::compile(&templates, "templates");
        let (plans, of_journeys) = waypost::journey::compile(&journeys, None);
        assert!(of_journeys.is_empty(), "{}", of_journeys.render(false));
        report.extend(templates.check(&plans));
        report
    });
}

/// Every code is shown by a case, so that each can be seen to happen.
#[test]
fn every_code_has_a_case() {
    let all: String = std::fs::read_dir(directory())
        .expect("the directory of cases")
        .map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a text"))
        .collect();
    let missing: Vec<&str> = Code::ALL
        .iter()
        .map(|code| code.as_str())
        .filter(|code| !all.contains(&format!("[{code}]")))
        .collect();
    assert!(missing.is_empty(), "no case shows {missing:?}");
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/diagnostics")
}

/// Runs the cases of a file; each report must be as written, and each case must have one.
fn check(name: &str, run: impl Fn(&[SourceFile]) -> Report) {
    let path = directory().join(name);
    let text = std::fs::read_to_string(&path).expect("the cases");
    let cases = parse(&text);
    assert!(!cases.is_empty());
    let mut rewritten = String::new();
    let mut wrong = Vec::new();
    for case in &cases {
        let report = run(&case.files).render(false);
        assert!(!report.is_empty(), "{}: nothing was found", case.title);
        if report.trim_end() != case.expected.trim_end() {
            wrong.push(format!("{}\n{report}", case.title));
        }
        let _ = writeln!(rewritten, "{TITLE}{}", case.title);
        for file in &case.files {
            let _ = write!(rewritten, "{FILE}{}\n{}", file.path, file.text);
        }
        let _ = writeln!(rewritten, "{REPORT}\n{}\n", report.trim_end());
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, rewritten).expect("the cases are written");
        return;
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut in_report = false;
    for line in text.split_inclusive('\n') {
        if let Some(title) = line.strip_prefix(TITLE) {
            let title = title.trim_end().to_owned();
            cases.push(Case { title, files: Vec::new(), expected: String::new() });
            in_report = false;
            continue;
        }
        let case = cases.last_mut().expect("a title comes first");
        if let Some(path) = line.strip_prefix(FILE) {
            case.files.push(SourceFile::new(path.trim_end(), ""));
        } else if line.starts_with(REPORT) {
            in_report = true;
        } else if in_report {
            case.expected.push_str(line);
        } else if let Some(file) = case.files.last_mut() {
            file.text.push_str(line);
        }
    }
    cases
}
