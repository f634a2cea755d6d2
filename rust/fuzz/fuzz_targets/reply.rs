#![no_main]

#[path = "../entries/reply.rs"]
mod reply;

libfuzzer_sys::fuzz_target!(|data: &[u8]| reply::run(data));
