//! The part of an input that is in memory.

use std::io::{ErrorKind, Read};
use std::ops::Range;

use super::{ReadError, Reader};

/// Read at once, and the least room made for it.
const CHUNK_BYTES: usize = 256 << 10;

/// What a cutter found.
pub(super) enum Cut {
    /// A record, where it stands in the window until that is read on.
    Record { line: u64, range: Range<usize> },
    /// Something that is no record.
    Rejected { line: u64, reason: String, head: Vec<u8> },
    /// The end of the input.
    End,
}

/// A sliding window over the input.
pub(super) struct Window {
    name: String,
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    ended: bool,
    /// Why a compressed input ended before its end.
    broken: Option<String>,
    /// The line that the rest begins on, from 1.
    pub line: u64,
}

impl Window {
    pub(super) fn new(name: &str, source: Box<dyn Read + Send>) -> Self {
        Self {
            name: name.to_owned(),
            source,
            buffer: Vec::new(),
            start: 0,
            filled: 0,
            ended: false,
            broken: None,
            line: 1,
        }
    }

    /// What has been read and not been taken.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.start..self.filled]
    }

    /// A range given in a [`Cut`].
    pub(super) fn slice(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Takes `bytes` of the rest, of which the first `record` are the record.
    pub(super) fn take_record(&mut self, record: usize, bytes: usize) -> Range<usize> {
        let range = self.start..self.start + record;
        self.start += bytes;
        range
    }

    /// Passes over `bytes` of the rest.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.start += bytes;
    }

    /// The first bytes of the rest, for a dead letter.
    pub(super) fn head(&self, bytes: usize) -> Vec<u8> {
        self.rest()[..bytes.min(Reader::HEAD_BYTES_MAX)].to_vec()
    }

    /// Reads on; `false` at the end of the input.
    pub(super) fn more(&mut self) -> Result<bool, ReadError> {
        if self.ended {
            return Ok(false);
        }
        if self.buffer.len() - self.filled < CHUNK_BYTES / 4 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.start = 0;
            let wanted = (self.filled + CHUNK_BYTES).max(self.buffer.len());
            self.buffer.resize(wanted, 0);
        }
        loop {
            match self.source.read(&mut self.buffer[self.filled..]) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(false);
                }
                Ok(read) => {
                    self.filled += read;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) if error.raw_os_error().is_some() => {
                    let (name, line) = (self.name.clone(), self.line);
                    return Err(ReadError::Read { name, line, source: error });
                }
                // No error of the system's: the compressed bytes themselves are wrong.
                Err(error) => {
                    self.ended = true;
                    self.broken = Some(error.to_string());
                    return Ok(false);
                }
            }
        }
    }

    /// The dead letter for compressed bytes that are cut off or damaged, once; the rest goes with it.
    pub(super) fn take_broken(&mut self) -> Option<Cut> {
        let cause = self.broken.take()?;
        let head = self.head(self.rest().len());
        self.skip(self.rest().len());
        let reason = format!(
            "the compressed input is cut off or damaged here ({cause}); what stands before was read, get the file again for the rest"
        );
        Some(Cut::Rejected { line: self.line, reason, head })
    }

    pub(super) fn skip_byte_order_mark(&mut self) -> Result<(), ReadError> {
        while self.rest().len() < 3 && self.more()? {}
        if self.rest().starts_with(b"\xef\xbb\xbf") {
            self.skip(3);
        }
        Ok(())
    }
}
