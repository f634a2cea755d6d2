//! What proves that a log reached further than what is found of it: see "What proves a loss" in docs/storage.md.

use std::path::Path;
use std::sync::Arc;

use super::leftovers::{SweepRules, check_kinds, look};
use super::open::{OpenOptions, RecoveryReport};
use super::{PartitionLog, recover::Loaded};
use crate::env::FileSystem;
use crate::error::{Error, Result};
use crate::filenames::{FileKind, file_path};
use crate::leader_epochs::LeaderEpochs;
use crate::segment::{Extent, Segment, SegmentSpace, SegmentWriter};

/// The leader epochs as they are on the disk.
#[derive(Debug)]
pub(super) struct StoredEpochs {
    pub epochs: LeaderEpochs,
    /// Why they were not believed, and are empty.
    pub damage: Option<String>,
}

impl StoredEpochs {
    pub fn read(space: &SegmentSpace) -> Result<Self> {
        let path = PartitionLog::path_of_epochs(&space.dir);
        match LeaderEpochs::open(Arc::clone(&space.fs), &path) {
            Err(error @ Error::Corrupt { .. }) => Ok(Self {
                epochs: LeaderEpochs::empty(Arc::clone(&space.fs), &path),
                damage: Some(error.to_string()),
            }),
            other => other.map(|epochs| Self { epochs, damage: None }),
        }
    }
}

/// Where the log begins, for all that is written down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence {
    /// Nothing from here on was deleted on purpose; `None` when nobody knows.
    pub start: Option<i64>,
    /// No batch has a later leader epoch: each is written down before its first batch is.
    pub newest_epoch: i32,
}

impl Evidence {
    /// Weighs what is written down: in the options, and in `leader-epoch-checkpoint`, which begins where the log does.
    /// It is cut before segments are deleted, and never after.
    pub fn weigh(options: &OpenOptions, epochs: &StoredEpochs) -> Self {
        let start = options.log_start_offset;
        let first = epochs.epochs.entries().first();
        let newest = epochs.epochs.latest().filter(|_| !options.adopted);
        Self {
            start: if options.adopted {
                None
            } else if options.offsets_are_exact {
                Some(start)
            } else {
                first.map(|first| first.start_offset.max(start))
            },
            newest_epoch: newest.map_or(i32::MAX, |(epoch, _)| epoch),
        }
    }

    /// What the sweep has to know.
    pub fn rules(&self, options: &OpenOptions) -> SweepRules {
        SweepRules {
            start: self.start.unwrap_or(0).max(options.log_start_offset),
            allow_data_loss: options.allow_data_loss,
        }
    }

    /// Fails with [`Error::Corrupt`] when the first segments are missing, or all of them.
    pub fn judge(
        &self,
        space: &SegmentSpace,
        options: &OpenOptions,
        first_segment: Option<i64>,
        report: &mut RecoveryReport,
    ) -> Result<()> {
        let missing = |offset| file_path(&space.dir, offset, FileKind::Log);
        let found = match (first_segment, self.start) {
            (None, _) if self.proves_end(options, 0) => Some(Error::Corrupt {
                path: missing(options.log_start_offset.max(0)),
                position: 0,
                offset: options.log_start_offset.max(0),
                reason: format!(
                    "there is no segment, although everything below offset {} was durable",
                    options.recovery_point
                ),
            }),
            (Some(base), Some(start)) if base > start => Some(Error::Corrupt {
                path: missing(start),
                position: 0,
                offset: start,
                reason: format!(
                    "the segments of offsets {start} to {} are missing: the log begins at {start}, says {}",
                    base - 1,
                    if options.offsets_are_exact {
                        "the checkpoint of log start offsets"
                    } else {
                        LeaderEpochs::FILE_NAME
                    }
                ),
            }),
            _ => None,
        };
        match found {
            Some(error) if !options.allow_data_loss => Err(error),
            Some(error) => {
                report.warnings.push(format!("records are lost: {error}"));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether a log that ends at `end` ended later once. What was deleted on purpose is no loss.
    #[allow(clippy::unused_self)] // it is the evidence that speaks
    pub fn proves_end(&self, options: &OpenOptions, end: i64) -> bool {
        end < options.recovery_point && options.log_start_offset < options.recovery_point
    }
}

impl PartitionLog {
    /// Whether files of the log in `dir` are missing, or what a compaction has left is of no use: fails with
    /// [`Error::Corrupt`] as [`Self::open`] does, and changes nothing.
    pub fn look_for_missing(dir: &Path, fs: &Arc<dyn FileSystem>, options: &OpenOptions) -> Result<()> {
        let space = SegmentSpace {
            fs: Arc::clone(fs),
            dir: dir.to_owned(),
            index_max_bytes: 0,
        };
        check_kinds(&space)?;
        let evidence = Evidence::weigh(options, &StoredEpochs::read(&space)?);
        let looked = look(&space, evidence.rules(options))?;
        let mut report = RecoveryReport::default();
        evidence.judge(&space, options, looked.first_segment(), &mut report)
    }
}

impl Loaded {
    /// Leaves out everything up to `end`. That offsets are missing must have been written down.
    pub(super) fn go_on_at(&mut self, space: &SegmentSpace, end: i64, now_ms: i64) -> Result<()> {
        self.active.seal()?;
        self.active.end_at(end);
        let segment = Arc::new(Segment::create(space, end, None)?);
        segment.publish(Extent {
            next_offset: end,
            size: 0,
        });
        space.fs.sync_dir(&space.dir)?;
        let sealed = Arc::clone(self.active.segment());
        self.active = SegmentWriter::new(Arc::clone(&segment), now_ms);
        self.sealed.push(sealed);
        self.segments.push(segment);
        Ok(())
    }
}
