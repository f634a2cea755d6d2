//! The records of a batch, decompressed into a buffer that is used again and again.

use std::io::Read;

use crate::batch::BatchView;
use crate::batch::record::{RawRecord, split_record};
use crate::compression::{Codec, DecompressionLimit, codec_error, decompress_reader};
use crate::error::{Error, Result};

/// Records looked at together: enough for the waits on memory to overlap, few enough for the stack.
pub(super) const CHUNK: usize = 64;

/// Room for the decompressed records of one batch.
#[derive(Debug, Default)]
pub(super) struct RecordBuffer {
    bytes: Vec<u8>,
}

impl RecordBuffer {
    /// The records of `batch` as bytes; those of an uncompressed one are not copied.
    pub fn open<'a>(&'a mut self, batch: &BatchView<'a>, limit: DecompressionLimit) -> Result<&'a [u8]> {
        match batch.header().codec()? {
            Codec::None => Ok(batch.body()),
            codec => {
                self.bytes.clear();
                decompress_reader(codec, batch.body(), limit)?
                    .read_to_end(&mut self.bytes)
                    .map_err(|error| codec_error(codec, &error))?;
                Ok(&self.bytes)
            }
        }
    }

    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Goes over the records of a batch.
#[derive(Debug)]
pub(super) struct RecordWalk<'a> {
    rest: &'a [u8],
    left: i32,
}

impl<'a> RecordWalk<'a> {
    pub fn new(bytes: &'a [u8], count: i32) -> Self {
        Self {
            rest: bytes,
            left: count.max(0),
        }
    }

    /// The next record and all of its bytes. Fails with [`Error::Malformed`] when there is none where one must
    /// be, and when bytes are left over after the last one.
    #[inline]
    pub fn next(&mut self) -> Result<Option<(RawRecord<'a>, &'a [u8])>> {
        if self.left == 0 {
            if self.rest.is_empty() {
                return Ok(None);
            }
            return Err(Error::Malformed(
                "bytes are left over after the last record".to_owned(),
            ));
        }
        let before = self.rest;
        let (record, rest) = split_record(before)
            .map_err(|damage| Error::Malformed(format!("{} records before the end: {damage}", self.left)))?;
        self.left -= 1;
        self.rest = rest;
        Ok(Some((record, &before[..before.len() - rest.len()])))
    }
}
