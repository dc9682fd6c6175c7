//! Files, stdin and request bodies, cut into records with bounded memory.

mod input;
mod json;
mod lines;
mod place;
mod window;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use self::json::Documents;
use self::window::{Cut, Window};

pub use self::place::{Place, Places};

/// How the records of an input are written. Compression is seen by itself: .gz and .zst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Form {
    /// Seen from the name and the first bytes: CSV by its name, else JSON of either kind.
    #[default]
    Auto,
    /// One JSON object a line.
    Ndjson,
    /// A JSON array of objects, or objects one after another, over any number of lines.
    Json,
    /// Comma-separated values.
    Csv(CsvForm),
}

/// How CSV is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CsvForm {
    /// Between two values, an ASCII character.
    pub delimiter: u8,
    /// Whether the first row names the columns.
    pub header: bool,
}

impl Default for CsvForm {
    fn default() -> Self {
        Self { delimiter: b',', header: true }
    }
}

/// What an input holds at one place.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A record, to be decoded.
    Record {
        /// The line it starts on, from 1.
        line: u64,
        /// The record.
        bytes: &'a [u8],
    },
    /// Something that can't be cut into a record: a dead letter.
    Rejected {
        /// The line it starts on, from 1.
        line: u64,
        /// What is wrong and the way out.
        reason: String,
        /// Its first bytes, at most [`Reader::HEAD_BYTES_MAX`].
        head: Vec<u8>,
    },
}

/// The input itself can't be read: the disk, the file's rights, the connection.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file can't be opened.
    #[error("can't open {path}: check that it exists and may be read")]
    Open {
        /// The file.
        path: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Reading failed on the way.
    #[error("can't read {name} beyond line {line}")]
    Read {
        /// The file, or `stdin`.
        name: String,
        /// The last line begun.
        line: u64,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

/// Streams the records of one input. Memory stays within about twice the longest record allowed,
/// however long the input is or whatever stands in it.
pub struct Reader {
    window: Window,
    form: Form,
    cutter: Option<Cutter>,
    header: Option<Vec<u8>>,
    waiting: Option<Cut>,
}

enum Cutter {
    Lines,
    Rows(CsvForm),
    Documents(Documents),
}

impl Reader {
    /// How many bytes of something rejected are kept for the dead letter.
    pub const HEAD_BYTES_MAX: usize = 4_096;

    /// Opens a file.
    ///
    /// # Errors
    /// [`ReadError`] if it can't be opened or its first bytes can't be read.
    pub fn open(path: &Path, form: Form) -> Result<Self, ReadError> {
        let name = path.display().to_string();
        let failed = |source| ReadError::Open { path: path.display().to_string(), source };
        let file = File::open(path).map_err(failed)?;
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let form = match form {
            Form::Auto if file_name.contains(".csv") => Form::Csv(CsvForm::default()),
            form => form,
        };
        Self::new(&name, file, form)
    }

    /// Reads standard input.
    ///
    /// # Errors
    /// [`ReadError`] if its first bytes can't be read.
    pub fn stdin(form: Form) -> Result<Self, ReadError> {
        Self::new("stdin", std::io::stdin(), form)
    }

    /// Reads anything that gives bytes; `name` is for messages.
    ///
    /// # Errors
    /// [`ReadError`] if its first bytes can't be read.
    pub fn new(
        name: &str,
        source: impl Read + Send + 'static,
        form: Form,
    ) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Read { name: name.to_owned(), line: 0, source };
        let source = input::decompressed(source).map_err(failed)?;
        let window = Window::new(name, source);
        Ok(Self { window, form, cutter: None, header: None, waiting: None })
    }

    /// The CSV header row, where the form has one; `None` also for an empty input.
    ///
    /// # Errors
    /// [`ReadError`] if the input can't be read.
    pub fn header(&mut self) -> Result<Option<&[u8]>, ReadError> {
        self.begin()?;
        Ok(self.header.as_deref())
    }

    /// The next record or dead letter; `None` at the end. Blank lines are passed over.
    ///
    /// # Errors
    /// [`ReadError`] if the input can't be read.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ReadError> {
        self.begin()?;
        let cut = match self.waiting.take() {
            Some(cut) => cut,
            None => self.cut()?,
        };
        Ok(match cut {
            Cut::End => None,
            Cut::Rejected { line, reason, head } => Some(Entry::Rejected { line, reason, head }),
            Cut::Record { line, range } => {
                Some(Entry::Record { line, bytes: self.window.slice(range) })
            }
        })
    }

    /// Finds out the form and takes the CSV header, once.
    fn begin(&mut self) -> Result<(), ReadError> {
        if self.cutter.is_some() {
            return Ok(());
        }
        self.window.skip_byte_order_mark()?;
        let cutter = match self.form {
            Form::Ndjson => Cutter::Lines,
            Form::Json => Cutter::Documents(Documents::default()),
            Form::Csv(form) => Cutter::Rows(form),
            Form::Auto if json::looks_like_lines(&mut self.window)? => Cutter::Lines,
            Form::Auto => Cutter::Documents(Documents::default()),
        };
        let with_header = matches!(cutter, Cutter::Rows(CsvForm { header: true, .. }));
        self.cutter = Some(cutter);
        if with_header {
            match self.cut()? {
                Cut::Record { range, .. } => self.header = Some(self.window.slice(range).to_vec()),
                other => self.waiting = Some(other),
            }
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<Cut, ReadError> {
        match &mut self.cutter {
            Some(Cutter::Lines) => lines::next_line(&mut self.window),
            Some(Cutter::Rows(form)) => lines::next_row(&mut self.window, form.delimiter),
            Some(Cutter::Documents(documents)) => documents.next(&mut self.window),
            None => Ok(Cut::End),
        }
    }
}

#[cfg(test)]
mod tests;
