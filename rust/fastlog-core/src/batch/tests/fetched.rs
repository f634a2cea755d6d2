//! What a consumer sees of the answer to a fetch: row by row, and as a table, which have to agree.

use proptest::prelude::*;

use super::vectors;
use crate::batch::{
    BatchBuilder, ControlKind, ControlMarker, FetchedRecords, HEADER_SIZE, RecordTable, crc32c,
    stamp_base_offset,
};
use crate::compression::{Codec, DecompressionLimit};
use crate::txn_index::AbortedTxn;

const LIMIT: DecompressionLimit = DecompressionLimit {
    bytes: 1 << 20,
    zstd_window_log: 23,
};

/// Offset, timestamp, key, value, headers, append time, epoch.
type Row = (
    i64,
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(String, Option<Vec<u8>>)>,
    bool,
    i32,
);

/// What was read, the position, and where damage was.
type Found = (Vec<Row>, i64, Option<(i64, i64)>);

fn walk(position: i64, until: i64, aborted: &[(i64, i64)]) -> FetchedRecords {
    let aborted = aborted
        .iter()
        .map(|(producer_id, first_offset)| AbortedTxn {
            producer_id: *producer_id,
            first_offset: *first_offset,
            last_offset: i64::MAX,
            last_stable_offset: -1,
        })
        .collect();
    FetchedRecords::new(position, until, aborted, LIMIT)
}

fn ended(walk: &FetchedRecords, rows: Vec<Row>) -> Found {
    let damage = walk.damage().map(|damage| (damage.offset, damage.next_offset));
    (rows, walk.position(), damage)
}

fn by_rows(bytes: &[u8], mut walk: FetchedRecords, at_a_time: usize) -> Found {
    let mut rows = Vec::new();
    while !walk.is_over() {
        let before = rows.len();
        let count = walk.visit(bytes, at_a_time, |header, record| {
            let headers = record.headers.clone().map(|(name, value)| {
                (
                    String::from_utf8_lossy(name).into_owned(),
                    value.map(<[u8]>::to_vec),
                )
            });
            rows.push((
                record.offset,
                record.timestamp,
                record.key.map(<[u8]>::to_vec),
                record.value.map(<[u8]>::to_vec),
                headers.collect(),
                header.timestamp_type() == crate::TimestampType::LogAppendTime,
                header.partition_leader_epoch,
            ));
        });
        assert_eq!(count, rows.len() - before);
        assert!(count <= at_a_time);
    }
    ended(&walk, rows)
}

fn rows_of(table: &RecordTable) -> Vec<Row> {
    let headers = &table.headers;
    (0..table.len())
        .map(|row| {
            let run = table.run_of(row).unwrap();
            let entries = headers.offsets[row] as usize..headers.offsets[row + 1] as usize;
            (
                table.offsets[row],
                table.timestamps[row],
                table.keys.get(row).map(<[u8]>::to_vec),
                table.values.get(row).map(<[u8]>::to_vec),
                entries
                    .map(|at| {
                        (
                            String::from_utf8(headers.names.get(at).unwrap().to_vec()).unwrap(),
                            headers.values.get(at).map(<[u8]>::to_vec),
                        )
                    })
                    .collect(),
                run.is_append_time,
                run.leader_epoch,
            )
        })
        .collect()
}

fn by_table(bytes: &[u8], mut walk: FetchedRecords, rows: usize, size: usize) -> Found {
    let mut found = Vec::new();
    while !walk.is_over() {
        let mut table = RecordTable::default();
        let taken = table.take(&mut walk, bytes, rows, size);
        assert_eq!(taken, table.len());
        assert!(taken <= rows);
        table.close_part("t", 3, walk.position());
        check(&table);
        found.extend(rows_of(&table));
    }
    ended(&walk, found)
}

/// What Arrow relies on.
fn check(table: &RecordTable) {
    let rows = table.len();
    assert_eq!(table.timestamps.len(), rows);
    assert_eq!(table.headers.offsets.len(), rows + 1);
    let entries = table.headers.offsets[rows] as usize;
    for (column, rows) in [
        (&table.keys, rows),
        (&table.values, rows),
        (&table.headers.names, entries),
        (&table.headers.values, entries),
    ] {
        assert_eq!(column.validity.len(), rows);
        assert_eq!(column.offsets.len(), rows + 1);
        assert_eq!(column.offsets[rows] as usize, column.data.len());
        assert!(column.offsets.is_sorted());
    }
    assert!(table.headers.offsets.is_sorted());
    assert!(table.headers.names.validity.iter().all(|there| *there));
    assert!(std::str::from_utf8(&table.headers.names.data).is_ok());
    assert_eq!(table.parts.last().map_or(0, |part| part.stop), rows);
    assert!(table.runs.iter().all(|run| run.start < rows));
}

fn batch(codec: Codec, base: i64, count: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec)
        .base_offset(base)
        .leader_epoch(base as i32);
    for index in 0..count {
        let offset = base + index;
        let name: &[u8] = if offset % 2 == 0 { b"even" } else { b"\xff" };
        let headers: &[(&[u8], Option<&[u8]>)] = &[(name, Some(b"x")), (b"none", None)];
        let value = offset.to_string();
        builder
            .append(
                1000 + offset,
                (offset % 3 != 0).then_some(&b"key"[..]),
                (offset % 5 != 0).then_some(value.as_bytes()),
                headers[..(offset % 3) as usize].iter().copied(),
            )
            .unwrap();
    }
    builder.build().unwrap()
}

fn transactional(producer: i64, base: i64, count: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None)
        .base_offset(base)
        .producer(producer, 0, 0)
        .transactional();
    for _ in 0..count {
        builder.append(1, None, Some(b"v"), []).unwrap();
    }
    builder.build().unwrap()
}

fn marker(producer: i64, base: i64, kind: ControlKind) -> Vec<u8> {
    let marker = ControlMarker {
        kind,
        coordinator_epoch: 0,
    };
    let mut bytes = marker.to_batch(1, producer, 0).unwrap();
    stamp_base_offset(&mut bytes, base);
    bytes
}

fn offsets(found: &Found) -> Vec<i64> {
    found.0.iter().map(|row| row.0).collect()
}

#[test]
fn rows_and_columns_are_the_same_however_many_at_a_time() {
    let bytes: Vec<u8> = Codec::ALL
        .into_iter()
        .zip([0, 7, 14, 30, 37])
        .flat_map(|(codec, base)| batch(codec, base, 7))
        .collect();
    for position in [0, 3, 20, 36, 40, 44, 100] {
        for until in [i64::MAX, 44, 43, 40, 14, 13, 3, 0] {
            let whole = by_rows(&bytes, walk(position, until, &[]), usize::MAX);
            for rows in [1, 2, 7, 8, 1000] {
                assert_eq!(by_rows(&bytes, walk(position, until, &[]), rows), whole);
                assert_eq!(
                    by_table(&bytes, walk(position, until, &[]), rows, usize::MAX),
                    whole
                );
            }
            for size in [1, 33, 100, 10_000] {
                assert_eq!(
                    by_table(&bytes, walk(position, until, &[]), usize::MAX, size),
                    whole
                );
            }
            let wanted = (0..44).filter(|offset| !(21..30).contains(offset));
            let wanted = wanted.filter(|offset| (position..until).contains(offset));
            assert_eq!(offsets(&whole), wanted.collect::<Vec<_>>());
        }
    }
}

#[test]
fn the_end_is_not_passed_by_a_batch_that_ends_there() {
    let bytes = batch(Codec::None, 0, 3);
    // The record at the end is the last one of its batch.
    assert_eq!(by_rows(&bytes, walk(0, 2, &[]), 10).1, 2);
    assert_eq!(by_rows(&bytes, walk(0, 3, &[]), 10).1, 3);
    assert_eq!(by_table(&bytes, walk(1, 2, &[]), 10, 1000).1, 2);
}

#[test]
fn a_table_ends_with_the_row_that_fills_it() {
    let bytes = [batch(Codec::None, 0, 50), batch(Codec::Lz4, 50, 50)].concat();
    let mut walk = walk(0, i64::MAX, &[]);
    let mut table = RecordTable::default();
    let taken = table.take(&mut walk, &bytes, usize::MAX, 500);
    assert!((3..30).contains(&taken), "{taken}");
    assert!(table.size() >= 500);
    assert_eq!(table.take(&mut walk, &bytes, usize::MAX, 500), 0);
    assert_eq!(walk.position(), taken as i64);
    assert_eq!(table.take(&mut walk, &bytes, 60, usize::MAX), 60);
    assert_eq!(walk.position(), taken as i64 + 60);
}

#[test]
fn parts_and_runs_say_where_rows_are_from() {
    let (first, second) = (batch(Codec::None, 4, 3), batch(Codec::None, 7, 2));
    let mut table = RecordTable::default();
    for (partition, bytes) in [(0, &first), (1, &second), (2, &first)] {
        let mut walk = walk(5, i64::MAX, &[]);
        table.take(&mut walk, bytes, 100, 10_000);
        table.close_part("t", partition, walk.position());
    }
    // One that gave nothing.
    let mut over = walk(100, i64::MAX, &[]);
    table.take(&mut over, &first, 100, 10_000);
    table.close_part("t", 3, over.position());
    check(&table);
    let parts: Vec<_> = table
        .parts
        .iter()
        .map(|part| (part.partition, part.start, part.stop, part.next_offset))
        .collect();
    assert_eq!(parts, [(0, 0, 2, 7), (1, 2, 4, 9), (2, 4, 6, 7)]);
    let of_rows: Vec<_> = (0..6)
        .map(|row| {
            (
                table.part_of(row).unwrap().partition,
                table.run_of(row).unwrap().leader_epoch,
            )
        })
        .collect();
    assert_eq!(of_rows, [(0, 4), (0, 4), (1, 7), (1, 7), (2, 4), (2, 4)]);
    assert_eq!(
        (table.part_of(6), table.run_of(usize::MAX).map(|run| run.start)),
        (None, Some(4))
    );
}

#[test]
fn aborted_transactions_and_markers_are_left_out() {
    let bytes = [
        transactional(1, 0, 1),
        marker(1, 1, ControlKind::Commit),
        transactional(1, 2, 2),
        transactional(2, 4, 1),
        batch(Codec::None, 5, 1),
        marker(1, 6, ControlKind::Abort),
        transactional(1, 7, 1),
        marker(2, 8, ControlKind::Commit),
    ]
    .concat();
    let found = by_table(&bytes, walk(0, i64::MAX, &[(1, 2)]), 2, usize::MAX);
    assert_eq!(offsets(&found), [0, 4, 5, 7]);
    assert_eq!(found, by_rows(&bytes, walk(0, i64::MAX, &[(1, 2)]), 1));
    assert_eq!(found.1, 9);
    // From the middle of the aborted one.
    assert_eq!(
        offsets(&by_rows(&bytes, walk(3, i64::MAX, &[(1, 2)]), 9)),
        [4, 5, 7]
    );
    assert_eq!(by_rows(&bytes, walk(0, i64::MAX, &[]), 9).0.len(), 6);
}

#[test]
fn damage_ends_the_reading_behind_the_good_rows() {
    let good = batch(Codec::None, 0, 3);
    let mut bad = batch(Codec::Zstd, 3, 4);
    *bad.last_mut().unwrap() ^= 1;
    let bytes = [good, bad, batch(Codec::None, 7, 1)].concat();
    let found = by_table(&bytes, walk(0, i64::MAX, &[]), usize::MAX, usize::MAX);
    assert_eq!(
        (offsets(&found), found.1, found.2),
        (vec![0, 1, 2], 3, Some((3, 7)))
    );
    assert_eq!(found, by_rows(&bytes, walk(0, i64::MAX, &[]), 2));
    // Behind it there is more.
    assert_eq!(offsets(&by_rows(&bytes, walk(7, i64::MAX, &[]), 2)), [7]);
}

fn fix_crc(bytes: &mut [u8]) {
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn agree(bytes: &[u8]) {
    for (position, until) in [(0, i64::MAX), (1, 2)] {
        let rows = by_rows(bytes, walk(position, until, &[(7, 0)]), 2);
        let table = by_table(bytes, walk(position, until, &[(7, 0)]), 3, 200);
        assert_eq!(rows, table);
        assert!(rows.0.iter().all(|row| (position..until).contains(&row.0)));
    }
}

#[test]
fn every_byte_changed_gives_an_answer_and_the_same_one() {
    let seeds = vectors::COMPRESSED
        .iter()
        .map(|(_, hex)| *hex)
        .chain([vectors::PLAIN_THREE]);
    for seed in seeds.map(vectors::bytes) {
        for at in 0..seed.len() {
            for bits in [0x01, 0x80, 0xff] {
                let mut bytes = seed.clone();
                bytes[at] ^= bits;
                agree(&bytes);
                fix_crc(&mut bytes);
                agree(&bytes);
                agree(&[&bytes[..], &seed].concat());
            }
        }
        for length in 0..seed.len() {
            agree(&seed[..length]);
        }
    }
}

proptest! {
    #[test]
    fn any_records_under_a_good_header(body in proptest::collection::vec(any::<u8>(), 0..200), count in 0..9_i32) {
        let mut bytes = vectors::bytes(vectors::PLAIN_THREE)[..HEADER_SIZE].to_vec();
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        bytes.extend(body);
        let length = (bytes.len() - 12) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        fix_crc(&mut bytes);
        agree(&bytes);
    }
}
