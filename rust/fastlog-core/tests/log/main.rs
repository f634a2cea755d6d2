//! The log as a whole, through its public interface. One program: each one more costs a link of the core.

mod basics;
mod causes;
mod common;
mod compaction;
mod compaction_crash;
mod compaction_model;
mod crash;
mod damage;
mod fence;
mod follow;
mod losses;
mod model;
mod operations;
mod pooled;
mod producers;
mod reading;
mod reading_beside;
mod recovery;
mod shortages;
mod snapshots;
mod swap_damage;
mod times;
mod transactions;
mod verification;
mod waiting;
