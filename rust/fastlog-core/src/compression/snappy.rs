//! Snappy in the framing of xerial's `snappy-java`, which Kafka's clients use. This file owns its bytes.
//!
//! | at | size | field |
//! |---:|---:|---|
//! | 0 | 8 | magic `82 53 4e 41 50 50 59 00` |
//! | 8 | 4 | version, big-endian, 1; not looked at |
//! | 12 | 4 | lowest compatible version, 1; not looked at |
//! | 16 | | chunks: length (4, big-endian), then one snappy block of that many bytes |
//!
//! Where a chunk could begin another header may stand, whose version must be 1 or more, and fewer than 4 bytes
//! at the end are left alone, all as in `SnappyInputStream`. A payload without the magic is one raw block;
//! librdkafka writes those.

use std::io::{self, Read};

use crate::compression::reader::{TooLarge, bad, take};

pub(super) const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_SIZE: usize = 16;
/// Uncompressed bytes per chunk, as in `snappy-java`.
const CHUNK_SIZE: usize = 32 * 1024;
/// No snappy block expands more than this: its densest element makes 64 bytes of 3.
const MAX_EXPANSION: usize = 22;

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

    /// The next block; `None` at the end.
    fn take_block(&mut self) -> io::Result<Option<&'a [u8]>> {
        if !self.framed {
            return Ok(Some(std::mem::take(&mut self.rest)).filter(|block| !block.is_empty()));
        }
        loop {
            let Some((length, tail)) = self.rest.split_first_chunk::<4>() else {
                self.rest = &[];
                return Ok(None);
            };
            if *length != MAGIC[..4] {
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
                return Ok(Some(block));
            }
            let header = take(&mut self.rest, HEADER_SIZE)?;
            let version = i32::from_be_bytes([header[8], header[9], header[10], header[11]]);
            if !header.starts_with(&MAGIC) || version < 1 {
                return Err(bad("a chunk with a negative length"));
            }
        }
    }

    /// Decodes the next block; says whether there was one.
    fn next_block(&mut self) -> io::Result<bool> {
        let Some(block) = self.take_block()? else {
            return Ok(false);
        };
        if block.is_empty() {
            return Err(bad("a chunk without bytes"));
        }
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
        Ok(true)
    }
}

impl Read for SnappyReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
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
