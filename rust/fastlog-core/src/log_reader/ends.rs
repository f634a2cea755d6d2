//! Where a log begins and ends for readers, and whether what was read of it still holds, by the checkpoint files that
//! the broker writes.

use std::path::{Path, PathBuf};

use crate::checkpoints::read_entries;
use crate::env::{FileStamp, FileSystem, OpenMode};
use crate::error::{Error, Result, is_not_found};

/// The line with which fastlog ends its checkpoints: the CRC-32 of what is before it.
const CHECKSUM: &str = "__fastlog_crc32";

/// Which file is there, and of when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    Missing,
    Unknown,
    Known((u64, u64), FileStamp),
}

/// One line of an offset checkpoint, read again when the file is another one.
#[derive(Debug)]
pub(super) struct Line {
    path: PathBuf,
    topic: String,
    partition: i32,
    seen: Stamp,
    found: Entry,
}

/// What a checkpoint says of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// There is no such file.
    NoFile,
    /// It does not name the partition.
    NoLine,
    /// This offset.
    Offset(i64),
}

impl Line {
    pub fn of(path: PathBuf, topic: &str, partition: i32) -> Self {
        Self {
            path,
            topic: topic.to_owned(),
            partition,
            seen: Stamp::Missing,
            found: Entry::NoFile,
        }
    }

    /// What the file says now. Fails with [`Error::Corrupt`] when it is damaged.
    pub fn read(&mut self, fs: &dyn FileSystem) -> Result<Entry> {
        let stamp = stamp_of(fs, &self.path)?;
        if stamp == Stamp::Missing {
            self.found = Entry::NoFile;
        } else if stamp == Stamp::Unknown || stamp != self.seen {
            self.found = self.search(fs)?;
        }
        // That of before the reading: what was replaced meanwhile is read again.
        self.seen = stamp;
        Ok(self.found)
    }

    fn search(&self, fs: &dyn FileSystem) -> Result<Entry> {
        let bytes = match fs.read_file(&self.path) {
            Err(error) if is_not_found(&error) => return Ok(Entry::NoFile),
            other => other?,
        };
        let corrupt = |position: usize, reason: &str| Error::Corrupt {
            path: self.path.clone(),
            position: position as u64,
            offset: -1,
            reason: reason.to_owned(),
        };
        if bytes.is_empty() {
            return Ok(Entry::NoLine);
        }
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| corrupt(error.valid_up_to(), "a checkpoint that is not UTF-8 text"))?;
        let mut lines = text.lines();
        if lines.next() != Some("0") {
            return Err(corrupt(0, "unknown version of a checkpoint"));
        }
        let Some(count) = lines.next() else {
            return Ok(Entry::NoLine);
        };
        let (mut found, mut rows) = (Entry::NoLine, 0);
        for line in lines {
            let at = line.as_ptr() as usize - text.as_ptr() as usize;
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let [topic, partition, offset] = fields[..] else {
                return Err(corrupt(at, "a line of a checkpoint that is none"));
            };
            rows += 1;
            let number: i64 = offset
                .parse()
                .map_err(|_| corrupt(at, "a line of a checkpoint without an offset"))?;
            if topic == CHECKSUM {
                let mut sum = flate2::Crc::new();
                sum.update(&bytes[..at]);
                if i64::from(sum.sum()) != number {
                    return Err(corrupt(at, "a checkpoint that does not match its checksum"));
                }
            } else if topic == self.topic && partition.parse() == Ok(self.partition) {
                found = Entry::Offset(number);
            }
        }
        if count.parse() != Ok(rows) {
            return Err(corrupt(
                bytes.len(),
                "a checkpoint that announces another number of lines",
            ));
        }
        Ok(found)
    }
}

/// Which leader epochs began where, as `leader-epoch-checkpoint` has it.
#[derive(Debug)]
pub(super) struct Epochs {
    path: PathBuf,
    seen: Stamp,
    starts: Vec<(i32, i64)>,
}

impl Epochs {
    pub fn of(dir: &Path) -> Self {
        Self {
            path: dir.join(crate::leader_epochs::LeaderEpochs::FILE_NAME),
            seen: Stamp::Missing,
            starts: Vec::new(),
        }
    }

    /// Where the records of `epoch` end, if a later one is known: what was read of it beyond was taken back.
    pub fn end_of(&mut self, fs: &dyn FileSystem, epoch: i32) -> Result<Option<i64>> {
        let stamp = stamp_of(fs, &self.path)?;
        if stamp == Stamp::Unknown || stamp != self.seen {
            self.starts = read_entries(fs, &self.path, |fields| match fields {
                [epoch, start] => Some((epoch.parse().ok()?, start.parse().ok()?)),
                _ => None,
            })?;
            self.seen = stamp;
        }
        let later = self.starts.iter().filter(|(found, _)| *found > epoch);
        Ok(later.map(|(_, start)| *start).min())
    }
}

fn stamp_of(fs: &dyn FileSystem, path: &Path) -> Result<Stamp> {
    let file = match fs.open(path, OpenMode::Read) {
        Err(error) if is_not_found(&error) => return Ok(Stamp::Missing),
        other => other?,
    };
    let known = file.identity().zip(file.stamp()?);
    Ok(known.map_or(Stamp::Unknown, |(identity, stamp)| Stamp::Known(identity, stamp)))
}
