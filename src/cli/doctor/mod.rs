//! `waypost doctor`: whether everything is there that a worker needs.

mod files;
mod mail;
mod servers;

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::config;

use super::{Outcome, setup};

/// Check that everything is there that a worker needs, and as it must be
///
/// Reads the configuration, the journeys and the templates, asks Kafka, Postgres and the SMTP
/// server, and looks at folders and disks: one line for each, `ok`, `warning` or `error` with the
/// way out. Nothing is changed and nobody gets a mail. The worker may be running. The exit code is
/// 1 if there is an error.
///
/// Examples:
///   waypost doctor
///   waypost doctor --json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Write one JSON object a line: `check`, `status`, `text`.
    #[arg(long)]
    json: bool,
}

/// What one check came to.
#[derive(Debug, Serialize)]
struct Line {
    check: &'static str,
    status: Status,
    text: String,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// As it must be.
    Ok,
    /// A worker starts, but something should be seen to.
    Warning,
    /// A worker does not start, or does not do its work.
    Error,
}

impl Line {
    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, text: text.into() }
    }

    fn warning(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, status: Status::Warning, text: text.into() }
    }

    fn error(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, status: Status::Error, text: text.into() }
    }

    /// A failure with all its causes.
    fn failed(check: &'static str, error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.contains(&said) {
                text.push_str(&format!(" ({said})"));
            }
            cause = error.source();
        }
        Self::error(check, text)
    }
}

pub(super) fn run(args: &Args, named: Option<&Path>) -> anyhow::Result<Outcome> {
    let lines = lines(named)?;
    let mut out = std::io::stdout().lock();
    for line in &lines {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(line)?)?;
        } else {
            let status = match line.status {
                Status::Ok => "ok",
                Status::Warning => "warning",
                Status::Error => "error",
            };
            // One line, whatever a server says.
            let text = line.text.split_whitespace().collect::<Vec<_>>().join(" ");
            writeln!(out, "{status:<8} {:<14} {text}", line.check)?;
        }
    }
    let is_wrong = lines.iter().any(|line| line.status == Status::Error);
    Ok(if is_wrong { Outcome::Found } else { Outcome::Done })
}

fn lines(named: Option<&Path>) -> anyhow::Result<Vec<Line>> {
    let (config, report) = config::load(named)?;
    setup::show(&report);
    let Some(config) = config.filter(|_| !report.has_errors()) else {
        let text = "it has mistakes, shown above; nothing else was checked";
        return Ok(vec![Line::error("configuration", text)]);
    };
    let mut lines = vec![match setup::configuration_file(named) {
        Some(file) => Line::ok("configuration", format!("{} is read", file.display())),
        None => Line::ok("configuration", "no waypost.yaml here; defaults and variables hold"),
    }];
    lines.extend(files::mappings(&config));
    let (plans, of_files) = files::journeys_and_templates(&config);
    lines.extend(of_files);
    let longest_ms = plans.iter().map(crate::journey::Plan::length_ms).max();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (stores, mail) = runtime.block_on(async {
        let stores = async {
            match &config.production {
                Some(production) => {
                    let (kafka, postgres, positions) = tokio::join!(
                        servers::kafka(&config, &production.kafka, longest_ms),
                        servers::postgres(&production.postgres),
                        servers::of_one_time(&config, production),
                    );
                    kafka.into_iter().chain(postgres).chain(positions).collect()
                }
                None => files::store(&config).await,
            }
        };
        tokio::join!(stores, mail::mail(&config))
    });
    // A client that could not connect may still be trying.
    runtime.shutdown_background();
    lines.extend(stores);
    lines.extend(mail);
    Ok(lines)
}
