//! lz4 frames as Kafka's Java clients read them (`Lz4BlockInputStream`). This file owns their bytes.
//!
//! | size | field |
//! |---:|---|
//! | 4 | magic `04 22 4d 18` |
//! | 1 | flags: version 01, independent blocks, block checksums, content size, content checksum, 2 bits of 0 |
//! | 1 | sizes: 0, code of the largest block (4 to 7: 64 KiB, 256 KiB, 1 MiB, 4 MiB), 4 bits of 0 |
//! | 8 | content size, when the flag says so; not looked at |
//! | 1 | second byte of the xxHash-32 of the fields between magic and here |
//! | | blocks: length (4, little-endian; the top bit: stored as it is), bytes, xxHash-32 of them with the flag |
//! | 4 | end mark, a block of length 0 |
//! | 4 | content checksum, when the flag says so; it must be there, but is not looked at |
//!
//! Java reads one such frame and nothing after it, and neither linked blocks nor dictionaries nor the legacy
//! format. What it cannot read must not get into a log, and what it can read must, so a library's reader,
//! which takes more of the one and less of the other, will not do.

use std::io::{self, Read};

use lz4_flex::block::decompress_into;
use twox_hash::XxHash32;

use crate::compression::{bad, take};

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
const STORED: u32 = 1 << 31;
/// Most bytes of output for one of a block: its densest element adds 255 for a byte.
const MAX_EXPANSION: usize = 255;

/// Decodes block by block.
pub(super) struct Lz4Reader<'a> {
    rest: &'a [u8],
    flags: Flags,
    max_block: usize,
    stage: Stage,
    /// The block at hand: a piece of the input, or what `unpacked` holds.
    stored: &'a [u8],
    unpacked: Vec<u8>,
    /// Where in `unpacked` the bytes lie that have not been given out.
    at: usize,
    end: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Blocks,
    Ended,
}

#[derive(Clone, Copy, Default)]
struct Flags(u8);

impl Flags {
    fn block_checksums(self) -> bool {
        self.0 & 0x10 != 0
    }

    fn content_size(self) -> bool {
        self.0 & 0x08 != 0
    }

    fn content_checksum(self) -> bool {
        self.0 & 0x04 != 0
    }

    fn check(self) -> io::Result<()> {
        if self.0 >> 6 != 1 {
            return Err(bad(format!("frame version {}", self.0 >> 6)));
        }
        if self.0 & 0x20 == 0 {
            return Err(bad("linked blocks, which Java clients cannot read"));
        }
        if self.0 & 0x03 != 0 {
            return Err(bad("a dictionary, or a reserved flag"));
        }
        Ok(())
    }
}

impl<'a> Lz4Reader<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self {
            rest: data,
            flags: Flags::default(),
            max_block: 0,
            stage: Stage::Header,
            stored: &[],
            unpacked: Vec::new(),
            at: 0,
            end: 0,
        }
    }

    fn read_header(&mut self) -> io::Result<()> {
        if take(&mut self.rest, MAGIC.len())? != MAGIC {
            return Err(bad("no lz4 frame"));
        }
        let start = self.rest;
        let fields = take(&mut self.rest, 2)?;
        self.flags = Flags(fields[0]);
        self.flags.check()?;
        let sizes = fields[1];
        let code = sizes >> 4;
        if sizes & 0x8f != 0 || code < 4 {
            return Err(bad(format!("block sizes {sizes:#04x}")));
        }
        self.max_block = 1 << (8 + 2 * u32::from(code));
        if self.flags.content_size() {
            take(&mut self.rest, 8)?;
        }
        let described = &start[..start.len() - self.rest.len()];
        let checksum = (XxHash32::oneshot(0, described) >> 8) as u8;
        if take(&mut self.rest, 1)?[0] != checksum {
            return Err(bad("the frame's header fails its checksum"));
        }
        self.stage = Stage::Blocks;
        Ok(())
    }

    fn read_block(&mut self) -> io::Result<()> {
        let field = number(&mut self.rest)?;
        let length = (field & !STORED) as usize;
        if length == 0 {
            if self.flags.content_checksum() {
                number(&mut self.rest)?;
            }
            self.stage = Stage::Ended;
            return Ok(());
        }
        if length > self.max_block {
            return Err(bad(format!(
                "a block of {length} bytes, more than the frame allows"
            )));
        }
        let block = take(&mut self.rest, length)?;
        if self.flags.block_checksums() && number(&mut self.rest)? != XxHash32::oneshot(0, block) {
            return Err(bad("a block fails its checksum"));
        }
        if field & STORED != 0 {
            self.stored = block;
            return Ok(());
        }
        let room = self.max_block.min(length.saturating_mul(MAX_EXPANSION));
        if self.unpacked.len() < room {
            self.unpacked = vec![0; room];
        }
        self.at = 0;
        self.end = decompress_into(block, &mut self.unpacked[..room]).map_err(bad)?;
        if self.end == 0 {
            // Java takes it for the end, with or without an end mark.
            self.stage = Stage::Ended;
        }
        Ok(())
    }
}

impl Read for Lz4Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.stage == Stage::Header {
            self.read_header()?;
        }
        while self.stage == Stage::Blocks && self.stored.is_empty() && self.at == self.end {
            self.read_block()?;
        }
        if !self.stored.is_empty() {
            return self.stored.read(buf);
        }
        let count = (&self.unpacked[self.at..self.end]).read(buf)?;
        self.at += count;
        Ok(count)
    }
}

fn number(bytes: &mut &[u8]) -> io::Result<u32> {
    let field = take(bytes, 4)?;
    Ok(u32::from_le_bytes([field[0], field[1], field[2], field[3]]))
}
