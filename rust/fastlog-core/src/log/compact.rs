//! Compaction of one log.

use super::PartitionLog;
use crate::compaction::{CompactionOptions, CompactionReport, CompactionState};
use crate::error::{Error, Result};

impl PartitionLog {
    /// What there is to compact. `clean_from` is the cleaner checkpoint, -1 when there is none.
    pub fn compaction_state(
        &self,
        clean_from: i64,
        max_offset: i64,
        now_ms: i64,
        min_lag_ms: i64,
        max_lag_ms: i64,
    ) -> Result<CompactionState> {
        let _ = (clean_from, max_offset, now_ms, min_lag_ms, max_lag_ms);
        self.check_online()?;
        Err(Error::Aborted("compaction is not there yet".to_owned()))
    }

    /// Keeps the last record of each key in everything that may be cleaned.
    pub fn compact(&self, options: &CompactionOptions) -> Result<CompactionReport> {
        let _ = options;
        self.check_online()?;
        Err(Error::Aborted("compaction is not there yet".to_owned()))
    }

    /// Interrupts the compaction that is running and waits until it has ended.
    pub fn stop_compaction(&self) {}
}
