//! Recovery: which of the bytes on disk are the log (Kafka: `LogLoader`, `LogSegment.recover`).
//!
//! | found | after a clean shutdown | otherwise |
//! |---|---|---|
//! | index missing, or its ends cannot be true | rebuilt from the headers | the same |
//! | bad batch from the recovery point on, nothing sound behind it | torn end: cut off | the same |
//! | bad batch with sound ones behind it, or below the recovery point | damage: refused | the same |
//! | segments that overlap | not looked at | damage: refused |
//! | a hole, inside of a segment or between two, where nothing was compacted | not looked at | damage: refused |
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
use crate::error::{Error, Result};
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
    pub report: RecoveryReport,
    pub segments: Vec<Found>,
    pub epochs: Vec<(i32, i64)>,
}

/// Where offsets may be missing, because compaction removed them.
///
/// Inside of a segment a hole is no sign of a loss: a torn end has nothing behind it. Where the configuration does
/// not have `compact` it is still believed only when the next batch confirms it. A segment that ends before the
/// next one begins, however, may have lost its end, so that has to be known: from the log's own checkpoint
/// ([`super::compaction_checkpoint`]) or from the opener ([`OpenOptions::compacted_below`]). A log that has no
/// checkpoint of its own comes from Kafka or an earlier version: there the configuration, a hole inside of a
/// segment, or a batch that no producer can have written is evidence enough.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holes {
    /// Inside of any segment.
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
            report,
            segments: Vec::new(),
            epochs: Vec::new(),
        }
    }

    /// Opens the segments and scans what has to be scanned.
    pub fn load(mut self, files: BTreeMap<i64, SegmentFiles>) -> Result<(Loaded, RecoveryReport)> {
        self.open_segments(files)?;
        let mut loaded = match self.first_to_scan() {
            None => self.load_unscanned()?,
            Some(from) => self.scan_or_start_over(from)?,
        };
        let end = loaded.active.extent().next_offset;
        if end < self.options.recovery_point {
            self.report.warnings.push(format!(
                "the log ends at {end}, although everything below {} was durable",
                self.options.recovery_point
            ));
        }
        if end < self.options.log_start_offset {
            loaded = self.start_over(&loaded)?;
        }
        let end = loaded.active.extent().next_offset;
        delete_snapshots_after(&*self.space.fs, &self.space.dir, end)?;
        self.delete_stray_snapshots(&loaded.segments)?;
        Ok((loaded, self.report))
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
            let (segment, index_damage, transaction_damage) = Segment::open(self.space, base_offset, files)?;
            if let Some(damage) = &transaction_damage {
                self.report.warnings.push(damage.clone());
            }
            self.segments.push(Found {
                size: segment.log().len()?,
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
                index_damage: None,
                transactions_damaged: false,
            });
        }
        Ok(())
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
            if let Err(error @ Error::Corrupt { .. }) = self.accept_sealed(index) {
                self.report.warnings.push(error.to_string());
                return self.scan(index);
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
