//! Compaction of one log (Kafka: `LogCleaner`).
//!
//! 1. Everything that may be cleaned is made durable.
//! 2. The dirty part is read into the map of keys.
//! 3. All segments from the oldest on, in groups, are written anew without what the map or the rules remove.
//!    A group takes its place before the next one is begun: a later record replaces an earlier one, so that
//!    every state in between is a log with the same latest values.
//!
//! No lock is held meanwhile but the one that keeps a second compaction out. Batches are read one at a time.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, TryLockError};
use std::time::Instant;

use super::compaction_output::Output;
use super::compaction_state::Bounds;
use super::compaction_swap::Swapped;
use super::{LogConfig, PartitionLog, lock};
use crate::batch::CompressionPolicy;
use crate::compaction::{
    BatchSource, CompactionOptions, CompactionReport, Kept, LastRecord, MapBuilder, Meter, OffsetMap,
    Rewriter, Rules, SegmentShape, SourceBuffer, Transactions, group,
};
use crate::compression::DecompressionLimit;
use crate::error::{Error, Result, is_not_found};
use crate::filenames::{FileState, parse};
use crate::producer_state::ProducerState;
use crate::segment::Segment;

/// One compaction under way.
struct Run<'a> {
    options: &'a CompactionOptions,
    config: &'a LogConfig,
    meter: Meter<'a>,
    source: SourceBuffer,
    output: Vec<u8>,
    /// Base offsets of `.cleaned` files that may be there.
    begun: Vec<i64>,
    report: CompactionReport,
}

impl PartitionLog {
    /// Keeps the last record of each key in everything that may be cleaned.
    ///
    /// Fails with [`Error::Aborted`] when somebody asked for that, or cut the log or took part of the segments
    /// meanwhile. After an error the log is as good as before: groups of segments that were finished stay.
    pub fn compact(&self, options: &CompactionOptions) -> Result<CompactionReport> {
        let stops = self.compaction.stops.load(Ordering::Acquire);
        let truncations = self.compaction.truncations.load(Ordering::Acquire);
        let _running = match self.compaction.running.try_lock() {
            Ok(running) => running,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Aborted("another compaction is running".to_owned()));
            }
        };
        let stop = || {
            if self.compaction.ended.load(Ordering::Acquire) {
                Some("the log was closed")
            } else if self.compaction.stops.load(Ordering::Acquire) != stops {
                Some("the compaction was stopped")
            } else if self.compaction.truncations.load(Ordering::Acquire) != truncations {
                Some("the log was cut")
            } else {
                None
            }
        };
        if let Some(reason) = stop() {
            return Err(Error::Aborted(reason.to_owned()));
        }
        self.check_online()?;
        let config = self.config();
        let mut run = Run {
            options,
            config: &config,
            meter: Meter::new(options.throttle.as_deref(), &stop),
            source: SourceBuffer::default(),
            output: Vec::new(),
            begun: Vec::new(),
            report: CompactionReport::default(),
        };
        let result = self.run_compaction(&mut run, &stop);
        run.report.throttled_seconds = run.meter.slept().as_secs_f64();
        match result {
            Ok(()) => Ok(run.report),
            Err(error) => {
                if self.failure().is_none() {
                    // What cannot be removed now is removed before the next compaction, or by the next start.
                    let _ = Segment::remove_cleaned(&self.space, &run.begun);
                }
                match stop() {
                    // Whatever went wrong may have gone wrong because of that.
                    Some(reason) => Err(Error::Aborted(reason.to_owned())),
                    None if self.is_damage(&error) => Err(self.note_damage(&error)),
                    None if is_not_found(&error) => {
                        Err(Error::Aborted(format!("the directory is not there: {error}")))
                    }
                    None => Err(error),
                }
            }
        }
    }

    fn run_compaction(&self, run: &mut Run<'_>, stop: &dyn Fn() -> Option<&'static str>) -> Result<()> {
        let begin = Instant::now();
        let options = run.options;
        let bounds = self.compaction_bounds(
            options.clean_from,
            options.max_offset,
            options.now_ms,
            options.min_lag_ms,
        )?;
        run.report.cleaned_to = bounds.first_dirty;
        let horizon = lock(&self.compaction.checkpoint).delete_horizon;
        let removal_due = (0..=options.now_ms).contains(&horizon);
        let has_dirt = bounds.first_dirty < bounds.uncleanable;
        if bounds.cleanable().is_empty() || !(has_dirt || removal_due) {
            return Ok(());
        }
        // Otherwise a power failure could leave what was compacted behind something that is torn, or take away
        // the markers by which transactions were judged.
        if self.recovery_point() < self.log_end_offset() {
            self.flush(None)?;
        }
        self.remove_stale_cleaned()?;

        let log_start = self.log_start_offset();
        let (map, clean_end) = self.build_map(run, &bounds, log_start)?;
        run.report.map_seconds = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let rules = Rules {
            map: &map,
            clean_end,
            log_start,
            round_end: bounds.uncleanable,
            now_ms: options.now_ms,
            delete_retention_ms: options.delete_retention_ms,
            producers: self.last_records(),
        };
        let segments = bounds.cleanable();
        let count = segments.partition_point(|segment| segment.base_offset() < clean_end);
        let result = self.clean_segments(run, &segments[..count], &rules, stop);
        run.report.clean_seconds = begin.elapsed().as_secs_f64();
        let horizon = result?;
        run.report.cleaned_to = clean_end;
        self.note_compacted(clean_end, horizon.unwrap_or(-1))
    }

    /// The map of the dirty part, and the offset up to which it has all keys.
    fn build_map(&self, run: &mut Run<'_>, bounds: &Bounds, log_start: i64) -> Result<(OffsetMap, i64)> {
        let from = bounds.first_dirty.max(log_start);
        // As many keys as there are offsets, if it comes to the worst.
        let most = (bounds.uncleanable - from).max(0) as u64;
        let map = OffsetMap::new(most, run.options.memory_bytes)?;
        run.report.map_memory_bytes = map.memory_bytes();
        let mut builder = MapBuilder::new(map, DecompressionLimit::default());
        let mut clean_end = bounds.uncleanable.max(bounds.first_dirty);
        let cleanable = bounds.cleanable();
        let dirty = &cleanable[bounds.first_dirty_segment().min(cleanable.len())..];
        let mut transactions =
            Transactions::new(self.aborted_transactions(bounds.first_dirty, bounds.uncleanable));
        'segments: for segment in dirty {
            let extent = segment.extent();
            let Some(first) = segment.find(from, extent)? else {
                continue;
            };
            let mut source = BatchSource::new(
                &**segment.log(),
                &mut run.source,
                first.position,
                extent.size,
                segment.base_offset(),
            );
            run.report.map_bytes_read += extent.size - first.position;
            while let Some(batch) = source.next(&mut run.meter)? {
                let header = *batch.header();
                if header.is_control() {
                    super::append::marker_of(batch.bytes(), &header)
                        .map(|marker| transactions.on_marker(&header, Some(marker.kind)));
                    continue;
                }
                if transactions.on_records(&header) {
                    continue;
                }
                let full = builder.add(&batch, from);
                if let Some(offset) = full.map_err(|error| source.blame(&header, error))? {
                    run.report.map_full = true;
                    clean_end = offset;
                    break 'segments;
                }
            }
        }
        run.report.map_records_read = builder.records();
        run.note_buffers(builder.memory_bytes());
        let map = builder.finish();
        run.report.map_records = map.len() as u64;
        Ok((map, clean_end))
    }

    /// Cleans `segments`, the oldest of the log; returns the earliest delete horizon of what stays.
    fn clean_segments(
        &self,
        run: &mut Run<'_>,
        segments: &[Arc<Segment>],
        rules: &Rules<'_>,
        stop: &dyn Fn() -> Option<&'static str>,
    ) -> Result<Option<i64>> {
        let shapes: Vec<SegmentShape> = segments.iter().map(|segment| shape(segment)).collect();
        let (Some(first), Some(last)) = (shapes.first(), shapes.last()) else {
            return Ok(None);
        };
        let mut transactions =
            Transactions::new(self.aborted_transactions(first.base_offset, last.end_offset));
        let level = match run.config.compression {
            CompressionPolicy::Codec(codec, Some(level)) => Some((codec, level)),
            _ => None,
        };
        let mut rewriter = Rewriter::new(DecompressionLimit::default(), level);
        let mut rest = segments;
        for len in group(&shapes, run.config.segment_bytes, run.config.index_max_bytes) {
            let (sources, after) = rest.split_at(len);
            rest = after;
            self.clean_group(run, sources, rules, &mut transactions, &mut rewriter, stop)?;
        }
        let tally = rewriter.tally();
        run.report.records_read = tally.read;
        run.report.records_kept = tally.kept;
        run.report.tombstones_dropped = tally.tombstones_dropped;
        run.report.invalid_records = tally.invalid;
        Ok(tally.earliest_horizon)
    }

    fn clean_group(
        &self,
        run: &mut Run<'_>,
        sources: &[Arc<Segment>],
        rules: &Rules<'_>,
        transactions: &mut Transactions,
        rewriter: &mut Rewriter,
        stop: &dyn Fn() -> Option<&'static str>,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (sources.first(), sources.last()) else {
            return Ok(());
        };
        run.begun.clear();
        let base_offset = first.base_offset();
        let interval = run.config.index_interval_bytes;
        let now_ms = run.options.now_ms;
        let (begun, buffer) = (&mut run.begun, &mut run.output);
        let mut output = Output::begin(&self.space, base_offset, interval, now_ms, begun, buffer)?;
        let mut changed = sources.len() > 1;
        let mut kept_bytes = 0;
        let mut lost_markers = Vec::new();
        for segment in sources {
            let size = segment.extent().size;
            run.report.bytes_read += size;
            let mut source =
                BatchSource::new(&**segment.log(), &mut run.source, 0, size, segment.base_offset());
            while let Some(batch) = source.next(&mut run.meter)? {
                let header = *batch.header();
                let outcome = rules
                    .rule(&batch, transactions)
                    .and_then(|rule| Ok((rule, rewriter.rewrite(&batch, &rule, rules)?)));
                let (rule, kept) = match outcome {
                    Ok(outcome) => outcome,
                    Err(error) => return Err(source.blame(&header, error)),
                };
                if header.is_control() && rule.discard {
                    lost_markers.push((header.producer_id, header.base_offset));
                }
                let (kept_header, bytes) = match kept {
                    Kept::Nothing => {
                        changed = true;
                        continue;
                    }
                    Kept::Original => {
                        run.report.batches_copied += 1;
                        (header, batch.bytes())
                    }
                    Kept::Rewritten(kept_header, bytes) => {
                        changed = true;
                        run.report.batches_rewritten += 1;
                        (kept_header, bytes)
                    }
                };
                kept_bytes += bytes.len() as u64;
                self.guard(output.push(&kept_header, bytes, &mut run.meter))?;
                if let Some(aborted) = rule.aborted {
                    self.guard(output.push_aborted(aborted))?;
                }
            }
        }
        let modified_ms = match last.modified_ms() {
            // Retention was faster: what was written for it will not be used.
            Err(error) if is_not_found(&error) => now_ms,
            other => other?,
        };
        let cleaned = if changed {
            self.guard(output.finish(last.extent().next_offset, modified_ms, &mut run.meter))?
        } else {
            drop(output);
            Vec::new()
        };
        run.note_buffers(rewriter.memory_bytes());
        run.report.segments_before += sources.len();
        run.report.bytes_kept += kept_bytes;
        if !changed {
            run.report.segments_after += 1;
            return Segment::remove_cleaned(&self.space, &run.begun);
        }
        for source in sources {
            source.pin()?;
        }
        self.allow_holes_below(last.extent().next_offset)?;
        let (fs, dir) = (&*self.space.fs, &self.space.dir);
        self.guard(ProducerState::end_in_snapshots(fs, dir, &lost_markers))?;
        let count = cleaned.len();
        match self.guard(self.swap_segments(sources, cleaned, stop))? {
            Swapped::InPlace => run.report.segments_after += count,
            Swapped::SourcesGone => run.report.segments_before -= sources.len(),
        }
        run.begun.clear();
        Ok(())
    }

    /// Removes what an earlier compaction could not remove. Were it there when a crash interrupts a swap, the
    /// next start would take the swap for unfinished; and without it, what had become `.swap` for finished. So
    /// that goes first.
    fn remove_stale_cleaned(&self) -> Result<()> {
        let entries = self.space.fs.list_dir(&self.space.dir)?;
        for stale in [FileState::Swap, FileState::Cleaned] {
            for entry in &entries {
                if parse(&entry.name).is_some_and(|name| name.state == stale) {
                    self.space.fs.remove_file(&self.space.dir.join(&entry.name))?;
                }
            }
        }
        Ok(())
    }

    /// The last trace of every producer that the log knows.
    fn last_records(&self) -> HashMap<i64, LastRecord> {
        lock(&self.writer).producers.last_records()
    }
}

impl Run<'_> {
    fn note_buffers(&mut self, others: usize) {
        let now = self.source.memory_bytes() + self.output.capacity() + others;
        self.report.buffer_memory_bytes = self.report.buffer_memory_bytes.max(now);
    }
}

fn shape(segment: &Segment) -> SegmentShape {
    let extent = segment.extent();
    SegmentShape {
        base_offset: segment.base_offset(),
        end_offset: extent.next_offset,
        size: extent.size,
        offset_index_bytes: segment.offset_index().size_bytes(),
        time_index_bytes: segment.time_index().size_bytes(),
    }
}
