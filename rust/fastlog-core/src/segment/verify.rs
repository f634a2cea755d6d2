//! Reads a segment through, checksums and all: what recovery believes and what it does not.

use super::walk::{Located, implausible};
use crate::batch::{BatchHeader, HEADER_SIZE, crc32c_append};
use crate::env::File;
use crate::error::Result;

/// Bytes read at once.
const BUFFER: usize = 1 << 20;
/// Where the part of a batch begins that its checksum covers.
const AT_ATTRIBUTES: usize = 21;
/// Attribute bits that have no meaning.
const UNKNOWN_ATTRIBUTES: i16 = !0x7f;

/// What stands at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A sound batch; the verifier has moved past it.
    Batch(Located),
    /// Nothing: the end.
    End,
    /// No batch that belongs there, and why; the verifier has not moved.
    Bad(String),
}

/// Goes through `[position, end)` of a file.
#[derive(Debug)]
pub struct Verifier<'a> {
    reader: Buffered<'a>,
    position: u64,
    end: u64,
}

impl<'a> Verifier<'a> {
    /// Starts at `position`, where a batch is supposed to start.
    pub fn new(file: &'a dyn File, position: u64, end: u64) -> Self {
        Self {
            reader: Buffered::new(file, end),
            position,
            end,
        }
    }

    /// Where the next batch starts.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Judges the next batch: whole, of our format, offsets at least `expected`, leader epoch at least `epoch`,
    /// checksum right.
    pub fn next(&mut self, expected: i64, epoch: i32) -> Result<Verdict> {
        let left = self.end - self.position;
        if left == 0 {
            return Ok(Verdict::End);
        }
        if left < HEADER_SIZE as u64 {
            return Ok(Verdict::Bad(format!("{left} bytes are no batch")));
        }
        let header = BatchHeader::parse(self.reader.bytes(self.position, HEADER_SIZE)?)?;
        if let Some(reason) = implausible(&header, expected, left) {
            return Ok(Verdict::Bad(reason));
        }
        // -1 is a batch of before there were epochs.
        if (0..epoch).contains(&header.partition_leader_epoch) {
            return Ok(Verdict::Bad(format!(
                "leader epoch falls from {epoch} to {}",
                header.partition_leader_epoch
            )));
        }
        let crc = self.reader.crc(
            self.position + AT_ATTRIBUTES as u64,
            self.position + header.size() as u64,
        )?;
        if crc != header.crc {
            return Ok(Verdict::Bad(format!(
                "checksum is {crc:#010x}, the batch says {:#010x}",
                header.crc
            )));
        }
        let located = Located {
            header,
            position: self.position,
        };
        self.position = located.end();
        Ok(Verdict::Batch(located))
    }
}

/// What is behind a batch that is not sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// Position and base offset of a sound batch further on: then this is no torn end of a log.
    pub batch: Option<(u64, i64)>,
    /// There are only zeros.
    pub zeros: bool,
}

/// Looks for a sound batch with an offset of at least `expected` anywhere in `[from, end)`.
///
/// Bytes that merely look like a header are checked by their checksum, for at most a few times the length of
/// the range: should somebody have filled a record with such bytes, the answer errs on the side of a batch.
pub fn look_for_batch(file: &dyn File, from: u64, end: u64, expected: i64) -> Result<Tail> {
    let mut tail = Tail {
        batch: None,
        zeros: true,
    };
    let mut scan = Buffered::new(file, end);
    let mut check = Buffered::new(file, end);
    let mut budget = 4 * (end - from) + BUFFER as u64;
    let mut position = from;
    while position < end {
        let len = (end - position).min(BUFFER as u64) as usize;
        let bytes = scan.bytes(position, len)?;
        tail.zeros = tail.zeros && bytes.iter().all(|byte| *byte == 0);
        if len < HEADER_SIZE {
            break;
        }
        // The next round starts where the last header of this one could not be read whole.
        for at in 0..=len - HEADER_SIZE {
            if bytes[at + 16] != 2 {
                continue;
            }
            let here = position + at as u64;
            let header = BatchHeader::parse(&bytes[at..])?;
            if implausible(&header, expected, end - here).is_some() || !is_likely(&header, expected) {
                continue;
            }
            let size = header.size() as u64;
            let exhausted = size > budget;
            budget = budget.saturating_sub(size);
            if exhausted || check.crc(here + AT_ATTRIBUTES as u64, here + size)? == header.crc {
                tail.batch = Some((here, header.base_offset));
                tail.zeros = false;
                return Ok(tail);
            }
        }
        position += (len - HEADER_SIZE + 1) as u64;
    }
    Ok(tail)
}

/// Cheap doubts that spare most checksums.
fn is_likely(header: &BatchHeader, expected: i64) -> bool {
    header.attributes & UNKNOWN_ATTRIBUTES == 0
        && header.record_count >= 0
        && i64::from(header.record_count) <= i64::from(header.last_offset_delta) + 1
        && header.partition_leader_epoch >= -1
        && header.base_offset - expected <= i64::from(i32::MAX)
}

/// A file read through a buffer.
#[derive(Debug)]
struct Buffered<'a> {
    file: &'a dyn File,
    end: u64,
    buffer: Vec<u8>,
    at: u64,
    len: usize,
}

impl<'a> Buffered<'a> {
    fn new(file: &'a dyn File, end: u64) -> Self {
        Self {
            file,
            end,
            buffer: Vec::new(),
            at: 0,
            len: 0,
        }
    }

    /// `len` bytes at `position`, which lie before the end and are no more than the buffer holds.
    fn bytes(&mut self, position: u64, len: usize) -> Result<&[u8]> {
        if position < self.at || position + len as u64 > self.at + self.len as u64 {
            self.fill(position)?;
        }
        let skip = (position - self.at) as usize;
        Ok(&self.buffer[skip..skip + len])
    }

    fn fill(&mut self, position: u64) -> Result<()> {
        let len = (self.end - position).min(BUFFER as u64) as usize;
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        self.file.read_exact_at(&mut self.buffer[..len], position)?;
        (self.at, self.len) = (position, len);
        Ok(())
    }

    /// CRC-32C of `[from, to)`, however long.
    fn crc(&mut self, mut from: u64, to: u64) -> Result<u32> {
        let mut crc = 0;
        while from < to {
            if from < self.at || from >= self.at + self.len as u64 {
                self.fill(from)?;
            }
            let skip = (from - self.at) as usize;
            let len = (self.len - skip).min((to - from) as usize);
            crc = crc32c_append(crc, &self.buffer[skip..skip + len]);
            from += len as u64;
        }
        Ok(crc)
    }
}
