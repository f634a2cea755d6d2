//! What is settled about partitions: Python decides once per change, and Produce requests about which nothing is left
//! to decide are executed here, on the thread that received them.
//!
//! An entry says of one partition that everybody who may be handed to this table may write to it, in which log and
//! epoch, and whose acknowledgement that takes. It counts for as long as the [`Generation`] of the partition is the
//! one in which it was decided. Without an entry that counts, and for whatever else has to be decided, looked up or
//! waited for, a request is left alone: nothing of it has been done.

mod patience;
mod produce;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::log::PartitionLog;

use patience::Patience;
pub use produce::Served;

/// So long after the last append through an entry the end of the log is taken to be in memory still: to write behind
/// a part of a page that is not may be to read it first.
const WARM: Duration = Duration::from_secs(10);
/// Entries below which nobody looks for those that do not count any more.
const FEW: usize = 64;

/// A number that changes with all that is decided about a partition. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Generation(Arc<AtomicU64>);

impl Generation {
    /// The number now.
    pub fn number(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// What was decided before does not count any more.
    pub fn change(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// What is settled about one partition.
#[derive(Debug, Clone)]
pub struct Entry<T> {
    /// Where records go.
    pub log: Arc<PartitionLog>,
    /// As the leader of this epoch.
    pub leader_epoch: i32,
    /// Whether what is in the log is acknowledged for acks=all, too: nobody else is waited for.
    pub acks_all: bool,
    /// Whoever is told how far the log reaches after an append.
    pub owner: T,
    /// Of the partition.
    pub generation: Generation,
    /// The number that it had when this was decided.
    pub decided_in: u64,
}

#[derive(Debug)]
struct Kept<T> {
    entry: Entry<T>,
    used: Instant,
}

impl<T> Kept<T> {
    fn counts(&self) -> bool {
        self.entry.generation.number() == self.entry.decided_in
    }
}

/// The entries of one broker, by topic and partition.
#[derive(Debug)]
pub struct SettledTable<T> {
    topics: HashMap<Box<[u8]>, HashMap<i32, Kept<T>>>,
    len: usize,
    /// With so many entries those that do not count any more are dropped.
    sweep_at: usize,
    patience: Patience,
}

impl<T> Default for SettledTable<T> {
    fn default() -> Self {
        Self {
            topics: HashMap::new(),
            len: 0,
            sweep_at: FEW,
            patience: Patience::default(),
        }
    }
}

impl<T> SettledTable<T> {
    /// How many entries there are, those included that do not count any more.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is an entry that counts, also one that has not been used for long.
    pub fn has(&self, topic: &str, partition: i32) -> bool {
        let kept = self
            .topics
            .get(topic.as_bytes())
            .and_then(|kept| kept.get(&partition));
        kept.is_some_and(Kept::counts)
    }

    /// Puts an entry in, in place of the former one: it was just used the other way.
    pub fn enter(&mut self, topic: &str, partition: i32, entry: Entry<T>) {
        if self.len >= self.sweep_at {
            self.sweep();
        }
        let used = Instant::now();
        let partitions = match self.topics.get_mut(topic.as_bytes()) {
            Some(partitions) => partitions,
            None => self.topics.entry(topic.as_bytes().into()).or_default(),
        };
        if partitions.insert(partition, Kept { entry, used }).is_none() {
            self.len += 1;
        }
    }

    /// Takes the entry of a partition out, with all that it holds.
    pub fn withdraw(&mut self, topic: &str, partition: i32) {
        if let Some(partitions) = self.topics.get_mut(topic.as_bytes()) {
            if partitions.remove(&partition).is_some() {
                self.len -= 1;
            }
            if partitions.is_empty() {
                self.topics.remove(topic.as_bytes());
            }
        }
    }

    /// Drops what does not count any more: at most as many entries are left as twice those that count.
    fn sweep(&mut self) {
        self.topics.retain(|_, partitions| {
            partitions.retain(|_, kept| kept.counts());
            !partitions.is_empty()
        });
        self.len = self.topics.values().map(HashMap::len).sum();
        self.sweep_at = (2 * self.len).max(FEW);
    }

    /// The entry of a partition, if it counts and its log was written to not long ago.
    fn find(&mut self, topic: &[u8], partition: i32, now: Instant) -> Option<&mut Kept<T>> {
        let kept = self.topics.get_mut(topic)?.get_mut(&partition)?;
        (kept.counts() && now.saturating_duration_since(kept.used) < WARM).then_some(kept)
    }
}
