//! Appending what the broker itself writes: records and markers become a batch here, off the event loop.

use std::sync::Arc;

use super::catch;
use super::outcome::Outcome;
use super::produce::ProduceRowOutcome;
use crate::batch::{AppendOrigin, BatchBuilder, ControlMarker};
use crate::log::{AppendError, AppendInfo, AppendOptions, PartitionLog};

/// What becomes one batch.
#[derive(Debug)]
pub enum AppendContent {
    /// Records; compressed and checked by the job.
    Records(BatchBuilder),
    /// Records that belong to a transaction, with the guard of [`AppendOptions`]. Their builder names the producer.
    Transactional(BatchBuilder, Option<u64>),
    /// The end of a producer's transaction.
    Marker {
        /// How it ends.
        marker: ControlMarker,
        /// Producer id and epoch.
        producer: (i64, i16),
        /// See [`AppendOptions`].
        raised_epoch: bool,
        /// The marker's time, ms.
        timestamp_ms: i64,
    },
}

/// One batch of one partition.
#[derive(Debug)]
pub struct AppendRow {
    /// Where it goes.
    pub log: Arc<PartitionLog>,
    /// The leader epoch in which that was decided.
    pub leader_epoch: i32,
    /// What is in it.
    pub content: AppendContent,
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
        let by_coordinator = AppendOptions {
            origin: AppendOrigin::Coordinator,
            ..AppendOptions::default()
        };
        let (batch, options) = match self.content {
            AppendContent::Records(batch) => (batch.build()?, AppendOptions::default()),
            AppendContent::Transactional(batch, guard) => (
                batch.transactional().build()?,
                AppendOptions {
                    guard,
                    ..by_coordinator
                },
            ),
            AppendContent::Marker {
                marker,
                producer: (id, epoch),
                raised_epoch,
                timestamp_ms,
            } => (
                marker.to_batch(timestamp_ms, id, epoch)?,
                AppendOptions {
                    raised_epoch,
                    ..by_coordinator
                },
            ),
        };
        self.log.append(&batch, self.leader_epoch, options)
    }
}
