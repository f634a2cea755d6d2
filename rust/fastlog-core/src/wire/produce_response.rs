//! The response to a Produce plan. This file owns its layout (Kafka: `ProduceResponse.json`).
//!
//! | field | type | versions |
//! |---|---|---|
//! | topics | array | 0+ |
//! | - name | string | 0+ |
//! | - partitions | array | 0+ |
//! | - - index | i32 | 0+ |
//! | - - error code | i16 | 0+ |
//! | - - base offset | i64 | 0+ |
//! | - - log append time | i64, ms, -1 for CreateTime | 2+ |
//! | - - log start offset | i64 | 5+ |
//! | - - record errors | array of (index i32, nullable message) | 8+ |
//! | - - error message | nullable string | 8+ |
//! | - - current leader | tag 0: (id i32, epoch i32) | 10+ |
//! | throttle time | i32, ms | 1+ |
//! | node endpoints | tag 0: array of (id i32, host, port i32, nullable rack) | 10+ |

use super::NodeEndpoint;
use super::header::PRODUCE_FLEXIBLE;
use super::produce::ProducePlan;
use super::writer::{Sink, Size, Writer};
use crate::batch::RecordError;
use crate::error::{Error, Result};

const LOG_START_OFFSET_SINCE: i16 = 5;
const RECORD_ERRORS_SINCE: i16 = 8;
const LEADERS_SINCE: i16 = 10;

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceRowResult {
    /// Kafka error code, 0 for success.
    pub error_code: i16,
    /// Offset of the first record, -1 on errors.
    pub base_offset: i64,
    /// When the broker appended, in milliseconds, -1 when producers set the time.
    pub log_append_time: i64,
    /// First offset of the log, -1 unknown.
    pub log_start_offset: i64,
    /// The records at fault.
    pub record_errors: Vec<RecordError>,
    /// What is wrong, in words.
    pub error_message: Option<String>,
    /// Leader id and epoch, for clients that asked the wrong broker.
    pub current_leader: Option<(i32, i32)>,
}

/// Success at offset 0, the values an error response starts from.
impl Default for ProduceRowResult {
    fn default() -> Self {
        Self {
            error_code: 0,
            base_offset: -1,
            log_append_time: -1,
            log_start_offset: -1,
            record_errors: Vec::new(),
            error_message: None,
            current_leader: None,
        }
    }
}

impl ProducePlan {
    /// The whole response frame, length prefix included; `results` go with the rows one by one.
    ///
    /// Fails with [`Error::InvalidArgument`] when there are more or fewer results than rows, or when the
    /// response does not fit a frame.
    pub fn encode_response(
        &self,
        results: &[ProduceRowResult],
        throttle_ms: i32,
        node_endpoints: &[NodeEndpoint],
    ) -> Result<Vec<u8>> {
        if results.len() != self.rows().len() {
            return Err(Error::InvalidArgument(format!(
                "{} results for {} partitions",
                results.len(),
                self.rows().len()
            )));
        }
        let mut size = Size::default();
        self.write_response(&mut size, results, throttle_ms, node_endpoints);
        let length = i32::try_from(size.0)
            .map_err(|_| Error::InvalidArgument(format!("a response of {} bytes", size.0)))?;
        let mut out = Vec::with_capacity(4 + size.0);
        out.put(&length.to_be_bytes());
        self.write_response(&mut out, results, throttle_ms, node_endpoints);
        debug_assert_eq!(out.len(), 4 + size.0);
        Ok(out)
    }

    fn write_response<S: Sink>(
        &self,
        sink: &mut S,
        results: &[ProduceRowResult],
        throttle_ms: i32,
        node_endpoints: &[NodeEndpoint],
    ) {
        let version = self.version();
        let mut w = Writer::new(sink, version >= PRODUCE_FLEXIBLE);
        w.i32(self.correlation_id());
        w.tag_count(0);

        let topics = || self.rows().chunk_by(|row, next| row.topic == next.topic);
        w.count(topics().count());
        let mut results = results.iter();
        for rows in topics() {
            w.string(&self.topic(&rows[0]));
            w.count(rows.len());
            for (row, result) in rows.iter().zip(&mut results) {
                w.i32(row.partition);
                write_result(&mut w, version, result);
            }
            w.tag_count(0);
        }
        w.i32(throttle_ms);
        w.node_endpoint_tags(node_endpoints, version >= LEADERS_SINCE);
    }
}

fn write_result<S: Sink>(w: &mut Writer<'_, S>, version: i16, result: &ProduceRowResult) {
    w.i16(result.error_code);
    w.i64(result.base_offset);
    w.i64(result.log_append_time);
    if version >= LOG_START_OFFSET_SINCE {
        w.i64(result.log_start_offset);
    }
    if version >= RECORD_ERRORS_SINCE {
        w.count(result.record_errors.len());
        for error in &result.record_errors {
            w.i32(error.index);
            w.nullable_string(error.message.as_deref());
            w.tag_count(0);
        }
        w.nullable_string(result.error_message.as_deref());
    }
    match result.current_leader {
        Some((id, epoch)) if version >= LEADERS_SINCE => {
            w.tag_count(1);
            w.tagged_numbers(0, &id.to_be_bytes(), &epoch.to_be_bytes());
        }
        _ => w.tag_count(0),
    }
}
