//! Rebuilding the producer state: the newest snapshot, then the headers of the batches after it.
//!
//! A snapshot has the last batch of each producer, and a producer has up to five of them under way: what was appended
//! and not acknowledged when the broker stopped comes again. Kafka takes all but the last of these for a gap, upon
//! which clients give up. Here the batches shortly before the snapshot are looked at, too.

use std::sync::Arc;

use super::append::marker_of;
use super::segments::holding;
use super::stability::Stability;
use crate::batch::ControlMarker;
use crate::error::Result;
use crate::producer_state::ProducerState;
use crate::segment::{HeaderWalk, Located, Segment, SegmentSpace};

/// A control batch larger than this holds no transaction marker.
const MAX_MARKER_BATCH: usize = 64 << 10;

/// How many bytes before a snapshot are looked at: what some producers have under way, and not so much that a broker of
/// many partitions starts later for it.
const REACH: u64 = 128 << 10;
/// Of how many records these are at most.
const RECORDS: i64 = 4096;

/// The state of all producers at some offset.
#[derive(Debug)]
pub(super) struct Replayed {
    pub producers: ProducerState,
    pub stability: Stability,
}

/// The producer state just before `end`. The segments must be published, and sound up to `end`.
pub(super) fn replay(
    space: &SegmentSpace,
    segments: &[Arc<Segment>],
    end: i64,
    expiration_ms: i64,
) -> Result<Replayed> {
    let (mut producers, from) = ProducerState::load_latest(&*space.fs, &space.dir, end, expiration_ms)?;
    if !producers.is_empty() {
        // Without it there are fewer duplicates that are known as such.
        let _ = recall(segments, from, &mut producers);
    }
    let mut stability = Stability::of(&producers);
    each_batch(segments, from, end, |segment, batch| {
        if batch.header.has_producer() && batch.header.base_offset >= from {
            let marker = read_marker(segment, batch)?;
            producers.make_room(1)?;
            let completed = producers.record(&batch.header, marker);
            stability.note(&batch.header, completed.as_ref());
        }
        Ok(true)
    })?;
    Ok(Replayed { producers, stability })
}

/// Adds the batches shortly before `offset` to the state just before it, which has the last ones.
fn recall(segments: &[Arc<Segment>], offset: i64, producers: &mut ProducerState) -> Result<()> {
    let Some(index) = holding(segments, offset - 1) else {
        return Ok(());
    };
    let segment = &segments[index];
    let extent = segment.extent();
    let end = segment
        .find(offset, extent)?
        .map_or(extent.size, |batch| batch.position);
    let mut back = RECORDS;
    let mut expected = (offset - back).max(segment.base_offset());
    while back > 0 {
        let Some(first) = segment.find(expected, extent)? else {
            return Ok(());
        };
        if end.saturating_sub(first.position) <= REACH {
            let mut walk = HeaderWalk::new(&**segment.log(), first.position, end);
            expected = first.header.base_offset;
            while let Some(batch) = walk.next(expected)? {
                expected = batch.header.next_offset();
                producers.recall(&batch.header);
            }
            return Ok(());
        }
        back /= 4;
        expected = (offset - back).max(segment.base_offset());
    }
    Ok(())
}

/// Visits the whole batches below `end`, from the one that holds `from` on, until told not to go on.
pub(super) fn each_batch(
    segments: &[Arc<Segment>],
    from: i64,
    end: i64,
    mut visit: impl FnMut(&Segment, &Located) -> Result<bool>,
) -> Result<()> {
    for segment in &segments[holding(segments, from).unwrap_or(0)..] {
        if segment.base_offset() >= end {
            break;
        }
        let extent = segment.extent();
        let Some(first) = segment.find(from, extent)? else {
            continue;
        };
        let mut walk = HeaderWalk::new(&**segment.log(), first.position, extent.size);
        let mut expected = segment.base_offset();
        while let Some(batch) = walk.next(expected)? {
            if batch.header.next_offset() > end {
                break;
            }
            expected = batch.header.next_offset();
            if !visit(segment, &batch)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The transaction marker of a control batch on disk.
pub(super) fn read_marker(segment: &Segment, batch: &Located) -> Result<Option<ControlMarker>> {
    if !batch.header.is_control() || batch.header.size() > MAX_MARKER_BATCH {
        return Ok(None);
    }
    let mut bytes = vec![0; batch.header.size()];
    segment.log().read_exact_at(&mut bytes, batch.position)?;
    Ok(marker_of(&bytes, &batch.header))
}
