//! What a topic's configuration says about its logs. Defaults are Kafka's.

use crate::batch::{AppendOrigin, AppendRules, CompressionPolicy, TimestampType};

/// Configuration of one log. Times are milliseconds, sizes bytes; -1 stands for "no limit" in the retention
/// settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Size at which a new segment is begun (`segment.bytes`).
    pub segment_bytes: u64,
    /// Age at which a new segment is begun (`segment.ms`).
    pub segment_ms: i64,
    /// Most that is subtracted from the age, at random, so that partitions do not roll together
    /// (`segment.jitter.ms`).
    pub segment_jitter_ms: i64,
    /// Bytes of log between two index entries (`index.interval.bytes`).
    pub index_interval_bytes: u64,
    /// Size at which an index is full (`segment.index.bytes`).
    pub index_max_bytes: usize,
    /// Records after which the log is flushed by the append itself (`flush.messages`).
    pub flush_messages: i64,
    /// Time after which the log is to be flushed (`flush.ms`); whoever owns the log calls
    /// [`flush`](crate::log::PartitionLog::flush).
    pub flush_ms: i64,
    /// Age at which records are deleted (`retention.ms`).
    pub retention_ms: i64,
    /// Size beyond which the oldest records are deleted (`retention.bytes`).
    pub retention_bytes: i64,
    /// Time between renaming a file to `.deleted` and unlinking it (`file.delete.delay.ms`).
    pub file_delete_delay_ms: i64,
    /// Largest batch (`max.message.bytes`).
    pub max_message_bytes: usize,
    /// Whose clock counts (`message.timestamp.type`).
    pub timestamp_type: TimestampType,
    /// How far timestamps may lie in the past (`message.timestamp.before.max.ms`).
    pub timestamp_before_max_ms: i64,
    /// How far timestamps may lie in the future (`message.timestamp.after.max.ms`).
    pub timestamp_after_max_ms: i64,
    /// `compact` is in `cleanup.policy`: records must have keys.
    pub compact: bool,
    /// `delete` is in `cleanup.policy`: retention by time and size applies.
    pub delete: bool,
    /// What codec is stored (`compression.type` with its level).
    pub compression: CompressionPolicy,
    /// Whether a new segment's blocks are allocated at once (`preallocate`).
    pub preallocate: bool,
    /// How long a silent producer is remembered (`producer.id.expiration.ms`).
    pub producer_id_expiration_ms: i64,
}

impl Default for LogConfig {
    fn default() -> Self {
        const DAY_MS: i64 = 86_400_000;
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            index_max_bytes: 10 << 20,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            retention_ms: 7 * DAY_MS,
            retention_bytes: -1,
            file_delete_delay_ms: 60_000,
            max_message_bytes: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: i64::MAX,
            compact: false,
            delete: true,
            compression: CompressionPolicy::Producer,
            preallocate: false,
            producer_id_expiration_ms: DAY_MS,
        }
    }
}

impl LogConfig {
    pub(super) fn append_rules(&self, zstd_allowed: bool, origin: AppendOrigin) -> AppendRules {
        AppendRules {
            max_message_bytes: self.max_message_bytes,
            timestamp_type: self.timestamp_type,
            timestamp_before_max_ms: self.timestamp_before_max_ms,
            timestamp_after_max_ms: self.timestamp_after_max_ms,
            require_keys: self.compact,
            compression: self.compression,
            zstd_allowed,
            origin,
        }
    }
}
