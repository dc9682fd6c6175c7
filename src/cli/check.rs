//! `waypost check`: every mistake in journeys and configuration, at once.

use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::config;
use crate::diagnostic::Report;
use crate::journey::compile;

use super::talk::{colours, say};
use super::{Outcome, files, setup};

/// Check journeys, the templates they name, and the configuration
///
/// Every mistake is shown with its place and the way out; the exit code is 1 if there is one.
///
/// Examples:
///   waypost check
///   waypost check journeys/abandoned-cart.yaml
///   waypost check --json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// A folder of journeys or one journey file; the configured folder without it.
    path: Option<PathBuf>,
    /// The folder of templates; the configured one without it, if it is there.
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// Write one JSON object a line to stdout instead of text to stderr.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let (config, mut report) = config::load(config)?;
    let (journeys, templates) = config.map_or_else(
        || (PathBuf::from("journeys"), PathBuf::from("templates")),
        |config| (config.journeys, config.templates),
    );
    let folder = args.path.as_deref().unwrap_or(&journeys);
    let templates = setup::templates_folder(args.templates.as_deref(), &templates);
    let sources =
        if folder.is_file() { vec![files::source(folder)?] } else { files::journeys(folder)? };
    if sources.is_empty() {
        tell(&report, args.json)?;
        bail!("no journey files (*.yaml) in {}", folder.display());
    }
    let names = templates.as_deref().map(files::templates).transpose()?;
    let (plans, of_journeys) = compile(&sources, names.as_ref());
    report.extend(of_journeys);
    tell(&report, args.json)?;
    if report.has_errors() {
        return Ok(Outcome::Found);
    }
    if !args.json {
        let journeys = if plans.len() == 1 { "journey" } else { "journeys" };
        say(&format!("{} {journeys} checked: no mistakes", plans.len()));
    }
    Ok(Outcome::Done)
}

fn tell(report: &Report, json: bool) -> anyhow::Result<()> {
    use std::io::Write;
    if report.is_empty() {
        return Ok(());
    }
    if json {
        std::io::stdout().write_all(report.json_lines().as_bytes())?;
    } else {
        say(report.render(colours()).trim_end());
    }
    Ok(())
}
