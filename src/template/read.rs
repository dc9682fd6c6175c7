//! Reading the templates' folder: the only I/O of this module.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The largest file of a template, in bytes.
pub const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The most files below the templates' folder.
pub const FILES_MAX: usize = 10_000;
/// How deep folders are looked into.
const DEPTH_MAX: usize = 8;

/// A file below the templates' folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFile {
    /// Its path below the templates' folder, with `/` between names.
    pub path: String,
    /// What it holds; of a file over [`FILE_BYTES_MAX`] one byte more than that.
    pub bytes: Vec<u8>,
}

/// Why the templates' folder can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A folder or file can't be opened or read.
    #[error("can't read {path}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A name that is no text.
    #[error("the name of {path} is not UTF-8; rename it", path = path.display())]
    Name {
        /// Which.
        path: PathBuf,
    },
    /// Folders within folders beyond any use.
    #[error("{path} is nested deeper than {DEPTH_MAX} folders", path = path.display())]
    Depth {
        /// Which.
        path: PathBuf,
    },
    /// More files than a shop has templates.
    #[error("{path} holds more than {FILES_MAX} files", path = path.display())]
    Count {
        /// The templates' folder.
        path: PathBuf,
    },
}

/// Every file below a folder, by path; names that begin with a dot are left out.
pub(super) fn read(folder: &Path) -> Result<Vec<TemplateFile>, ReadError> {
    let mut files = Vec::new();
    walk(folder, "", 0, &mut files)?;
    if files.len() > FILES_MAX {
        return Err(ReadError::Count { path: folder.to_owned() });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(
    folder: &Path,
    below: &str,
    depth: usize,
    files: &mut Vec<TemplateFile>,
) -> Result<(), ReadError> {
    if depth > DEPTH_MAX {
        return Err(ReadError::Depth { path: folder.to_owned() });
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ReadError::Io { path, source }
    };
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(ReadError::Name { path });
        };
        if name.starts_with('.') || files.len() > FILES_MAX {
            continue;
        }
        let below = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        if path.is_dir() {
            walk(&path, &below, depth + 1, files)?;
            continue;
        }
        let mut bytes = Vec::new();
        std::fs::File::open(&path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(failed(&path))?;
        files.push(TemplateFile { path: below, bytes });
    }
    Ok(())
}
