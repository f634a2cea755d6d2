//! Transactions that nobody will ever end, because their coordinator is gone: everything behind their first record
//! is hidden from `read_committed` consumers for good (KIP-664).

use super::{AppendError, AppendOptions, PartitionLog};
use crate::batch::{AppendOrigin, ControlKind, ControlMarker};
use crate::producer_state::ActiveProducer;

impl PartitionLog {
    /// Ends open transactions with abort markers, as a coordinator would, in `leader_epoch`: those of `producers`, or all.
    /// Returns the producers as they were.
    ///
    /// For a log that no broker serves: a transaction that goes on would lose records.
    pub fn abort_open_transactions(
        &self,
        leader_epoch: i32,
        producers: Option<&[i64]>,
    ) -> Result<Vec<ActiveProducer>, AppendError> {
        let is_meant = |id: i64| producers.is_none_or(|ids| ids.contains(&id));
        let mut open = self.active_producers();
        open.retain(|producer| producer.txn_start_offset >= 0 && is_meant(producer.producer_id));
        let options = AppendOptions {
            origin: AppendOrigin::Coordinator,
            ..AppendOptions::default()
        };
        for producer in &open {
            let marker = ControlMarker {
                kind: ControlKind::Abort,
                coordinator_epoch: producer.coordinator_epoch.max(0),
            };
            let batch = marker.to_batch(self.clock.now_ms(), producer.producer_id, producer.epoch)?;
            self.append(&batch, leader_epoch, options)?;
        }
        Ok(open)
    }
}
