//! Answers to a follower's Fetch: what parses lies within its frame.

use fastlog_core::wire::{FetchReply, Frame};

const MAX_ROWS: usize = 50;

/// The first byte chooses the version; the rest is an answer without its length prefix.
pub fn run(data: &[u8]) {
    let Some((version, bytes)) = data.split_first() else {
        return;
    };
    let frame = Frame::from(bytes.to_vec());
    let version = 12 + i16::from(*version % 6);
    if let Ok(reply) = FetchReply::parse(frame, version, MAX_ROWS) {
        assert!(reply.rows().len() <= MAX_ROWS);
        for row in reply.rows() {
            reply.topic(row);
            assert!(reply.records(row).len() < bytes.len());
        }
    }
}

/// Inputs to start from.
#[allow(dead_code)] // the short run starts from them, libFuzzer from its corpus
pub fn seeds() -> Vec<Vec<u8>> {
    include_str!("../../fastlog-core/tests/vectors/wire.txt")
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let ["fetch", "response", version, _, hex] = fields[..] else {
                return None;
            };
            let version: u8 = version.parse().expect("a number");
            let bytes = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
            let bytes = bytes.map(|pair| u8::from_str_radix(pair, 16).expect("hex"));
            (version >= 12).then(|| std::iter::once(version - 12).chain(bytes).collect())
        })
        .collect()
}
