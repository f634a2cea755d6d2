//! Appending as a leader: validate, decide the offsets, write, index, publish.

use std::io::IoSlice;
use std::sync::atomic::Ordering;

use super::{LogConfig, PartitionLog, Writer, lock};
use crate::batch::{
    AppendOrigin, BatchHeader, ControlMarker, Rejection, Validated, control_marker, read_records,
    validate_for_append,
};
use crate::compression::DecompressionLimit;
use crate::error::{Error, ErrorCode, Result};
use crate::producer_state::SequenceVerdict;

/// How a batch is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendOptions {
    /// Whether the client's version of the protocol knows zstd.
    pub zstd_allowed: bool,
    /// Who appends.
    pub origin: AppendOrigin,
    /// The guard of [`PartitionLog::begin_verification`], 0 where it gave none: a transactional batch is taken if its
    /// transaction is open, or with the guard that is in force. `None` takes it without verification.
    pub guard: Option<u64>,
    /// The marker's transaction was one of `transaction.version` 2: its producer's epoch was raised for this end.
    pub raised_epoch: bool,
}

impl Default for AppendOptions {
    fn default() -> Self {
        Self {
            zstd_allowed: true,
            origin: AppendOrigin::Client,
            guard: None,
            raised_epoch: false,
        }
    }
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of the first record.
    pub first_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// The time that the broker gave the records, -1 when they keep the producer's.
    pub log_append_time: i64,
    /// Log start offset at the time.
    pub log_start_offset: i64,
    /// Nothing was appended because the batch was appended earlier; the offsets are those of then.
    pub duplicate: bool,
    /// Offset after the last record: once everything below it is durable, so is the batch.
    pub end_offset: i64,
    /// Bytes that the log grew by.
    pub bytes: u64,
}

/// Why a batch is not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing was appended: the batch is at fault.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Nothing was appended: the disk, or the state of the log, is at fault.
    #[error(transparent)]
    Failed(#[from] Error),
    /// It is in the log, and could not be made durable where `flush.messages` promises that.
    #[error("{error}")]
    Unflushed {
        /// What kept it from that.
        error: Error,
        /// Where it is.
        info: AppendInfo,
    },
}

impl PartitionLog {
    /// Appends one batch, the bytes of one partition of a Produce request, as the leader of `leader_epoch`.
    ///
    /// `records` is neither changed nor copied: a header of its own goes to disk with the caller's body in
    /// one vectored write. Fails with [`Error::Fenced`] when another epoch has begun since.
    pub fn append(
        &self,
        records: &[u8],
        leader_epoch: i32,
        options: AppendOptions,
    ) -> Result<AppendInfo, AppendError> {
        self.check_online()?;
        let config = self.config();
        let now_ms = self.clock.now_ms();
        // Before the lock: producers of one partition validate side by side.
        let batch = validated(records, &config, options, now_ms)?;
        let marker = marker_of(records, &batch.info);

        let mut guard = self.settled_writer()?;
        let writer = &mut *guard;
        writer.pass_fence(leader_epoch)?;
        let standing = lock(&self.stability).standing(&batch.info, options.guard);
        if let SequenceVerdict::Duplicate {
            first_offset,
            last_offset,
            timestamp,
        } = writer.producers.check(&batch.info, options.origin, standing)?
        {
            let promised = writer.flush_promised_below > last_offset;
            drop(guard);
            let info = AppendInfo {
                first_offset,
                last_offset,
                log_append_time: if batch.log_append_time < 0 { -1 } else { timestamp },
                log_start_offset: self.log_start_offset(),
                duplicate: true,
                end_offset: last_offset + 1,
                bytes: 0,
            };
            if promised {
                // Whoever sent it first may have been told that this failed, or nothing yet.
                self.flush(Some(info.end_offset))
                    .map_err(|error| AppendError::Unflushed { error, info })?;
            }
            return Ok(info);
        }
        if let Some(marker) = &marker {
            writer
                .producers
                .check_marker(&batch.info, marker, options.raised_epoch)?;
        }
        let info = self.append_checked(writer, batch, marker, leader_epoch, &config, now_ms)?;
        let due = writer.note_unflushed(info.last_offset - info.first_offset + 1, config.flush_messages);
        drop(guard);
        self.flush_due(due)
            .map_err(|error| AppendError::Unflushed { error, info })?;
        Ok(info)
    }

    /// Appends a batch that was found right, fence and sequence included.
    pub(super) fn append_checked(
        &self,
        writer: &mut Writer,
        mut batch: Validated<'_>,
        marker: Option<ControlMarker>,
        leader_epoch: i32,
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        if batch.info.has_producer() {
            writer.producers.make_room(1)?;
        }
        let first_offset = writer.active.extent().next_offset;
        check_offsets_left(first_offset, &batch.info)?;
        self.enter_epoch(leader_epoch, first_offset)?;
        batch.stamp(first_offset, leader_epoch);
        let written = self.write_batch(writer, &batch, config, now_ms);
        let is_full = matches!(written, Err(Error::NoSpace { .. }));
        if self.is_out_of_room() != is_full {
            self.out_of_room.store(is_full, Ordering::Relaxed);
        }
        self.guard(written)?;
        self.guard(self.note_appended(writer, &batch.info, marker, config.index_interval_bytes))?;
        writer.active.publish();
        self.publish_end(writer);

        let info = AppendInfo {
            first_offset,
            last_offset: batch.info.last_offset(),
            log_append_time: batch.log_append_time,
            log_start_offset: self.log_start_offset(),
            duplicate: false,
            end_offset: batch.info.next_offset(),
            bytes: batch.size() as u64,
        };
        self.appended_bytes.fetch_add(info.bytes, Ordering::AcqRel);
        Ok(info)
    }

    fn write_batch(
        &self,
        writer: &mut Writer,
        batch: &Validated<'_>,
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<()> {
        self.roll_if_due(writer, batch.size() as u64, &batch.info, config, now_ms)?;
        writer
            .active
            .write(&mut [IoSlice::new(&batch.header), IoSlice::new(&batch.body)])
    }

    /// Producer state and index entries of a batch that was just written. Nothing here fails in a way that passes: the
    /// batch is in the log, and whoever sends it again has to be told so.
    pub(super) fn note_appended(
        &self,
        writer: &mut Writer,
        header: &BatchHeader,
        marker: Option<ControlMarker>,
        index_interval: u64,
    ) -> Result<()> {
        let completed = writer.producers.record(header, marker);
        if header.is_transactional() || completed.is_some() {
            lock(&self.stability).note(header, completed.as_ref());
        }
        writer.active.note_batch(header, index_interval)?;
        match completed {
            Some(completed) if completed.aborted => {
                writer.active.segment().transactions().append(completed.into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn publish_end(&self, writer: &Writer) {
        self.log_end_offset
            .store(writer.active.extent().next_offset, Ordering::Release);
    }
}

/// The batch that is to be appended, if the rules of the topic allow it.
pub(super) fn validated<'a>(
    records: &'a [u8],
    config: &LogConfig,
    options: AppendOptions,
    now_ms: i64,
) -> Result<Validated<'a>, Rejection> {
    let rules = config.append_rules(options.zstd_allowed, options.origin);
    let batch = validate_for_append(records, &rules, now_ms)?;
    if options.origin == AppendOrigin::Client {
        check_fits(batch.size() as u64, config.segment_bytes)?;
    }
    Ok(batch)
}

/// A producer's batch has to fit into one segment (`UnifiedLog.append`): it is told before its sequence is looked at,
/// and of the size that the batch is stored with.
fn check_fits(size: u64, segment_bytes: u64) -> Result<(), Rejection> {
    if size <= segment_bytes {
        return Ok(());
    }
    let message =
        format!("the batch has {size} bytes, more than the maximum segment size of {segment_bytes}");
    Err(Rejection::new(ErrorCode::RecordListTooLarge, message))
}

/// A log at the end of all offsets takes no batch that has none for each record, and for its own end.
fn check_offsets_left(first_offset: i64, batch: &BatchHeader) -> Result<(), Rejection> {
    if first_offset.checked_add(batch.record_count.into()).is_some() {
        return Ok(());
    }
    let message = format!("no offsets are left behind {first_offset} for the batch");
    Err(Rejection::new(ErrorCode::InvalidRequest, message))
}

/// The transaction marker in a control batch.
pub(super) fn marker_of(batch: &[u8], header: &BatchHeader) -> Option<ControlMarker> {
    if !header.is_control() {
        return None;
    }
    // Markers are a few dozen bytes and never compressed; a batch that is neither has no marker to give.
    let limit = DecompressionLimit::for_topic(0);
    let records = read_records(batch, limit).ok()?;
    let record = records.iter().next()?.ok()?;
    control_marker(record.key, record.value)
}
