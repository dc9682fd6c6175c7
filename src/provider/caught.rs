//! Messages kept in a folder instead of being sent.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::model::{MessageId, Timestamp};

/// A folder of caught messages: a file for each, and `index.ndjson` that lists them.
///
/// A file's name begins with its time, so that names sort by time, and ends with the message's id,
/// so that a message caught twice is one file. The index gets a line for each catch, in their
/// order; of two lines with one `file` the later holds. Files are written whole or not at all;
/// nothing is forced to the disk, so a power failure may lose the last ones.
#[derive(Debug)]
pub struct Caught {
    folder: PathBuf,
    /// One writer at a time: of the index, and of the temporary file.
    index: Mutex<File>,
}

/// What the index says about a message.
#[derive(Clone, Debug)]
pub struct Note<'a> {
    /// When it is due: the same for each try, because the file's name begins with it.
    pub at: Timestamp,
    /// The message.
    pub message: MessageId,
    /// `email` or `sms`.
    pub channel: &'a str,
    /// The address or number, as it would have been sent to.
    pub to: &'a str,
    /// The subject; `None` for an SMS.
    pub subject: Option<&'a str>,
    /// The template it was rendered from.
    pub template: &'a str,
}

/// Why a message could not be caught; nothing of it was kept.
#[derive(Debug, thiserror::Error)]
#[error("can't write {path}: {source}{}", hint(.source))]
pub struct CaughtError {
    path: PathBuf,
    source: io::Error,
}

/// A line of the index.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    message: String,
    channel: &'a str,
    to: &'a str,
    subject: Option<&'a str>,
    template: &'a str,
    file: &'a str,
}

const INDEX: &str = "index.ndjson";

impl Caught {
    /// Opens the folder, and makes it where it is missing.
    ///
    /// # Errors
    ///
    /// The folder or its index can't be made or opened.
    pub fn open(folder: &Path) -> Result<Self, CaughtError> {
        let failed = |path: &Path, source| CaughtError { path: path.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        let path = folder.join(INDEX);
        let index = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| failed(&path, error))?;
        Ok(Self { folder: folder.to_owned(), index: Mutex::new(index) })
    }

    /// Keeps a message, and returns the name of its file within the folder. `extension` is `eml`
    /// or `txt`.
    ///
    /// # Errors
    ///
    /// It can't be written (a full disk, a folder that is gone). No half file is left.
    pub fn keep(
        &self,
        note: &Note<'_>,
        extension: &str,
        bytes: &[u8],
    ) -> Result<String, CaughtError> {
        let name = format!("{}-{}.{extension}", compact(note.at), note.message);
        let path = self.folder.join(&name);
        let failed = |source| CaughtError { path: path.clone(), source };
        let line = Line {
            at: note.at.to_string(),
            message: note.message.to_string(),
            channel: note.channel,
            to: note.to,
            subject: note.subject,
            template: note.template,
            file: &name,
        };
        let mut line = serde_json::to_vec(&line).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        // Whoever panicked with the lock left a temporary file at worst.
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let temporary = path.with_extension("part");
        let kept = std::fs::write(&temporary, bytes)
            .and_then(|()| append(&mut index, &line, || std::fs::rename(&temporary, &path)));
        if kept.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        kept.map_err(failed).map(|()| name)
    }
}

/// Appends all of it and does what belongs to it, or leaves the file as it was.
fn append(file: &mut File, bytes: &[u8], with: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let end = file.seek(SeekFrom::End(0))?;
    let done = file.write_all(bytes).and_then(|()| with());
    if done.is_err() {
        let _ = file.set_len(end);
    }
    done
}

/// `20260328T213000.000Z`: sorts as the instant, and fits every file system.
fn compact(at: Timestamp) -> String {
    let ms = at.ms().rem_euclid(1_000);
    let seconds = at.plus_ms(-ms).to_string();
    let seconds: String = seconds.chars().filter(|c| c.is_ascii_digit() || *c == 'T').collect();
    format!("{seconds}.{ms:03}Z")
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::FileTooLarge => {
            "; free disk space, or catch into another folder"
        }
        io::ErrorKind::PermissionDenied => "; give the folder to the user who runs this",
        _ => "",
    }
}
