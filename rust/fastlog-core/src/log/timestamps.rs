//! Finding records by timestamp (Kafka: `ListOffsets`, KIP-79, KIP-734).

use std::sync::Arc;

use super::PartitionLog;
use super::segments::holding;
use crate::batch::{BatchView, first_at_or_after, latest_from};
use crate::compression::DecompressionLimit;
use crate::error::{Error, Result};
use crate::memory::zeroed;
use crate::segment::{Extent, HeaderWalk, Located, NO_TIMESTAMP, Segment};

/// A record that was found by its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Its timestamp in milliseconds.
    pub timestamp: i64,
    /// Its offset.
    pub offset: i64,
    /// The leader epoch of its batch, -1 unknown.
    pub leader_epoch: i32,
}

impl PartitionLog {
    /// The first record with a timestamp of at least `timestamp`, below `max_offset`.
    pub fn offset_for_timestamp(&self, timestamp: i64, max_offset: i64) -> Result<Option<TimestampOffset>> {
        self.check_online()?;
        let limit = max_offset.min(self.log_end_offset());
        let segments = self.snapshot();
        let start = self.log_start_offset();
        for segment in &segments[holding(&segments, start).unwrap_or(0)..] {
            if segment.base_offset() >= limit {
                break;
            }
            if self.watched(segment, || segment.largest_timestamp())?.timestamp < timestamp {
                continue;
            }
            let found = self.search_segment(segment, timestamp, start)?;
            if found.is_some() {
                return Ok(found.filter(|found| found.offset < limit));
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp of the log; `None` when no record has a timestamp.
    pub fn max_timestamp_offset(&self) -> Result<Option<TimestampOffset>> {
        self.check_online()?;
        let segments = self.snapshot();
        let start = self.log_start_offset();
        let segments = &segments[holding(&segments, start).unwrap_or(0)..];
        let Some((timestamp, segment)) = self.latest_segment(segments)? else {
            return Ok(None);
        };
        let found = self.search_segment(segment, timestamp, start)?;
        if found.is_some() || segment.base_offset() >= start {
            return Ok(found);
        }
        // It is deleted. This is the first segment, so its other records are compared with those that follow.
        let rest = self.latest_in_segment(segment, start)?;
        match self.latest_segment(&segments[1..])? {
            Some((timestamp, later)) if rest.is_none_or(|rest| rest.timestamp < timestamp) => {
                self.search_segment(later, timestamp, start)
            }
            _ => Ok(rest),
        }
    }

    /// The largest timestamp of `segments`, and the first of them that has it.
    fn latest_segment<'a>(&self, segments: &'a [Arc<Segment>]) -> Result<Option<(i64, &'a Arc<Segment>)>> {
        let mut latest: Option<(i64, &Arc<Segment>)> = None;
        for segment in segments {
            let largest = self.watched(segment, || segment.largest_timestamp())?.timestamp;
            if largest > latest.map_or(NO_TIMESTAMP, |(timestamp, _)| timestamp) {
                latest = Some((largest, segment));
            }
        }
        Ok(latest)
    }

    /// The first record in `segment` with the largest timestamp among those from offset `from` on.
    ///
    /// By the headers of the batches, but for the one that `from` lies within.
    fn latest_in_segment(&self, segment: &Arc<Segment>, from: i64) -> Result<Option<TimestampOffset>> {
        let extent = segment.extent();
        let Some(first) = self.watched(segment, || segment.find(from, extent))? else {
            return Ok(None);
        };
        let mut largest = NO_TIMESTAMP;
        let mut holder = None;
        let mut walk = HeaderWalk::new(&**segment.log(), first.position, extent.size);
        let mut expected = first.header.base_offset;
        while let Some(batch) = self.next_sound(segment, &mut walk, expected)? {
            expected = batch.header.next_offset();
            if batch.header.max_timestamp <= largest {
                continue;
            }
            let found = if batch.header.base_offset < from {
                read_batch(segment, &batch, |view, limit| latest_from(view, from, limit))?
                    .map_or(NO_TIMESTAMP, |found| found.timestamp)
            } else {
                batch.header.max_timestamp
            };
            if found > largest && batch.header.record_count != 0 {
                largest = found;
                holder = Some(batch);
            }
        }
        match holder {
            Some(batch) => search_batch(segment, &batch, largest, from),
            None => Ok(None),
        }
    }

    /// The next batch of a walk. Neither a header nor a record is believed before the batch is known to be sound.
    fn next_sound(
        &self,
        segment: &Arc<Segment>,
        walk: &mut HeaderWalk<'_>,
        expected: i64,
    ) -> Result<Option<Located>> {
        self.watched(segment, || {
            let next = walk.next(expected)?;
            if let Some(batch) = &next {
                self.ensure_sound(segment, batch.header.base_offset, batch.position, batch.end())?;
            }
            Ok(next)
        })
    }

    /// The first record in `segment` with at least this timestamp and offset.
    fn search_segment(
        &self,
        segment: &Arc<Segment>,
        timestamp: i64,
        from: i64,
    ) -> Result<Option<TimestampOffset>> {
        let extent = segment.extent();
        let position = self.watched(segment, || start_of_search(segment, timestamp, from, extent))?;
        let mut walk = HeaderWalk::new(&**segment.log(), position, extent.size);
        let mut expected = segment.base_offset();
        while let Some(batch) = self.next_sound(segment, &mut walk, expected)? {
            expected = batch.header.next_offset();
            if batch.header.max_timestamp < timestamp || batch.header.last_offset() < from {
                continue;
            }
            if let Some(found) = search_batch(segment, &batch, timestamp, from)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// A batch boundary before the first record with this timestamp, as far in as the time index can tell.
fn start_of_search(segment: &Segment, timestamp: i64, from: i64, extent: Extent) -> Result<u64> {
    // Strictly earlier: an entry with the same timestamp may come after the first record that has it.
    let Some(entry) = segment.time_index().floor(timestamp.saturating_sub(1))? else {
        return Ok(segment
            .find(from, extent)?
            .map_or(extent.size, |batch| batch.position));
    };
    // The index is believed when the batch that it speaks of says the same.
    let position = match segment.find(entry.offset, extent)? {
        Some(batch)
            if batch.header.last_offset() == entry.offset
                && batch.header.max_timestamp == entry.timestamp =>
        {
            batch.position
        }
        _ => 0,
    };
    Ok(position)
}

fn search_batch(
    segment: &Segment,
    batch: &Located,
    timestamp: i64,
    from: i64,
) -> Result<Option<TimestampOffset>> {
    read_batch(segment, batch, |view, limit| {
        first_at_or_after(view, timestamp, from, limit)
    })
}

/// What `look` finds, (timestamp, offset), among the records of a batch.
fn read_batch(
    segment: &Segment,
    batch: &Located,
    look: impl FnOnce(&BatchView<'_>, DecompressionLimit) -> Result<Option<(i64, i64)>>,
) -> Result<Option<TimestampOffset>> {
    let mut bytes = zeroed(batch.header.size())?;
    segment.log().read_exact_at(&mut bytes, batch.position)?;
    let corrupt = |reason: String| Error::Corrupt {
        path: segment.log().path().to_owned(),
        position: batch.position,
        offset: batch.header.base_offset,
        reason,
    };
    let view = BatchView::first(&bytes)?;
    if !view.crc_is_valid() {
        return Err(corrupt("the batch fails its checksum".to_owned()));
    }
    let found = look(&view, DecompressionLimit::default()).map_err(|error| match error {
        Error::Aborted(_) | Error::OutOfMemory(_) => error,
        damage => corrupt(damage.to_string()),
    })?;
    Ok(found.map(|(timestamp, offset)| TimestampOffset {
        timestamp,
        offset,
        leader_epoch: batch.header.partition_leader_epoch,
    }))
}
