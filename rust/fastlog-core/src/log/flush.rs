//! Making the log durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{PartitionLog, lock};
use crate::error::Result;

impl PartitionLog {
    /// Makes everything below `up_to` (by default all that was appended before the call) durable and
    /// returns the recovery point, below which nothing can be lost any more.
    ///
    /// Appends go on meanwhile. An error takes the log offline: what an fsync failed on may be gone although
    /// the next fsync succeeds.
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
            if self.directory_changed.swap(false, Ordering::AcqRel) {
                self.space.fs.sync_dir(&self.space.dir)?;
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

    /// Moves the recovery point back to the log end after the log was cut.
    pub(super) fn lower_recovery_point(&self, end: i64) {
        self.recovery_point.fetch_min(end, Ordering::AcqRel);
    }
}
