//! `waypost report`: what the worker made of a journey.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::diagnostic::did_you_mean;
use crate::journey::Plan;
use crate::log::{LogReader, ReadLog};
use crate::release;
use crate::report::{Group, Journey, Report};
use crate::store::{LaneRow, Ledger, Outgoing, SqliteLedger};

use super::page::Page;
use super::{Outcome, production, setup, table};

/// Count what the worker made of a journey
///
/// Runs started, stopped and ended; messages by step and what became of them, with the reasons;
/// how many customers reached the goal, and how many of those in the holdout. Without a name, a line
/// for each journey. The worker may be running.
///
/// Examples:
///   waypost report
///   waypost report abandoned-cart
///   waypost report abandoned-cart --json
///   waypost report abandoned-cart --html report.html
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The journey's name; all of them without it.
    journey: Option<String>,
    /// Write one JSON object for each journey, one a line.
    #[arg(long)]
    json: bool,
    /// Write the report as one HTML page, too.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let config = setup::configuration(config)?.config;
    setup::needs_store(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (journeys, lanes, place) = runtime.block_on(async {
        anyhow::Ok(match &config.production {
            Some(production) => {
                let (log, store) = production::opened(production).await?;
                let ledger = store.ledger().one_moment();
                let (journeys, lanes) = counted(args.journey.as_deref(), &log, &ledger).await?;
                (journeys, lanes, store.database().place().to_owned())
            }
            None => {
                let log = LogReader::open(&config.store.log).await?;
                let ledger = SqliteLedger::open(&config.store.state).await?.one_moment();
                let (journeys, lanes) = counted(args.journey.as_deref(), &log, &ledger).await?;
                (journeys, lanes, config.store.state.display().to_string())
            }
        })
    })?;
    let page = args.html.as_deref().map(Page::create).transpose()?;
    let mut out = std::io::stdout().lock();
    if args.json {
        for journey in &journeys {
            writeln!(out, "{}", json(journey, &lanes))?;
        }
    } else if args.journey.is_some() {
        for journey in &journeys {
            for line in table::journey(journey).into_iter().chain(goal(journey)) {
                writeln!(out, "{line}")?;
            }
        }
    } else {
        for line in table::journeys(&journeys) {
            writeln!(out, "{line}")?;
        }
    }
    if let Some(page) = page {
        page.write(&Report {
            title: match &args.journey {
                Some(name) => format!("Journey {name}"),
                None => "All journeys".to_owned(),
            },
            about: "What the worker decided, as its store has it.".to_owned(),
            facts: facts(&lanes, place),
            journeys,
            ..Report::default()
        })?;
    }
    Ok(Outcome::Done)
}

/// What is kept of a journey, or of each one, and where the lanes stand.
async fn counted(
    name: Option<&str>,
    log: &impl ReadLog,
    ledger: &impl Ledger,
) -> anyhow::Result<(Vec<Journey>, Vec<LaneRow>)> {
    let plans = in_force(log).await?;
    let known = ledger.journeys().await?;
    let names = plans.iter().map(|plan| plan.name.as_str());
    let mut names: Vec<&str> = names.chain(known.iter().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    if let Some(name) = name {
        if !names.contains(&name) {
            bail!("{}", unknown(name, &names));
        }
        names.retain(|known| *known == name);
    }
    let mut journeys = Vec::new();
    for name in names {
        let plan = plans.iter().find(|plan| plan.name == name);
        let journey = plan.map_or_else(|| Journey::named(name), Journey::of_plan);
        journeys.push(journey.stored(&ledger.journey(name).await?));
    }
    Ok((journeys, ledger.lanes().await?))
}

/// The journeys of the release that was put in force last.
async fn in_force(log: &impl ReadLog) -> anyhow::Result<Vec<Plan>> {
    let Some(control) = log.controls().await?.pop() else { return Ok(Vec::new()) };
    let files = log.release(control.release).await?;
    let files = files.ok_or(release::Error::Missing(control.release))?;
    Ok(release::unpack(control.release, &files)?.plans)
}

fn unknown(name: &str, known: &[&str]) -> String {
    match did_you_mean(name, known.iter().copied()) {
        Some(suggestion) => format!("there is no journey `{name}`; {suggestion}"),
        None if known.is_empty() => {
            format!("there is no journey `{name}`: the worker has not put any in force yet")
        }
        None => {
            format!("there is no journey `{name}`; there are {}", known.join(", "))
        }
    }
}

/// What is said of the goal, in lines.
fn goal(journey: &Journey) -> Vec<String> {
    let Some(people) = &journey.people else { return Vec::new() };
    let mut lines = vec![String::new(), "customers who reached the goal".to_owned()];
    for (words, group) in
        [("may get messages", &people.in_journey), ("holdout, gets none", &people.holdout)]
    {
        let share = match group.rate().zip(group.interval()) {
            Some((rate, (low, high))) => {
                let [rate, low, high] = [rate, low, high].map(|share| share * 100.0);
                format!("{rate:.1}%, 95% interval {low:.1}% to {high:.1}%")
            }
            None => "nobody".to_owned(),
        };
        lines.push(format!("  {words:<19} {} of {}: {share}", group.reached, group.customers));
    }
    if let Some((difference, (low, high))) = people.difference() {
        let [difference, low, high] = [difference, low, high].map(|share| share * 100.0);
        lines.push(format!(
            "  difference in points {difference:+.1}, 95% interval {low:+.1} to {high:+.1}"
        ));
    }
    lines
}

/// How far time has come in every lane, if it has begun.
fn known_until(lanes: &[LaneRow]) -> Option<String> {
    let least = lanes.iter().map(|lane| lane.position.watermark).min()?;
    least.map(|watermark| watermark.to_string())
}

fn facts(lanes: &[LaneRow], store: String) -> Vec<(&'static str, String)> {
    vec![
        ("store", store),
        ("time has come to", known_until(lanes).unwrap_or_else(|| "nowhere yet".into())),
    ]
}

fn json(journey: &Journey, lanes: &[LaneRow]) -> serde_json::Value {
    let reasons = |by: &std::collections::BTreeMap<crate::engine::Reason, u64>| {
        let rows = by.iter().map(|(reason, count)| (reason.as_str().to_owned(), (*count).into()));
        serde_json::Value::Object(rows.collect())
    };
    let steps = journey.steps.iter().map(|step| {
        let messages = step.messages.iter().map(|((status, reason), count)| {
            serde_json::json!({
                "status": status.as_str(),
                "reason": reason.map(crate::engine::Reason::as_str),
                "messages": count,
            })
        });
        serde_json::json!({
            "step": step.name,
            "messages": messages.collect::<Vec<_>>(),
            "outcomes": step.outcomes,
        })
    });
    let group = |group: &Group| {
        serde_json::json!({
            "customers": group.customers,
            "reached": group.reached,
            "rate": group.rate(),
            "interval": group.interval(),
        })
    };
    let people = journey.people.as_ref().map(|people| {
        let difference = people.difference();
        serde_json::json!({
            "in_journey": group(&people.in_journey),
            "holdout": group(&people.holdout),
            "difference": difference.map(|(difference, _)| difference),
            "difference_interval": difference.map(|(_, interval)| interval),
        })
    });
    serde_json::json!({
        "journey": journey.name,
        "versions": journey.versions,
        "known_until": known_until(lanes),
        "started": journey.started,
        "not_started": reasons(&journey.not_started),
        "stopped": reasons(&journey.stopped),
        "ended": journey.ended,
        "under_way": journey.under_way(),
        "goals": journey.goals,
        "steps": steps.collect::<Vec<_>>(),
        "customers": people,
    })
}
