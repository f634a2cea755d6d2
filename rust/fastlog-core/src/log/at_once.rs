//! Appending without a wait: for a thread that must not be held up, as the event loop of a broker.
//!
//! What such an append does besides a small write into the page cache is decided beforehand. Whatever else it would
//! take, or be refused for, is left to [`PartitionLog::append`], which does all of it again from the start.
//!
//! | left to the other way | because |
//! |---|---|
//! | compressed batches, and batches to be compressed | as much work as the client likes |
//! | batches of more than [`MOST_BYTES`] | the same |
//! | a writer that is busy | it holds the lock over a write |
//! | a segment, an epoch, a page of an index or a cut that is due | files are made, read or synced |
//! | a file that the pool has closed | opening it may have another one synced |
//! | `flush.messages` | fsync |
//! | more producers than there is room for | all of them are moved, or looked at |
//! | duplicates, and whatever is refused | rare, and told in words |

use std::sync::TryLockError;
use std::sync::atomic::Ordering;

use super::append::validated;
use super::{AppendInfo, AppendOptions, LogConfig, PartitionLog, Writer, lock};
use crate::batch::{BatchHeader, CompressionPolicy, Validated};
use crate::compression::Codec;
use crate::producer_state::SequenceVerdict;

/// The largest batch that is appended at once. To check and copy so much takes some 10 us.
pub const MOST_BYTES: usize = 32 * 1024;

impl PartitionLog {
    /// Like [`Self::append`], if that takes one small write and no wait; `None`, and nothing is done, otherwise.
    ///
    /// `None` also for what the other way refuses. For batches without a transaction: `options.guard` is not looked at.
    pub fn append_at_once(
        &self,
        records: &[u8],
        leader_epoch: i32,
        options: AppendOptions,
    ) -> Option<AppendInfo> {
        self.check_online().ok()?;
        let config = self.config();
        let header = BatchHeader::parse(records).ok()?;
        if records.len() > MOST_BYTES
            || !is_stored_as_it_is(&header, &config)
            || header.is_control()
            || header.is_transactional()
            || config.flush_messages < i64::MAX
        {
            return None;
        }
        let now_ms = self.clock.now_ms();
        let batch = validated(records, &config, options, now_ms).ok()?;
        let mut guard = match self.writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let writer = &mut *guard;
        // Again: whoever held the lock may have found that the log has failed.
        self.check_online().ok()?;
        if !self.takes_at_once(writer, &batch, leader_epoch, &config, now_ms) {
            return None;
        }
        let standing = lock(&self.stability).standing(&batch.info, None);
        match writer.producers.check(&batch.info, options.origin, standing) {
            Ok(SequenceVerdict::Append) => {}
            _ => return None,
        }
        writer.pass_fence(leader_epoch).ok()?;
        let info = self
            .append_checked(writer, batch, None, leader_epoch, &config, now_ms)
            .ok()?;
        // Nothing is ever due by this count, which is that of another configuration to come.
        writer.note_unflushed(info.last_offset - info.first_offset + 1, i64::MAX);
        Some(info)
    }

    fn takes_at_once(
        &self,
        writer: &Writer,
        batch: &Validated<'_>,
        leader_epoch: i32,
        config: &LogConfig,
        now_ms: i64,
    ) -> bool {
        let mut header = batch.info;
        header.base_offset = writer.active.extent().next_offset;
        leader_epoch >= writer.fence
            && leader_epoch <= self.latest_epoch.load(Ordering::Acquire)
            && writer.unfinished_cut.is_none()
            && header
                .base_offset
                .checked_add(header.record_count.into())
                .is_some()
            && !writer.must_roll(batch.size() as u64, &header, config, now_ms)
            && writer.active.takes_at_once(config.index_interval_bytes)
            && (!header.has_producer() || writer.producers.has_room())
    }
}

/// Whether a batch is neither compressed nor about to be.
fn is_stored_as_it_is(header: &BatchHeader, config: &LogConfig) -> bool {
    let stays = match config.compression {
        CompressionPolicy::Producer => true,
        CompressionPolicy::Codec(codec, _) => codec == Codec::None,
    };
    stays && matches!(header.codec(), Ok(Codec::None))
}
