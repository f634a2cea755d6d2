//! Opening what was compacted under another policy, and damage.

use crate::common::keyed::{committed, everything, put};
use crate::common::{Dir, NOW_MS, unclean};
use fastlog_core::log::{LogConfig, OpenOptions};
use fastlog_core::{Codec, Error};

use super::support::{config, fill, filled, has};

#[test]
fn a_log_that_was_compacted_opens_under_another_policy() {
    // Two segments, of which the first one loses its end, and the third one its beginning.
    for evidence in [false, true] {
        let dir = Dir::new();
        let (log, _) = dir.open(&config(), OpenOptions::default());
        let write = |key: &[u8]| {
            put(&log, Codec::None, None, NOW_MS, &[(Some(key), Some(b"value"))]);
        };
        for keys in [[b"a", b"b"], [b"b", b"c"], [b"d", b"e"]] {
            write(keys[0]);
            write(keys[1]);
            log.roll().unwrap();
        }
        let separate = LogConfig {
            segment_bytes: 80,
            ..config()
        };
        log.update_config(separate);
        log.compact(&everything(&log, -1, NOW_MS)).unwrap();
        let found = committed(&log);
        assert_eq!(
            found.iter().map(|record| record.offset).collect::<Vec<_>>(),
            [0, 2, 3, 4, 5]
        );
        drop(log);
        let delete = LogConfig {
            compact: false,
            ..config()
        };
        if evidence {
            // As in a directory of Kafka: nobody knows.
            std::fs::remove_file(dir.file("compaction-checkpoint")).unwrap();
            assert!(matches!(
                dir.try_open(&delete, unclean(0)),
                Err(Error::Corrupt { .. })
            ));
            let told = OpenOptions {
                compacted_below: 2,
                ..unclean(0)
            };
            assert_eq!(committed(&dir.open(&delete, told).0), found);
            assert_eq!(committed(&dir.open(&config(), unclean(0)).0), found);
        } else {
            assert_eq!(committed(&dir.open(&delete, unclean(0)).0), found);
            // But a segment that loses its end where nothing was compacted has lost it, whatever the policy.
            let (log, _) = dir.open(&config(), unclean(0));
            fill(&log, 20, 5);
            assert!(log.segment_count() > 5);
            let last = log.segments().unwrap()[log.segment_count() - 3];
            drop(log);
            let path = dir.file(&format!("{:020}.log", last.base_offset));
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_len(0).unwrap();
            for config in [&config(), &delete] {
                assert!(matches!(
                    dir.try_open(config, unclean(0)),
                    Err(Error::Corrupt { .. })
                ));
            }
        }
    }
}

#[test]
fn followers_of_compacted_leaders_open_under_another_policy() {
    let (_dir, leader) = filled(100, 20);
    leader.compact(&everything(&leader, -1, NOW_MS)).unwrap();
    fill(&leader, 2, 20);
    let dir = Dir::new();
    let small = LogConfig {
        segment_bytes: 300,
        ..config()
    };
    let (follower, _) = dir.open(&small, OpenOptions::default());
    let mut offset = 0;
    while offset < leader.log_end_offset() {
        let slice = leader.read(offset, 200, i64::MAX, true).unwrap();
        let mut bytes = vec![0; slice.len];
        slice.read_into(&mut bytes).unwrap();
        offset = follower.append_as_follower(&bytes, 0).unwrap().end_offset;
    }
    assert!(follower.segment_count() > 3);
    let found = committed(&follower);
    assert_eq!(found, committed(&leader));
    drop(follower);
    let delete = LogConfig {
        compact: false,
        ..small
    };
    assert_eq!(committed(&dir.open(&delete, unclean(0)).0), found);
}

#[test]
fn damage_takes_the_log_offline_and_changes_nothing() {
    for dirty in [true, false] {
        let (dir, log) = filled(100, 20);
        let mut from = -1;
        if !dirty {
            from = log.compact(&everything(&log, -1, NOW_MS)).unwrap().cleaned_to;
            fill(&log, 5, 20);
        }
        let last_clean = log
            .segments()
            .unwrap()
            .iter()
            .rposition(|one| one.size > 100 && one.base_offset < 500);
        let base = log.segments().unwrap()[last_clean.unwrap()].base_offset;
        let path = dir.file(&format!("{base:020}.log"));
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        log.purge_deleted(i64::MAX).unwrap();
        let before = crate::common::contents(&dir.path());
        let result = log.compact(&everything(&log, from, NOW_MS));
        assert!(matches!(result, Err(Error::Offline { .. })), "{result:?}");
        let damage = log.damage().unwrap();
        assert!(
            damage.contains(&format!("{base:020}.log")) && damage.contains("checksum"),
            "{damage}"
        );
        assert_eq!(log.failure().map(|failure| failure.reason), Some(damage));
        let after = crate::common::contents(&dir.path());
        let changed = before
            .iter()
            .filter(|file| !after.contains(file))
            .map(|(name, _)| name);
        // Groups before the damaged one may be done.
        if dirty {
            assert_eq!(changed.collect::<Vec<_>>(), [""; 0]);
        } else {
            let later = changed.filter(|name| **name >= format!("{base:020}") && name.starts_with('0'));
            assert_eq!(later.collect::<Vec<_>>(), [""; 0]);
        }
        assert!(!has(&dir, ".cleaned"));
    }
}
