//! Opening a partition directory.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use super::compaction_checkpoint::CompactionCheckpoint;
use super::compaction_control::CompactionControl;
use super::evidence::{Evidence, StoredEpochs};
use super::recover::{Holes, Loaded, Recovery};
use super::roll::draw_jitter;
use super::txn_checkpoint::{self, Noted};
use super::{LogConfig, PartitionLog, Writer, leftovers};
use crate::clock::Clock;
use crate::env::FileSystem;
use crate::error::{Error, Result};
use crate::leader_epochs::LeaderEpochs;
use crate::segment::{HeaderWalk, Segment, SegmentSpace};

/// What is known about a log before it is opened.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools)] // facts that do not depend on each other, set by name
pub struct OpenOptions {
    /// Everything below this offset was durable (`recovery-point-offset-checkpoint`).
    pub recovery_point: i64,
    /// First offset that may be read (`log-start-offset-checkpoint`).
    pub log_start_offset: i64,
    /// Both offsets were written when the log was closed: it begins at the one and ends at the other, or is damaged.
    pub offsets_are_exact: bool,
    /// The directory comes from Apache Kafka, which deletes segments before it writes down where the log begins.
    pub adopted: bool,
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
        leftovers::check_kinds(&space)?;
        let stored_epochs = StoredEpochs::read(&space)?;
        let evidence = Evidence::weigh(&options, &stored_epochs);
        let rules = evidence.rules(&options);
        // Before anything is changed, and so before the sweep.
        let first = leftovers::look(&space, rules)?.first_segment();
        evidence.judge(&space, &options, first, &mut report)?;
        let files = leftovers::sweep(&space, rules, &mut report)?;
        let found = load_compaction_checkpoint(&space, &mut report)?;
        let mut compacted = found.unwrap_or_default();
        let mut stored_below = found.map_or(-1, |found| found.compacted_below);
        if found.is_none() && files.is_empty() && config.compact {
            compacted.write(&*fs, dir)?;
            stored_below = compacted.compacted_below;
        }
        compacted.compacted_below = compacted.compacted_below.max(options.compacted_below);
        let holes = Holes {
            anywhere_inside: config.compact && found.is_none(),
            between_below: compacted.compacted_below,
            by_evidence: found.is_none() && !files.is_empty(),
        };
        let txn_checksums = txn_checkpoint::load(&*fs, dir, &mut report.warnings)?;
        let mut recovery = Recovery::new(&space, &config, &options, clock.now_ms(), holes, report);
        recovery.newest_epoch = evidence.newest_epoch;
        recovery.txn_checksums = txn_checksums.clone().unwrap_or_default();
        let (mut loaded, mut report) = recovery.load(files)?;
        if evidence.proves_end(&options, loaded.active.extent().next_offset) {
            // Allowed, or the recovery would have failed. Offsets that were given out are not given out again.
            let end = options.recovery_point;
            compacted.compacted_below = compacted.compacted_below.max(end);
            compacted.write(&*fs, dir)?;
            stored_below = compacted.compacted_below;
            loaded.go_on_at(&space, end, clock.now_ms())?;
            report.warnings.push(format!(
                "what follows goes on at offset {end}: below it offsets were given out before"
            ));
        }
        let end = loaded.active.extent().next_offset;
        // What was compacted is durable: a log that ends before was cut by a repair, or comes from a backup.
        compacted.compacted_below = compacted.compacted_below.min(end);
        if stored_below > end {
            // Otherwise it would be true again as soon as other records are there.
            compacted.write(&*fs, dir)?;
            stored_below = end;
        }
        let unjudged_below = unjudged_below(holes, &loaded);
        let start = options.log_start_offset.max(loaded.segments[0].base_offset());
        let epochs = load_epochs(stored_epochs, &loaded, start, &mut report)?;

        // What recovery has read through is known to be sound; the rest is checked when it is read.
        for segment in &loaded.segments[..loaded.segments.len() - 1] {
            segment.trust_no_more();
        }
        loaded.active.segment().trust_from(loaded.active.extent().size);

        // What the last run had to flush is not known.
        let flush_promised_below = if config.flush_messages < i64::MAX { end } else { 0 };
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
                fence: epochs.latest().map_or(-1, |(epoch, _)| epoch),
                flush_promised_below,
                unfinished_cut: None,
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
            send_failed: Arc::default(),
            out_of_room: AtomicBool::new(false),
            latest_epoch: AtomicI32::new(epochs.latest().map_or(-1, |(epoch, _)| epoch)),
            epoch_reader: epochs.reader(),
            epochs: Mutex::new(epochs),
            stability: Mutex::new(loaded.replayed.stability),
            txn_checksums: Mutex::new(txn_checksums.map_or_else(Noted::default, Noted::read)),
            trash: Mutex::default(),
            layout: Mutex::default(),
            compaction: CompactionControl::new(compacted, stored_below, unjudged_below),
            failure: OnceLock::new(),
            damage: OnceLock::new(),
        };
        log.note_txn_indexes(false)?;
        Ok((log, report))
    }
}

/// Where what is found in the log has to tell whether it was compacted.
fn unjudged_below(holes: Holes, loaded: &Loaded) -> i64 {
    if holes.by_evidence {
        loaded.active.segment().base_offset()
    } else {
        0
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
    stored: StoredEpochs,
    loaded: &Loaded,
    start: i64,
    report: &mut RecoveryReport,
) -> Result<LeaderEpochs> {
    let StoredEpochs { mut epochs, damage } = stored;
    let missing = damage.is_none() && epochs.latest().is_none() && has_epochs(&loaded.segments)?;
    if damage.is_some() || missing {
        let why = damage.unwrap_or_else(|| format!("{} is missing or empty", LeaderEpochs::FILE_NAME));
        report
            .warnings
            .push(format!("leader epochs are read from the log again: {why}"));
        for segment in &loaded.segments {
            assign_epochs_of(segment, &mut epochs)?;
        }
    }
    epochs.truncate_from_end(loaded.active.extent().next_offset)?;
    for (epoch, offset) in &loaded.epochs {
        if epochs.latest().is_none_or(|(latest, _)| latest < *epoch) {
            epochs.assign(*epoch, *offset)?;
        }
    }
    epochs.truncate_from_start(start)?;
    Ok(epochs)
}

/// Whether the last batch is of a time when there were leader epochs.
fn has_epochs(segments: &[Arc<Segment>]) -> Result<bool> {
    let Some(last) = segments.iter().rfind(|segment| segment.extent().size > 0) else {
        return Ok(false);
    };
    let first = HeaderWalk::new(&**last.log(), 0, last.extent().size).next(last.base_offset())?;
    Ok(first.is_some_and(|batch| batch.header.partition_leader_epoch >= 0))
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
