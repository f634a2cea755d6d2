//! Appending as a follower: batches as the leader stamped them.

use std::io::IoSlice;
use std::sync::atomic::Ordering;

use super::append::marker_of;
use super::{AppendError, AppendInfo, LogConfig, PartitionLog, Writer};
use crate::batch::{BatchHeader, BatchView, HEADER_SIZE, Rejection};
use crate::error::{Error, ErrorCode, Result};
use crate::segment::implausible;

impl PartitionLog {
    /// Appends the batches of a fetch from the leader, offsets and epochs as they are. A batch that is cut off
    /// at the end is left out. `leader_epoch` is that of the leader which was asked: fails with [`Error::Fenced`] when
    /// another one has begun since.
    ///
    /// Offsets must rise from the log end offset on; gaps are what compaction left on the leader. An empty log may
    /// end inside the first batch, where the leader's records were deleted up to there: it then begins with that batch.
    pub fn append_as_follower(&self, records: &[u8], leader_epoch: i32) -> Result<AppendInfo, AppendError> {
        self.check_online()?;
        let batches = sound_batches(records)?;
        let begins_anew = self.begin_with(&batches, leader_epoch)?;
        let config = self.config();
        let now_ms = self.clock.now_ms();

        let mut guard = loop {
            let mut guard = self.settled_writer()?;
            guard.pass_fence(leader_epoch)?;
            match self.check_order(&batches, guard.active.extent().next_offset, leader_epoch)? {
                // The leader's log was compacted. Nobody has to wait while that is written down.
                Some(hole_end) if !self.compaction.allows_holes_below(hole_end) => {
                    drop(guard);
                    self.allow_holes_below(hole_end)?;
                }
                _ => break guard,
            }
        };
        let writer = &mut *guard;
        let start = writer.active.extent().next_offset;
        let mut left = &batches[..];
        let (mut bytes, mut records) = (0, 0);
        while !left.is_empty() {
            let written = self.append_run(writer, left, &config, now_ms);
            let is_full = matches!(written, Err(Error::NoSpace { .. }));
            if self.is_out_of_room() != is_full {
                self.out_of_room.store(is_full, Ordering::Relaxed);
            }
            let count = self.guard(written)?;
            let (run, rest) = left.split_at(count);
            left = rest;
            for batch in run {
                bytes += batch.bytes().len() as u64;
                records += i64::from(batch.header().record_count);
            }
        }
        self.appended_bytes.fetch_add(bytes, Ordering::AcqRel);
        let due = writer.note_unflushed(records, config.flush_messages);
        let end_offset = writer.active.extent().next_offset;
        drop(guard);
        self.flush_due(due)?;
        if begins_anew {
            // The recovery point that is on the disk was the end before: it must not lie beyond the new one.
            self.flush(None)?;
        }
        Ok(AppendInfo {
            first_offset: batches.first().map_or(start, |batch| batch.header().base_offset),
            last_offset: end_offset - 1,
            log_append_time: -1,
            log_start_offset: self.log_start_offset(),
            duplicate: false,
            end_offset,
            bytes,
        })
    }

    /// Moves the end of an empty log that lies inside the first of the batches to its base; whether it did.
    fn begin_with(&self, batches: &[BatchView<'_>], leader_epoch: i32) -> Result<bool> {
        let end = self.log_end_offset();
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
            return Ok(false);
        };
        let (base, last) = (first.header().base_offset, last.header().last_offset());
        let begins_anew = self.log_start_offset() == end && (0..end).contains(&base) && last >= end;
        if begins_anew {
            self.start_over_as_follower(base, leader_epoch)?;
        }
        Ok(begins_anew)
    }

    /// Whether all of the batches may come after `start`, one after the other, from a leader of `leader_epoch`. Returns
    /// where the last of the holes between them ends.
    fn check_order(&self, batches: &[BatchView<'_>], start: i64, leader_epoch: i32) -> Result<Option<i64>> {
        let mut hole_end = None;
        let mut expected = start;
        let mut epoch = self.latest_epoch.load(Ordering::Acquire);
        for batch in batches {
            let header = batch.header();
            if let Some(reason) = implausible(header, expected, header.size() as u64) {
                return Err(Error::InvalidArgument(format!(
                    "batch at offset {}: {reason}",
                    header.base_offset
                )));
            }
            if (0..epoch).contains(&header.partition_leader_epoch) {
                return Err(Error::InvalidArgument(format!(
                    "batch at offset {} of leader epoch {} after epoch {epoch}",
                    header.base_offset, header.partition_leader_epoch
                )));
            }
            if header.partition_leader_epoch > leader_epoch {
                return Err(Error::InvalidArgument(format!(
                    "batch at offset {} of leader epoch {} from a leader of epoch {leader_epoch}",
                    header.base_offset, header.partition_leader_epoch
                )));
            }
            if header.base_offset > expected {
                hole_end = Some(header.base_offset);
            }
            expected = header.next_offset();
            epoch = epoch.max(header.partition_leader_epoch);
        }
        Ok(hole_end)
    }

    /// Writes as many of the batches as one segment takes, with one system call; returns how many.
    fn append_run(
        &self,
        writer: &mut Writer,
        batches: &[BatchView<'_>],
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<usize> {
        let mut bytes = Vec::with_capacity(batches.len());
        let mut size = 0;
        for batch in batches {
            let header = batch.header();
            size += header.size() as u64;
            if bytes.is_empty() {
                self.roll_if_due(writer, size, header, config, now_ms)?;
            } else if writer.must_roll(size, header, config, now_ms) {
                break;
            }
            self.enter_epoch(header.partition_leader_epoch, header.base_offset)?;
            bytes.push(IoSlice::new(batch.bytes()));
        }
        let count = bytes.len();
        let producers = batches[..count]
            .iter()
            .filter(|batch| batch.header().has_producer());
        writer.producers.make_room(producers.count())?;
        writer.active.write(&mut bytes)?;
        for batch in &batches[..count] {
            let marker = marker_of(batch.bytes(), batch.header());
            self.note_appended(writer, batch.header(), marker, config.index_interval_bytes)?;
        }
        writer.active.publish();
        self.publish_end(writer);
        Ok(count)
    }
}

/// The whole batches of `records`, whose checksums hold.
fn sound_batches(records: &[u8]) -> Result<Vec<BatchView<'_>>, AppendError> {
    let mut batches = Vec::new();
    let mut rest = records;
    while rest.len() >= HEADER_SIZE && BatchHeader::parse(rest)?.size() <= rest.len() {
        let batch = BatchView::first(rest)?;
        if !batch.crc_is_valid() {
            return Err(AppendError::Rejected(Rejection::new(
                ErrorCode::CorruptMessage,
                format!(
                    "the batch at offset {} fails its checksum",
                    batch.header().base_offset
                ),
            )));
        }
        rest = &rest[batch.bytes().len()..];
        batches.push(batch);
    }
    Ok(batches)
}
