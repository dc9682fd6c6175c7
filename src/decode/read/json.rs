//! JSON arrays of objects, and objects one after another, cut by their braces.
//!
//! A broken record must not take the rest of the input with it. A line break within a string is no
//! JSON, so the record ends there; a record that does not close within the limit is given up at the
//! next line that starts with a brace and is indented no deeper than the record.

use super::ReadError;
use super::window::{Cut, Window};
use crate::decode::RECORD_BYTES_MAX;
use crate::decode::record::too_long;

const NOT_CLOSED: &str = "broken JSON: the record is not closed before the next one begins";

/// Whether an input seen for the first time is NDJSON: its first line closes what it opens.
pub(super) fn looks_like_lines(window: &mut Window) -> Result<bool, ReadError> {
    loop {
        let rest = window.rest();
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let rest = &rest[blank..];
        match rest.first() {
            Some(b'[') => return Ok(false),
            Some(b'{') => {
                let mut scan = Scan::default();
                for (at, &byte) in rest.iter().enumerate() {
                    match scan.step(byte) {
                        Step::Inside => (),
                        Step::Closed => return Ok(ends_line(&rest[at + 1..])),
                        Step::BrokenString | Step::Mismatch => return Ok(true),
                    }
                    if byte == b'\n' {
                        return Ok(false);
                    }
                }
            }
            Some(_) => return Ok(true),
            None => (),
        }
        if rest.len() > RECORD_BYTES_MAX || !window.more()? {
            return Ok(true);
        }
    }
}

fn ends_line(rest: &[u8]) -> bool {
    let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
    line.iter().all(u8::is_ascii_whitespace)
}

/// Cuts objects out of whatever stands between them.
#[derive(Default)]
pub(super) struct Documents {
    /// Blanks before the next object on its line.
    indent: usize,
    /// A record was not closed: the next such one is given up at once, not at the limit, so that an
    /// input of nothing else costs no more than its length.
    wary: bool,
}

impl Documents {
    pub(super) fn next(&mut self, window: &mut Window) -> Result<Cut, ReadError> {
        loop {
            if !self.skip_between(window) {
                match window.rest().first() {
                    Some(b'{') => return self.object(window),
                    Some(_) => return self.not_an_object(window),
                    None => (),
                }
            }
            if !window.more()? {
                return Ok(window.take_broken().unwrap_or(Cut::End));
            }
        }
    }

    /// Passes over blanks, commas and brackets; whether the window is used up.
    fn skip_between(&mut self, window: &mut Window) -> bool {
        let mut skipped = 0;
        let mut lines = 0;
        for &byte in window.rest() {
            match byte {
                b'\n' => {
                    lines += 1;
                    self.indent = 0;
                }
                b' ' | b'\t' | b'\r' => self.indent += 1,
                b',' | b'[' | b']' => (),
                _ => break,
            }
            skipped += 1;
        }
        window.line += lines;
        window.skip(skipped);
        window.rest().is_empty()
    }

    fn object(&mut self, window: &mut Window) -> Result<Cut, ReadError> {
        let mut scan = Scan::default();
        let mut scanned = 0;
        loop {
            let rest = window.rest();
            for (at, &byte) in rest.iter().enumerate().skip(scanned) {
                match scan.step(byte) {
                    Step::Inside if self.wary && byte == b'\n' => {
                        if self.starts_record(&rest[at + 1..]) {
                            return Ok(reject(window, at, NOT_CLOSED.into()));
                        }
                    }
                    Step::Inside => (),
                    Step::Closed => return Ok(take(window, at + 1)),
                    Step::BrokenString => {
                        let reason =
                            "broken JSON: a line ends within a string; write line breaks as \\n";
                        return Ok(reject(window, at, reason.into()));
                    }
                    Step::Mismatch => {
                        let (end, reason) = match self.next_start(&rest[..at]) {
                            Some(next) => {
                                self.wary = true;
                                (next, NOT_CLOSED)
                            }
                            None => {
                                (at + 1, "broken JSON: a bracket closes a brace, or the reverse")
                            }
                        };
                        return Ok(reject(window, end, reason.into()));
                    }
                }
            }
            scanned = rest.len();
            let too_long = scanned > RECORD_BYTES_MAX;
            if too_long || !window.more()? {
                if let Some(next) = self.next_start(window.rest()) {
                    self.wary = true;
                    return Ok(reject(window, next, NOT_CLOSED.into()));
                }
                if too_long {
                    return self.skip_long(window, scan);
                }
                if let Some(cut) = window.take_broken() {
                    return Ok(cut);
                }
                let reason = "broken JSON: the record is not closed by the end of the input";
                return Ok(reject(window, window.rest().len(), reason.into()));
            }
        }
    }

    /// Where, after the first line, a line starts that looks like the start of a record.
    fn next_start(&self, rest: &[u8]) -> Option<usize> {
        memchr::memchr_iter(b'\n', rest).find(|&at| self.starts_record(&rest[at + 1..]))
    }

    fn starts_record(&self, line: &[u8]) -> bool {
        let blanks = line
            .iter()
            .filter(|&&byte| byte != b',')
            .take_while(|&&byte| byte == b' ' || byte == b'\t')
            .count();
        let first = line.iter().find(|&&byte| !matches!(byte, b' ' | b'\t' | b','));
        blanks <= self.indent && first == Some(&b'{')
    }

    /// Passes over an object that is too long, to its end or to what looks like the next one.
    fn skip_long(&self, window: &mut Window, mut scan: Scan) -> Result<Cut, ReadError> {
        let (line, head) = (window.line, window.head(RECORD_BYTES_MAX));
        let mut bytes = window.rest().len();
        window.line += memchr::memchr_iter(b'\n', window.rest()).count() as u64;
        window.skip(bytes);
        'reading: loop {
            if window.rest().is_empty() && !window.more()? {
                break;
            }
            let rest = window.rest();
            for (at, &byte) in rest.iter().enumerate() {
                let step = scan.step(byte);
                let next = byte == b'\n' && self.starts_record(&rest[at + 1..]);
                if !matches!(step, Step::Inside) || next {
                    bytes += at;
                    window.line += memchr::memchr_iter(b'\n', &rest[..at]).count() as u64;
                    window.skip(if byte == b'\n' { at } else { at + 1 });
                    break 'reading;
                }
            }
            let length = rest.len();
            bytes += length;
            window.line += memchr::memchr_iter(b'\n', rest).count() as u64;
            window.skip(length);
        }
        Ok(Cut::Rejected { line, reason: too_long(bytes).reason, head })
    }

    fn not_an_object(&mut self, window: &mut Window) -> Result<Cut, ReadError> {
        let end = window.rest().iter().position(|&byte| byte == b'{' || byte == b'\n');
        let end = end.unwrap_or(window.rest().len());
        Ok(reject(window, end, "not a JSON object; a record is an object in braces".into()))
    }
}

fn take(window: &mut Window, length: usize) -> Cut {
    if length > RECORD_BYTES_MAX {
        return reject(window, length, too_long(length).reason);
    }
    let line = window.line;
    window.line += memchr::memchr_iter(b'\n', &window.rest()[..length]).count() as u64;
    Cut::Record { line, range: window.take_record(length, length) }
}

fn reject(window: &mut Window, length: usize, reason: String) -> Cut {
    let (line, head) = (window.line, window.head(length));
    window.line += memchr::memchr_iter(b'\n', &window.rest()[..length]).count() as u64;
    window.skip(length);
    Cut::Rejected { line, reason, head }
}

/// Follows strings and braces.
#[derive(Default)]
struct Scan {
    depth: usize,
    /// Which of the open ones are arrays, the innermost lowest; as many as fit.
    arrays: u128,
    in_string: bool,
    escaped: bool,
}

enum Step {
    Inside,
    Closed,
    BrokenString,
    Mismatch,
}

impl Scan {
    fn step(&mut self, byte: u8) -> Step {
        if self.in_string {
            match byte {
                b'\n' => return Step::BrokenString,
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => (),
            }
            return Step::Inside;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                if self.depth < 128 {
                    self.arrays = self.arrays << 1 | u128::from(byte == b'[');
                }
                self.depth += 1;
            }
            b'}' | b']' => return self.close(byte == b']'),
            _ => (),
        }
        Step::Inside
    }

    fn close(&mut self, array: bool) -> Step {
        if self.depth <= 128 {
            if (self.arrays & 1 == 1) != array {
                return Step::Mismatch;
            }
            self.arrays >>= 1;
        }
        self.depth -= 1;
        if self.depth == 0 { Step::Closed } else { Step::Inside }
    }
}
