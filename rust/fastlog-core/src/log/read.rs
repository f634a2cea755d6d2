//! Planning reads: which bytes of which file answer a fetch.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::PartitionLog;
use super::segments::holding;
use super::stability::aborted_in;
use crate::cause::Cause;
use crate::env::File;
use crate::error::{Error, Result};
use crate::segment::{Extent, Located, Segment};
use crate::txn_index::AbortedTxn;

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
    /// What was read ends at or before this offset: exact where a segment ends, else as far as the index tells.
    pub upper_offset: i64,
    /// The read may go on in a later segment: how many bytes are left in this one says little.
    pub goes_on: bool,
    /// Set once a file of the log could not be read while it was sent. From then on its records are better read into
    /// memory first: an error then costs an error code, and not the connection again and again.
    pub send_failed: Arc<AtomicBool>,
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
    /// The batches are checked when they are read for the first time since the log was opened; damage takes the log
    /// offline. Fails with [`Error::OffsetOutOfRange`] outside of log start and log end offset.
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
        self.read_in(
            &self.snapshot(),
            end,
            offset,
            max_bytes,
            max_offset,
            min_one_batch,
        )
    }

    /// Like [`Self::read`], with the aborted transactions that touch what was found, in the order of their markers.
    ///
    /// Both are of the same segments: records of one that retention deletes meanwhile can still be read, so what is known
    /// of their transactions must not go with it.
    pub fn read_committed(
        &self,
        offset: i64,
        max_bytes: usize,
        max_offset: i64,
        min_one_batch: bool,
    ) -> Result<(ReadSlice, Vec<AbortedTxn>)> {
        self.check_online()?;
        let end = self.log_end_offset();
        let segments = self.snapshot();
        let slice = self.read_in(&segments, end, offset, max_bytes, max_offset, min_one_batch)?;
        let aborted = if slice.len == 0 {
            Vec::new()
        } else {
            aborted_in(&segments, offset, slice.upper_offset)
        };
        Ok((slice, aborted))
    }

    fn read_in(
        &self,
        segments: &[Arc<Segment>],
        end: i64,
        offset: i64,
        max_bytes: usize,
        max_offset: i64,
        min_one_batch: bool,
    ) -> Result<ReadSlice> {
        let start = self.log_start_offset();
        let first = holding(segments, offset);
        let (true, Some(first)) = ((start..=end).contains(&offset), first) else {
            return Err(Error::OffsetOutOfRange { offset, start, end });
        };
        let limit = max_offset.min(end);
        if offset < limit {
            for (index, segment) in segments.iter().enumerate().skip(first) {
                let found = self.watched(segment, || {
                    let Some((slice, first)) = plan(
                        segment,
                        &self.send_failed,
                        offset,
                        max_bytes,
                        limit,
                        min_one_batch,
                    )?
                    else {
                        return Ok(None);
                    };
                    let mut end = slice.position + slice.len as u64;
                    if first.header.next_offset() > limit {
                        // Nothing is given, for good: is it true that the batch goes so far?
                        end = first.end();
                    }
                    self.ensure_sound(segment, offset, slice.position, end)?;
                    Ok(Some(slice))
                });
                if let Some(slice) = self.note_unreadable(segment, found)? {
                    let later = segments.get(index + 1);
                    let goes_on = later.is_some_and(|later| later.base_offset() < limit);
                    return Ok(ReadSlice { goes_on, ..slice });
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
            upper_offset: offset,
            goes_on: false,
            send_failed: Arc::clone(&self.send_failed),
        })
    }

    /// Whether a read of `[offset, max_offset)` begins in an older segment than the one it ends in.
    pub fn spans_segments(&self, offset: i64, max_offset: i64) -> bool {
        let limit = max_offset.min(self.log_end_offset());
        let segments = self.snapshot();
        offset < limit && holding(&segments, offset) != holding(&segments, limit - 1)
    }

    /// Takes the log offline when the file of a segment that is part of it cannot be opened any more. An error of the
    /// disk is left to the reader: the next read may be of other sectors.
    fn note_unreadable<T>(&self, segment: &Arc<Segment>, result: Result<T>) -> Result<T> {
        match result {
            Err(error)
                if error.cause() == Some(Cause::File)
                    && self.snapshot().iter().any(|listed| Arc::ptr_eq(listed, segment)) =>
            {
                self.guard(Err(error))
            }
            other => other,
        }
    }

    /// About how many bytes a read of `[offset, max_offset)` would give: never too few, too many by at most
    /// an index interval at each end. Asks the indexes only; `None` when one of them is not in memory, as whoever asks
    /// must not wait for the disk. A read gets it there.
    pub fn available_bytes(&self, offset: i64, max_offset: i64) -> Result<Option<u64>> {
        let limit = max_offset.min(self.log_end_offset());
        if offset >= limit {
            return Ok(Some(0));
        }
        let segments = self.snapshot();
        let mut bytes = 0;
        for segment in &segments[holding(&segments, offset).unwrap_or(0)..] {
            if segment.base_offset() >= limit {
                break;
            }
            if !segment.offset_index().is_at_hand() {
                return Ok(None);
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
        Ok(Some(bytes))
    }
}

/// The part of a read that lies in `segment`, and its first batch; `None` when nothing at or after `offset` does.
fn plan(
    segment: &Arc<Segment>,
    send_failed: &Arc<AtomicBool>,
    offset: i64,
    max_bytes: usize,
    limit: i64,
    min_one_batch: bool,
) -> Result<Option<(ReadSlice, Located)>> {
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
        upper_offset: offset,
        goes_on: false,
        send_failed: Arc::clone(send_failed),
    };
    let first_size = first.header.size();
    if first.header.next_offset() > limit || (first_size > max_bytes && !min_one_batch) {
        return Ok(Some((slice(0), first)));
    }
    let wanted = max_bytes.max(first_size) as u64;
    let end = if limit >= extent.next_offset {
        extent.size
    } else {
        segment.end_below(limit, first, first.position + wanted, extent)?
    };
    let len = (end - first.position).min(wanted);
    let upper_offset = upper_offset(segment, first.position + len, extent).min(limit);
    let slice = slice(len as usize);
    Ok(Some((
        ReadSlice {
            upper_offset,
            ..slice
        },
        first,
    )))
}

/// An offset that everything before `position` lies below. An index that cannot be read costs precision alone.
fn upper_offset(segment: &Segment, position: u64, extent: Extent) -> i64 {
    let behind = match u32::try_from(position) {
        Ok(position) if u64::from(position) < extent.size => {
            segment.offset_index().ceiling_position(position).ok().flatten()
        }
        _ => None,
    };
    behind.map_or(extent.next_offset, |entry| entry.offset)
}
