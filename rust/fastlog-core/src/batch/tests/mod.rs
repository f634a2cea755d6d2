//! Tests of the batch module, one file per subject.

mod crc;
mod header;
mod validate;
mod varint;
pub(super) mod vectors;
