//! Segments that leave the log: their files get names under which they wait to be unlinked.

use std::path::PathBuf;

use super::Segment;
use crate::error::{Result, is_not_found};
use crate::filenames::{FileKind, deleted_suffix, file_path, with_suffix};

impl Segment {
    /// Gives all files of the segment, the producer snapshot at its base included, the suffix `.deleted`,
    /// with a number before it where files that had the same names still wait to be unlinked. Readers that have the log open keep reading it. Returns the new paths.
    pub fn rename_deleted(&self) -> Result<Vec<PathBuf>> {
        self.rename_kinds_deleted(&FileKind::ALL)
    }

    pub(super) fn rename_kinds_deleted(&self, kinds: &[FileKind]) -> Result<Vec<PathBuf>> {
        let suffix = self.deleted_suffix()?;
        let mut renamed = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let path = file_path(&self.space.dir, self.base_offset, *kind);
            let to = with_suffix(&path, &suffix);
            let mut rename = || self.space.fs.rename(&path, &to);
            let result = match kind {
                FileKind::Log => self.log.move_to(&to, &mut rename),
                _ => rename(),
            };
            match result {
                Ok(()) => renamed.push(to),
                // What an attempt that failed half way has done already.
                Err(error) if is_not_found(&error) => {
                    if self.space.fs.exists(&to)? {
                        renamed.push(to);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(renamed)
    }

    /// The suffix of its files from now on: nobody may be waiting under the names that come of it. Whoever still reads
    /// another file would find this one in its place.
    fn deleted_suffix(&self) -> Result<String> {
        if let Some(before) = self.deleted_beside.get() {
            return Ok(deleted_suffix(*before));
        }
        let mut before = 0;
        while self.is_taken(&deleted_suffix(before))? {
            before += 1;
        }
        // Kept: an attempt that fails half way goes on with the same names.
        Ok(deleted_suffix(*self.deleted_beside.get_or_init(|| before)))
    }

    fn is_taken(&self, suffix: &str) -> Result<bool> {
        for kind in FileKind::ALL {
            let path = file_path(&self.space.dir, self.base_offset, kind);
            if self.space.fs.exists(&with_suffix(&path, suffix))? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
