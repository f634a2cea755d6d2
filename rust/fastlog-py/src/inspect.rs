//! Reading segment files that no log has open: for tools that look at a directory offline.

use std::path::Path;
use std::sync::Arc;

use fastlog_core::env::{FileSystem, OpenMode, StdFs};
use fastlog_core::segment::{Located, OffsetRule, Verdict, Verifier, look_for_batch};
use fastlog_core::{Error, OpenOptions, PartitionLog, Result};
use pyo3::prelude::*;

use crate::errors::IntoPyResult;

/// (position, size, base offset, last offset, records, leader epoch, attributes, base timestamp,
/// max timestamp, (producer id, producer epoch, base sequence), CRC)
type BatchRow = (u64, u64, i64, i64, i32, i32, i16, i64, i64, (i64, i16, i32), u32);
/// (position, reason, (position, base offset) of a sound batch there or further on, whether only zeros follow)
type Problem = (u64, String, Option<(u64, i64)>, bool);

/// What one call found: rows, where the next call goes on (position, offset, epoch), what is wrong there.
type Found = (Vec<BatchRow>, (u64, i64, i32), Option<Problem>);

/// The next batches of a segment file, checked as recovery checks them.
#[pyfunction]
#[pyo3(signature = (path, base_offset, position, expected, epoch, limit))]
pub fn scan_segment(
    py: Python<'_>,
    path: &str,
    base_offset: i64,
    position: u64,
    expected: i64,
    epoch: i32,
    limit: usize,
) -> PyResult<Found> {
    py.detach(|| scan(Path::new(path), base_offset, position, expected, epoch, limit))
        .into_py_result(py)
}

/// Why the log in a partition's directory would be refused for what is missing; `None` when nothing is.
#[pyfunction]
#[pyo3(signature = (path, *, recovery_point=0, log_start_offset=0, offsets_are_exact=false, adopted=false))]
pub fn look_for_missing(
    py: Python<'_>,
    path: &str,
    recovery_point: i64,
    log_start_offset: i64,
    offsets_are_exact: bool,
    adopted: bool,
) -> PyResult<Option<String>> {
    let options = OpenOptions {
        recovery_point,
        log_start_offset,
        offsets_are_exact,
        adopted,
        ..OpenOptions::default()
    };
    let fs: Arc<dyn FileSystem> = Arc::new(StdFs);
    match py.detach(|| PartitionLog::look_for_missing(Path::new(path), &fs, &options)) {
        Err(error @ Error::Corrupt { .. }) => Ok(Some(error.to_string())),
        other => other.map(|()| None).into_py_result(py),
    }
}

fn scan(
    path: &Path,
    base_offset: i64,
    position: u64,
    mut expected: i64,
    mut epoch: i32,
    limit: usize,
) -> Result<Found> {
    let file = StdFs.open(path, OpenMode::Read)?;
    let end = file.len()?;
    if position > end {
        return Err(Error::InvalidArgument(format!(
            "position {position} is behind the end of {}",
            path.display()
        )));
    }
    // Offsets may be missing anywhere: compaction removes them, and only the log knows up to where it went.
    let rule = OffsetRule {
        holes_below: i64::MAX,
        // What the indexes of a segment can hold.
        limit: base_offset.saturating_add(1 << 31),
    };
    let mut verifier = Verifier::new(&*file, position, end, rule);
    let mut rows = Vec::new();
    let mut problem = None;
    while rows.len() < limit {
        match verifier.next(expected, epoch)? {
            Verdict::Batch(located) => {
                expected = located.header.next_offset();
                epoch = epoch.max(located.header.partition_leader_epoch);
                rows.push(row(&located));
            }
            Verdict::End => break,
            Verdict::Legacy => {
                let reason = "a message of format 0 or 1, from before Kafka 0.11".to_owned();
                problem = Some((verifier.position(), reason, None, false));
                break;
            }
            Verdict::Bad(reason) => {
                let at = verifier.position();
                let mut tail = look_for_batch(&*file, at, end, base_offset)?;
                if tail.batch.is_some_and(|(_, offset)| offset >= rule.limit) {
                    // A whole batch in the wrong place. Better one that belongs there, from which to go on.
                    let behind = look_for_batch(&*file, at + 1, end, base_offset)?;
                    tail.batch = behind.batch.or(tail.batch);
                }
                let zeros = tail.zeros && file_starts_with_zero(&*file, at)?;
                problem = Some((at, reason, tail.batch, zeros));
                break;
            }
        }
    }
    Ok((rows, (verifier.position(), expected, epoch), problem))
}

fn file_starts_with_zero(file: &dyn fastlog_core::env::File, at: u64) -> Result<bool> {
    let mut byte = [1];
    Ok(file.read_at(&mut byte, at)? == 1 && byte[0] == 0)
}

fn row(located: &Located) -> BatchRow {
    let header = &located.header;
    (
        located.position,
        header.size() as u64,
        header.base_offset,
        header.last_offset(),
        header.record_count,
        header.partition_leader_epoch,
        header.attributes,
        header.base_timestamp,
        header.max_timestamp,
        (header.producer_id, header.producer_epoch, header.base_sequence),
        header.crc,
    )
}
