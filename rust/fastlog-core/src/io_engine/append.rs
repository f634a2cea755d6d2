//! Appending records that the broker itself writes: they become a batch here, off the event loop.

use std::sync::Arc;

use super::catch;
use super::outcome::Outcome;
use super::produce::ProduceRowOutcome;
use crate::batch::BatchBuilder;
use crate::log::{AppendError, AppendInfo, AppendOptions, PartitionLog};

/// Records of one partition that share a batch.
#[derive(Debug)]
pub struct AppendRow {
    /// Where they go.
    pub log: Arc<PartitionLog>,
    /// The leader epoch in which that was decided.
    pub leader_epoch: i32,
    /// The records; compressed and checked by the job.
    pub batch: BatchBuilder,
}

/// Rows that are appended one after the other.
#[derive(Debug)]
pub struct AppendJob {
    /// In the order of the appends.
    pub rows: Vec<AppendRow>,
}

impl AppendJob {
    /// Appends row by row. One row's error, or even panic, does not touch the others.
    pub fn run(self) -> Outcome {
        let outcomes = self.rows.into_iter().map(|row| match catch(|| row.append()) {
            Ok(Ok(info)) => ProduceRowOutcome::from(info),
            Ok(Err(error)) => ProduceRowOutcome::from(error),
            Err(panic) => ProduceRowOutcome::broken(&panic),
        });
        Outcome::Produced(outcomes.collect())
    }
}

impl AppendRow {
    fn append(self) -> Result<AppendInfo, AppendError> {
        let batch = self.batch.build()?;
        self.log
            .append(&batch, self.leader_epoch, AppendOptions::default())
    }
}
