//! Which segment files a directory holds at this moment, and where an offset is in them, while somebody else appends,
//! rolls, removes, replaces and cuts them.
//!
//! | what is seen | what it means |
//! |---|---|
//! | `.log` | a segment |
//! | `.log.swap` without `.log` | the same: a compaction is moving it into place, and what it replaces may be gone |
//! | a file that is gone when it is opened | the listing is old: look again |
//! | two listings that differ, not at their end | one may have missed a file that was renamed meanwhile: look again |
//!
//! A file that is open stays what it is, whatever becomes of its name.

use std::path::Path;
use std::sync::Arc;

use crate::batch::{BatchHeader, HEADER_SIZE};
use crate::env::{File, FileSystem, OpenMode};
use crate::error::{Error, Result, is_cut, is_not_found};
use crate::filenames::{FileKind, FileState, file_path, parse};
use crate::segment::{HeaderWalk, OffsetRule, Verdict, Verifier, implausible};

/// How often a directory that changes all the time is looked at.
const ATTEMPTS: usize = 100;
/// After how many looks a pause is made between them.
const PATIENCE: usize = 8;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(2);
const INDEX_ENTRY: u64 = 8;

/// A place in a segment file: where a batch starts, or where the next one will.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    pub file: Arc<dyn File>,
    /// Base offset of the segment.
    pub base: i64,
    pub position: u64,
    /// No batch from here on starts below this offset.
    pub expected: i64,
    /// None in this file reaches this one: the base of the next segment, where there was one.
    pub below: i64,
    /// The batch that was passed last: its position, and what was expected there.
    pub passed: Option<(u64, i64)>,
}

impl Cursor {
    /// Why a batch that can be one cannot be at its place. Its checksum does not cover its offset: where that jumps,
    /// the batch behind it has to agree.
    pub fn misplaced(&self, header: &BatchHeader, after: u64, end: u64) -> Result<Option<String>> {
        if header.last_offset() >= self.below {
            let (last, below) = (header.last_offset(), self.below);
            return Ok(Some(format!("last offset {last} where all are below {below}")));
        }
        let mut bytes = [0; HEADER_SIZE];
        if header.base_offset <= self.expected
            || after + HEADER_SIZE as u64 > end
            || self.file.read_at(&mut bytes, after)? < HEADER_SIZE
        {
            return Ok(None);
        }
        let next = BatchHeader::parse(&bytes)?;
        let disagrees = next.base_offset < header.next_offset()
            && implausible(&next, self.expected, end - after).is_none();
        Ok(disagrees.then(|| {
            let (base, next) = (header.base_offset, next.base_offset);
            format!("base offset {base} before a batch with {next}")
        }))
    }

    /// Whether the batch that was passed last is damaged: then its length may be, and this place is none.
    pub fn came_astray(&self) -> Result<Option<(u64, i64)>> {
        let Some((position, expected)) = self.passed else {
            return Ok(None);
        };
        let rule = OffsetRule {
            holes_below: i64::MAX,
            limit: self.below,
        };
        let end = self.file.len()?.max(position);
        let verdict = Verifier::new(&*self.file, position, end, rule).next(expected, -1)?;
        Ok((!matches!(verdict, Verdict::Batch(_))).then_some((position, expected)))
    }
}

/// A segment file by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    base: i64,
    name: String,
}

/// Fails when a batch cannot be one, which is for the caller to judge.
#[derive(Debug)]
pub(super) enum Sought {
    /// The batch that holds the offset or is the first behind it; or the end of the log.
    At(Cursor),
    /// What stands here is no batch; the way to the offset goes through it.
    Bad(Cursor, String),
}

/// The base offset of the first segment, `None` when there is none.
pub(super) fn first_base(fs: &dyn FileSystem, dir: &Path) -> Result<Option<i64>> {
    Ok(listed(fs, dir)?.first().map(|first| first.base))
}

/// The base offset of the segment behind the one with this base offset.
pub(super) fn later_base(fs: &dyn FileSystem, dir: &Path, base: i64) -> Result<Option<i64>> {
    let files = listed(fs, dir)?;
    Ok(files.iter().map(|file| file.base).find(|found| *found > base))
}

/// Finds `offset`. Fails with [`Error::OffsetOutOfRange`] below the first segment.
pub(super) fn seek(fs: &dyn FileSystem, dir: &Path, offset: i64) -> Result<Sought> {
    let mut last = None;
    for attempt in 0..ATTEMPTS {
        pause(attempt);
        let files = listed(fs, dir)?;
        match seek_in(fs, dir, &files, offset) {
            // Gone, or cut, since the listing.
            Err(error) if is_not_found(&error) || is_cut(&error) => last = Some(error),
            Ok(None) => {}
            Ok(Some(sought)) => return Ok(sought),
            // What is missing may have been renamed while both listings were made.
            Err(Error::OffsetOutOfRange { .. }) if !is_settled(fs, dir, &files[..files.len().min(1)])? => {}
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| changing(dir)))
}

/// Whether the directory still begins with these files after a pause.
fn is_settled(fs: &dyn FileSystem, dir: &Path, files: &[Named]) -> Result<bool> {
    std::thread::sleep(PAUSE);
    Ok(listed(fs, dir)?.starts_with(files))
}

/// `None` when the directory has to be looked at again.
fn seek_in(fs: &dyn FileSystem, dir: &Path, files: &[Named], offset: i64) -> Result<Option<Sought>> {
    let after = files.partition_point(|file| file.base <= offset);
    let Some(first) = after.checked_sub(1) else {
        let start = files.first().map_or(0, |file| file.base);
        return Err(Error::OffsetOutOfRange {
            offset,
            start,
            end: files.last().map_or(0, |file| file.base).max(start),
        });
    };
    let mut expected = files[first].base;
    for (index, named) in files.iter().enumerate().skip(first) {
        let file = fs.open(&dir.join(&named.name), OpenMode::Read)?;
        // After the listing: when a later segment was in it, this one gets nothing more.
        let end = file.len()?;
        let mut cursor = Cursor {
            file,
            base: named.base,
            position: 0,
            expected: named.base.max(expected),
            below: files.get(index + 1).map_or(i64::MAX, |next| next.base),
            passed: None,
        };
        if index == first {
            jump(fs, dir, &mut cursor, offset, end)?;
        }
        match walk(&mut cursor, offset, end)? {
            Walked::Found => return Ok(Some(Sought::At(cursor))),
            Walked::Bad(reason) => return Ok(Some(Sought::Bad(cursor, reason))),
            Walked::End => expected = cursor.expected,
        }
        match files.get(index + 1) {
            None => return Ok(Some(Sought::At(cursor))),
            // A compaction may have removed the offsets between. Or a file was missed that holds them.
            Some(next) if next.base > expected && !is_settled(fs, dir, &files[..index + 2])? => {
                return Ok(None);
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

/// Goes on from a batch that was found behind a bad one: in its file, and in those behind it.
pub(super) fn go_on(fs: &dyn FileSystem, dir: &Path, mut cursor: Cursor, offset: i64) -> Result<Sought> {
    let end = cursor.file.len()?;
    match walk(&mut cursor, offset, end)? {
        Walked::Found => Ok(Sought::At(cursor)),
        Walked::Bad(reason) => Ok(Sought::Bad(cursor, reason)),
        Walked::End => match later_base(fs, dir, cursor.base)? {
            Some(later) => seek(fs, dir, offset.max(later)),
            None => Ok(Sought::At(cursor)),
        },
    }
}

enum Walked {
    Found,
    End,
    Bad(String),
}

/// Goes on by headers until a batch holds `offset` or is behind it.
fn walk(cursor: &mut Cursor, offset: i64, end: u64) -> Result<Walked> {
    let file = Arc::clone(&cursor.file);
    let mut walk = HeaderWalk::new(&*file, cursor.position, end);
    loop {
        match walk.next(cursor.expected) {
            Ok(None) => return Ok(Walked::End),
            Ok(Some(located)) => {
                if let Some(reason) = cursor.misplaced(&located.header, located.end(), end)? {
                    return Ok(Walked::Bad(reason));
                }
                if located.header.last_offset() >= offset {
                    return Ok(Walked::Found);
                }
                cursor.passed = Some((cursor.position, cursor.expected));
                cursor.expected = located.header.next_offset();
                cursor.position = located.end();
            }
            Err(Error::Corrupt { reason, .. }) => return Ok(Walked::Bad(reason)),
            Err(error) => return Err(error),
        }
    }
}

/// Goes to the place that the segment's index names, if a batch is there which the index can mean.
fn jump(fs: &dyn FileSystem, dir: &Path, cursor: &mut Cursor, offset: i64, end: u64) -> Result<()> {
    let path = file_path(dir, cursor.base, FileKind::OffsetIndex);
    let index = match fs.open(&path, OpenMode::Read) {
        Ok(index) => index,
        // An index is a short cut. During a swap it may have another name, or be that of another file.
        Err(error) if is_not_found(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    let (mut low, mut high) = (0, index.len()? / INDEX_ENTRY);
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let mut entry = [0; INDEX_ENTRY as usize];
        if index.read_at(&mut entry, middle * INDEX_ENTRY)? < entry.len() {
            return Ok(());
        }
        let packed = u64::from_be_bytes(entry);
        let last = cursor.base.saturating_add((packed >> 32) as i64);
        if last <= offset {
            found = Some((last, u64::from(packed as u32)));
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let Some((last, position)) = found else {
        return Ok(());
    };
    let mut bytes = [0; HEADER_SIZE];
    if position >= end || cursor.file.read_at(&mut bytes, position)? < bytes.len() {
        return Ok(());
    }
    let header = BatchHeader::parse(&bytes)?;
    let is_right =
        implausible(&header, cursor.base, end - position).is_none() && header.last_offset() == last;
    if is_right {
        cursor.position = position;
        cursor.expected = header.base_offset;
    }
    Ok(())
}

/// The segment files, by base offset. Looks until two listings are the same, but for new segments.
fn listed(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<Named>> {
    let mut before = look(fs, dir)?;
    for attempt in 0..ATTEMPTS {
        pause(attempt);
        let now = look(fs, dir)?;
        // A log has a segment at all times, but for the moment in which it starts anew.
        if now.starts_with(&before) && (!now.is_empty() || attempt >= PATIENCE) {
            return Ok(now);
        }
        before = now;
    }
    Err(changing(dir))
}

fn look(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<Named>> {
    let mut found: Vec<Named> = Vec::new();
    let mut swaps: Vec<Named> = Vec::new();
    for entry in fs.list_dir(dir)? {
        let Some(parsed) = parse(&entry.name).filter(|parsed| parsed.kind == FileKind::Log) else {
            continue;
        };
        let named = Named {
            base: parsed.offset,
            name: entry.name,
        };
        match parsed.state {
            FileState::Live => found.push(named),
            FileState::Swap => swaps.push(named),
            _ => {}
        }
    }
    for swap in swaps {
        if found.iter().all(|live| live.base != swap.base) {
            found.push(swap);
        }
    }
    found.sort_by_key(|file| file.base);
    Ok(found)
}

fn pause(attempt: usize) {
    if attempt >= PATIENCE {
        std::thread::sleep(PAUSE);
    }
}

fn changing(dir: &Path) -> Error {
    Error::Aborted(format!("{} did not stand still for a look", dir.display()))
}
