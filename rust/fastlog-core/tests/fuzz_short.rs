//! A short run of every fuzz target, on the stable compiler: seeds and random changes of them, always the
//! same ones. `FASTLOG_FUZZ_ITERATIONS` makes it longer, `FASTLOG_FUZZ_SEED` makes it another one; the
//! coverage-guided long run is `make fuzz`.

#[path = "../../fuzz/entries/batch.rs"]
mod batch;
#[path = "../../fuzz/entries/frame.rs"]
mod frame;
#[path = "../../fuzz/entries/index.rs"]
mod index;
#[path = "../../fuzz/entries/plan.rs"]
mod plan;
#[path = "../../fuzz/entries/reply.rs"]
mod reply;

use std::panic::{RefUnwindSafe, catch_unwind};
use std::path::Path;

const SEED: u64 = 20_260_101;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// `SplitMix64`: small, and good enough to choose bytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Numbers that sit at the edges of lengths, counts and varints.
const EDGES: [&[u8]; 9] = [
    &[0xff, 0xff, 0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0, 0, 0, 1],
    &[0x80, 0x01],
];

fn change(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(8) {
            0 | 1 => bytes[at] = random.next() as u8,
            2 => bytes[at] ^= 1 << random.below(8),
            3 => {
                let edge = EDGES[random.below(EDGES.len())];
                let end = bytes.len().min(at + edge.len());
                bytes[at..end].copy_from_slice(&edge[..end - at]);
            }
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(at..bytes.len().min(at + 1 + random.below(8)))),
            6 => bytes.insert(at, random.next() as u8),
            _ => {
                let other = &seeds[random.below(seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len())..]);
            }
        }
    }
    bytes
}

fn short_run(iterations: u64, entry: impl Fn(&[u8]) + RefUnwindSafe, seeds: &[Vec<u8>]) {
    let seed = from_environment("FASTLOG_FUZZ_SEED", SEED);
    let mut random = Random(seed);
    let changed =
        (0..from_environment("FASTLOG_FUZZ_ITERATIONS", iterations)).map(|_| change(&mut random, seeds));
    for input in seeds.iter().cloned().chain(changed) {
        let survived = catch_unwind(|| entry(&input)).is_ok();
        assert!(survived, "seed {seed}, input {input:02x?}");
    }
}

#[test]
fn batches() {
    short_run(200_000, batch::run, &batch::seeds());
}

#[test]
fn frames() {
    short_run(200_000, frame::run, &frame::seeds());
}

#[test]
fn plans() {
    short_run(200_000, plan::run, &plan::seeds());
}

#[test]
fn replies() {
    short_run(200_000, reply::run, &reply::seeds());
}

#[test]
fn indexes() {
    short_run(3_000, index::run, &index::seeds());
}

/// Gives libFuzzer something to start from.
#[test]
#[ignore = "run by `make fuzz`"]
fn write_corpus() {
    let all = [
        ("batch", batch::seeds()),
        ("frame", frame::seeds()),
        ("index", index::seeds()),
        ("plan", plan::seeds()),
        ("reply", reply::seeds()),
    ];
    for (target, seeds) in all {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(target);
        std::fs::create_dir_all(&dir).expect("a writable checkout");
        for (i, seed) in seeds.iter().enumerate() {
            std::fs::write(dir.join(format!("seed-{i:03}")), seed).expect("a writable checkout");
        }
    }
}
