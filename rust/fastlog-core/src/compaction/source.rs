//! Batches of a segment file one after the other, through a buffer that holds at least one of them.

use crate::batch::BatchHeader;
use crate::batch::{BatchView, HEADER_SIZE};
use crate::compaction::Meter;
use crate::env::File;
use crate::error::{Error, Result};
use crate::memory::reserve;
use crate::segment::implausible;

/// Bytes read at once; a larger batch makes the buffer larger.
const BUFFER: usize = 1 << 20;

/// The bytes that a [`BatchSource`] reads into, kept from segment to segment.
#[derive(Debug, Default)]
pub struct SourceBuffer {
    bytes: Vec<u8>,
    /// What of them was read: where they stand in the file and how many they are.
    at: u64,
    len: usize,
}

impl SourceBuffer {
    /// Bytes that it occupies.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Reads `[position, end)` of a file.
#[derive(Debug)]
pub struct BatchSource<'a> {
    file: &'a dyn File,
    buffer: &'a mut SourceBuffer,
    position: u64,
    end: u64,
    expected: i64,
}

impl<'a> BatchSource<'a> {
    /// Starts at `position`, where a batch starts whose offsets are at least `expected`.
    pub fn new(
        file: &'a dyn File,
        buffer: &'a mut SourceBuffer,
        position: u64,
        end: u64,
        expected: i64,
    ) -> Self {
        buffer.len = 0;
        Self {
            file,
            buffer,
            position,
            end,
            expected,
        }
    }

    /// The next batch; `None` at the end. Bytes are counted by `meter` as they are read.
    ///
    /// Fails with [`Error::Corrupt`] when no batch with rising offsets and the right checksum stands there.
    pub fn next(&mut self, meter: &mut Meter<'_>) -> Result<Option<BatchView<'_>>> {
        let left = self.end - self.position;
        if left == 0 {
            return Ok(None);
        }
        if left < HEADER_SIZE as u64 {
            return Err(self.corrupt(format!("{left} bytes are no batch")));
        }
        let header = BatchHeader::parse(self.bytes(HEADER_SIZE, meter)?)?;
        if let Some(reason) = implausible(&header, self.expected, left) {
            return Err(self.corrupt(reason));
        }
        let size = header.size();
        self.bytes(size, meter)?;
        let sound = BatchView::first(self.bytes(size, meter)?)?.crc_is_valid();
        if !sound {
            return Err(self.corrupt("the batch fails its checksum".to_owned()));
        }
        let skip = (self.position - self.buffer.at) as usize;
        self.position += size as u64;
        self.expected = header.next_offset();
        BatchView::first(&self.buffer.bytes[skip..skip + size]).map(Some)
    }

    /// What `error`, met in the batch that was given last, says about the log: that the batch is damaged inside,
    /// unless only memory was lacking, or a turn at it.
    pub fn blame(&self, header: &BatchHeader, error: Error) -> Error {
        match error {
            Error::OutOfMemory(_) | Error::Aborted(_) => error,
            damage => Error::Corrupt {
                path: self.file.path().to_owned(),
                position: self.position - header.size() as u64,
                offset: header.base_offset,
                reason: damage.to_string(),
            },
        }
    }

    /// `len` bytes from the position on, which lie before the end.
    fn bytes(&mut self, len: usize, meter: &mut Meter<'_>) -> Result<&[u8]> {
        let buffer = &mut *self.buffer;
        let loaded = buffer.at + buffer.len as u64;
        if buffer.len == 0 || self.position < buffer.at || self.position + len as u64 > loaded {
            // The length was checked against what is left of the file: no header makes us take more.
            let wanted = (self.end - self.position).min(BUFFER.max(len) as u64) as usize;
            if buffer.bytes.len() < wanted {
                let more = wanted - buffer.bytes.len();
                reserve(&mut buffer.bytes, more)?;
                buffer.bytes.resize(wanted, 0);
            }
            // What is there already of a batch that goes on behind the buffer.
            let mut have = 0;
            if (buffer.at..loaded).contains(&self.position) {
                let from = (self.position - buffer.at) as usize;
                have = buffer.len - from;
                buffer.bytes.copy_within(from..buffer.len, 0);
            }
            buffer.len = 0;
            self.file
                .read_exact_at(&mut buffer.bytes[have..wanted], self.position + have as u64)?;
            (buffer.at, buffer.len) = (self.position, wanted);
            meter.count((wanted - have) as u64)?;
        }
        let skip = (self.position - buffer.at) as usize;
        Ok(&buffer.bytes[skip..skip + len])
    }

    fn corrupt(&self, reason: String) -> Error {
        Error::Corrupt {
            path: self.file.path().to_owned(),
            position: self.position,
            offset: self.expected,
            reason,
        }
    }
}
