//! What most commands begin with: the configuration, the journeys, the decoders.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::config::{self, Config, InputFormat};
use crate::decode::{CloudEvents, Decoder, Mapping, Xdm};
use crate::diagnostic::Report;
use crate::journey::{Plan, SourceFile, compile};
use crate::model::Text;
use crate::template::Templates;

use super::files;
use super::talk::{colours, say};

/// The configuration, and the file it came from.
pub(super) struct Configured {
    pub config: Config,
    pub file: Option<PathBuf>,
}

/// Journeys that compile.
pub(super) struct Journeys {
    pub sources: Vec<SourceFile>,
    pub plans: Vec<Plan>,
}

/// Reads the configuration; mistakes in it are shown and end the command.
pub(super) fn configuration(file: Option<&Path>) -> anyhow::Result<Configured> {
    let (config, report) = config::load(file)?;
    show(&report);
    let Some(config) = config.filter(|_| !report.has_errors()) else {
        bail!("the configuration has mistakes; see above");
    };
    Ok(Configured { config, file: configuration_file(file) })
}

/// The file that the configuration is read from, if there is one.
pub(super) fn configuration_file(named: Option<&Path>) -> Option<PathBuf> {
    let default = Path::new(config::FILE_DEFAULT);
    named.or_else(|| default.is_file().then_some(default)).map(Path::to_owned)
}

/// Says which configuration is read.
pub(super) fn say_configuration(configured: &Configured) {
    match &configured.file {
        Some(file) => say(&format!("configuration: {}", file.display())),
        None => say("configuration: none (defaults; no caps, consent by explicit yes)"),
    }
}

/// Reads and compiles templates; mistakes in them are in the report.
pub(super) fn templates(folder: &Path) -> anyhow::Result<(Templates, Report)> {
    let files = Templates::read(folder)?;
    Ok(Templates::compile(&files, &folder.display().to_string()))
}

/// Reads and compiles templates and holds the journeys against them; mistakes are shown and end
/// the command.
pub(super) fn sound_templates(folder: &Path, plans: &[Plan]) -> anyhow::Result<Templates> {
    let (templates, mut report) = templates(folder)?;
    report.extend(templates.check(plans));
    show(&report);
    if report.has_errors() {
        bail!("the templates have mistakes; see above");
    }
    Ok(templates)
}

/// Reads and compiles the journeys; mistakes in them are shown and end the command. Of the templates
/// only the names are looked at.
pub(super) fn journeys(folder: &Path, templates: Option<&Path>) -> anyhow::Result<Journeys> {
    let sources =
        if folder.is_file() { vec![files::source(folder)?] } else { files::journeys(folder)? };
    if sources.is_empty() {
        bail!("no journey files (*.yaml) in {}", folder.display());
    }
    let names = templates.map(template_names).transpose()?;
    let (plans, report) = compile(&sources, names.as_ref());
    show(&report);
    if report.has_errors() {
        bail!("the journeys have mistakes; see above");
    }
    Ok(Journeys { sources, plans })
}

fn template_names(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let (templates, _) = templates(folder)?;
    Ok(templates.names().map(str::to_owned).collect())
}

/// Makes the folders of the two files, where they are not there yet.
pub(super) fn folders(config: &Config) -> anyhow::Result<()> {
    for file in [&config.store.log, &config.store.state] {
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).with_context(|| {
                format!("can't make the folder {} for {}", folder.display(), file.display())
            })?;
        }
    }
    Ok(())
}

/// Shows diagnostics on stderr.
pub(super) fn show(report: &Report) {
    if !report.is_empty() {
        say(report.render(colours()).trim_end());
    }
}

/// The templates folder to check against: the one named, else the configured one if it is there.
pub(super) fn templates_folder(named: Option<&Path>, configured: &Path) -> Option<PathBuf> {
    match named {
        Some(folder) => Some(folder.to_owned()),
        None => configured.is_dir().then(|| configured.to_owned()),
    }
}

/// How records are read, by a mapping file, else as XDM or CloudEvents, whichever they are; and
/// the name of their source.
pub(super) fn decoder(mapping: Option<&Path>) -> anyhow::Result<(Decoder, Text)> {
    let Some(path) = mapping else {
        return Ok((Decoder::default(), Text::const_new("events")));
    };
    let mapping = Mapping::load(path)?;
    let source = Text::from(mapping.source());
    Ok((Decoder::Mapped(mapping), source))
}

/// How a configured input's records are read.
pub(super) fn input_decoder(format: &InputFormat) -> anyhow::Result<Decoder> {
    Ok(match format {
        InputFormat::Xdm => Decoder::Records(Arc::new(Xdm::default())),
        InputFormat::CloudEvents => Decoder::Records(Arc::new(CloudEvents)),
        InputFormat::Mapping(file) => decoder(Some(file))?.0,
    })
}

/// The 32 bytes that key the customer ids of replays: a fixed key, so that two replays agree.
pub(super) const REPLAY_KEY: [u8; 32] = *b"waypost replay: not a secret key";
