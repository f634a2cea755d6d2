"""The only importer of the extension module `fastlog.native._core`.

The signatures and their units are in `_core.pyi`; the tuples are described in `fastlog.native.shapes`.
"""

from fastlog.native._core import (
    AppendInfo,
    Chunk,
    CorruptLog,
    FastlogNativeError,
    FetchPlan,
    Frame,
    FrameError,
    FrameReader,
    IoEngine,
    Log,
    LogConfig,
    MalformedRequest,
    OffsetOutOfRange,
    ProducePlan,
    RejectedBatch,
    StorageError,
    build_batch,
    compress,
    crc32c,
    decode_columns,
    decompress,
    read_batches,
)

__all__ = [
    "AppendInfo",
    "Chunk",
    "CorruptLog",
    "FastlogNativeError",
    "FetchPlan",
    "Frame",
    "FrameError",
    "FrameReader",
    "IoEngine",
    "Log",
    "LogConfig",
    "MalformedRequest",
    "OffsetOutOfRange",
    "ProducePlan",
    "RejectedBatch",
    "StorageError",
    "build_batch",
    "compress",
    "crc32c",
    "decode_columns",
    "decompress",
    "read_batches",
]
