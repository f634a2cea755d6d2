//! What a leader checks, and repairs, in a batch before it appends it.
//!
//! The order of the checks is Kafka's: `ProduceRequest.validateRecords`, then
//! `UnifiedLog.analyzeAndValidateRecords`, then `LogValidator`. Stricter than Kafka in what no client sends:
//! bytes after the batch, wrong offset deltas in uncompressed batches, wrong record lengths in compressed ones
//! (on which consumers stop), transactions without a producer id, nulls written as other than -1. Where Kafka
//! says `UNKNOWN_SERVER_ERROR` (a payload that it cannot decompress, a codec that it does not know), this says
//! `INVALID_RECORD` or `UNSUPPORTED_COMPRESSION_TYPE`.

mod records;
mod rewrite;
mod rules;
mod stream;

use std::borrow::Cow;

pub use rules::{AppendOrigin, AppendRules, CompressionPolicy, RecordError, Rejection};
pub(super) use stream::search_stream;

use crate::batch::header::{BatchHeader, HEADER_SIZE, LENGTH_PREFIX_SIZE, MAGIC_V2, TimestampType};
use crate::batch::stamp::{stamp_base_offset, stamp_leader_epoch};
use crate::batch::view::BatchView;
use crate::compression::{Codec, DecompressionLimit, decompress_reader};
use crate::error::{Error, ErrorCode};
use records::{RecordChecks, check_slice};
use stream::{NoTap, check_stream};

/// A batch that may be appended: its header, repaired, and its records, which are the caller's bytes
/// unless they had to be compressed again.
#[derive(Debug, Clone)]
pub struct Validated<'a> {
    /// The header as it goes to disk once base offset and leader epoch are stamped; the CRC is right.
    pub header: [u8; HEADER_SIZE],
    /// Everything after the header.
    pub body: Cow<'a, [u8]>,
    /// The fields of `header`.
    pub info: BatchHeader,
    /// Largest timestamp of the batch in milliseconds, -1 when no record has one.
    pub max_timestamp: i64,
    /// Offset of the first record with that timestamp, minus the base offset.
    pub offset_delta_of_max_timestamp: i32,
    /// The time that the broker gave the records, -1 when they keep the producer's.
    pub log_append_time: i64,
}

impl Validated<'_> {
    /// Sets what the leader decides: the first offset and its epoch. Neither is covered by the CRC.
    pub fn stamp(&mut self, base_offset: i64, leader_epoch: i32) {
        stamp_base_offset(&mut self.header, base_offset);
        stamp_leader_epoch(&mut self.header, leader_epoch);
        self.info.base_offset = base_offset;
        self.info.partition_leader_epoch = leader_epoch;
    }

    /// Bytes of header and body together.
    pub fn size(&self) -> usize {
        HEADER_SIZE + self.body.len()
    }
}

/// Checks `records`, the bytes of one partition of a Produce request, which must be exactly one batch.
///
/// `now_ms` is the broker's clock in milliseconds. Reads the input, never changes it. Any input gives an
/// answer; memory stays within [`DecompressionLimit::for_topic`].
pub fn validate_for_append<'a>(
    records: &'a [u8],
    rules: &AppendRules,
    now_ms: i64,
) -> Result<Validated<'a>, Rejection> {
    let batch = frame(records, rules)?;
    let header = *batch.header();
    if rules.origin == AppendOrigin::Replication {
        return Ok(unchanged(&batch));
    }
    check_header(&header, rules)?;

    // `frame` has seen to it that the codec is known.
    let source = header.codec().unwrap_or_default();
    let target = match rules.compression {
        CompressionPolicy::Codec(codec, level) if !header.is_control() => (codec, level),
        _ => (source, None),
    };
    let mut checks = RecordChecks::new(&header, rules, now_ms);
    let new_body = if target.0 != source {
        Some(rewrite::check_and_recompress(
            &batch,
            source,
            target,
            rules,
            &mut checks,
        )?)
    } else if source == Codec::None {
        check_slice(batch.body(), header.record_count, &mut checks)?;
        None
    } else {
        let limit = DecompressionLimit::for_topic(rules.max_message_bytes);
        let reader = decompress_reader(source, batch.body(), limit).map_err(|error| unpackable(&error))?;
        check_stream(reader, header.record_count, &mut checks, &mut NoTap)?;
        None
    };
    checks.finish()?;

    let append_time = rules.timestamp_type == TimestampType::LogAppendTime;
    let (max_timestamp, offset_delta) = if append_time {
        (now_ms, 0)
    } else {
        (checks.max_timestamp, checks.delta_of_max)
    };
    let mut info = header;
    info.max_timestamp = max_timestamp;
    info.set_timestamp_type(rules.timestamp_type);
    let (header, body) = rewrite::assemble(&batch, &mut info, target.0, new_body);
    Ok(Validated {
        header,
        body,
        info,
        max_timestamp,
        offset_delta_of_max_timestamp: offset_delta,
        log_append_time: if append_time { now_ms } else { -1 },
    })
}

/// One whole batch of the right format, not too large, with the right CRC.
fn frame<'a>(records: &'a [u8], rules: &AppendRules) -> Result<BatchView<'a>, Rejection> {
    let Ok(header) = BatchHeader::parse(records) else {
        return Err(Rejection::invalid(format!(
            "{} bytes are no record batch",
            records.len()
        )));
    };
    if header.magic != MAGIC_V2 {
        let code = match header.magic {
            0..MAGIC_V2 => ErrorCode::InvalidRecord,
            _ => ErrorCode::CorruptMessage,
        };
        let message = format!("magic {}, only {MAGIC_V2} is accepted", header.magic);
        return Err(Rejection::new(code, message));
    }
    if header.size() < HEADER_SIZE {
        return Err(Rejection::new(
            ErrorCode::CorruptMessage,
            format!(
                "batch length {} is below {}",
                header.batch_length,
                HEADER_SIZE - LENGTH_PREFIX_SIZE
            ),
        ));
    }
    match header.codec() {
        Ok(Codec::Zstd) if !rules.zstd_allowed && rules.origin == AppendOrigin::Client => {
            return Err(Rejection::new(
                ErrorCode::UnsupportedCompressionType,
                "this version of the Produce request does not know zstd",
            ));
        }
        Ok(_) => {}
        Err(error) => {
            return Err(Rejection::new(
                ErrorCode::UnsupportedCompressionType,
                error.to_string(),
            ));
        }
    }
    let batch = BatchView::first(records).map_err(|error| Rejection::invalid(error.to_string()))?;
    if batch.bytes().len() != records.len() {
        return Err(Rejection::invalid("more than one record batch for one partition"));
    }
    if rules.origin == AppendOrigin::Client && header.base_offset != 0 {
        return Err(Rejection::invalid(format!(
            "the base offset of the batch should be 0, but it is {}",
            header.base_offset
        )));
    }
    // A leader's batch was small enough under the limit of its day. The limit is for what clients send: a
    // marker that it keeps out would leave a transaction without an end. Clients may write none.
    let is_marker = rules.origin == AppendOrigin::Coordinator && header.is_control();
    let has_limit = rules.origin != AppendOrigin::Replication && !is_marker;
    if has_limit && header.size() > rules.max_message_bytes {
        return Err(too_large(header.size(), rules.max_message_bytes));
    }
    if !batch.crc_is_valid() {
        return Err(Rejection::new(
            ErrorCode::CorruptMessage,
            format!("the batch is corrupt (stored crc = {})", header.crc),
        ));
    }
    Ok(batch)
}

/// A codec could not be set up: for want of memory, which the producer is not to blame for.
fn unpackable(error: &Error) -> Rejection {
    let code = match error {
        Error::Aborted(_) => error.code(),
        _ => ErrorCode::InvalidRecord,
    };
    Rejection::new(code, error.to_string())
}

fn too_large(size: usize, max: usize) -> Rejection {
    Rejection::new(
        ErrorCode::MessageTooLarge,
        format!("the batch has {size} bytes, more than the maximum of {max}"),
    )
}

/// The fields that must agree with each other.
fn check_header(header: &BatchHeader, rules: &AppendRules) -> Result<(), Rejection> {
    if header.record_count <= 0 || i64::from(header.record_count) != i64::from(header.last_offset_delta) + 1 {
        return Err(Rejection::invalid(format!(
            "{} records do not go with a last offset delta of {}",
            header.record_count, header.last_offset_delta
        )));
    }
    if rules.origin == AppendOrigin::Coordinator {
        return Ok(());
    }
    if header.is_control() {
        return Err(Rejection::invalid(
            "clients are not allowed to write control records",
        ));
    }
    // A batch passed on as it was read from a topic with `LogAppendTime`. Where producers set the time the bit
    // is cleared and the records have the times that they came with.
    if header.timestamp_type() == TimestampType::LogAppendTime
        && (rules.timestamp_type == TimestampType::LogAppendTime || header.max_timestamp < 0)
    {
        return Err(Rejection::new(
            ErrorCode::InvalidTimestamp,
            "the producer should not set the timestamp type to LogAppendTime",
        ));
    }
    // Without a producer id the sequence says nothing: some clients leave it 0.
    if header.has_producer() && header.base_sequence < 0 {
        return Err(Rejection::invalid(format!(
            "producer id {} with sequence number {}",
            header.producer_id, header.base_sequence
        )));
    }
    if header.is_transactional() && !header.has_producer() {
        return Err(Rejection::invalid(format!(
            "producer id {} in a transactional batch",
            header.producer_id
        )));
    }
    Ok(())
}

fn unchanged<'a>(batch: &BatchView<'a>) -> Validated<'a> {
    let info = *batch.header();
    let mut header = [0; HEADER_SIZE];
    header.copy_from_slice(&batch.bytes()[..HEADER_SIZE]);
    let append_time = info.timestamp_type() == TimestampType::LogAppendTime;
    Validated {
        header,
        body: Cow::Borrowed(batch.body()),
        info,
        max_timestamp: info.max_timestamp,
        // The records were not looked at; the last one is what Kafka's followers index too.
        offset_delta_of_max_timestamp: info.last_offset_delta,
        log_append_time: if append_time { info.max_timestamp } else { -1 },
    }
}
