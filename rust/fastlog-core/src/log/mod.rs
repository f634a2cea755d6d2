//! The log of one partition: ordered segments in one directory (Kafka: `UnifiedLog`, `LocalLog`).
//!
//! One writer at a time holds a mutex. Readers take a snapshot of the segment list and see what was published
//! by release stores; they wait for nobody's system call.
//!
//! Locks, in the order in which they may be taken: `compaction.running`, `layout`, `writer`, `flushing`,
//! `compaction.stored`, `txn_checksums`, then any one of the short ones (`segments`, `sealed`, `unsynced_snapshots`, `epochs`,
//! `stability`, `trash`, `config`, `compaction.checkpoint`). The first one is held while a log is compacted, the
//! second one by whoever renames or removes segments, so that an append does not wait for the fsyncs of a swap.

mod append;
mod at_once;
mod compact;
mod compaction_checkpoint;
mod compaction_control;
mod compaction_output;
mod compaction_state;
mod compaction_swap;
mod config;
mod epochs;
mod evidence;
mod flush;
mod follow;
mod hanging;
mod leftovers;
mod open;
mod read;
mod recover;
mod replay;
mod retention;
mod roll;
mod scan;
mod segments;
mod soundness;
mod stability;
mod swaps;
mod timestamps;
mod truncate;
mod txn_checkpoint;
mod unreplicated;
mod verification;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use crate::cause::Cause;
use crate::clock::Clock;
use crate::env::FileSystem;
use crate::error::{Error, Result, is_not_found};
use crate::leader_epochs::{EpochReader, LeaderEpochs};
use crate::producer_state::{ActiveProducer, ProducerState};
use crate::segment::{Segment, SegmentSpace, SegmentWriter};

pub use append::{AppendError, AppendInfo, AppendOptions};
pub use at_once::MOST_BYTES as MOST_BYTES_AT_ONCE;
pub use config::LogConfig;
pub use open::{OpenOptions, Progress, RecoveryReport};
pub use read::ReadSlice;
pub use retention::{DeletedSegment, DeletionReason};
pub use segments::SegmentInfo;
pub use soundness::{ScrubPosition, Scrubbed};
pub use timestamps::TimestampOffset;
pub use verification::VerifiedBatch;

/// The log of one partition. Shared freely between threads.
#[derive(Debug)]
pub struct PartitionLog {
    space: SegmentSpace,
    clock: Arc<dyn Clock>,
    config: RwLock<Arc<LogConfig>>,
    writer: Mutex<Writer>,
    segments: RwLock<Arc<[Arc<Segment>]>>,
    log_start_offset: AtomicI64,
    log_end_offset: AtomicI64,
    recovery_point: AtomicI64,
    /// Bytes appended since the log was opened, and how many of them are durable: see `unflushed_bytes`.
    appended_bytes: AtomicU64,
    flushed_bytes: AtomicU64,
    /// Held by whoever flushes.
    flushing: Mutex<()>,
    /// Segments that get no more batches and have not been made durable since.
    sealed: Mutex<Vec<Arc<Segment>>>,
    /// Producer snapshots that have not been made durable since they were written.
    unsynced_snapshots: Mutex<Vec<Arc<PathBuf>>>,
    /// Files were made, renamed or removed since the directory was last synced.
    directory_changed: AtomicBool,
    /// Held while they are written to the disk.
    epochs: Mutex<LeaderEpochs>,
    /// The same for readers.
    epoch_reader: EpochReader,
    /// The latest leader epoch, -1 none: the append path compares with it without a lock.
    latest_epoch: AtomicI32,
    stability: Mutex<stability::Stability>,
    /// Held while they are written to the disk.
    txn_checksums: Mutex<txn_checkpoint::Noted>,
    trash: Mutex<Vec<retention::Trash>>,
    /// Held by whoever renames or removes segments.
    layout: Mutex<()>,
    compaction: compaction_control::CompactionControl,
    /// A file of the log could not be read while it was sent.
    send_failed: Arc<AtomicBool>,
    /// The last append found no room on the disk.
    out_of_room: AtomicBool,
    failure: OnceLock<Failure>,
    /// Damage in the log's own files, which is a failure too.
    damage: OnceLock<String>,
}

/// Why a log takes no more work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened, in words.
    pub reason: String,
    /// Whether the log is alone with that, or its disk is at fault.
    pub cause: Cause,
}

/// What the writer's mutex protects.
#[derive(Debug)]
struct Writer {
    active: SegmentWriter,
    producers: ProducerState,
    /// What this segment's age limit is shortened by.
    jitter_ms: i64,
    /// Records since the last flush that `flush.messages` has asked for.
    unflushed_records: i64,
    /// The latest leader epoch that the log was led or followed in, -1 none. It never falls, whatever is truncated.
    fence: i32,
    /// Batches below this offset are acknowledged when they are durable, and not before, by `flush.messages`.
    flush_promised_below: i64,
    /// A cut that a shortage interrupted. It has to be finished before anything else happens.
    unfinished_cut: Option<truncate::Cut>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while a lock was held is a bug that the caller sees; the state behind the lock is only ever
    // changed in steps that leave it usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PartitionLog {
    /// The partition directory.
    pub fn dir(&self) -> &Path {
        &self.space.dir
    }

    /// The file system that the log lives on.
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.space.fs
    }

    /// First offset that may be read.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start_offset.load(Ordering::Acquire)
    }

    /// Offset that the next record gets.
    pub fn log_end_offset(&self) -> i64 {
        self.log_end_offset.load(Ordering::Acquire)
    }

    /// Everything below this offset is durable.
    pub fn recovery_point(&self) -> i64 {
        self.recovery_point.load(Ordering::Acquire)
    }

    /// Bytes appended and not yet known to be durable.
    pub fn unflushed_bytes(&self) -> u64 {
        let flushed = self.flushed_bytes.load(Ordering::Acquire);
        self.appended_bytes
            .load(Ordering::Acquire)
            .saturating_sub(flushed)
    }

    /// Whether the last append found no room on the disk. The next one may find some.
    pub fn is_out_of_room(&self) -> bool {
        self.out_of_room.load(Ordering::Relaxed)
    }

    /// The first error that the log met and that does not pass. From then on every operation that touches the
    /// disk fails with [`Error::Offline`].
    pub fn failure(&self) -> Option<Failure> {
        self.failure.get().cloned()
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another configuration into force, from the next operation on.
    pub fn update_config(&self, config: LogConfig) {
        lock(&self.writer)
            .producers
            .set_expiration_ms(config.producer_id_expiration_ms);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// The idempotent and transactional producers that the log knows, by id.
    pub fn active_producers(&self) -> Vec<ActiveProducer> {
        lock(&self.writer).producers.active()
    }

    /// The first `most` of them whose ids are larger than `above`.
    pub fn active_producers_above(&self, above: i64, most: usize) -> Vec<ActiveProducer> {
        lock(&self.writer).producers.active_above(above, most)
    }

    /// Forgets producers that have been silent for longer than `producer.id.expiration.ms`; returns how many.
    pub fn expire_producers(&self, now_ms: i64) -> usize {
        let expiration_ms = self.config().producer_id_expiration_ms;
        lock(&self.stability).verifications.expire(now_ms, expiration_ms);
        lock(&self.writer).producers.expire(now_ms)
    }

    fn check_online(&self) -> Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(failure) => Err(Error::Offline {
                path: self.space.dir.clone(),
                reason: failure.reason.clone(),
            }),
        }
    }

    /// Takes the log offline when `result` is an I/O error that does not pass. A full disk, a shortage of the
    /// process and wrong arguments cost this operation alone, and a directory that was moved away is no fault of
    /// what was in it.
    fn guard<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && let Some(cause) = error.cause().filter(|cause| !cause.passes())
            && !(is_not_found(error) && matches!(self.space.fs.exists(&self.space.dir), Ok(false)))
        {
            self.fail(error.to_string(), cause);
        }
        result
    }

    /// Takes the log offline. The first reason stays: later ones are its consequences.
    fn fail(&self, reason: String, cause: Cause) {
        let _ = self.failure.set(Failure { reason, cause });
    }

    /// Flushes, writes the producer state and the indexes out: the state from which a clean start needs no
    /// scan. The log must not be appended to afterwards.
    pub fn close(&self) -> Result<()> {
        self.end_compaction();
        let writer = self.settled_writer()?;
        self.guard((|| {
            writer.active.seal()?;
            self.flush(None)?;
            writer.active.segment().sync(true)?;
            self.note_txn_indexes(true)?;
            writer
                .producers
                .write_snapshot(&*self.space.fs, &self.space.dir, self.log_end_offset())
        })())?;
        // Whoever closes a log may rename its directory next.
        self.keep_readable();
        Ok(())
    }

    /// Removes the directory with everything in it. Readers that hold slices may go on reading them.
    pub fn delete(&self) -> Result<()> {
        self.end_compaction();
        let _layout = lock(&self.layout);
        let _writer = lock(&self.writer);
        self.delete_dir(&self.space.dir)
    }

    /// Like [`Self::delete`] for a log whose directory was renamed to `dir` after it was opened.
    pub fn delete_at(&self, dir: &Path) -> Result<()> {
        self.end_compaction();
        let _layout = lock(&self.layout);
        let _writer = lock(&self.writer);
        self.delete_dir(dir)
    }

    fn delete_dir(&self, dir: &Path) -> Result<()> {
        self.keep_readable();
        let result = self
            .space
            .fs
            .remove_dir_all(dir)
            .and_then(|()| match dir.parent() {
                Some(parent) => self.space.fs.sync_dir(parent),
                None => Ok(()),
            });
        self.fail("the log was deleted".to_owned(), Cause::File);
        result
    }

    /// The names of the files go, or another log's files get them: readers that hold slices go on all the same.
    fn keep_readable(&self) {
        for segment in self.snapshot().iter() {
            segment.keep_readable();
        }
    }

    fn path_of_epochs(dir: &Path) -> PathBuf {
        dir.join(LeaderEpochs::FILE_NAME)
    }
}
