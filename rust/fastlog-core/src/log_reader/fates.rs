//! What became of transactions, by the markers in the log itself: for readers of committed records alone.
//!
//! The indexes of aborted transactions are not asked: they have no checksum, and their files change beside ours.

use std::collections::HashMap;

use super::source::{Piece, Source, header_at};
use crate::batch::{BatchHeader, BatchView, ControlKind, control_marker, read_records};
use crate::compression::DecompressionLimit;
use crate::error::{Error, Result};
use crate::txn_index::AbortedTxn;

/// Transactions from one offset on, as far as the log was looked through.
#[derive(Debug)]
pub(super) struct Fates {
    pub source: Source,
    /// From where on aborted transactions are known.
    pub from: i64,
    /// Up to where.
    to: i64,
    /// First offset, at least `from`, of each producer's transaction that has no marker below `to`.
    open: HashMap<i64, i64>,
    /// In the order of their markers.
    aborted: Vec<AbortedTxn>,
}

impl Fates {
    pub fn new(source: Source) -> Self {
        Self {
            source,
            from: 0,
            to: 0,
            open: HashMap::new(),
            aborted: Vec::new(),
        }
    }

    /// Looks through the log up to `limit`; gives the offset up to which every transaction from `position` on has
    /// ended.
    pub fn settle(&mut self, position: i64, limit: i64) -> Result<i64> {
        if position < self.from || position > self.to || limit < self.to {
            self.from = position;
            self.to = position;
            self.open.clear();
            self.aborted.clear();
        }
        self.aborted.retain(|txn| txn.last_offset >= position);
        self.from = position;
        while self.to < limit {
            match self.source.fill(self.to, limit)? {
                Piece::Batches(next) => {
                    self.take_note()?;
                    self.to = next.min(limit);
                    self.source.advance_to(self.to);
                }
                Piece::Hole => self.to = limit,
                Piece::Damage(damage) if damage.next_offset > self.to => {
                    self.to = damage.next_offset.min(limit);
                }
                Piece::Damage(_) | Piece::Nothing => break,
            }
        }
        Ok(self.open.values().copied().min().unwrap_or(self.to).min(self.to))
    }

    /// The aborted transactions that end at or after `position`.
    pub fn aborted(&self, position: i64) -> Vec<AbortedTxn> {
        let ended = self.aborted.iter().filter(|txn| txn.last_offset >= position);
        ended.copied().collect()
    }

    fn take_note(&mut self) -> Result<()> {
        let bytes = self.source.bytes();
        let mut at = 0;
        while let Some(header) = header_at(bytes, at) {
            let batch = &bytes[at..(at + header.size()).min(bytes.len())];
            at += header.size();
            if header.last_offset() < self.to || !header.is_transactional() {
                continue;
            }
            if !header.is_control() {
                self.open
                    .entry(header.producer_id)
                    .or_insert(header.base_offset.max(self.to));
                continue;
            }
            let Some(kind) = marker_of(&header, batch)? else {
                continue;
            };
            let first = self.open.remove(&header.producer_id);
            if let (ControlKind::Abort, Some(first_offset)) = (kind, first) {
                self.aborted.push(AbortedTxn {
                    producer_id: header.producer_id,
                    first_offset,
                    last_offset: header.last_offset(),
                    last_stable_offset: -1,
                });
            }
        }
        Ok(())
    }
}

/// What a marker says. One that is damaged would hold everything behind it back, and nobody would know why.
fn marker_of(header: &BatchHeader, batch: &[u8]) -> Result<Option<ControlKind>> {
    let offset = header.base_offset;
    let view = BatchView::first(batch)?;
    if !view.crc_is_valid() {
        return Err(Error::Malformed(format!(
            "the transaction marker at offset {offset} fails its checksum"
        )));
    }
    let records = read_records(batch, DecompressionLimit::default())?;
    for record in &records {
        let record = record?;
        if let Some(marker) = control_marker(record.key, record.value) {
            return Ok(Some(marker.kind));
        }
    }
    Ok(None)
}
