//! Compaction of logs on a real disk: what there is to do, what stays, and what may happen meanwhile.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // the names are our own

mod checkpoint;
mod latest;
mod meanwhile;
mod reopening;
mod support;
mod transactions;
