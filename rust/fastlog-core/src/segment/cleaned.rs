//! Segments that compaction writes: complete and durable under the suffix `.cleaned`, then renamed to `.swap`
//! and at last to the names of what they replace.

use std::sync::Arc;

use super::Segment;
use super::SegmentSpace;
use crate::env::Renamed;
use crate::error::{Error, Result, is_not_found};
use crate::filenames::{CLEANED, FileKind, SWAP, file_path, with_suffix};

/// What belongs to a segment; producer snapshots are not compacted.
const KINDS: [FileKind; 4] = [
    FileKind::Log,
    FileKind::OffsetIndex,
    FileKind::TimeIndex,
    FileKind::TransactionIndex,
];

impl Segment {
    /// Makes an empty segment of files with the suffix `.cleaned`.
    pub fn create_cleaned(space: &SegmentSpace, base_offset: i64) -> Result<Self> {
        Self::create_as(space, base_offset, None, CLEANED)
    }

    /// Makes a segment of `.cleaned` files that gets no more batches durable, with the time of the last write
    /// of what it replaces. From now on it goes by the names without a suffix: nobody may look into its
    /// indexes before [`Self::swap_into_place`].
    pub fn complete_cleaned(mut self, modified_ms: i64) -> Result<Self> {
        self.log.set_modified_ms(modified_ms)?;
        self.sync(true)?;
        self.trust_no_more();
        let path = |kind| file_path(&self.space.dir, self.base_offset, kind);
        self.offset_index.move_to(path(FileKind::OffsetIndex));
        self.time_index.move_to(path(FileKind::TimeIndex));
        self.transactions.move_to(path(FileKind::TransactionIndex));
        self.log.move_to(&path(FileKind::Log), &mut || Ok(()))?;
        self.log = Arc::new(Renamed::new(Arc::clone(&self.log), path(FileKind::Log)));
        Ok(self)
    }

    /// Renames `.cleaned` to `.swap`. As long as one file has the old suffix, a restart drops them all.
    pub fn cleaned_to_swap(&self) -> Result<()> {
        self.rename_all(CLEANED, SWAP)
    }

    /// Renames `.swap` to the final names.
    pub fn swap_into_place(&self) -> Result<()> {
        self.rename_all(SWAP, "")
    }

    fn rename_all(&self, from: &str, to: &str) -> Result<()> {
        for kind in KINDS {
            if kind == FileKind::TransactionIndex && !self.transactions.has_file() {
                continue;
            }
            let path = file_path(&self.space.dir, self.base_offset, kind);
            let (source, target) = (with_suffix(&path, from), with_suffix(&path, to));
            match self.space.fs.rename(&source, &target) {
                // What an attempt that failed half way has done already.
                Err(error) if is_not_found(&error) && self.space.fs.exists(&target)? => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Removes what is there of cleaned segments that do not get into place. All `.swap` files go first: as long
    /// as a `.cleaned` one is there, a restart takes none of them for finished.
    pub fn remove_cleaned(space: &SegmentSpace, base_offsets: &[i64]) -> Result<()> {
        for suffix in [SWAP, CLEANED] {
            for (base_offset, kind) in base_offsets
                .iter()
                .flat_map(|base| KINDS.map(|kind| (*base, kind)))
            {
                let path = with_suffix(&file_path(&space.dir, base_offset, kind), suffix);
                match space.fs.remove_file(&path) {
                    Err(error) if !is_not_found(&error) => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Makes sure that readers who hold the segment can go on when others take the names of its files.
    pub fn pin(&self) -> Result<()> {
        let pinned = self.offset_index.pin().and_then(|()| self.time_index.pin());
        match pinned {
            // Cut by somebody else: readers do without.
            Err(Error::Corrupt { .. }) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            other => other,
        }
    }

    /// Like [`Self::rename_deleted`] for a segment that a cleaned one replaces: one with the same base offset
    /// takes over the producer snapshot.
    pub fn rename_replaced(&self, keep_snapshot: bool) -> Result<Vec<std::path::PathBuf>> {
        if keep_snapshot {
            self.rename_kinds_deleted(&KINDS)
        } else {
            self.rename_deleted()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{FileSystem, OpenMode, StdFs};
    use crate::segment::SegmentFiles;

    #[test]
    fn a_pinned_segment_reads_its_own_indexes() {
        let dir = tempfile::tempdir().unwrap();
        let space = SegmentSpace {
            fs: Arc::new(StdFs),
            dir: dir.path().to_owned(),
            index_max_bytes: 4096,
        };
        let made = Segment::create(&space, 100, None).unwrap();
        for n in 0..5 {
            made.offset_index().append(110 + n, 1000 * n as u32).unwrap();
        }
        made.offset_index().seal().unwrap();
        drop(made);
        let files = SegmentFiles {
            log: Some(0),
            offset_index: Some(40),
            time_index: Some(0),
            transaction_index: None,
        };
        let (segment, ..) = Segment::open(&space, 100, files).unwrap();
        segment.pin().unwrap();
        // Another file takes the name, as in a swap.
        let other = dir.path().join("other");
        StdFs
            .open(&other, OpenMode::Create)
            .unwrap()
            .write_all_at(&[0xff; 80], 0)
            .unwrap();
        StdFs.rename(&other, segment.offset_index().path()).unwrap();
        let found = segment.offset_index().floor(112).unwrap().unwrap();
        assert_eq!((found.offset, found.position), (112, 2000));
    }
}
