//! Opening a partition directory.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use super::compaction_checkpoint::CompactionCheckpoint;
use super::compaction_control::CompactionControl;
use super::recover::{Holes, Loaded, Recovery};
use super::roll::draw_jitter;
use super::{LogConfig, PartitionLog, Writer, leftovers};
use crate::clock::Clock;
use crate::env::FileSystem;
use crate::error::{Error, Result};
use crate::leader_epochs::LeaderEpochs;
use crate::segment::{HeaderWalk, Segment, SegmentSpace};

/// What is known about a log before it is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Everything below this offset was durable (`recovery-point-offset-checkpoint`).
    pub recovery_point: i64,
    /// First offset that may be read (`log-start-offset-checkpoint`).
    pub log_start_offset: i64,
    /// Everything below this offset may have been compacted (`cleaner-offset-checkpoint`), in addition to what
    /// the log itself knows.
    pub compacted_below: i64,
    /// The log was closed before the process ended: no scan is needed.
    pub clean_shutdown: bool,
    /// Where records are damaged, drop what cannot be read instead of refusing to open. The bytes are kept
    /// in `.corrupt` files.
    pub allow_data_loss: bool,
    /// Is told how far a scan has got.
    pub progress: Option<Arc<Progress>>,
}

/// How far recovery has got, readable while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes to scan; 0 until that is known.
    pub bytes_total: AtomicU64,
    /// Bytes scanned.
    pub bytes_done: AtomicU64,
}

/// What opening a log had to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments of which batches were read and checked.
    pub segments_scanned: usize,
    /// Bytes of those batches.
    pub bytes_scanned: u64,
    /// Bytes that were cut off the end of the log.
    pub truncated_bytes: u64,
    /// Segments whose indexes were rebuilt because they were missing or wrong.
    pub indexes_rebuilt: usize,
    /// What somebody should know.
    pub warnings: Vec<String>,
}

impl PartitionLog {
    /// Opens the log in `dir`, which is made when it is missing, and brings it into order.
    ///
    /// After a clean shutdown only what cannot be right is looked at. Otherwise everything from the recovery
    /// point on is read and checked: a torn end is cut off, damage anywhere else fails with
    /// [`Error::Corrupt`] and changes nothing. Directories of Apache Kafka open the same way.
    #[allow(clippy::needless_pass_by_value)] // an opened log owns its surroundings; so says the signature
    pub fn open(
        dir: &Path,
        config: LogConfig,
        fs: Arc<dyn FileSystem>,
        clock: Arc<dyn Clock>,
        options: OpenOptions,
    ) -> Result<(Self, RecoveryReport)> {
        let space = SegmentSpace {
            fs: Arc::clone(&fs),
            dir: dir.to_owned(),
            index_max_bytes: config.index_max_bytes,
        };
        if !fs.exists(dir)? {
            fs.create_dir_all(dir)?;
            if let Some(parent) = dir.parent() {
                fs.sync_dir(parent)?;
            }
        }
        let mut report = RecoveryReport::default();
        let files = leftovers::sweep(&space, &mut report)?;
        let found = load_compaction_checkpoint(&space, &mut report)?;
        let mut compacted = found.unwrap_or_default();
        let mut stored_below = found.map_or(-1, |found| found.compacted_below);
        if found.is_none() && files.is_empty() && config.compact {
            compacted.write(&*fs, dir)?;
            stored_below = compacted.compacted_below;
        }
        compacted.compacted_below = compacted.compacted_below.max(options.compacted_below);
        let holes = Holes {
            anywhere_inside: config.compact,
            between_below: compacted.compacted_below,
            by_evidence: found.is_none() && !files.is_empty(),
        };
        let recovery = Recovery::new(&space, &config, &options, clock.now_ms(), holes, report);
        let (loaded, mut report) = recovery.load(files)?;
        let end = loaded.active.extent().next_offset;
        // What was compacted is durable: a log that ends before was cut by a repair, or comes from a backup.
        compacted.compacted_below = compacted.compacted_below.min(end);
        if stored_below > end {
            // Otherwise it would be true again as soon as other records are there.
            compacted.write(&*fs, dir)?;
            stored_below = end;
        }
        let unjudged_below = if holes.by_evidence {
            loaded.active.segment().base_offset()
        } else {
            0
        };
        let start = options.log_start_offset.max(loaded.segments[0].base_offset());
        let epochs = load_epochs(&space, &loaded, start, &mut report)?;

        let jitter_ms = draw_jitter(config.segment_jitter_ms, loaded.active.segment().base_offset());
        let log = Self {
            space,
            clock,
            config: RwLock::new(Arc::new(config)),
            writer: Mutex::new(Writer {
                active: loaded.active,
                producers: loaded.replayed.producers,
                jitter_ms,
                unflushed_records: 0,
            }),
            segments: RwLock::new(loaded.segments.into()),
            log_start_offset: AtomicI64::new(start),
            log_end_offset: AtomicI64::new(end),
            recovery_point: AtomicI64::new(loaded.recovery_point),
            appended_bytes: AtomicU64::new(report.bytes_scanned),
            flushed_bytes: AtomicU64::new(0),
            flushing: Mutex::default(),
            sealed: Mutex::new(loaded.sealed),
            unsynced_snapshots: Mutex::default(),
            directory_changed: AtomicBool::new(true),
            latest_epoch: AtomicI32::new(epochs.latest().map_or(-1, |(epoch, _)| epoch)),
            epochs: Mutex::new(epochs),
            stability: Mutex::new(loaded.replayed.stability),
            trash: Mutex::default(),
            layout: Mutex::default(),
            compaction: CompactionControl::new(compacted, stored_below, unjudged_below),
            failure: OnceLock::new(),
        };
        Ok((log, report))
    }
}

/// Without the checkpoint, or with a damaged one, the log is judged by what is found in it.
fn load_compaction_checkpoint(
    space: &SegmentSpace,
    report: &mut RecoveryReport,
) -> Result<Option<CompactionCheckpoint>> {
    match CompactionCheckpoint::read(&*space.fs, &space.dir) {
        Err(error @ Error::Corrupt { .. }) => {
            report.warnings.push(error.to_string());
            Ok(None)
        }
        other => other,
    }
}

/// The leader epochs of `[start, end)`: from the checkpoint, and from the batches that recovery has read.
fn load_epochs(
    space: &SegmentSpace,
    loaded: &Loaded,
    start: i64,
    report: &mut RecoveryReport,
) -> Result<LeaderEpochs> {
    let path = PartitionLog::path_of_epochs(&space.dir);
    let mut epochs = match LeaderEpochs::open(Arc::clone(&space.fs), &path) {
        Err(error @ Error::Corrupt { .. }) => {
            report
                .warnings
                .push(format!("leader epochs are read from the log again: {error}"));
            let mut epochs = LeaderEpochs::empty(Arc::clone(&space.fs), &path);
            for segment in &loaded.segments {
                assign_epochs_of(segment, &mut epochs)?;
            }
            epochs
        }
        other => other?,
    };
    epochs.truncate_from_end(loaded.active.extent().next_offset)?;
    for (epoch, offset) in &loaded.epochs {
        if epochs.latest().is_none_or(|(latest, _)| latest < *epoch) {
            epochs.assign(*epoch, *offset)?;
        }
    }
    epochs.truncate_from_start(start)?;
    Ok(epochs)
}

fn assign_epochs_of(segment: &Segment, epochs: &mut LeaderEpochs) -> Result<()> {
    let mut walk = HeaderWalk::new(&**segment.log(), 0, segment.extent().size);
    let mut expected = segment.base_offset();
    while let Some(batch) = walk.next(expected)? {
        expected = batch.header.next_offset();
        let epoch = batch.header.partition_leader_epoch;
        if epoch >= 0 && epochs.latest().is_none_or(|(latest, _)| latest < epoch) {
            epochs.assign(epoch, batch.header.base_offset)?;
        }
    }
    Ok(())
}
