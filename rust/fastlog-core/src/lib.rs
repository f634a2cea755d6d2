//! The log engine of fastlog: Kafka's record batches, segments, indexes and the framing of Produce and Fetch.
//!
//! Pure Rust: no Python types and no C types, so everything here is tested without an interpreter. The
//! binding crates `fastlog-py` and `fastlog-capi` are thin shells around this one.

pub mod clock;
pub mod error;
pub mod io_engine;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, ErrorCode, Result};
