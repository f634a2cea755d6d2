//! Putting cleaned segments in the place of what they were made from (Kafka: `LocalLog.replaceSegments`).
//!
//! | step | files | after a crash here the next start |
//! |---|---|---|
//! | 1 | `.cleaned`, durable | removes them |
//! | 2 | `.cleaned` renamed to `.swap`, the last segment first; directory synced | removes all as long as one `.cleaned` is there |
//! | 3 | old files renamed to `.deleted`, the oldest first | removes the others that the `.swap` files replace, and does 4 |
//! | 4 | `.swap` renamed to the final names; directory synced | does the rest of it |
//! | 5 | the list of segments changes | |
//! | 6 | `.deleted` files unlinked, `file.delete.delay.ms` later | removes them |
//!
//! From the sync in 2 on the new state is the one that counts. Readers that hold an old segment keep its open
//! files, and its indexes are mapped before their names change.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{PartitionLog, lock};
use crate::cause::Cause;
use crate::env::Directory;
use crate::error::{Error, Result};
use crate::segment::Segment;

/// How often renames are tried again that the system has no memory for, and how long it is given.
const ATTEMPTS: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// What became of cleaned segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swapped {
    /// They are part of the log.
    InPlace,
    /// What they were to replace is gone, all of it: they were removed.
    SourcesGone,
}

impl PartitionLog {
    /// Replaces `sources`, neighbours and pinned, by `cleaned`.
    ///
    /// Fails with [`Error::Aborted`], and changes nothing, when only some of the sources are left, or `stop`
    /// gives a reason.
    pub(super) fn swap_segments(
        &self,
        sources: &[Arc<Segment>],
        cleaned: Vec<Segment>,
        stop: &dyn Fn() -> Option<&'static str>,
    ) -> Result<Swapped> {
        let _layout = lock(&self.layout);
        if let Some(reason) = stop() {
            return Err(Error::Aborted(reason.to_owned()));
        }
        let is_listed = |list: &[Arc<Segment>], source| list.iter().any(|one| Arc::ptr_eq(one, source));
        let list = self.snapshot();
        let left = sources.iter().filter(|source| is_listed(&list, source)).count();
        if left == 0 {
            let bases: Vec<i64> = cleaned.iter().map(Segment::base_offset).collect();
            Segment::remove_cleaned(&self.space, &bases)?;
            return Ok(Swapped::SourcesGone);
        }
        if left < sources.len() {
            return Err(Error::Aborted("retention took some of the segments".to_owned()));
        }
        // Before the first name changes: later nothing may be missing that only has to be waited for.
        let directory = self.space.fs.open_dir(&self.space.dir)?;
        for segment in cleaned.iter().rev() {
            segment.cleaned_to_swap()?;
        }
        // From here on there is no way back: what fails leaves the rest to the next start.
        if let Err(error) = self.finish_swap(&*directory, sources, &cleaned) {
            let reason = format!("segments are half replaced after a compaction: {error}");
            self.fail(reason, error.cause().unwrap_or(Cause::File).max(Cause::File));
            return Err(error);
        }
        self.show_swapped(sources, cleaned);
        self.guard(self.note_txn_indexes(false))?;
        Ok(Swapped::InPlace)
    }

    fn finish_swap(
        &self,
        directory: &dyn Directory,
        sources: &[Arc<Segment>],
        cleaned: &[Segment],
    ) -> Result<()> {
        directory.sync()?;
        for source in sources {
            let has_heir = cleaned
                .iter()
                .any(|segment| segment.base_offset() == source.base_offset());
            self.purge_later(source, patiently(|| source.rename_replaced(has_heir))?);
        }
        for segment in cleaned {
            patiently(|| segment.swap_into_place())?;
        }
        directory.sync()
    }

    /// Lets readers see the new segments.
    fn show_swapped(&self, sources: &[Arc<Segment>], cleaned: Vec<Segment>) {
        // Appends may add a segment at any time: the list is theirs, too.
        let _writer = lock(&self.writer);
        let is_source = |segment: &Arc<Segment>| sources.iter().any(|source| Arc::ptr_eq(source, segment));
        let mut list = self.snapshot().to_vec();
        let at = list.iter().position(is_source).unwrap_or(0);
        list.retain(|segment| !is_source(segment));
        list.splice(at..at, cleaned.into_iter().map(Arc::new));
        self.set_segments(list);
        lock(&self.sealed).retain(|segment| !is_source(segment));
        self.directory_changed.store(true, Ordering::Release);
    }
}

/// Does `step` again for as long as the system has no memory for it; it goes on where it failed.
fn patiently<T>(step: impl Fn() -> Result<T>) -> Result<T> {
    for _ in 0..ATTEMPTS {
        match step() {
            Err(error) if error.passes() => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
    step()
}
