//! Transactions that have ended, whose markers may not be replicated: found again in a log that was opened.
//!
//! A producer snapshot has the transactions that are open, and says nothing of those whose markers lie below it. The
//! newest one, with which a log is opened, may lie above the high watermark: it was taken when a segment was full, or
//! at a clean end. What was decided by markers in between is not decided yet: another leader may not have them.

use super::replay::{each_batch, read_marker};
use super::{PartitionLog, lock};
use crate::error::Result;
use crate::producer_state::{ProducerState, snapshot_offsets};

impl PartitionLog {
    /// Takes note of the transactions whose markers lie at or above `high_watermark`: to be called before anybody reads
    /// from a log that was opened, with the high watermark that is kept.
    ///
    /// Reads headers from the high watermark to the newest snapshot; those before it, back to the last snapshot there,
    /// only if there are markers.
    pub fn recall_unreplicated(&self, high_watermark: i64) -> Result<()> {
        self.check_online()?;
        let _layout = lock(&self.layout);
        let _writer = lock(&self.writer);
        let (fs, dir) = (&*self.space.fs, &self.space.dir);
        let end = self.log_end_offset();
        // What comes after it was gone through when the log was opened.
        let newest = snapshot_offsets(fs, dir)?
            .into_iter()
            .rfind(|offset| *offset <= end);
        let Some(known_from) = newest else {
            return Ok(());
        };
        let unknown_from = high_watermark.max(self.log_start_offset());
        if unknown_from >= known_from {
            return Ok(());
        }
        let segments = self.snapshot();
        let mut has_marker = false;
        each_batch(&segments, unknown_from, known_from, |_, batch| {
            has_marker |= batch.header.is_control() && batch.header.has_producer();
            Ok(!has_marker)
        })?;
        if !has_marker {
            return Ok(());
        }
        let expiration_ms = self.config().producer_id_expiration_ms;
        let (mut producers, from) = ProducerState::load_latest(fs, dir, unknown_from, expiration_ms)?;
        let mut ended = Vec::new();
        each_batch(&segments, from, known_from, |segment, batch| {
            if batch.header.has_producer() && batch.header.base_offset >= from {
                let marker = read_marker(segment, batch)?;
                producers.make_room(1)?;
                let completed = producers.record(&batch.header, marker);
                ended.extend(completed.filter(|completed| completed.last_offset >= unknown_from));
            }
            Ok(true)
        })?;
        lock(&self.stability)
            .note_unreplicated(ended.iter().map(|ended| (ended.first_offset, ended.last_offset)));
        Ok(())
    }
}
