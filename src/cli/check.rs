//! `waypost check`: every mistake in journeys, templates and configuration, at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::config;
use crate::diagnostic::Report;
use crate::journey::compile;

use super::talk::{colours, say};
use super::{Outcome, files, setup};

/// Check journeys, templates, and the configuration
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
    let (journeys, templates) = config.as_ref().map_or_else(
        || (PathBuf::from("journeys"), PathBuf::from("templates")),
        |config| (config.journeys.clone(), config.templates.clone()),
    );
    let folder = args.path.as_deref().unwrap_or(&journeys);
    let templates = setup::templates_folder(args.templates.as_deref(), &templates);
    let sources =
        if folder.is_file() { vec![files::source(folder)?] } else { files::journeys(folder)? };
    if sources.is_empty() {
        tell(&report, args.json)?;
        bail!("no journey files (*.yaml) in {}", folder.display());
    }
    let templates = templates.as_deref().map(setup::templates).transpose()?;
    let names: Option<BTreeSet<String>> =
        templates.as_ref().map(|(templates, _)| templates.names().map(str::to_owned).collect());
    let (plans, of_journeys) = compile(&sources, names.as_ref());
    report.extend(of_journeys);
    let templates = templates.map(|(templates, of_templates)| {
        report.extend(of_templates);
        report.extend(templates.check(&plans));
        templates
    });
    tell(&report, args.json)?;
    if report.has_errors() {
        return Ok(Outcome::Found);
    }
    if !args.json {
        let mut lacking = Vec::new();
        if let (Some(config), Some(templates)) = (&config, &templates) {
            lacking = setup::lacking(config, templates, &plans);
            for lacking in &lacking {
                say(&format!("warning: {lacking}"));
            }
        }
        let counted = |count: usize, what: &str| {
            format!("{count} {what}{}", if count == 1 { "" } else { "s" })
        };
        let templates = names.map(|names| counted(names.len(), "template"));
        let templates = templates.map(|templates| format!(" and {templates}")).unwrap_or_default();
        let warnings = lacking.len() + report.diagnostics().len();
        let warnings = match warnings {
            0 => String::new(),
            some => format!(", {}", counted(some, "warning")),
        };
        let journeys = counted(plans.len(), "journey");
        say(&format!("{journeys}{templates} checked: no mistakes{warnings}"));
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
