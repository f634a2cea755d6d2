//! A limit for bytes per second, shared by threads (Kafka: `Throttler`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest sleep before the stop flags are looked at again.
const SLICE: Duration = Duration::from_millis(20);
/// What may be used at once after a pause, in seconds of the rate.
const BURST_SECONDS: f64 = 0.1;

/// Lets bytes through at a rate. Whoever took more than there was sleeps until the debt is paid off.
#[derive(Debug)]
pub struct Throttle {
    bucket: Mutex<Bucket>,
    changed: Condvar,
    cancelled: AtomicBool,
    taken: AtomicU64,
    slept_nanos: AtomicU64,
}

#[derive(Debug)]
struct Bucket {
    /// Bytes per second; `None` for no limit.
    rate: Option<f64>,
    /// Bytes that may go through now; below zero a debt.
    level: f64,
    filled: Instant,
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        match self.rate {
            Some(rate) => self.level = (self.level + elapsed * rate).min(rate * BURST_SECONDS),
            None => self.level = 0.0,
        }
    }
}

impl Throttle {
    /// A throttle of so many bytes per second; `None` and what is not above 0 stand for no limit.
    pub fn new(bytes_per_second: Option<f64>) -> Self {
        Self {
            bucket: Mutex::new(Bucket {
                rate: sane(bytes_per_second),
                level: 0.0,
                filled: Instant::now(),
            }),
            changed: Condvar::new(),
            cancelled: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            slept_nanos: AtomicU64::new(0),
        }
    }

    /// The limit.
    pub fn bytes_per_second(&self) -> Option<f64> {
        self.lock().rate
    }

    /// Changes the limit, for those who are asleep too.
    pub fn set_rate(&self, bytes_per_second: Option<f64>) {
        let mut bucket = self.lock();
        bucket.fill(Instant::now());
        bucket.rate = sane(bytes_per_second);
        drop(bucket);
        self.changed.notify_all();
    }

    /// Ends everything that uses the throttle.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        // Under the lock, so that nobody goes to sleep between looking at the flag and waiting.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Whether [`Self::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Bytes that went through.
    pub fn bytes_taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Time slept, of all threads together.
    pub fn slept(&self) -> Duration {
        Duration::from_nanos(self.slept_nanos.load(Ordering::Relaxed))
    }

    /// Takes `bytes` that were read or written and sleeps off what is too much, or until `stop` says so or the
    /// throttle is cancelled. Returns the time slept.
    pub fn take(&self, bytes: u64, stop: impl Fn() -> bool) -> Duration {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        let begin = Instant::now();
        let mut bucket = self.lock();
        bucket.fill(begin);
        if bucket.rate.is_none() {
            return Duration::ZERO;
        }
        #[allow(clippy::cast_precision_loss)]
        let bytes = bytes as f64;
        bucket.level -= bytes;
        while let Some(rate) = bucket.rate {
            if bucket.level >= 0.0 || self.is_cancelled() || stop() {
                break;
            }
            let wait =
                Duration::try_from_secs_f64(-bucket.level / rate).map_or(SLICE, |wait| wait.min(SLICE));
            (bucket, _) = self
                .changed
                .wait_timeout(bucket, wait.max(Duration::from_micros(50)))
                .unwrap_or_else(PoisonError::into_inner);
            bucket.fill(Instant::now());
        }
        drop(bucket);
        let slept = begin.elapsed();
        self.slept_nanos
            .fetch_add(slept.as_nanos() as u64, Ordering::Relaxed);
        slept
    }

    fn lock(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sane(rate: Option<f64>) -> Option<f64> {
    rate.filter(|rate| rate.is_finite() && *rate > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_by_all_threads_together() {
        let throttle = Throttle::new(Some(1_000_000.0));
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        throttle.take(10_000, || false);
                    }
                });
            }
        });
        // 200,000 bytes at 1 MB/s, of which at most a tenth of a second's worth goes through at once.
        assert!(
            begin.elapsed() >= Duration::from_millis(95),
            "{:?}",
            begin.elapsed()
        );
        assert_eq!(throttle.bytes_taken(), 200_000);
        assert!(throttle.slept() > Duration::from_millis(50));
    }

    #[test]
    fn no_limit_never_sleeps() {
        for rate in [None, Some(0.0), Some(f64::INFINITY), Some(f64::NAN)] {
            let throttle = Throttle::new(rate);
            assert_eq!(throttle.bytes_per_second(), None);
            assert_eq!(throttle.take(u64::MAX / 2, || false), Duration::ZERO);
        }
    }

    #[test]
    fn sleepers_wake_for_a_new_rate_a_stop_and_the_end() {
        for wake in 0..3 {
            let throttle = Throttle::new(Some(1.0));
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                // A debt of a day.
                scope.spawn(|| throttle.take(86_400, || stop.load(Ordering::Acquire)));
                while throttle.bytes_taken() == 0 {
                    std::thread::yield_now();
                }
                match wake {
                    0 => throttle.set_rate(None),
                    1 => stop.store(true, Ordering::Release),
                    _ => throttle.cancel(),
                }
            });
            assert_eq!(throttle.is_cancelled(), wake == 2);
        }
    }
}
