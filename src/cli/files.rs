//! Finds and reads what authors wrote: journeys.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::journey::SourceFile;

/// The most files read from one folder.
const FILES_MAX: usize = 10_000;
/// How deep folders are looked into.
const DEPTH_MAX: usize = 8;

/// The journey files below a folder, by path; tests and schemas beside them are left out.
pub(super) fn journeys(folder: &Path) -> anyhow::Result<Vec<SourceFile>> {
    if !folder.exists() {
        bail!(
            "there are no journeys at {}; run this where they are, or name their folder (`journeys` in the configuration, --journeys for a replay)",
            folder.display()
        );
    }
    let mut paths = Vec::new();
    walk(folder, 0, &mut |path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let yaml = name.ends_with(".yaml") || name.ends_with(".yml");
        if yaml && !name.ends_with(".test.yaml") && !name.ends_with(".test.yml") {
            paths.push(path.to_owned());
        }
        paths.len() < FILES_MAX
    })?;
    paths.sort();
    paths.iter().map(|path| source(path)).collect()
}

/// One file as text.
pub(super) fn source(path: &Path) -> anyhow::Result<SourceFile> {
    let bytes = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceFile::new(path.display().to_string(), text)),
        Err(error) => bail!(
            "{} is not UTF-8 (byte {}); save it as UTF-8",
            path.display(),
            error.utf8_error().valid_up_to()
        ),
    }
}

/// Calls `found` with each file below a folder until it returns false.
fn walk(folder: &Path, depth: usize, found: &mut dyn FnMut(&Path) -> bool) -> anyhow::Result<()> {
    if depth > DEPTH_MAX {
        bail!("{} is nested deeper than {DEPTH_MAX} folders", folder.display());
    }
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("can't read the folder {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        paths.push(entry.with_context(|| format!("in {}", folder.display()))?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, depth + 1, found)?;
        } else if !found(&path) {
            bail!("{} holds more than {FILES_MAX} files", folder.display());
        }
    }
    Ok(())
}
