//! Which batches belong to aborted transactions, and which markers are still needed
//! (Kafka: `CleanedTransactionMetadata`).

use std::collections::{HashMap, HashSet};

use crate::batch::{BatchHeader, ControlKind};
use crate::txn_index::AbortedTxn;

/// What a control batch means for the transactions of a log that is read from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerVerdict {
    /// Batches of the transaction were seen: the marker stays. If it aborts, so must this entry of the
    /// transaction index.
    Needed(Option<AbortedTxn>),
    /// Nothing of the transaction is left: the marker may go once its delete horizon has passed.
    Dispensable,
}

/// The transactions of a stretch of log, followed batch by batch.
#[derive(Debug, Default)]
pub struct Transactions {
    /// Aborted ones that have not begun, the first to begin last.
    to_come: Vec<AbortedTxn>,
    /// Aborted ones that have begun by producer id, and whether one of their batches was seen.
    aborted: HashMap<i64, (AbortedTxn, bool)>,
    /// Producers of committed ones of which a batch was seen.
    committed: HashSet<i64>,
}

impl Transactions {
    /// Begins a stretch in which no transactions were aborted but these.
    pub fn new(mut aborted: Vec<AbortedTxn>) -> Self {
        aborted.sort_unstable_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        Self {
            to_come: aborted,
            ..Self::default()
        }
    }

    /// Takes note of a batch of records; returns whether its transaction was aborted, so that none of them
    /// counts.
    pub fn on_records(&mut self, header: &BatchHeader) -> bool {
        self.begin_up_to(header.last_offset());
        if !header.is_transactional() {
            return false;
        }
        if let Some((_, seen)) = self.aborted.get_mut(&header.producer_id) {
            *seen = true;
            return true;
        }
        self.committed.insert(header.producer_id);
        false
    }

    /// Takes note of a control batch. `None` is a marker that an earlier compaction emptied; kinds that we do
    /// not know are [`Self::on_unknown_control`].
    pub fn on_marker(&mut self, header: &BatchHeader, kind: Option<ControlKind>) -> MarkerVerdict {
        self.begin_up_to(header.last_offset());
        match kind {
            None => MarkerVerdict::Dispensable,
            Some(ControlKind::Abort) => match self.aborted.remove(&header.producer_id) {
                Some((transaction, true)) => MarkerVerdict::Needed(Some(transaction)),
                _ => MarkerVerdict::Dispensable,
            },
            Some(ControlKind::Commit) => {
                if self.committed.remove(&header.producer_id) {
                    MarkerVerdict::Needed(None)
                } else {
                    MarkerVerdict::Dispensable
                }
            }
        }
    }

    /// Takes note of a control batch that is no transaction marker, which stays.
    pub fn on_unknown_control(&mut self, header: &BatchHeader) -> MarkerVerdict {
        self.begin_up_to(header.last_offset());
        MarkerVerdict::Needed(None)
    }

    fn begin_up_to(&mut self, offset: i64) {
        while let Some(transaction) = self
            .to_come
            .pop_if(|transaction| transaction.first_offset <= offset)
        {
            self.aborted
                .entry(transaction.producer_id)
                .or_insert((transaction, false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, BatchView};
    use crate::compression::Codec;

    fn header(offset: i64, producer: i64, transactional: bool) -> BatchHeader {
        let mut builder = BatchBuilder::new(Codec::None)
            .base_offset(offset)
            .producer(producer, 0, 0);
        if transactional {
            builder = builder.transactional();
        }
        builder.append(0, Some(b"k"), None, []).unwrap();
        *BatchView::first(&builder.build().unwrap()).unwrap().header()
    }

    fn aborted(producer_id: i64, first_offset: i64, last_offset: i64) -> AbortedTxn {
        AbortedTxn {
            producer_id,
            first_offset,
            last_offset,
            last_stable_offset: last_offset + 1,
        }
    }

    #[test]
    fn aborted_records_are_known_between_first_offset_and_marker() {
        let first = aborted(7, 10, 20);
        let second = aborted(7, 30, 40);
        let mut transactions = Transactions::new(vec![first, second]);
        assert!(
            !transactions.on_records(&header(5, 7, true)),
            "an earlier, committed one"
        );
        assert_eq!(
            transactions.on_marker(&header(6, 7, true), Some(ControlKind::Commit)),
            MarkerVerdict::Needed(None)
        );
        assert!(transactions.on_records(&header(10, 7, true)));
        assert!(!transactions.on_records(&header(11, 8, true)), "another producer");
        assert!(
            !transactions.on_records(&header(12, 7, false)),
            "outside of transactions"
        );
        assert_eq!(
            transactions.on_marker(&header(20, 7, true), Some(ControlKind::Abort)),
            MarkerVerdict::Needed(Some(first))
        );
        assert!(!transactions.on_records(&header(21, 7, true)));
        assert_eq!(
            transactions.on_marker(&header(22, 7, true), Some(ControlKind::Commit)),
            MarkerVerdict::Needed(None)
        );
        // All records of the second one are gone.
        assert_eq!(
            transactions.on_marker(&header(40, 7, true), Some(ControlKind::Abort)),
            MarkerVerdict::Dispensable
        );
    }

    #[test]
    fn markers_without_records_are_dispensable() {
        let mut transactions = Transactions::new(Vec::new());
        let marker = header(3, 7, true);
        assert_eq!(
            transactions.on_marker(&marker, Some(ControlKind::Commit)),
            MarkerVerdict::Dispensable
        );
        assert_eq!(
            transactions.on_marker(&marker, Some(ControlKind::Abort)),
            MarkerVerdict::Dispensable
        );
        assert_eq!(transactions.on_marker(&marker, None), MarkerVerdict::Dispensable);
        assert_eq!(
            transactions.on_unknown_control(&marker),
            MarkerVerdict::Needed(None)
        );
        transactions.on_records(&header(4, 7, true));
        // An emptied marker says nothing about the transaction that is under way.
        assert_eq!(transactions.on_marker(&marker, None), MarkerVerdict::Dispensable);
        assert_eq!(
            transactions.on_marker(&marker, Some(ControlKind::Commit)),
            MarkerVerdict::Needed(None)
        );
    }
}
