//! The indexes of a segment, in Kafka's formats. They are caches: everything in them can be rebuilt from the
//! log, and no answer of theirs is used before it was checked against the log.
//!
//! All numbers are big-endian; offsets are relative to the segment's base offset.
//!
//! | file | entry | meaning |
//! |---|---|---|
//! | `.index` | offset u32, position u32 | a batch at `position` ends with `offset` |
//! | `.timeindex` | timestamp i64, offset u32 | `timestamp` is the largest up to and including `offset` |
//!
//! They are sparse: an entry every `index.interval.bytes` of log. Kafka preallocates them with zeros
//! while a segment is active and trims them later; here they are never longer than their entries.

mod entries;
mod sparse;
#[cfg(test)]
mod tests;

pub mod offset;
pub mod time;

pub use entries::{Entry, Index};
pub use offset::{OffsetIndex, OffsetPosition};
pub use time::{TimeIndex, TimestampedOffset};
