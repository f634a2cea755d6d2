//! The log engine of fastlog: Kafka's record batches, segments, indexes and the framing of Produce and Fetch.
//!
//! Pure Rust: no Python types and no C types, so everything here is tested without an interpreter. The
//! binding crates `fastlog-py` and `fastlog-capi` are thin shells around this one.

pub mod arrow;
pub mod batch;
pub mod cause;
pub mod checkpoints;
pub mod clock;
pub mod compaction;
pub mod compression;
pub mod env;
pub mod error;
pub mod filenames;
pub mod index;
pub mod io_engine;
pub mod leader_epochs;
pub mod log;
pub mod log_reader;
mod memory;
pub mod partitioner;
pub mod producer_state;
pub mod readiness;
pub mod segment;
pub mod settled;
pub mod txn_index;
pub mod wire;

pub use batch::{BatchHeader, BatchView, TimestampType, batches};
pub use cause::Cause;
pub use checkpoints::{OffsetCheckpoint, PartitionOffset};
pub use clock::{AheadClock, Clock, ManualClock, SystemClock};
pub use compaction::{CompactionOptions, CompactionReport, CompactionState, Throttle};
pub use compression::Codec;
pub use error::{Error, ErrorCode, Result};
pub use leader_epochs::{EpochEntry, LeaderEpochs};
pub use log::{
    AppendError, AppendInfo, AppendOptions, LogConfig, OpenOptions, PartitionLog, ReadSlice, RecoveryReport,
};
pub use producer_state::{ActiveProducer, CompletedTxn, ProducerState, SequenceVerdict};
pub use txn_index::{AbortedTxn, TxnIndex};
