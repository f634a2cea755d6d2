//! Making the log durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{PartitionLog, Writer, lock};
use crate::error::Result;

impl PartitionLog {
    /// Makes everything below `up_to` (by default all that was appended before the call) durable and
    /// returns the recovery point, below which nothing can be lost any more.
    ///
    /// Appends go on meanwhile. A failed fsync takes the log offline: what it failed on may be gone although the
    /// next fsync succeeds. What passes, such as a lack of descriptors, leaves all of it to the next flush.
    pub fn flush(&self, up_to: Option<i64>) -> Result<i64> {
        self.check_online()?;
        let _exclusive = lock(&self.flushing);
        self.check_online()?;
        if up_to.is_some_and(|offset| offset <= self.recovery_point()) {
            return Ok(self.recovery_point());
        }
        // In this order: everything below `end` is in the sealed segments or in the active one seen here.
        let bytes = self.appended_bytes.load(Ordering::Acquire);
        let end = self.log_end_offset();
        let segments = self.snapshot();
        let sealed = lock(&self.sealed).clone();
        self.guard((|| {
            for segment in &sealed {
                segment.sync(true)?;
            }
            self.sync_snapshots()?;
            if self.directory_changed.swap(false, Ordering::AcqRel)
                && let Err(error) = self.space.fs.sync_dir(&self.space.dir)
            {
                self.directory_changed.store(true, Ordering::Release);
                return Err(error);
            }
            match segments.last() {
                Some(active) if end > self.recovery_point() => active.sync(false),
                _ => Ok(()),
            }
        })())?;
        lock(&self.sealed).retain(|segment| !sealed.iter().any(|done| Arc::ptr_eq(done, segment)));
        self.flushed_bytes.fetch_max(bytes, Ordering::AcqRel);
        self.recovery_point.fetch_max(end, Ordering::AcqRel);
        Ok(self.recovery_point())
    }

    /// Flushes when `due` records have made that due. When it fails it is due again with the next record.
    pub(super) fn flush_due(&self, due: Option<i64>) -> Result<()> {
        let Some(records) = due else {
            return Ok(());
        };
        self.flush(None).map(drop).inspect_err(|_| {
            let mut writer = lock(&self.writer);
            writer.unflushed_records = writer.unflushed_records.saturating_add(records);
        })
    }

    /// Moves the recovery point back to the log end after the log was cut.
    pub(super) fn lower_recovery_point(&self, end: i64) {
        self.recovery_point.fetch_min(end, Ordering::AcqRel);
    }
}

impl Writer {
    /// Counts `records` that were appended. Gives those since the last flush when `flush.messages` asks for another.
    pub(super) fn note_unflushed(&mut self, records: i64, flush_messages: i64) -> Option<i64> {
        self.unflushed_records = self.unflushed_records.saturating_add(records);
        (self.unflushed_records >= flush_messages).then(|| {
            self.flush_promised_below = self.active.extent().next_offset;
            std::mem::take(&mut self.unflushed_records)
        })
    }
}
