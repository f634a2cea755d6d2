//! Whether a thread that must not wait has had to wait for a disk.
//!
//! A write into the page cache waits when too much of that is yet to be written out, or when a page has to be read
//! first. A thread that waits gives its processor up by itself, which the system counts; one that is only held up by
//! others on a busy machine does not. The count is asked for when something has taken long not long ago.

use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

/// What takes longer is suspicious.
const SLOW: Duration = Duration::from_millis(5);
/// For so long after it the system is asked.
const WATCH: Duration = Duration::from_secs(10);
/// Shorter waits are as good as none.
const SHORT: Duration = Duration::from_millis(1);
/// For so long after a wait nothing is done that might wait again.
const REST: Duration = Duration::from_secs(1);

/// Of the one thread that writes.
#[derive(Debug, Default)]
pub(super) struct Patience {
    watches_until: Option<Instant>,
    rests_until: Option<Instant>,
}

impl Patience {
    /// Whether nothing that might wait is to be done now.
    pub fn rests(&mut self, now: Instant) -> bool {
        let rests = is_before(now, self.rests_until);
        if !rests {
            self.rests_until = None;
        }
        rests
    }

    /// To be called before something that might wait: what `end` is to be given.
    pub fn begin(&mut self, now: Instant) -> Option<i64> {
        is_before(now, self.watches_until).then(voluntary_switches)
    }

    /// It took from `began` until `now`.
    pub fn end(&mut self, began: Instant, now: Instant, switches: Option<i64>) {
        let spent = now.saturating_duration_since(began);
        if spent > SLOW {
            self.watches_until = Some(now + WATCH);
        }
        if spent > SHORT && switches.is_some_and(|before| before != voluntary_switches()) {
            self.rests_until = Some(now + REST);
        }
    }
}

fn is_before(now: Instant, end: Option<Instant>) -> bool {
    end.is_some_and(|end| now < end)
}

/// How often this thread has given up its processor by itself.
fn voluntary_switches() -> i64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call writes a `rusage` to the place that it is given, which is large enough for one; of all zeros it
    // is valid also when nothing was written.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    usage.ru_nvcsw
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    fn spin(time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    fn pass(patience: &mut Patience, work: impl FnOnce()) {
        let began = Instant::now();
        let switches = patience.begin(began);
        work();
        patience.end(began, Instant::now(), switches);
    }

    #[test]
    fn the_second_wait_is_noticed() {
        let mut patience = Patience::default();
        let wait = || sleep(2 * SLOW);
        pass(&mut patience, wait);
        assert!(
            !patience.rests(Instant::now()),
            "it may have been held up by others"
        );
        pass(&mut patience, wait);
        let now = Instant::now();
        assert!(patience.rests(now));
        assert!(patience.rests(now + REST / 2));
        assert!(!patience.rests(now + REST));
    }

    #[test]
    fn work_is_no_wait() {
        let mut patience = Patience::default();
        for _ in 0..3 {
            pass(&mut patience, || spin(2 * SLOW));
            assert!(!patience.rests(Instant::now()));
        }
    }

    #[test]
    fn nobody_asks_when_nothing_is_suspicious() {
        let mut patience = Patience::default();
        pass(&mut patience, || sleep(Duration::from_micros(10)));
        let now = Instant::now();
        assert_eq!(patience.begin(now), None);
        pass(&mut patience, || sleep(2 * SLOW));
        let now = Instant::now();
        assert!(patience.begin(now).is_some());
        assert_eq!(patience.begin(now + WATCH), None);
    }
}
