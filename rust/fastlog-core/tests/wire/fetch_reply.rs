//! Answers to a follower's fetch: what of them is read, and that hostile ones cost nothing.

use fastlog_core::Error;
use fastlog_core::wire::{FetchReply, Frame, TopicRef};
use proptest::prelude::*;

use crate::allocations::during;
use crate::vectors::{self, Vector, pattern};

fn answers() -> Vec<Vector> {
    let mut answers = vectors::of("fetch", "response");
    answers.retain(|vector| FetchReply::VERSIONS.contains(&vector.version));
    answers
}

fn parse(payload: Vec<u8>, version: i16) -> fastlog_core::Result<FetchReply> {
    let len = payload.len();
    let frame = Frame::from(payload);
    let (result, allocated) = during(|| FetchReply::parse(frame, version, 3));
    // Three rows and the text of an error, whatever the counts say.
    assert!(allocated.bytes <= 1_024, "{allocated:?} for {len} bytes");
    result
}

#[test]
fn answers_of_every_version_are_read() {
    let mut versions = std::collections::BTreeSet::new();
    for vector in answers() {
        let reply = parse(vector.payload.clone(), vector.version).unwrap();
        versions.insert(reply.version());
        if vector.case != "full" {
            assert_eq!((reply.error_code(), reply.session_id()), (70, 0));
            assert!(reply.rows().is_empty());
            continue;
        }
        assert_eq!(
            (reply.throttle_ms(), reply.error_code(), reply.session_id()),
            (10, 0, 123)
        );
        let [first, second, third] = reply.rows() else {
            panic!("{:?}", reply.rows());
        };
        match reply.topic(first) {
            TopicRef::Name(name) => assert_eq!((name.as_ref(), vector.version), ("orders", 12)),
            TopicRef::Id(id) => assert_eq!((id[0], id[15]), (0x01, 0xef)),
        }
        assert_eq!((first.partition, second.partition, third.partition), (0, 5, 1));
        assert_eq!((first.high_watermark, first.log_start_offset), (200, 10));
        assert_eq!(reply.records(first), pattern(300));
        assert_eq!(second.diverging_epoch, Some((4, 33)));
        assert_eq!((second.current_leader, reply.records(second)), (None, &[][..]));
        assert_eq!((third.error_code, third.diverging_epoch), (6, None));
        assert_eq!(third.current_leader, Some((3, 12)));
    }
    assert!(versions.into_iter().eq(FetchReply::VERSIONS));
}

#[test]
fn what_was_not_asked_for_is_refused() {
    for vector in answers().iter().filter(|vector| vector.case == "full") {
        let frame = Frame::from(vector.payload.clone());
        let error = FetchReply::parse(frame.clone(), vector.version, 2).unwrap_err();
        assert!(
            error.to_string().contains("3 partitions or topics where 2"),
            "{error}"
        );
        assert!(FetchReply::parse(frame, 11, 3).is_err());
    }
}

#[test]
fn cuts_and_additions_are_errors() {
    for vector in answers() {
        for cut in 0..vector.payload.len() {
            let result = parse(vector.payload[..cut].to_vec(), vector.version);
            assert!(
                matches!(result, Err(Error::Malformed(_))),
                "{vector:?} cut at {cut}"
            );
        }
        let mut longer = vector.payload.clone();
        longer.push(0);
        assert!(parse(longer, vector.version).is_err());
    }
}

#[test]
fn counts_do_not_allocate() {
    for vector in answers() {
        for at in 4..vector.payload.len() {
            for lie in [
                &[0xff, 0xff, 0xff, 0xff, 0x0f][..],
                &[0xff, 0xff, 0xff, 0xff, 0x07],
                &[0xff; 8],
            ] {
                let mut payload = vector.payload.clone();
                payload.splice(at..at, lie.iter().copied());
                let _ = parse(payload, vector.version);
            }
        }
    }
}

proptest! {
    /// Random bytes anywhere in a good answer.
    #[test]
    fn mutations_do_not_panic(
        pick: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let vectors = answers();
        let vector = pick.get(&vectors);
        let mut payload = vector.payload.clone();
        for (at, value) in changes {
            let at = at.index(payload.len());
            payload[at] = value;
        }
        if let Ok(reply) = parse(payload, vector.version) {
            for row in reply.rows() {
                prop_assert!(reply.records(row).len() < vector.payload.len());
                reply.topic(row);
            }
        }
    }
}
