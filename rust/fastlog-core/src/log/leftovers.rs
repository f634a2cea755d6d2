//! What a crash leaves in a partition directory besides the log, and what becomes of it (Kafka: `LogLoader`).

use std::collections::BTreeMap;
use std::path::Path;

use super::compaction_checkpoint::CompactionCheckpoint;
use super::open::RecoveryReport;
use crate::env::{DirEntry, temporary_path};
use crate::error::Result;
use crate::filenames::{FileKind, FileState, ParsedName, SWAP, file_name, parse};
use crate::leader_epochs::LeaderEpochs;
use crate::segment::{Segment, SegmentFiles, SegmentSpace};

/// Clears the directory up and returns the segments that are in it, by base offset.
///
/// * `.deleted` and `.tmp` files go.
/// * `.cleaned` files go, and so do `.swap` files at or above the lowest of them: their compaction had not
///   written everything.
/// * Other `.swap` files take their place; what they replace goes.
/// * Indexes without a log go.
///
/// Doing it twice is the same as doing it once.
pub(super) fn sweep(
    space: &SegmentSpace,
    report: &mut RecoveryReport,
) -> Result<BTreeMap<i64, SegmentFiles>> {
    let mut sweep = Sweep {
        space,
        report,
        changed: false,
    };
    let entries = sweep.list()?;
    let is = |state| move |(_, name): &&(DirEntry, ParsedName)| name.state == state;
    let cleaned = entries
        .iter()
        .filter(is(FileState::Cleaned))
        .map(|(_, name)| name.offset)
        .min();
    // The `.swap` files first: without a `.cleaned` one beside it the next start would take it for finished.
    for (entry, name) in entries.iter().filter(is(FileState::Swap)) {
        if cleaned.is_some_and(|lowest| name.offset >= lowest) {
            sweep.remove(&entry.name)?;
        }
    }
    for (entry, name) in &entries {
        if matches!(
            name.state,
            FileState::Deleted | FileState::Cleaned | FileState::Temporary
        ) {
            sweep.remove(&entry.name)?;
        }
    }
    for checkpoint in [LeaderEpochs::FILE_NAME, CompactionCheckpoint::FILE_NAME] {
        let temporary = temporary_path(Path::new(checkpoint));
        if space.fs.exists(&space.dir.join(&temporary))? {
            sweep.remove(&temporary.to_string_lossy())?;
        }
    }
    sweep.finish_swaps()?;
    sweep.drop_orphans()?;

    let mut segments: BTreeMap<i64, SegmentFiles> = BTreeMap::new();
    for (entry, name) in sweep.list()? {
        let files = segments.entry(name.offset).or_default();
        match name.kind {
            FileKind::Log => files.log = Some(entry.len),
            FileKind::OffsetIndex => files.offset_index = Some(entry.len),
            FileKind::TimeIndex => files.time_index = Some(entry.len),
            FileKind::TransactionIndex => files.transaction_index = Some(entry.len),
            FileKind::Snapshot => {}
        }
    }
    segments.retain(|_, files| files.log.is_some());
    if sweep.changed {
        space.fs.sync_dir(&space.dir)?;
    }
    Ok(segments)
}

struct Sweep<'a> {
    space: &'a SegmentSpace,
    report: &'a mut RecoveryReport,
    changed: bool,
}

impl Sweep<'_> {
    fn list(&self) -> Result<Vec<(DirEntry, ParsedName)>> {
        let entries = self.space.fs.list_dir(&self.space.dir)?;
        let named = entries.into_iter().filter(|entry| !entry.is_dir);
        Ok(named
            .filter_map(|entry| parse(&entry.name).map(|name| (entry, name)))
            .collect())
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        self.changed = true;
        self.space.fs.remove_file(&self.space.dir.join(name))
    }

    /// Puts the results of a finished compaction into place.
    fn finish_swaps(&mut self) -> Result<()> {
        let entries = self.list()?;
        let swaps: Vec<_> = entries
            .iter()
            .filter(|(_, name)| name.state == FileState::Swap)
            .collect();
        let mut from = i64::MAX;
        let mut to = i64::MIN;
        for (entry, name) in swaps.iter().filter(|(_, name)| name.kind == FileKind::Log) {
            let end = Segment::end_of_file(&self.space.fs, &self.space.dir.join(&entry.name), name.offset)?;
            from = from.min(name.offset);
            to = to.max(end);
        }
        for (entry, name) in &entries {
            // Producer state is not compacted: snapshots stay true.
            let replaced = name.state == FileState::Live && name.kind != FileKind::Snapshot;
            // Nothing may be left of what had the same name: an empty result replaces it too.
            let same = swaps
                .iter()
                .any(|(_, swap)| swap.kind == FileKind::Log && swap.offset == name.offset);
            if replaced && (same || (from..to).contains(&name.offset)) {
                self.remove(&entry.name)?;
            }
        }
        for (entry, name) in swaps {
            self.report.warnings.push(format!(
                "{}: moved into place after an interrupted compaction",
                entry.name
            ));
            let path = self.space.dir.join(&entry.name);
            let live = self.space.dir.join(entry.name.trim_end_matches(SWAP));
            debug_assert_eq!(live, self.space.dir.join(file_name(name.offset, name.kind)));
            self.space.fs.rename(&path, &live)?;
            self.changed = true;
        }
        Ok(())
    }

    fn drop_orphans(&mut self) -> Result<()> {
        let entries = self.list()?;
        let has_log = |offset| {
            entries
                .iter()
                .any(|(_, name)| name.kind == FileKind::Log && name.offset == offset)
        };
        for (entry, name) in &entries {
            let is_index = matches!(
                name.kind,
                FileKind::OffsetIndex | FileKind::TimeIndex | FileKind::TransactionIndex
            );
            if is_index && !has_log(name.offset) {
                self.report
                    .warnings
                    .push(format!("{}: removed, there is no log for it", entry.name));
                self.remove(&entry.name)?;
            }
        }
        Ok(())
    }
}
