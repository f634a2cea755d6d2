//! What the transaction indexes of a log should be: `txnindex-checkpoint` in the partition directory.
//!
//! A `.txnindex` has no checksum of its own, and a bit that flips there shows aborted records to `read_committed`
//! consumers. Text like the leader-epoch checkpoint, with a line for each segment that has aborted transactions:
//! base offset, number of entries, CRC-32C of their bytes. An index grows at its end only, so that the line of a segment
//! that was active then still holds.
//!
//! The file is replaced when a segment is sealed, when the log is cut, when a compaction has put other segments in their
//! place, and when the log is closed; durable only then. So what a crash leaves may be of an earlier time: an index that
//! does not fit is made again from the batches, which costs time and no more. A log without the file, as Apache Kafka
//! leaves it, which ignores it, is believed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::{PartitionLog, lock};
use crate::checkpoints::{entries_text, read_entries};
use crate::env::FileSystem;
use crate::error::{Error, Result, is_not_found};
use crate::txn_index::Checksum;

/// Its name inside of a partition directory.
pub(super) const FILE_NAME: &str = "txnindex-checkpoint";

/// By base offset of the segment.
pub(super) type Checksums = BTreeMap<i64, Checksum>;

/// Reads the file in `dir`; none is an empty one. Fails with [`Error::Corrupt`] when it makes no sense.
pub(super) fn read(fs: &dyn FileSystem, dir: &Path) -> Result<Checksums> {
    let entries = read_entries(fs, &dir.join(FILE_NAME), |fields| match fields {
        [base_offset, entries, crc] => {
            let checksum = Checksum {
                entries: entries.parse().ok()?,
                crc: crc.parse().ok()?,
            };
            Some((base_offset.parse().ok()?, checksum))
        }
        _ => None,
    })?;
    Ok(entries.into_iter().collect())
}

fn text_of(checksums: &Checksums) -> String {
    let rows: Vec<_> = checksums.iter().collect();
    entries_text(&rows, |text, (base_offset, checksum)| {
        write!(text, "{base_offset} {} {}", checksum.entries, checksum.crc)
    })
}

impl PartitionLog {
    /// Writes down what the transaction indexes are now. No room on the disk is no error, nor is a shortage of the process:
    /// what the file says then does not fit, and the next start reads more of the log.
    pub(super) fn note_txn_indexes(&self, durable: bool) -> Result<()> {
        match self.replace_txn_checkpoint(durable) {
            Err(error) if error.passes() => Ok(()),
            other => other,
        }
    }

    fn replace_txn_checkpoint(&self, durable: bool) -> Result<()> {
        let mut noted = lock(&self.txn_checksums);
        let now: Checksums = self
            .snapshot()
            .iter()
            .filter_map(|segment| Some((segment.base_offset(), segment.transactions().checksum()?)))
            .collect();
        let is_noted = noted.checksums.as_ref() == Some(&now);
        if is_noted && (noted.is_durable || !durable || now.is_empty()) {
            return Ok(());
        }
        // Whatever comes of it: what is in the file then is not known.
        noted.checksums = None;
        let (fs, path) = (&*self.space.fs, self.space.dir.join(FILE_NAME));
        if now.is_empty() {
            match fs.remove_file(&path) {
                Err(error) if !is_not_found(&error) => return Err(error),
                _ => {}
            }
        } else if durable {
            fs.write_atomically(&path, text_of(&now).as_bytes())?;
        } else {
            fs.replace_unsynced(&path, text_of(&now).as_bytes())?;
        }
        *noted = Noted {
            checksums: Some(now),
            is_durable: durable,
        };
        Ok(())
    }
}

/// What is known of the file.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// What it says; `None` when that is not known.
    checksums: Option<Checksums>,
    is_durable: bool,
}

impl Noted {
    /// A file that was read.
    pub fn read(checksums: Checksums) -> Self {
        Self {
            checksums: Some(checksums),
            is_durable: true,
        }
    }
}

/// What the file in `dir` says. One that is damaged says nothing; `None`, and a warning.
pub(super) fn load(fs: &dyn FileSystem, dir: &Path, warnings: &mut Vec<String>) -> Result<Option<Checksums>> {
    match read(fs, dir) {
        Err(error @ Error::Corrupt { .. }) => {
            warnings.push(error.to_string());
            Ok(None)
        }
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::StdFs;

    #[test]
    fn comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&StdFs, dir.path()).unwrap().is_empty());
        let sums: Checksums = [(0, 3, 7), (1200, 1, u32::MAX)]
            .map(|(base_offset, entries, crc)| (base_offset, Checksum { entries, crc }))
            .into();
        let text = text_of(&sums);
        assert_eq!(text, "0\n2\n0 3 7\n1200 1 4294967295\n");
        let path = dir.path().join(FILE_NAME);
        std::fs::write(&path, text).unwrap();
        assert_eq!(read(&StdFs, dir.path()).unwrap(), sums);
        for damage in [
            "0\n1\n0 3\n",
            "0\n1\n0 -1 7\n",
            "0\n1\n0 1 4294967296\n",
            "0\n2\n0 3 7\n",
        ] {
            std::fs::write(&path, damage).unwrap();
            assert!(
                matches!(read(&StdFs, dir.path()), Err(Error::Corrupt { .. })),
                "{damage}"
            );
            let mut warnings = Vec::new();
            assert_eq!(load(&StdFs, dir.path(), &mut warnings).unwrap(), None);
            assert_eq!(warnings.len(), 1);
        }
    }
}
