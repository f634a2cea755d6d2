//! Which leader epoch began at which offset (Kafka: `LeaderEpochFileCache`, KIP-101 and KIP-279).
//!
//! Kept in `leader-epoch-checkpoint` next to the segments, in the text format of [`crate::checkpoints`] with
//! the fields epoch and start offset. Both rise strictly from line to line. Every change is durable
//! before the method that made it returns; when the write fails, memory stays as it was.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use crate::checkpoints::{read_entries, write_entries};
use crate::env::FileSystem;
use crate::error::{Error, Result, is_not_found};

/// What Kafka answers when it does not know an epoch or its end.
pub const UNDEFINED_EPOCH: i32 = -1;
/// The end offset that goes with [`UNDEFINED_EPOCH`].
pub const UNDEFINED_EPOCH_OFFSET: i64 = -1;

/// The first offset that a leader of `epoch` wrote, or would have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEntry {
    /// Leader epoch, at least 0.
    pub epoch: i32,
    /// First offset of the epoch, at least 0.
    pub start_offset: i64,
}

/// The epochs of one partition, oldest first.
#[derive(Debug)]
pub struct LeaderEpochs {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    entries: Vec<EpochEntry>,
    reader: EpochReader,
}

/// What is known of the epochs of one partition, for those who must not wait while it is written to the disk. Follows
/// the [`LeaderEpochs`] that it comes from.
#[derive(Debug, Clone, Default)]
pub struct EpochReader(Arc<RwLock<Arc<[EpochEntry]>>>);

impl EpochReader {
    fn entries(&self) -> Arc<[EpochEntry]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, entries: &[EpochEntry]) {
        // Copied first: the lock is held for one store.
        let entries = Arc::from(entries);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = entries;
    }

    /// See [`LeaderEpochs::end_offset_for`].
    pub fn end_offset_for(&self, epoch: i32, log_end: i64) -> (i32, i64) {
        end_offset_for(&self.entries(), epoch, log_end)
    }

    /// See [`LeaderEpochs::epoch_at`].
    pub fn epoch_at(&self, offset: i64) -> Option<i32> {
        epoch_at(&self.entries(), offset)
    }

    /// See [`LeaderEpochs::range_at`].
    pub fn range_at(&self, offset: i64) -> Option<(i32, i64)> {
        range_at(&self.entries(), offset)
    }
}

impl LeaderEpochs {
    /// File name inside a partition directory.
    pub const FILE_NAME: &'static str = "leader-epoch-checkpoint";

    /// No epochs yet, whatever is at `path`: the start of a rebuild from the log's batches.
    pub fn empty(fs: Arc<dyn FileSystem>, path: &Path) -> Self {
        Self {
            fs,
            path: path.to_owned(),
            entries: Vec::new(),
            reader: EpochReader::default(),
        }
    }

    /// Reads the checkpoint at `path`; a missing or empty file means that no epoch is known.
    ///
    /// Fails with [`Error::Corrupt`] when the file is malformed or does not rise.
    pub fn open(fs: Arc<dyn FileSystem>, path: &Path) -> Result<Self> {
        let entries = read_entries(&*fs, path, |fields| match fields {
            [epoch, start] => Some(EpochEntry {
                epoch: epoch.parse().ok().filter(|epoch| *epoch >= 0)?,
                start_offset: start.parse().ok().filter(|start| *start >= 0)?,
            }),
            _ => None,
        })?;
        let falls = entries
            .windows(2)
            .any(|pair| pair[0].epoch >= pair[1].epoch || pair[0].start_offset >= pair[1].start_offset);
        if falls {
            return Err(Error::Corrupt {
                path: path.to_owned(),
                position: 0,
                offset: -1,
                reason: "leader epochs and their offsets must rise from line to line".to_owned(),
            });
        }
        let reader = EpochReader::default();
        reader.publish(&entries);
        Ok(Self {
            fs,
            path: path.to_owned(),
            entries,
            reader,
        })
    }

    /// Notes that `epoch` starts at `start_offset`; returns whether that was news.
    ///
    /// Entries that contradict it (same or higher epoch, same or higher offset) are dropped: they belong to
    /// leaders that wrote nothing, or to a tail that was truncated.
    pub fn assign(&mut self, epoch: i32, start_offset: i64) -> Result<bool> {
        if epoch < 0 || start_offset < 0 {
            return Err(Error::InvalidArgument(format!(
                "leader epoch {epoch} starting at {start_offset}"
            )));
        }
        let known = self
            .entries
            .last()
            .is_some_and(|last| last.epoch == epoch && last.start_offset <= start_offset);
        if known {
            return Ok(false);
        }
        let keep = self
            .entries
            .partition_point(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        let mut entries = self.entries[..keep].to_vec();
        entries.push(EpochEntry { epoch, start_offset });
        self.replace(entries)?;
        Ok(true)
    }

    /// Where `epoch` ended: the largest known epoch not above it and the offset at which the next one
    /// started. `log_end` is the end of the latest epoch. `(-1, -1)` when the epoch is not known.
    pub fn end_offset_for(&self, epoch: i32, log_end: i64) -> (i32, i64) {
        end_offset_for(&self.entries, epoch, log_end)
    }

    /// The epoch that wrote `offset`, `None` when it lies before everything known.
    pub fn epoch_at(&self, offset: i64) -> Option<i32> {
        epoch_at(&self.entries, offset)
    }

    /// Like [`Self::epoch_at`], together with the offset at which the next epoch begins.
    pub fn range_at(&self, offset: i64) -> Option<(i32, i64)> {
        range_at(&self.entries, offset)
    }

    /// The latest epoch and its start offset.
    pub fn latest(&self) -> Option<(i32, i64)> {
        self.entries.last().map(|entry| (entry.epoch, entry.start_offset))
    }

    /// Drops the epochs that start at or after `end_offset`, the log's new end.
    pub fn truncate_from_end(&mut self, end_offset: i64) -> Result<()> {
        let keep = self
            .entries
            .partition_point(|entry| entry.start_offset < end_offset);
        if keep == self.entries.len() {
            return Ok(());
        }
        self.replace(self.entries[..keep].to_vec())
    }

    /// Drops the epochs that ended before `start_offset`, the log's new start; the one that holds it now
    /// starts there.
    pub fn truncate_from_start(&mut self, start_offset: i64) -> Result<()> {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= start_offset);
        if after == 0 || (after == 1 && self.entries[0].start_offset == start_offset) {
            return Ok(());
        }
        let mut entries = self.entries[after - 1..].to_vec();
        entries[0].start_offset = start_offset;
        self.replace(entries)
    }

    /// Like [`Self::truncate_from_start`] on a full disk: the file goes, which takes no room, and the next change
    /// writes it again.
    pub fn truncate_from_start_without_file(&mut self, start_offset: i64) -> Result<()> {
        match self.fs.remove_file(&self.path) {
            Err(error) if !is_not_found(&error) => return Err(error),
            _ => {}
        }
        if let Some(dir) = self.path.parent() {
            self.fs.sync_dir(dir)?;
        }
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= start_offset);
        if after > 0 {
            self.entries.drain(..after - 1);
            self.entries[0].start_offset = start_offset;
            self.reader.publish(&self.entries);
        }
        Ok(())
    }

    /// Forgets every epoch.
    pub fn clear(&mut self) -> Result<()> {
        if self.entries.is_empty() {
            Ok(())
        } else {
            self.replace(Vec::new())
        }
    }

    /// For those who only look at them, without waiting for a change.
    pub fn reader(&self) -> EpochReader {
        self.reader.clone()
    }

    /// All epochs, oldest first.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    fn replace(&mut self, entries: Vec<EpochEntry>) -> Result<()> {
        write_entries(&*self.fs, &self.path, &entries, |text, entry| {
            write!(text, "{} {}", entry.epoch, entry.start_offset)
        })?;
        self.entries = entries;
        self.reader.publish(&self.entries);
        Ok(())
    }
}

fn end_offset_for(entries: &[EpochEntry], epoch: i32, log_end: i64) -> (i32, i64) {
    let Some(latest) = entries.last() else {
        return (UNDEFINED_EPOCH, UNDEFINED_EPOCH_OFFSET);
    };
    if epoch < 0 || epoch > latest.epoch {
        return (UNDEFINED_EPOCH, UNDEFINED_EPOCH_OFFSET);
    }
    if epoch == latest.epoch {
        return (epoch, log_end);
    }
    let next = entries.partition_point(|entry| entry.epoch <= epoch);
    // An epoch older than everything known: its data was removed, so the first known offset ends it.
    let floor = if next == 0 { epoch } else { entries[next - 1].epoch };
    (floor, entries[next].start_offset)
}

fn epoch_at(entries: &[EpochEntry], offset: i64) -> Option<i32> {
    let after = entries.partition_point(|entry| entry.start_offset <= offset);
    after.checked_sub(1).map(|index| entries[index].epoch)
}

fn range_at(entries: &[EpochEntry], offset: i64) -> Option<(i32, i64)> {
    let after = entries.partition_point(|entry| entry.start_offset <= offset);
    let epoch = entries[after.checked_sub(1)?].epoch;
    let until = entries.get(after).map_or(i64::MAX, |next| next.start_offset);
    Some((epoch, until))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::StdFs;

    fn opened(dir: &tempfile::TempDir) -> LeaderEpochs {
        LeaderEpochs::open(Arc::new(StdFs), &dir.path().join(LeaderEpochs::FILE_NAME)).unwrap()
    }

    fn with(pairs: &[(i32, i64)]) -> (tempfile::TempDir, LeaderEpochs) {
        let dir = tempfile::tempdir().unwrap();
        let mut epochs = opened(&dir);
        for (epoch, start) in pairs {
            assert!(epochs.assign(*epoch, *start).unwrap());
        }
        (dir, epochs)
    }

    fn pairs(epochs: &LeaderEpochs) -> Vec<(i32, i64)> {
        epochs
            .entries()
            .iter()
            .map(|entry| (entry.epoch, entry.start_offset))
            .collect()
    }

    #[test]
    fn survives_reopening_in_kafkas_format() {
        let (dir, mut epochs) = with(&[(0, 0), (3, 10)]);
        assert!(!epochs.assign(3, 10).unwrap());
        assert!(!epochs.assign(3, 25).unwrap(), "an epoch keeps its first offset");
        let text = std::fs::read_to_string(dir.path().join(LeaderEpochs::FILE_NAME)).unwrap();
        assert_eq!(text, "0\n2\n0 0\n3 10\n");
        assert_eq!(pairs(&opened(&dir)), [(0, 0), (3, 10)]);
        assert_eq!(opened(&dir).latest(), Some((3, 10)));
    }

    #[test]
    fn assignments_that_contradict_win() {
        // An epoch that wrote nothing is replaced by the next one at the same offset.
        assert_eq!(pairs(&with(&[(0, 0), (1, 5), (2, 5)]).1), [(0, 0), (2, 5)]);
        // The same epoch can move to an earlier offset.
        assert_eq!(pairs(&with(&[(0, 0), (4, 9), (4, 7)]).1), [(0, 0), (4, 7)]);
        // A lower epoch, or a lower offset, drops what follows.
        assert_eq!(pairs(&with(&[(1, 0), (3, 9), (2, 12)]).1), [(1, 0), (2, 12)]);
        assert_eq!(pairs(&with(&[(1, 5), (3, 9), (4, 2)]).1), [(4, 2)]);
    }

    #[test]
    fn refuses_negative_numbers() {
        let (_dir, mut epochs) = with(&[]);
        assert!(matches!(epochs.assign(-1, 0), Err(Error::InvalidArgument(_))));
        assert!(matches!(epochs.assign(0, -1), Err(Error::InvalidArgument(_))));
        assert_eq!(epochs.latest(), None);
    }

    #[test]
    fn end_offsets_follow_kip_279() {
        let (_dir, epochs) = with(&[(2, 10), (5, 20), (9, 35)]);
        for (epoch, expected) in [
            (-1, (-1, -1)),
            (0, (0, 10)), // older than all: ends where the known data starts
            (2, (2, 20)),
            (4, (2, 20)), // between: the epoch below it
            (5, (5, 35)),
            (9, (9, 50)),
            (10, (-1, -1)),
        ] {
            assert_eq!(epochs.end_offset_for(epoch, 50), expected, "epoch {epoch}");
        }
        assert_eq!(with(&[]).1.end_offset_for(0, 50), (-1, -1));
    }

    #[test]
    fn finds_the_epoch_of_an_offset() {
        let (_dir, epochs) = with(&[(2, 10), (5, 20)]);
        for (offset, expected) in [
            (9, None),
            (10, Some(2)),
            (19, Some(2)),
            (20, Some(5)),
            (99, Some(5)),
        ] {
            assert_eq!(epochs.epoch_at(offset), expected, "offset {offset}");
        }
    }

    #[test]
    fn truncates_at_both_ends_and_persists() {
        let (dir, mut epochs) = with(&[(1, 0), (2, 10), (5, 20)]);
        epochs.truncate_from_end(21).unwrap();
        assert_eq!(pairs(&epochs).len(), 3);
        epochs.truncate_from_end(20).unwrap();
        assert_eq!(pairs(&opened(&dir)), [(1, 0), (2, 10)]);
        epochs.truncate_from_start(4).unwrap();
        assert_eq!(pairs(&opened(&dir)), [(1, 4), (2, 10)]);
        epochs.truncate_from_start(10).unwrap();
        assert_eq!(pairs(&opened(&dir)), [(2, 10)]);
        epochs.truncate_from_start(3).unwrap();
        assert_eq!(
            pairs(&epochs),
            [(2, 10)],
            "a start before everything changes nothing"
        );
        epochs.truncate_from_start(40).unwrap();
        assert_eq!(pairs(&epochs), [(2, 40)]);
        epochs.clear().unwrap();
        assert_eq!(pairs(&opened(&dir)), []);
    }

    #[test]
    fn refuses_a_damaged_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LeaderEpochs::FILE_NAME);
        for text in [
            "0\n1\n-1 0\n",
            "0\n1\n1 -5\n",
            "0\n1\n1\n",
            "0\n2\n3 0\n2 5\n",
            "0\n2\n3 5\n4 5\n",
        ] {
            std::fs::write(&path, text).unwrap();
            let result = LeaderEpochs::open(Arc::new(StdFs), &path);
            assert!(matches!(result, Err(Error::Corrupt { .. })), "{text:?}");
        }
    }

    #[test]
    fn a_failed_write_changes_nothing() {
        let (dir, mut epochs) = with(&[(1, 0)]);
        drop(dir);
        assert!(epochs.assign(2, 7).is_err());
        assert_eq!(pairs(&epochs), [(1, 0)]);
    }
}
