//! Compression as a stream into memory.

use std::fmt;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use crate::compression::snappy::SnappyWriter;
use crate::compression::{Codec, codec_error};
use crate::error::{Error, Result};
use crate::memory::{Output, append, reserve};

/// Compresses what is written to it.
pub struct Encoder {
    codec: Codec,
    inner: Inner,
}

enum Inner {
    None(Vec<u8>),
    Gzip(GzEncoder<Output>),
    Snappy(Box<SnappyWriter>),
    Lz4(Box<FrameEncoder<Output>>),
    Zstd(zstd::stream::write::Encoder<'static, Output>),
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder for `size` bytes of input, when that is known. `level` as in [`super::compress`].
    pub fn new(codec: Codec, level: Option<i32>, size: Option<usize>) -> Result<Self> {
        let out = Output::default();
        let inner = match codec {
            Codec::None => {
                let mut out = Vec::new();
                reserve(&mut out, size.unwrap_or(0))?;
                Inner::None(out)
            }
            Codec::Gzip => {
                let level = level.map_or(Compression::default(), |n| Compression::new(n.clamp(1, 9) as u32));
                Inner::Gzip(GzEncoder::new(out, level))
            }
            Codec::Snappy => Inner::Snappy(Box::new(SnappyWriter::new())),
            Codec::Lz4 => {
                // What Kafka's own lz4 writer does: independent blocks of 64 KiB, no checksums.
                let frame = FrameInfo::new()
                    .block_size(BlockSize::Max64KB)
                    .block_mode(BlockMode::Independent);
                Inner::Lz4(Box::new(FrameEncoder::with_frame_info(frame, out)))
            }
            Codec::Zstd => Inner::Zstd(zstd_encoder(level, size).map_err(|e| codec_error(codec, &e))?),
        };
        Ok(Self { codec, inner })
    }

    /// Takes more input.
    pub fn write(&mut self, data: &[u8]) -> Result<()> {
        let done = match &mut self.inner {
            Inner::None(out) => {
                append(out, data)?;
                Ok(())
            }
            Inner::Gzip(encoder) => encoder.write_all(data),
            Inner::Snappy(encoder) => encoder.write(data),
            Inner::Lz4(encoder) => encoder.write_all(data),
            Inner::Zstd(encoder) => encoder.write_all(data),
        };
        done.map_err(|error| codec_error(self.codec, &error))
    }

    /// Bytes of output so far; what the codec still holds back is not counted.
    pub fn output_len(&self) -> usize {
        match &self.inner {
            Inner::None(out) => out.len(),
            Inner::Gzip(encoder) => encoder.get_ref().0.len(),
            Inner::Snappy(encoder) => encoder.len(),
            Inner::Lz4(encoder) => encoder.get_ref().0.len(),
            Inner::Zstd(encoder) => encoder.get_ref().0.len(),
        }
    }

    /// Ends the stream and gives all of its output.
    pub fn finish(self) -> Result<Vec<u8>> {
        let codec = self.codec;
        match self.inner {
            Inner::None(out) => Ok(out),
            Inner::Gzip(encoder) => encoder
                .finish()
                .map(|out| out.0)
                .map_err(|e| codec_error(codec, &e)),
            Inner::Snappy(encoder) => encoder.finish().map_err(|e| codec_error(codec, &e)),
            Inner::Lz4(encoder) => encoder.finish().map(|out| out.0).map_err(|e| match e {
                lz4_flex::frame::Error::IoError(e) => codec_error(codec, &e),
                e => Error::Compression {
                    codec: codec.name(),
                    reason: e.to_string(),
                },
            }),
            Inner::Zstd(encoder) => encoder
                .finish()
                .map(|out| out.0)
                .map_err(|e| codec_error(codec, &e)),
        }
    }
}

fn zstd_encoder(
    level: Option<i32>,
    size: Option<usize>,
) -> std::io::Result<zstd::stream::write::Encoder<'static, Output>> {
    let mut encoder = zstd::stream::write::Encoder::new(
        Output::default(),
        level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL),
    )?;
    // The size in the frame lets encoder and decoder choose a window no larger than the content.
    encoder.set_pledged_src_size(size.map(|n| n as u64))?;
    Ok(encoder)
}
