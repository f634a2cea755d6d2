//! Taking records out of a batch (Kafka: `MemoryRecords.filterTo`).
//!
//! Base offset, last offset, producer, epoch and base sequence of a batch never change, so that offsets and
//! sequence numbers stay true. Records keep their bytes: only a delete horizon, which is stored in place of the
//! base timestamp, makes their timestamps be written anew. The largest timestamp follows the records that stay.

use crate::batch::crc32c;
use crate::batch::header::{
    AT_ATTRIBUTES, AT_CRC, CODEC_MASK, DELETE_HORIZON_BIT, HEADER_SIZE, LENGTH_PREFIX_SIZE,
};
use crate::batch::varint::{read_varint, read_varlong, varlong_size, write_varlong};
use crate::batch::{BatchHeader, BatchView, TimestampType};
use crate::compaction::filter::{BatchRule, Retention, Rules};
use crate::compaction::keyed_hash::KeyHash;
use crate::compaction::records::{CHUNK, RecordBuffer, RecordWalk};
use crate::compression::{Codec, DecompressionLimit, Encoder};
use crate::error::{Error, Result};
use crate::memory::{append, reserve};

/// What is left of a batch.
#[derive(Debug)]
pub enum Kept<'a> {
    /// Nothing.
    Nothing,
    /// All of it, as it is.
    Original,
    /// Another batch.
    Rewritten(BatchHeader, &'a [u8]),
}

/// Counts of what happened to records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records, markers included.
    pub read: u64,
    /// Those of them that stay.
    pub kept: u64,
    /// Tombstones and markers that went because their delete horizon had passed.
    pub tombstones_dropped: u64,
    /// Records without a key.
    pub invalid: u64,
    /// The earliest delete horizon at which something of what stays may go.
    pub earliest_horizon: Option<i64>,
}

/// Takes records out of batches. Its buffers hold one batch and are used again.
#[derive(Debug)]
pub struct Rewriter {
    limit: DecompressionLimit,
    /// The codec that the topic stores, and its level.
    level: Option<(Codec, i32)>,
    decompressed: RecordBuffer,
    kept: Vec<u8>,
    rebased: Vec<u8>,
    out: Vec<u8>,
    /// Most bytes that a compressor gave back.
    compressed: usize,
    tally: Tally,
}

/// What is known about the records that stay.
struct Selection {
    count: i32,
    tombstones: bool,
    /// Some of those tombstones may go when the delete horizon has passed.
    waiting: bool,
    max_timestamp: i64,
    /// Some records were dropped: the others are in the buffer `kept`. Otherwise nothing was copied.
    dropped: bool,
}

impl Rewriter {
    /// For batches that do not decompress to more than `limit`. Batches keep their codec; `level` is used for
    /// those of its codec, the default for others.
    pub fn new(limit: DecompressionLimit, level: Option<(Codec, i32)>) -> Self {
        Self {
            limit,
            level,
            decompressed: RecordBuffer::default(),
            kept: Vec::new(),
            rebased: Vec::new(),
            out: Vec::new(),
            compressed: 0,
            tally: Tally::default(),
        }
    }

    /// What happened so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Bytes of the buffers.
    pub fn memory_bytes(&self) -> usize {
        self.decompressed.memory_bytes()
            + self.kept.capacity()
            + self.rebased.capacity()
            + self.out.capacity()
            + self.compressed
    }

    /// What is left of `batch` under `rules`, which gave `rule` for it.
    ///
    /// Fails with [`Error::Malformed`] or [`Error::Compression`] when the batch is damaged, although its
    /// checksum is right, with [`Error::OutOfMemory`] or [`Error::Aborted`] when there is no room for it.
    pub fn rewrite(
        &mut self,
        batch: &BatchView<'_>,
        rule: &BatchRule,
        rules: &Rules<'_>,
    ) -> Result<Kept<'_>> {
        let header = *batch.header();
        let count = header.record_count.max(0);
        self.tally.read += u64::from(count.unsigned_abs());
        if rule.discard || count == 0 {
            if rule.discard && rule.is_dispensable_marker {
                self.tally.tombstones_dropped += u64::from(count.unsigned_abs());
            }
            return self.without_records(&header, rule.retention);
        }
        if header.is_control() {
            return self.marker(batch, rule, rules);
        }
        if header.last_offset() < rules.log_start {
            return self.without_records(&header, rule.retention);
        }
        if header.base_offset >= rules.clean_end.max(rules.log_start) {
            return Ok(self.original(&header, false));
        }
        let body = self.decompressed.open(batch, self.limit)?;
        let selection = select(&header, body, rules, &mut self.kept, &mut self.tally)?;
        if selection.count == 0 {
            return self.without_records(&header, rule.retention);
        }
        let horizon = (selection.tombstones && !header.has_delete_horizon())
            .then(|| rules.now_ms.saturating_add(rules.delete_retention_ms));
        if !selection.dropped && horizon.is_none() {
            return Ok(self.original(&header, selection.waiting));
        }
        let mut records: &[u8] = if selection.dropped { &self.kept } else { body };
        if let Some(horizon) = horizon {
            rebase(&header, records, selection.count, horizon, &mut self.rebased)?;
            records = &self.rebased;
        }
        let mut header = header;
        header.record_count = selection.count;
        if header.timestamp_type() == TimestampType::CreateTime {
            header.max_timestamp = selection.max_timestamp;
        }
        set_horizon(&mut header, horizon);
        self.tally.kept += selection.count as u64;
        note_horizon(&mut self.tally, &header, selection.waiting);
        self.compressed = self
            .compressed
            .max(assemble(&mut header, records, self.level, &mut self.out)?);
        Ok(Kept::Rewritten(header, &self.out))
    }

    fn original(&mut self, header: &BatchHeader, waiting: bool) -> Kept<'_> {
        self.tally.kept += header.record_count.max(0) as u64;
        note_horizon(&mut self.tally, header, waiting);
        Kept::Original
    }

    /// A batch of which only the header may be of use.
    fn without_records(&mut self, header: &BatchHeader, retention: Retention) -> Result<Kept<'_>> {
        if retention != Retention::RetainEmpty {
            return Ok(Kept::Nothing);
        }
        if header.size() == HEADER_SIZE && header.record_count == 0 {
            return Ok(Kept::Original);
        }
        let mut header = BatchHeader {
            record_count: 0,
            base_timestamp: -1,
            attributes: header.attributes & !(CODEC_MASK | DELETE_HORIZON_BIT),
            ..*header
        };
        assemble(&mut header, &[], None, &mut self.out)?;
        Ok(Kept::Rewritten(header, &self.out))
    }

    /// A marker that stays.
    fn marker(&mut self, batch: &BatchView<'_>, rule: &BatchRule, rules: &Rules<'_>) -> Result<Kept<'_>> {
        let mut header = *batch.header();
        if !rule.is_dispensable_marker || header.has_delete_horizon() {
            return Ok(self.original(&header, rule.is_dispensable_marker));
        }
        let horizon = rules.now_ms.saturating_add(rules.delete_retention_ms);
        let body = self.decompressed.open(batch, self.limit)?;
        rebase(&header, body, header.record_count, horizon, &mut self.rebased)?;
        set_horizon(&mut header, Some(horizon));
        self.tally.kept += header.record_count as u64;
        note_horizon(&mut self.tally, &header, true);
        assemble(&mut header, &self.rebased, None, &mut self.out)?;
        Ok(Kept::Rewritten(header, &self.out))
    }
}

/// Decides about every record of a batch.
fn select(
    header: &BatchHeader,
    body: &[u8],
    rules: &Rules<'_>,
    kept: &mut Vec<u8>,
    tally: &mut Tally,
) -> Result<Selection> {
    struct Candidate<'a> {
        bytes: &'a [u8],
        hash: KeyHash,
        offset: i64,
        timestamp: i64,
        has_key: bool,
        is_tombstone: bool,
    }
    kept.clear();
    let mut selection = Selection {
        count: 0,
        tombstones: false,
        waiting: false,
        max_timestamp: -1,
        dropped: false,
    };
    let horizon_has_passed = rules.horizon_has_passed(header);
    let mut walk = RecordWalk::new(body, header.record_count);
    let mut candidates: [Candidate<'_>; CHUNK] = std::array::from_fn(|_| Candidate {
        bytes: &[],
        hash: [0; 2],
        offset: 0,
        timestamp: 0,
        has_key: false,
        is_tombstone: false,
    });
    // Bytes of the records so far, all of which stayed, as long as none was dropped.
    let mut whole = 0;
    loop {
        let mut count = 0;
        let mut touched = 0;
        while count < CHUNK {
            let Some((record, bytes)) = walk.next()? else {
                break;
            };
            let candidate = &mut candidates[count];
            count += 1;
            candidate.bytes = bytes;
            candidate.offset = header.base_offset.saturating_add(i64::from(record.offset_delta));
            candidate.timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
            candidate.has_key = record.key.is_some();
            candidate.is_tombstone = record.value.is_none();
            if let Some(key) = record.key {
                candidate.hash = rules.map.hash(key);
                touched |= rules.map.touch(candidate.hash);
            }
        }
        std::hint::black_box(touched);
        for candidate in &candidates[..count] {
            let stays = if candidate.offset < rules.log_start {
                false
            } else if candidate.offset >= rules.clean_end {
                true
            } else if !candidate.has_key {
                tally.invalid += 1;
                false
            } else if rules
                .map
                .get(candidate.hash)
                .is_some_and(|latest| candidate.offset < latest)
            {
                false
            } else if candidate.is_tombstone && horizon_has_passed {
                tally.tombstones_dropped += 1;
                false
            } else {
                true
            };
            if !stays {
                if !selection.dropped {
                    selection.dropped = true;
                    append(kept, &body[..whole])?;
                }
                continue;
            }
            selection.count += 1;
            selection.tombstones |= candidate.is_tombstone;
            selection.waiting |= candidate.is_tombstone && candidate.offset < rules.clean_end;
            selection.max_timestamp = selection.max_timestamp.max(candidate.timestamp);
            if selection.dropped {
                append(kept, candidate.bytes)?;
            } else {
                whole += candidate.bytes.len();
            }
        }
        if count < CHUNK {
            return Ok(selection);
        }
    }
}

/// Writes records anew whose timestamps are to be counted from `base`.
fn rebase(header: &BatchHeader, records: &[u8], count: i32, base: i64, out: &mut Vec<u8>) -> Result<()> {
    out.clear();
    let mut walk = RecordWalk::new(records, count);
    while let Some((record, bytes)) = walk.next()? {
        let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
        let delta = timestamp.wrapping_sub(base);
        let mut rest = bytes;
        // The record was read a moment ago, by the same rules.
        let fields = read_varint(&mut rest)
            .and_then(|_| rest.split_first())
            .and_then(|(attributes, mut after)| read_varlong(&mut after).map(|_| (*attributes, after)));
        let Some((attributes, after)) = fields else {
            return Err(Error::Malformed("a record without a timestamp".to_owned()));
        };
        let size = 1 + varlong_size(delta) + after.len();
        // Two numbers of at most ten bytes, and an attribute byte, come before.
        reserve(out, 21 + after.len())?;
        write_varlong(out, size as i64);
        out.push(attributes);
        write_varlong(out, delta);
        out.extend_from_slice(after);
    }
    Ok(())
}

fn set_horizon(header: &mut BatchHeader, horizon: Option<i64>) {
    if let Some(horizon) = horizon {
        header.base_timestamp = horizon;
        header.attributes |= DELETE_HORIZON_BIT;
    }
}

fn note_horizon(tally: &mut Tally, header: &BatchHeader, waiting: bool) {
    if waiting && header.has_delete_horizon() {
        let earliest = tally.earliest_horizon.get_or_insert(header.base_timestamp);
        *earliest = header.base_timestamp.min(*earliest);
    }
}

/// Puts header and records together in `out`; returns how many bytes compression took beside it.
fn assemble(
    header: &mut BatchHeader,
    records: &[u8],
    level: Option<(Codec, i32)>,
    out: &mut Vec<u8>,
) -> Result<usize> {
    let codec = header.codec()?;
    out.clear();
    out.resize(HEADER_SIZE, 0);
    let mut beside = 0;
    if codec == Codec::None {
        append(out, records)?;
    } else {
        let level = level.filter(|(of, _)| *of == codec).map(|(_, level)| level);
        let mut encoder = Encoder::new(codec, level, Some(records.len()))?;
        encoder.write(records)?;
        let compressed = encoder.finish()?;
        beside = compressed.capacity();
        append(out, &compressed)?;
    }
    header.batch_length = i32::try_from(out.len() - LENGTH_PREFIX_SIZE)
        .map_err(|_| Error::Malformed(format!("a batch of {} bytes", out.len())))?;
    if let Some(place) = out.first_chunk_mut() {
        header.write_to(place);
    }
    header.crc = crc32c(&out[AT_ATTRIBUTES..]);
    out[AT_CRC..AT_ATTRIBUTES].copy_from_slice(&header.crc.to_be_bytes());
    Ok(beside)
}
