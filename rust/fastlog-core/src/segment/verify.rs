//! Reads a segment through, checksums and all: what recovery believes and what it does not.

use super::walk::{Located, implausible};
use crate::batch::{BatchHeader, HEADER_SIZE, crc32c_append};
use crate::env::File;
use crate::error::Result;

/// Bytes read at once.
const BUFFER: usize = 1 << 20;
/// Where the part of a batch begins that its checksum covers.
const AT_ATTRIBUTES: u64 = 21;
/// Where the magic stands.
const AT_MAGIC: u64 = 16;
/// Bytes of the smallest message of format v0, offset and size included.
const MIN_LEGACY_SIZE: u64 = 26;
/// Attribute bits that have no meaning.
const UNKNOWN_ATTRIBUTES: i16 = !0x7f;

/// What stands at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A sound batch; the verifier has moved past it.
    Batch(Located),
    /// Nothing: the end.
    End,
    /// A sound message of format v0 or v1, which cannot be served.
    Legacy,
    /// No batch that belongs there, and why; the verifier has not moved.
    Bad(String),
}

/// Which offsets the batches of a segment may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRule {
    /// Up to here offsets may be missing, because compaction removed them. Beyond, a batch that does not go on
    /// where the last one ended is believed only when the next batch confirms it: the topic was compacted once.
    pub holes_below: i64,
    /// All offsets are below this one.
    pub limit: i64,
}

/// Goes through `[position, end)` of a file.
#[derive(Debug)]
pub struct Verifier<'a> {
    reader: Buffered<'a>,
    position: u64,
    end: u64,
    rule: OffsetRule,
    gaps_seen: bool,
}

impl<'a> Verifier<'a> {
    /// Starts at `position`, where a batch is supposed to start.
    pub fn new(file: &'a dyn File, position: u64, end: u64, rule: OffsetRule) -> Self {
        Self {
            reader: Buffered::new(file, end),
            position,
            end,
            rule,
            gaps_seen: false,
        }
    }

    /// Where the next batch starts.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Judges the next batch: whole, of our format, offset `expected` (or above it, where gaps are allowed),
    /// leader epoch at least `epoch`, checksum right.
    pub fn next(&mut self, expected: i64, epoch: i32) -> Result<Verdict> {
        let left = self.end - self.position;
        if left == 0 {
            return Ok(Verdict::End);
        }
        if self.is_legacy(left)? {
            return Ok(Verdict::Legacy);
        }
        if left < HEADER_SIZE as u64 {
            return Ok(Verdict::Bad(format!("{left} bytes are no batch")));
        }
        let header = BatchHeader::parse(self.reader.bytes(self.position, HEADER_SIZE)?)?;
        if let Some(reason) = implausible(&header, expected, left) {
            return Ok(Verdict::Bad(reason));
        }
        if let Some(reason) = self.misplaced(&header, expected, epoch)? {
            return Ok(Verdict::Bad(reason));
        }
        let from = self.position + AT_ATTRIBUTES;
        let crc = self.reader.crc(from, self.position + header.size() as u64)?;
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

    /// What the checksum does not cover: it would not notice another offset or epoch.
    fn misplaced(&mut self, header: &BatchHeader, expected: i64, epoch: i32) -> Result<Option<String>> {
        let OffsetRule { holes_below, limit } = self.rule;
        if header.last_offset() >= limit {
            return Ok(Some(format!(
                "last offset {} where all are below {limit}",
                header.last_offset()
            )));
        }
        // -1 is a batch of before there were epochs.
        if (0..epoch).contains(&header.partition_leader_epoch) {
            return Ok(Some(format!(
                "leader epoch falls from {epoch} to {}",
                header.partition_leader_epoch
            )));
        }
        if header.base_offset > expected {
            if header.base_offset > holes_below && !self.is_confirmed(header)? {
                return Ok(Some(format!(
                    "base offset {} where {expected} is due",
                    header.base_offset
                )));
            }
            self.gaps_seen = true;
        }
        Ok(None)
    }

    /// Whether the batch after the one with this header, which stands here, has offsets above it.
    fn is_confirmed(&mut self, header: &BatchHeader) -> Result<bool> {
        let after = self.position + header.size() as u64;
        let left = self.end - after;
        if left < HEADER_SIZE as u64 {
            return Ok(false);
        }
        let next = BatchHeader::parse(self.reader.bytes(after, HEADER_SIZE)?)?;
        Ok(implausible(&next, header.next_offset(), left).is_none() && next.last_offset() < self.rule.limit)
    }

    /// Whether batches were accepted that do not go on where the last one ended.
    pub fn gaps_seen(&self) -> bool {
        self.gaps_seen
    }

    /// Whether a message of an old format stands here: those have their checksum, a CRC-32, where batches have
    /// the leader epoch, and it covers everything from the magic on. Zeros in a torn write look similar.
    fn is_legacy(&mut self, left: u64) -> Result<bool> {
        if left < MIN_LEGACY_SIZE {
            return Ok(false);
        }
        let start = self.reader.bytes(self.position, MIN_LEGACY_SIZE as usize)?;
        let field = |at: usize| u32::from_be_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
        let (size, crc, magic) = (12 + u64::from(field(8)), field(12), start[AT_MAGIC as usize]);
        if magic > 1 || size < MIN_LEGACY_SIZE || size > left {
            return Ok(false);
        }
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32IsoHdlc);
        self.reader
            .each(self.position + AT_MAGIC, self.position + size, |bytes| {
                digest.update(bytes);
            })?;
        Ok(digest.finalize() as u32 == crc)
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
            // What stands at `from` itself is refused for its offset, perhaps. A write that was torn there, between
            // offset and length, would have left zeros.
            let misplaced = here == from && header.base_offset > expected;
            if implausible(&header, expected, end - here).is_some()
                || !(misplaced || is_likely(&header, expected))
            {
                continue;
            }
            let size = header.size() as u64;
            let exhausted = size > budget;
            budget = budget.saturating_sub(size);
            if exhausted || check.crc(here + AT_ATTRIBUTES, here + size)? == header.crc {
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
    fn crc(&mut self, from: u64, to: u64) -> Result<u32> {
        let mut crc = 0;
        self.each(from, to, |bytes| crc = crc32c_append(crc, bytes))?;
        Ok(crc)
    }

    /// Hands out `[from, to)` piece by piece.
    fn each(&mut self, mut from: u64, to: u64, mut take: impl FnMut(&[u8])) -> Result<()> {
        while from < to {
            if from < self.at || from >= self.at + self.len as u64 {
                self.fill(from)?;
            }
            let skip = (from - self.at) as usize;
            let len = (self.len - skip).min((to - from) as usize);
            take(&self.buffer[skip..skip + len]);
            from += len as u64;
        }
        Ok(())
    }
}
