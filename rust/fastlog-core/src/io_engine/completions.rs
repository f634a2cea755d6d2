//! Finished work on its way back to the event loop: a queue, and an eventfd that says "look".

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Results waiting to be drained, with a descriptor that is readable while there are any.
///
/// The descriptor is written only when the queue was empty, so a burst of completions costs one system
/// call and wakes the event loop once.
#[derive(Debug)]
pub struct CompletionQueue<T> {
    finished: Mutex<Vec<(u64, T)>>,
    event: File,
}

impl<T> CompletionQueue<T> {
    /// An empty queue with its own eventfd.
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes two plain integers; the result is checked before use.
        let raw = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` is a fresh, open descriptor that nothing else owns.
        let owned = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self {
            finished: Mutex::default(),
            event: File::from(owned),
        })
    }

    /// The descriptor to wait on; it stays open as long as the queue.
    pub fn event_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Adds one result and wakes whoever waits on the descriptor.
    pub fn push(&self, token: u64, result: T) {
        let was_empty = {
            let mut finished = self.lock();
            finished.push((token, result));
            finished.len() == 1
        };
        if was_empty {
            // Fails only when the counter would overflow, and then the descriptor is readable already.
            let _ = (&self.event).write(&1_u64.to_ne_bytes());
        }
    }

    /// Takes every result that is there, in the order in which they finished.
    pub fn drain(&self) -> Vec<(u64, T)> {
        // The counter is cleared before the queue is emptied: a push in between finds a queue that is
        // not empty and does not signal, but is taken right below. The other order would lose it.
        let mut counter = [0_u8; 8];
        let _ = (&self.event).read(&mut counter);
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, T)>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable<T>(queue: &CompletionQueue<T>, timeout_ms: i32) -> bool {
        let mut poll = libc::pollfd {
            fd: queue.event_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid pollfd is passed, with the count 1.
        let ready = unsafe { libc::poll(&raw mut poll, 1, timeout_ms) };
        assert!(ready >= 0);
        ready == 1
    }

    #[test]
    fn descriptor_is_readable_exactly_while_results_wait() {
        let queue = CompletionQueue::new().unwrap();
        assert!(!readable(&queue, 0));
        queue.push(1, 'a');
        queue.push(2, 'b');
        assert!(readable(&queue, 0));
        assert_eq!(queue.drain(), vec![(1, 'a'), (2, 'b')]);
        assert!(!readable(&queue, 0));
        assert_eq!(queue.drain(), vec![]);
        queue.push(3, 'c');
        assert!(readable(&queue, 0));
    }

    #[test]
    fn a_burst_is_signalled_once() {
        let queue = CompletionQueue::new().unwrap();
        for token in 0..100 {
            queue.push(token, ());
        }
        let mut counter = [0_u8; 8];
        assert_eq!((&queue.event).read(&mut counter).unwrap(), 8);
        assert_eq!(u64::from_ne_bytes(counter), 1);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let queue = CompletionQueue::new().unwrap();
        let mut seen = Vec::new();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let queue = &queue;
                scope.spawn(move || (0..500).for_each(|i| queue.push(thread * 500 + i, ())));
            }
            while seen.len() < 2000 {
                assert!(readable(&queue, 10_000), "a wake-up was lost");
                seen.extend(queue.drain().into_iter().map(|(token, ())| token));
            }
        });
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..2000));
    }
}
