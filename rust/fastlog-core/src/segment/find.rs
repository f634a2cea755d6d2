//! Finds batches in a segment: index first, then a short walk over headers.

use std::path::Path;
use std::sync::Arc;

use super::{Extent, HeaderWalk, Located, Segment};
use crate::env::{FileSystem, OpenMode};
use crate::error::{Error, Result, is_not_found};
use crate::index::OffsetPosition;

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

    /// Like [`Self::end_offset`] for a log file without its indexes.
    pub fn end_of_file(fs: &Arc<dyn FileSystem>, path: &Path, base_offset: i64) -> Result<i64> {
        let file = fs.open(path, OpenMode::Read)?;
        let mut walk = HeaderWalk::new(&*file, 0, file.len()?);
        let mut end = base_offset;
        while let Some(batch) = walk.next(end)? {
            end = batch.header.next_offset();
        }
        Ok(end)
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

    fn index_floor(&self, offset: i64) -> Result<Option<OffsetPosition>> {
        match self.offset_index.floor(offset) {
            // Deleted under a reader that still holds the segment, or cut by somebody else: do without it.
            Err(error) if is_not_found(&error) || matches!(error, Error::Corrupt { .. }) => Ok(None),
            other => other,
        }
    }
}
