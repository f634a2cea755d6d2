//! One segment: a `.log` file with its indexes (Kafka: `LogSegment`).
//!
//! Readers share a [`Segment`]; the one writer holds a [`SegmentWriter`] over it. What readers may see is
//! one number, written after the bytes are: the end offset and the size together, so that both always fit.

mod checked;
mod cleaned;
mod deleted;
mod find;
mod transactions;
mod verify;
mod walk;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::env::{File, FileSystem, OpenMode};
use crate::error::{Error, Result, is_not_found};
use crate::filenames::{FileKind, file_path, with_suffix};
use crate::index::{OffsetIndex, TimeIndex, TimestampedOffset};

use checked::Checked;
pub use checked::EpochAt;
pub use find::SegmentEnd;
pub use transactions::Transactions;
pub use verify::{OffsetRule, Tail, Verdict, Verifier, look_for_batch};
pub use walk::{HeaderWalk, Located, implausible};
pub use writer::{RollLimits, SegmentWriter};

/// Largest size of a segment: positions in Kafka's indexes are signed 32-bit numbers.
pub const MAX_SEGMENT_SIZE: u64 = i32::MAX as u64;

/// Nothing in a segment has a timestamp.
pub const NO_TIMESTAMP: i64 = -1;

/// What of a segment may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Offset after the last one.
    pub next_offset: i64,
    /// Bytes.
    pub size: u64,
}

/// Where a segment lives and what limits it.
#[derive(Debug, Clone)]
pub struct SegmentSpace {
    /// The file system.
    pub fs: Arc<dyn FileSystem>,
    /// The partition directory.
    pub dir: PathBuf,
    /// `segment.index.bytes`.
    pub index_max_bytes: usize,
}

/// Lengths of a segment's files, `None` where one is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SegmentFiles {
    /// `.log`
    pub log: Option<u64>,
    /// `.index`
    pub offset_index: Option<u64>,
    /// `.timeindex`
    pub time_index: Option<u64>,
    /// `.txnindex`
    pub transaction_index: Option<u64>,
}

/// A stretch of the log in one file.
#[derive(Debug)]
pub struct Segment {
    space: SegmentSpace,
    base_offset: i64,
    log: Arc<dyn File>,
    /// End offset relative to the base in the upper half, size in the lower.
    extent: AtomicU64,
    /// Largest timestamp; `None` until somebody asked a segment that was found on disk.
    largest: Mutex<Option<TimestampedOffset>>,
    /// Largest timestamp of the first batch, once somebody asked a sealed segment.
    first_timestamp: Mutex<Option<i64>>,
    offset_index: OffsetIndex,
    time_index: TimeIndex,
    transactions: Transactions,
    checked: Checked,
    /// How many files that had its names waited to be unlinked when it joined them.
    deleted_beside: OnceLock<u32>,
}

impl Segment {
    /// Makes an empty segment, in place of leftovers with the same name. `reserve` bytes are allocated for it.
    pub fn create(space: &SegmentSpace, base_offset: i64, reserve: Option<u64>) -> Result<Self> {
        Self::create_as(space, base_offset, reserve, "")
    }

    /// Like [`Self::create`], with `suffix` after the names of all files.
    fn create_as(space: &SegmentSpace, base_offset: i64, reserve: Option<u64>, suffix: &str) -> Result<Self> {
        let SegmentSpace {
            fs,
            dir,
            index_max_bytes,
        } = space;
        let path = |kind| with_suffix(&file_path(dir, base_offset, kind), suffix);
        let begun = Begun::new(
            &**fs,
            [FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::Log].map(path),
        );
        // The indexes first: a log file without indexes is one more thing to repair after a crash.
        let offset_index = OffsetIndex::create(
            Arc::clone(fs),
            path(FileKind::OffsetIndex),
            base_offset,
            *index_max_bytes,
        )?;
        let time_index = TimeIndex::create(
            Arc::clone(fs),
            path(FileKind::TimeIndex),
            base_offset,
            *index_max_bytes,
        )?;
        if fs.exists(&path(FileKind::TransactionIndex))? {
            fs.remove_file(&path(FileKind::TransactionIndex))?;
        }
        let log = fs.open(&path(FileKind::Log), OpenMode::Truncate)?;
        if let Some(len) = reserve {
            log.reserve(len)?;
        }
        begun.complete();
        Ok(Self {
            space: space.clone(),
            base_offset,
            log,
            extent: AtomicU64::new(0),
            largest: Mutex::new(Some(TimestampedOffset {
                timestamp: NO_TIMESTAMP,
                offset: base_offset,
            })),
            first_timestamp: Mutex::default(),
            offset_index,
            time_index,
            transactions: Transactions::empty(Arc::clone(fs), &path(FileKind::TransactionIndex)),
            checked: Checked::ours(),
            deleted_beside: OnceLock::new(),
        })
    }

    /// Opens a segment that is on disk. Until [`Self::publish`] says otherwise nothing of it can be read.
    ///
    /// An index that is missing or cannot be true comes back empty; the second result says why, and the caller
    /// has to rebuild it. A damaged transaction index is an error of its own in the third.
    pub fn open(
        space: &SegmentSpace,
        base_offset: i64,
        files: SegmentFiles,
    ) -> Result<(Self, Option<String>, Option<String>)> {
        let SegmentSpace {
            fs,
            dir,
            index_max_bytes,
        } = space;
        let path = |kind| file_path(dir, base_offset, kind);
        let log = fs.open(&path(FileKind::Log), OpenMode::Write)?;
        let size = log.len()?;
        if size > MAX_SEGMENT_SIZE {
            return Err(Error::Corrupt {
                path: log.path().to_owned(),
                position: MAX_SEGMENT_SIZE,
                offset: base_offset,
                reason: format!("{size} bytes are more than a segment can have"),
            });
        }
        let mut rebuild = None;
        let offset_path = path(FileKind::OffsetIndex);
        let offset_index = match files.offset_index {
            Some(len) => OffsetIndex::open(
                Arc::clone(fs),
                offset_path.clone(),
                len,
                base_offset,
                *index_max_bytes,
            ),
            None => Err(missing(&offset_path)),
        };
        let offset_index = or_else_empty(offset_index, &mut rebuild, || {
            OffsetIndex::create(Arc::clone(fs), offset_path, base_offset, *index_max_bytes)
        })?;
        let time_path = path(FileKind::TimeIndex);
        let time_index = match files.time_index {
            Some(len) => TimeIndex::open(
                Arc::clone(fs),
                time_path.clone(),
                len,
                base_offset,
                *index_max_bytes,
            ),
            None => Err(missing(&time_path)),
        };
        let time_index = or_else_empty(time_index, &mut rebuild, || {
            TimeIndex::create(Arc::clone(fs), time_path, base_offset, *index_max_bytes)
        })?;
        let mut damaged = None;
        let transaction_path = path(FileKind::TransactionIndex);
        let transactions = match files.transaction_index {
            Some(_) => Transactions::open(Arc::clone(fs), &transaction_path, base_offset, size),
            None => Ok(Transactions::empty(Arc::clone(fs), &transaction_path)),
        };
        let transactions = or_else_empty(transactions, &mut damaged, || {
            Ok(Transactions::empty(Arc::clone(fs), &transaction_path))
        })?;
        let segment = Self {
            space: space.clone(),
            base_offset,
            log,
            extent: AtomicU64::new(0),
            largest: Mutex::new(None),
            first_timestamp: Mutex::default(),
            offset_index,
            time_index,
            transactions,
            checked: Checked::unknown(),
            deleted_beside: OnceLock::new(),
        };
        Ok((segment, rebuild, damaged))
    }

    /// Lowest offset that the segment can hold; its name.
    pub fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// The `.log` file.
    pub fn log(&self) -> &Arc<dyn File> {
        &self.log
    }

    /// What may be read.
    pub fn extent(&self) -> Extent {
        let packed = self.extent.load(Ordering::Acquire);
        Extent {
            next_offset: self.base_offset + (packed >> 32) as i64,
            size: packed & u64::from(u32::MAX),
        }
    }

    /// Makes everything up to `extent` visible to readers.
    pub fn publish(&self, extent: Extent) {
        let relative = (extent.next_offset - self.base_offset).clamp(0, i64::from(u32::MAX)) as u64;
        self.extent.store(relative << 32 | extent.size, Ordering::Release);
    }

    /// The offset index.
    pub fn offset_index(&self) -> &OffsetIndex {
        &self.offset_index
    }

    /// The time index.
    pub fn time_index(&self) -> &TimeIndex {
        &self.time_index
    }

    /// The transaction index.
    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// Whether first and last index entries fit what the segment holds; the answer is the reason if not.
    pub fn check_indexes(&self, extent: Extent) -> Result<Result<(), String>> {
        match self.offset_index.check(extent.next_offset, extent.size)? {
            Ok(()) => self.time_index.check(extent.next_offset),
            damage => Ok(damage),
        }
    }

    /// Whether all entries of both indexes rise, as they must.
    pub fn indexes_rise(&self) -> Result<bool> {
        Ok(self.offset_index.rises()? && self.time_index.rises()?)
    }

    /// The largest timestamp and the last offset of the first batch that has it; the timestamp is
    /// [`NO_TIMESTAMP`] when no batch has one. Fails with [`Error::Corrupt`] when neither index nor batches tell.
    pub fn largest_timestamp(&self) -> Result<TimestampedOffset> {
        let mut largest = self.largest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = *largest {
            return Ok(known);
        }
        // The last thing that happens to a segment is an entry for its largest timestamp. Retention goes by it, so it
        // is believed only when the batch that it names says the same.
        let read = match self.time_index.last()? {
            Some(entry) if self.has_timestamp(entry)? => entry,
            _ => self.largest_in_batches()?,
        };
        *largest = Some(read);
        Ok(read)
    }

    /// Whether the batch that holds the offset of `entry` has its timestamp.
    fn has_timestamp(&self, entry: TimestampedOffset) -> Result<bool> {
        let extent = self.extent();
        let says_so = |batch: &Located| {
            (batch.header.base_offset..=batch.header.last_offset()).contains(&entry.offset)
                && batch.header.max_timestamp == entry.timestamp
        };
        // Most often it is the last batch, which can be found without a map of the index.
        if let Some(last) = self.offset_index.last()?
            && last.offset == entry.offset
            && u64::from(last.position) < extent.size
        {
            let mut walk = HeaderWalk::new(&*self.log, last.position.into(), extent.size);
            if let Ok(Some(batch)) = walk.next(self.base_offset) {
                return Ok(says_so(&batch));
            }
        }
        match self.find(entry.offset, extent) {
            Err(Error::Corrupt { .. }) => Ok(false),
            found => Ok(found?.is_some_and(|batch| says_so(&batch))),
        }
    }

    /// The largest timestamp as the headers of the batches have it.
    fn largest_in_batches(&self) -> Result<TimestampedOffset> {
        let mut largest = TimestampedOffset {
            timestamp: NO_TIMESTAMP,
            offset: self.base_offset,
        };
        let mut walk = HeaderWalk::new(&*self.log, 0, self.extent().size);
        let mut expected = self.base_offset;
        while let Some(Located { header, .. }) = walk.next(expected)? {
            expected = header.next_offset();
            if header.record_count != 0 && header.max_timestamp > largest.timestamp {
                largest = TimestampedOffset {
                    timestamp: header.max_timestamp,
                    offset: header.last_offset(),
                };
            }
        }
        Ok(largest)
    }

    fn set_largest_timestamp(&self, largest: TimestampedOffset) {
        *self.largest.lock().unwrap_or_else(PoisonError::into_inner) = Some(largest);
    }

    /// The largest timestamp of the first batch of a segment that gets no more of them; [`NO_TIMESTAMP`] when
    /// there is no batch.
    pub fn first_timestamp(&self) -> Result<i64> {
        let mut known = self
            .first_timestamp
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = *known {
            return Ok(known);
        }
        let first = HeaderWalk::new(&*self.log, 0, self.extent().size).next(self.base_offset)?;
        let timestamp = first.map_or(NO_TIMESTAMP, |batch| batch.header.max_timestamp);
        *known = Some(timestamp);
        Ok(timestamp)
    }

    fn forget_first_timestamp(&self) {
        *self
            .first_timestamp
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// When the log file was last written, in milliseconds since the Unix epoch.
    pub fn modified_ms(&self) -> Result<i64> {
        self.space.fs.modified_ms(self.log.path())
    }

    /// Makes the log, and with `indexes` these too, durable.
    pub fn sync(&self, indexes: bool) -> Result<()> {
        self.log.sync_data()?;
        if indexes {
            self.offset_index.sync()?;
            self.time_index.sync()?;
        }
        self.transactions.sync()
    }

    /// Paths of the files as they are named while the segment is part of the log.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> + '_ {
        FileKind::ALL
            .into_iter()
            .map(|kind| file_path(&self.space.dir, self.base_offset, kind))
    }

    /// Unlinks all files of the segment, the producer snapshot at its base included. The log goes last: indexes
    /// without one would tell of a loss.
    pub fn remove(&self) -> Result<()> {
        self.remove_beside_log()?;
        self.remove_kinds(&[FileKind::Log])
    }

    /// Unlinks the indexes and the producer snapshot.
    pub fn remove_beside_log(&self) -> Result<()> {
        self.remove_kinds(&FileKind::ALL[1..])
    }

    /// Unlinks what an attempt to begin a segment leaves. A producer snapshot that is beside it tells of the log before
    /// it, and stays.
    pub fn remove_begun(&self) -> Result<()> {
        self.remove_kinds(&[
            FileKind::OffsetIndex,
            FileKind::TimeIndex,
            FileKind::TransactionIndex,
            FileKind::Log,
        ])
    }

    fn remove_kinds(&self, kinds: &[FileKind]) -> Result<()> {
        for kind in kinds {
            let path = file_path(&self.space.dir, self.base_offset, *kind);
            match self.space.fs.remove_file(&path) {
                Err(error) if !is_not_found(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The name of the log file goes: whoever holds the file, if somebody does, goes on reading it.
    pub fn keep_readable(&self) {
        if Arc::strong_count(&self.log) > 1 {
            // Without a descriptor left they get an error, as for any other file.
            let _ = self.log.keep_open();
        }
    }
}

/// Files of a segment that is being made. They go again when it cannot be: an index without a log looks like the rest
/// of a log that was lost, and the log that went on before it ends behind the offset at which it begins.
struct Begun<'a> {
    fs: &'a dyn FileSystem,
    paths: Option<[PathBuf; 3]>,
}

impl<'a> Begun<'a> {
    fn new(fs: &'a dyn FileSystem, paths: [PathBuf; 3]) -> Self {
        Self {
            fs,
            paths: Some(paths),
        }
    }

    fn complete(mut self) {
        self.paths = None;
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        for path in self.paths.iter().flatten() {
            // Best effort, as the error that counts is the first one: a start removes what stays.
            let _ = self.fs.remove_file(path);
        }
    }
}

fn missing(path: &Path) -> Error {
    Error::Corrupt {
        path: path.to_owned(),
        position: 0,
        offset: -1,
        reason: "the index is missing".to_owned(),
    }
}

/// An index, or an empty one and the reason in `damage`.
fn or_else_empty<T>(
    opened: Result<T>,
    damage: &mut Option<String>,
    create: impl FnOnce() -> Result<T>,
) -> Result<T> {
    match opened {
        Err(error @ Error::Corrupt { .. }) => {
            *damage = Some(error.to_string());
            create()
        }
        other => other,
    }
}
