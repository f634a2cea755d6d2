//! In-place changes to a batch: what a leader makes before it appends it, and a producer before it sends it
//! again under another identity.
//!
//! Each function takes a whole batch, or for the two that leave the CRC alone at least its header, and
//! panics when the header is not all there.

use crate::batch::crc::crc32c;
use crate::batch::header::{
    AT_ATTRIBUTES, AT_BASE_SEQUENCE, AT_CRC, AT_LEADER_EPOCH, AT_MAX_TIMESTAMP, AT_PRODUCER_EPOCH,
    AT_PRODUCER_ID, HEADER_SIZE, LOG_APPEND_TIME_BIT,
};

/// Sets the offset of the first record. Outside the CRC.
pub fn stamp_base_offset(batch: &mut [u8], base_offset: i64) {
    put(batch, 0, base_offset.to_be_bytes());
}

/// Sets the epoch of the appending leader. Outside the CRC.
pub fn stamp_leader_epoch(batch: &mut [u8], leader_epoch: i32) {
    put(batch, AT_LEADER_EPOCH, leader_epoch.to_be_bytes());
}

/// Sets the timestamp type to `LogAppendTime` and the timestamp of all records to `now_ms`, and redoes the
/// CRC over the whole batch.
pub fn stamp_log_append_time(batch: &mut [u8], now_ms: i64) {
    let attributes = i16::from_be_bytes([batch[AT_ATTRIBUTES], batch[AT_ATTRIBUTES + 1]]);
    put(
        batch,
        AT_ATTRIBUTES,
        (attributes | LOG_APPEND_TIME_BIT).to_be_bytes(),
    );
    put(batch, AT_MAX_TIMESTAMP, now_ms.to_be_bytes());
    let crc = crc32c(&batch[AT_ATTRIBUTES..]);
    put(batch, AT_CRC, crc.to_be_bytes());
}

/// Sets the producer and the sequence number of the first record, and redoes the CRC over the whole batch.
pub fn stamp_producer(batch: &mut [u8], id: i64, epoch: i16, base_sequence: i32) {
    put(batch, AT_PRODUCER_ID, id.to_be_bytes());
    put(batch, AT_PRODUCER_EPOCH, epoch.to_be_bytes());
    put(batch, AT_BASE_SEQUENCE, base_sequence.to_be_bytes());
    let crc = crc32c(&batch[AT_ATTRIBUTES..]);
    put(batch, AT_CRC, crc.to_be_bytes());
}

fn put<const N: usize>(batch: &mut [u8], at: usize, bytes: [u8; N]) {
    batch[..HEADER_SIZE][at..at + N].copy_from_slice(&bytes);
}
