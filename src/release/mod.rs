//! Releases: everything an author or operator can change, as one content hash.
//!
//! A release is kept whole in the log's file, so that a run can finish in the structure it started
//! with and a verify can decide as the worker did. What journeys share is kept as compiled
//! [`Rules`], because the configuration beside them also holds secrets.

use crate::journey::{Rules, SourceFile, Status, compile};
use crate::lane::{self, Timeline};
use crate::log::{LogReader, ReleaseFiles};
use crate::model::{ReleaseId, Timestamp, derive};

/// The name under which the rules are kept among the files.
const RULES: &str = "rules.json";

/// Why a kept release can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    /// It is not what this build understands.
    #[error("release {id} can't be compiled by this build: {what}")]
    Compile {
        /// Which.
        id: ReleaseId,
        /// What is wrong.
        what: String,
    },
    /// The log activates it, and its files are gone.
    #[error("the log activates release {0}, whose files are missing from it")]
    Missing(ReleaseId),
}

/// The files of a release and its id.
///
/// # Errors
/// The reason, if the rules can't be written as JSON.
pub fn pack(sources: &[SourceFile], rules: &Rules) -> Result<(ReleaseId, ReleaseFiles), String> {
    let mut files: ReleaseFiles = sources
        .iter()
        .map(|source| (source.path.clone(), source.text.clone().into_bytes()))
        .collect();
    let json = serde_json::to_vec(rules).map_err(|error| error.to_string())?;
    files.push((RULES.to_owned(), json));
    files.sort();
    let parts: Vec<&[u8]> =
        files.iter().flat_map(|(path, bytes)| [path.as_bytes(), bytes.as_slice()]).collect();
    Ok((ReleaseId(derive("release", &parts)), files))
}

/// Compiles the files of a release; drafts are left out, because they are never applied.
///
/// # Errors
/// [`Error::Compile`] if this build does not understand them.
pub fn unpack(id: ReleaseId, files: &ReleaseFiles) -> Result<lane::Release, Error> {
    let wrong = |what: String| Error::Compile { id, what };
    let mut rules = Rules::default();
    let mut sources = Vec::new();
    for (path, bytes) in files {
        if path == RULES {
            rules = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        } else {
            let text = String::from_utf8_lossy(bytes);
            sources.push(SourceFile::new(path.as_str(), text.as_ref()));
        }
    }
    let (mut plans, report) = compile(&sources, None);
    if report.has_errors() {
        return Err(wrong(report.render(false)));
    }
    plans.retain(|plan| plan.status == Status::Live);
    Ok(lane::Release { id, plans, rules })
}

/// The timeline of a log: every release it activates, those at or before `applied` in force.
///
/// # Errors
/// [`Error`] if a release is missing or can't be compiled.
pub async fn timeline(
    log: &LogReader,
    applied: Option<Timestamp>,
    options: crate::engine::Options,
) -> Result<Timeline, Error> {
    let mut releases = Vec::new();
    let controls = log.controls().await?;
    for control in &controls {
        if releases.iter().any(|release: &lane::Release| release.id == control.release) {
            continue;
        }
        let files = log.release(control.release).await?;
        let files = files.ok_or(Error::Missing(control.release))?;
        releases.push(unpack(control.release, &files)?);
    }
    let mut timeline = Timeline::of_log(releases, options);
    for control in controls {
        if applied.is_some_and(|applied| control.at <= applied)
            && let Some(release) = timeline.release(control.release)
        {
            timeline.activate(control.at, &release);
        }
    }
    Ok(timeline)
}
