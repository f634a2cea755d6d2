//! A batch inside a buffer, without a copy.

use crate::batch::crc::crc32c;
use crate::batch::header::{AT_ATTRIBUTES, BatchHeader, HEADER_SIZE, LENGTH_PREFIX_SIZE, MAGIC_V2};
use crate::error::{Error, Result};

/// One whole batch at the start of a buffer. Its length, its magic and that all its bytes are there have
/// been checked; its CRC and its records have not.
#[derive(Debug, Clone, Copy)]
pub struct BatchView<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// The batch that `buf` starts with. Bytes after it are left alone.
    ///
    /// Fails with [`Error::Malformed`] when the length is below 61 bytes, the magic is not 2, or `buf` ends
    /// before the batch does.
    #[inline]
    pub fn first(buf: &'a [u8]) -> Result<Self> {
        let header = BatchHeader::parse(buf)?;
        if header.magic != MAGIC_V2 {
            return Err(Error::Malformed(format!(
                "magic {} instead of {MAGIC_V2}",
                header.magic
            )));
        }
        if header.size() < HEADER_SIZE {
            return Err(Error::Malformed(format!(
                "batch length {} is below {}",
                header.batch_length,
                HEADER_SIZE - LENGTH_PREFIX_SIZE
            )));
        }
        let Some(bytes) = buf.get(..header.size()) else {
            return Err(Error::Malformed(format!(
                "the batch has {} bytes, only {} are there",
                header.size(),
                buf.len()
            )));
        };
        Ok(Self { header, bytes })
    }

    /// The header's fields.
    #[inline]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Everything after the header: the records, compressed or not.
    #[inline]
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[HEADER_SIZE..]
    }

    /// Whether the stored CRC matches the bytes.
    #[inline]
    pub fn crc_is_valid(&self) -> bool {
        crc32c(&self.bytes[AT_ATTRIBUTES..]) == self.header.crc
    }
}

/// The batches of `buf`, one after the other. A batch that is cut off or malformed is given as an error
/// and ends the iteration.
pub fn batches(buf: &[u8]) -> Batches<'_> {
    Batches { rest: buf }
}

/// Iterator of [`batches`].
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Batches<'a> {
    /// The bytes that have not been looked at yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let view = BatchView::first(self.rest);
        self.rest = view.as_ref().map_or(&[], |view| &self.rest[view.header.size()..]);
        Some(view)
    }
}
