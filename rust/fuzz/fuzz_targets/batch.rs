#![no_main]

#[path = "../entries/batch.rs"]
mod batch;

libfuzzer_sys::fuzz_target!(|data: &[u8]| batch::run(data));
