//! A connection's bytes in pieces of any size: the frames must be those that are in the stream.

use fastlog_core::wire::FrameSplitter;

const CHUNK: usize = 64;
const MAX_FRAME: usize = 1024;

/// The first two bytes choose the sizes of the reads, the rest is the stream.
pub fn run(data: &[u8]) {
    let [first, second, stream @ ..] = data else {
        return;
    };
    let mut reads = [usize::from(*first) % 70 + 1, usize::from(*second) + 1]
        .into_iter()
        .cycle();
    let (expected, good) = whole_frames(stream);

    let mut splitter = FrameSplitter::new(MAX_FRAME, CHUNK);
    let mut frames = Vec::new();
    let mut received = 0;
    while received < stream.len() {
        let writable = splitter.writable().expect("memory");
        assert!(!writable.is_empty());
        let n = reads
            .next()
            .expect("a cycle")
            .min(writable.len())
            .min(stream.len() - received);
        writable[..n].copy_from_slice(&stream[received..received + n]);
        received += n;
        if splitter.advance(n, &mut frames).is_err() {
            assert!(!good, "a good stream was refused");
            break;
        }
        let handed_out: usize = frames.iter().map(|frame| frame.len() + 4).sum();
        assert_eq!(splitter.buffered(), received - handed_out);
    }
    assert_eq!(frames.len(), expected.len());
    for (frame, expected) in frames.iter().zip(expected) {
        assert_eq!(&**frame, expected);
    }
}

/// The frames of a stream up to its end or its first impossible length, and which of both it was.
fn whole_frames(mut stream: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut frames = Vec::new();
    while let Some((length, rest)) = stream.split_first_chunk::<4>() {
        let length = i32::from_be_bytes(*length);
        if !(8..=MAX_FRAME as i32).contains(&length) {
            return (frames, false);
        }
        let Some((frame, rest)) = rest.split_at_checked(length as usize) else {
            break;
        };
        frames.push(frame);
        stream = rest;
    }
    (frames, true)
}

/// Inputs to start from.
#[allow(dead_code)] // the short run starts from them, libFuzzer from its corpus
pub fn seeds() -> Vec<Vec<u8>> {
    let sizes: [&[u16]; 4] = [&[8, 20, 8], &[600, 8, 1024], &[60, 61, 59], &[9, 1025]];
    sizes
        .iter()
        .map(|sizes| {
            let mut seed = vec![7, 200];
            for (value, size) in sizes.iter().enumerate() {
                seed.extend(u32::from(*size).to_be_bytes());
                seed.resize(seed.len() + usize::from(*size), value as u8);
            }
            seed
        })
        .collect()
}
