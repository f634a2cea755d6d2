//! Rules and rewriting, batch by batch.

use std::collections::HashMap;

use super::*;
use crate::batch::{BatchBuilder, BatchHeader, BatchView, ControlKind, ControlMarker, read_records};
use crate::compression::{Codec, DecompressionLimit};
use crate::txn_index::AbortedTxn;

const NOW: i64 = 1_700_000_000_000;
const RETENTION: i64 = 1000;

/// (offset, timestamp, key, value, headers)
type Row = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

struct Bench {
    map: OffsetMap,
    clean_end: i64,
    log_start: i64,
    round_end: i64,
    now_ms: i64,
    producers: HashMap<i64, LastRecord>,
    transactions: Transactions,
    rewriter: Rewriter,
}

impl Bench {
    /// Rules with the latest offsets of some keys.
    fn new(latest: &[(&str, i64)]) -> Self {
        let mut map = OffsetMap::new(100, usize::MAX).unwrap();
        for (key, offset) in latest {
            assert!(map.put(map.hash(key.as_bytes()), *offset));
        }
        Self {
            map,
            clean_end: 1000,
            log_start: 0,
            round_end: 1000,
            now_ms: NOW,
            producers: HashMap::new(),
            transactions: Transactions::default(),
            rewriter: Rewriter::new(DecompressionLimit::default(), None),
        }
    }

    /// What is left of a batch: `None` for nothing.
    fn clean(&mut self, batch: &[u8]) -> Option<Vec<u8>> {
        let rules = Rules {
            map: &self.map,
            clean_end: self.clean_end,
            log_start: self.log_start,
            round_end: self.round_end,
            now_ms: self.now_ms,
            delete_retention_ms: RETENTION,
            producers: self.producers.clone(),
        };
        let view = BatchView::first(batch).unwrap();
        let rule = rules.rule(&view, &mut self.transactions).unwrap();
        match self.rewriter.rewrite(&view, &rule, &rules).unwrap() {
            Kept::Nothing => None,
            Kept::Original => Some(batch.to_vec()),
            Kept::Rewritten(header, bytes) => {
                let view = BatchView::first(bytes).unwrap();
                assert!(view.crc_is_valid());
                assert_eq!((*view.header(), view.bytes().len()), (header, bytes.len()));
                Some(bytes.to_vec())
            }
        }
    }
}

fn builder(codec: Codec) -> BatchBuilder {
    BatchBuilder::new(codec).base_offset(100).leader_epoch(3)
}

fn batch(builder: BatchBuilder, records: &[(&str, Option<&str>)]) -> Vec<u8> {
    let mut builder = builder;
    for (index, (key, value)) in records.iter().enumerate() {
        let headers: &[(&[u8], Option<&[u8]>)] = &[(b"h", None), (b"i", Some(b"x"))];
        let time = NOW - 500 + index as i64 * 100;
        let headers = headers[..index % 3].iter().copied();
        builder
            .append(time, Some(key.as_bytes()), value.map(str::as_bytes), headers)
            .unwrap();
    }
    builder.build().unwrap()
}

fn header(batch: &[u8]) -> BatchHeader {
    BatchHeader::parse(batch).unwrap()
}

fn rows(batch: &[u8]) -> Vec<Row> {
    let records = read_records(batch, DecompressionLimit::default()).unwrap();
    let row = |record: crate::batch::RecordRef<'_>| {
        (
            record.offset,
            record.timestamp,
            record.key.map(<[u8]>::to_vec),
            record.value.map(<[u8]>::to_vec),
            record.headers.len(),
        )
    };
    records.iter().map(|record| row(record.unwrap())).collect()
}

const RECORDS: [(&str, Option<&str>); 4] = [
    ("a", Some("first")),
    ("b", Some("second")),
    ("c", Some("third")),
    ("d", Some("fourth")),
];

#[test]
fn what_stays_keeps_its_bytes_and_the_batch_its_numbers() {
    for codec in Codec::ALL {
        let original = batch(builder(codec).producer(7, 2, 40).transactional(), &RECORDS);
        let mut bench = Bench::new(&[("a", 100), ("b", 200), ("c", 102), ("d", 500)]);
        let left = bench.clean(&original).unwrap();
        let before = rows(&original);
        assert_eq!(rows(&left), [before[0].clone(), before[2].clone()], "{codec:?}");
        let expected = BatchHeader {
            record_count: 2,
            max_timestamp: NOW - 300,
            crc: header(&left).crc,
            batch_length: header(&left).batch_length,
            ..header(&original)
        };
        assert_eq!(header(&left), expected);
        assert_eq!(
            (header(&left).last_offset(), header(&left).last_sequence()),
            (103, 43)
        );
        assert_eq!(bench.rewriter.tally().kept, 2);
        // Nothing to do: nothing done.
        assert_eq!(Bench::new(&[]).clean(&original).unwrap(), original);
        assert_eq!(bench.clean(&left).unwrap(), left);
    }
}

#[test]
fn long_batches_are_cleaned_in_pieces() {
    for codec in [Codec::None, Codec::Zstd] {
        for count in [63, 64, 65, 128, 1000] {
            let keys: Vec<String> = (0..count).map(|n| format!("key-{n}")).collect();
            let records: Vec<_> = keys.iter().map(|key| (key.as_str(), Some("value"))).collect();
            let original = batch(builder(codec), &records);
            let gone: Vec<_> = keys.iter().step_by(7).map(|key| (key.as_str(), 9999)).collect();
            let mut bench = Bench::new(&gone[..gone.len().min(100)]);
            bench.clean_end = i64::MAX;
            let left = rows(&bench.clean(&original).unwrap());
            let expected: Vec<Row> = rows(&original)
                .into_iter()
                .enumerate()
                .filter(|(n, _)| n % 7 != 0 || n / 7 >= 100)
                .map(|(_, row)| row)
                .collect();
            assert_eq!(left, expected);
        }
    }
}

#[test]
fn tombstones_stay_until_their_horizon() {
    for (codec, append_time) in [(Codec::None, false), (Codec::Lz4, false), (Codec::Gzip, true)] {
        let mut new = builder(codec);
        if append_time {
            new = new.log_append_time(NOW - 7);
        }
        let original = batch(new, &[("a", Some("value")), ("b", None), ("c", None)]);
        let mut bench = Bench::new(&[("c", 300)]);
        let first = bench.clean(&original).unwrap();
        assert!(header(&first).has_delete_horizon());
        assert_eq!(header(&first).base_timestamp, NOW + RETENTION);
        assert_eq!(rows(&first), rows(&original)[..2], "timestamps are counted anew");
        assert_eq!(bench.rewriter.tally().earliest_horizon, Some(NOW + RETENTION));

        bench.now_ms = NOW + RETENTION - 1;
        assert_eq!(bench.clean(&first).unwrap(), first, "the horizon is set once");
        bench.now_ms += 1;
        let last = bench.clean(&first).unwrap();
        assert_eq!(rows(&last), rows(&original)[..1]);
        assert_eq!(bench.rewriter.tally().tombstones_dropped, 1);
        assert_eq!(header(&last).base_timestamp, NOW + RETENTION);
        // Nothing in it waits for the horizon any more.
        let mut bench = Bench::new(&[]);
        bench.now_ms = NOW + RETENTION;
        assert_eq!(bench.clean(&last).unwrap(), last);
        assert_eq!(bench.rewriter.tally().earliest_horizon, None);
    }
}

#[test]
fn only_what_the_map_speaks_of_is_judged() {
    let original = batch(
        builder(Codec::Snappy),
        &[("a", Some("1")), ("b", None), ("c", Some("3"))],
    );
    let latest = [("a", 900), ("b", 900), ("c", 900)];
    let mut bench = Bench::new(&latest);
    bench.clean_end = 101;
    assert_eq!(rows(&bench.clean(&original).unwrap()), rows(&original)[1..]);
    bench.clean_end = 100;
    assert_eq!(
        bench.clean(&original).unwrap(),
        original,
        "not even a delete horizon is set"
    );
    bench.log_start = 102;
    assert_eq!(rows(&bench.clean(&original).unwrap()), rows(&original)[2..]);
    bench.log_start = 103;
    assert_eq!(bench.clean(&original), None);
    bench.round_end = 103;
    let last = bench.clean(&original).unwrap();
    assert_eq!((rows(&last).len(), header(&last).next_offset()), (0, 103));
}

#[test]
fn records_without_a_key_go() {
    let mut new = builder(Codec::None);
    new.append(NOW, None, Some(b"x"), []).unwrap();
    new.append(NOW, Some(b""), Some(b"y"), []).unwrap();
    let original = new.build().unwrap();
    let mut bench = Bench::new(&[]);
    assert_eq!(
        rows(&bench.clean(&original).unwrap()),
        rows(&original)[1..],
        "empty is not none"
    );
    assert_eq!(bench.rewriter.tally().invalid, 1);
}

#[test]
fn the_last_batch_of_a_producer_stays_without_records() {
    let original = batch(builder(Codec::Zstd).producer(7, 2, 40), &RECORDS);
    let mut bench = Bench::new(&[("a", 200), ("b", 200), ("c", 200), ("d", 200)]);
    assert_eq!(bench.clean(&original), None);
    let known = |offset, epoch| {
        HashMap::from([(
            7,
            LastRecord {
                data_offset: offset,
                epoch,
            },
        )])
    };
    bench.producers = known(Some(104), 2);
    assert_eq!(bench.clean(&original), None, "there is a later one");
    bench.producers = known(Some(103), 2);
    let left = bench.clean(&original).unwrap();
    assert_eq!(left.len(), 61);
    let expected = BatchHeader {
        attributes: 0,
        record_count: 0,
        base_timestamp: -1,
        crc: header(&left).crc,
        batch_length: 49,
        ..header(&original)
    };
    assert_eq!(header(&left), expected);
    assert_eq!(header(&left).max_timestamp, NOW - 200);
    assert_eq!(bench.clean(&left).unwrap(), left);
    bench.producers = known(Some(500), 2);
    assert_eq!(bench.clean(&left), None, "it has written again");
}

#[test]
fn markers_go_after_their_records_and_their_horizon() {
    let marker = |kind, offset: i64| {
        let kind = ControlMarker {
            kind,
            coordinator_epoch: 5,
        };
        let mut bytes = kind.to_batch(NOW - 100, 7, 2).unwrap();
        crate::batch::stamp_base_offset(&mut bytes, offset);
        bytes
    };
    let data = batch(builder(Codec::None).producer(7, 2, 0).transactional(), &RECORDS);
    let commit = marker(ControlKind::Commit, 104);
    let mut bench = Bench::new(&[]);
    assert_eq!(bench.clean(&data).unwrap(), data);
    assert_eq!(bench.clean(&commit).unwrap(), commit, "its records are there");
    // The next time its records are gone.
    let waiting = bench.clean(&commit).unwrap();
    assert_eq!(header(&waiting).base_timestamp, NOW + RETENTION);
    assert_eq!(rows(&waiting), rows(&commit));
    bench.now_ms += RETENTION - 1;
    assert_eq!(bench.clean(&waiting).unwrap(), waiting);
    bench.now_ms += 1;
    assert_eq!(bench.clean(&waiting), None);
    assert_eq!(bench.rewriter.tally().tombstones_dropped, 1);
    // A follower may have records that its leader had removed when it set the horizon of the marker: then the
    // marker is needed, and nothing waits for the time.
    let mut follower = Bench::new(&[]);
    follower.now_ms = bench.now_ms;
    assert_eq!(follower.clean(&data).unwrap(), data);
    assert_eq!(follower.clean(&waiting).unwrap(), waiting);
    assert_eq!(follower.rewriter.tally().earliest_horizon, None);
    // Unless nothing else tells the producer's epoch.
    bench.producers.insert(
        7,
        LastRecord {
            data_offset: None,
            epoch: 2,
        },
    );
    let emptied = bench.clean(&waiting).unwrap();
    assert_eq!(
        (header(&emptied).record_count, header(&emptied).is_control()),
        (0, true)
    );
    assert_eq!(bench.clean(&emptied).unwrap(), emptied);
    bench.producers.insert(
        7,
        LastRecord {
            data_offset: None,
            epoch: 3,
        },
    );
    assert_eq!(bench.clean(&emptied), None);
}

#[test]
fn aborted_records_go_and_their_marker_stays_once() {
    let aborted = AbortedTxn {
        producer_id: 7,
        first_offset: 100,
        last_offset: 104,
        last_stable_offset: 105,
    };
    let data = batch(builder(Codec::Lz4).producer(7, 2, 0).transactional(), &RECORDS);
    let mut bench = Bench::new(&[]);
    bench.transactions = Transactions::new(vec![aborted]);
    assert_eq!(bench.clean(&data), None);
    bench.clean_end = 50;
    bench.transactions = Transactions::new(vec![aborted]);
    assert_eq!(bench.clean(&data), None, "behind the end of the map, too");
}

#[test]
fn damaged_batches_are_errors() {
    let bench = Bench::new(&[]);
    let rules = Rules {
        map: &bench.map,
        clean_end: 1000,
        log_start: 0,
        round_end: 1000,
        now_ms: NOW,
        delete_retention_ms: RETENTION,
        producers: HashMap::new(),
    };
    for codec in Codec::ALL {
        let good = batch(builder(codec), &RECORDS);
        for (at, value) in [(60, 5), (60, 3), (good.len() - 1, 0xff), (70, 0xff)] {
            let mut bytes = good.clone();
            bytes[at] = value;
            let view = BatchView::first(&bytes).unwrap();
            let rule = rules.rule(&view, &mut Transactions::default()).unwrap();
            let mut rewriter = Rewriter::new(DecompressionLimit::default(), None);
            let result = rewriter.rewrite(&view, &rule, &rules).map(|_| ());
            // A flipped bit in the middle of compressed bytes may yield other records; it never panics.
            assert!(result.is_err() || at > 60, "{codec:?} {at}");
            let mut map = MapBuilder::new(
                OffsetMap::new(9, usize::MAX).unwrap(),
                DecompressionLimit::default(),
            );
            assert!(map.add(&view, 0).is_err() || at > 60);
        }
        let limit = DecompressionLimit {
            bytes: 20,
            zstd_window_log: 23,
        };
        let view = BatchView::first(&good).unwrap();
        let mut map = MapBuilder::new(OffsetMap::new(9, usize::MAX).unwrap(), limit);
        assert_eq!(map.add(&view, 0).is_err(), codec != Codec::None, "limits hold");
    }
}

#[test]
fn the_map_is_filled_up_to_the_last_record_that_fits() {
    let original = batch(builder(Codec::Gzip), &RECORDS);
    let view = BatchView::first(&original).unwrap();
    let with_room = |keys: u64| {
        MapBuilder::new(
            OffsetMap::new(keys, usize::MAX).unwrap(),
            DecompressionLimit::default(),
        )
    };
    let mut builder = with_room(10);
    assert_eq!(builder.add(&view, 102).unwrap(), None);
    assert_eq!(
        (builder.records(), builder.finish().len()),
        (4, 2),
        "older records are not dirty"
    );
    let mut builder = with_room(3);
    assert_eq!(builder.add(&view, 0).unwrap(), Some(103));
    let map = builder.finish();
    for (key, offset) in [("a", Some(100)), ("b", Some(101)), ("c", Some(102)), ("d", None)] {
        assert_eq!(map.get(map.hash(key.as_bytes())), offset);
    }
}
