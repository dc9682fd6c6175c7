//! Records that are lines: NDJSON, and CSV rows with quoted line breaks.

use super::ReadError;
use super::window::{Cut, Window};
use crate::decode::RECORD_BYTES_MAX;
use crate::decode::record::too_long;

/// The next line that is not blank.
pub(super) fn next_line(window: &mut Window) -> Result<Cut, ReadError> {
    let mut searched = 0;
    loop {
        let rest = window.rest();
        let (length, taken) = match memchr::memchr(b'\n', &rest[searched..]) {
            Some(at) => (searched + at, searched + at + 1),
            None if rest.len() > RECORD_BYTES_MAX => return skip_long_line(window),
            None => {
                searched = rest.len();
                if window.more()? {
                    continue;
                }
                if let Some(cut) = window.take_broken() {
                    return Ok(cut);
                }
                if searched == 0 {
                    return Ok(Cut::End);
                }
                (searched, searched)
            }
        };
        let rest = window.rest();
        if rest[..length].trim_ascii().is_empty() {
            window.skip(taken);
            window.line += 1;
            searched = 0;
            continue;
        }
        if length > RECORD_BYTES_MAX {
            return skip_long_line(window);
        }
        let line = window.line;
        window.line += 1;
        return Ok(Cut::Record { line, range: window.take_record(length, taken) });
    }
}

/// Passes over a line that is too long, keeping its head and counting its bytes.
fn skip_long_line(window: &mut Window) -> Result<Cut, ReadError> {
    let (line, head) = (window.line, window.head(RECORD_BYTES_MAX));
    let mut bytes = 0;
    loop {
        let rest = window.rest();
        if let Some(at) = memchr::memchr(b'\n', rest) {
            bytes += at;
            window.skip(at + 1);
            break;
        }
        bytes += rest.len();
        window.skip(rest.len());
        if !window.more()? {
            break;
        }
    }
    window.line += 1;
    Ok(Cut::Rejected { line, reason: too_long(bytes).reason, head })
}

/// The next CSV row that is not blank.
pub(super) fn next_row(window: &mut Window, delimiter: u8) -> Result<Cut, ReadError> {
    loop {
        let rest = window.rest();
        let Some(first) = memchr::memchr(b'\n', rest) else {
            if rest.len() <= RECORD_BYTES_MAX && window.more()? {
                continue;
            }
            return last_row(window, delimiter);
        };
        if rest[..first].trim_ascii().is_empty() {
            window.skip(first + 1);
            window.line += 1;
            continue;
        }
        if memchr::memchr(b'"', &rest[..first]).is_none() {
            return next_line(window);
        }
        match row_end(rest, delimiter) {
            Some(end) => return Ok(take_row(window, end, end + 1)),
            None if rest.len() <= RECORD_BYTES_MAX && window.more()? => (),
            None => return Ok(reject_first_line(window, first + 1)),
        }
    }
}

/// The last row has no line break, or the row is too long.
fn last_row(window: &mut Window, delimiter: u8) -> Result<Cut, ReadError> {
    let rest = window.rest();
    let whole = rest.len();
    let quoted = whole <= RECORD_BYTES_MAX && memchr::memchr(b'"', rest).is_some();
    if quoted && is_open(rest, delimiter) {
        return match window.take_broken() {
            Some(cut) => Ok(cut),
            None => Ok(reject_first_line(window, whole)),
        };
    }
    next_line(window)
}

fn take_row(window: &mut Window, length: usize, taken: usize) -> Cut {
    let line = window.line;
    let breaks = memchr::memchr_iter(b'\n', &window.rest()[..taken]).count();
    window.line += breaks as u64;
    if length > RECORD_BYTES_MAX {
        let head = window.head(length);
        window.skip(taken);
        return Cut::Rejected { line, reason: too_long(length).reason, head };
    }
    Cut::Record { line, range: window.take_record(length, taken) }
}

/// A quote that never closes would swallow every later row: only its own line is given up.
fn reject_first_line(window: &mut Window, taken: usize) -> Cut {
    let (line, head) = (window.line, window.head(taken));
    window.skip(taken);
    window.line += 1;
    let reason = format!(
        "a quote opened on this line is not closed within {RECORD_BYTES_MAX} bytes or by the end; close it, or double it if it is part of the value"
    );
    Cut::Rejected { line, reason, head }
}

/// Where the row at the start of `rest` ends: its line break; `None` if it is not in `rest`.
fn row_end(rest: &[u8], delimiter: u8) -> Option<usize> {
    let mut scan = Scan::default();
    rest.iter().position(|&byte| scan.step(byte, delimiter))
}

/// Whether a quote is still open at the end of `rest`.
fn is_open(rest: &[u8], delimiter: u8) -> bool {
    let mut scan = Scan::default();
    for &byte in rest {
        scan.step(byte, delimiter);
    }
    scan.quoted
}

/// As everywhere in CSV, a quote opens a value only at its start, and a doubled one is a quote.
struct Scan {
    quoted: bool,
    at_start: bool,
}

impl Default for Scan {
    fn default() -> Self {
        Self { quoted: false, at_start: true }
    }
}

impl Scan {
    /// Whether this byte is the line break that ends the row.
    fn step(&mut self, byte: u8, delimiter: u8) -> bool {
        if self.quoted {
            // A doubled quote closes and opens again at once: `at_start` stands for that instant.
            if byte == b'"' {
                self.quoted = false;
                self.at_start = true;
            }
            return false;
        }
        let opens = byte == b'"' && self.at_start;
        self.quoted = opens;
        self.at_start = byte == delimiter;
        byte == b'\n'
    }
}
