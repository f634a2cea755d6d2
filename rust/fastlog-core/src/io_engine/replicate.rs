//! Appending what a leader has answered to the logs of its followers, straight from the frame of the answer.

use std::sync::Arc;

use super::catch;
use super::outcome::{Failure, Outcome};
use crate::error::{Error, ErrorCode};
use crate::log::{AppendError, PartitionLog};
use crate::wire::FetchReply;

/// One partition of an answer that is to be taken over.
#[derive(Debug, Clone)]
pub struct ReplicateRow {
    /// Which row of the answer.
    pub row: usize,
    /// Where its records go.
    pub log: Arc<PartitionLog>,
    /// The epoch of the leader that was asked.
    pub leader_epoch: i32,
    /// The offset that was asked for: the log must still end there.
    pub fetch_offset: i64,
}

/// An answer with what is to be done with its rows.
#[derive(Debug)]
pub struct ReplicateJob {
    /// The answer; the records stay in its frame.
    pub reply: Arc<FetchReply>,
    /// In the order of the appends.
    pub rows: Vec<ReplicateRow>,
}

/// Why records of a leader are not in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A batch is no batch, or fails its checksum.
    Damaged,
    /// Offsets or epochs do not go on where the log ends.
    OutOfOrder,
    /// Another leader epoch has begun.
    Fenced,
    /// The disk, or the state of the log, is at fault.
    Storage,
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicateOutcome {
    /// Where the log ends now.
    pub end_offset: i64,
    /// Where it begins.
    pub log_start_offset: i64,
    /// What kept the records out, and in words.
    pub trouble: Option<(Trouble, String)>,
}

impl ReplicateJob {
    /// Takes over row by row. One row's trouble, or even panic, does not touch the others.
    pub fn run(&self) -> Outcome {
        Outcome::Replicated(self.rows.iter().map(|row| self.take(row)).collect())
    }

    fn take(&self, row: &ReplicateRow) -> ReplicateOutcome {
        let trouble = match catch(|| self.append(row)) {
            Ok(result) => result.err(),
            Err(panic @ (Failure::Panicked(_) | Failure::Error(_))) => {
                Some((Trouble::Storage, panic.to_string()))
            }
        };
        ReplicateOutcome {
            end_offset: row.log.log_end_offset(),
            log_start_offset: row.log.log_start_offset(),
            trouble,
        }
    }

    /// Appends the records, then lets the log begin where the leader's does, as far as both have it.
    fn append(&self, row: &ReplicateRow) -> Result<(), (Trouble, String)> {
        let Some(answer) = self.reply.rows().get(row.row) else {
            return Err((Trouble::OutOfOrder, "the answer has no such row".to_owned()));
        };
        let end = row.log.log_end_offset();
        if end != row.fetch_offset {
            let text = format!("the log ends at {end}, and {} was fetched", row.fetch_offset);
            return Err((Trouble::OutOfOrder, text));
        }
        let records = self.reply.records(answer);
        let mut end = end;
        if !records.is_empty() {
            let appended = row.log.append_as_follower(records, row.leader_epoch);
            let appended = appended.map_err(trouble_of_append)?;
            if appended.bytes == 0 {
                // A leader sends the first batch whole: without one here the follower would ask for it for ever.
                let text = format!("{} bytes without a whole batch", records.len());
                return Err((Trouble::Damaged, text));
            }
            end = appended.end_offset;
        }
        let start = answer.log_start_offset.min(answer.high_watermark).min(end);
        if start > row.log.log_start_offset() {
            row.log
                .advance_log_start_offset(start)
                .map_err(|error| trouble_of(&error))?;
        }
        Ok(())
    }
}

fn trouble_of_append(error: AppendError) -> (Trouble, String) {
    match error {
        AppendError::Rejected(rejection) if rejection.code == ErrorCode::CorruptMessage => {
            (Trouble::Damaged, rejection.to_string())
        }
        AppendError::Rejected(rejection) => (Trouble::OutOfOrder, rejection.to_string()),
        AppendError::Failed(error) | AppendError::Unflushed { error, .. } => trouble_of(&error),
    }
}

fn trouble_of(error: &Error) -> (Trouble, String) {
    let trouble = match error {
        Error::Fenced { .. } => Trouble::Fenced,
        Error::Malformed(_) => Trouble::Damaged,
        Error::InvalidArgument(_) => Trouble::OutOfOrder,
        _ => Trouble::Storage,
    };
    (trouble, error.to_string())
}
