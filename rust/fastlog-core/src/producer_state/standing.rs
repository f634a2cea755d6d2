//! What the verification of a transaction (`crate::log`) says of a batch that begins it in a partition (KIP-890).

use crate::batch::{BatchHeader, Rejection};
use crate::error::ErrorCode;

/// How a batch stands with the verification of its transaction; [`Default`] where that is none of its matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// It begins a transaction here that its coordinator was not asked about, or whose answer is out of date.
    pub unverified: bool,
    /// The lowest first sequence that waits for the coordinator's answer: what lies behind it comes too early.
    pub lowest_sequence: Option<i32>,
    /// A producer of which nothing is known here begins with 0 (KAFKA-18202).
    pub begins_with_zero: bool,
}

/// A batch that begins a transaction must be known to its coordinator.
pub(super) fn check_verified(header: &BatchHeader, standing: Standing) -> Result<(), Rejection> {
    if !standing.unverified {
        return Ok(());
    }
    let message = format!(
        "the partition is not known to be in the transaction of producer {}",
        header.producer_id
    );
    Err(Rejection::new(ErrorCode::InvalidTxnState, message))
}

/// Sequence rules while the producer's transaction begins.
pub(super) fn check_beginning(
    header: &BatchHeader,
    standing: Standing,
    is_known: bool,
) -> Result<(), Rejection> {
    let (id, first) = (header.producer_id, header.base_sequence);
    let message = if standing.begins_with_zero && !is_known && first != 0 {
        format!("producer {id} begins with sequence {first} instead of 0")
    } else if standing.lowest_sequence.is_some_and(|lowest| first > lowest) {
        format!("producer {id} sent sequence {first} before an earlier one was verified")
    } else {
        return Ok(());
    };
    Err(Rejection::new(ErrorCode::OutOfOrderSequenceNumber, message))
}
