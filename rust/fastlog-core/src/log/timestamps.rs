//! Finding records by timestamp (Kafka: `ListOffsets`, KIP-79, KIP-734).

use std::sync::Arc;

use super::PartitionLog;
use super::segments::holding;
use crate::batch::{BatchView, Records};
use crate::compression::DecompressionLimit;
use crate::error::{Error, Result};
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
            if segment.largest_timestamp()?.timestamp < timestamp {
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
        let mut best: Option<(i64, &Arc<Segment>)> = None;
        for segment in &segments[holding(&segments, start).unwrap_or(0)..] {
            let largest = segment.largest_timestamp()?.timestamp;
            if largest > best.map_or(NO_TIMESTAMP, |(timestamp, _)| timestamp) {
                best = Some((largest, segment));
            }
        }
        match best {
            Some((timestamp, segment)) => self.search_segment(segment, timestamp, start),
            None => Ok(None),
        }
    }

    /// The first record in `segment` with at least this timestamp and offset.
    fn search_segment(
        &self,
        segment: &Segment,
        timestamp: i64,
        from: i64,
    ) -> Result<Option<TimestampOffset>> {
        let extent = segment.extent();
        let limit = DecompressionLimit::for_topic(self.config().max_message_bytes);
        let position = start_of_search(segment, timestamp, from, extent)?;
        let mut walk = HeaderWalk::new(&**segment.log(), position, extent.size);
        let mut expected = segment.base_offset();
        while let Some(batch) = walk.next(expected)? {
            expected = batch.header.next_offset();
            if batch.header.max_timestamp < timestamp || batch.header.last_offset() < from {
                continue;
            }
            if let Some(found) = search_batch(segment, &batch, timestamp, from, limit)? {
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
    limit: DecompressionLimit,
) -> Result<Option<TimestampOffset>> {
    let mut bytes = vec![0; batch.header.size()];
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
    let records = Records::decode(&view, limit).map_err(|error| corrupt(error.to_string()))?;
    for record in &records {
        let record = record.map_err(|error| corrupt(error.to_string()))?;
        if record.timestamp >= timestamp && record.offset >= from {
            return Ok(Some(TimestampOffset {
                timestamp: record.timestamp,
                offset: record.offset,
                leader_epoch: batch.header.partition_leader_epoch,
            }));
        }
    }
    Ok(None)
}
