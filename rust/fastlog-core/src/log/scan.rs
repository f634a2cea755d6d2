//! The scan of recovery: reads batches, checksums and all, and rebuilds from them what else is on disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::recover::{Found, Loaded, Recovery};
use super::replay::{Replayed, read_marker, replay};
use crate::env::{File, OpenMode};
use crate::error::{Error, Result};
use crate::filenames::{CORRUPT, FileKind, with_suffix};
use crate::segment::{Extent, Located, OffsetRule, SegmentWriter, Verdict, Verifier, look_for_batch};

/// Bytes copied at once into a `.corrupt` file.
const COPY_CHUNK: usize = 1 << 20;

/// The first place at which the log is not as it should be.
#[derive(Debug)]
struct Damage {
    segment: usize,
    position: u64,
    /// Offset that was due there.
    offset: i64,
    reason: String,
}

/// What a scan carries from segment to segment.
struct Scan {
    replayed: Replayed,
    /// Offset that is due.
    expected: i64,
    /// Leader epoch of the last batch.
    epoch: i32,
    /// There is evidence of a compaction.
    compacted: bool,
}

impl Recovery<'_> {
    /// Checks every batch from the segment `from` on. The segments before it are in order.
    pub(super) fn scan(&mut self, from: usize) -> Result<Loaded> {
        let start = self.scan_start(from)?;
        let first = &self.segments[from].segment;
        first.publish(start);
        let expiration_ms = self.config.producer_id_expiration_ms;
        let replayed = replay(
            self.space,
            &self.list()[..=from],
            start.next_offset,
            expiration_ms,
        )?;
        let mut scan = Scan {
            replayed,
            expected: start.next_offset,
            epoch: -1,
            compacted: self.config.compact,
        };
        self.announce(from, start);

        let mut sealed = Vec::new();
        let mut index = from;
        let active = loop {
            let begin = if index == from {
                start
            } else {
                self.beginning_of(index)
            };
            let mut writer = self.rewound(index, begin)?;
            let damage = self.scan_segment(index, &mut writer, &mut scan)?;
            writer.segment().note_sound(begin, writer.extent())?;
            let damage = damage.or_else(|| self.misfit(index, &scan));
            if let Some(damage) = damage {
                self.cut_or_refuse(&damage)?;
                break writer;
            }
            let Some(next) = self.segments.get(index + 1) else {
                break writer;
            };
            let next_offset = next.segment.base_offset();
            writer.end_at(next_offset);
            writer.seal()?;
            sealed.push(Arc::clone(writer.segment()));
            scan.expected = next_offset;
            index += 1;
        };
        active.publish();
        // So that the next recovery finds the same bytes, and knows where to begin.
        active.segment().offset_index().write_out()?;
        active.segment().time_index().write_out()?;
        let end = active.extent().next_offset;
        Ok(Loaded {
            segments: self.list(),
            active,
            replayed: scan.replayed,
            epochs: std::mem::take(&mut self.epochs),
            recovery_point: self.options.recovery_point.min(end),
            sealed,
        })
    }

    /// Where the scan of the first segment may begin: at a batch below the recovery point that both indexes
    /// know and that is sound. Everything before it was made durable, and since entries reach the disk in
    /// order, all entries for it are there.
    fn scan_start(&self, from: usize) -> Result<Extent> {
        let Found {
            segment,
            size,
            index_damage,
            transactions_damaged,
            ..
        } = &self.segments[from];
        let beginning = self.beginning_of(from);
        let trusted = !transactions_damaged
            && index_damage.is_none()
            && from == self.holding(self.options.recovery_point - 1)
            && segment.indexes_rise()?;
        if !trusted {
            return Ok(beginning);
        }
        let Some(known) = segment.time_index().last()? else {
            return Ok(beginning);
        };
        let known = known.offset.min(self.options.recovery_point - 1);
        let Some(entry) = segment.offset_index().floor(known)? else {
            return Ok(beginning);
        };
        let position = u64::from(entry.position);
        if position >= *size {
            return Ok(beginning);
        }
        let rule = OffsetRule {
            holes_below: i64::MAX,
            limit: self.limit_of(from),
        };
        match Verifier::new(&**segment.log(), position, *size, rule).next(segment.base_offset(), -1)? {
            Verdict::Batch(batch) if batch.header.last_offset() == entry.offset => Ok(Extent {
                next_offset: batch.header.base_offset,
                size: position,
            }),
            _ => Ok(beginning),
        }
    }

    /// All offsets of a segment are below this one: the next segment, or what its indexes can hold.
    fn limit_of(&self, index: usize) -> i64 {
        let next = self
            .segments
            .get(index + 1)
            .map_or(i64::MAX, |next| next.segment.base_offset());
        next.min(self.segments[index].segment.base_offset().saturating_add(1 << 31))
    }

    fn beginning_of(&self, index: usize) -> Extent {
        Extent {
            next_offset: self.segments[index].segment.base_offset(),
            size: 0,
        }
    }

    /// A writer that stands at `begin`, with indexes that know nothing of what comes after it.
    fn rewound(&self, index: usize, begin: Extent) -> Result<SegmentWriter> {
        let segment = Arc::clone(&self.segments[index].segment);
        if begin.size > 0 {
            return SegmentWriter::rewind(segment, begin, self.now_ms);
        }
        segment.offset_index().reset(&[])?;
        segment.time_index().reset(&[])?;
        segment.transactions().reset()?;
        Ok(SegmentWriter::new(segment, self.now_ms))
    }

    fn announce(&self, from: usize, start: Extent) {
        if let Some(progress) = &self.options.progress {
            let total: u64 = self.segments[from..].iter().map(|found| found.size).sum();
            progress.bytes_total.store(total - start.size, Ordering::Release);
        }
    }

    fn scan_segment(
        &mut self,
        index: usize,
        writer: &mut SegmentWriter,
        scan: &mut Scan,
    ) -> Result<Option<Damage>> {
        self.report.segments_scanned += 1;
        let log = Arc::clone(self.segments[index].segment.log());
        let rule = OffsetRule {
            holes_below: if self.holes.anywhere_inside {
                i64::MAX
            } else {
                self.holes.between_below
            },
            limit: self.limit_of(index),
        };
        let mut verifier = Verifier::new(&*log, writer.extent().size, self.segments[index].size, rule);
        loop {
            match verifier.next(scan.expected, scan.epoch)? {
                Verdict::Batch(batch) if batch.header.partition_leader_epoch > self.newest_epoch => {
                    return Ok(Some(Damage {
                        segment: index,
                        position: batch.position,
                        offset: scan.expected,
                        reason: format!(
                            "leader epoch {}, although there was none after {}",
                            batch.header.partition_leader_epoch, self.newest_epoch
                        ),
                    }));
                }
                Verdict::Batch(batch) => self.accept_batch(index, &batch, writer, scan)?,
                Verdict::End => {
                    scan.compacted |= verifier.gaps_seen();
                    return Ok(None);
                }
                Verdict::Legacy => {
                    return Err(Error::Corrupt {
                        path: log.path().to_owned(),
                        position: verifier.position(),
                        offset: scan.expected,
                        reason: "message format v0/v1 is not supported".to_owned(),
                    });
                }
                Verdict::Bad(reason) => {
                    return Ok(Some(Damage {
                        segment: index,
                        position: verifier.position(),
                        offset: scan.expected,
                        reason,
                    }));
                }
            }
        }
    }

    fn accept_batch(
        &mut self,
        index: usize,
        batch: &Located,
        writer: &mut SegmentWriter,
        scan: &mut Scan,
    ) -> Result<()> {
        let header = &batch.header;
        let segment = &self.segments[index].segment;
        writer.note_batch(header, self.config.index_interval_bytes)?;
        let marker = read_marker(segment, batch)?;
        scan.replayed.producers.make_room(1)?;
        let completed = scan.replayed.producers.record(header, marker);
        scan.replayed.stability.note(header, completed.as_ref());
        if let Some(completed) = completed
            && completed.aborted
        {
            segment.transactions().append(completed.into())?;
        }
        // No producer leaves out records of a batch, and none sets a delete horizon.
        scan.compacted |= header.record_count <= header.last_offset_delta || header.has_delete_horizon();
        if header.partition_leader_epoch > scan.epoch {
            scan.epoch = header.partition_leader_epoch;
            self.epochs.push((scan.epoch, header.base_offset));
        }
        scan.expected = header.next_offset();
        self.report.bytes_scanned += header.size() as u64;
        if let Some(progress) = &self.options.progress {
            progress
                .bytes_done
                .fetch_add(header.size() as u64, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Whether the next segment does not go on where this one ends. A compacted log may have holes.
    fn misfit(&self, index: usize, scan: &Scan) -> Option<Damage> {
        let next = self.segments.get(index + 1)?.segment.base_offset();
        let hole_allowed = next <= self.holes.between_below || (self.holes.by_evidence && scan.compacted);
        let fits = next == scan.expected || (hole_allowed && next > scan.expected);
        (!fits).then(|| Damage {
            segment: index,
            position: self.segments[index].size,
            offset: scan.expected,
            reason: format!(
                "the segment ends at {}, the next one starts at {next}",
                scan.expected
            ),
        })
    }

    /// Cuts the log at `damage` if it is the torn end of the log, or if losing records is allowed.
    fn cut_or_refuse(&mut self, damage: &Damage) -> Result<()> {
        let Found { segment, size, .. } = &self.segments[damage.segment];
        let log = Arc::clone(segment.log());
        // Not only offsets from `damage.offset` on: that one may be wrong itself, as no checksum covers the offset of
        // the batch before.
        let tail = look_for_batch(&*log, damage.position, *size, segment.base_offset())?;
        let behind = match tail.batch {
            Some((position, offset)) => Some((log.path().to_owned(), position, offset)),
            None => self.batch_after(damage.segment)?,
        };
        let why = match behind {
            Some((path, position, offset)) => Some(format!(
                "a sound batch follows at byte {position} of {} (offset {offset})",
                path.display()
            )),
            None if damage.offset < self.options.recovery_point => Some(format!(
                "everything below offset {} was durable",
                self.options.recovery_point
            )),
            None => None,
        };
        if let Some(why) = why {
            if !self.options.allow_data_loss {
                return Err(Error::Corrupt {
                    path: log.path().to_owned(),
                    position: damage.position,
                    offset: damage.offset,
                    reason: format!("{}; {why}", damage.reason),
                });
            }
            self.report.warnings.push(format!("records were dropped: {why}"));
        }
        self.cut(damage, tail.zeros)
    }

    /// The first sound batch in the segments after `index`.
    fn batch_after(&self, index: usize) -> Result<Option<(std::path::PathBuf, u64, i64)>> {
        for Found { segment, size, .. } in &self.segments[index + 1..] {
            let tail = look_for_batch(&**segment.log(), 0, *size, segment.base_offset())?;
            if let Some((position, offset)) = tail.batch {
                return Ok(Some((segment.log().path().to_owned(), position, offset)));
            }
        }
        Ok(None)
    }

    /// Cuts the log at `damage`. Later segments go first and the end of this one last, so that a crash in
    /// between leaves the damage in place, for the next start to find.
    fn cut(&mut self, damage: &Damage, zeros: bool) -> Result<()> {
        let fs = &*self.space.fs;
        for Found { segment, size, .. } in self.segments[damage.segment + 1..].iter().rev() {
            // Its indexes before it: without a log they would tell of a loss.
            segment.remove_beside_log()?;
            if *size > 0 {
                fs.rename(segment.log().path(), &self.corrupt_path(segment.log().path(), 0)?)?;
            }
            segment.remove()?;
            self.report.truncated_bytes += *size;
        }
        self.segments.truncate(damage.segment + 1);
        let found = &mut self.segments[damage.segment];
        let log = Arc::clone(found.segment.log());
        let cut = found.size - damage.position;
        found.size = damage.position;
        self.report.truncated_bytes += cut;
        self.report.warnings.push(format!(
            "{}: cut at byte {} (offset {}), {cut} bytes less: {}",
            log.path().display(),
            damage.position,
            damage.offset,
            damage.reason
        ));
        if cut > 0 && !zeros {
            self.keep_corrupt(&*log, damage.position, cut)?;
        }
        fs.sync_dir(&self.space.dir)?;
        log.set_len(damage.position)
    }

    /// Copies what is about to be cut off. A full disk is no reason not to start.
    fn keep_corrupt(&mut self, log: &dyn File, position: u64, len: u64) -> Result<()> {
        let path = self.corrupt_path(log.path(), position)?;
        let copied = self.space.fs.open(&path, OpenMode::Truncate).and_then(|copy| {
            let mut buffer = vec![0; COPY_CHUNK.min(len as usize)];
            let mut done = 0;
            while done < len {
                let chunk = (len - done).min(buffer.len() as u64) as usize;
                log.read_exact_at(&mut buffer[..chunk], position + done)?;
                copy.write_all_at(&buffer[..chunk], done)?;
                done += chunk as u64;
            }
            copy.sync_data()
        });
        match copied {
            Err(error @ Error::NoSpace { .. }) => {
                self.report
                    .warnings
                    .push(format!("the bytes that were cut off are lost: {error}"));
                self.space.fs.remove_file(&path)
            }
            other => other,
        }
    }

    /// A free name for bytes cut off at `position`.
    fn corrupt_path(&self, log: &std::path::Path, position: u64) -> Result<std::path::PathBuf> {
        debug_assert!(log.to_string_lossy().ends_with(FileKind::Log.suffix()));
        let mut path = with_suffix(log, &format!(".{position}{CORRUPT}"));
        let mut attempt = 1;
        while self.space.fs.exists(&path)? {
            path = with_suffix(log, &format!(".{position}.{attempt}{CORRUPT}"));
            attempt += 1;
        }
        Ok(path)
    }
}
