//! Decompression as a stream that ends at a limit.

use std::fmt;
use std::io::{self, Read};

use crate::compression::gzip::GzipReader;
use crate::compression::lz4::Lz4Reader;
use crate::compression::snappy::SnappyReader;
use crate::compression::zstd::ZstdReader;
use crate::compression::{Codec, DecompressionLimit, codec_error};
use crate::error::Result;

/// The inner error of the [`io::Error`] that a [`Decompressor`] gives at its limit.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("more than {0} bytes when decompressed")]
pub struct TooLarge(pub usize);

impl TooLarge {
    /// Whether `error` means the limit, not damaged input.
    pub fn is(error: &io::Error) -> bool {
        error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

impl From<TooLarge> for io::Error {
    fn from(error: TooLarge) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// Decompressed bytes of one payload. Reading fails once they would exceed the limit.
pub struct Decompressor<'a> {
    inner: Box<dyn Read + 'a>,
    left: usize,
    limit: usize,
}

impl fmt::Debug for Decompressor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor")
            .field("left", &self.left)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Opens `data` for reading, decompressed.
pub fn decompress_reader(codec: Codec, data: &[u8], limit: DecompressionLimit) -> Result<Decompressor<'_>> {
    let inner: Box<dyn Read + '_> = match codec {
        Codec::None => Box::new(data),
        Codec::Gzip => Box::new(GzipReader::new(data)),
        Codec::Snappy => Box::new(SnappyReader::new(data, limit.bytes)),
        Codec::Lz4 => Box::new(Lz4Reader::new(data)),
        Codec::Zstd => {
            Box::new(ZstdReader::new(data, limit.zstd_window_log).map_err(|e| codec_error(codec, &e))?)
        }
    };
    Ok(Decompressor {
        inner,
        left: limit.bytes,
        limit: limit.bytes,
    })
}

impl Read for Decompressor<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // One byte more than is left tells a payload that ends at the limit from one that goes on.
        let room = buf.len().min(self.left.saturating_add(1));
        let count = self.inner.read(&mut buf[..room])?;
        match self.left.checked_sub(count) {
            Some(left) => self.left = left,
            None => return Err(TooLarge(self.limit).into()),
        }
        Ok(count)
    }
}

/// Damaged input, in words.
pub(super) fn bad(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Takes the first `count` bytes off `bytes`.
pub(super) fn take<'a>(bytes: &mut &'a [u8], count: usize) -> io::Result<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or_else(|| bad("cut off"))?;
    *bytes = rest;
    Ok(taken)
}
