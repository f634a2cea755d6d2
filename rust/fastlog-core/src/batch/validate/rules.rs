//! What a topic demands of the batches appended to it, and how a batch is turned down.

use std::fmt;

use crate::batch::header::TimestampType;
use crate::compression::Codec;
use crate::error::ErrorCode;

/// Who appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AppendOrigin {
    /// A producer: everything is checked.
    #[default]
    Client,
    /// A leader's batch on its way into a follower's log: stored as it is, so only its frame and its CRC
    /// are checked.
    Replication,
    /// A coordinator of this broker: may write transaction markers, and timestamps as it likes.
    Coordinator,
}

/// `compression.type` of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CompressionPolicy {
    /// Keep what the producer chose.
    #[default]
    Producer,
    /// Store with this codec; batches that come with another one are compressed again, at this level.
    Codec(Codec, Option<i32>),
}

/// The rules of one topic at one moment.
#[derive(Debug, Clone)]
pub struct AppendRules {
    /// Most bytes of a whole batch, header included (`max.message.bytes`).
    pub max_message_bytes: usize,
    /// Whose clock counts (`message.timestamp.type`).
    pub timestamp_type: TimestampType,
    /// How far a `CreateTime` timestamp may lie in the past, in milliseconds (`message.timestamp.before.max.ms`).
    pub timestamp_before_max_ms: i64,
    /// How far a `CreateTime` timestamp may lie in the future, in milliseconds (`message.timestamp.after.max.ms`).
    pub timestamp_after_max_ms: i64,
    /// Whether records without a key are refused (compacted topics).
    pub require_keys: bool,
    /// What codec is stored.
    pub compression: CompressionPolicy,
    /// Whether the request's version knows zstd (Produce 7 and later).
    pub zstd_allowed: bool,
    /// Who appends.
    pub origin: AppendOrigin,
}

/// A client's append to a topic with Kafka's default size limit and no limits on timestamps.
impl Default for AppendRules {
    fn default() -> Self {
        Self {
            max_message_bytes: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: i64::MAX,
            require_keys: false,
            compression: CompressionPolicy::Producer,
            zstd_allowed: true,
            origin: AppendOrigin::Client,
        }
    }
}

/// Why one record of a batch was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// Index of the record in its batch, from 0.
    pub index: i32,
    /// Words for the producer's log.
    pub message: Option<String>,
}

/// A batch that is not appended, in the form of a Produce answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The error of the partition.
    pub code: ErrorCode,
    /// Words for the producer's log.
    pub message: String,
    /// The records at fault, where single ones are: at most [`Rejection::MAX_RECORD_ERRORS`] of them.
    pub record_errors: Vec<RecordError>,
}

impl Rejection {
    /// More record errors than this are dropped: a batch of a million keyless records must not turn into an
    /// answer of a million messages.
    pub const MAX_RECORD_ERRORS: usize = 1000;

    /// A rejection of the batch as a whole.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            record_errors: Vec::new(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRecord, message)
    }

    pub(crate) fn at_record(index: i32, reason: &str) -> Self {
        Self {
            code: ErrorCode::InvalidRecord,
            message: format!("record {index}: {reason}"),
            record_errors: vec![RecordError {
                index,
                message: Some(reason.to_owned()),
            }],
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)
    }
}

impl std::error::Error for Rejection {}
