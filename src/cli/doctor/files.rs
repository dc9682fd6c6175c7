//! What is on this machine: journeys, templates, mapping files, the two SQLite files, disks.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::Config;
use crate::diagnostic::{Report, Severity};
use crate::journey::{Plan, Status as JourneyStatus, compile};
use crate::log::{LogReader, ReadLog};
use crate::store::SqliteLedger;

use super::super::{files, setup};
use super::Line;

/// With less room on a disk than this, in bytes, somebody should look.
const ROOM_WARNING: u64 = 1 << 30;
/// With less than this, a worker would not run for long.
const ROOM_ERROR: u64 = 100 << 20;

/// The mapping files of the inputs.
pub(super) fn mappings(config: &Config) -> Vec<Line> {
    let wrong = config.inputs.iter().filter_map(|(name, input)| {
        let error = setup::input_decoder(&input.format, config).err()?;
        Some(Line::error("mappings", format!("inputs.{name}: {error:#}")))
    });
    wrong.collect()
}

/// The journeys and templates, and the journeys that compile.
pub(super) fn journeys_and_templates(config: &Config) -> (Vec<Plan>, Vec<Line>) {
    let folder = setup::templates_folder(None, &config.templates);
    let templates = match folder.as_deref().map(setup::templates).transpose() {
        Ok(templates) => templates,
        Err(error) => return (Vec::new(), vec![Line::error("templates", format!("{error:#}"))]),
    };
    let sources = match files::journeys(&config.journeys) {
        Ok(sources) if sources.is_empty() => {
            let text = format!("no journey files (*.yaml) in {}", config.journeys.display());
            return (Vec::new(), vec![Line::error("journeys", text)]);
        }
        Ok(sources) => sources,
        Err(error) => return (Vec::new(), vec![Line::error("journeys", format!("{error:#}"))]),
    };
    let names: Option<BTreeSet<String>> =
        templates.as_ref().map(|(templates, _)| templates.names().map(str::to_owned).collect());
    let (plans, report) = compile(&sources, names.as_ref());
    let live = plans.iter().filter(|plan| plan.status == JourneyStatus::Live).count();
    let mut lines = vec![told("journeys", &report, || {
        format!("{} in {}, {live} of them live", plans.len(), config.journeys.display())
    })];
    let Some((compiled, mut report)) = templates else {
        let text = format!("there is no folder {}", config.templates.display());
        lines.push(Line::warning("templates", text));
        return (plans, lines);
    };
    report.extend(compiled.check(&plans));
    lines.push(told("templates", &report, || {
        format!("{} in {}", compiled.names().count(), config.templates.display())
    }));
    for lacking in setup::lacking(config, &compiled, &plans) {
        lines.push(if config.deliver.smtp.is_some() {
            Line::error("templates", lacking)
        } else {
            Line::warning("templates", lacking)
        });
    }
    (plans, lines)
}

/// A report in a line.
fn told(check: &'static str, report: &Report, fine: impl FnOnce() -> String) -> Line {
    let errors =
        report.diagnostics().iter().filter(|found| found.severity == Severity::Error).count();
    if errors > 0 {
        let s = if errors == 1 { "" } else { "s" };
        return Line::error(check, format!("{errors} mistake{s}: `waypost check` shows them"));
    }
    match report.diagnostics().len() {
        0 => Line::ok(check, fine()),
        _ => Line::warning(check, format!("{}; `waypost check` shows what to see to", fine())),
    }
}

/// The two SQLite files, and the disks of everything that is written.
pub(super) async fn store(config: &Config) -> Vec<Line> {
    let store = &config.store;
    let mut lines = Vec::new();
    if store.log.exists() {
        let wanted = store.partitions;
        lines.push(match LogReader::open(&store.log).await {
            Ok(log) if log.partitions() != wanted => Line::error(
                "log",
                format!(
                    "{} has {} partitions, the configuration says {wanted}: set \
                     `store.partitions` to {}",
                    store.log.display(),
                    log.partitions(),
                    log.partitions()
                ),
            ),
            Ok(_) => Line::ok("log", store.log.display().to_string()),
            Err(error) => Line::failed("log", &error),
        });
    } else {
        lines.push(absent("log", &store.log));
    }
    if store.state.exists() {
        lines.push(match SqliteLedger::open(&store.state).await {
            Ok(_) => Line::ok("state", store.state.display().to_string()),
            Err(error) => Line::failed("state", &error),
        });
    } else {
        lines.push(absent("state", &store.state));
    }
    let mut folders: Vec<&Path> =
        [&store.log, &store.state].into_iter().filter_map(|file| file.parent()).collect();
    folders.dedup();
    lines.extend(folders.into_iter().map(|folder| room("disk", folder)));
    lines
}

fn absent(check: &'static str, file: &Path) -> Line {
    Line::ok(check, format!("{} is not there yet: `waypost run` makes it", file.display()))
}

/// Whether something can be written below a folder, and for how long. The folder need not exist:
/// the nearest one above it that does is looked at.
pub(super) fn room(check: &'static str, folder: &Path) -> Line {
    let shown = folder.display();
    let there = folder.ancestors().map(|folder| match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    });
    let Some(there) = there.into_iter().find(|folder| folder.is_dir()) else {
        return Line::error(check, format!("there is no folder {shown}, nor one above it"));
    };
    // Whether one may write is known only by trying; the file has no name.
    if let Err(error) = try_to_write(there) {
        return Line::error(check, format!("can't write in {shown}: {error}"));
    }
    match free(there) {
        Some(free) if free < ROOM_ERROR => {
            Line::error(check, format!("{} free for {shown}: free disk space", size(free)))
        }
        Some(free) if free < ROOM_WARNING => {
            Line::warning(check, format!("only {} free for {shown}: free disk space", size(free)))
        }
        Some(_) => Line::ok(check, format!("{shown} can be written, with 1 GB free or more")),
        None => Line::ok(check, format!("{shown} can be written")),
    }
}

#[cfg(unix)]
fn try_to_write(folder: &Path) -> std::io::Result<()> {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)?;
    Ok(())
}

#[cfg(not(unix))]
fn try_to_write(folder: &Path) -> std::io::Result<()> {
    if folder.metadata()?.permissions().readonly() {
        return Err(std::io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}

fn size(bytes: u64) -> String {
    format!("{} MB", bytes / 1_000_000)
}
