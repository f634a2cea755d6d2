//! Names of the files in a partition directory, as Kafka writes them.
//!
//! | name | content |
//! |---|---|
//! | `<20 digits>.log` | batches; the digits are the segment's base offset |
//! | `<20 digits>.index`, `.timeindex`, `.txnindex` | its indexes |
//! | `<20 digits>.snapshot` | producer state up to that offset |
//! | any of those + `.deleted` | waits to be unlinked |
//! | any of those + `.<number>.deleted` | the same, beside an older file of that name that waits, too |
//! | any of those + `.cleaned` | compaction was writing it: worthless after a crash |
//! | any of those + `.swap` | compaction had finished it: takes the place of what it replaces |
//! | any of those + `.tmp` | an atomic replacement was writing it: worthless after a crash |
//! | `<20 digits>.log.<position>.corrupt` | bytes that recovery cut off at `position` |

use std::path::{Path, PathBuf};

/// Suffix of a file that waits to be unlinked.
pub const DELETED: &str = ".deleted";
/// Suffix of a file that compaction is writing.
pub const CLEANED: &str = ".cleaned";
/// Suffix of a file that compaction has finished and is moving into place.
pub const SWAP: &str = ".swap";
/// Suffix of a file that an atomic replacement is writing.
pub const TEMPORARY: &str = ".tmp";
/// Suffix of bytes that recovery cut off.
pub const CORRUPT: &str = ".corrupt";

/// What the name of a file says about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// Batches.
    Log,
    /// Offset index.
    OffsetIndex,
    /// Time index.
    TimeIndex,
    /// Transaction index.
    TransactionIndex,
    /// Producer state.
    Snapshot,
}

impl FileKind {
    /// The files of a segment: its log, its indexes and the producer state at its base offset.
    pub const ALL: [Self; 5] = [
        Self::Log,
        Self::OffsetIndex,
        Self::TimeIndex,
        Self::TransactionIndex,
        Self::Snapshot,
    ];

    /// The suffix, with its dot.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::OffsetIndex => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TransactionIndex => ".txnindex",
            Self::Snapshot => ".snapshot",
        }
    }
}

/// What state a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// Part of the log.
    Live,
    /// Waits to be unlinked.
    Deleted,
    /// Compaction was writing it.
    Cleaned,
    /// Compaction had finished it.
    Swap,
    /// An atomic replacement was writing it.
    Temporary,
}

/// A parsed file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedName {
    /// The offset in the name.
    pub offset: i64,
    /// The kind of content.
    pub kind: FileKind,
    /// The state.
    pub state: FileState,
}

/// Name of the file of `kind` for `offset`.
pub fn file_name(offset: i64, kind: FileKind) -> String {
    format!("{offset:020}{}", kind.suffix())
}

/// Path of the file of `kind` for `offset` in `dir`.
pub fn file_path(dir: &Path, offset: i64, kind: FileKind) -> PathBuf {
    dir.join(file_name(offset, kind))
}

/// `path` with a suffix such as [`DELETED`] after its whole name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Suffix of a file that waits to be unlinked, beside `before` others that had its name and wait longer.
pub fn deleted_suffix(before: u32) -> String {
    match before {
        0 => DELETED.to_owned(),
        _ => format!(".{before}{DELETED}"),
    }
}

/// Takes a file name apart; `None` for names that are not those of a segment file.
pub fn parse(name: &str) -> Option<ParsedName> {
    let suffixes = [
        (DELETED, FileState::Deleted),
        (CLEANED, FileState::Cleaned),
        (SWAP, FileState::Swap),
        (TEMPORARY, FileState::Temporary),
    ];
    let (stem, state) = suffixes
        .iter()
        .find_map(|(suffix, state)| Some((name.strip_suffix(suffix)?, *state)))
        .unwrap_or((name, FileState::Live));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let stem = match stem.rsplit_once('.') {
        Some((name, before)) if state == FileState::Deleted && is_number(before) => name,
        _ => stem,
    };
    let (digits, _) = stem.split_once('.')?;
    let kind = FileKind::ALL
        .into_iter()
        .find(|kind| &stem[digits.len()..] == kind.suffix())?;
    if !is_number(digits) {
        return None;
    }
    Some(ParsedName {
        offset: digits.parse().ok()?,
        kind,
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        assert_eq!(file_name(0, FileKind::Log), "00000000000000000000.log");
        assert_eq!(
            file_name(i64::MAX, FileKind::TransactionIndex),
            "09223372036854775807.txnindex"
        );
        for kind in FileKind::ALL {
            for (suffix, state) in [
                ("", FileState::Live),
                (DELETED, FileState::Deleted),
                (&deleted_suffix(12), FileState::Deleted),
                (CLEANED, FileState::Cleaned),
                (SWAP, FileState::Swap),
                (TEMPORARY, FileState::Temporary),
            ] {
                let name = format!("{}{suffix}", file_name(4711, kind));
                assert_eq!(
                    parse(&name),
                    Some(ParsedName {
                        offset: 4711,
                        kind,
                        state
                    }),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn other_names_are_left_alone() {
        for name in [
            "",
            "log",
            ".log",
            "partition.metadata",
            "leader-epoch-checkpoint",
            "leader-epoch-checkpoint.tmp",
            "00000000000000000000.log.17.corrupt",
            "-0000000000000000001.log",
            "+0000000000000000001.log",
            "99999999999999999999.log",
            "00000000000000000000.logs",
            "00000000000000000000.log.bak",
            "00000000000000000000.log.1",
            "00000000000000000000.log.1.swap",
            "00000000000000000000.log.x.deleted",
            "00000000000000000000.log..deleted",
            "00000000000000000000.deleted",
            "00000000000000000000-0000000000.checkpoint",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
