//! Buffers of large frames that nobody has any more, for the next ones of the same connection.
//!
//! A consumer gets answers of some MiB, one after the other. Fresh memory for each costs more than to receive
//! it: the kernel clears every page, and faults on every one of them.

use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that are kept: one frame is on its way while another is read.
const MOST_BUFFERS: usize = 2;
/// Most bytes that they have together.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// The buffers of one connection.
#[derive(Debug, Default)]
pub(super) struct FramePool {
    spare: Mutex<Vec<Vec<u8>>>,
}

impl FramePool {
    /// A buffer for `size` bytes: the smallest that has them, else the largest, else an empty one. All its bytes
    /// are initialized, as those of some earlier frame.
    pub fn take(&self, size: usize) -> Vec<u8> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let best = (0..spare.len()).min_by_key(|at| {
            let len = spare[*at].len();
            if len >= size { len } else { usize::MAX - len }
        });
        best.map_or_else(Vec::new, |at| spare.swap_remove(at))
    }

    fn give(&self, buffer: Vec<u8>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: usize = spare.iter().map(Vec::capacity).sum();
        if spare.len() < MOST_BUFFERS && kept + buffer.capacity() <= MOST_BYTES {
            spare.push(buffer);
        }
    }
}

/// The bytes of a frame; the last who has them gives them back to their pool, if they have one.
#[derive(Debug)]
pub(super) struct Pooled {
    bytes: Vec<u8>,
    pool: Option<Arc<FramePool>>,
}

impl Pooled {
    pub fn new(bytes: Vec<u8>, pool: Option<Arc<FramePool>>) -> Self {
        Self { bytes, pool }
    }

    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give(std::mem::take(&mut self.bytes));
        }
    }
}
