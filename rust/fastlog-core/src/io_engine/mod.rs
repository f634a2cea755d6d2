//! Threads that do the blocking work of the broker: appends, reads and fdatasync, without any interpreter.
//!
//! A job is submitted under a token; its result comes back through one completion queue whose eventfd
//! wakes the event loop. Every accepted token comes back exactly once, also when its job panics or the
//! engine closes. Jobs run in any order: whoever needs order waits for the earlier result.

mod committer;
mod completions;
mod fetch;
#[cfg(test)]
mod job_tests;
mod outcome;
mod pool;
mod produce;
mod response;
#[cfg(test)]
mod response_tests;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use completions::CompletionQueue;
use pool::WorkerPool;

pub use committer::{Committer, Durable};
pub use fetch::{FetchJob, FetchOutcome, FetchRow, FetchedRow};
pub use outcome::{Completion, Failure, Outcome};
pub use pool::Closed;
pub use produce::{ProduceJob, ProduceRowOutcome, ProduceTarget};
pub use response::Response;

/// More disks than this rarely stand behind one broker, and each committer thread is idle most of the time.
const MAX_COMMIT_THREADS: usize = 4;

/// The threads and the queue of their results. Dropping it closes it.
#[derive(Debug)]
pub struct IoEngine {
    completions: Arc<CompletionQueue<Outcome>>,
    workers: WorkerPool,
    committer: Committer,
    files_failed: Arc<AtomicBool>,
}

impl IoEngine {
    /// Starts `threads` workers (at least one) and the threads of the group commit.
    pub fn new(threads: usize) -> io::Result<Self> {
        Ok(Self {
            completions: Arc::new(CompletionQueue::new()?),
            workers: WorkerPool::new("fastlog-io", threads)?,
            committer: Committer::new(threads.clamp(1, MAX_COMMIT_THREADS))?,
            files_failed: Arc::default(),
        })
    }

    /// Runs `job` on a worker; its outcome comes back under `token`.
    pub fn submit(&self, token: u64, job: impl FnOnce() -> Outcome + Send + 'static) -> Result<(), Closed> {
        self.workers.submit(|| {
            let completion = self.completion(token);
            Box::new(move || match catch(job) {
                Ok(outcome) => completion.finish(outcome),
                Err(failure) => completion.finish(Outcome::Failed(failure)),
            })
        })
    }

    /// Sends `response` from position `from` on, as [`Response::send`] does.
    pub fn send(
        &self,
        token: u64,
        socket: Arc<OwnedFd>,
        response: Arc<Response>,
        from: usize,
    ) -> Result<(), Closed> {
        let files_failed = Arc::clone(&self.files_failed);
        self.submit(token, move || match response.send(&socket, from) {
            Ok(position) => Outcome::Sent(position),
            Err(error) => {
                files_failed.store(true, Ordering::Relaxed);
                Outcome::Failed(Failure::from(error))
            }
        })
    }

    /// Whether every file could be sent so far. When not, records are better read into memory first: an
    /// error of the disk then costs its partition an error code and not the connection, again and again.
    pub fn files_can_be_sent(&self) -> bool {
        !self.files_failed.load(Ordering::Relaxed)
    }

    /// Makes the appends of `log` durable together with those of everybody else who waits for it.
    pub fn commit(&self, token: u64, log: Arc<dyn Durable>) -> Result<(), Closed> {
        self.committer.commit(log, || self.completion(token))
    }

    /// Readable while results wait.
    pub fn event_fd(&self) -> RawFd {
        self.completions.event_fd()
    }

    /// Every result that is there, with its token.
    pub fn drain(&self) -> Vec<(u64, Outcome)> {
        self.completions.drain()
    }

    /// Runs what was submitted, then joins the threads. The results can still be drained.
    pub fn close(&self) {
        self.workers.close();
        self.committer.close();
    }

    fn completion(&self, token: u64) -> Completion {
        Completion::new(token, Arc::clone(&self.completions))
    }
}

/// Runs `job`; a panic becomes a failure. What the job shares with others is behind locks that recover
/// from poisoning or report it, so nothing half-done is taken for whole.
fn catch<T>(job: impl FnOnce() -> T) -> Result<T, Failure> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(job))
        .map_err(|panic| Failure::from_panic(panic.as_ref()))
}
