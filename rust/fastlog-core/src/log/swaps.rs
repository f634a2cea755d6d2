//! Results of a compaction that a crash has interrupted while they were moved into place.
//!
//! | found | becomes |
//! |---|---|
//! | `.swap` beside `.cleaned`, and the first segment that it replaces is there | dropped: not everything had been written |
//! | `.swap` whose batches are sound | takes its place, what it replaces goes |
//! | `.swap` that is damaged, cut or empty, and the first segment that it replaces is there | dropped: a compaction can be done again |
//! | the same, and that segment is gone | damage: refused |
//! | other `.swap` files, their `.log` in place already | take their places |
//! | other `.swap` files, and neither `.log.swap` nor `.log` | damage: refused |
//! | other `.swap` files, and the segment that was to be replaced is there | dropped |
//!
//! What is replaced goes oldest first, so the segment with the base offset of the first `.swap` file tells whether
//! anything is gone yet. See [`super::compaction_swap`] for the order of the steps.

use crate::env::{DirEntry, OpenMode};
use crate::error::{Error, Result};
use crate::filenames::{FileKind, FileState, ParsedName, SWAP, file_name};
use crate::segment::{OffsetRule, SegmentSpace, Verdict, Verifier};

/// Bytes of one entry of an offset index.
const INDEX_ENTRY: u64 = 8;

/// What is to be done with the `.swap` files of a directory.
#[derive(Debug, Default)]
pub(super) struct Swaps {
    /// Name, and the one that it gets.
    finished: Vec<(String, String)>,
    replaced: Vec<String>,
    dropped: Vec<String>,
    why_dropped: Option<String>,
    /// Base offsets that have a log afterwards.
    filled: Vec<i64>,
}

/// A `.log.swap` file.
struct Found<'a> {
    name: &'a str,
    base: i64,
    /// The offset after its last sound batch.
    end: i64,
    /// What is wrong with it, and where.
    damage: Option<(u64, String)>,
}

impl Swaps {
    /// Looks at the files. Fails with [`Error::Corrupt`] when one that is needed is damaged.
    pub fn judge(
        space: &SegmentSpace,
        entries: &[(DirEntry, ParsedName)],
        allow_data_loss: bool,
    ) -> Result<Self> {
        let all: Vec<_> = entries
            .iter()
            .filter(|(_, name)| name.state == FileState::Swap)
            .collect();
        let mut logs = Vec::new();
        for (entry, name) in all.iter().filter(|(_, name)| name.kind == FileKind::Log) {
            logs.push(look_at(space, entries, entry, name.offset)?);
        }
        let sources = Sources { entries };
        let cleaned = entries
            .iter()
            .filter(|(_, name)| name.state == FileState::Cleaned)
            .map(|(_, name)| name.offset)
            .min();
        // The first result of the compaction has the base offset of the first segment that it replaces.
        let first = logs.iter().map(|log| log.base).min();
        let first = first.map(|base| cleaned.map_or(base, |cleaned| cleaned.min(base)));
        let all_there = first.is_some_and(|base| sources.has_log(base));
        let mut swaps = Self::default();
        let names = |wanted: &dyn Fn(i64) -> bool| -> Vec<String> {
            all.iter()
                .filter(|(_, name)| wanted(name.offset))
                .map(|(entry, _)| entry.name.clone())
                .collect()
        };
        if let Some(lowest) = cleaned
            && all_there
        {
            swaps.dropped = names(&|offset| offset >= lowest);
            logs.retain(|log| log.base < lowest);
        }
        let bad = logs.iter().find_map(|log| {
            let empty_beside_data = log.end == log.base && sources.has_data(log.base);
            let reason = match &log.damage {
                Some((position, reason)) => Some((*position, reason.clone())),
                None if empty_beside_data => Some((0, "it holds no batch".to_owned())),
                None => None,
            };
            reason.map(|(position, reason)| (log, position, reason))
        });
        if let Some((log, position, reason)) = bad {
            if all_there {
                swaps.dropped = names(&|_| true);
                swaps.why_dropped = Some(format!(
                    "{}: dropped, as {reason} (byte {position}); the segments that it was made from are there",
                    log.name
                ));
                return Ok(swaps);
            }
            if !allow_data_loss {
                return Err(Error::Corrupt {
                    path: space.dir.join(log.name),
                    position,
                    offset: log.end,
                    reason: format!("{reason}, and segments that it replaces are gone"),
                });
            }
        }
        swaps.drop_without_log(space, &all, &logs, &sources, allow_data_loss)?;
        swaps.take(&all, entries, &logs);
        Ok(swaps)
    }

    /// Leaves out indexes whose `.log.swap` is not there, unless that has got its name already: it gets it first, when
    /// nothing is left under the old names. Fails with [`Error::Corrupt`] when there is no log at all.
    fn drop_without_log(
        &mut self,
        space: &SegmentSpace,
        all: &[&(DirEntry, ParsedName)],
        logs: &[Found<'_>],
        sources: &Sources<'_>,
        allow_data_loss: bool,
    ) -> Result<()> {
        for (entry, name) in all {
            let base = name.offset;
            if logs.iter().any(|log| log.base == base) || self.dropped.contains(&entry.name) {
                continue;
            }
            if !sources.has_log(base) && !allow_data_loss {
                return Err(Error::Corrupt {
                    path: space.dir.join(file_name(base, FileKind::Log) + SWAP),
                    position: 0,
                    offset: base,
                    reason: format!(
                        "it is missing: {} belongs to it, and segments that it replaces are gone",
                        entry.name
                    ),
                });
            }
            if !sources.has_log(base) || sources.has(base, FileKind::OffsetIndex) {
                self.dropped.push(entry.name.clone());
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        all: &[&(DirEntry, ParsedName)],
        entries: &[(DirEntry, ParsedName)],
        logs: &[Found<'_>],
    ) {
        let from = logs.iter().map(|log| log.base).min().unwrap_or(i64::MAX);
        let to = logs.iter().map(|log| log.end).max().unwrap_or(i64::MIN);
        for (entry, name) in entries {
            // Producer state is not compacted: snapshots stay true.
            let may = name.state == FileState::Live && name.kind != FileKind::Snapshot;
            // Nothing may be left of what had the same name: an empty result replaces it too.
            let same = logs.iter().any(|log| log.base == name.offset);
            if may && (same || (from..to).contains(&name.offset)) {
                self.replaced.push(entry.name.clone());
            }
        }
        for (entry, name) in all {
            if !self.dropped.contains(&entry.name) {
                debug_assert_eq!(
                    entry.name.trim_end_matches(SWAP),
                    file_name(name.offset, name.kind)
                );
                let live = entry.name.trim_end_matches(SWAP).to_owned();
                self.finished.push((entry.name.clone(), live));
            }
        }
        self.filled = logs.iter().map(|log| log.base).collect();
    }

    /// Files to move into place, and their names there.
    pub fn finished(&self) -> impl Iterator<Item = (&str, &str)> {
        self.finished.iter().map(|(name, live)| (&**name, &**live))
    }

    /// Live files that go before that.
    pub fn replaced(&self) -> impl Iterator<Item = &str> {
        self.replaced.iter().map(|name| &**name)
    }

    /// Files of which nothing is used.
    pub fn dropped(&self) -> impl Iterator<Item = &str> {
        self.dropped.iter().map(|name| &**name)
    }

    /// What somebody should know of that.
    pub fn why_dropped(&self) -> Option<&str> {
        self.why_dropped.as_deref()
    }

    /// Whether a live file goes.
    pub fn replaces(&self, name: &str) -> bool {
        self.replaced.iter().any(|replaced| replaced == name)
    }

    /// Base offsets of the segments that take their place.
    pub fn filled(&self) -> impl Iterator<Item = i64> {
        self.filled.iter().copied()
    }

    /// Whether the segment at `base` is there afterwards.
    pub fn fills(&self, base: i64) -> bool {
        self.filled.contains(&base)
    }
}

/// The live files of the directory.
struct Sources<'a> {
    entries: &'a [(DirEntry, ParsedName)],
}

impl Sources<'_> {
    fn file(&self, base: i64, kind: FileKind) -> Option<&DirEntry> {
        self.entries
            .iter()
            .find(|(_, name)| name.state == FileState::Live && name.kind == kind && name.offset == base)
            .map(|(entry, _)| entry)
    }

    fn has(&self, base: i64, kind: FileKind) -> bool {
        self.file(base, kind).is_some()
    }

    fn has_log(&self, base: i64) -> bool {
        self.has(base, FileKind::Log)
    }

    fn has_data(&self, base: i64) -> bool {
        self.file(base, FileKind::Log).is_some_and(|entry| entry.len > 0)
    }
}

fn look_at<'a>(
    space: &SegmentSpace,
    entries: &[(DirEntry, ParsedName)],
    entry: &'a DirEntry,
    base: i64,
) -> Result<Found<'a>> {
    let file = space.fs.open(&space.dir.join(&entry.name), OpenMode::Read)?;
    let rule = OffsetRule {
        holes_below: i64::MAX,
        limit: base.saturating_add(1 << 31),
    };
    let mut verifier = Verifier::new(&*file, 0, entry.len, rule);
    let mut end = base;
    let mut last_position = 0;
    let damage = loop {
        match verifier.next(end, -1)? {
            Verdict::Batch(batch) => {
                end = batch.header.next_offset();
                last_position = batch.position;
            }
            Verdict::End => break None,
            Verdict::Legacy => {
                break Some((
                    verifier.position(),
                    "message format v0/v1 is not supported".to_owned(),
                ));
            }
            Verdict::Bad(reason) => break Some((verifier.position(), reason)),
        }
    };
    // Its index, sealed before the log got its name, lists the last batch.
    let index = entries.iter().find(|(_, name)| {
        name.state == FileState::Swap && name.kind == FileKind::OffsetIndex && name.offset == base
    });
    let cut = match index {
        Some((index, _)) if damage.is_none() => listed_beyond(space, index, base, last_position, end)?,
        _ => None,
    };
    Ok(Found {
        name: &entry.name,
        base,
        end,
        damage: damage.or(cut),
    })
}

/// Whether the last entry of an index lies behind the last batch, which stands at `position`.
fn listed_beyond(
    space: &SegmentSpace,
    index: &DirEntry,
    base: i64,
    position: u64,
    end: i64,
) -> Result<Option<(u64, String)>> {
    let Some(at) = (index.len / INDEX_ENTRY * INDEX_ENTRY).checked_sub(INDEX_ENTRY) else {
        return Ok(None);
    };
    let mut bytes = [0; INDEX_ENTRY as usize];
    space
        .fs
        .open(&space.dir.join(&index.name), OpenMode::Read)?
        .read_exact_at(&mut bytes, at)?;
    let packed = u64::from_be_bytes(bytes);
    let (offset, listed) = (
        base.saturating_add((packed >> 32) as i64),
        packed & u64::from(u32::MAX),
    );
    Ok((offset >= end && listed > position).then(|| {
        (
            position,
            format!("its end is missing: {} lists offset {offset}", index.name),
        )
    }))
}
