//! Wall-clock time as a parameter: logic never asks the operating system by itself.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Source of wall-clock time in milliseconds since the Unix epoch.
pub trait Clock: Debug + Send + Sync {
    /// Now, in milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;
}

/// The operating system's wall clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        // A clock set before 1970 reads as 0: every user of it compares against record timestamps >= 0.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_millis() as i64)
    }
}

/// The operating system's wall clock, ahead by as many milliseconds as its owner says.
#[derive(Debug, Default, Clone)]
pub struct AheadClock(pub Arc<AtomicI64>);

impl Clock for AheadClock {
    fn now_ms(&self) -> i64 {
        SystemClock
            .now_ms()
            .saturating_add(self.0.load(Ordering::Relaxed))
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that reads `now_ms`.
    pub fn new(now_ms: i64) -> Self {
        Self(AtomicI64::new(now_ms))
    }

    /// Moves the clock by `delta_ms`, which may be negative.
    pub fn advance(&self, delta_ms: i64) {
        self.0.fetch_add(delta_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_follows_its_owner() {
        let ahead = Arc::new(AtomicI64::new(1000));
        let clock = AheadClock(Arc::clone(&ahead));
        let before = SystemClock.now_ms();
        assert!(clock.now_ms() >= before + 1000);
        ahead.store(86_400_000, Ordering::Relaxed);
        let now = clock.now_ms();
        assert!(now >= before + 86_400_000 && now < before + 86_460_000);
    }
}
