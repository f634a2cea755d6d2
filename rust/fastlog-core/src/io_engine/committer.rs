//! Group commit: one fdatasync makes every append durable that was waiting for it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::catch;
use super::outcome::{Completion, Failure, Outcome};
use super::pool::{Closed, Job, Requeue, WorkerPool};
use crate::error::Result;
use crate::log::PartitionLog;

/// Something with unflushed appends.
pub trait Durable: Send + Sync {
    /// Makes all that was appended before the call durable; returns the end offset of it.
    fn commit(&self) -> Result<i64>;
}

impl Durable for PartitionLog {
    fn commit(&self) -> Result<i64> {
        self.flush(None)
    }
}

struct Group {
    log: Arc<dyn Durable>,
    waiting: Vec<Completion>,
}

type Groups = Arc<Mutex<HashMap<usize, Group>>>;

/// Threads of their own for fdatasync, so that a slow disk does not keep reads and appends waiting.
///
/// At most one sync per log is under way. A commit that arrives meanwhile waits for the *next* sync (its
/// data may have been written after the current one began), together with all others that arrive.
pub struct Committer {
    groups: Groups,
    pool: WorkerPool,
}

impl Committer {
    /// Starts `threads` threads: that many different logs are synced at the same time.
    pub fn new(threads: usize) -> io::Result<Self> {
        Ok(Self {
            groups: Groups::default(),
            pool: WorkerPool::new("fastlog-commit", threads)?,
        })
    }

    /// Completes with the durable end offset of `log`. `make` is not called on a closed committer.
    pub fn commit(&self, log: Arc<dyn Durable>, make: impl FnOnce() -> Completion) -> Result<(), Closed> {
        // The address is a good key: the group itself keeps the log alive.
        let key = Arc::as_ptr(&log).cast::<()>() as usize;
        let mut groups = lock(&self.groups);
        if let Some(group) = groups.get_mut(&key) {
            group.waiting.push(make());
            return Ok(());
        }
        self.pool
            .submit(|| sync_job(Arc::clone(&self.groups), key, self.pool.requeue()))?;
        groups.insert(
            key,
            Group {
                log,
                waiting: vec![make()],
            },
        );
        Ok(())
    }

    /// Serves every waiting commit, then joins the threads.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// One sync for all that wait on `key`. The group stays in the map until nobody waits any more: that is
/// what tells a newcomer that a job exists.
fn sync_job(groups: Groups, key: usize, requeue: Requeue) -> Job {
    Box::new(move || {
        let taken = lock(&groups)
            .get_mut(&key)
            .map(|group| (Arc::clone(&group.log), std::mem::take(&mut group.waiting)));
        let Some((log, waiting)) = taken else { return };
        let result = catch(|| log.commit()).and_then(|synced| synced.map_err(Failure::from));
        for completion in waiting {
            completion.finish(match &result {
                Ok(offset) => Outcome::Offset(*offset),
                Err(failure) => Outcome::Failed(failure.clone()),
            });
        }
        let mut guard = lock(&groups);
        if guard.get(&key).is_some_and(|group| group.waiting.is_empty()) {
            let finished = guard.remove(&key);
            drop(guard);
            // The last handle of a log may be this one: closing its files needs no lock of ours.
            drop(finished);
        } else {
            drop(guard);
            // To the back of the queue, so that busy logs take turns.
            let again = sync_job(Arc::clone(&groups), key, requeue.clone());
            requeue.push(again);
        }
    })
}

fn lock(groups: &Groups) -> MutexGuard<'_, HashMap<usize, Group>> {
    groups.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}
