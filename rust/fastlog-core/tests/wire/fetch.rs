//! Fetch requests and responses of every version.

use fastlog_core::wire::{
    FetchAnswer, FetchEncodeError, FetchPlan, FetchRowAnswer, Frame, RecordSource, Span, TopicRef,
};
use fastlog_core::{Error, Result};

use crate::produce::node_endpoints;
use crate::vectors::{self, Vector, pattern};

const ORDERS: [u8; 16] = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes();
const AUDIT: [u8; 16] = 0xf000_0000_0000_0000_0000_0000_0000_000f_u128.to_be_bytes();
const RETIRED: [u8; 16] = 0x0000_0000_0000_4000_8000_0000_0000_0001_u128.to_be_bytes();

fn plan(vector: &Vector) -> FetchPlan {
    FetchPlan::parse(Frame::from(vector.payload.clone())).unwrap()
}

/// What a row names: the name up to version 12, the id afterwards.
fn is_topic(plan: &FetchPlan, topic: Span, name: &str, id: &[u8; 16]) -> bool {
    match plan.topic(topic) {
        TopicRef::Name(sent) => plan.version() <= 12 && sent == name,
        TopicRef::Id(sent) => plan.version() >= 13 && sent == id,
    }
}

#[test]
fn requests_of_every_version_are_read() {
    let mut versions = std::collections::BTreeSet::new();
    for vector in vectors::of("fetch", "request") {
        let plan = plan(&vector);
        versions.insert(plan.version());
        assert_eq!(plan.version(), vector.version);
        assert_eq!(plan.correlation_id(), vector.correlation_id());
        match vector.case {
            "full" => check_full(&plan),
            _ => check_consumer(&plan),
        }
    }
    assert!(versions.into_iter().eq(FetchPlan::VERSIONS));
}

fn check_full(plan: &FetchPlan) {
    let version = plan.version();
    let since = |first: i16, value: i64| if version >= first { value } else { -1 };
    assert_eq!(plan.replica_id(), 5);
    assert_eq!(plan.replica_epoch(), since(15, 77));
    assert_eq!(
        plan.cluster_id().as_deref(),
        (version >= 12).then_some("cluster-x")
    );
    assert_eq!((plan.max_wait_ms(), plan.min_bytes()), (500, 1));
    assert_eq!((plan.max_bytes(), plan.isolation_level()), (52_428_800, 1));
    let session = if version >= 7 { (123, 4) } else { (0, -1) };
    assert_eq!((plan.session_id(), plan.session_epoch()), session);
    assert_eq!(plan.rack_id(), if version >= 11 { "rack-a" } else { "" });

    let [first, second, third] = plan.rows() else {
        panic!("{:?}", plan.rows());
    };
    assert!(is_topic(plan, first.topic, "orders", &ORDERS));
    assert!(is_topic(plan, second.topic, "orders", &ORDERS));
    assert!(is_topic(plan, third.topic, "audit", &AUDIT));
    let numbers = |row: &fastlog_core::wire::FetchRow| {
        (
            row.partition,
            i64::from(row.current_leader_epoch),
            row.fetch_offset,
            i64::from(row.last_fetched_epoch),
            row.log_start_offset,
            row.partition_max_bytes,
        )
    };
    let expected = (0, since(9, 3), 100, since(12, 2), since(5, 10), 1_048_576);
    assert_eq!(numbers(first), expected);
    assert_eq!(numbers(second), (5, -1, 1 << 40, -1, -1, 1));
    let expected = (1, since(9, 0), 0, since(12, 0), since(5, 0), i32::MAX);
    assert_eq!(numbers(third), expected);

    let forgotten: Vec<i32> = plan.forgotten().iter().map(|row| row.partition).collect();
    let expected: &[i32] = if version >= 7 { &[1, 2, 300] } else { &[] };
    assert_eq!(forgotten, expected);
    for row in plan.forgotten() {
        assert!(is_topic(plan, row.topic, "retired", &RETIRED));
    }
}

fn check_consumer(plan: &FetchPlan) {
    assert_eq!((plan.replica_id(), plan.replica_epoch()), (-1, -1));
    assert_eq!((plan.max_wait_ms(), plan.min_bytes()), (100, 65_536));
    assert_eq!((plan.max_bytes(), plan.isolation_level()), (i32::MAX, 0));
    assert_eq!((plan.session_id(), plan.session_epoch()), (0, -1));
    assert_eq!((&*plan.rack_id(), plan.cluster_id()), ("", None));
    assert!(plan.rows().is_empty() && plan.forgotten().is_empty());
}

fn row<R>(topic: &str, topic_id: [u8; 16], partition: i32) -> FetchRowAnswer<'_, R> {
    FetchRowAnswer {
        topic,
        topic_id,
        partition,
        error_code: 0,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        diverging_epoch: None,
        current_leader: None,
        snapshot_id: None,
        aborted: None,
        preferred_read_replica: -1,
        records: None,
    }
}

fn full_rows(records: &[u8]) -> Vec<FetchRowAnswer<'_, &[u8]>> {
    vec![
        FetchRowAnswer {
            high_watermark: 200,
            last_stable_offset: 150,
            log_start_offset: 10,
            aborted: Some(&[(9, 110), (1 << 40, 120)]),
            records: Some(records),
            ..row("orders", ORDERS, 0)
        },
        FetchRowAnswer {
            high_watermark: 50,
            last_stable_offset: 50,
            log_start_offset: 0,
            diverging_epoch: Some((4, 33)),
            preferred_read_replica: 2,
            records: Some(&[]),
            ..row("orders", ORDERS, 5)
        },
        FetchRowAnswer {
            error_code: 6,
            current_leader: Some((3, 12)),
            snapshot_id: Some((77, 6)),
            aborted: Some(&[]),
            ..row("audit", AUDIT, 1)
        },
    ]
}

#[test]
fn responses_of_every_version_are_written() {
    let records = pattern(300);
    let rows = full_rows(&records);
    let endpoints = node_endpoints();
    for vector in vectors::of("fetch", "response") {
        let answer = match vector.case {
            "full" => FetchAnswer {
                throttle_ms: 10,
                error_code: 0,
                session_id: 123,
                rows: &rows,
                node_endpoints: &endpoints,
            },
            _ => FetchAnswer {
                throttle_ms: 0,
                error_code: 70,
                session_id: 0,
                rows: &[],
                node_endpoints: &[],
            },
        };
        let encoded = answer.encode(vector.version, vector.correlation_id()).unwrap();
        assert_eq!(
            encoded,
            vector.framed(),
            "version {} {}",
            vector.version,
            vector.case
        );
        assert_eq!(encoded.capacity(), encoded.len(), "the size was known");
    }
}

/// A source that announces one length and has another, or fails.
struct Odd {
    announced: usize,
    given: Option<usize>,
}

impl RecordSource for Odd {
    fn len(&self) -> usize {
        self.announced
    }

    fn read_into(&self, out: &mut [u8]) -> Result<()> {
        out.fill(b'r');
        Ok(())
    }

    fn append_to(&self, out: &mut Vec<u8>) -> Result<()> {
        let given = self.given.ok_or_else(|| Error::Malformed("gone".to_owned()))?;
        out.resize(out.len() + given, b'r');
        Ok(())
    }
}

#[test]
fn a_failing_source_names_its_row() {
    let mut rows: Vec<FetchRowAnswer<'_, Odd>> =
        vec![row("a", ORDERS, 0), row("b", AUDIT, 0), row("b", AUDIT, 1)];
    let odd = |announced, given| Some(Odd { announced, given });
    for (given, failing) in [
        (Some(5), None),
        (Some(4), Some(2)),
        (Some(6), Some(2)),
        (None, Some(2)),
    ] {
        rows[0].records = odd(3, Some(3));
        rows[2].records = odd(5, given);
        let answer = FetchAnswer {
            throttle_ms: 0,
            error_code: 0,
            session_id: 0,
            rows: &rows,
            node_endpoints: &[],
        };
        let failed = match answer.encode(12, 1) {
            Ok(_) => None,
            Err(FetchEncodeError::Records { row, .. }) => Some(row),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(failed, failing);
    }
}

/// Reads through the default of `append_to`.
struct Filled(usize);

impl RecordSource for Filled {
    fn len(&self) -> usize {
        self.0
    }

    fn read_into(&self, out: &mut [u8]) -> Result<()> {
        assert_eq!(out.len(), self.0);
        out.fill(b'f');
        Ok(())
    }
}

#[test]
fn sources_fill_their_place_in_the_response() {
    let rows = [FetchRowAnswer {
        records: Some(Filled(1_000)),
        ..row("t", ORDERS, 0)
    }];
    let answer = FetchAnswer {
        throttle_ms: 0,
        error_code: 0,
        session_id: 0,
        rows: &rows,
        node_endpoints: &[],
    };
    let encoded = answer.encode(4, 1).unwrap();
    assert!(encoded.ends_with(&[b'f'; 1_000]));
    assert_eq!(encoded[encoded.len() - 1_004..][..4], 1_000_i32.to_be_bytes());
}

#[test]
fn an_answer_too_large_for_a_frame_is_refused_before_reading() {
    let rows = [FetchRowAnswer {
        records: Some(Odd {
            announced: i32::MAX as usize,
            given: None,
        }),
        ..row("t", ORDERS, 0)
    }];
    let answer = FetchAnswer {
        throttle_ms: 0,
        error_code: 0,
        session_id: 0,
        rows: &rows,
        node_endpoints: &[],
    };
    assert!(matches!(answer.encode(17, 1), Err(FetchEncodeError::TooLarge(_))));
}
