//! The functions on logs. Each `# Safety` section is the promise that the header asks of the caller.

use std::ffi::c_char;
use std::path::Path;
use std::sync::Arc;

use fastlog_core::env::StdFs;
use fastlog_core::{AppendOptions, LogConfig, OpenOptions, PartitionLog, SystemClock};

use crate::status::{Fault, c_string, guarded};
use crate::types::{AppendInfo, LogHandle, Options, Recovery, Status};

/// Fills in Kafka's defaults.
///
/// # Safety
/// `options` is null or points to a `fastlog_options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fastlog_options_init(options: *mut Options) -> Status {
    guarded(|| {
        // SAFETY: as promised by the caller.
        unsafe { write(options, default_options()) }
    })
}

/// Opens or creates a log.
///
/// # Safety
/// `path` points to `path_length` readable bytes; `options` is null or points to a `fastlog_options`; `log` is
/// null or points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fastlog_open(
    path: *const c_char,
    path_length: usize,
    options: *const Options,
    log: *mut *mut LogHandle,
) -> Status {
    guarded(|| {
        if log.is_null() {
            return Err(Fault::argument("log is null"));
        }
        // SAFETY: as promised by the caller.
        let path = unsafe { bytes(path.cast(), path_length) }?;
        let path = std::str::from_utf8(path).map_err(|_| Fault::argument("the path is not UTF-8"))?;
        if path.is_empty() || path.contains('\0') {
            return Err(Fault::argument("the path is empty or has a zero byte"));
        }
        // SAFETY: as promised by the caller.
        let options = unsafe { options.as_ref() }
            .copied()
            .unwrap_or_else(default_options);
        let (config, options) = core_options(&options)?;
        let (opened, report) = PartitionLog::open(
            Path::new(path),
            config,
            Arc::new(StdFs),
            Arc::new(SystemClock),
            options,
        )?;
        let warnings = report.warnings.iter().map(|text| c_string(text)).collect();
        let handle = Box::into_raw(Box::new(LogHandle {
            log: opened,
            report,
            warnings,
        }));
        // SAFETY: as promised by the caller; null was refused above.
        unsafe { write(log, handle) }
    })
}

/// What opening had to do.
///
/// # Safety
/// `log` is null or an open handle; `report` is null or points to a `fastlog_recovery`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fastlog_recovery_report(log: *const LogHandle, report: *mut Recovery) -> Status {
    guarded(|| {
        // SAFETY: as promised by the caller.
        let handle = unsafe { handle(log) }?;
        let recovery = Recovery {
            segments_scanned: handle.report.segments_scanned as u64,
            bytes_scanned: handle.report.bytes_scanned,
            truncated_bytes: handle.report.truncated_bytes,
            indexes_rebuilt: handle.report.indexes_rebuilt as u64,
            warnings: handle.warnings.len() as u64,
        };
        // SAFETY: as promised by the caller.
        unsafe { write(report, recovery) }
    })
}

/// One warning of the recovery.
///
/// # Safety
/// `log` is null or an open handle; `text` is null or points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fastlog_recovery_warning(
    log: *const LogHandle,
    index: u64,
    text: *mut *const c_char,
) -> Status {
    guarded(|| {
        // SAFETY: as promised by the caller.
        let handle = unsafe { handle(log) }?;
        let warning = usize::try_from(index)
            .ok()
            .and_then(|index| handle.warnings.get(index));
        let warning = warning.ok_or_else(|| Fault::argument("no warning has this index"))?;
        // SAFETY: as promised by the caller.
        unsafe { write(text, warning.as_ptr()) }
    })
}

/// Appends one batch.
///
/// # Safety
/// `log` is null or an open handle; `records` points to `records_length` readable bytes that nobody changes
/// during the call; `info` is null or points to a `fastlog_append_info`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fastlog_append(
    log: *const LogHandle,
    records: *const u8,
    records_length: usize,
    leader_epoch: i32,
    info: *mut AppendInfo,
) -> Status {
    guarded(|| {
        // SAFETY: as promised by the caller.
        let (handle, records) = unsafe { (handle(log)?, bytes(records, records_length)?) };
        let done = handle
            .log
            .append(records, leader_epoch, AppendOptions::default())?;
        if info.is_null() {
            return Ok(());
        }
        let done = AppendInfo {
            first_offset: done.first_offset,
            last_offset: done.last_offset,
            end_offset: done.end_offset,
            log_start_offset: done.log_start_offset,
            log_append_time: done.log_append_time,
            duplicate: i32::from(done.duplicate),
        };
        // SAFETY: as promised by the caller.
        unsafe { write(info, done) }
    })
}

/// Copies batches into the caller's buffer.
///
/// # Safety
/// `log` is null or an open handle; `buffer` points to `capacity` writable bytes that nobody else uses during
/// the call; `length` is null or points to a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fastlog_read(
    log: *const LogHandle,
    offset: i64,
    max_offset: i64,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> Status {
    guarded(|| {
        // SAFETY: as promised by the caller.
        let handle = unsafe { handle(log) }?;
        if length.is_null() || (buffer.is_null() && capacity > 0) {
            return Err(Fault::argument("buffer or length is null"));
        }
        let slice = handle.log.read(offset, capacity, max_offset, true)?;
        // SAFETY: as promised by the caller; null was refused above.
        unsafe { write(length, slice.len) }?;
        if slice.len > capacity {
            return Err(Fault::too_small(slice.len));
        }
        if slice.len == 0 {
            return Ok(());
        }
        // Zeroed first: a Rust slice may not cover memory that was never written.
        // SAFETY: at least `slice.len` bytes are writable, and the caller leaves them to us during the call.
        let target = unsafe {
            buffer.write_bytes(0, slice.len);
            std::slice::from_raw_parts_mut(buffer, slice.len)
        };
        Ok(slice.read_into(target)?)
    })
}

/// Makes all appended data durable.
///
/// # Safety
/// `log` is null or an open handle; `recovery_point` is null or points to an `int64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fastlog_flush(log: *const LogHandle, recovery_point: *mut i64) -> Status {
    guarded(|| {
        // SAFETY: as promised by the caller.
        let flushed = unsafe { handle(log) }?.log.flush(None)?;
        if recovery_point.is_null() {
            return Ok(());
        }
        // SAFETY: as promised by the caller.
        unsafe { write(recovery_point, flushed) }
    })
}

/// The first offset that can be read.
///
/// # Safety
/// `log` is null or an open handle; `offset` is null or points to an `int64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fastlog_log_start_offset(log: *const LogHandle, offset: *mut i64) -> Status {
    // SAFETY: as promised by the caller.
    guarded(|| unsafe { write(offset, handle(log)?.log.log_start_offset()) })
}

/// The offset that the next record will get.
///
/// # Safety
/// `log` is null or an open handle; `offset` is null or points to an `int64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fastlog_log_end_offset(log: *const LogHandle, offset: *mut i64) -> Status {
    // SAFETY: as promised by the caller.
    guarded(|| unsafe { write(offset, handle(log)?.log.log_end_offset()) })
}

/// Flushes and closes the log and frees the handle.
///
/// # Safety
/// `log` is null or an open handle that no other call uses, now or later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fastlog_close(log: *mut LogHandle) -> Status {
    guarded(|| {
        if log.is_null() {
            return Ok(());
        }
        // SAFETY: the handle came from `Box::into_raw` in `fastlog_open`, and this is its last use.
        let handle = unsafe { Box::from_raw(log) };
        Ok(handle.log.close()?)
    })
}

fn default_options() -> Options {
    let config = LogConfig::default();
    Options {
        struct_size: size_of::<Options>(),
        recovery_point: 0,
        log_start_offset: 0,
        segment_bytes: config.segment_bytes as i64,
        max_message_bytes: config.max_message_bytes as i64,
        index_interval_bytes: config.index_interval_bytes as i64,
        clean_shutdown: 0,
        allow_data_loss: 0,
    }
}

fn core_options(options: &Options) -> Result<(LogConfig, OpenOptions), Fault> {
    if options.struct_size != size_of::<Options>() {
        return Err(Fault::argument(
            "the options were not filled in by fastlog_options_init",
        ));
    }
    let positive = |value: i64| {
        u64::try_from(value)
            .ok()
            .filter(|value| *value > 0)
            .ok_or_else(|| Fault::argument("a size is not positive"))
    };
    let config = LogConfig {
        segment_bytes: positive(options.segment_bytes)?,
        max_message_bytes: positive(options.max_message_bytes)? as usize,
        index_interval_bytes: positive(options.index_interval_bytes)?,
        ..LogConfig::default()
    };
    let options = OpenOptions {
        recovery_point: options.recovery_point,
        log_start_offset: options.log_start_offset,
        clean_shutdown: options.clean_shutdown != 0,
        allow_data_loss: options.allow_data_loss != 0,
        ..OpenOptions::default()
    };
    Ok((config, options))
}

/// # Safety
/// `log` is null or an open handle that stays open for `'a`.
unsafe fn handle<'a>(log: *const LogHandle) -> Result<&'a LogHandle, Fault> {
    // SAFETY: as promised by the caller.
    unsafe { log.as_ref() }.ok_or_else(|| Fault::argument("log is null"))
}

/// # Safety
/// `start` is null or points to `length` readable bytes that do not change during `'a`.
unsafe fn bytes<'a>(start: *const u8, length: usize) -> Result<&'a [u8], Fault> {
    if length == 0 {
        return Ok(&[]);
    }
    if start.is_null() || isize::try_from(length).is_err() {
        return Err(Fault::argument(
            "a null pointer, or more bytes than an address space has",
        ));
    }
    // SAFETY: not null, and readable as promised by the caller.
    Ok(unsafe { std::slice::from_raw_parts(start, length) })
}

/// # Safety
/// `target` is null or points to a writable `T`.
unsafe fn write<T>(target: *mut T, value: T) -> Result<(), Fault> {
    if target.is_null() {
        return Err(Fault::argument("the pointer for the result is null"));
    }
    // SAFETY: not null, and writable as promised by the caller.
    unsafe { target.write(value) };
    Ok(())
}
