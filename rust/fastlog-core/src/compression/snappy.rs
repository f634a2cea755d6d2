//! Snappy in the framing of xerial's `snappy-java`, which Kafka's clients use. This file owns its bytes.
//!
//! | at | size | field |
//! |---:|---:|---|
//! | 0 | 8 | magic `82 53 4e 41 50 50 59 00` |
//! | 8 | 4 | version, big-endian, 1 |
//! | 12 | 4 | lowest compatible version, 1 |
//! | 16 | | chunks: length (4, big-endian), then one snappy block of that many bytes |
//!
//! A payload without the magic is one raw block; librdkafka writes those.

use std::io::{self, Read};

use crate::compression::reader::TooLarge;

pub(super) const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_SIZE: usize = 16;
/// Uncompressed bytes per chunk, as in `snappy-java`.
const CHUNK_SIZE: usize = 32 * 1024;
/// No snappy block expands more than this: its densest element makes 64 bytes of 3.
const MAX_EXPANSION: usize = 22;

fn bad(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Decodes block by block. What a block announces is believed only after it has been checked against the
/// limit and against what its compressed bytes could yield at best (CVE-2023-34455 is about a decoder that
/// allocated first).
pub(super) struct SnappyReader<'a> {
    rest: &'a [u8],
    framed: bool,
    limit: usize,
    decoder: snap::raw::Decoder,
    block: Vec<u8>,
    /// First byte of `block` that has not been given out.
    at: usize,
}

impl<'a> SnappyReader<'a> {
    pub fn new(data: &'a [u8], limit: usize) -> Self {
        let framed = data.len() >= HEADER_SIZE && data.starts_with(&MAGIC);
        let rest = if framed { &data[HEADER_SIZE..] } else { data };
        Self {
            rest,
            framed,
            limit,
            decoder: snap::raw::Decoder::new(),
            block: Vec::new(),
            at: 0,
        }
    }

    fn take_block(&mut self) -> io::Result<&'a [u8]> {
        if !self.framed {
            return Ok(std::mem::take(&mut self.rest));
        }
        let Some((length, tail)) = self.rest.split_first_chunk::<4>() else {
            return Err(bad("cut off inside a chunk length"));
        };
        let length = i32::from_be_bytes(*length);
        let Some((block, rest)) = usize::try_from(length)
            .ok()
            .and_then(|n| tail.split_at_checked(n))
        else {
            return Err(bad(format!(
                "a chunk of {length} bytes, {} are there",
                tail.len()
            )));
        };
        self.rest = rest;
        Ok(block)
    }

    fn next_block(&mut self) -> io::Result<()> {
        let block = self.take_block()?;
        let announced = snap::raw::decompress_len(block).map_err(bad)?;
        if announced > self.limit {
            return Err(TooLarge(self.limit).into());
        }
        if announced > block.len().saturating_mul(MAX_EXPANSION) {
            return Err(bad(format!(
                "a block of {} bytes announces {announced}",
                block.len()
            )));
        }
        self.block.resize(announced, 0);
        self.at = 0;
        let count = self.decoder.decompress(block, &mut self.block).map_err(bad)?;
        self.block.truncate(count);
        Ok(())
    }
}

impl Read for SnappyReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if self.rest.is_empty() {
                return Ok(0);
            }
            self.next_block()?;
        }
        let count = buf.len().min(self.block.len() - self.at);
        buf[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Collects chunks of 32 KiB and appends each one compressed.
pub(super) struct SnappyWriter {
    out: Vec<u8>,
    pending: Vec<u8>,
    encoder: snap::raw::Encoder,
}

impl SnappyWriter {
    pub fn new() -> Self {
        let mut out = Vec::with_capacity(HEADER_SIZE);
        out.extend(MAGIC);
        out.extend(1_i32.to_be_bytes());
        out.extend(1_i32.to_be_bytes());
        Self {
            out,
            pending: Vec::new(),
            encoder: snap::raw::Encoder::new(),
        }
    }

    pub fn write(&mut self, mut data: &[u8]) -> io::Result<()> {
        if !self.pending.is_empty() {
            let (head, rest) = data.split_at(data.len().min(CHUNK_SIZE - self.pending.len()));
            self.pending.extend_from_slice(head);
            data = rest;
            if self.pending.len() < CHUNK_SIZE {
                return Ok(());
            }
            self.flush_pending()?;
        }
        let mut chunks = data.chunks_exact(CHUNK_SIZE);
        for chunk in &mut chunks {
            self.append(chunk)?;
        }
        self.pending.extend_from_slice(chunks.remainder());
        Ok(())
    }

    fn flush_pending(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.append(&pending)?;
        self.pending = pending;
        self.pending.clear();
        Ok(())
    }

    fn append(&mut self, chunk: &[u8]) -> io::Result<()> {
        let start = self.out.len() + 4;
        self.out
            .resize(start + snap::raw::max_compress_len(chunk.len()), 0);
        let count = self
            .encoder
            .compress(chunk, &mut self.out[start..])
            .map_err(bad)?;
        self.out.truncate(start + count);
        self.out[start - 4..start].copy_from_slice(&(count as u32).to_be_bytes());
        Ok(())
    }

    /// Bytes of finished chunks.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        if !self.pending.is_empty() {
            self.flush_pending()?;
        }
        Ok(self.out)
    }
}
