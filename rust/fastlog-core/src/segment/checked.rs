//! Which stretches of a segment were read and found sound since it was opened.
//!
//! The bytes of a sealed segment are read, checksums and all, before they are given to anybody for the first time;
//! what this process has appended to the active segment is believed until that is sealed. A stretch is forgotten
//! when the file was written to by somebody else, which its time of the last write tells.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::walk::implausible;
use super::{Extent, HeaderWalk, Segment};
use crate::batch::{BatchHeader, HEADER_SIZE, crc32c_append};
use crate::env::FileStamp;
use crate::error::{Error, Result, is_cut};

/// Bytes read at once.
const BUFFER: usize = 256 << 10;
/// Where the part of a batch begins that its checksum covers.
const AT_ATTRIBUTES: usize = 21;
/// Stretches that are remembered. Of more the shortest is forgotten, and read again when it is asked for.
const MOST_STRETCHES: usize = 64;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Whole batches that are sound and follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    start: u64,
    end: u64,
    /// Offset of the first batch.
    first: i64,
    /// Offset after the last one.
    next: i64,
}

/// What is known of one segment.
#[derive(Debug)]
pub(super) struct Checked {
    state: Mutex<State>,
    /// From here on this process has written the bytes, and is still writing.
    trusted_from: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    stretches: Vec<Stretch>,
    stamp: Option<FileStamp>,
}

/// The leader epoch at an offset, and where the next one begins; `None` when it is not known.
pub type EpochAt<'a> = &'a dyn Fn(i64) -> Option<(i32, i64)>;

impl Checked {
    /// Of a segment that is on disk.
    pub fn unknown() -> Self {
        Self {
            state: Mutex::default(),
            trusted_from: AtomicU64::new(u64::MAX),
        }
    }

    /// Of a segment that is being written from its start on.
    pub fn ours() -> Self {
        Self {
            state: Mutex::default(),
            trusted_from: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn holding(&self, position: u64) -> Option<Stretch> {
        let after = self
            .stretches
            .partition_point(|stretch| stretch.start <= position);
        let stretch = self.stretches[after.checked_sub(1)?];
        (position <= stretch.end).then_some(stretch)
    }

    fn add(&mut self, mut new: Stretch) {
        self.stretches.retain(|old| {
            let apart = old.end < new.start || new.end < old.start;
            if !apart {
                if old.start < new.start {
                    (new.start, new.first) = (old.start, old.first);
                }
                if old.end > new.end {
                    (new.end, new.next) = (old.end, old.next);
                }
            }
            apart
        });
        let at = self
            .stretches
            .partition_point(|stretch| stretch.start < new.start);
        self.stretches.insert(at, new);
        if self.stretches.len() > MOST_STRETCHES
            && let Some((shortest, _)) = self
                .stretches
                .iter()
                .enumerate()
                .min_by_key(|(_, stretch)| stretch.end - stretch.start)
        {
            self.stretches.remove(shortest);
        }
    }
}

impl Segment {
    /// From `position` on, the end of what is there, this process writes.
    pub fn trust_from(&self, position: u64) {
        let mut state = self.checked.state();
        state.stretches.retain(|stretch| stretch.end <= position);
        self.checked.trusted_from.store(position, Ordering::Release);
    }

    /// The segment gets no more batches: what is given to readers from now on is checked first.
    pub fn trust_no_more(&self) {
        self.checked.trusted_from.store(u64::MAX, Ordering::Release);
    }

    /// Notes that recovery has found `[from.size, to.size)` sound.
    pub fn note_sound(&self, from: Extent, to: Extent) -> Result<()> {
        let stamp = self.log.stamp()?;
        let mut state = self.checked.state();
        state.stamp = stamp;
        state.add(Stretch {
            start: from.size,
            end: to.size,
            first: from.next_offset,
            next: to.next_offset,
        });
        Ok(())
    }

    /// Makes sure that the batches in `[position, end)`, which answer a read from `offset`, are sound, and that none
    /// was left out before them. Fails with [`Error::Corrupt`].
    pub fn ensure_sound(&self, offset: i64, position: u64, end: u64, epoch_at: EpochAt<'_>) -> Result<()> {
        let trusted = self.checked.trusted_from.load(Ordering::Acquire);
        let end = end.min(trusted);
        if position >= end {
            return Ok(());
        }
        let stamp = if trusted == u64::MAX {
            self.log.stamp()?
        } else {
            None
        };
        let known = {
            let mut state = self.checked.state();
            if stamp.is_some() && state.stamp != stamp {
                state.stretches.clear();
                state.stamp = stamp;
            }
            state
                .holding(position)
                .filter(|stretch| stretch.first <= offset || stretch.start == 0)
        };
        let begin = match known {
            Some(stretch) if end <= stretch.end => return Ok(()),
            Some(stretch) => Extent {
                next_offset: stretch.next,
                size: stretch.end,
            },
            None => self.start_of_check(offset, position)?,
        };
        // Of what is read at once all is checked, so that many small reads cost no more than a large one.
        let ahead = begin.size.saturating_add(BUFFER as u64).min(trusted);
        let to = self.check(begin, end.max(ahead), epoch_at)?;
        self.checked.state().add(Stretch {
            start: begin.size,
            end: to.size,
            first: begin.next_offset,
            next: to.next_offset,
        });
        Ok(())
    }

    /// Reads the batches from `from` on, where one begins whose offset is at least that, until `end` is passed, and
    /// checks everything about them. Returns where the next one begins. Fails with [`Error::Corrupt`].
    pub fn check(&self, from: Extent, end: u64, epoch_at: EpochAt<'_>) -> Result<Extent> {
        let extent = self.extent();
        SCRATCH.with_borrow_mut(|buffer| {
            let mut window = Window {
                segment: self,
                size: extent.size,
                buffer,
                at: 0,
                len: 0,
            };
            let mut at = from;
            let mut epoch: Option<(i32, i64)> = None;
            while at.size < end.min(extent.size) {
                let header = window.header(at)?;
                if header.base_offset > at.next_offset || header.next_offset() > extent.next_offset {
                    window.confirm(at, &header, extent)?;
                }
                if epoch.is_none_or(|(_, until)| header.base_offset >= until) {
                    epoch = epoch_at(header.base_offset);
                }
                if let Some((due, _)) = epoch
                    && header.partition_leader_epoch >= 0
                    && header.partition_leader_epoch != due
                {
                    return Err(self.unsound(
                        at,
                        format!(
                            "leader epoch {} where {due} is due",
                            header.partition_leader_epoch
                        ),
                    ));
                }
                window.checksum(at, &header)?;
                at = Extent {
                    next_offset: header.next_offset(),
                    size: at.size + header.size() as u64,
                };
            }
            Ok(at)
        })
    }

    /// A batch at or before `position` and `offset` of which the index knows, or the start of the segment.
    fn start_of_check(&self, offset: i64, position: u64) -> Result<Extent> {
        if let Some(entry) = self.index_floor(offset)?
            && u64::from(entry.position) <= position
        {
            let mut walk = HeaderWalk::new(&*self.log, entry.position.into(), self.extent().size);
            match walk.next(self.base_offset) {
                Ok(Some(batch)) if batch.header.last_offset() == entry.offset => {
                    return Ok(Extent {
                        next_offset: batch.header.base_offset,
                        size: batch.position,
                    });
                }
                // Index or batch is wrong: the batches from the start on will tell.
                Ok(_) | Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Extent {
            next_offset: self.base_offset,
            size: 0,
        })
    }

    fn unsound(&self, at: Extent, reason: String) -> Error {
        Error::Corrupt {
            path: self.log.path().to_owned(),
            position: at.size,
            offset: at.next_offset,
            reason,
        }
    }
}

/// What of the file is in memory.
struct Window<'a> {
    segment: &'a Segment,
    size: u64,
    buffer: &'a mut Vec<u8>,
    at: u64,
    len: usize,
}

impl Window<'_> {
    /// The header of the batch at `at`, which has a place there.
    fn header(&mut self, at: Extent) -> Result<BatchHeader> {
        let left = self.size - at.size;
        if left < HEADER_SIZE as u64 {
            return Err(self.segment.unsound(at, format!("{left} bytes are no batch")));
        }
        let header = BatchHeader::parse(self.bytes(at.size, HEADER_SIZE, at)?)?;
        match implausible(&header, at.next_offset, left) {
            Some(reason) => Err(self.segment.unsound(at, reason)),
            None => Ok(header),
        }
    }

    /// A batch that leaves offsets out, as compaction makes them, is believed when those after it fit.
    fn confirm(&mut self, at: Extent, header: &BatchHeader, extent: Extent) -> Result<()> {
        let after = at.size + header.size() as u64;
        let due = at.next_offset;
        let fits = if self.size - after >= HEADER_SIZE as u64 {
            let next = BatchHeader::parse(self.bytes(after, HEADER_SIZE, at)?)?;
            next.base_offset >= header.next_offset()
        } else {
            header.next_offset() <= extent.next_offset
        };
        if fits {
            Ok(())
        } else {
            let reason = format!("base offset {} where {due} is due", header.base_offset);
            Err(self.segment.unsound(at, reason))
        }
    }

    fn checksum(&mut self, at: Extent, header: &BatchHeader) -> Result<()> {
        let mut from = at.size + AT_ATTRIBUTES as u64;
        let end = at.size + header.size() as u64;
        let mut crc = 0;
        while from < end {
            let len = ((end - from).min(BUFFER as u64)) as usize;
            let have = self.have(from, len);
            let len = if have == 0 { len } else { have };
            crc = crc32c_append(crc, self.bytes(from, len, at)?);
            from += len as u64;
        }
        if crc == header.crc {
            Ok(())
        } else {
            let reason = format!("checksum is {crc:#010x}, the batch says {:#010x}", header.crc);
            Err(self.segment.unsound(at, reason))
        }
    }

    /// How many of `len` bytes at `position` are in memory.
    fn have(&self, position: u64, len: usize) -> usize {
        if position < self.at || position >= self.at + self.len as u64 {
            return 0;
        }
        len.min((self.at + self.len as u64 - position) as usize)
    }

    fn bytes(&mut self, position: u64, len: usize, at: Extent) -> Result<&[u8]> {
        if self.have(position, len) < len {
            let wanted = (self.size - position).min(BUFFER as u64) as usize;
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
            self.len = 0;
            let log = &self.segment.log;
            match log.read_exact_at(&mut self.buffer[..wanted], position) {
                Err(error) if is_cut(&error) => {
                    return Err(self
                        .segment
                        .unsound(at, "the end of the file is missing".to_owned()));
                }
                other => other?,
            }
            (self.at, self.len) = (position, wanted);
        }
        let skip = (position - self.at) as usize;
        Ok(&self.buffer[skip..skip + len])
    }
}
