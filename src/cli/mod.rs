//! The command line: one file for each command. Stdout is data, stderr is talk.

mod apply;
mod check;
mod config;
mod dead_letters;
mod demo;
mod doctor;
mod files;
mod generate;
mod import;
mod messages;
mod migrate;
mod outgoing;
mod page;
mod preview;
mod production;
mod record;
mod recover;
mod render;
mod replay;
mod report;
mod run;
mod send_test;
mod sending;
mod setup;
mod snapshot;
mod table;
mod talk;
mod topics;
mod traces;
mod upgrade;
mod verify;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Journeys for a shop's customers: events in, timed and templated messages out
///
/// Data goes to stdout, everything else to stderr.
/// Exit codes: 0 done, 1 something was found (mistakes in files, a difference), 2 wrong usage,
/// 3 it could not be done, 4 a worker was stopped and not finished in time.
///
/// Examples:
///   waypost demo                              a week of a made-up shop, the shipped journeys over it
///   waypost check                             every mistake in journeys, templates, configuration
///   waypost preview --out previews            every template as customers would get it
///   waypost replay --events week.ndjson       what would have been sent, and what not, and why
///   waypost doctor                            whether everything is there that a worker needs
///   waypost run                               the worker
///   waypost why ann@shop.example              why somebody got a message, or did not
///   waypost report abandoned-cart             what the worker made of a journey
#[derive(Debug, Parser)]
#[command(name = "waypost", version, max_term_width = 100, verbatim_doc_comment)]
struct Cli {
    /// The configuration; without it `waypost.yaml` is read where it is there.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    config: Option<PathBuf>,
    /// What is logged to stderr: error, warn, info, debug, or a filter such as `waypost=debug`.
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        default_value = "info",
        help_heading = "Global options"
    )]
    log: String,
    /// How that is written: text, or json, one object a line.
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true,
        help_heading = "Global options"
    )]
    log_format: talk::Format,
    #[command(subcommand)]
    command: Command,
}

// What each command is about stands at its arguments.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Check(check::Args),
    Preview(preview::Args),
    Replay(replay::Args),
    Run(run::Args),
    Apply(apply::Args),
    Verify(verify::Args),
    Why(why::Args),
    Messages(messages::Args),
    Sending(sending::Args),
    SendTest(send_test::Args),
    Report(report::Args),
    DeadLetters(dead_letters::Args),
    Import(import::Args),
    Record(record::Args),
    Snapshot(snapshot::Args),
    Config(config::Args),
    Doctor(doctor::Args),
    Migrate(migrate::Args),
    Upgrade(upgrade::Args),
    Recover(recover::Args),
    Generate(generate::Args),
}

/// What a command came to.
enum Outcome {
    /// Done.
    Done,
    /// Something was found that the author must look at.
    Found,
}

/// Parses the arguments and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let logging = talk::Logging { level: cli.log, format: cli.log_format };
    // A worker begins to log once it knows from its configuration where traces go.
    if !matches!(cli.command, Command::Run(_)) {
        logging.init(None);
    }
    let config = cli.config.as_deref();
    let done = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(&args, config),
        Command::Preview(args) => preview::run(&args, config),
        Command::Replay(args) => replay::run(&args, config),
        Command::Run(args) => run::run(&args, config, &logging),
        Command::Apply(args) => apply::run(&args, config),
        Command::Verify(args) => verify::run(&args, config),
        Command::Why(args) => why::run(&args, config),
        Command::Messages(args) => messages::run(&args, config),
        Command::Sending(args) => sending::run(&args, config),
        Command::SendTest(args) => send_test::run(&args, config),
        Command::Report(args) => report::run(&args, config),
        Command::DeadLetters(args) => dead_letters::run(&args, config),
        Command::Import(args) => import::run(&args, config),
        Command::Record(args) => record::run(&args, config),
        Command::Snapshot(args) => snapshot::run(&args, config),
        Command::Config(args) => config::run(&args, config),
        Command::Doctor(args) => doctor::run(&args, config),
        Command::Migrate(args) => migrate::run(&args, config),
        Command::Upgrade(args) => upgrade::run(&args, config),
        Command::Recover(args) => recover::run(&args, config),
        Command::Generate(args) => generate::run(&args),
    };
    match done {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            talk::error(&error);
            ExitCode::from(if is_overdue(&error) { 4 } else { 3 })
        }
    }
}

/// Whether a worker was told to stop and could not finish in time.
fn is_overdue(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(crate::worker::Error::Overdue))
        || matches!(error.downcast_ref(), Some(crate::cluster::Error::Overdue))
}

/// Whether the reader of stdout has gone away, as `head` does: no failure of ours.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
