//! A fixed set of threads that run boxed jobs in the order in which they came.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Work for a thread of the pool. A panic in it is caught and costs no thread.
pub type Job = Box<dyn FnOnce() + Send>;

/// Answer to work offered to a pool that was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
}

/// The threads and their queue. Dropping it closes it.
pub struct WorkerPool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Puts a follow-up job in the queue of the pool that runs the current one.
#[derive(Clone)]
pub struct Requeue(Arc<Shared>);

impl WorkerPool {
    /// Starts `threads` threads (at least one) whose names begin with `name`.
    pub fn new(name: &str, threads: usize) -> io::Result<Self> {
        let queue = Mutex::new(Queue {
            jobs: VecDeque::new(),
            closed: false,
        });
        let pool = Self {
            shared: Arc::new(Shared {
                queue,
                ready: Condvar::new(),
            }),
            threads: Mutex::default(),
        };
        for index in 0..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new()
                .name(format!("{name}-{index}"))
                .spawn(move || shared.work())?;
            pool.threads().push(thread);
        }
        Ok(pool)
    }

    /// Queues the job that `make` returns; `make` is not called on a closed pool.
    pub fn submit(&self, make: impl FnOnce() -> Job) -> Result<(), Closed> {
        let mut queue = self.shared.lock();
        if queue.closed {
            return Err(Closed);
        }
        queue.jobs.push_back(make());
        drop(queue);
        self.shared.ready.notify_one();
        Ok(())
    }

    /// A handle for jobs that have to run again.
    pub fn requeue(&self) -> Requeue {
        Requeue(Arc::clone(&self.shared))
    }

    /// Takes no more jobs, runs those that are queued and joins the threads. Closing twice is harmless.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.ready.notify_all();
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            // A thread ends only by finding the queue closed and empty: it catches what jobs throw.
            let _ = thread.join();
        }
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Requeue {
    /// Queues `job` even on a closing pool. Call it only from a job of that pool: the thread that runs
    /// the caller looks at the queue again before it ends, so the new job is sure to run.
    pub fn push(&self, job: Job) {
        self.0.lock().jobs.push_back(job);
        self.0.ready.notify_one();
    }
}

impl Shared {
    fn work(&self) {
        loop {
            let mut queue = self.lock();
            let job = loop {
                if let Some(job) = queue.jobs.pop_front() {
                    break job;
                }
                if queue.closed {
                    return;
                }
                queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            drop(queue);
            // The job's own state is dropped by the unwinding; what it shares is behind locks that
            // recover from poisoning or report it.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.shared.lock();
        f.debug_struct("WorkerPool")
            .field("queued", &queue.jobs.len())
            .field("closed", &queue.closed)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Requeue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requeue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn close_runs_what_is_queued_and_refuses_the_rest() {
        let pool = WorkerPool::new("test", 2).unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..500 {
            let ran = Arc::clone(&ran);
            pool.submit(|| {
                Box::new(move || {
                    ran.fetch_add(1, Ordering::SeqCst);
                })
            })
            .unwrap();
        }
        pool.close();
        assert_eq!(ran.load(Ordering::SeqCst), 500);
        assert_eq!(
            pool.submit(|| unreachable!("a closed pool makes no job")),
            Err(Closed)
        );
        pool.close();
    }

    #[test]
    fn a_panic_costs_no_thread() {
        let pool = WorkerPool::new("test", 1).unwrap();
        for _ in 0..3 {
            pool.submit(|| Box::new(|| std::panic::resume_unwind(Box::new("thrown on purpose"))))
                .unwrap();
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        pool.submit(|| Box::new(move || sender.send(()).unwrap()))
            .unwrap();
        receiver.recv().unwrap();
    }

    #[test]
    fn requeued_jobs_run_although_the_pool_closes() {
        fn chain(left: usize, requeue: Requeue, ran: Arc<AtomicUsize>) -> Job {
            Box::new(move || {
                ran.fetch_add(1, Ordering::SeqCst);
                if left > 0 {
                    let again = requeue.clone();
                    requeue.push(chain(left - 1, again, ran));
                }
            })
        }
        let pool = WorkerPool::new("test", 2).unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        pool.submit(|| chain(50, pool.requeue(), Arc::clone(&ran)))
            .unwrap();
        pool.close();
        assert_eq!(ran.load(Ordering::SeqCst), 51);
    }
}
