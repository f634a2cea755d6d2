//! Walks the batches of a segment by their headers, reading ahead a little and skipping the records.

use crate::batch::{BatchHeader, HEADER_SIZE, MAGIC_V2};
use crate::env::File;
use crate::error::{Error, Result};

/// Bytes read at once: many headers of small batches, and not more than a page of a large one.
const WINDOW: usize = 4096;

/// A batch header and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// The header's fields.
    pub header: BatchHeader,
    /// Byte position of the batch.
    pub position: u64,
}

impl Located {
    /// Byte position after the batch.
    pub fn end(&self) -> u64 {
        self.position + self.header.size() as u64
    }
}

/// Iterates over batch headers in `[position, end)` of a file.
#[derive(Debug)]
pub struct HeaderWalk<'a> {
    file: &'a dyn File,
    position: u64,
    end: u64,
    window: [u8; WINDOW],
    window_at: u64,
    window_len: usize,
}

/// Why the bytes at some position cannot be a batch of this log, `None` when they can: its length lies
/// within the segment, its magic is ours, and its offsets are at least `expected`.
pub fn implausible(header: &BatchHeader, expected: i64, bytes_left: u64) -> Option<String> {
    if matches!(header.magic, 0 | 1) && header.size() > 20 {
        return Some("message format v0/v1 is not supported".to_owned());
    }
    if header.magic != MAGIC_V2 {
        return Some(format!("magic is {} instead of {MAGIC_V2}", header.magic));
    }
    if header.size() < HEADER_SIZE {
        return Some(format!("batch length {} is too small", header.batch_length));
    }
    if header.size() as u64 > bytes_left {
        return Some(format!(
            "batch of {} bytes where {bytes_left} are left",
            header.size()
        ));
    }
    if header.base_offset < expected {
        return Some(format!(
            "base offset {} where at least {expected} is due",
            header.base_offset
        ));
    }
    // The offset behind the batch has to be one too: it is where the log ends.
    if header.last_offset_delta < 0 || header.last_offset() == i64::MAX {
        return Some(format!("last offset delta is {}", header.last_offset_delta));
    }
    None
}

impl<'a> HeaderWalk<'a> {
    /// Starts at `position`, which must be where a batch starts, and ends before `end`.
    pub fn new(file: &'a dyn File, position: u64, end: u64) -> Self {
        Self {
            file,
            position,
            end,
            window: [0; WINDOW],
            window_at: 0,
            window_len: 0,
        }
    }

    /// Where the next batch starts.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next batch, whose offsets must be at least `expected`; `None` at the end.
    ///
    /// Fails with [`Error::Corrupt`] when the bytes cannot be such a batch, and stays where it is.
    pub fn next(&mut self, expected: i64) -> Result<Option<Located>> {
        if self.position >= self.end {
            return Ok(None);
        }
        let left = self.end - self.position;
        if left < HEADER_SIZE as u64 {
            return Err(self.corrupt(expected, format!("{left} bytes are no batch")));
        }
        let header = BatchHeader::parse(self.header_bytes()?)?;
        if let Some(reason) = implausible(&header, expected, left) {
            return Err(self.corrupt(expected, reason));
        }
        let located = Located {
            header,
            position: self.position,
        };
        self.position = located.end();
        Ok(Some(located))
    }

    fn header_bytes(&mut self) -> Result<&[u8]> {
        let cached = self
            .position
            .checked_sub(self.window_at)
            .map(|skip| skip as usize);
        let skip = match cached {
            Some(skip) if skip + HEADER_SIZE <= self.window_len => skip,
            _ => {
                let wanted = (self.end - self.position).min(WINDOW as u64) as usize;
                self.file
                    .read_exact_at(&mut self.window[..wanted], self.position)?;
                self.window_at = self.position;
                self.window_len = wanted;
                0
            }
        };
        Ok(&self.window[skip..skip + HEADER_SIZE])
    }

    fn corrupt(&self, offset: i64, reason: String) -> Error {
        Error::Corrupt {
            path: self.file.path().to_owned(),
            position: self.position,
            offset,
            reason,
        }
    }
}
