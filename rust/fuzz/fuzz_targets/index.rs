#![no_main]

#[path = "../entries/index.rs"]
mod index;

libfuzzer_sys::fuzz_target!(|data: &[u8]| index::run(data));
