//! Cuts a byte stream into frames: `i32` length, then that many bytes.
//!
//! Bytes are received into a chunk. Whole frames in it are handed out as ranges of one exact copy, so many
//! small requests in one read cost one allocation. A frame that is larger than a chunk gets a buffer of its
//! own and the rest of it is received right there; that buffer grows with the bytes that have arrived, never
//! by what the length announces. Between two reads a splitter holds what has come of a small frame and no chunk:
//! idle connections are free, and one that has begun a frame costs what it sent. Only one that was told
//! to ([`FrameSplitter::reuse_buffers`]) keeps some buffers of large frames.

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::wire::frame_pool::{FramePool, Pooled};

/// Bytes of the length before a frame.
pub const LENGTH_PREFIX: usize = 4;
/// A request header has at least key, version and correlation id.
pub const MIN_FRAME: usize = 8;
/// First size of the buffer of a large frame.
const FIRST_GROWTH: usize = 64 * 1024;
/// Chunks that a thread keeps for the next read of whichever connection.
const SPARE_CHUNKS: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn take_chunk(size: usize) -> Result<Vec<u8>> {
    let spare = SPARE.with_borrow_mut(|spare| {
        let found = spare.iter().position(|chunk| chunk.len() == size)?;
        Some(spare.swap_remove(found))
    });
    if let Some(chunk) = spare {
        return Ok(chunk);
    }
    let mut chunk = Vec::new();
    grow(&mut chunk, size)?;
    Ok(chunk)
}

/// Makes `bytes` longer. What peers send decides about it, so a lack of memory costs the connection and not the
/// process.
fn grow(bytes: &mut Vec<u8>, len: usize) -> Result<()> {
    let more = len - bytes.len();
    bytes
        .try_reserve_exact(more)
        .map_err(|_| Error::OutOfMemory(more))?;
    bytes.resize(len, 0);
    Ok(())
}

fn keep_chunk(chunk: Vec<u8>) {
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_CHUNKS {
            spare.push(chunk);
        }
    });
}

/// One frame without its length prefix. Clones share the bytes.
#[derive(Debug, Clone)]
pub struct Frame {
    bytes: Shared,
    start: u32,
    end: u32,
}

#[derive(Debug, Clone)]
enum Shared {
    /// Copied out of a chunk, together with its neighbours.
    Slice(Arc<[u8]>),
    /// Received in place.
    Whole(Arc<Pooled>),
}

impl Deref for Frame {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let bytes: &[u8] = match &self.bytes {
            Shared::Slice(bytes) => bytes,
            Shared::Whole(bytes) => bytes.as_slice(),
        };
        &bytes[self.start as usize..self.end as usize]
    }
}

/// A frame of its own, for payloads that do not come from a [`FrameSplitter`].
impl From<Vec<u8>> for Frame {
    /// Panics at 4 GiB, which no frame length can announce.
    fn from(bytes: Vec<u8>) -> Self {
        let end = u32::try_from(bytes.len()).expect("frames are below 2 GiB");
        Self {
            bytes: Shared::Whole(Arc::new(Pooled::new(bytes, None))),
            start: 0,
            end,
        }
    }
}

impl Frame {
    /// The first `size` bytes of a buffer.
    fn received(bytes: Pooled, size: usize) -> Self {
        Self {
            bytes: Shared::Whole(Arc::new(bytes)),
            start: 0,
            // Frames are at most `i32::MAX` bytes.
            end: size as u32,
        }
    }
}

/// Splits one connection's bytes.
#[derive(Debug)]
pub struct FrameSplitter {
    min_frame: usize,
    max_frame: usize,
    chunk_size: usize,
    /// `chunk_size` bytes from [`Self::writable`] to [`Self::advance`], else empty.
    chunk: Vec<u8>,
    /// How much has come of a small frame: at the front of the chunk while there is one, else in `begun`.
    filled: usize,
    begun: Vec<u8>,
    large: Option<LargeFrame>,
    pool: Option<Arc<FramePool>>,
}

/// A frame that does not fit a chunk, partly received.
#[derive(Debug)]
struct LargeFrame {
    /// What is allocated so far; more than the frame, if an earlier one had it.
    bytes: Vec<u8>,
    filled: usize,
    size: usize,
}

impl LargeFrame {
    fn writable(&mut self) -> Result<&mut [u8]> {
        if self.filled == self.bytes.len() {
            let len = (self.filled * 2).max(FIRST_GROWTH).min(self.size);
            grow(&mut self.bytes, len)?;
        }
        let end = self.bytes.len().min(self.size);
        Ok(&mut self.bytes[self.filled..end])
    }
}

impl FrameSplitter {
    /// Frames of at most `max_frame` bytes, received in chunks of `chunk` bytes (at least 64).
    pub fn new(max_frame: usize, chunk: usize) -> Self {
        Self {
            min_frame: MIN_FRAME,
            max_frame: max_frame.min(i32::MAX as usize),
            chunk_size: chunk.max(64),
            chunk: Vec::new(),
            filled: 0,
            begun: Vec::new(),
            large: None,
            pool: None,
        }
    }

    /// Has the buffers of large frames come back when nobody has the frame any more, so that the next one is
    /// received into memory that is there already: for answers that are as large each time.
    pub fn reuse_buffers(&mut self) {
        self.pool.get_or_insert_default();
    }

    /// Sets the size of frames whose length is yet to come. Only requests have [`MIN_FRAME`] bytes at least.
    pub fn set_limits(&mut self, min_frame: usize, max_frame: usize) {
        self.min_frame = min_frame;
        self.max_frame = max_frame.min(i32::MAX as usize);
    }

    /// Where the next bytes go; never empty. Bytes count as received only after [`Self::advance`].
    ///
    /// Fails with [`Error::OutOfMemory`]; nothing is lost then.
    pub fn writable(&mut self) -> Result<&mut [u8]> {
        if let Some(large) = &mut self.large {
            return large.writable();
        }
        if self.chunk.is_empty() {
            self.chunk = take_chunk(self.chunk_size)?;
            self.chunk[..self.filled].copy_from_slice(&self.begun);
            // Its memory stays: it is of the size of the frame.
            self.begun.clear();
        }
        Ok(&mut self.chunk[self.filled..])
    }

    /// Takes note of `n` bytes at the front of [`Self::writable`] and adds the finished frames to `frames`.
    ///
    /// Fails with [`Error::Malformed`] on a frame length that is too small or too large: the frames before it
    /// are still handed out, but the stream cannot be followed any further.
    pub fn advance(&mut self, n: usize, frames: &mut Vec<Frame>) -> Result<()> {
        if n > self.writable()?.len() {
            return Err(Error::InvalidArgument(format!(
                "{n} bytes cannot have been received"
            )));
        }
        if let Some(large) = &mut self.large {
            large.filled += n;
            if large.filled == large.size
                && let Some(LargeFrame { bytes, size, .. }) = self.large.take()
            {
                frames.push(Frame::received(Pooled::new(bytes, self.pool.clone()), size));
            }
            return Ok(());
        }
        self.filled += n;
        let mut whole = 0;
        let next = loop {
            match self.next_frame(whole) {
                Ok(Some(size)) if whole + LENGTH_PREFIX + size <= self.filled => {
                    whole += LENGTH_PREFIX + size;
                }
                other => break other,
            }
        };
        if whole > 0 {
            hand_out(&self.chunk[..whole], frames);
        }
        self.keep_rest(whole, next?)
    }

    /// Bytes received that are no whole frame yet.
    pub fn buffered(&self) -> usize {
        self.large
            .as_ref()
            .map_or(self.filled, |large| LENGTH_PREFIX + large.filled)
    }

    /// Size of the frame that has begun, without its prefix; 0 while there is none or its prefix is not there.
    pub fn announced(&self) -> usize {
        if let Some(large) = &self.large {
            return large.size;
        }
        let received = if self.chunk.is_empty() {
            &self.begun
        } else {
            &self.chunk
        };
        let prefix = received[..self.filled].first_chunk::<LENGTH_PREFIX>();
        // What is kept of a frame starts with a length that has been checked.
        prefix.map_or(0, |length| u32::from_be_bytes(*length) as usize)
    }

    /// Bytes of memory that are held.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        let large = self.large.as_ref().map_or(0, |large| large.bytes.capacity());
        self.chunk.capacity() + self.begun.capacity() + large
    }

    /// Size of the frame that starts at `at` in the chunk, `None` while its length is not there.
    fn next_frame(&self, at: usize) -> Result<Option<usize>> {
        let Some(length) = self.chunk[at..self.filled].first_chunk::<LENGTH_PREFIX>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*length);
        match usize::try_from(length) {
            Ok(size) if size > self.max_frame => Err(Error::Malformed(format!(
                "a frame of {size} bytes, more than the {} allowed",
                self.max_frame
            ))),
            Ok(size) if size >= self.min_frame => Ok(Some(size)),
            _ => Err(Error::Malformed(format!("a frame of {length} bytes"))),
        }
    }

    /// Keeps the beginning of a frame, of which `begun` is the size when that is known, and lets the chunk go.
    fn keep_rest(&mut self, from: usize, begun: Option<usize>) -> Result<()> {
        let rest = &self.chunk[from..self.filled];
        match begun {
            Some(size) if LENGTH_PREFIX + size > self.chunk_size => {
                let received = &rest[LENGTH_PREFIX..];
                let filled = received.len();
                let mut bytes = self.pool.as_ref().map_or_else(Vec::new, |pool| pool.take(size));
                if bytes.len() < filled {
                    let first = (filled * 2).max(FIRST_GROWTH).min(size);
                    grow(&mut bytes, first)?;
                }
                bytes[..filled].copy_from_slice(received);
                self.large = Some(LargeFrame { bytes, filled, size });
                self.filled = 0;
            }
            _ => {
                self.filled = rest.len();
                if from > 0 || rest.is_empty() {
                    self.begun = Vec::new();
                }
                // All of the frame at once: each connection has one such buffer, and none is ever grown.
                let room = begun.map_or(rest.len(), |size| LENGTH_PREFIX + size);
                self.begun
                    .try_reserve_exact(room)
                    .map_err(|_| Error::OutOfMemory(room))?;
                self.begun.extend_from_slice(rest);
            }
        }
        keep_chunk(std::mem::take(&mut self.chunk));
        Ok(())
    }
}

/// Copies whole frames with their prefixes and hands out the ranges.
fn hand_out(whole: &[u8], frames: &mut Vec<Frame>) {
    let bytes: Arc<[u8]> = Arc::from(whole);
    let mut at = 0;
    while let Some(length) = whole[at..].first_chunk::<LENGTH_PREFIX>() {
        let start = at + LENGTH_PREFIX;
        at = start + u32::from_be_bytes(*length) as usize;
        frames.push(Frame {
            bytes: Shared::Slice(Arc::clone(&bytes)),
            start: start as u32,
            end: at as u32,
        });
    }
}
