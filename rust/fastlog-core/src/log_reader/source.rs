//! Whole batches of a log in the order of their offsets, a piece at a time.

use std::path::PathBuf;
use std::sync::Arc;

use super::files::{self, Cursor, Sought};
use crate::batch::{BatchHeader, FetchDamage, HEADER_SIZE};
use crate::env::FileSystem;
use crate::error::{Error, Result, is_cut};
use crate::segment::{implausible, look_for_batch};

/// Bytes read at once, unless a batch is larger: so much stays in a processor's cache.
const WINDOW: usize = 1 << 20;

/// A place in the log, and the bytes of the batches there.
#[derive(Debug)]
pub(super) struct Source {
    pub fs: Arc<dyn FileSystem>,
    pub dir: PathBuf,
    /// All below this offset was written whole, before anybody said that it is committed.
    pub whole_below: i64,
    /// The place, and the offset that is looked for there.
    cursor: Option<(i64, Cursor)>,
    buffer: Vec<u8>,
    len: usize,
}

/// What there is at an offset.
#[derive(Debug)]
pub(super) enum Piece {
    /// Whole batches, to be had from [`Source::bytes`]; the offset behind them.
    Batches(i64),
    /// Nothing below the limit, now.
    Nothing,
    /// Nothing below the limit, for good: the next batch is above it.
    Hole,
    /// Something that is no batch.
    Damage(FetchDamage),
}

impl Source {
    pub fn new(fs: Arc<dyn FileSystem>, dir: PathBuf) -> Self {
        Self {
            fs,
            dir,
            whole_below: 0,
            cursor: None,
            buffer: Vec::new(),
            len: 0,
        }
    }

    /// The batches that [`Self::fill`] has read.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Forgets the place: the next piece is looked for by names again.
    pub fn look_again(&mut self) {
        self.cursor = None;
    }

    /// Reads batches from the one that holds `offset` on, none that is wholly at or above `limit`.
    pub fn fill(&mut self, offset: i64, limit: i64) -> Result<Piece> {
        self.len = 0;
        let kept = self.cursor.take().filter(|(at, _)| *at == offset);
        if let Some((_, mut cursor)) = kept {
            match self.read(&mut cursor, limit) {
                Ok(Read::Batches(next)) => {
                    self.cursor = Some((offset, cursor));
                    return Ok(Piece::Batches(next));
                }
                Ok(Read::Hole) => return Ok(Piece::Hole),
                // The file ends here, or was cut or replaced: what goes on is found by names.
                Ok(Read::End | Read::Bad(_)) => {}
                Err(error) if is_cut(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let mut cursor = match self.reach(offset)? {
            Sought::At(cursor) => cursor,
            Sought::Bad(cursor, reason) => return self.judge(&cursor, reason),
        };
        match self.read(&mut cursor, limit)? {
            Read::Batches(next) => {
                self.cursor = Some((offset, cursor));
                Ok(Piece::Batches(next))
            }
            Read::Hole => Ok(Piece::Hole),
            Read::End => Ok(Piece::Nothing),
            Read::Bad(reason) => self.judge(&cursor, reason),
        }
    }

    /// Goes on from `offset` with the next piece: in the middle of this one, or behind it.
    pub fn advance_to(&mut self, offset: i64) {
        let Some((at, cursor)) = &mut self.cursor else {
            return;
        };
        let mut passed = 0;
        while let Some(header) = header_at(&self.buffer[..self.len], passed) {
            if header.last_offset() >= offset {
                break;
            }
            passed += header.size();
            cursor.expected = header.next_offset();
        }
        cursor.position += passed as u64;
        *at = offset;
    }

    /// Finds an offset, past what is damaged before it.
    fn reach(&self, offset: i64) -> Result<Sought> {
        let mut sought = files::seek(&*self.fs, &self.dir, offset)?;
        loop {
            let Sought::Bad(mut cursor, reason) = sought else {
                return Ok(sought);
            };
            let bad = cursor.clone();
            let (from, expected) = match cursor.came_astray()? {
                Some((position, expected)) => (position + 1, expected),
                None => (cursor.position, cursor.expected),
            };
            let end = cursor.file.len()?.max(from);
            let tail = look_for_batch(&*cursor.file, from, end, expected)?;
            match tail.batch {
                Some((position, base)) if base <= offset && position != bad.position => {
                    (cursor.position, cursor.expected, cursor.passed) = (position, base, None);
                }
                _ => return Ok(Sought::Bad(bad, reason)),
            }
            sought = files::go_on(&*self.fs, &self.dir, cursor, offset)?;
        }
    }

    /// Whether what is no batch is damage, or the end of a log that is being written.
    fn judge(&self, cursor: &Cursor, reason: String) -> Result<Piece> {
        let end = cursor.file.len()?.max(cursor.position);
        let tail = look_for_batch(&*cursor.file, cursor.position, end, cursor.expected)?;
        let behind = match tail.batch {
            Some((position, base)) if position > cursor.position => Some(base),
            _ => None,
        };
        let later = match behind {
            Some(base) => Some(base),
            None => files::later_base(&*self.fs, &self.dir, cursor.base)?,
        };
        let later = later.or(Some(self.whole_below).filter(|whole| *whole > cursor.expected));
        Ok(later.map_or(Piece::Nothing, |next_offset| {
            Piece::Damage(FetchDamage {
                offset: cursor.expected,
                next_offset,
                reason,
            })
        }))
    }

    fn read(&mut self, cursor: &mut Cursor, limit: i64) -> Result<Read> {
        let end = cursor.file.len()?;
        let Some(left) = end.checked_sub(cursor.position).filter(|left| *left > 0) else {
            return Ok(Read::End);
        };
        let mut wanted = WINDOW;
        loop {
            let len = (wanted as u64).min(left) as usize;
            if self.buffer.len() < len {
                self.buffer
                    .try_reserve_exact(len - self.buffer.len())
                    .map_err(|_| Error::OutOfMemory(len))?;
                self.buffer.resize(len, 0);
            }
            let there = cursor.file.read_at(&mut self.buffer[..len], cursor.position)?;
            match self.count(there, left, cursor, limit)? {
                Counted::Batches(len, next) => {
                    self.len = len;
                    return Ok(Read::Batches(next));
                }
                Counted::Hole => return Ok(Read::Hole),
                Counted::Bad(reason) => return Ok(Read::Bad(reason)),
                // It is all there, as the length of the file says; or the file was cut meanwhile.
                Counted::Larger(size) if there == len && size > wanted => wanted = size,
                Counted::Larger(_) => return Ok(Read::Bad("the file was cut".to_owned())),
            }
        }
    }

    /// How many of the first `there` bytes are whole batches below `limit`.
    fn count(&self, there: usize, left: u64, cursor: &Cursor, limit: i64) -> Result<Counted> {
        let mut place = cursor.clone();
        let mut at = 0;
        let end = cursor.position + left;
        let stopped = loop {
            let Some(header) = header_at(&self.buffer[..there], at) else {
                break Counted::Bad(format!("{there} bytes are no batch"));
            };
            if let Some(reason) = implausible(&header, place.expected, left - at as u64) {
                break Counted::Bad(reason);
            }
            if header.size() > there - at {
                break Counted::Larger(header.size());
            }
            let after = place.position + header.size() as u64;
            if let Some(reason) = place.misplaced(&header, after, end)? {
                break Counted::Bad(reason);
            }
            if header.base_offset >= limit {
                break Counted::Hole;
            }
            at += header.size();
            place.position = after;
            place.expected = header.next_offset();
        };
        Ok(if at > 0 {
            Counted::Batches(at, place.expected)
        } else {
            stopped
        })
    }
}

enum Read {
    Batches(i64),
    End,
    Hole,
    Bad(String),
}

enum Counted {
    Batches(usize, i64),
    Hole,
    Larger(usize),
    Bad(String),
}

/// The header at a place in bytes, if it is there as a whole.
pub(super) fn header_at(bytes: &[u8], at: usize) -> Option<BatchHeader> {
    let rest = bytes.get(at..)?;
    if rest.len() < HEADER_SIZE {
        return None;
    }
    BatchHeader::parse(rest).ok()
}
