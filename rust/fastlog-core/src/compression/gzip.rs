//! gzip members one after the other (RFC 1952), as Java's `GZIPInputStream` takes them.
//!
//! | size | field |
//! |---:|---|
//! | 2 | magic `1f 8b` |
//! | 1 | method, 8 (deflate) |
//! | 1 | flags: 1 text, 2 header checksum, 4 extra field, 8 name, 16 comment; others are not looked at |
//! | 6 | time, level, system; not looked at |
//! | | extra field (length in 2 bytes, little-endian), name and comment (each up to a 0), for their flags |
//! | 2 | with its flag, the lower half of the CRC-32 of the header so far |
//! | | deflated bytes |
//! | 8 | CRC-32 and length of what they inflate to, little-endian |
//!
//! Bytes behind a member that do not begin another one end the stream without an error, as in Java.

use std::io::{self, BufRead, Read};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use crate::compression::{bad, take};

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;
const HEADER_CHECKSUM: u8 = 0x02;
const EXTRA: u8 = 0x04;
const NAME: u8 = 0x08;
const COMMENT: u8 = 0x10;
/// Fewer bytes behind a member cannot be another one, and Java does not try.
const LEAST_MEMBER: usize = 18;

/// Inflates member by member.
pub(super) struct GzipReader<'a> {
    inflater: DeflateDecoder<&'a [u8]>,
    crc: Crc,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Member,
    Ended,
}

impl<'a> GzipReader<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self {
            inflater: DeflateDecoder::new(data),
            crc: Crc::new(),
            state: State::Start,
        }
    }

    /// Checks what follows the deflated bytes, and goes on to the next member if there is one.
    fn end_member(&mut self) -> io::Result<()> {
        let mut rest = *self.inflater.get_ref();
        let trailer = take(&mut rest, 8)?;
        let expected = [self.crc.sum().to_le_bytes(), self.crc.amount().to_le_bytes()].concat();
        if trailer != expected {
            return Err(bad("a member fails its checksum"));
        }
        self.state = State::Ended;
        if rest.len() > LEAST_MEMBER && skip_header(&mut rest).is_ok() {
            self.begin_member(rest);
        }
        Ok(())
    }

    fn begin_member(&mut self, deflated: &'a [u8]) {
        self.inflater.reset(deflated);
        self.crc.reset();
        self.state = State::Member;
    }
}

impl Read for GzipReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.state == State::Start {
            let mut rest = *self.inflater.get_ref();
            skip_header(&mut rest)?;
            self.begin_member(rest);
        }
        while self.state == State::Member && !buf.is_empty() {
            let count = self.inflater.read(buf)?;
            if count > 0 {
                self.crc.update(&buf[..count]);
                return Ok(count);
            }
            self.end_member()?;
        }
        Ok(0)
    }
}

/// Takes the header of a member off `bytes`.
fn skip_header(bytes: &mut &[u8]) -> io::Result<()> {
    let start = *bytes;
    let fixed = take(bytes, 10)?;
    if fixed[..2] != MAGIC || fixed[2] != DEFLATE {
        return Err(bad("no gzip member"));
    }
    let flags = fixed[3];
    if flags & EXTRA != 0 {
        let length = take(bytes, 2)?;
        take(bytes, u16::from_le_bytes([length[0], length[1]]).into())?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 && !skip_text(bytes) {
            return Err(bad("cut off"));
        }
    }
    if flags & HEADER_CHECKSUM != 0 {
        let mut crc = Crc::new();
        crc.update(&start[..start.len() - bytes.len()]);
        if take(bytes, 2)? != &crc.sum().to_le_bytes()[..2] {
            return Err(bad("a header fails its checksum"));
        }
    }
    Ok(())
}

fn skip_text(bytes: &mut &[u8]) -> bool {
    match bytes.skip_until(0) {
        Ok(skipped) => skipped > 0,
        Err(_) => false,
    }
}
