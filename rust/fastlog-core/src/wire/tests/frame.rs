//! The frame splitter against every way of cutting a stream.

use proptest::prelude::*;

use crate::error::Error;
use crate::wire::frame::{Frame, FrameSplitter, MIN_FRAME};

const CHUNK: usize = 256;

fn stream_of(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for payload in payloads {
        stream.extend((payload.len() as i32).to_be_bytes());
        stream.extend(payload);
    }
    stream
}

/// Copies at most `limit` bytes of `stream` into the splitter; returns how many.
fn receive(
    splitter: &mut FrameSplitter,
    stream: &[u8],
    limit: usize,
    frames: &mut Vec<Frame>,
) -> Result<usize, Error> {
    let writable = splitter.writable()?;
    assert!(!writable.is_empty());
    let n = writable.len().min(stream.len()).min(limit);
    writable[..n].copy_from_slice(&stream[..n]);
    splitter.advance(n, frames)?;
    Ok(n)
}

fn receive_all(
    splitter: &mut FrameSplitter,
    mut stream: &[u8],
    frames: &mut Vec<Frame>,
) -> Result<(), Error> {
    while !stream.is_empty() {
        let n = receive(splitter, stream, usize::MAX, frames)?;
        stream = &stream[n..];
    }
    Ok(())
}

fn payload(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed))
        .collect()
}

#[test]
fn small_frames_of_one_read_share_their_bytes() {
    let payloads: Vec<Vec<u8>> = (0..5).map(|seed| payload(20, seed)).collect();
    let mut splitter = FrameSplitter::new(1_000, CHUNK);
    let mut frames = Vec::new();
    receive_all(&mut splitter, &stream_of(&payloads), &mut frames).unwrap();
    assert_eq!(frames.len(), 5);
    for (frame, payload) in frames.iter().zip(&payloads) {
        assert_eq!(**frame, **payload);
    }
    let distance = frames[4].as_ptr() as usize - frames[0].as_ptr() as usize;
    assert_eq!(distance, 4 * 24, "one copy of the run, prefixes included");
    assert_eq!(splitter.buffered(), 0);
}

#[test]
fn a_large_frame_stays_where_it_was_received() {
    let large = payload(1_000_000, 3);
    let stream = stream_of(&[large.clone(), payload(10, 4)]);
    let mut splitter = FrameSplitter::new(2_000_000, CHUNK);
    let mut frames = Vec::new();
    let mut at = 0;
    let mut last_address = 0;
    while frames.is_empty() {
        at += receive(&mut splitter, &stream[at..], 7_000, &mut frames).unwrap();
        if frames.is_empty() {
            assert_eq!(splitter.buffered(), at);
            last_address = splitter.writable().unwrap().as_ptr() as usize;
        }
    }
    assert_eq!(
        at,
        4 + large.len(),
        "nothing behind the frame is received into its buffer"
    );
    assert_eq!(*frames[0], *large);
    let start = frames[0].as_ptr() as usize;
    assert!((start..start + large.len()).contains(&last_address));
    receive_all(&mut splitter, &stream[at..], &mut frames).unwrap();
    assert_eq!(*frames[1], *payload(10, 4));
}

#[test]
fn a_begun_frame_holds_what_was_sent_of_it() {
    let mut splitter = FrameSplitter::new(1_000, CHUNK);
    let mut frames = Vec::new();
    let stream = stream_of(&[payload(20, 1), payload(100, 2)]);
    receive(&mut splitter, &stream[..40], 40, &mut frames).unwrap();
    assert_eq!((frames.len(), splitter.buffered()), (1, 16));
    assert_eq!(splitter.memory(), 104, "the frame, and no chunk of its own");
    receive_all(&mut splitter, &stream[40..], &mut frames).unwrap();
    assert_eq!(*frames[1], *payload(100, 2));
    assert_eq!(splitter.memory(), 0);
}

#[test]
fn the_size_of_a_frame_is_known_from_its_first_bytes() {
    let stream = stream_of(&[payload(900, 1), payload(20, 2)]);
    let mut splitter = FrameSplitter::new(1_000, CHUNK);
    let mut frames = Vec::new();
    receive(&mut splitter, &stream, 3, &mut frames).unwrap();
    assert_eq!(splitter.announced(), 0);
    receive(&mut splitter, &stream[3..], 10, &mut frames).unwrap();
    assert_eq!(splitter.announced(), 900);
    receive_all(&mut splitter, &stream[13..910], &mut frames).unwrap();
    assert_eq!((frames.len(), splitter.announced()), (1, 20));
    receive_all(&mut splitter, &stream[910..], &mut frames).unwrap();
    assert_eq!((frames.len(), splitter.announced()), (2, 0));
}

#[test]
fn memory_follows_the_bytes_received() {
    let mut splitter = FrameSplitter::new(1 << 30, CHUNK);
    let mut frames = Vec::new();
    let mut received = 0;
    let header = (1_i32 << 30).to_be_bytes();
    receive(&mut splitter, &header, 4, &mut frames).unwrap();
    while received < 10 << 20 {
        let writable = splitter.writable().unwrap().len();
        assert!(
            writable <= received.max(64 * 1024),
            "{writable} offered after {received}"
        );
        splitter.advance(writable, &mut frames).unwrap();
        received += writable;
    }
    assert!(frames.is_empty());
}

/// A large frame, received.
fn large(splitter: &mut FrameSplitter, len: usize, seed: u8) -> Frame {
    let mut frames = Vec::new();
    let payload = payload(len, seed);
    receive_all(splitter, &stream_of(std::slice::from_ref(&payload)), &mut frames).unwrap();
    assert_eq!(*frames[0], *payload);
    frames.remove(0)
}

#[test]
fn a_frame_that_nobody_has_makes_room_for_the_next() {
    let mut splitter = FrameSplitter::new(1 << 30, CHUNK);
    splitter.reuse_buffers();
    let first = large(&mut splitter, 1_000_000, 1);
    let place = first.as_ptr();
    let shared = first.clone();
    drop(first);
    let second = large(&mut splitter, 1_000_000, 2);
    assert_ne!(second.as_ptr(), place, "the first one is still in use");
    assert_eq!(*shared, *payload(1_000_000, 1));
    drop(shared);
    let third = large(&mut splitter, 999_000, 3);
    assert_eq!(third.as_ptr(), place);
    let fourth = large(&mut splitter, 2_000, 4);
    assert_eq!(*second, *payload(1_000_000, 2));
    drop((second, third, fourth));
    // Of three buffers two are kept, the one that is large enough is taken, and its end is that of the frame.
    let header = 5_000_i32.to_be_bytes();
    receive(&mut splitter, &header, 4, &mut Vec::new()).unwrap();
    assert_eq!(splitter.writable().unwrap().len(), 5_000);
    assert_eq!(splitter.memory(), 1_000_000);
}

#[test]
fn only_so_much_memory_waits_for_the_next_frame() {
    let mut splitter = FrameSplitter::new(1 << 30, CHUNK);
    splitter.reuse_buffers();
    let frames = [33 << 20, 20 << 20, 13 << 20].map(|size| large(&mut splitter, size, 5));
    let [too_large, kept, too_much] = frames;
    let place = kept.as_ptr();
    drop((too_large, kept, too_much));
    assert_eq!(large(&mut splitter, 1 << 20, 6).as_ptr(), place);
    let frames = [0; 2].map(|_| large(&mut splitter, 1 << 20, 7));
    assert_eq!(frames[0].as_ptr(), place);
    assert!(!(place..place.wrapping_add(20 << 20)).contains(&frames[1].as_ptr()));
}

#[test]
fn impossible_lengths_end_the_stream() {
    for length in [0, -1, i32::MIN, 7, 1_001, i32::MAX] {
        let good = payload(12, 9);
        let mut stream = stream_of(std::slice::from_ref(&good));
        stream.extend(length.to_be_bytes());
        stream.extend([0; 50]);
        let mut splitter = FrameSplitter::new(1_000, CHUNK);
        let mut frames = Vec::new();
        let result = receive_all(&mut splitter, &stream, &mut frames);
        assert!(matches!(result, Err(Error::Malformed(_))), "{length}");
        assert_eq!(frames.len(), 1, "the frame before is handed out");
        assert_eq!(*frames[0], *good);
    }
}

#[test]
fn limits_are_inclusive() {
    for size in [MIN_FRAME, 1_000] {
        let mut splitter = FrameSplitter::new(1_000, CHUNK);
        let mut frames = Vec::new();
        receive_all(&mut splitter, &stream_of(&[payload(size, 0)]), &mut frames).unwrap();
        assert_eq!(frames[0].len(), size);
    }
}

#[test]
fn more_than_was_offered_is_refused() {
    let mut splitter = FrameSplitter::new(1_000, CHUNK);
    let result = splitter.advance(CHUNK + 1, &mut Vec::new());
    assert!(matches!(result, Err(Error::InvalidArgument(_))));
}

proptest! {
    /// However a stream is cut, the same frames come out, and never an empty buffer is offered.
    #[test]
    fn every_cut_gives_the_same_frames(
        sizes in prop::collection::vec(prop_oneof![8..40_usize, 200..300_usize, 1_000..5_000_usize], 0..12),
        cuts in prop::collection::vec(prop_oneof![1..10_usize, 1..400_usize], 1..40),
        tail in 0..12_usize,
        reused in any::<bool>(),
    ) {
        let payloads: Vec<Vec<u8>> =
            sizes.iter().enumerate().map(|(seed, size)| payload(*size, seed as u8)).collect();
        let mut stream = stream_of(&payloads);
        stream.extend(&stream_of(&[payload(40, 1)])[..tail]);
        let mut splitter = FrameSplitter::new(10_000, CHUNK);
        if reused {
            splitter.reuse_buffers();
            let _ = large(&mut splitter, 3_000, 7);
        }
        let mut frames = Vec::new();
        let mut at = 0;
        for cut in cuts.iter().cycle() {
            if at == stream.len() {
                break;
            }
            at += receive(&mut splitter, &stream[at..], *cut, &mut frames).unwrap();
        }
        prop_assert_eq!(frames.len(), payloads.len());
        for (frame, payload) in frames.iter().zip(&payloads) {
            prop_assert_eq!(&**frame, &**payload);
        }
        prop_assert_eq!(splitter.buffered(), tail);
    }

    /// Random bytes either make frames or end the stream; nothing panics.
    #[test]
    fn noise_does_not_panic(noise in prop::collection::vec(any::<u8>(), 0..2_000), scale in 0..4_u32) {
        // Small lengths, so that some of the noise is taken for frames.
        let stream: Vec<u8> = noise.iter().map(|byte| byte >> (2 * scale)).collect();
        let mut frames = Vec::new();
        let _ = receive_all(&mut FrameSplitter::new(100_000, CHUNK), &stream, &mut frames);
        let total: usize = frames.iter().map(|frame| frame.len() + 4).sum();
        prop_assert!(total <= stream.len());
    }
}

#[test]
fn other_limits_hold_for_frames_whose_length_is_yet_to_come() {
    let mut splitter = FrameSplitter::new(100, CHUNK);
    let mut frames = Vec::new();
    splitter.set_limits(0, 10);
    receive_all(
        &mut splitter,
        &stream_of(&[vec![], vec![1], vec![7; 10]]),
        &mut frames,
    )
    .unwrap();
    assert_eq!(
        frames.iter().map(|frame| frame.len()).collect::<Vec<_>>(),
        [0, 1, 10]
    );
    splitter.set_limits(MIN_FRAME, 1_000);
    receive_all(&mut splitter, &stream_of(&[vec![7; 1_000]]), &mut frames).unwrap();
    assert_eq!(frames[3].len(), 1_000);
    let refused = receive_all(&mut splitter, &stream_of(&[vec![1]]), &mut frames);
    assert!(matches!(refused, Err(Error::Malformed(_))));
}
