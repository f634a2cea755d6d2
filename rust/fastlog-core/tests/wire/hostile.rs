//! Requests that are cut, changed or lie about their counts: errors, never panics, never much memory.

use fastlog_core::wire::{FetchPlan, Frame, FrameSplitter, ProducePlan, request_header};
use fastlog_core::{Error, Result};
use proptest::prelude::*;

use crate::allocations::during;
use crate::vectors::{self, Vector};

/// More than rows can take, whatever the counts say: rows of 24 to 40 bytes stand for at least 6 to 16 bytes of
/// the frame, and a vector may hold twice what it needs and have grown there step by step.
fn bound(frame: usize) -> usize {
    24 * frame + 1_024
}

fn requests() -> Vec<Vector> {
    let mut requests = vectors::of("produce", "request");
    requests.extend(vectors::of("fetch", "request"));
    requests
}

/// Parses as Produce and as Fetch would be, by the key in the frame; checks what it cost.
fn parse(api: &str, payload: Vec<u8>) -> Result<()> {
    let _ = request_header(&payload);
    let len = payload.len();
    let frame = Frame::from(payload);
    let (result, allocated) = during(|| match api {
        "produce" => ProducePlan::parse(frame).map(drop),
        _ => FetchPlan::parse(frame).map(drop),
    });
    assert!(allocated.bytes <= bound(len), "{allocated:?} for {len} bytes");
    result
}

#[test]
fn every_truncation_is_an_error() {
    for vector in requests() {
        parse(vector.api, vector.payload.clone()).unwrap();
        for cut in 0..vector.payload.len() {
            let result = parse(vector.api, vector.payload[..cut].to_vec());
            assert!(
                matches!(result, Err(Error::Malformed(_))),
                "{} {} {} cut at {cut}",
                vector.api,
                vector.version,
                vector.case
            );
        }
    }
}

#[test]
fn bytes_after_the_request_are_an_error() {
    for vector in requests() {
        for extra in [0, 1, 0xff] {
            let mut payload = vector.payload.clone();
            payload.push(extra);
            let result = parse(vector.api, payload);
            assert!(matches!(result, Err(Error::Malformed(_))), "{vector:?}");
        }
    }
}

#[test]
fn other_apis_and_versions_are_named_in_the_error() {
    for vector in requests() {
        for version in [-1, 0, 2, 18, i16::MAX] {
            let mut payload = vector.payload.clone();
            payload[2..4].copy_from_slice(&version.to_be_bytes());
            let message = parse(vector.api, payload).unwrap_err().to_string();
            // A flexible header read as a plain one, or the other way round, may fail earlier.
            assert!(message.starts_with("malformed"), "{message}");
        }
        let other = if vector.api == "produce" {
            "fetch"
        } else {
            "produce"
        };
        assert!(parse(other, vector.payload).is_err());
    }
    let plain = vectors::of("produce", "request").remove(0);
    let mut payload = plain.payload;
    payload[3] = 2;
    let message = parse("produce", payload).unwrap_err().to_string();
    assert!(
        message.contains("Produce version 2 is not supported, only 3 to 12"),
        "{message}"
    );
}

#[test]
fn counts_do_not_allocate() {
    let lies: [&[u8]; 6] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff],
        &[0x80, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    ];
    for vector in requests() {
        for at in 8..vector.payload.len() {
            for lie in lies {
                // In place of the bytes there, and pushed in between; `parse` checks the memory.
                let mut replaced = vector.payload.clone();
                replaced.splice(
                    at..(at + lie.len()).min(vector.payload.len()),
                    lie.iter().copied(),
                );
                let _ = parse(vector.api, replaced);
                let mut inserted = vector.payload.clone();
                inserted.splice(at..at, lie.iter().copied());
                let _ = parse(vector.api, inserted);
            }
        }
    }
}

#[test]
fn a_frame_of_nothing_but_rows_is_bounded() {
    // 16 MiB of null partitions in one topic: more rows than anybody may ask for.
    let mut payload = b"\0\0\0\x09\0\0\0\x01\xff\xff\0\0\0\x01\0\0\0\x0a\x02\x02t".to_vec();
    payload.extend([0x81, 0x80, 0x80, 0x01]); // 2^21 partitions
    payload.resize(payload.len() + 16 * 1024 * 1024, 0);
    let frame = Frame::from(payload);
    let (result, allocated) = during(|| ProducePlan::parse(frame));
    assert!(result.unwrap_err().to_string().contains("20000 partitions"));
    assert!(allocated.bytes < 1_024, "{allocated:?}");
}

#[test]
fn a_plan_is_one_allocation() {
    for vector in requests() {
        let frame = Frame::from(vector.payload.clone());
        let ((), allocated) = during(|| match vector.api {
            "produce" => drop(ProducePlan::parse(frame).unwrap()),
            _ => drop(FetchPlan::parse(frame).unwrap()),
        });
        // Rows, and the forgotten partitions of a fetch; few rows of several topics may grow once.
        assert!(allocated.calls <= 3, "{allocated:?} for {vector:?}");
    }
}

#[test]
fn an_announced_frame_costs_nothing() {
    let mut frames = Vec::new();
    let mut splitter = FrameSplitter::new(100 << 20, 64 * 1024);
    let ((), allocated) = during(|| {
        let header = (100_i32 << 20).to_be_bytes();
        splitter.writable().unwrap()[..4].copy_from_slice(&header);
        splitter.advance(4, &mut frames).unwrap();
        assert!(!splitter.writable().unwrap().is_empty());
    });
    assert!(allocated.bytes <= 3 * 64 * 1024, "{allocated:?}");
}

#[test]
fn many_small_frames_are_one_allocation() {
    let mut stream = Vec::new();
    for id in 0..100_u8 {
        stream.extend([0, 0, 0, 10, 0, 3, 0, 1, 0, 0, 0, id, 0xff, 0xff]);
    }
    let mut splitter = FrameSplitter::new(1 << 20, 64 * 1024);
    let mut frames = Vec::with_capacity(100);
    splitter.writable().unwrap()[..stream.len()].copy_from_slice(&stream);
    let (result, allocated) = during(|| splitter.advance(stream.len(), &mut frames));
    result.unwrap();
    assert_eq!(frames.len(), 100);
    // The run of frames; and once per thread the list of spare chunks.
    assert!(allocated.calls <= 2, "{allocated:?}");
    assert!(allocated.bytes < stream.len() + 512, "{allocated:?}");
    assert_eq!(request_header(&frames[99]).unwrap().correlation_id, 99);
}

proptest! {
    /// Random bytes anywhere in a good request.
    #[test]
    fn mutations_do_not_panic(
        pick: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let vectors = requests();
        let vector = pick.get(&vectors);
        let mut payload = vector.payload.clone();
        for (at, value) in changes {
            let at = at.index(payload.len());
            payload[at] = value;
        }
        let _ = parse(vector.api, payload);
    }

    /// Random bytes after a good header.
    #[test]
    fn noise_does_not_panic(fetch: bool, version in 3..18_u8, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut payload = vec![0, u8::from(fetch), 0, version, 0, 0, 0, 1, 0xff, 0xff];
        payload.extend(body);
        let _ = parse(if fetch { "fetch" } else { "produce" }, payload);
    }

    /// Tagged fields that nobody knows are skipped wherever a struct ends.
    #[test]
    fn unknown_tags_are_skipped(
        tags in prop::collection::vec((2..100_u8, prop::collection::vec(any::<u8>(), 0..20)), 0..5),
    ) {
        let mut block = vec![tags.len() as u8];
        for (tag, bytes) in &tags {
            block.extend([*tag, bytes.len() as u8]);
            block.extend(bytes);
        }
        let mut payload = b"\0\0\0\x0b\0\0\0\x01\xff\xff".to_vec();
        payload.extend(&block); // header
        payload.extend(b"\0\0\x01\0\0\0\x0a\x02\x02t\x02\0\0\0\x07\0");
        payload.extend(&block); // partition
        payload.extend(&block); // topic
        payload.extend(&block); // request
        let plan = ProducePlan::parse(Frame::from(payload)).unwrap();
        prop_assert_eq!(plan.rows().len(), 1);
        prop_assert_eq!(plan.rows()[0].partition, 7);
    }
}

#[test]
fn known_tags_come_once_and_whole() {
    let fetch = |tags: &[u8]| {
        let mut payload = b"\0\x01\0\x0f\0\0\0\x01\xff\xff\0".to_vec();
        payload.extend([0; 21]); // max wait, min bytes, max bytes, isolation, session id and epoch
        payload.extend(b"\x01\x01\x01"); // no topics, none forgotten, no rack
        payload.extend(tags);
        FetchPlan::parse(Frame::from(payload))
    };
    let replica = b"\x01\x0d\0\0\0\x05\0\0\0\0\0\0\0\x4d\0";
    let once = [b"\x01", &replica[..]].concat();
    let plan = fetch(&once).unwrap();
    assert_eq!((plan.replica_id(), plan.replica_epoch()), (5, 77));
    assert_eq!(
        fetch(b"\x01\x00\x02\x02c").unwrap().cluster_id().as_deref(),
        Some("c")
    );
    assert_eq!(fetch(b"\x01\x00\x01\0").unwrap().cluster_id(), None);

    let twice = [b"\x02", &replica[..], &replica[..]].concat();
    for bad in [
        &twice[..],
        b"\x01\x00\x03c",
        b"\x01\x00\x03\x02cc",
        b"\x01\x01\x04\0\0\0\x05",
    ] {
        assert!(fetch(bad).is_err(), "{bad:?}");
    }
}
