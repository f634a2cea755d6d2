//! The log as a whole, through its public interface. One program: each one more costs a link of the core.

mod basics;
mod common;
mod compaction;
mod compaction_crash;
mod compaction_model;
mod crash;
mod model;
mod operations;
mod producers;
mod recovery;
mod snapshots;
