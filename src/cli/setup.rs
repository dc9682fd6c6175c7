//! What most commands begin with: the configuration, the journeys, the decoders.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::config::{self, Config, InputFormat};
use crate::decode::{Auto, CloudEvents, Decoder, Mapping, ShopCountries, Xdm};
use crate::diagnostic::Report;
use crate::journey::{Plan, SourceFile, Step, compile};
use crate::model::Text;
use crate::postgres::Postgres;
use crate::template::{TemplateFile, Templates, is_locale};

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
    let files = template_files(folder)?;
    Ok(Templates::compile(&files, &folder.display().to_string()))
}

fn template_files(folder: &Path) -> anyhow::Result<Vec<TemplateFile>> {
    if !folder.exists() {
        bail!(
            "there are no templates at {}; run this where they are, or name their folder (`templates:` in waypost.yaml, --templates for a preview, replay or check)",
            folder.display()
        );
    }
    Ok(Templates::read(folder)?)
}

/// A language as an option names it.
pub(super) fn locale(text: &str) -> Result<String, &'static str> {
    match is_locale(text) {
        true => Ok(text.to_owned()),
        false => Err("a language is written as in nl or nl-BE"),
    }
}

/// Templates that compile and fit the journeys, with the files they were made of.
pub(super) struct SoundTemplates {
    pub files: Vec<TemplateFile>,
    pub compiled: Templates,
}

/// Reads and compiles templates and holds the journeys against them; mistakes are shown and end
/// the command.
pub(super) fn sound_templates(folder: &Path, plans: &[Plan]) -> anyhow::Result<SoundTemplates> {
    let files = template_files(folder)?;
    let (compiled, mut report) = Templates::compile(&files, &folder.display().to_string());
    report.extend(compiled.check(plans));
    show(&report);
    if report.has_errors() {
        bail!("the templates have mistakes; see above");
    }
    Ok(SoundTemplates { files, compiled })
}

/// What the templates of the journeys print of a shop that the configuration does not say: messages
/// would fail for it.
pub(super) fn lacking(config: &Config, templates: &Templates, plans: &[Plan]) -> Vec<String> {
    let mut all = Vec::new();
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
        if !lacking.is_empty() {
            let keys: Vec<String> =
                lacking.into_iter().map(|key| format!("shops.{code}.{key}")).collect();
            all.push(format!(
                "messages of the shop `{code}` will fail, because templates print what the configuration (waypost.yaml) does not have: set {}",
                keys.join(", ")
            ));
        }
    }
    all
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

/// The database of production.
pub(super) async fn postgres(postgres: &config::Postgres) -> anyhow::Result<Postgres> {
    let password = match (&postgres.password, &postgres.password_file) {
        (Some(password), _) => Some(password.expose().to_owned()),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file).with_context(|| {
                format!("can't read `postgres.password_file`, {}", file.display())
            })?;
            Some(text.lines().next().unwrap_or_default().to_owned())
        }
        (None, None) => None,
    };
    let (url, connections) = (postgres.url.expose(), postgres.connections);
    Ok(Postgres::connect(url, password.as_deref(), connections).await?)
}

/// For commands that read what a worker has kept: where it has not, says what else to look at.
pub(super) fn needs_store(config: &Config) -> anyhow::Result<()> {
    if config.production.is_some() {
        return Ok(());
    }
    let files = [("log", &config.store.log), ("state store", &config.store.state)];
    let missing = files.into_iter().find(|(_, file)| !file.exists());
    let Some((what, file)) = missing else { return Ok(()) };
    bail!(
        "there is no {what} at {}; `waypost run` creates it. A demo or a replay keeps none: what it decided is in its lines (decisions.ndjson) and in its page (report.html, `waypost replay --html FILE`)",
        file.display()
    )
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
pub(super) fn decoder(mapping: Option<&Path>, config: &Config) -> anyhow::Result<(Decoder, Text)> {
    let Some(path) = mapping else {
        let either = Decoder::Records(Arc::new(Auto { xdm: xdm(config) }));
        return Ok((either, Text::const_new("events")));
    };
    let mapping = Mapping::load(path)?;
    let source = Text::from(mapping.source());
    Ok((Decoder::Mapped(mapping), source))
}

/// How a configured input's records are read.
pub(super) fn input_decoder(format: &InputFormat, config: &Config) -> anyhow::Result<Decoder> {
    Ok(match format {
        InputFormat::Xdm => Decoder::Records(Arc::new(xdm(config))),
        InputFormat::CloudEvents => Decoder::Records(Arc::new(CloudEvents)),
        InputFormat::Mapping(file) => decoder(Some(file), config)?.0,
    })
}

/// Reads XDM as of the configured shops.
fn xdm(config: &Config) -> Xdm {
    let countries = config.shops.iter();
    let countries = ShopCountries {
        by_shop: countries
            .filter_map(|(code, shop)| Some((code.clone(), shop.country.clone()?)))
            .collect(),
        default: config.default_shop.country.clone(),
    };
    Xdm { countries: Arc::new(countries) }
}

/// The namespaces of their own under which the mappings of the configured inputs name customers.
pub(super) fn namespaces(config: &Config) -> anyhow::Result<Vec<Text>> {
    let mut namespaces = Vec::new();
    for input in config.inputs.values() {
        if let InputFormat::Mapping(file) = &input.format {
            namespaces.extend(Mapping::load(file)?.namespaces().cloned());
        }
    }
    Ok(namespaces)
}

/// The 32 bytes that key the customer ids of replays: a fixed key, so that two replays agree.
pub(super) const REPLAY_KEY: [u8; 32] = *b"waypost replay: not a secret key";
