//! The checks on each record of a batch, and the loop over records that lie in memory.

use crate::batch::header::{BatchHeader, TimestampType};
use crate::batch::record::{glance, split_record};
use crate::batch::validate::rules::{AppendOrigin, AppendRules, RecordError, Rejection};
use crate::error::ErrorCode;

/// What is learnt from walking over the records of one batch.
pub(super) struct RecordChecks {
    base_timestamp: i64,
    /// Timestamps that are accepted, both ends included.
    window: (i64, i64),
    require_keys: bool,
    /// Index of the next record, which must also be its offset delta.
    pub next: i32,
    /// Largest timestamp so far, -1 when no record has one.
    pub max_timestamp: i64,
    /// Offset delta of the first record with it.
    pub delta_of_max: i32,
    errors: Vec<RecordError>,
    timestamp_error: bool,
}

impl RecordChecks {
    pub fn new(header: &BatchHeader, rules: &AppendRules, now_ms: i64) -> Self {
        let windowed =
            rules.timestamp_type == TimestampType::CreateTime && rules.origin == AppendOrigin::Client;
        Self {
            base_timestamp: header.base_timestamp,
            window: if windowed {
                window(now_ms, rules)
            } else {
                (i64::MIN, i64::MAX)
            },
            require_keys: rules.require_keys && !header.is_control(),
            next: 0,
            max_timestamp: -1,
            delta_of_max: 0,
            errors: Vec::new(),
            timestamp_error: false,
        }
    }

    /// Takes note of the next record. Faults that concern one record are collected; a wrong offset delta
    /// ends the walk, because then it is unclear which record is which.
    #[inline]
    pub fn observe(
        &mut self,
        timestamp_delta: i64,
        offset_delta: i32,
        has_key: bool,
    ) -> Result<(), Rejection> {
        if offset_delta != self.next {
            return Err(wrong_offset_delta(self.next, offset_delta));
        }
        // Wraps as in Java, where consumers add the two without a check.
        let timestamp = self.base_timestamp.wrapping_add(timestamp_delta);
        if timestamp > self.max_timestamp {
            self.max_timestamp = timestamp;
            self.delta_of_max = offset_delta;
        }
        if self.require_keys && !has_key {
            self.refuse(|| "Compacted topic cannot accept message without key".to_owned());
        } else if (timestamp < self.window.0 || timestamp > self.window.1) && timestamp != -1 {
            let (from, to) = self.window;
            self.timestamp_error = true;
            self.refuse(|| {
                format!("Timestamp {timestamp} is out of range, it should be within [{from}, {to}]")
            });
        }
        // No overflow: the loops end at `record_count`, an i32.
        self.next += 1;
        Ok(())
    }

    #[cold]
    fn refuse(&mut self, message: impl FnOnce() -> String) {
        if self.errors.len() < Rejection::MAX_RECORD_ERRORS {
            self.errors.push(RecordError {
                index: self.next,
                message: Some(message()),
            });
        }
    }

    /// The verdict once all records have been seen.
    pub fn finish(&mut self) -> Result<(), Rejection> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let (code, message) = if self.timestamp_error {
            (
                ErrorCode::InvalidTimestamp,
                "One or more records have been rejected due to invalid timestamp",
            )
        } else {
            (ErrorCode::InvalidRecord, "One or more records have been rejected")
        };
        let record_errors = std::mem::take(&mut self.errors);
        Err(Rejection {
            code,
            message: message.to_owned(),
            record_errors,
        })
    }
}

/// The timestamps that `rules` accept, both ends included; the largest distance stands for any.
fn window(now_ms: i64, rules: &AppendRules) -> (i64, i64) {
    let from = match rules.timestamp_before_max_ms {
        i64::MAX => i64::MIN,
        distance => now_ms.saturating_sub(distance),
    };
    (from, now_ms.saturating_add(rules.timestamp_after_max_ms))
}

#[cold]
fn wrong_offset_delta(expected: i32, found: i32) -> Rejection {
    Rejection::at_record(expected, &format!("offset delta {found} instead of {expected}"))
}

/// Walks over `count` records that must fill `body` exactly.
pub(super) fn check_slice(body: &[u8], count: i32, checks: &mut RecordChecks) -> Result<(), Rejection> {
    let mut rest = body;
    while checks.next < count {
        if let Some(record) = glance(rest)
            && let Some(tail) = rest.get(record.size..)
        {
            checks.observe(record.timestamp_delta, record.offset_delta, record.has_key)?;
            rest = tail;
            continue;
        }
        let (record, tail) =
            split_record(rest).map_err(|damage| Rejection::at_record(checks.next, damage))?;
        checks.observe(record.timestamp_delta, record.offset_delta, record.key.is_some())?;
        rest = tail;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(left_over(count))
    }
}

pub(super) fn left_over(count: i32) -> Rejection {
    Rejection::invalid(format!(
        "bytes are left over after the {count} records that the header counts"
    ))
}
