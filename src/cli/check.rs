//! `waypost check`: every mistake in journeys, templates and configuration, at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::{self, Config};
use crate::diagnostic::Report;
use crate::journey::{Plan, Step, compile};
use crate::model::Text;
use crate::template::Templates;

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
    let file = setup::configuration_file(config);
    let (config, mut report) = config::load(config)?;
    let (journeys, templates) = config.as_ref().map_or_else(
        || (PathBuf::from("journeys"), PathBuf::from("templates")),
        |config| (config.journeys.clone(), config.templates.clone()),
    );
    let folder = args.path.as_deref().unwrap_or(&journeys);
    let templates = setup::templates_folder(args.templates.as_deref(), &templates);
    let sources =
        if folder.is_file() { vec![files::source(folder)?] } else { files::journeys(folder)? };
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
        // Without a configuration somebody is trying things out.
        if let (Some(config), Some(templates), Some(_)) = (&config, &templates, file) {
            say_lacking(config, templates, &plans);
        }
        let counted = |count: usize, what: &str| {
            format!("{count} {what}{}", if count == 1 { "" } else { "s" })
        };
        let templates = names.map(|names| counted(names.len(), "template"));
        let templates = templates.map(|templates| format!(" and {templates}")).unwrap_or_default();
        say(&format!("{}{templates} checked: no mistakes", counted(plans.len(), "journey")));
    }
    Ok(Outcome::Done)
}

/// What the templates of the journeys print of a shop that the configuration does not say: messages
/// would fail for it.
fn say_lacking(config: &Config, templates: &Templates, plans: &[Plan]) {
    let default = Text::const_new("default");
    let shops = std::iter::once((&default, &config.default_shop)).chain(&config.shops);
    for (code, shop) in shops {
        let steps = plans.iter().flat_map(|plan| &plan.nodes);
        let lacking: BTreeSet<&str> = steps
            .filter_map(|node| match &node.step {
                Step::Message { channel, template, .. } => Some((channel, template)),
                _ => None,
            })
            .flat_map(|(channel, template)| templates.lacking(template, *channel, shop))
            .map(|variable| match variable {
                "shop.url" => "cart_url",
                other => other.trim_start_matches("shop."),
            })
            .collect();
        for key in lacking {
            say(&format!(
                "warning: messages of the shop `{code}` will fail, because templates print what the configuration does not have: set shops.{code}.{key}"
            ));
        }
    }
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
