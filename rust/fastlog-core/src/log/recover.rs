//! Recovery: which of the bytes on disk are the log (Kafka: `LogLoader`, `LogSegment.recover`).
//!
//! | found | after a clean shutdown | otherwise |
//! |---|---|---|
//! | index missing, or its ends cannot be true | rebuilt from the headers | the same |
//! | transaction index that is not what it was | rebuilt, with all that comes behind it, from the batches | the same |
//! | bad batch from the recovery point on, nothing sound behind it | torn end: cut off | the same |
//! | bad batch with sound ones behind it, or below the recovery point | damage: refused | the same |
//! | segments that overlap, or leave a hole between them where nothing was compacted | damage: refused | the same |
//! | a hole inside of a segment where nothing was compacted | seen when it is read | damage: refused |
//! | an index that lists a batch behind the end of a segment that was durable | damage: refused | the same |
//! | an end below the recovery point, a start above where the log began | damage: refused | the same |
//! | an end above the recovery point | damage, where that was written when the log was closed: refused | |
//!
//! What counts as compacted is said at [`Holes`].
//!
//! What is cut off is kept in a `.corrupt` file. With `allow_data_loss` damage is cut off like a torn end.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::LogConfig;
use super::open::{OpenOptions, RecoveryReport};
use super::replay::{Replayed, replay};
use super::stability::Stability;
use super::txn_checkpoint::Checksums;
use crate::error::{Error, Result};
use crate::filenames::{FileKind, file_path};
use crate::producer_state::{ProducerState, delete_snapshots_after, snapshot_offsets, snapshot_path};
use crate::segment::{Extent, Segment, SegmentFiles, SegmentSpace, SegmentWriter};

/// A log that is in order.
#[derive(Debug)]
pub(super) struct Loaded {
    pub segments: Vec<Arc<Segment>>,
    pub active: SegmentWriter,
    pub replayed: Replayed,
    /// Leader epochs of scanned batches and the offsets at which they begin.
    pub epochs: Vec<(i32, i64)>,
    pub recovery_point: i64,
    /// Sealed segments that are not known to be durable.
    pub sealed: Vec<Arc<Segment>>,
}

/// Work in progress.
#[derive(Debug)]
pub(super) struct Recovery<'a> {
    pub space: &'a SegmentSpace,
    pub config: &'a LogConfig,
    pub options: &'a OpenOptions,
    pub now_ms: i64,
    pub holes: Holes,
    /// Batches of a later leader epoch are damaged.
    pub newest_epoch: i32,
    /// What the transaction indexes should be.
    pub txn_checksums: Checksums,
    pub report: RecoveryReport,
    pub segments: Vec<Found>,
    pub epochs: Vec<(i32, i64)>,
}

/// Where offsets may be missing, because compaction removed them.
///
/// Inside of a segment a hole is no sign of a loss: a torn end has nothing behind it. Where nothing can have been
/// compacted it is still believed only when the next batch confirms it. A segment that ends before the
/// next one begins, however, may have lost its end, so that has to be known: from the log's own checkpoint
/// ([`super::compaction_checkpoint`]) or from the opener ([`OpenOptions::compacted_below`]). A log that has no
/// checkpoint of its own comes from Kafka or an earlier version: there the configuration, a hole inside of a
/// segment, or a batch that no producer can have written is evidence enough.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holes {
    /// Inside of any segment: the topic is compacted, and the log has no checkpoint that says how far.
    pub anywhere_inside: bool,
    /// Inside of and between segments below this offset.
    pub between_below: i64,
    /// Between segments too, as soon as there is evidence.
    pub by_evidence: bool,
}

/// A segment on disk.
#[derive(Debug)]
pub(super) struct Found {
    pub segment: Arc<Segment>,
    pub size: u64,
    /// No file of it has a byte.
    pub is_empty: bool,
    pub index_damage: Option<String>,
    pub transactions_damaged: bool,
}

impl<'a> Recovery<'a> {
    pub fn new(
        space: &'a SegmentSpace,
        config: &'a LogConfig,
        options: &'a OpenOptions,
        now_ms: i64,
        holes: Holes,
        report: RecoveryReport,
    ) -> Self {
        Self {
            space,
            config,
            options,
            now_ms,
            holes,
            newest_epoch: i32::MAX,
            txn_checksums: Checksums::new(),
            report,
            segments: Vec::new(),
            epochs: Vec::new(),
        }
    }

    /// Opens the segments and scans what has to be scanned.
    pub fn load(mut self, files: BTreeMap<i64, SegmentFiles>) -> Result<(Loaded, RecoveryReport)> {
        self.open_segments(files)?;
        let begun = self.take_begun()?;
        let mut from = self.first_to_scan();
        if let Some(gap) = self.look_for_gaps(from)? {
            from = Some(from.map_or(gap, |from| from.min(gap)));
        }
        let mut loaded = match from {
            None => self.load_unscanned()?,
            Some(from) => self.scan_or_start_over(from)?,
        };
        // Not before: whoever refuses to start changes nothing.
        for segment in &begun {
            segment.remove_begun()?;
        }
        let end = loaded.active.extent().next_offset;
        self.check_end(end)?;
        if end < self.options.log_start_offset {
            loaded = self.start_over(&loaded)?;
        }
        let end = loaded.active.extent().next_offset;
        delete_snapshots_after(&*self.space.fs, &self.space.dir, end)?;
        self.delete_stray_snapshots(&loaded.segments)?;
        Ok((loaded, self.report))
    }

    /// Looks whether each segment that is not scanned ends where the next one begins, and the last one where
    /// everything was durable, before anything is changed. Returns the segment to scan from when only a scan can tell,
    /// or when losses are allowed.
    fn look_for_gaps(&mut self, from: Option<usize>) -> Result<Option<usize>> {
        let last = self.segments.len() - 1;
        let mut scan_from = None;
        for index in 0..self.segments.len() {
            let Found { segment, size, .. } = &self.segments[index];
            // What was compacted is durable, whatever the recovery point says.
            let durable = from.is_none_or(|from| index < from)
                || (index < last
                    && self.segments[index + 1].segment.base_offset() <= self.holes.between_below);
            if index < last && !durable {
                continue;
            }
            let end = match segment.look_at_end(*size) {
                // That is for those who read it batch by batch.
                Err(Error::Corrupt { .. }) => {
                    scan_from = scan_from.or(Some(index));
                    continue;
                }
                other => other?,
            };
            if index == last {
                if !self.options.allow_data_loss {
                    self.check_end(end.next_offset)?;
                }
                continue;
            }
            let next = self.segments[index + 1].segment.base_offset();
            let hole_allowed = next > end.next_offset && next <= self.holes.between_below;
            // An index that lists more than there can be is damaged itself.
            let reason = match end.missing.filter(|offset| *offset < next) {
                Some(offset) => format!("the end is missing: the index lists offset {offset}"),
                None if next == end.next_offset || hole_allowed => continue,
                None if next > end.next_offset && self.holes.by_evidence => {
                    if !self.config.compact {
                        // Evidence may be anywhere.
                        scan_from = Some(0);
                    }
                    continue;
                }
                None => format!(
                    "the segment ends at {}, the next one starts at {next}",
                    end.next_offset
                ),
            };
            let error = Error::Corrupt {
                path: segment.log().path().to_owned(),
                position: *size,
                offset: end.next_offset,
                reason,
            };
            if !self.options.allow_data_loss {
                return Err(error);
            }
            self.report.warnings.push(format!("records are lost: {error}"));
            scan_from = scan_from.or(Some(index));
        }
        Ok(scan_from)
    }

    /// Fails with [`Error::Corrupt`] when the log ends below what was durable, unless that is allowed, or when it ends
    /// above where it was closed: no checksum covers the offset of the last batch.
    fn check_end(&mut self, end: i64) -> Result<()> {
        let OpenOptions {
            recovery_point,
            log_start_offset,
            allow_data_loss,
            clean_shutdown,
            offsets_are_exact,
            ..
        } = *self.options;
        let reason = if end < recovery_point && log_start_offset < recovery_point {
            format!("the log ends here, although everything below offset {recovery_point} was durable")
        } else if end > recovery_point && clean_shutdown && offsets_are_exact {
            format!("the log ends here, although it was closed at offset {recovery_point}")
        } else {
            // What was deleted on purpose is no loss.
            return Ok(());
        };
        let Found { segment, size, .. } = &self.segments[self.segments.len() - 1];
        let error = Error::Corrupt {
            path: segment.log().path().to_owned(),
            position: *size,
            offset: end,
            reason,
        };
        if !allow_data_loss {
            return Err(error);
        }
        self.report.warnings.push(format!("records are lost: {error}"));
        Ok(())
    }

    /// Every clean shutdown leaves a snapshot at the end of then. Those at the start of a segment are needed
    /// when the log is cut, and the latest one at the next start; the others are not.
    fn delete_stray_snapshots(&self, segments: &[Arc<Segment>]) -> Result<()> {
        let offsets = snapshot_offsets(&*self.space.fs, &self.space.dir)?;
        let Some((_latest, others)) = offsets.split_last() else {
            return Ok(());
        };
        for offset in others {
            if segments
                .binary_search_by_key(offset, |segment| segment.base_offset())
                .is_err()
            {
                self.space
                    .fs
                    .remove_file(&snapshot_path(&self.space.dir, *offset))?;
            }
        }
        Ok(())
    }

    fn open_segments(&mut self, files: BTreeMap<i64, SegmentFiles>) -> Result<()> {
        for (base_offset, files) in files {
            let (segment, index_damage, mut transaction_damage) =
                Segment::open(self.space, base_offset, files)?;
            if transaction_damage.is_none()
                && let Some(known) = self.txn_checksums.get(&base_offset)
                && !segment.transactions().begins_with(*known)
            {
                let path = file_path(&self.space.dir, base_offset, FileKind::TransactionIndex);
                transaction_damage = Some(format!("{}: not what it was, rebuilt", path.display()));
            }
            if let Some(damage) = &transaction_damage {
                self.report.warnings.push(damage.clone());
            }
            let size = segment.log().len()?;
            let beside = [files.offset_index, files.time_index, files.transaction_index];
            self.segments.push(Found {
                size,
                is_empty: size == 0 && beside.iter().all(|len| len.unwrap_or(0) == 0),
                segment: Arc::new(segment),
                index_damage,
                transactions_damaged: transaction_damage.is_some(),
            });
        }
        if self.segments.is_empty() {
            let segment = self.fresh_segment(self.options.log_start_offset.max(0))?;
            self.segments.push(Found {
                segment,
                size: 0,
                is_empty: true,
                index_damage: None,
                transactions_damaged: false,
            });
        }
        Ok(())
    }

    /// Takes out the segments of which there is nothing but empty files, and which are no part of the log: the one
    /// before them goes on behind the offset at which they begin, or all that they could hold was deleted.
    ///
    /// Such files are left by a roll that failed half way and could not clear up after itself.
    fn take_begun(&mut self) -> Result<Vec<Arc<Segment>>> {
        let mut begun = Vec::new();
        let mut index = 0;
        while index < self.segments.len() {
            let Found {
                segment, is_empty, ..
            } = &self.segments[index];
            let base = segment.base_offset();
            let overtaken = *is_empty
                && match index.checked_sub(1).map(|before| &self.segments[before]) {
                    Some(before) => before.segment.holds_sound(base, before.size)?,
                    None => self
                        .segments
                        .get(1)
                        .is_some_and(|next| next.segment.base_offset() <= self.options.log_start_offset),
                };
            if !overtaken {
                index += 1;
                continue;
            }
            self.report.warnings.push(format!(
                "{}: removed, it was begun and never written to",
                segment.log().path().display()
            ));
            begun.push(self.segments.remove(index).segment);
        }
        Ok(begun)
    }

    fn fresh_segment(&self, base_offset: i64) -> Result<Arc<Segment>> {
        let segment = Segment::create(self.space, base_offset, None)?;
        segment.publish(Extent {
            next_offset: base_offset,
            size: 0,
        });
        Ok(Arc::new(segment))
    }

    /// Index of the first segment of which every batch has to be checked.
    fn first_to_scan(&self) -> Option<usize> {
        // Aborted transactions can only be found again with the producer state, which a scan builds.
        let damaged = self.segments.iter().position(|found| found.transactions_damaged);
        if self.options.allow_data_loss {
            // To cut the log at its damage, that has to be found, wherever it is.
            return Some(0);
        }
        if self.options.clean_shutdown {
            return damaged;
        }
        // The segment of the last durable record and not the one after it: a segment that was rolled when all
        // of it was durable got its last index entries after that.
        let unflushed = self.holding(self.options.recovery_point - 1);
        Some(damaged.map_or(unflushed, |damaged| damaged.min(unflushed)))
    }

    /// Index of the segment that holds `offset`; the first one if it lies before all of them.
    pub fn holding(&self, offset: i64) -> usize {
        let after = self
            .segments
            .partition_point(|found| found.segment.base_offset() <= offset);
        after.saturating_sub(1)
    }

    /// The log after a clean shutdown. Whatever cannot be read is scanned after all.
    fn load_unscanned(&mut self) -> Result<Loaded> {
        let last = self.segments.len() - 1;
        for index in 0..last {
            match self.accept_sealed(index) {
                Err(error @ Error::Corrupt { .. }) => {
                    self.report.warnings.push(error.to_string());
                    return self.scan_or_start_over(index);
                }
                other => other?,
            }
        }
        let active = match self.accept_active() {
            Err(error @ Error::Corrupt { .. }) => {
                self.report.warnings.push(error.to_string());
                return self.scan_or_start_over(last);
            }
            other => other?,
        };
        let end = active.extent().next_offset;
        let segments = self.list();
        match replay(self.space, &segments, end, self.config.producer_id_expiration_ms) {
            Err(error @ Error::Corrupt { .. }) if self.options.allow_data_loss => {
                self.report.warnings.push(error.to_string());
                self.scan_or_start_over(0)
            }
            replayed => Ok(Loaded {
                segments,
                active,
                replayed: replayed?,
                epochs: Vec::new(),
                recovery_point: end,
                sealed: Vec::new(),
            }),
        }
    }

    /// Takes a segment as it is, rebuilding its indexes if they cannot be right.
    pub fn accept_sealed(&mut self, index: usize) -> Result<()> {
        let next_offset = self.segments[index + 1].segment.base_offset();
        let Found { segment, size, .. } = &self.segments[index];
        let extent = Extent {
            next_offset,
            size: *size,
        };
        segment.publish(extent);
        if let Some(writer) = self.repair_indexes(index, extent)? {
            writer.seal()?;
        }
        Ok(())
    }

    fn accept_active(&mut self) -> Result<SegmentWriter> {
        let index = self.segments.len() - 1;
        let Found { segment, size, .. } = &self.segments[index];
        let (segment, size) = (Arc::clone(segment), *size);
        let extent = Extent {
            next_offset: segment.end_offset(size)?,
            size,
        };
        segment.publish(extent);
        match self.repair_indexes(index, extent)? {
            Some(writer) => {
                writer.publish();
                Ok(writer)
            }
            None => SegmentWriter::resume(segment, extent, self.now_ms),
        }
    }

    fn repair_indexes(&mut self, index: usize, extent: Extent) -> Result<Option<SegmentWriter>> {
        let found = &self.segments[index];
        let damage = match &found.index_damage {
            Some(damage) => damage.clone(),
            None => match found.segment.check_indexes(extent)? {
                Ok(()) => return Ok(None),
                Err(reason) => format!("{}: {reason}", found.segment.offset_index().path().display()),
            },
        };
        self.report.indexes_rebuilt += 1;
        self.report.warnings.push(format!("index rebuilt: {damage}"));
        let interval = self.config.index_interval_bytes;
        SegmentWriter::rebuild_indexes(&found.segment, extent, interval, self.now_ms).map(Some)
    }

    /// Scans from a segment on; if the producer state before it cannot be read, from the start.
    fn scan_or_start_over(&mut self, from: usize) -> Result<Loaded> {
        for index in 0..from {
            match self.accept_sealed(index) {
                Err(error @ Error::Corrupt { .. }) => {
                    self.report.warnings.push(error.to_string());
                    return self.scan(index);
                }
                other => other?,
            }
        }
        match self.scan(from) {
            Err(Error::Corrupt { .. }) if from > 0 && self.options.allow_data_loss => self.scan(0),
            other => other,
        }
    }

    /// Begins a new, empty log at the log start offset: everything that was found lies below it.
    fn start_over(&mut self, found: &Loaded) -> Result<Loaded> {
        let start = self.options.log_start_offset;
        self.report.warnings.push(format!(
            "the log ended at {}, below its start offset: it starts again at {start}",
            found.active.extent().next_offset
        ));
        for segment in found.segments.iter().rev() {
            segment.rename_deleted()?;
        }
        // They speak of producers, and of open transactions, of which nothing is left.
        delete_snapshots_after(&*self.space.fs, &self.space.dir, -1)?;
        let segment = self.fresh_segment(start)?;
        self.space.fs.sync_dir(&self.space.dir)?;
        Ok(Loaded {
            segments: vec![Arc::clone(&segment)],
            active: SegmentWriter::new(segment, self.now_ms),
            replayed: Replayed {
                producers: ProducerState::new(self.config.producer_id_expiration_ms),
                stability: Stability::default(),
            },
            epochs: Vec::new(),
            recovery_point: start,
            sealed: Vec::new(),
        })
    }

    pub fn list(&self) -> Vec<Arc<Segment>> {
        self.segments
            .iter()
            .map(|found| Arc::clone(&found.segment))
            .collect()
    }
}
