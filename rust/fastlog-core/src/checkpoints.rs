//! Kafka's text checkpoint files: offsets per partition, and the line format that they share with the
//! leader-epoch checkpoint.
//!
//! | line | content |
//! |---|---|
//! | 1 | version, always `0` |
//! | 2 | number of entries |
//! | 3.. | one entry a line, fields separated by white space, ended by `\n` |
//!
//! An offset checkpoint (`recovery-point-offset-checkpoint`, `log-start-offset-checkpoint`,
//! `replication-offset-checkpoint`) has the fields topic, partition, offset (Kafka: `OffsetCheckpointFile`).
//! Every write replaces the file atomically and is durable before it returns.

use std::fmt::Write as _;
use std::path::Path;

use crate::env::FileSystem;
use crate::error::{Error, Result};

const VERSION: &str = "0";
/// Characters of a damaged line that an error quotes.
const MAX_EXCERPT: usize = 300;

/// The offset of one partition in an offset checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionOffset {
    /// Topic name.
    pub topic: String,
    /// Partition index.
    pub partition: i32,
    /// What the file says about the partition: recovery point, log start offset or high watermark.
    pub offset: i64,
}

/// Reads and writes offset checkpoint files.
#[derive(Debug, Clone, Copy)]
pub struct OffsetCheckpoint;

impl OffsetCheckpoint {
    /// Reads the checkpoint at `path`; a missing or empty file is an empty checkpoint.
    ///
    /// Fails with [`Error::Corrupt`] on an unknown version, a malformed line or a wrong count: a checkpoint
    /// is never taken in part.
    pub fn read(fs: &dyn FileSystem, path: &Path) -> Result<Vec<PartitionOffset>> {
        read_entries(fs, path, |fields| match fields {
            [topic, partition, offset] => Some(PartitionOffset {
                topic: (*topic).to_owned(),
                partition: partition.parse().ok().filter(|partition| *partition >= 0)?,
                offset: offset.parse().ok()?,
            }),
            _ => None,
        })
    }

    /// Replaces the checkpoint at `path`, durably, by `entries`.
    ///
    /// Fails with [`Error::InvalidArgument`] on a topic name that the format cannot hold.
    pub fn write(fs: &dyn FileSystem, path: &Path, entries: &[PartitionOffset]) -> Result<()> {
        if let Some(entry) = entries
            .iter()
            .find(|entry| entry.topic.is_empty() || entry.topic.contains(char::is_whitespace))
        {
            return Err(Error::InvalidArgument(format!(
                "topic name {:?} cannot be written to a checkpoint",
                entry.topic
            )));
        }
        write_entries(fs, path, entries, |text, entry| {
            write!(text, "{} {} {}", entry.topic, entry.partition, entry.offset)
        })
    }
}

/// Reads a checkpoint file and hands the fields of each line to `parse`, which returns `None` for a bad one.
pub(crate) fn read_entries<T>(
    fs: &dyn FileSystem,
    path: &Path,
    parse: impl Fn(&[&str]) -> Option<T>,
) -> Result<Vec<T>> {
    let bytes = match fs.read_file(path) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        other => other?,
    };
    let corrupt = |position: usize, reason: String| Error::Corrupt {
        path: path.to_owned(),
        position: position as u64,
        offset: -1,
        reason,
    };
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| corrupt(error.valid_up_to(), "checkpoint is not UTF-8 text".to_owned()))?;
    let mut position = 0;
    let mut lines = text.split_inclusive('\n').map(|line| {
        let start = position;
        position += line.len();
        (start, line.trim_end_matches(['\n', '\r']))
    });

    let Some((_, version)) = lines.next() else {
        return Ok(Vec::new());
    };
    if version != VERSION {
        return Err(corrupt(
            0,
            format!("unknown checkpoint version {:?}", excerpt(version)),
        ));
    }
    // Kafka takes a file that ends here as empty: it is what a crash leaves right after the first creation.
    let Some((at, count)) = lines.next() else {
        return Ok(Vec::new());
    };
    let count: usize = count
        .parse()
        .map_err(|_| corrupt(at, format!("bad entry count {:?} in checkpoint", excerpt(count))))?;

    let mut entries = Vec::new();
    for (at, line) in lines {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let entry =
            parse(&fields).ok_or_else(|| corrupt(at, format!("bad checkpoint line {:?}", excerpt(line))))?;
        entries.push(entry);
    }
    if entries.len() != count {
        return Err(corrupt(
            bytes.len(),
            format!("checkpoint announces {count} entries and has {}", entries.len()),
        ));
    }
    Ok(entries)
}

/// The beginning of a line, for a message: what is damaged may be one line of the whole file.
fn excerpt(line: &str) -> &str {
    line.char_indices()
        .nth(MAX_EXCERPT)
        .map_or(line, |(end, _)| &line[..end])
}

/// Writes a checkpoint file durably; `format` writes the fields of one entry without the line end.
pub(crate) fn write_entries<T>(
    fs: &dyn FileSystem,
    path: &Path,
    entries: &[T],
    format: impl Fn(&mut String, &T) -> std::fmt::Result,
) -> Result<()> {
    fs.write_atomically(path, entries_text(entries, format).as_bytes())
}

/// The text of a checkpoint file.
pub(crate) fn entries_text<T>(entries: &[T], format: impl Fn(&mut String, &T) -> std::fmt::Result) -> String {
    let mut text = format!("{VERSION}\n{}\n", entries.len());
    for entry in entries {
        format(&mut text, entry).expect("writing to a String cannot fail");
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::StdFs;

    fn entry(topic: &str, partition: i32, offset: i64) -> PartitionOffset {
        PartitionOffset {
            topic: topic.to_owned(),
            partition,
            offset,
        }
    }

    fn read_text(text: &str) -> Result<Vec<PartitionOffset>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recovery-point-offset-checkpoint");
        std::fs::write(&path, text).unwrap();
        OffsetCheckpoint::read(&StdFs, &path)
    }

    #[test]
    fn writes_kafkas_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replication-offset-checkpoint");
        let entries = [entry("orders", 0, 17), entry("audit.log-x_1", 12, i64::MAX)];
        OffsetCheckpoint::write(&StdFs, &path, &entries).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "0\n2\norders 0 17\naudit.log-x_1 12 9223372036854775807\n");
        assert_eq!(OffsetCheckpoint::read(&StdFs, &path).unwrap(), entries);
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            1,
            "the temporary file is gone"
        );

        OffsetCheckpoint::write(&StdFs, &path, &[]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n0\n");
    }

    #[test]
    fn missing_and_unborn_files_are_empty() {
        let missing = OffsetCheckpoint::read(&StdFs, Path::new("/nonexistent/checkpoint")).unwrap();
        assert!(missing.is_empty());
        for text in ["", "0\n", "0\n0\n"] {
            assert!(read_text(text).unwrap().is_empty(), "{text:?}");
        }
    }

    #[test]
    fn accepts_white_space_as_kafka_does() {
        assert_eq!(read_text("0\r\n1\r\nt  3\t9\r\n").unwrap(), [entry("t", 3, 9)]);
        assert_eq!(read_text("0\n1\nt 3 9").unwrap(), [entry("t", 3, 9)]);
    }

    #[test]
    fn damage_names_the_line() {
        for (text, at) in [
            ("1\n0\n", 0),
            ("0\nmany\n", 2),
            ("0\n-1\n", 2),
            ("0\n1\nt 0\n", 4),
            ("0\n1\nt 0 1 2\n", 4),
            ("0\n1\nt -1 5\n", 4),
            ("0\n2\nt 0 5\nt 1 x\n", 10),
            ("0\n2\nt 0 5\n", 10),
            ("0\n1\nt 0 5\n\n", 10),
        ] {
            match read_text(text) {
                Err(Error::Corrupt { position, .. }) => assert_eq!(position, at, "{text:?}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn refuses_names_that_would_break_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        for topic in ["", "a b", "a\nb"] {
            let result = OffsetCheckpoint::write(&StdFs, &path, &[entry(topic, 0, 0)]);
            assert!(matches!(result, Err(Error::InvalidArgument(_))), "{topic:?}");
        }
        assert!(!path.exists());
    }
}
