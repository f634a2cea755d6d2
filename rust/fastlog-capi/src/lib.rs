//! The C ABI of fastlog-core; the contract, with ownership and threading, is `include/fastlog.h`.
//!
//! Nothing here decides anything: arguments are checked, the core is called, its error is kept for the
//! calling thread. Every function runs under [`status::guarded`], so that no panic leaves the library.

mod log;
mod status;
mod types;

pub use log::{
    fastlog_append, fastlog_close, fastlog_flush, fastlog_log_end_offset, fastlog_log_start_offset,
    fastlog_open, fastlog_options_init, fastlog_read, fastlog_recovery_report, fastlog_recovery_warning,
};
pub use status::{fastlog_last_error, fastlog_last_error_code, fastlog_version};
pub use types::{AppendInfo, LogHandle, Options, Recovery, Status};
