//! `waypost dead-letters`: what could not become an event, and handing it in again.

mod door;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};

use crate::config::Config;
use crate::diagnostic::did_you_mean;
use crate::log::{DeadLetter, DeadLetterFilter, DeadLetters, KeptLetter, LogReader, ReadLog};
use crate::model::OWN_SOURCE;
use crate::report::masked_text;
use crate::worker::{Clock, SystemClock};

use super::talk::say;
use super::{Outcome, production, setup};
use door::Door;

/// List, show and retry what could not become an event
///
/// A record that can't be read is kept with its place and the reason, and the worker goes on. The
/// worker may be running. Mail addresses and long numbers are masked.
///
/// Examples:
///   waypost dead-letters list --source web
///   waypost dead-letters show 17
///   waypost dead-letters retry --reason "not JSON" --send
///   waypost dead-letters retry --source web | curl --data-binary @- http://127.0.0.1:7070/events/web
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// The newest dead letters
    List(List),
    /// One dead letter, with the record
    Show(Show),
    /// Hand records in again, once what was wrong is mended
    Retry(Retry),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only those of this source, an entry under `inputs`.
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only those whose reason has this in it.
    #[arg(long, value_name = "WORDS")]
    reason: Option<String>,
    /// Also those that were retried.
    #[arg(long)]
    all: bool,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Write one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The number that `list` shows first.
    id: i64,
    /// Write the record to stdout as it is kept, byte for byte, and nothing else.
    #[arg(long)]
    raw: bool,
}

#[derive(Debug, clap::Args)]
struct Retry {
    /// Numbers that `list` shows first.
    #[arg(required_unless_present_any = ["source", "reason"])]
    ids: Vec<i64>,
    /// Those of this source, an entry under `inputs`.
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Those whose reason has this in it.
    #[arg(long, value_name = "WORDS", conflicts_with = "ids")]
    reason: Option<String>,
    /// Hand them in: to the input's topic, or to the running worker by HTTP. Without it the records
    /// are written to stdout, unmasked, and nothing is changed.
    #[arg(long)]
    send: bool,
    /// Where the worker listens; the configured address without it. Only without Kafka.
    #[arg(long, value_name = "URL", requires = "send")]
    to: Option<String>,
    /// Also those that were retried before.
    #[arg(long)]
    again: bool,
    /// At most so many, the newest ones.
    #[arg(long, default_value_t = 1_000)]
    limit: u32,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let config = setup::configuration(config)?.config;
    setup::needs_store(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match &config.production {
            Some(production) => {
                let (log, _) = production::opened(production).await?;
                act(&args.action, &config, &log).await
            }
            None => {
                let log = LogReader::open(&config.store.log).await?;
                act(&args.action, &config, &log).await
            }
        }
    })
}

async fn act(
    action: &Action,
    config: &Config,
    log: &(impl ReadLog + DeadLetters),
) -> anyhow::Result<Outcome> {
    let sources = Sources::of(log).await?;
    match action {
        Action::List(args) => list(args, log, &sources).await,
        Action::Show(args) => show(args, log, &sources).await,
        Action::Retry(args) => retry(args, config, log, &sources).await,
    }
}

/// Names of the sources by number.
struct Sources(BTreeMap<u16, String>);

impl Sources {
    async fn of(log: &impl ReadLog) -> anyhow::Result<Self> {
        Ok(Self(log.sources().await?.into_iter().collect()))
    }

    fn name(&self, number: u16) -> &str {
        match self.0.get(&number) {
            Some(name) => name,
            None if number == OWN_SOURCE => "feedback",
            None => "?",
        }
    }

    fn number(&self, name: &str) -> anyhow::Result<u16> {
        let number = self.0.iter().find(|(_, known)| *known == name).map(|(number, _)| *number);
        let number = number.or((name == "feedback").then_some(OWN_SOURCE));
        number.with_context(|| {
            let names = self.0.values().map(String::as_str);
            let hint = did_you_mean(name, names.clone())
                .unwrap_or_else(|| format!("there are: {}", names.collect::<Vec<_>>().join(", ")));
            format!("no source `{name}` has sent anything yet; {hint}")
        })
    }
}

async fn list(
    args: &List,
    letters: &impl DeadLetters,
    sources: &Sources,
) -> anyhow::Result<Outcome> {
    let filter = DeadLetterFilter {
        source: args.source.as_deref().map(|name| sources.number(name)).transpose()?,
        reason: args.reason.clone(),
        retried: args.all,
        limit: args.limit,
        ..DeadLetterFilter::default()
    };
    let found = letters.dead_letters(&filter).await?;
    let mut out = std::io::stdout().lock();
    for KeptLetter { id, letter, retried } in &found {
        let (source, reason) = (sources.name(letter.source), masked_text(&letter.reason));
        if args.json {
            let line = serde_json::json!({
                "id": id,
                "source": source,
                "partition": (!letter.came_by_http()).then_some(letter.partition),
                "position": letter.position,
                "at": letter.at.to_string(),
                "reason": reason,
                "whole": letter.whole,
                "retried": retried.map(|at| at.to_string()),
            });
            writeln!(out, "{line}")?;
            continue;
        }
        let retried = if retried.is_some() { "  (retried)" } else { "" };
        let place = format!("{source}/{}/{}", partition(letter), letter.position);
        writeln!(out, "{id:>6}  {}  {place}  {reason}{retried}", letter.at)?;
    }
    if found.is_empty() {
        say("no such dead letters");
    }
    Ok(Outcome::Done)
}

async fn show(
    args: &Show,
    letters: &impl DeadLetters,
    sources: &Sources,
) -> anyhow::Result<Outcome> {
    let KeptLetter { letter, retried, .. } = find(letters, args.id, true).await?;
    let mut out = std::io::stdout().lock();
    if args.raw {
        let Some(payload) = &letter.payload else { bail!("the record was erased") };
        out.write_all(payload)?;
        return Ok(Outcome::Done);
    }
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<10} {value}");
    line("source", sources.name(letter.source))?;
    line("partition", &partition(&letter))?;
    line("position", &letter.position.to_string())?;
    line("at", &letter.at.to_string())?;
    line("reason", &masked_text(&letter.reason))?;
    if let Some(retried) = retried {
        line("retried", &retried.to_string())?;
    }
    let record = match &letter.payload {
        None => "(erased)".to_owned(),
        Some(payload) => masked_text(&String::from_utf8_lossy(payload)),
    };
    line("record", &record)?;
    Ok(Outcome::Done)
}

/// The partition, or by what else it came.
fn partition(letter: &DeadLetter) -> String {
    if letter.came_by_http() { "http".to_owned() } else { letter.partition.to_string() }
}

async fn find(letters: &impl DeadLetters, id: i64, retried: bool) -> anyhow::Result<KeptLetter> {
    let filter =
        DeadLetterFilter { id: Some(id), retried, limit: 1, ..DeadLetterFilter::default() };
    let found = letters.dead_letters(&filter).await?.pop();
    found.with_context(|| {
        let before = if retried { "" } else { ", or it was retried before (--again)" };
        format!("there is no dead letter {id}{before}")
    })
}

async fn retry(
    args: &Retry,
    config: &Config,
    log: &(impl ReadLog + DeadLetters),
    sources: &Sources,
) -> anyhow::Result<Outcome> {
    let source = args.source.as_deref().map(|name| sources.number(name)).transpose()?;
    let mut letters = Vec::new();
    if args.ids.is_empty() {
        let filter = DeadLetterFilter {
            source,
            reason: args.reason.clone(),
            retried: args.again,
            limit: args.limit,
            ..DeadLetterFilter::default()
        };
        letters = log.dead_letters(&filter).await?;
        // In the order in which they came.
        letters.reverse();
    }
    for id in &args.ids {
        letters.push(find(log, *id, args.again).await?);
    }
    if letters.is_empty() {
        say("no such dead letters");
        return Ok(Outcome::Done);
    }
    let names: std::collections::BTreeSet<&str> =
        letters.iter().map(|kept| sources.name(kept.letter.source)).collect();
    if !args.send && names.len() > 1 {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        bail!(
            "these are of several sources, and each has a door of its own: name one with --source ({names})"
        );
    }
    let door = Door::of(config, args.to.as_deref())?;
    let (mut handed, mut left) = (0_u64, 0_u64);
    for round in door.rounds(letters, sources).await? {
        let mut done = Vec::new();
        let mut failed = None;
        for (id, again) in round {
            match again {
                Ok(again) if args.send => match door.send(&again).await {
                    Ok(Some(refused)) => {
                        left += 1;
                        say(&format!("{id}: refused again: {}", masked_text(&refused)));
                        done.push(id);
                    }
                    Ok(None) => {
                        handed += 1;
                        done.push(id);
                    }
                    Err(error) => {
                        failed = Some(error.context(format!("dead letter {id}")));
                        break;
                    }
                },
                Ok(again) => {
                    handed += 1;
                    let mut out = std::io::stdout().lock();
                    out.write_all(&again.payload)?;
                    out.write_all(b"\n")?;
                }
                Err(why) => {
                    left += 1;
                    say(&format!("{id}: can't be retried: {why}"));
                }
            }
        }
        // What was handed in is so, also if another was not.
        log.retried(&done, SystemClock.now()).await?;
        if let Some(error) = failed {
            say(&format!("{handed} handed in again before it broke off"));
            return Err(error);
        }
    }
    let what = if args.send { "handed in again" } else { "written to stdout" };
    say(&format!("{handed} {what}, {left} not"));
    Ok(if left == 0 { Outcome::Done } else { Outcome::Found })
}
