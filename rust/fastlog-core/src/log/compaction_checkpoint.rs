//! What a log knows about its own compaction: `compaction-checkpoint` in the partition directory.
//!
//! Text like the leader-epoch checkpoint, with the entries
//!
//! * `compacted_below <offset>`: compaction has worked below, here or on the leader. So a segment may end before
//!   the next one begins there, whatever the topic's configuration says today, and nowhere else. And a
//!   cleaner checkpoint beyond it is not believed. Durable before the first segment is replaced; falls when
//!   the log is cut.
//! * `delete_horizon <ms>`: when the first tombstones or markers below may go. -1 when none wait.
//!
//! A log that begins with `compact` in its configuration has the file from the start, others from their first
//! compaction on. A directory of Apache Kafka, which ignores the file, has none: it is judged more leniently.

use std::fmt::Write as _;
use std::path::Path;

use crate::checkpoints::{read_entries, write_entries};
use crate::env::FileSystem;
use crate::error::{Error, Result};

/// The content of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CompactionCheckpoint {
    pub compacted_below: i64,
    pub delete_horizon: i64,
}

impl Default for CompactionCheckpoint {
    fn default() -> Self {
        Self {
            compacted_below: 0,
            delete_horizon: -1,
        }
    }
}

impl CompactionCheckpoint {
    /// Its name inside of a partition directory.
    pub const FILE_NAME: &'static str = "compaction-checkpoint";

    /// Reads the file in `dir`, if there is one. Fails with [`Error::Corrupt`] when it makes no sense.
    pub fn read(fs: &dyn FileSystem, dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(Self::FILE_NAME);
        let entries = read_entries(fs, &path, |fields| match fields {
            [name, number] => Some(((*name).to_owned(), number.parse::<i64>().ok()?)),
            _ => None,
        })?;
        if entries.is_empty() {
            return Ok(None);
        }
        let mut checkpoint = Self::default();
        for (name, number) in entries {
            match &*name {
                "compacted_below" => checkpoint.compacted_below = number,
                "delete_horizon" => checkpoint.delete_horizon = number,
                _ => {
                    return Err(Error::Corrupt {
                        path,
                        position: 0,
                        offset: -1,
                        reason: format!("unknown entry {name}"),
                    });
                }
            }
        }
        Ok(Some(checkpoint))
    }

    /// Replaces the file in `dir`, durably.
    pub fn write(&self, fs: &dyn FileSystem, dir: &Path) -> Result<()> {
        let entries = [
            ("compacted_below", self.compacted_below),
            ("delete_horizon", self.delete_horizon),
        ];
        write_entries(
            fs,
            &dir.join(Self::FILE_NAME),
            &entries,
            |text, (name, number)| write!(text, "{name} {number}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::StdFs;

    #[test]
    fn comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(CompactionCheckpoint::read(&StdFs, dir.path()).unwrap(), None);
        let written = CompactionCheckpoint {
            compacted_below: 12_345_678_901,
            delete_horizon: 1_700_000_000_000,
        };
        written.write(&StdFs, dir.path()).unwrap();
        let path = dir.path().join(CompactionCheckpoint::FILE_NAME);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "0\n2\ncompacted_below 12345678901\ndelete_horizon 1700000000000\n"
        );
        assert_eq!(
            CompactionCheckpoint::read(&StdFs, dir.path()).unwrap(),
            Some(written)
        );
        for damage in [
            "0\n1\ncompacted_below x\n",
            "0\n1\nsomething 5\n",
            "1\n0\n",
            "0\n2\ncompacted_below 1\n",
        ] {
            std::fs::write(&path, damage).unwrap();
            assert!(matches!(
                CompactionCheckpoint::read(&StdFs, dir.path()),
                Err(Error::Corrupt { .. })
            ));
        }
    }
}
