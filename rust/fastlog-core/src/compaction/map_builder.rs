//! Reading the dirty part into the map of keys (Kafka: `Cleaner.buildOffsetMap`).

use crate::batch::BatchView;
use crate::compaction::keyed_hash::KeyHash;
use crate::compaction::offset_map::OffsetMap;
use crate::compaction::records::{CHUNK, RecordBuffer, RecordWalk};
use crate::compression::DecompressionLimit;
use crate::error::Result;

/// Fills a map batch by batch.
#[derive(Debug)]
pub struct MapBuilder {
    map: OffsetMap,
    buffer: RecordBuffer,
    limit: DecompressionLimit,
    records: u64,
}

impl MapBuilder {
    /// Fills `map`, from batches that do not decompress to more than `limit`.
    pub fn new(map: OffsetMap, limit: DecompressionLimit) -> Self {
        Self {
            map,
            buffer: RecordBuffer::default(),
            limit,
            records: 0,
        }
    }

    /// Adds the keys of the records at and after the offset `from`.
    ///
    /// Returns the offset of the first record for which the map had no room: all before it are in. Fails with
    /// [`crate::Error::Malformed`] or [`crate::Error::Compression`] when the batch is damaged,
    /// with [`crate::Error::OutOfMemory`] or [`crate::Error::Aborted`] when there is no room for it.
    pub fn add(&mut self, batch: &BatchView<'_>, from: i64) -> Result<Option<i64>> {
        let header = batch.header();
        let bytes = self.buffer.open(batch, self.limit)?;
        let mut walk = RecordWalk::new(bytes, header.record_count);
        let mut keys: [(KeyHash, i64); CHUNK] = [([0; 2], 0); CHUNK];
        loop {
            let mut count = 0;
            let mut touched = 0;
            let mut at_end = false;
            while count < CHUNK {
                let Some((record, _)) = walk.next()? else {
                    at_end = true;
                    break;
                };
                self.records += 1;
                let offset = header.base_offset.saturating_add(i64::from(record.offset_delta));
                if let Some(key) = record.key
                    && offset >= from
                {
                    let hash = self.map.hash(key);
                    touched |= self.map.touch(hash);
                    keys[count] = (hash, offset);
                    count += 1;
                }
            }
            // Keeps the loads of `touch` from being left out.
            std::hint::black_box(touched);
            for (hash, offset) in &keys[..count] {
                if !self.map.put(*hash, *offset) {
                    return Ok(Some(*offset));
                }
            }
            if at_end {
                return Ok(None);
            }
        }
    }

    /// Records that were looked at.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of the buffers, the map aside.
    pub fn memory_bytes(&self) -> usize {
        self.buffer.memory_bytes()
    }

    /// The map.
    pub fn finish(self) -> OffsetMap {
        self.map
    }
}
