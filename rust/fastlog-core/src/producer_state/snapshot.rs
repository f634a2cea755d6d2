//! The producer snapshot file (Kafka: `ProducerStateManager`, `ProducerSnapshot.json`). This file owns its bytes.
//!
//! `<offset, 20 digits>.snapshot` in the partition directory holds the state of every producer just before
//! that offset. All numbers are big-endian.
//!
//! | at | size | field | meaning |
//! |---:|---:|---|---|
//! | 0 | 2 | version | 1 |
//! | 2 | 4 | crc | CRC-32C of byte 6 to the end |
//! | 6 | 4 | count | number of entries, 46 bytes each |
//!
//! | at | size | field | meaning |
//! |---:|---:|---|---|
//! | 0 | 8 | producer id | |
//! | 8 | 2 | epoch | |
//! | 10 | 4 | last sequence | of the last batch, -1 when none is known |
//! | 14 | 8 | last offset | of the last batch, -1 when none is known |
//! | 22 | 4 | offset delta | last minus first offset of the last batch |
//! | 26 | 8 | timestamp | of the last batch or marker, ms |
//! | 34 | 4 | coordinator epoch | of the last marker, -1 none |
//! | 38 | 8 | transaction's first offset | of the open transaction, -1 none |

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::entry::{BatchMetadata, Entry, NO_SEQUENCE};
use crate::batch::crc32c;
use crate::env::FileSystem;
use crate::error::{Error, Result};

const SUFFIX: &str = ".snapshot";
const VERSION: i16 = 1;
const AT_CRC: usize = 2;
const AT_COUNT: usize = 6;
const AT_ENTRIES: usize = 10;
const ENTRY_SIZE: usize = 46;
/// Most bytes of a file: more than a million producers, of a partition that comes from Kafka.
const MAX_SIZE: u64 = 64 << 20;

/// The path of the snapshot at `offset`.
pub fn snapshot_path(dir: &Path, offset: i64) -> PathBuf {
    dir.join(format!("{offset:020}{SUFFIX}"))
}

/// The offsets of the snapshots in `dir`, rising.
pub fn snapshot_offsets(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<i64>> {
    let mut offsets: Vec<i64> = fs
        .list_dir(dir)?
        .iter()
        .filter_map(|entry| entry.name.strip_suffix(SUFFIX))
        .filter(|digits| digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|digits| digits.parse().ok())
        .collect();
    offsets.sort_unstable();
    Ok(offsets)
}

/// Removes the snapshots below `offset`.
pub fn delete_snapshots_before(fs: &dyn FileSystem, dir: &Path, offset: i64) -> Result<()> {
    delete(fs, dir, |at| at < offset)
}

/// Removes the snapshots above `offset`.
pub fn delete_snapshots_after(fs: &dyn FileSystem, dir: &Path, offset: i64) -> Result<()> {
    delete(fs, dir, |at| at > offset)
}

fn delete(fs: &dyn FileSystem, dir: &Path, condition: impl Fn(i64) -> bool) -> Result<()> {
    for offset in snapshot_offsets(fs, dir)?.into_iter().filter(|at| condition(*at)) {
        fs.remove_file(&snapshot_path(dir, offset))?;
    }
    Ok(())
}

/// The bytes of a snapshot, entries in the order of the producer ids. Fails when there is no memory for them.
pub(super) fn encode(producers: &HashMap<i64, Entry>) -> Result<Vec<u8>> {
    let mut rows: Vec<(&i64, &Entry)> = Vec::new();
    let mut out = Vec::new();
    let size = AT_ENTRIES + producers.len() * ENTRY_SIZE;
    rows.try_reserve_exact(producers.len())
        .and_then(|()| out.try_reserve_exact(size))
        .map_err(|_| Error::OutOfMemory(size))?;
    rows.extend(producers);
    rows.sort_unstable_by_key(|(id, _)| **id);

    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(rows.len() as i32).to_be_bytes());
    for (id, entry) in rows {
        let last = entry.last_batch().copied().unwrap_or(BatchMetadata {
            last_sequence: NO_SEQUENCE,
            last_offset: -1,
            offset_delta: 0,
            timestamp: -1,
        });
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&entry.epoch.to_be_bytes());
        out.extend_from_slice(&last.last_sequence.to_be_bytes());
        out.extend_from_slice(&last.last_offset.to_be_bytes());
        out.extend_from_slice(&last.offset_delta.to_be_bytes());
        out.extend_from_slice(&entry.last_timestamp.to_be_bytes());
        out.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        out.extend_from_slice(&entry.txn_first_offset.unwrap_or(-1).to_be_bytes());
    }
    let crc = crc32c(&out[AT_COUNT..]);
    out[AT_CRC..AT_COUNT].copy_from_slice(&crc.to_be_bytes());
    Ok(out)
}

/// The producers in the file at `path`, `None` when it is damaged.
pub(super) fn read(fs: &dyn FileSystem, path: &Path) -> Result<Option<HashMap<i64, Entry>>> {
    match fs.read_bounded(path, MAX_SIZE) {
        Err(Error::Corrupt { .. }) => Ok(None),
        bytes => decode(&bytes?),
    }
}

/// The producers of the bytes of a snapshot, `None` when they are damaged. Fails when there is no memory for them.
fn decode(bytes: &[u8]) -> Result<Option<HashMap<i64, Entry>>> {
    let Ok(rows) = check(bytes) else {
        return Ok(None);
    };
    let mut producers = HashMap::new();
    let count = rows.len() / ENTRY_SIZE;
    producers
        .try_reserve(count)
        .map_err(|_| Error::OutOfMemory(count * size_of::<(i64, Entry)>()))?;
    producers.extend(rows.chunks_exact(ENTRY_SIZE).map(entry_of));
    Ok(Some(producers))
}

/// The rows of a snapshot; the error says what is wrong with its bytes.
pub(super) fn check(bytes: &[u8]) -> Result<&[u8], String> {
    if bytes.len() < AT_ENTRIES {
        return Err(format!("{} bytes are too few for a snapshot", bytes.len()));
    }
    let version = i16::from_be_bytes(field(bytes, 0));
    if version != VERSION {
        return Err(format!("unknown snapshot version {version}"));
    }
    let (stored, computed) = (
        u32::from_be_bytes(field(bytes, AT_CRC)),
        crc32c(&bytes[AT_COUNT..]),
    );
    if stored != computed {
        return Err(format!(
            "CRC is {computed:#010x}, the snapshot says {stored:#010x}"
        ));
    }
    let count = i32::from_be_bytes(field(bytes, AT_COUNT));
    let rows = &bytes[AT_ENTRIES..];
    if i64::from(count) * ENTRY_SIZE as i64 != rows.len() as i64 {
        return Err(format!("{count} entries do not fill {} bytes", rows.len()));
    }
    Ok(rows)
}

fn entry_of(row: &[u8]) -> (i64, Entry) {
    let mut entry = Entry::new();
    entry.epoch = i16::from_be_bytes(field(row, 8));
    entry.last_timestamp = i64::from_be_bytes(field(row, 26));
    entry.silent_since = entry.last_timestamp;
    entry.coordinator_epoch = i32::from_be_bytes(field(row, 34));
    entry.txn_first_offset = Some(i64::from_be_bytes(field(row, 38))).filter(|offset| *offset >= 0);
    let last = BatchMetadata {
        last_sequence: i32::from_be_bytes(field(row, 10)),
        last_offset: i64::from_be_bytes(field(row, 14)),
        offset_delta: i32::from_be_bytes(field(row, 22)),
        timestamp: entry.last_timestamp,
    };
    if last.last_offset >= 0 {
        entry.last_used = last.first_offset();
        entry.push(last);
    }
    (i64::from_be_bytes(field(row, 0)), entry)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
