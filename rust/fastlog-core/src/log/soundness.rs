//! No byte that is damaged leaves the log: see [`crate::segment`] for what is checked when it is read for the first
//! time. Here is what becomes of damage, and the scrub, which reads everything again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::segments::holding;
use super::{Failure, PartitionLog};
use crate::cause::Cause;
use crate::error::{Error, Result, is_cut};
use crate::segment::{Extent, Segment};

/// Where a scrub is: a batch in the segment that holds `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubPosition {
    /// Offset of the next batch to read.
    pub offset: i64,
    /// Base offset of the segment that it is in, and its byte position there.
    pub segment: i64,
    /// See `segment`.
    pub position: u64,
}

/// What a step of a scrub did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrubbed {
    /// Bytes read.
    pub bytes: u64,
    /// Where to go on; `None` at the end of the log.
    pub next: Option<ScrubPosition>,
}

impl PartitionLog {
    /// The damage for which the log was taken offline: the disk works, but bytes in this log are not what was
    /// written.
    pub fn damage(&self) -> Option<String> {
        self.damage.get().cloned()
    }

    /// Makes sure that the batches in `[position, end)` of `segment`, found for a read from `offset`, are sound.
    pub(super) fn ensure_sound(
        &self,
        segment: &Arc<Segment>,
        offset: i64,
        position: u64,
        end: u64,
    ) -> Result<()> {
        segment.ensure_sound(offset, position, end, &|at| self.epoch_range_at(at))
    }

    /// Runs `read`, which reads batches of `segment`. Damage that it finds takes the log offline, unless the segment
    /// was cut or replaced meanwhile.
    pub(super) fn watched<T>(&self, segment: &Arc<Segment>, read: impl FnOnce() -> Result<T>) -> Result<T> {
        let truncations = self.compaction.truncations.load(Ordering::Acquire);
        let error = match read() {
            Err(error @ Error::Corrupt { .. }) => error,
            Err(error) if is_cut(&error) => error,
            other => return other,
        };
        let listed = self.snapshot().iter().any(|one| Arc::ptr_eq(one, segment));
        if !listed || self.compaction.truncations.load(Ordering::Acquire) != truncations {
            return Err(Error::Aborted(format!(
                "the segment is not there any more: {error}"
            )));
        }
        Err(self.note_damage(&error))
    }

    /// Whether an error speaks of bytes that are not what was written: those fail their checksum again. Records that
    /// cannot be decoded although it is right are no such thing.
    pub(super) fn is_damage(&self, error: &Error) -> bool {
        let Error::Corrupt { path, .. } = error else {
            return false;
        };
        self.snapshot()
            .iter()
            .filter(|segment| segment.log().path() == path)
            .any(|segment| {
                let begin = Extent {
                    next_offset: segment.base_offset(),
                    size: 0,
                };
                let end = segment.extent().size;
                let checked = segment.check(begin, end, &|at| self.epoch_range_at(at));
                matches!(checked, Err(Error::Corrupt { .. }))
            })
    }

    pub(super) fn note_damage(&self, error: &Error) -> Error {
        let reason = error.to_string();
        let _ = self.damage.set(reason.clone());
        let _ = self.failure.set(Failure {
            reason: reason.clone(),
            cause: Cause::File,
        });
        Error::Offline {
            path: self.space.dir.clone(),
            reason,
        }
    }

    /// Reads about `max_bytes` of the log from `from` on, by default from its start, and checks them, whatever was
    /// checked before. Damage takes the log offline.
    pub fn scrub(&self, from: Option<ScrubPosition>, max_bytes: u64) -> Result<Scrubbed> {
        self.check_online()?;
        let segments = self.snapshot();
        let from = from.unwrap_or(ScrubPosition {
            offset: self.log_start_offset(),
            segment: -1,
            position: 0,
        });
        let index = holding(&segments, from.offset).unwrap_or(0);
        let segment = &segments[index];
        let extent = segment.extent();
        let mut begin = Extent {
            next_offset: segment.base_offset(),
            size: 0,
        };
        if from.segment == segment.base_offset() && from.position <= extent.size {
            begin = Extent {
                next_offset: from.offset,
                size: from.position,
            };
        }
        let end = extent.size.min(begin.size.saturating_add(max_bytes.max(1)));
        let reached = match self.watched(segment, || {
            segment.check(begin, end, &|at| self.epoch_range_at(at))
        }) {
            // Compaction or retention was faster: the next step begins at what is there now.
            Err(Error::Aborted(_)) => Extent {
                next_offset: from.offset,
                size: 0,
            },
            other => other?,
        };
        let bytes = reached.size.saturating_sub(begin.size);
        let next = if reached.size < extent.size {
            Some(ScrubPosition {
                offset: reached.next_offset,
                segment: segment.base_offset(),
                position: reached.size,
            })
        } else {
            segments.get(index + 1).map(|next| ScrubPosition {
                offset: next.base_offset(),
                segment: next.base_offset(),
                position: 0,
            })
        };
        Ok(Scrubbed { bytes, next })
    }

    /// The leader epoch that wrote `offset`, and where the next one begins.
    fn epoch_range_at(&self, offset: i64) -> Option<(i32, i64)> {
        self.epoch_reader.range_at(offset)
    }
}
