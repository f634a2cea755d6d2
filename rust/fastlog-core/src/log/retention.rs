//! Deleting old segments (Kafka: `UnifiedLog.deleteOldSegments`).

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::{LogConfig, PartitionLog, lock};
use crate::env::File;
use crate::error::{Result, is_not_found};
use crate::segment::{NO_TIMESTAMP, Segment};

/// Why a segment was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionReason {
    /// All of its records are older than `retention.ms`.
    Time,
    /// The log is larger than `retention.bytes`.
    Size,
    /// All of its records are below the log start offset.
    StartOffset,
}

/// A segment that retention deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletedSegment {
    /// Its base offset.
    pub base_offset: i64,
    /// Bytes of its log file.
    pub size: u64,
    /// Why it was deleted.
    pub reason: DeletionReason,
}

/// Renamed files of one segment that wait to be unlinked.
#[derive(Debug)]
pub(super) struct Trash {
    /// When they were renamed, or could last not be unlinked.
    since_ms: i64,
    paths: Vec<PathBuf>,
    /// The log file, if somebody still holds it.
    log: Weak<dyn File>,
}

impl PartitionLog {
    /// Deletes the segments that the configuration does not keep at `now_ms`, oldest first: renames them
    /// now, so that [`Self::purge_deleted`] unlinks them later. The log start offset moves up.
    pub fn apply_retention(&self, now_ms: i64) -> Result<Vec<DeletedSegment>> {
        self.apply_retention_below(now_ms, i64::MAX)
    }

    /// Like [`Self::apply_retention`], but keeps every segment that reaches beyond `limit`: the high watermark.
    pub fn apply_retention_below(&self, now_ms: i64, limit: i64) -> Result<Vec<DeletedSegment>> {
        self.check_online()?;
        let config = self.config();
        // What is deleted can be the only other trace of a producer. Most of it is done before appends have to wait.
        self.guard(self.sync_snapshots())?;
        let _layout = lock(&self.layout);
        let mut writer = lock(&self.writer);
        self.guard(self.settle(&mut writer))?;
        let segments = self.snapshot();
        let mut doomed = self.doomed(&segments, &config, now_ms, limit)?;
        if doomed.is_empty() {
            return Ok(doomed);
        }
        if doomed.len() == segments.len() {
            // The log needs a segment to go on with.
            let end = writer.active.extent().next_offset;
            self.guard(self.roll_to(&mut writer, end, now_ms))?;
        }
        doomed.truncate(self.segment_count() - 1);
        let start = self.snapshot()[doomed.len()].base_offset();
        // Appends go on during the fsyncs. They may add segments, and take none away.
        drop(writer);
        self.guard(self.sync_snapshots())?;
        self.raise_log_start(start)?;
        let _writer = lock(&self.writer);
        let segments = self.snapshot();
        let gone = &segments[..doomed.len()];
        let mut result = Ok(());
        let mut discarded = 0;
        for segment in gone {
            result = self.guard(self.discard(segment));
            if result.is_err() {
                break;
            }
            discarded += 1;
        }
        // What could not be renamed stays in the list, where the next time finds it.
        let kept = &segments[discarded..];
        self.set_segments(kept.to_vec());
        lock(&self.sealed).retain(|segment| segment.base_offset() >= kept[0].base_offset());
        doomed.truncate(discarded);
        result.map(|()| doomed)
    }

    /// Whether [`Self::purge_deleted`] has anything to wait for.
    pub fn has_deleted(&self) -> bool {
        !lock(&self.trash).is_empty()
    }

    /// Unlinks what was renamed at least `file.delete.delay.ms` ago. Returns the number of files.
    ///
    /// A file that cannot be unlinked keeps none of the others: it is tried again after as long a time. The first
    /// error is returned when all is done.
    pub fn purge_deleted(&self, now_ms: i64) -> Result<usize> {
        let delay = self.config().file_delete_delay_ms;
        let due: Vec<Trash> = lock(&self.trash)
            .extract_if(.., |trash| now_ms.saturating_sub(trash.since_ms) >= delay)
            .collect();
        let mut count = 0;
        let mut first_error = Ok(());
        for mut trash in due {
            if let Some(file) = trash.log.upgrade()
                && let Err(error) = file.keep_open()
            {
                // Somebody reads it: its name is the only way for them.
                if error.passes() {
                    first_error = first_error.and(Err(error));
                    self.purge_again(trash, now_ms);
                    continue;
                }
            }
            trash.paths.retain(|path| match self.space.fs.remove_file(path) {
                Err(error) if !is_not_found(&error) => {
                    if first_error.is_ok() {
                        first_error = Err(error);
                    }
                    true
                }
                _ => {
                    count += 1;
                    false
                }
            });
            if !trash.paths.is_empty() {
                self.purge_again(trash, now_ms);
            }
        }
        first_error.map(|()| count)
    }

    fn purge_again(&self, trash: Trash, now_ms: i64) {
        lock(&self.trash).push(Trash {
            since_ms: now_ms,
            ..trash
        });
    }

    /// Takes a segment that is no longer in the list off the disk.
    pub(super) fn discard(&self, segment: &Segment) -> Result<()> {
        let paths = segment.rename_deleted()?;
        self.directory_changed.store(true, Ordering::Release);
        self.purge_later(segment, paths);
        Ok(())
    }

    /// Leaves the renamed files of a segment to [`Self::purge_deleted`].
    pub(super) fn purge_later(&self, segment: &Segment, paths: Vec<PathBuf>) {
        lock(&self.trash).push(Trash {
            since_ms: self.clock.now_ms(),
            paths,
            log: Arc::downgrade(segment.log()),
        });
    }

    /// The oldest segments, as many as are to be deleted.
    fn doomed(
        &self,
        segments: &[Arc<Segment>],
        config: &LogConfig,
        now_ms: i64,
        limit: i64,
    ) -> Result<Vec<DeletedSegment>> {
        let log_start = self.log_start_offset();
        let retention_bytes = u64::try_from(config.retention_bytes)
            .ok()
            .filter(|_| config.delete);
        let retention_ms = Some(config.retention_ms).filter(|ms| *ms >= 0 && config.delete);
        let total: u64 = segments.iter().map(|segment| segment.extent().size).sum();
        let mut excess = retention_bytes.map_or(0, |limit| total.saturating_sub(limit));
        let mut doomed = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            let extent = segment.extent();
            let is_last = index + 1 == segments.len();
            if extent.next_offset > limit || (is_last && extent.size == 0) {
                break;
            }
            let reason = if !is_last && segments[index + 1].base_offset() <= log_start {
                DeletionReason::StartOffset
            } else if let Some(max_age) = retention_ms
                && now_ms.saturating_sub(self.watched(segment, || age_of(segment, now_ms))?) > max_age
            {
                DeletionReason::Time
            } else if excess > 0 && excess >= extent.size {
                DeletionReason::Size
            } else {
                break;
            };
            excess = excess.saturating_sub(extent.size);
            doomed.push(DeletedSegment {
                base_offset: segment.base_offset(),
                size: extent.size,
                reason,
            });
        }
        Ok(doomed)
    }
}

/// The timestamp that a segment's age is counted from. One that lies in the future would keep the segment for
/// ever, and one that is missing says nothing: then the time of the last write counts.
fn age_of(segment: &Segment, now_ms: i64) -> Result<i64> {
    let largest = segment.largest_timestamp()?.timestamp;
    if largest == NO_TIMESTAMP || largest > now_ms {
        return segment.modified_ms();
    }
    Ok(largest)
}
