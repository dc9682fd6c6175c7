//! Writing a report as a page.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::replay::Summary;
use crate::report::Report;

use super::talk::say;

/// A file that a page goes into. It is made first, so that a long command does not fail at its end.
pub(super) struct Page {
    path: PathBuf,
    file: File,
}

impl Page {
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("can't write {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file })
    }

    pub(super) fn write(mut self, report: &Report) -> anyhow::Result<()> {
        self.file
            .write_all(report.html().as_bytes())
            .with_context(|| format!("can't write {}", self.path.display()))?;
        say(&format!("report: {} (open it in a browser)", self.path.display()));
        Ok(())
    }
}

/// The facts of a replay, with the time that its events span.
pub(super) fn with_period(
    mut facts: Vec<(&'static str, String)>,
    summary: &Summary,
) -> Vec<(&'static str, String)> {
    if let Some((first, last)) = summary.period {
        facts.push(("first event", first.to_string()));
        facts.push(("last event", last.to_string()));
    }
    facts
}
