//! Executing a produce plan: each row is appended to its log, or answered with the error decided for it.

use std::sync::Arc;

use super::catch;
use super::outcome::{Failure, Outcome};
use crate::batch::{AppendOrigin, RecordError};
use crate::error::{Error, ErrorCode};
use crate::log::{AppendError, AppendInfo, AppendOptions, PartitionLog};
use crate::wire::ProducePlan;

/// First version of Produce in which a batch may be compressed with zstd (KIP-110).
pub(crate) const ZSTD_SINCE: i16 = 7;

/// The leadership changed between the decision and the append. Clients retry it.
const NOT_LEADER_OR_FOLLOWER: i16 = 6;

/// What was decided about one row.
#[derive(Debug, Clone)]
pub enum ProduceTarget {
    /// Append it to this log, as the leader of this epoch, with this guard (see [`AppendOptions`]).
    Append(Arc<PartitionLog>, i32, Option<u64>),
    /// Answer it with this error code and append nothing.
    Refuse(i16),
}

/// A plan with the decision about each of its rows.
#[derive(Debug)]
pub struct ProduceJob {
    /// The request; the records stay in its frame.
    pub plan: Arc<ProducePlan>,
    /// One per row of the plan, in the same order.
    pub targets: Vec<ProduceTarget>,
}

/// What became of one row. Offsets and times are -1 on an error, but for the end of a batch that is in the log and not
/// durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceRowOutcome {
    /// Kafka error code, 0 for success.
    pub error_code: i16,
    /// Offset of the first record.
    pub base_offset: i64,
    /// The time that the log gave the records in milliseconds, -1 when they keep the producer's.
    pub log_append_time: i64,
    /// First offset of the log.
    pub log_start_offset: i64,
    /// The records at fault, where single ones are.
    pub record_errors: Vec<RecordError>,
    /// What is wrong, in words.
    pub message: Option<String>,
    /// Offset after the last record, that of an earlier append for a duplicate.
    pub end_offset: i64,
}

impl ProduceJob {
    /// Appends row by row. One row's error, or even panic, does not touch the others.
    pub fn run(&self) -> Outcome {
        let options = AppendOptions {
            zstd_allowed: self.plan.version() >= ZSTD_SINCE,
            origin: AppendOrigin::Client,
            ..AppendOptions::default()
        };
        let outcomes = self.plan.rows().iter().zip(&self.targets).map(|(row, target)| {
            let (log, leader_epoch, guard) = match target {
                ProduceTarget::Append(log, leader_epoch, guard) => (log, *leader_epoch, *guard),
                ProduceTarget::Refuse(code) => return ProduceRowOutcome::error(*code, None),
            };
            let Some(records) = self.plan.records(row) else {
                let message = "the request has no records for the partition";
                return ProduceRowOutcome::error(ErrorCode::InvalidRecord.code(), Some(message.to_owned()));
            };
            let options = AppendOptions { guard, ..options };
            match catch(|| log.append(records, leader_epoch, options)) {
                Ok(Ok(info)) => ProduceRowOutcome::from(info),
                Ok(Err(error)) => ProduceRowOutcome::from(error),
                Err(panic) => ProduceRowOutcome::broken(&panic),
            }
        });
        Outcome::Produced(outcomes.collect())
    }
}

impl ProduceRowOutcome {
    fn error(error_code: i16, message: Option<String>) -> Self {
        Self {
            error_code,
            base_offset: -1,
            log_append_time: -1,
            log_start_offset: -1,
            record_errors: Vec::new(),
            message,
            end_offset: -1,
        }
    }

    pub(super) fn broken(panic: &Failure) -> Self {
        Self::error(panic.code().code(), Some(panic.to_string()))
    }
}

impl From<AppendError> for ProduceRowOutcome {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Rejected(rejection) => Self {
                record_errors: rejection.record_errors,
                ..Self::error(rejection.code.code(), Some(rejection.message))
            },
            // A Produce request names no epoch of its own, so a client is not told of one.
            AppendError::Failed(error @ Error::Fenced { .. }) => {
                Self::error(NOT_LEADER_OR_FOLLOWER, Some(error.to_string()))
            }
            AppendError::Failed(error) => Self::error(error.code().code(), Some(error.to_string())),
            AppendError::Unflushed { error, info } => Self {
                end_offset: info.end_offset,
                ..Self::error(error.code().code(), Some(error.to_string()))
            },
        }
    }
}

impl From<AppendInfo> for ProduceRowOutcome {
    fn from(info: AppendInfo) -> Self {
        Self {
            error_code: ErrorCode::None.code(),
            base_offset: info.first_offset,
            log_append_time: info.log_append_time,
            log_start_offset: info.log_start_offset,
            record_errors: Vec::new(),
            message: None,
            end_offset: info.end_offset,
        }
    }
}
