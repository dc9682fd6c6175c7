//! `waypost demo`: a week of a shop, the shipped journeys, and what comes of them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::decode::Decoder;
use crate::engine::{Decision, Trace};
use crate::generate::{self, generate};
use crate::journey::{Catalog, Rules, Shop, compile};
use crate::model::{CustomerId, Text, Timestamp};
use crate::replay::{FLUSH_ROWS, Input, Options, Summary, Watch, grouped, replay, write_line};
use crate::report::{Gather, Next, Report};
use crate::shipped;
use crate::template::Templates;

use super::page::{self, Page};
use super::render::Renderer;
use super::talk::{bar, say};
use super::{Outcome, setup, table};

/// Show the main job on a made-up week of a shop
///
/// Generates the traffic, runs the shipped journeys over it with the virtual clock, and shows the funnel,
/// what was withheld and why, dead letters, and one customer's story: in the terminal, and as a
/// page for the browser. Mails become files in DIR/mails; it sends nothing.
///
/// Examples:
///   waypost demo
///   waypost demo --customers 1000 --days 2 --seed 7 --out other-shop
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// How many people.
    #[arg(long, default_value_t = 10_000)]
    customers: u32,
    /// How many days.
    #[arg(long, default_value_t = 7)]
    days: u32,
    /// Another seed is another shop.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Where to write the events, the decisions, the mails and the report.
    #[arg(long, value_name = "DIR", default_value = "waypost-demo")]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("can't make the folder {}", args.out.display()))?;
    let events = args.out.join("events.ndjson");
    write_events(args, &events)?;
    let (plans, mistakes) = compile(&shipped::journeys(), None);
    if mistakes.has_errors() {
        bail!("a journey of the demo has mistakes:\n{}", mistakes.render(false));
    }
    let options = Options {
        inputs: vec![Input {
            path: events.clone(),
            decoder: Decoder::default(),
            arrival_delay_ms: 0,
            history: false,
        }],
        topics: None,
        until: None,
        grace_ms: 10_000,
        assume_reachable: false,
        key: setup::REPLAY_KEY,
        flush_rows: FLUSH_ROWS,
    };
    let decisions = args.out.join("decisions.ndjson");
    let mut watching = Watching {
        out: BufWriter::new(
            File::create(&decisions)
                .with_context(|| format!("can't write {}", decisions.display()))?,
        ),
        bar: bar("replaying", None),
        gather: Gather::new(&plans),
        renderer: renderer(&args.out.join("mails"))?,
    };
    let page = Page::create(&args.out.join("report.html"))?;
    let summary = replay(Catalog::new(plans.clone(), rules()), &options, &mut watching)?;
    watching.out.flush().context("can't write the decisions")?;
    watching.bar.finish_and_clear();
    say("replayed with a virtual clock; nothing was sent");
    table::summary(&summary, &plans);
    let mails = watching.renderer.samples(&watching.gather);
    let report = Report { mails, ..report(args, &events, &decisions, &watching.gather, &summary) };
    tell(&report);
    say("");
    say(&format!("Every decision, one a line: {}", decisions.display()));
    watching.renderer.tell(&args.out.join("mails"));
    page.write(&report)?;
    say("");
    say("Try next:");
    for (place, next) in report.next.iter().enumerate() {
        say(&format!("{}. {}", place + 1, next.words));
        say(&format!("   {}", next.command));
    }
    Ok(Outcome::Done)
}

/// The shop that the generator makes up.
fn rules() -> Rules {
    let text = |text: &'static str| Some(Text::const_new(text));
    let default_shop = Shop {
        name: text("Fernhill"),
        sender: text("Fernhill <hello@fernhill.example>"),
        postal_address: text("Fernhill, 12 Orchard Lane, 1234 AB Meadowbrook"),
        public_url: text("https://mail.fernhill.example"),
        product_url: text("https://www.fernhill.example/p/{sku}"),
        cart_url: text("https://www.fernhill.example/cart/{cart_id}"),
        ..Shop::default()
    };
    Rules { default_shop, ..Rules::default() }
}

/// Renders with the templates that ship, into a folder.
fn renderer(folder: &Path) -> anyhow::Result<Renderer> {
    let (templates, mistakes) = Templates::compile(&shipped::templates(), "templates");
    if mistakes.has_errors() {
        bail!("a template of the demo has mistakes:\n{}", mistakes.render(false));
    }
    // Mails of an earlier demo are not of this one.
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("can't empty {}", folder.display()));
        }
        Ok(()) | Err(_) => {}
    }
    Renderer::new(templates, rules(), Some(folder))
}

fn report(
    args: &Args,
    events: &Path,
    decisions: &Path,
    gather: &Gather,
    summary: &Summary,
) -> Report {
    let span = if args.days == 7 { "A week".to_owned() } else { format!("{} days", args.days) };
    let people = grouped(u64::from(args.customers));
    let facts = vec![
        ("events", events.display().to_string()),
        ("decisions", decisions.display().to_string()),
        ("journeys", "the copies in the program of the six that ship".to_owned()),
        ("mails", args.out.join("mails").display().to_string()),
        ("seed", args.seed.to_string()),
    ];
    Report {
        title: format!("{span} of a made-up shop"),
        about: format!(
            "What {people} people did in a shop, and which messages the journeys would have sent \
             them, decided with a virtual clock. Nothing was sent."
        ),
        facts: page::with_period(facts, summary),
        next: next(args, events, decisions),
        ..gather.report(summary)
    }
}

/// What to try next, as it is typed in the checkout. By its path, because `cargo run` would compile
/// the program anew for a changed journey: it holds copies of those that ship.
fn next(args: &Args, events: &Path, decisions: &Path) -> Vec<Next> {
    let after = args.out.join("after.ndjson");
    let waypost = program();
    let [waypost, events, decisions, after] =
        [waypost.as_path(), events, decisions, &after].map(typed);
    let next = |words: &str, command: String| Next { words: words.to_owned(), command };
    vec![
        next(
            "Change `wait_quiet: 1h` to `wait_quiet: 4h` in journeys/abandoned-cart.yaml, and see who differs:",
            format!("{waypost} replay --events {events} --against {decisions} > {after}"),
        ),
        next(
            "Misspell a word of a journey, such as order.placed, and see what is said about it:",
            format!("{waypost} check"),
        ),
        next(
            "Run the worker; README.md has a shop to try it with, and events to send it:",
            format!("{waypost} run"),
        ),
    ]
}

/// How this program was called, from the working directory where it lies below it.
fn program() -> PathBuf {
    let called = std::env::args_os().next().map_or_else(|| PathBuf::from("waypost"), PathBuf::from);
    let below = std::env::current_dir().ok();
    let below = below.and_then(|folder| called.strip_prefix(folder).ok().map(Path::to_owned));
    below.unwrap_or(called)
}

/// A path as it is typed in a shell.
fn typed(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

fn write_events(args: &Args, path: &Path) -> anyhow::Result<()> {
    let start: Timestamp = "2026-03-02T00:00:00Z".parse()?;
    let options =
        generate::Options { customers: args.customers, days: args.days, seed: args.seed, start };
    let file = File::create(path).with_context(|| format!("can't write {}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let progress = bar("generating", Some(1));
    let made = generate(&options, &mut out, &mut |done, expected| {
        progress.set_length(expected);
        progress.set_position(done);
    })?;
    out.flush().with_context(|| format!("can't write {}", path.display()))?;
    progress.finish_and_clear();
    say(&format!(
        "generated {} lines of {} customers over {} days: {}",
        grouped(made.lines),
        grouped(u64::from(args.customers)),
        args.days,
        path.display()
    ));
    Ok(())
}

/// Writes decisions, and gathers the report.
struct Watching {
    out: BufWriter<File>,
    bar: indicatif::ProgressBar,
    gather: Gather,
    renderer: Renderer,
}

impl Watch for Watching {
    fn decision(&mut self, decision: &Decision) -> std::io::Result<()> {
        self.gather.decision(decision);
        self.renderer.decision(decision)?;
        write_line(decision, &mut self.out)
    }

    fn trace(&mut self, customer: CustomerId, trace: &Trace) {
        self.gather.trace(customer, trace);
    }

    fn progress(&mut self, rows: u64) {
        self.bar.set_position(rows);
    }
}

/// Tells the story of one customer.
fn tell(report: &Report) {
    let Some(story) = &report.story else { return };
    say("");
    say(&format!("The story of customer {}:", story.customer));
    for line in &story.lines {
        say(&format!("  {}", line.shown()));
    }
}
