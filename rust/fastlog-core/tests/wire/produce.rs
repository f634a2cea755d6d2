//! Produce requests and responses of every version.

use fastlog_core::Error;
use fastlog_core::batch::RecordError;
use fastlog_core::wire::{Frame, NodeEndpoint, ProducePlan, ProduceRowResult};

use crate::vectors::{self, Vector, pattern};

fn plan(vector: &Vector) -> ProducePlan {
    ProducePlan::parse(Frame::from(vector.payload.clone())).unwrap()
}

type Row<'a> = (String, i32, Option<&'a [u8]>);

/// Topic, partition and records of every row.
fn rows(plan: &ProducePlan) -> Vec<Row<'_>> {
    let row = |row| (plan.topic(row).into_owned(), row.partition, plan.records(row));
    plan.rows().iter().map(row).collect()
}

fn row<'a>(topic: &str, partition: i32, records: Option<&'a [u8]>) -> Row<'a> {
    (topic.to_owned(), partition, records)
}

pub fn node_endpoints() -> Vec<NodeEndpoint> {
    let endpoint = |node_id, host: &str, port, rack: Option<&str>| NodeEndpoint {
        node_id,
        host: host.to_owned(),
        port,
        rack: rack.map(str::to_owned),
    };
    vec![
        endpoint(2, "host-2.example", 9093, Some("rack-b")),
        endpoint(3, "host-3.example", 9094, None),
    ]
}

fn results(case: &str) -> Vec<ProduceRowResult> {
    match case {
        "full" => vec![
            ProduceRowResult {
                base_offset: 42,
                log_append_time: 1_700_000_000_000,
                log_start_offset: 7,
                ..ProduceRowResult::default()
            },
            ProduceRowResult {
                error_code: 87,
                log_start_offset: 7,
                record_errors: vec![
                    RecordError {
                        index: 0,
                        message: Some("no key".to_owned()),
                    },
                    RecordError {
                        index: 3,
                        message: None,
                    },
                ],
                error_message: Some("some records have no key".to_owned()),
                ..ProduceRowResult::default()
            },
            ProduceRowResult {
                error_code: 6,
                current_leader: Some((2, 9)),
                ..ProduceRowResult::default()
            },
        ],
        "plain" => vec![ProduceRowResult {
            base_offset: 1 << 40,
            log_start_offset: 0,
            ..ProduceRowResult::default()
        }],
        _ => Vec::new(),
    }
}

#[test]
fn requests_of_every_version_are_read() {
    let mut versions = std::collections::BTreeSet::new();
    for vector in vectors::of("produce", "request") {
        let plan = plan(&vector);
        versions.insert(plan.version());
        assert_eq!(plan.version(), vector.version);
        assert_eq!(plan.correlation_id(), vector.correlation_id());
        let id = plan.transactional_id();
        let numbers = (id.as_deref(), plan.acks(), plan.timeout_ms());
        match vector.case {
            "full" => {
                assert_eq!(numbers, (Some("tx-1"), -1, 1500));
                assert_eq!(
                    rows(&plan),
                    [
                        row("orders", 0, Some(&pattern(64))),
                        row("orders", 7, None),
                        row("événements", 1, Some(&pattern(200))),
                    ]
                );
                assert_eq!(plan.total_bytes(), 264);
            }
            "plain" => {
                assert_eq!(numbers, (None, 1, 30_000));
                assert_eq!(rows(&plan), [row("t", 3, Some(&pattern(20)))]);
            }
            _ => {
                assert_eq!(numbers, (None, 0, 0));
                assert!(rows(&plan).is_empty());
            }
        }
    }
    // The vectors are Kafka 3.9's.
    assert!(versions.into_iter().eq(3..=11));
}

/// KIP-890 changes what it means, and not a byte of it.
#[test]
fn version_12_is_read_as_11_is() {
    assert_eq!(*ProducePlan::VERSIONS.end(), 12);
    for mut vector in vectors::of("produce", "request") {
        if vector.version == 11 {
            let before = plan(&vector);
            vector.payload[3] = 12;
            vector.version = 12;
            let after = plan(&vector);
            assert_eq!(after.version(), 12);
            assert_eq!(rows(&after), rows(&before));
            assert_eq!(after.transactional_id(), before.transactional_id());
        }
    }
}

#[test]
fn responses_of_every_version_are_written() {
    let requests = vectors::of("produce", "request");
    for vector in vectors::of("produce", "response") {
        let request = requests
            .iter()
            .find(|request| (request.version, request.case) == (vector.version, vector.case))
            .unwrap();
        let (throttle_ms, endpoints) = match vector.case {
            "full" => (250, node_endpoints()),
            _ => (0, Vec::new()),
        };
        let encoded = plan(request)
            .encode_response(&results(vector.case), throttle_ms, &endpoints)
            .unwrap();
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

#[test]
fn results_must_match_the_rows() {
    let vector = vectors::of("produce", "request").remove(0);
    assert_eq!(vector.case, "full");
    let result = plan(&vector).encode_response(&results("plain"), 0, &[]);
    assert!(matches!(result, Err(Error::InvalidArgument(_))));
}

#[test]
fn entries_of_the_same_topic_stay_apart() {
    // Two entries for "t", as no client should send: the response mirrors them.
    let mut body = b"\0\0\0\x03\0\0\0\x05\xff\xff\xff\xff\0\x01\0\0\0\x0a\0\0\0\x02".to_vec();
    for partition in [1, 2] {
        body.extend(b"\0\x01t\0\0\0\x01\0\0\0");
        body.extend([partition, 0xff, 0xff, 0xff, 0xff]);
    }
    let plan = ProducePlan::parse(Frame::from(body)).unwrap();
    assert_eq!(rows(&plan), [row("t", 1, None), row("t", 2, None)]);
    let results = vec![ProduceRowResult::default(); 2];
    let response = plan.encode_response(&results, 0, &[]).unwrap();
    assert_eq!(response[4..12], [0, 0, 0, 5, 0, 0, 0, 2]);
}
