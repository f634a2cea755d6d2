//! The four codecs of record batches, and the limits that keep a small payload from becoming a large one.

mod encoder;
mod gzip;
mod lz4;
mod reader;
mod snappy;
mod zstd;

use std::io::{self, Read};

pub use encoder::Encoder;
pub use reader::{Decompressor, TooLarge, decompress_reader};

use crate::error::{Error, Result};
use reader::{bad, take};

/// How the records of a batch are compressed. The numbers are those of the batch attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    #[default]
    None = 0,
    /// gzip (RFC 1952).
    Gzip = 1,
    /// snappy in xerial framing; one raw block is understood too.
    Snappy = 2,
    /// lz4 frames.
    Lz4 = 3,
    /// zstd (RFC 8878).
    Zstd = 4,
}

impl Codec {
    /// Every codec, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with this number in the batch attributes.
    #[inline]
    pub fn from_id(id: u8) -> Result<Self> {
        match Self::ALL.get(usize::from(id)) {
            Some(codec) => Ok(*codec),
            None => Err(Error::Malformed(format!("unknown codec {id}"))),
        }
    }

    /// The number in the batch attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// Kafka's name, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec with this name; `uncompressed` is Kafka's topic-level word for none.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "uncompressed" => Some(Self::None),
            _ => Self::ALL.into_iter().find(|codec| codec.name() == name),
        }
    }
}

/// How much a compressed payload may cost.
///
/// Output is always streamed, so this bounds time rather than memory. Memory is bounded by the codecs'
/// windows: 32 KiB for gzip, a block (at most 4 MiB) for lz4, the window below for zstd, of which those above
/// 8 MiB are decoded one at a time, and for snappy, whose blocks are decoded whole, 22 times the input, beyond
/// which its format cannot expand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecompressionLimit {
    /// Most bytes of output.
    pub bytes: usize,
    /// Largest zstd window, as a power of two.
    pub zstd_window_log: u32,
}

impl DecompressionLimit {
    /// No payload may become larger than this, whatever `max.message.bytes` says.
    pub const ABSOLUTE: usize = 512 << 20;
    /// The largest window that zstd's decoders take when nobody tells them otherwise, Java's among them.
    pub const ZSTD_WINDOW_LOG: u32 = 27;

    /// The limit for batches on their way into a topic: 100 times `max.message.bytes`, at least 16 MiB and at
    /// most [`Self::ABSOLUTE`].
    pub fn for_topic(max_message_bytes: usize) -> Self {
        let bytes = max_message_bytes
            .saturating_mul(100)
            .clamp(16 << 20, Self::ABSOLUTE);
        Self {
            bytes,
            ..Self::default()
        }
    }
}

/// The limit for whatever is in a log: nothing that [`DecompressionLimit::for_topic`] ever let in exceeds it,
/// however small `max.message.bytes` has become since.
impl Default for DecompressionLimit {
    fn default() -> Self {
        Self {
            bytes: Self::ABSOLUTE,
            zstd_window_log: Self::ZSTD_WINDOW_LOG,
        }
    }
}

/// Compresses `data`. `level` is the codec's own scale, clamped to its range; `None` is its default.
/// Snappy and lz4 have one level.
pub fn compress(codec: Codec, level: Option<i32>, data: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = Encoder::new(codec, level, Some(data.len()))?;
    encoder.write(data)?;
    encoder.finish()
}

/// Decompresses `data` whole. Fails with [`Error::Compression`] when it is damaged or larger than `limit`;
/// memory follows the bytes produced, never a size that `data` announces.
pub fn decompress(codec: Codec, data: &[u8], limit: DecompressionLimit) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    decompress_reader(codec, data, limit)?
        .read_to_end(&mut out)
        .map_err(|error| codec_error(codec, &error))?;
    Ok(out)
}

/// What `error` of a codec means: damage, or a shortage that says nothing about the payload.
pub(crate) fn codec_error(codec: Codec, error: &io::Error) -> Error {
    let name = codec.name();
    if is_shortage(error) {
        return Error::Aborted(format!("{name} payload: {error}"));
    }
    Error::Compression {
        codec: name,
        reason: error.to_string(),
    }
}

/// Whether a codec could not go on for want of memory, or of its turn at having much of it.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests;
