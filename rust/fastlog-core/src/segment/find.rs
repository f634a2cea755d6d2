//! Finds batches in a segment: index first, then a short walk over headers.

use super::{Extent, HeaderWalk, Located, OffsetRule, Segment, Verdict, Verifier};
use crate::error::{Error, Result, is_not_found};
use crate::index::OffsetPosition;

/// Where a segment's file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentEnd {
    /// The offset after its last batch.
    pub next_offset: i64,
    /// An offset that the index lists and that the file does not reach.
    pub missing: Option<i64>,
}

impl Segment {
    /// The first batch that ends at or after `offset`, `None` when all of them end before it.
    pub fn find(&self, offset: i64, extent: Extent) -> Result<Option<Located>> {
        let (mut walk, first) = self.walk_from(offset, extent)?;
        let mut next = match first {
            Some(batch) => Some(batch),
            None => walk.next(self.base_offset)?,
        };
        while let Some(batch) = next {
            if batch.header.last_offset() >= offset {
                return Ok(Some(batch));
            }
            next = walk.next(batch.header.next_offset())?;
        }
        Ok(None)
    }

    /// The position up to which everything is below `limit`, a boundary at or after the end of `first`, which
    /// is below it. Not exact beyond `enough`: any boundary from there on will do.
    pub fn end_below(&self, limit: i64, first: Located, enough: u64, extent: Extent) -> Result<u64> {
        let (mut walk, start) = match self.walk_from(limit - 1, extent)? {
            (walk, Some(start)) if start.position > first.position => (walk, start),
            _ => (HeaderWalk::new(&*self.log, first.end(), extent.size), first),
        };
        let mut next = Some(start);
        let mut end = start.position;
        while let Some(batch) = next {
            if end >= enough || batch.header.next_offset() > limit {
                break;
            }
            end = batch.end();
            next = walk.next(batch.header.next_offset())?;
        }
        Ok(end)
    }

    /// The offset after the last batch of the first `size` bytes; the base offset when there is none.
    ///
    /// Reads what follows the last index entry only.
    pub fn end_offset(&self, size: u64) -> Result<i64> {
        let extent = Extent {
            next_offset: i64::MAX,
            size,
        };
        let (mut walk, first) = self.walk_from(i64::MAX, extent)?;
        let mut end = first.map_or(self.base_offset, |batch| batch.header.next_offset());
        while let Some(batch) = walk.next(end)? {
            end = batch.header.next_offset();
        }
        Ok(end)
    }

    /// Where the first `size` bytes end, as far as a look at what follows the last index entry tells, and whether the
    /// index lists a batch behind that: then the end of the file is missing.
    ///
    /// Maps nothing: a start looks at the ends of thousands of segments. Fails with [`Error::Corrupt`] when the
    /// bytes there are no batches.
    pub fn look_at_end(&self, size: u64) -> Result<SegmentEnd> {
        let listed = self.offset_index.last()?;
        let mut end = self.base_offset;
        let mut walk = HeaderWalk::new(&*self.log, 0, size);
        if let Some(entry) = listed
            && u64::from(entry.position) < size
        {
            let mut from_entry = HeaderWalk::new(&*self.log, entry.position.into(), size);
            match from_entry.next(self.base_offset) {
                Ok(Some(batch)) if batch.header.last_offset() == entry.offset => {
                    end = batch.header.next_offset();
                    walk = from_entry;
                }
                Ok(_) | Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        while let Some(batch) = walk.next(end)? {
            end = batch.header.next_offset();
        }
        // Both columns have to say so: one of them may be damaged itself.
        let missing = listed.filter(|entry| entry.offset >= end && u64::from(entry.position) >= size);
        Ok(SegmentEnd {
            next_offset: end,
            missing: missing.map(|entry| entry.offset),
        })
    }

    /// Whether a sound batch in the first `size` bytes holds `offset`, or comes after it.
    pub fn holds_sound(&self, offset: i64, size: u64) -> Result<bool> {
        let extent = Extent {
            next_offset: i64::MAX,
            size,
        };
        let found = match self.find(offset, extent) {
            Err(Error::Corrupt { .. }) => return Ok(false),
            found => found?,
        };
        let Some(Located { header, position }) = found else {
            return Ok(false);
        };
        let rule = OffsetRule {
            holes_below: i64::MAX,
            limit: i64::MAX,
        };
        let verdict = Verifier::new(&*self.log, position, size, rule).next(header.base_offset, -1)?;
        Ok(matches!(verdict, Verdict::Batch(_)))
    }

    /// A walk from the index entry at or below `offset`, together with the batch at that entry, or a walk from
    /// the start of the segment.
    ///
    /// An entry is believed only when a batch stands there that starts no later than the entry says: then
    /// everything before it is below `offset`, whatever else may be wrong with the index.
    fn walk_from(&self, offset: i64, extent: Extent) -> Result<(HeaderWalk<'_>, Option<Located>)> {
        if let Some(entry) = self.index_floor(offset)?
            && u64::from(entry.position) < extent.size
        {
            let mut walk = HeaderWalk::new(&*self.log, entry.position.into(), extent.size);
            match walk.next(self.base_offset) {
                Ok(Some(batch)) if batch.header.base_offset <= entry.offset => {
                    return Ok((walk, Some(batch)));
                }
                Ok(_) | Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((HeaderWalk::new(&*self.log, 0, extent.size), None))
    }

    pub(super) fn index_floor(&self, offset: i64) -> Result<Option<OffsetPosition>> {
        match self.offset_index.floor(offset) {
            // Deleted under a reader that still holds the segment, or cut by somebody else: do without it.
            Err(error) if is_not_found(&error) || matches!(error, Error::Corrupt { .. }) => Ok(None),
            other => other,
        }
    }
}
