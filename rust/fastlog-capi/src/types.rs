//! The structures of `fastlog.h`, field by field.

use std::ffi::CString;

use fastlog_core::{PartitionLog, RecoveryReport};

/// `fastlog_status`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)] // described in the header
pub enum Status {
    Ok = 0,
    InvalidArgument = 1,
    Io = 2,
    NoSpace = 3,
    Corrupt = 4,
    OffsetOutOfRange = 5,
    Rejected = 6,
    BufferTooSmall = 7,
    Internal = 8,
}

/// `fastlog_options`
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[allow(missing_docs)] // described in the header
pub struct Options {
    pub struct_size: usize,
    pub recovery_point: i64,
    pub log_start_offset: i64,
    pub segment_bytes: i64,
    pub max_message_bytes: i64,
    pub index_interval_bytes: i64,
    pub clean_shutdown: i32,
    pub allow_data_loss: i32,
}

/// `fastlog_recovery`
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[allow(missing_docs)] // described in the header
pub struct Recovery {
    pub segments_scanned: u64,
    pub bytes_scanned: u64,
    pub truncated_bytes: u64,
    pub indexes_rebuilt: u64,
    pub warnings: u64,
}

/// `fastlog_append_info`
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[allow(missing_docs)] // described in the header
pub struct AppendInfo {
    pub first_offset: i64,
    pub last_offset: i64,
    pub end_offset: i64,
    pub log_start_offset: i64,
    pub log_append_time: i64,
    pub duplicate: i32,
}

/// `fastlog_log`: opaque to callers.
#[derive(Debug)]
pub struct LogHandle {
    pub(crate) log: PartitionLog,
    pub(crate) report: RecoveryReport,
    /// The warnings of the report, as C strings that live as long as the handle.
    pub(crate) warnings: Vec<CString>,
}
