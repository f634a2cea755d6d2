//! `fastlog.native._core`: the thin `PyO3` shell around `fastlog-core`.
//!
//! One file per class. Signatures, shapes and units are documented in `_core.pyi`, which stubtest compares
//! with this module. Calls that reach the disk or touch many bytes release the GIL.

// Python hands arguments over by value: a buffer is released when the call is done with it.
#![allow(clippy::needless_pass_by_value)]

mod accumulator;
mod append_info;
mod arrow_records;
mod batches;
mod buffers;
mod bulk;
mod clock;
mod codecs;
mod columns;
mod compaction;
mod config;
mod consuming;
mod engine;
mod errors;
mod fetching;
mod files;
mod frame;
mod inspect;
mod log;
mod memory;
mod payload;
mod placing;
mod plan;
mod producing;
mod reading;
mod receiving;
mod sending;
mod settled;
mod tables;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_export]
    use crate::accumulator::{Accumulator, NotYet, murmur2};
    #[pymodule_export]
    use crate::append_info::AppendInfo;
    #[pymodule_export]
    use crate::arrow_records::{ArrowBatch, ArrowReader};
    #[pymodule_export]
    use crate::batches::{build_batch, read_batches};
    #[pymodule_export]
    use crate::buffers::Chunk;
    #[pymodule_export]
    use crate::clock::ClockAhead;
    #[pymodule_export]
    use crate::codecs::{compress, crc32c, decompress};
    #[pymodule_export]
    use crate::columns::decode_columns;
    #[pymodule_export]
    use crate::compaction::{CleanerThrottle, CompactionReport, CompactionState};
    #[pymodule_export]
    use crate::config::LogConfig;
    #[pymodule_export]
    use crate::consuming::{FetchedRecords, Record};
    #[pymodule_export]
    use crate::engine::IoEngine;
    #[pymodule_export]
    use crate::errors::{
        CompactionAborted, CorruptLog, FastlogNativeError, FencedLeader, FrameError, MalformedRequest,
        OffsetOutOfRange, RejectedBatch, StorageError, errno_cause,
    };
    #[pymodule_export]
    use crate::fetching::{FetchRowBuilder, FetchedRows};
    #[pymodule_export]
    use crate::files::{open_files, set_open_files};
    #[pymodule_export]
    use crate::frame::{Frame, FrameReader};
    #[pymodule_export]
    use crate::inspect::{look_for_missing, scan_segment};
    #[pymodule_export]
    use crate::log::Log;
    #[pymodule_export]
    use crate::memory::{give_back, hold_reserve, limit_heaps, release_reserve};
    #[pymodule_export]
    use crate::plan::{FetchPlan, FetchReply, ProducePlan};
    #[pymodule_export]
    use crate::producing::{Delivery, RecordBatch, RecordMetadata};
    #[pymodule_export]
    use crate::reading::LogReader;
    #[pymodule_export]
    use crate::receiving::{Received, Receiver};
    #[pymodule_export]
    use crate::sending::{FileResponse, Socket};
    #[pymodule_export]
    use crate::settled::{Generation, Produced, SettledTable};
    #[pymodule_export]
    use crate::tables::{Table, TableBuffer, TableBuilder, TablePool};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
