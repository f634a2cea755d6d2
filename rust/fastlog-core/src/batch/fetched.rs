//! The records of one partition in the answer to a fetch, as a consumer may see them.
//!
//! An answer holds whole batches, of which the first may start below the asked offset and the last may be cut
//! off. Control batches are markers of transactions, not records. With `read_committed` the answer lists
//! aborted transactions as (producer id, first offset): from that offset on the producer's transactional
//! batches are skipped, up to its next marker.

use std::collections::HashSet;
use std::ops::Range;

use crate::batch::header::{BatchHeader, HEADER_SIZE, MAGIC_V2, TimestampType};
use crate::batch::reader::RecordRef;
use crate::batch::record::{SMALLEST_RECORD, split_record};
use crate::batch::view::BatchView;
use crate::compression::{Codec, DecompressionLimit, decompress};
use crate::txn_index::AbortedTxn;

/// A batch that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchDamage {
    /// Its first offset.
    pub offset: i64,
    /// Where the following batch should start.
    pub next_offset: i64,
    /// What is wrong.
    pub reason: String,
}

/// Where the reading of an answer stands. The bytes are lent to each call, always the same ones.
#[derive(Debug)]
pub struct FetchedRecords {
    at: usize,
    position: i64,
    until: i64,
    leader_epoch: i32,
    /// Aborted transactions that have not begun yet, the first one last.
    pending: Vec<AbortedTxn>,
    skipping: HashSet<i64>,
    current: Option<Current>,
    damage: Option<FetchDamage>,
    ended: bool,
    limit: DecompressionLimit,
}

/// The batch that is being read.
#[derive(Debug)]
struct Current {
    header: BatchHeader,
    /// Its records, where they were compressed.
    plain: Option<Vec<u8>>,
    /// Where its records are otherwise.
    body: Range<usize>,
    at: usize,
    left: u32,
}

impl FetchedRecords {
    /// Reads from offset `position` on, up to `until` (exclusive). `aborted` is the answer's list.
    pub fn new(position: i64, until: i64, mut aborted: Vec<AbortedTxn>, limit: DecompressionLimit) -> Self {
        aborted.sort_by_key(|txn| std::cmp::Reverse(txn.first_offset));
        Self {
            at: 0,
            position,
            until,
            leader_epoch: -1,
            pending: aborted,
            skipping: HashSet::new(),
            current: None,
            damage: None,
            ended: false,
            limit,
        }
    }

    /// The offset to go on from, behind all that was skipped.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The leader epoch of the last batch that was looked at, -1 before the first.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// The batch that ended the reading, if it was one.
    pub fn damage(&self) -> Option<&FetchDamage> {
        self.damage.as_ref()
    }

    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// Whether there is a batch to hand records out of; what comes before it is passed over.
    pub fn has_records(&mut self, bytes: &[u8]) -> bool {
        if self.current.is_none() && !self.ended {
            self.current = self.open(bytes);
        }
        self.current.is_some()
    }

    /// Hands out at most `most` records in order, and returns how many.
    pub fn visit(
        &mut self,
        bytes: &[u8],
        most: usize,
        mut each: impl FnMut(&BatchHeader, RecordRef<'_>),
    ) -> usize {
        let mut taken = 0;
        while taken < most && self.has_records(bytes) {
            taken += self.visit_batch(bytes, most - taken, |header, record| {
                each(header, record);
                true
            });
        }
        taken
    }

    /// The same for the batch alone that [`Self::has_records`] has found; ends after a record for which `each`
    /// says false. Records before the position are passed over, so there may be none.
    pub fn visit_batch(
        &mut self,
        bytes: &[u8],
        most: usize,
        mut each: impl FnMut(&BatchHeader, RecordRef<'_>) -> bool,
    ) -> usize {
        let Some(mut current) = self.current.take() else {
            return 0;
        };
        let taken = self.read(bytes, &mut current, most, &mut each);
        if self.ended {
            return taken;
        }
        if current.left > 0 {
            self.current = Some(current);
            return taken;
        }
        self.position = self.position.max(current.header.next_offset());
        self.ended = !self.has_more(bytes);
        taken
    }

    /// Of the batch that [`Self::has_records`] has found: how many records are left at most, and in how many bytes.
    pub fn ahead(&self) -> Option<(usize, usize)> {
        let current = self.current.as_ref()?;
        let bytes = current.plain.as_ref().map_or(current.body.len(), Vec::len) - current.at;
        Some(((current.left as usize).min(bytes / SMALLEST_RECORD), bytes))
    }

    /// The header of that batch.
    pub fn current_header(&self) -> Option<&BatchHeader> {
        self.current.as_ref().map(|current| &current.header)
    }

    fn read(
        &mut self,
        bytes: &[u8],
        current: &mut Current,
        most: usize,
        each: &mut impl FnMut(&BatchHeader, RecordRef<'_>) -> bool,
    ) -> usize {
        let header = current.header;
        let buffer = current
            .plain
            .as_deref()
            .unwrap_or_else(|| &bytes[current.body.clone()]);
        let append_time = header.timestamp_type() == TimestampType::LogAppendTime;
        let mut taken = 0;
        while taken < most && current.left > 0 {
            let (record, rest) = match split_record(&buffer[current.at..]) {
                Ok(found) => found,
                Err(reason) => {
                    self.spoil(&header, reason.to_owned());
                    return taken;
                }
            };
            current.at = buffer.len() - rest.len();
            current.left -= 1;
            let offset = header.base_offset.wrapping_add(i64::from(record.offset_delta));
            if offset < self.position {
                continue;
            }
            if offset >= self.until {
                self.ended = true;
                return taken;
            }
            self.position = offset + 1;
            let timestamp = if append_time {
                header.max_timestamp
            } else {
                header.base_timestamp.wrapping_add(record.timestamp_delta)
            };
            let record = RecordRef {
                offset,
                timestamp,
                key: record.key,
                value: record.value,
                headers: record.headers,
            };
            taken += 1;
            if !each(&header, record) {
                break;
            }
        }
        taken
    }

    /// The next batch with records to hand out.
    fn open(&mut self, bytes: &[u8]) -> Option<Current> {
        loop {
            if !self.has_more(bytes) || self.position >= self.until {
                self.ended = true;
                return None;
            }
            let header = BatchHeader::parse(&bytes[self.at..]).ok()?;
            if header.magic != MAGIC_V2 {
                let found = header.magic;
                let reason = format!("format version {found}, and only 2 can be read (Kafka 0.11 and later)");
                return self.spoil(&header, reason);
            }
            let view = match BatchView::first(&bytes[self.at..]) {
                Ok(view) if header.last_offset_delta >= 0 => view,
                _ => {
                    let (length, delta) = (header.batch_length, header.last_offset_delta);
                    let reason = format!("its header cannot be: length {length}, last offset delta {delta}");
                    return self.spoil(&header, reason);
                }
            };
            let start = self.at + HEADER_SIZE;
            let end = self.at + view.bytes().len();
            let last = header.last_offset();
            while self.pending.last().is_some_and(|txn| txn.first_offset <= last) {
                self.skipping
                    .extend(self.pending.pop().map(|txn| txn.producer_id));
            }
            let aborted = header.is_transactional() && self.skipping.contains(&header.producer_id);
            if header.is_control() {
                self.skipping.remove(&header.producer_id);
            }
            if header.is_control() || aborted || last < self.position {
                self.at = end;
                self.position = self.position.max(header.next_offset());
                continue;
            }
            if !view.crc_is_valid() {
                return self.spoil(&header, "it fails its checksum".to_owned());
            }
            let plain = match header.codec() {
                Ok(Codec::None) => None,
                Ok(codec) => match decompress(codec, view.body(), self.limit) {
                    Ok(plain) => Some(plain),
                    Err(error) => return self.spoil(&header, error.to_string()),
                },
                Err(error) => return self.spoil(&header, error.to_string()),
            };
            self.leader_epoch = header.partition_leader_epoch;
            self.at = end;
            return Some(Current {
                header,
                plain,
                body: start..end,
                at: 0,
                left: header.record_count.max(0) as u32,
            });
        }
    }

    /// Whether a whole batch is left.
    fn has_more(&self, bytes: &[u8]) -> bool {
        bytes
            .get(self.at..)
            .and_then(|rest| {
                BatchHeader::parse(rest)
                    .ok()
                    .map(|header| header.size() <= rest.len())
            })
            .unwrap_or(false)
    }

    fn spoil(&mut self, header: &BatchHeader, reason: String) -> Option<Current> {
        self.ended = true;
        self.damage = Some(FetchDamage {
            offset: header.base_offset,
            next_offset: header.next_offset(),
            reason,
        });
        None
    }
}
