//! Planning reads: which bytes of which file answer a fetch.

use std::sync::Arc;

use super::PartitionLog;
use super::segments::holding;
use crate::env::File;
use crate::error::{Error, Result};
use crate::segment::Segment;

/// A stretch of one segment file: whole batches, but for the last one, which may be cut.
#[derive(Debug, Clone)]
pub struct ReadSlice {
    /// The segment's log file. It stays readable after the segment was deleted.
    pub file: Arc<dyn File>,
    /// Byte position of the first batch.
    pub position: u64,
    /// Bytes; 0 when there is nothing to read.
    pub len: usize,
    /// Offset of the first record, which may be below the asked offset; the asked one when `len` is 0.
    pub first_offset: i64,
}

impl ReadSlice {
    /// Copies the bytes into the first `len` bytes of `buf`.
    pub fn read_into(&self, buf: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(&mut buf[..self.len], self.position)
    }
}

impl PartitionLog {
    /// Finds the bytes for a fetch from `offset`.
    ///
    /// At most `max_bytes`; with `min_one_batch` the first batch is given whole even if it is larger,
    /// without it a first batch that does not fit gives nothing. No record at or above `max_offset` is
    /// included, and where that limit ends the slice it ends with a whole batch.
    ///
    /// Fails with [`Error::OffsetOutOfRange`] outside of log start and log end offset.
    pub fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        max_offset: i64,
        min_one_batch: bool,
    ) -> Result<ReadSlice> {
        self.check_online()?;
        // The end first: every segment up to it is in the list that is taken after it.
        let end = self.log_end_offset();
        let segments = self.snapshot();
        let start = self.log_start_offset();
        let first = holding(&segments, offset);
        let (true, Some(first)) = ((start..=end).contains(&offset), first) else {
            return Err(Error::OffsetOutOfRange { offset, start, end });
        };
        let limit = max_offset.min(end);
        if offset < limit {
            for segment in &segments[first..] {
                if let Some(slice) = plan(segment, offset, max_bytes, limit, min_one_batch)? {
                    return Ok(slice);
                }
                if segment.extent().next_offset >= limit {
                    break;
                }
            }
        }
        let segment = &segments[segments.len() - 1];
        Ok(ReadSlice {
            file: Arc::clone(segment.log()),
            position: segment.extent().size,
            len: 0,
            first_offset: offset,
        })
    }

    /// About how many bytes a read of `[offset, max_offset)` would give: never too few, too many by at most
    /// an index interval at each end. Asks the indexes only.
    pub fn available_bytes(&self, offset: i64, max_offset: i64) -> Result<u64> {
        let limit = max_offset.min(self.log_end_offset());
        if offset >= limit {
            return Ok(0);
        }
        let segments = self.snapshot();
        let mut bytes = 0;
        for segment in &segments[holding(&segments, offset).unwrap_or(0)..] {
            if segment.base_offset() >= limit {
                break;
            }
            let extent = segment.extent();
            let from = segment
                .offset_index()
                .floor(offset)?
                .map_or(0, |entry| entry.position.into());
            let to = if limit >= extent.next_offset {
                extent.size
            } else {
                // The batch at the first entry at or above the limit holds it, or lies behind it.
                segment
                    .offset_index()
                    .ceiling(limit)?
                    .map_or(extent.size, |entry| entry.position.into())
            };
            bytes += to.min(extent.size).saturating_sub(from);
        }
        Ok(bytes)
    }
}

/// The part of a read that lies in `segment`; `None` when nothing at or after `offset` does.
fn plan(
    segment: &Arc<Segment>,
    offset: i64,
    max_bytes: usize,
    limit: i64,
    min_one_batch: bool,
) -> Result<Option<ReadSlice>> {
    let extent = segment.extent();
    let Some(first) = segment.find(offset, extent)? else {
        return Ok(None);
    };
    let slice = |len| ReadSlice {
        file: Arc::clone(segment.log()),
        position: first.position,
        len,
        first_offset: if len == 0 {
            offset
        } else {
            first.header.base_offset
        },
    };
    let first_size = first.header.size();
    if first.header.next_offset() > limit || (first_size > max_bytes && !min_one_batch) {
        return Ok(Some(slice(0)));
    }
    let wanted = max_bytes.max(first_size) as u64;
    let end = if limit >= extent.next_offset {
        extent.size
    } else {
        segment.end_below(limit, first, first.position + wanted, extent)?
    };
    Ok(Some(slice((end - first.position).min(wanted) as usize)))
}
