//! `waypost replay`: recorded events under a virtual clock.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::config::Config;
use crate::engine::{Decision, Trace};
use crate::journey::Catalog;
use crate::kafka::Bound;
use crate::model::{CustomerId, Delay, Timestamp};
use crate::replay::{
    Against, DeadLetter, FLUSH_ROWS, Input, Options, TopicInput, Topics, Watch, replay, write_line,
};
use crate::report::{Gather, Report};
use crate::template::example_shop;

use super::page::{self, Page};
use super::render::Renderer;
use super::talk::{bar, say};
use super::topics::{self, Parts};
use super::{Outcome, setup, table};

/// Run recorded events through the journeys with a virtual clock; it never sends
///
/// Writes one JSON object a line to stdout for each decision: what would have been sent, to whom,
/// when, and what would not, and why. The summary goes to stderr. docs/replay.md has the rules.
///
/// Examples:
///   waypost replay --events week.ndjson
///   waypost replay --events shop.csv.gz --mapping mappings/shop.yaml --assume-reachable
///   waypost replay --events web.ndjson orders.ndjson --arrival-delay orders.ndjson=10m
///   waypost replay --events week.ndjson --html report.html > decisions.ndjson
///   waypost replay --events week.ndjson --against decisions.ndjson > after.ndjson
///   waypost replay --topic shop.web shop.orders --from -7d --journeys changed > after.ndjson
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Files of events: NDJSON, a JSON array or CSV, plain, .gz or .zst; `-` is standard input.
    #[arg(long, required_unless_present = "topic", num_args = 1.., value_name = "FILE")]
    events: Vec<PathBuf>,
    /// Kafka topics of events, up to where they end now. An input's topic is read as the input says,
    /// any other as XDM or CloudEvents.
    #[arg(long, num_args = 1.., value_name = "TOPIC")]
    topic: Vec<String>,
    /// Where topics begin: a time, how long ago (-30d), or an offset in each partition; without it
    /// with the oldest record.
    #[arg(long, requires = "topic", value_parser = topics::bound, allow_hyphen_values = true)]
    from: Option<Bound>,
    /// Where topics end, in the same words; its record is not read any more.
    #[arg(long, requires = "topic", value_parser = topics::bound, allow_hyphen_values = true)]
    to: Option<Bound>,
    /// A topic's events are known when the topic took them, as the worker knows them, and not when
    /// they happened.
    #[arg(long, requires = "topic")]
    as_appended: bool,
    /// How columns or JSON paths become events; without it XDM and CloudEvents are read.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Files of profiles, consents or orders that are known before the first event: they build
    /// state and start nothing.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    history: Vec<PathBuf>,
    /// The folder of journeys, or one journey file; the configured one without it.
    #[arg(long, value_name = "DIR")]
    journeys: Option<PathBuf>,
    /// The folder of templates: their names are checked, and with --html or --render they are rendered.
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// Until when timers fire; the last event's time without it.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// A file (or its mapping's source), topic or input whose events are known only so long after they happened.
    #[arg(long, value_name = "SOURCE=DURATION", value_parser = delay)]
    arrival_delay: Vec<(String, Delay)>,
    /// Customers without a known address or consent pass these two checks, for data that holds
    /// no contacts. An explicit opt-out still withholds.
    #[arg(long)]
    assume_reachable: bool,
    /// Where to write rows that could not become events, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// Write a report as one HTML page: funnels, messages over time, reasons, a customer's story.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Render every message to be sent into a folder: .eml and .txt files, and index.ndjson.
    #[arg(long, value_name = "DIR")]
    render: Option<PathBuf>,
    /// What an earlier replay wrote to stdout: say which customers' messages differ from it.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

fn delay(text: &str) -> Result<(String, Delay), String> {
    let (source, delay) =
        text.split_once('=').ok_or("write SOURCE=DURATION, such as orders.csv=10m")?;
    Ok((source.to_owned(), delay.parse::<Delay>().map_err(|error| error.to_string())?))
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let configured = setup::configuration(config)?;
    setup::say_configuration(&configured);
    let config = &configured.config;
    let folder = args.journeys.as_deref().unwrap_or(&config.journeys);
    // Journeys from elsewhere have their templates elsewhere.
    let templates = match (&args.templates, &args.journeys) {
        (None, Some(_)) => None,
        (named, _) => setup::templates_folder(named.as_deref(), &config.templates),
    };
    let journeys = setup::journeys(folder, templates.as_deref())?;
    let (inputs, topics) = inputs(args, config)?;
    let options = Options {
        inputs,
        topics,
        until: args.until,
        grace_ms: config.ticks.grace_ms,
        assume_reachable: args.assume_reachable,
        key: setup::REPLAY_KEY,
        flush_rows: FLUSH_ROWS,
    };
    let against = args.against.as_deref().map(against).transpose()?;
    let page = args.html.as_deref().map(Page::create).transpose()?;
    let gather = page.as_ref().map(|_| Gather::new(&journeys.plans));
    let renderer = match (&templates, page.is_some() || args.render.is_some()) {
        (Some(folder), true) => {
            let templates = setup::sound_templates(folder, &journeys.plans)?.compiled;
            // Without a configuration somebody is trying things out, with a shop that is made up.
            let mut rules = config.rules();
            if configured.file.is_none() {
                rules.default_shop = example_shop();
            }
            Some(Renderer::new(templates, rules, args.render.as_deref())?)
        }
        (None, _) if args.render.is_some() => {
            bail!("there are no templates to render: name their folder with --templates")
        }
        _ => None,
    };
    let catalog = Catalog::new(journeys.plans.clone(), config.rules());
    let mut lines = Lines {
        out: BufWriter::with_capacity(1 << 16, std::io::stdout().lock()),
        dead: args.dead_letters.as_deref().map(dead_letters).transpose()?,
        bar: bar("replaying", None),
        rows: 0,
        gather,
        renderer,
        against,
    };
    let summary = replay(catalog, &options, &mut lines).map_err(|error| match error {
        // By itself, so that a reader who has gone away is told from a full disk.
        crate::replay::Error::Write(error) => anyhow::Error::from(error),
        other => other.into(),
    })?;
    lines.out.flush().context("can't write the decisions")?;
    lines.bar.finish_and_clear();
    if let (Some(path), Some(mut dead)) = (&args.dead_letters, lines.dead) {
        dead.flush().with_context(|| format!("can't write {}", path.display()))?;
        say(&format!("dead letters: {}", path.display()));
    }
    table::summary(&summary, &journeys.plans);
    if let Some(first) = summary.dead_letters.first().filter(|_| lines.rows == summary.dead) {
        let no_json = args.mapping.is_none() && !first.is_json;
        let hint = if no_json { "; rows that are no JSON need --mapping FILE" } else { "" };
        bail!("no row at all could be read; the first: {}: {}{hint}", first.position, first.reason);
    }
    if let (Some(folder), Some(renderer)) = (&args.render, &lines.renderer) {
        renderer.tell(folder);
    }
    if let (Some(path), Some(against)) = (&args.against, lines.against) {
        table::differences(path, &against.differences());
    }
    if let (Some(page), Some(gather)) = (page, lines.gather) {
        let mut report = gather.report(&summary);
        report.mails = lines.renderer.as_ref().map_or_else(Vec::new, |with| with.samples(&gather));
        describe(&mut report, args, folder, configured.file.as_deref());
        report.facts = page::with_period(report.facts, &summary);
        page.write(&report)?;
    }
    Ok(Outcome::Done)
}

/// Says in a report what was replayed.
fn describe(report: &mut Report, args: &Args, journeys: &Path, config: Option<&Path>) {
    let names = |paths: &[PathBuf]| {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        names.join(", ")
    };
    let topics = args.topic.iter().map(PathBuf::from);
    let events: Vec<PathBuf> = args.events.iter().cloned().chain(topics).collect();
    report.title = format!("Replay of {}", names(&events));
    report.about =
        "Recorded events through the journeys with a virtual clock. Nothing was sent.".to_owned();
    report.facts.push(("events", names(&events)));
    if !args.history.is_empty() {
        report.facts.push(("history", names(&args.history)));
    }
    report.facts.push(("journeys", journeys.display().to_string()));
    let config = config.map_or("none (defaults)".to_owned(), |file| file.display().to_string());
    report.facts.push(("configuration", config));
    if args.assume_reachable {
        report.facts.push(("unknown addresses and consent", "assumed".to_owned()));
    }
}

/// The files with how each is read, history first, and the topics.
fn inputs(args: &Args, config: &Config) -> anyhow::Result<(Vec<Input>, Option<Topics>)> {
    let mut used = vec![false; args.arrival_delay.len()];
    let mut delay_of = |names: &[&str]| {
        let mut delay_ms = 0;
        for ((named, delay), used) in args.arrival_delay.iter().zip(&mut used) {
            if names.contains(&named.as_str()) {
                delay_ms = delay.nominal_ms();
                *used = true;
            }
        }
        delay_ms
    };
    let mut inputs = Vec::new();
    for (path, history) in args
        .history
        .iter()
        .map(|path| (path, true))
        .chain(args.events.iter().map(|path| (path, false)))
    {
        let mapping = args.mapping.as_deref().filter(|_| !history);
        let (decoder, source) = setup::decoder(mapping, config)?;
        let shown = path.display().to_string();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let arrival_delay_ms = delay_of(&[&shown, &name, &source]);
        inputs.push(Input { path: path.clone(), decoder, arrival_delay_ms, history });
    }
    let mut topics = None;
    if !args.topic.is_empty() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let found = Parts::find(config, &args.topic, args.from, args.to);
        let found = runtime.block_on(found)?;
        let mut parts = Vec::new();
        for stretch in &found.stretches {
            let source = found.source(stretch)?;
            let input = source.input.as_deref().unwrap_or_default();
            parts.push(TopicInput {
                stretch: stretch.clone(),
                decode: Arc::clone(&source.decode),
                arrival_delay_ms: delay_of(&[&source.topic, input]),
                as_appended: args.as_appended,
            });
        }
        topics = Some(Topics { settings: found.settings, parts });
    }
    if let Some(place) = used.iter().position(|used| !used) {
        bail!(
            "--arrival-delay names `{}`, which is no file, topic or source of this replay",
            args.arrival_delay[place].0
        );
    }
    Ok((inputs, topics))
}

/// A file for dead letters.
fn dead_letters(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("can't write {}", path.display()))?;
    Ok(BufWriter::new(file))
}

/// The decisions of an earlier replay.
fn against(path: &Path) -> anyhow::Result<Against> {
    let file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
    Against::read(BufReader::new(file)).with_context(|| format!("can't use {}", path.display()))
}

/// Says what could not be written.
fn unwritten(what: &str) -> impl Fn(std::io::Error) -> std::io::Error {
    move |error| std::io::Error::new(error.kind(), format!("can't write {what}: {error}"))
}

/// Writes decisions to stdout and dead letters to their file, shows progress, and lets a report
/// and a comparison listen.
struct Lines<W: Write> {
    out: W,
    dead: Option<BufWriter<File>>,
    bar: indicatif::ProgressBar,
    rows: u64,
    gather: Option<Gather>,
    renderer: Option<Renderer>,
    against: Option<Against>,
}

impl<W: Write> Watch for Lines<W> {
    fn decision(&mut self, decision: &Decision) -> std::io::Result<()> {
        if let Some(gather) = &mut self.gather {
            gather.decision(decision);
        }
        if let Some(renderer) = &mut self.renderer {
            renderer.decision(decision).map_err(unwritten("the rendered messages"))?;
        }
        if let Some(against) = &mut self.against {
            against.decision(decision);
        }
        write_line(decision, &mut self.out).map_err(unwritten("the decisions"))
    }

    fn trace(&mut self, customer: CustomerId, trace: &Trace) {
        if let Some(gather) = &mut self.gather {
            gather.trace(customer, trace);
        }
        if let Some(against) = &mut self.against {
            against.trace(trace);
        }
    }

    fn dead_letter(&mut self, dead: &DeadLetter) -> std::io::Result<()> {
        let Some(out) = &mut self.dead else { return Ok(()) };
        let line = serde_json::json!({ "position": dead.position, "reason": dead.reason });
        writeln!(out, "{line}").map_err(unwritten("the dead letters"))
    }

    fn progress(&mut self, rows: u64) {
        self.rows = rows;
        self.bar.set_position(rows);
    }
}
