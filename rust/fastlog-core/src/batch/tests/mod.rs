//! Tests of the batch module, one file per subject.

mod columns;
mod crc;
mod fetched;
mod header;
mod hostile;
mod reader;
mod record;
mod validate;
mod validate_codecs;
mod varint;
pub(super) mod vectors;
