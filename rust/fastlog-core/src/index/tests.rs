use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{OffsetIndex, OffsetPosition, TimeIndex, TimestampedOffset};
use crate::env::{FaultFs, Faults, FileSystem, StdFs};
use crate::error::Error;

const BASE: i64 = 1_000_000;

fn entry(index: i64) -> OffsetPosition {
    OffsetPosition {
        offset: BASE + 10 + index * 10,
        position: 100 + index as u32 * 100,
    }
}

fn filled(fs: Arc<dyn FileSystem>, path: PathBuf, entries: i64) -> OffsetIndex {
    let index = OffsetIndex::create(fs, path, BASE, 1 << 20).unwrap();
    for number in 0..entries {
        let OffsetPosition { offset, position } = entry(number);
        index.append(offset, position).unwrap();
    }
    index
}

/// Every lookup against what the entries say.
fn check(index: &OffsetIndex, entries: i64) {
    assert_eq!(index.len() as i64, entries);
    assert_eq!(index.last().unwrap(), (entries > 0).then(|| entry(entries - 1)));
    for number in (0..entries)
        .step_by(7)
        .chain([entries - 1])
        .filter(|number| *number >= 0)
    {
        let OffsetPosition { offset, position } = entry(number);
        assert_eq!(index.floor(offset).unwrap(), Some(entry(number)));
        assert_eq!(index.floor(offset + 9).unwrap(), Some(entry(number)));
        assert_eq!(index.ceiling(offset).unwrap(), Some(entry(number)));
        assert_eq!(index.ceiling(offset - 9).unwrap(), Some(entry(number)));
        assert_eq!(index.floor_position(position + 99).unwrap(), Some(entry(number)));
        assert_eq!(
            index.floor(offset - 1).unwrap(),
            (number > 0).then(|| entry(number - 1))
        );
    }
    assert_eq!(index.ceiling(entry(entries).offset).unwrap(), None);
}

#[test]
fn entries_are_found_in_memory_and_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    for entries in [0, 1, 511, 512, 513, 1500] {
        let path = dir.path().join(format!("{entries}.index"));
        let index = filled(Arc::new(StdFs), path.clone(), entries);
        check(&index, entries);
        index.seal().unwrap();
        check(&index, entries);
        let len = std::fs::metadata(&path).unwrap().len();
        assert_eq!(len as i64, entries * 8);
        let reopened = OffsetIndex::open(Arc::new(StdFs), path, len, BASE, 1 << 20).unwrap();
        assert_eq!(reopened.check(BASE + 1_000_000, 1 << 30).unwrap(), Ok(()));
        assert!(reopened.rises().unwrap());
        check(&reopened, entries);
    }
}

#[test]
fn cutting_keeps_what_is_before() {
    let dir = tempfile::tempdir().unwrap();
    for keep in [0, 1, 300, 512, 700, 800] {
        let path = dir.path().join(format!("{keep}.index"));
        let index = filled(Arc::new(StdFs), path.clone(), 800);
        // A map that a reader may still hold when the file is replaced.
        check(&index, 800);
        index.truncate_to(entry(keep).offset).unwrap();
        check(&index, keep);
        let OffsetPosition { offset, position } = entry(keep);
        index.append(offset, position).unwrap();
        check(&index, keep + 1);
        index.seal().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len() as i64, (keep + 1) * 8);
    }
}

#[test]
fn the_bytes_are_kafkas() {
    let fs = FaultFs::new();
    fs.create_dir_all(Path::new("/d")).unwrap();
    let index = filled(Arc::new(fs.clone()), "/d/i".into(), 2);
    index.write_out().unwrap();
    let expected = [0, 0, 0, 10, 0, 0, 0, 100, 0, 0, 0, 20, 0, 0, 0, 200];
    assert_eq!(fs.read_file(Path::new("/d/i")).unwrap(), expected);

    let times = TimeIndex::create(Arc::new(fs.clone()), "/d/t".into(), BASE, 1 << 20).unwrap();
    for (timestamp, offset) in [(-1, 1), (258, 5), (258, 6), (200, 7), (259, 5), (260, 8)] {
        times
            .append_if_later(TimestampedOffset {
                timestamp,
                offset: BASE + offset,
            })
            .unwrap();
    }
    times.write_out().unwrap();
    let expected = [
        0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 8,
    ];
    assert_eq!(fs.read_file(Path::new("/d/t")).unwrap(), expected);
    assert_eq!(
        times.floor(259).unwrap(),
        Some(TimestampedOffset {
            timestamp: 258,
            offset: BASE + 5
        })
    );
    assert_eq!(times.floor(257).unwrap(), None);
}

#[test]
fn a_full_disk_costs_no_entry() {
    let fs = FaultFs::new();
    fs.create_dir_all(Path::new("/d")).unwrap();
    let index = OffsetIndex::create(Arc::new(fs.clone()), "/d/i".into(), BASE, 1 << 20).unwrap();
    fs.set_faults(Faults {
        capacity: Some(1001),
        ..Faults::default()
    });
    for number in 0..1200 {
        let OffsetPosition { offset, position } = entry(number);
        index.append(offset, position).unwrap();
    }
    check(&index, 1200);
    assert!(
        matches!(index.sync(), Err(Error::NoSpace { .. })),
        "what is not written is not durable"
    );
    fs.set_faults(Faults::default());
    index.sync().unwrap();
    check(&index, 1200);
    assert_eq!(fs.read_file(Path::new("/d/i")).unwrap().len(), 9600);
}

#[test]
fn limits_are_told() {
    let fs = FaultFs::new();
    fs.create_dir_all(Path::new("/d")).unwrap();
    let index = OffsetIndex::create(Arc::new(fs.clone()), "/d/i".into(), BASE, 23).unwrap();
    assert!(index.can_hold(BASE) && index.can_hold(BASE + i64::from(i32::MAX)));
    assert!(!index.can_hold(BASE - 1) && !index.can_hold(BASE + i64::from(i32::MAX) + 1));
    assert!(!index.can_hold(i64::MIN));
    index.append(BASE + 1, 0).unwrap();
    assert!(!index.is_full());
    index.append(BASE + 2, 9).unwrap();
    assert!(index.is_full());
    for (next_offset, size, sound) in [(BASE + 3, 10, true), (BASE + 2, 10, false), (BASE + 3, 9, false)] {
        assert_eq!(index.check(next_offset, size).unwrap().is_ok(), sound);
    }
    let times = TimeIndex::create(Arc::new(fs), "/d/t".into(), BASE, 36).unwrap();
    times
        .append_if_later(TimestampedOffset {
            timestamp: 1,
            offset: BASE + 1,
        })
        .unwrap();
    assert!(!times.is_full());
    times
        .append_if_later(TimestampedOffset {
            timestamp: 2,
            offset: BASE + 2,
        })
        .unwrap();
    assert!(times.is_full(), "one entry is kept for the roll");
}
