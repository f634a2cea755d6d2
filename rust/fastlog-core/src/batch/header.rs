//! The header of a record batch. This file owns its bytes.
//!
//! All numbers are big-endian. The CRC covers everything from `attributes` to the end of the batch, so
//! the fields marked `*` may be rewritten without touching it.
//!
//! | at | size | field | meaning |
//! |---:|---:|---|---|
//! | 0 | 8 | `base_offset` `*` | offset of the first record; 0 in a Produce request |
//! | 8 | 4 | `batch_length` `*` | bytes after this field (whole batch = this + 12) |
//! | 12 | 4 | `partition_leader_epoch` `*` | stamped by the leader; -1 unknown |
//! | 16 | 1 | `magic` `*` | 2 |
//! | 17 | 4 | `crc` `*` | CRC-32C of bytes 21 to the end |
//! | 21 | 2 | `attributes` | see below |
//! | 23 | 4 | `last_offset_delta` | offset of the last record minus `base_offset` |
//! | 27 | 8 | `base_timestamp` | ms; record timestamps are deltas to it |
//! | 35 | 8 | `max_timestamp` | ms; with LogAppendTime the timestamp of every record |
//! | 43 | 8 | `producer_id` | -1 none |
//! | 51 | 2 | `producer_epoch` | -1 none |
//! | 53 | 4 | `base_sequence` | sequence number of the first record, -1 none |
//! | 57 | 4 | `record_count` | records in the batch |
//! | 61 | | records | compressed as one piece when a codec is set |
//!
//! | attribute bit | meaning |
//! |---|---|
//! | 0-2 | codec: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd |
//! | 3 | timestamp type: 0 CreateTime, 1 LogAppendTime |
//! | 4 | part of a transaction |
//! | 5 | control batch (transaction markers) |
//! | 6 | `base_timestamp` is a delete horizon (set by compaction) |

use crate::compression::Codec;
use crate::error::{Error, Result};

/// Bytes of a batch header.
pub const HEADER_SIZE: usize = 61;
/// Bytes of `base_offset` and `batch_length`, which `batch_length` does not count.
pub const LENGTH_PREFIX_SIZE: usize = 12;
/// The one message format version that is stored and served.
pub const MAGIC_V2: i8 = 2;

pub(crate) const AT_BATCH_LENGTH: usize = 8;
pub(crate) const AT_LEADER_EPOCH: usize = 12;
pub(crate) const AT_MAGIC: usize = 16;
pub(crate) const AT_CRC: usize = 17;
pub(crate) const AT_ATTRIBUTES: usize = 21;
const AT_LAST_OFFSET_DELTA: usize = 23;
const AT_BASE_TIMESTAMP: usize = 27;
pub(crate) const AT_MAX_TIMESTAMP: usize = 35;
pub(crate) const AT_PRODUCER_ID: usize = 43;
pub(crate) const AT_PRODUCER_EPOCH: usize = 51;
pub(crate) const AT_BASE_SEQUENCE: usize = 53;
const AT_RECORD_COUNT: usize = 57;

pub(crate) const CODEC_MASK: i16 = 0x07;
pub(crate) const LOG_APPEND_TIME_BIT: i16 = 0x08;
pub(crate) const TRANSACTIONAL_BIT: i16 = 0x10;
pub(crate) const CONTROL_BIT: i16 = 0x20;
pub(crate) const DELETE_HORIZON_BIT: i16 = 0x40;

/// Whose clock the timestamps of a batch come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// Set by the producer, per record.
    #[default]
    CreateTime,
    /// Set by the broker at the append, one for the whole batch.
    LogAppendTime,
}

/// The 13 fields of a batch header, as they stand in the bytes: nothing is checked but that they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes after this field.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch, -1 unknown.
    pub partition_leader_epoch: i32,
    /// Message format version.
    pub magic: i8,
    /// CRC-32C of everything from `attributes` on.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: i16,
    /// Offset of the last record minus `base_offset`.
    pub last_offset_delta: i32,
    /// Milliseconds; record timestamps are deltas to it.
    pub base_timestamp: i64,
    /// Milliseconds; the largest timestamp of the records, or the append time.
    pub max_timestamp: i64,
    /// Producer id, -1 none.
    pub producer_id: i64,
    /// Producer epoch, -1 none.
    pub producer_epoch: i16,
    /// Sequence number of the first record, -1 none.
    pub base_sequence: i32,
    /// Records in the batch.
    pub record_count: i32,
}

fn field<const N: usize>(header: &[u8; HEADER_SIZE], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

impl BatchHeader {
    /// Reads a header from the first 61 bytes of `bytes`.
    ///
    /// Fails with [`Error::Malformed`] only when there are fewer bytes than that.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let Some(header) = bytes.first_chunk::<HEADER_SIZE>() else {
            return Err(Error::Malformed(format!(
                "a batch header needs {HEADER_SIZE} bytes, there are {}",
                bytes.len()
            )));
        };
        Ok(Self {
            base_offset: i64::from_be_bytes(field(header, 0)),
            batch_length: i32::from_be_bytes(field(header, AT_BATCH_LENGTH)),
            partition_leader_epoch: i32::from_be_bytes(field(header, AT_LEADER_EPOCH)),
            magic: i8::from_be_bytes(field(header, AT_MAGIC)),
            crc: u32::from_be_bytes(field(header, AT_CRC)),
            attributes: i16::from_be_bytes(field(header, AT_ATTRIBUTES)),
            last_offset_delta: i32::from_be_bytes(field(header, AT_LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(field(header, AT_BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(field(header, AT_MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(field(header, AT_PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(field(header, AT_PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(field(header, AT_BASE_SEQUENCE)),
            record_count: i32::from_be_bytes(field(header, AT_RECORD_COUNT)),
        })
    }

    /// Writes all fields, the CRC as it stands.
    pub fn write_to(&self, out: &mut [u8; HEADER_SIZE]) {
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.base_offset.to_be_bytes());
        put(AT_BATCH_LENGTH, &self.batch_length.to_be_bytes());
        put(AT_LEADER_EPOCH, &self.partition_leader_epoch.to_be_bytes());
        put(AT_MAGIC, &self.magic.to_be_bytes());
        put(AT_CRC, &self.crc.to_be_bytes());
        put(AT_ATTRIBUTES, &self.attributes.to_be_bytes());
        put(AT_LAST_OFFSET_DELTA, &self.last_offset_delta.to_be_bytes());
        put(AT_BASE_TIMESTAMP, &self.base_timestamp.to_be_bytes());
        put(AT_MAX_TIMESTAMP, &self.max_timestamp.to_be_bytes());
        put(AT_PRODUCER_ID, &self.producer_id.to_be_bytes());
        put(AT_PRODUCER_EPOCH, &self.producer_epoch.to_be_bytes());
        put(AT_BASE_SEQUENCE, &self.base_sequence.to_be_bytes());
        put(AT_RECORD_COUNT, &self.record_count.to_be_bytes());
    }

    /// Bytes of the whole batch, those of `base_offset` and `batch_length` included. A negative length
    /// counts as 0, so that the result is below [`HEADER_SIZE`] for every impossible length.
    #[inline]
    pub fn size(&self) -> usize {
        LENGTH_PREFIX_SIZE + self.batch_length.max(0) as usize
    }

    /// Offset of the last record. Saturates for offsets that no log can hold.
    #[inline]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset that follows the batch. Saturates like [`Self::last_offset`].
    #[inline]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Sequence number of the last record: `base_sequence + last_offset_delta`, wrapping from 2^31-1 to 0;
    /// -1 when the batch has no sequence.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        let sum = i64::from(self.base_sequence) + i64::from(self.last_offset_delta.max(0));
        (sum % (i64::from(i32::MAX) + 1)) as i32
    }

    /// The codec of the records; [`Error::Malformed`] for the ids 5 to 7, which nobody has defined.
    #[inline]
    pub fn codec(&self) -> Result<Codec> {
        Codec::from_id((self.attributes & CODEC_MASK) as u8)
    }

    /// Whose clock the timestamps come from.
    #[inline]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Changes the timestamp type in the attributes.
    #[inline]
    pub fn set_timestamp_type(&mut self, timestamp_type: TimestampType) {
        match timestamp_type {
            TimestampType::CreateTime => self.attributes &= !LOG_APPEND_TIME_BIT,
            TimestampType::LogAppendTime => self.attributes |= LOG_APPEND_TIME_BIT,
        }
    }

    /// Whether the batch is part of a transaction.
    #[inline]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch holds a transaction marker instead of records.
    #[inline]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether `base_timestamp` is the time after which compaction may drop the batch's tombstones.
    #[inline]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON_BIT != 0
    }

    /// Whether an idempotent or transactional producer wrote the batch.
    #[inline]
    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }
}
