//! What a crash leaves in a partition directory besides the log, and what becomes of it (Kafka: `LogLoader`).
//!
//! Everything is looked at before anything is changed: what proves that records are missing must still be there at
//! the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::compaction_checkpoint::CompactionCheckpoint;
use super::open::RecoveryReport;
use super::swaps::Swaps;
use super::txn_checkpoint;
use crate::env::{DirEntry, EntryKind, OpenMode, temporary_path};
use crate::error::{Error, Result};
use crate::filenames::{CORRUPT, FileKind, FileState, ParsedName, file_path, parse, with_suffix};
use crate::leader_epochs::LeaderEpochs;
use crate::segment::{SegmentFiles, SegmentSpace};

/// Bytes of an index that are looked at together.
const LOOK: usize = 4096;
/// The small files of a log.
const CHECKPOINTS: [&str; 3] = [
    LeaderEpochs::FILE_NAME,
    CompactionCheckpoint::FILE_NAME,
    txn_checkpoint::FILE_NAME,
];

/// What the sweep has to know of the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct SweepRules {
    /// Segments below this offset were deleted on purpose.
    pub start: i64,
    /// What is missing is given up.
    pub allow_data_loss: bool,
}

/// Clears the directory up and returns the segments that are in it, by base offset.
///
/// * `.deleted` and `.tmp` files go.
/// * `.cleaned` files go, and so do the `.swap` files beside them: see [`Swaps`].
/// * Other `.swap` files take their place; what they replace goes.
/// * Indexes without a log go when they are empty, or when the log was deleted. One that lists batches proves that
///   a segment is lost: [`Error::Corrupt`], and nothing is changed.
///
/// Doing it twice is the same as doing it once.
pub(super) fn sweep(
    space: &SegmentSpace,
    rules: SweepRules,
    report: &mut RecoveryReport,
) -> Result<BTreeMap<i64, SegmentFiles>> {
    let Looked {
        entries,
        swaps,
        orphans,
    } = look(space, rules)?;
    let mut sweep = Sweep {
        space,
        report,
        changed: false,
    };
    for (name, proof) in &orphans {
        if *proof {
            sweep.put_by(name)?;
        } else {
            sweep
                .report
                .warnings
                .push(format!("{name}: removed, there is no log for it"));
            sweep.remove(name)?;
        }
    }
    // The `.swap` files first: without a `.cleaned` one beside it the next start would take it for finished.
    for name in swaps.dropped() {
        sweep.remove(name)?;
    }
    if let Some(reason) = swaps.why_dropped() {
        sweep.report.warnings.push(reason.to_owned());
    }
    for name in swaps.replaced() {
        sweep.remove(name)?;
    }
    for (name, live) in swaps.finished() {
        sweep.report.warnings.push(format!(
            "{name}: moved into place after an interrupted compaction"
        ));
        space.fs.rename(&space.dir.join(name), &space.dir.join(live))?;
        sweep.changed = true;
    }
    // Last, as they explain what else is missing.
    for (entry, name) in &entries {
        if matches!(
            name.state,
            FileState::Deleted | FileState::Cleaned | FileState::Temporary
        ) {
            sweep.remove(&entry.name)?;
        }
    }
    for checkpoint in CHECKPOINTS {
        let temporary = temporary_path(Path::new(checkpoint));
        if space.fs.exists(&space.dir.join(&temporary))? {
            sweep.remove(&temporary.to_string_lossy())?;
        }
    }

    let mut segments: BTreeMap<i64, SegmentFiles> = BTreeMap::new();
    for (entry, name) in list(space)? {
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

/// What is in a directory, and what is to become of it.
pub(super) struct Looked {
    entries: Vec<(DirEntry, ParsedName)>,
    swaps: Swaps,
    /// Indexes without a log, and whether they prove that there was one.
    orphans: Vec<(String, bool)>,
}

impl Looked {
    /// Base offset of the first segment that there will be.
    pub fn first_segment(&self) -> Option<i64> {
        let live = self.entries.iter().filter(|(entry, name)| {
            name.state == FileState::Live && name.kind == FileKind::Log && !self.swaps.replaces(&entry.name)
        });
        live.map(|(_, name)| name.offset).chain(self.swaps.filled()).min()
    }
}

/// Looks at the directory and changes nothing. Fails with [`Error::Corrupt`] as [`sweep`] does.
pub(super) fn look(space: &SegmentSpace, rules: SweepRules) -> Result<Looked> {
    let entries = list(space)?;
    let swaps = Swaps::judge(space, &entries, rules.allow_data_loss)?;
    let orphans = orphans(space, &entries, &swaps, rules)?;
    Ok(Looked {
        entries,
        swaps,
        orphans,
    })
}

/// Fails with [`Error::Corrupt`] when something is where a file of the log should be, and is none.
pub(super) fn check_kinds(space: &SegmentSpace) -> Result<()> {
    for entry in space.fs.list_dir(&space.dir)? {
        let named = parse(&entry.name);
        let what = match entry.kind {
            EntryKind::File => continue,
            EntryKind::Directory => "a directory",
            EntryKind::Other(name) => name,
        };
        if named.is_some() || CHECKPOINTS.contains(&&*entry.name) {
            return Err(Error::Corrupt {
                path: space.dir.join(&entry.name),
                position: 0,
                offset: named.map_or(-1, |name| name.offset),
                reason: format!("it is {what}, in the place of a file of the log"),
            });
        }
    }
    Ok(())
}

fn list(space: &SegmentSpace) -> Result<Vec<(DirEntry, ParsedName)>> {
    let entries = space.fs.list_dir(&space.dir)?.into_iter();
    Ok(entries
        .filter_map(|entry| parse(&entry.name).map(|name| (entry, name)))
        .collect())
}

/// Indexes without a log, and whether they prove that there was one.
fn orphans(
    space: &SegmentSpace,
    entries: &[(DirEntry, ParsedName)],
    swaps: &Swaps,
    rules: SweepRules,
) -> Result<Vec<(String, bool)>> {
    let live: BTreeSet<i64> = entries
        .iter()
        .filter(|(_, name)| name.kind == FileKind::Log && name.state == FileState::Live)
        .map(|(_, name)| name.offset)
        .collect();
    let deleted = |offset, kind| {
        let is_one = |name: &ParsedName| {
            name.state == FileState::Deleted && name.kind == kind && name.offset == offset
        };
        entries.iter().filter(|(_, name)| is_one(name)).count()
    };
    let mut orphans = Vec::new();
    for (entry, name) in entries {
        let is_index = matches!(
            name.kind,
            FileKind::OffsetIndex | FileKind::TimeIndex | FileKind::TransactionIndex
        );
        let stays = name.state == FileState::Live && !swaps.replaces(&entry.name);
        if !is_index || !stays || live.contains(&name.offset) || swaps.fills(name.offset) {
            continue;
        }
        // A deletion takes the log before its indexes, and raises the start of the log before that. What compaction has
        // replaced took its own indexes along, and says nothing about those in their place.
        let on_purpose = deleted(name.offset, FileKind::Log) > deleted(name.offset, name.kind)
            || name.offset < rules.start;
        let proof = !on_purpose && lists_something(space, entry)?;
        if proof && !rules.allow_data_loss {
            return Err(Error::Corrupt {
                path: file_path(&space.dir, name.offset, FileKind::Log),
                position: 0,
                offset: name.offset,
                reason: format!("the segment is missing: {} lists batches of it", entry.name),
            });
        }
        orphans.push((entry.name.clone(), proof));
    }
    Ok(orphans)
}

/// Whether an index has entries. Kafka allocates indexes in advance: zeros are none.
fn lists_something(space: &SegmentSpace, entry: &DirEntry) -> Result<bool> {
    if entry.len == 0 {
        return Ok(false);
    }
    let file = space.fs.open(&space.dir.join(&entry.name), OpenMode::Read)?;
    let mut bytes = vec![0; LOOK.min(entry.len as usize)];
    let read = file.read_at(&mut bytes, 0)?;
    Ok(bytes[..read].iter().any(|byte| *byte != 0))
}

struct Sweep<'a> {
    space: &'a SegmentSpace,
    report: &'a mut RecoveryReport,
    changed: bool,
}

impl Sweep<'_> {
    fn remove(&mut self, name: &str) -> Result<()> {
        self.changed = true;
        self.space.fs.remove_file(&self.space.dir.join(name))
    }

    /// Gives a file that proves a loss a name under which it is kept and does not count.
    fn put_by(&mut self, name: &str) -> Result<()> {
        let path = self.space.dir.join(name);
        let mut to = with_suffix(&path, CORRUPT);
        let mut attempt = 1;
        while self.space.fs.exists(&to)? {
            to = with_suffix(&path, &format!(".{attempt}{CORRUPT}"));
            attempt += 1;
        }
        self.report.warnings.push(format!(
            "{name}: there is no log for it, its records are lost; kept as {}",
            to.display()
        ));
        self.changed = true;
        self.space.fs.rename(&path, &to)
    }
}
