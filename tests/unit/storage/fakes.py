"""Stand-ins for the native module: logs of a few bytes in a real file, an engine without threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastlog.native import FastlogNativeError, StorageError
from fastlog.native.shapes import Cause

LOG_FILE = "00000000000000000000.log"
NEVER = 2**63 - 1


@dataclass
class FakeConfig:
    """The settings that storage itself looks at."""

    flush_ms: int = NEVER
    segment_bytes: int = 1000
    file_delete_delay_ms: int = 60_000
    retention_ms: int = NEVER
    compact: bool = False
    delete: bool = True


def storage_error(text: str, *, no_space: bool = False, cause: Cause = "disk") -> StorageError:
    """A StorageError as the native module raises it."""
    error = StorageError(text)
    error.no_space = no_space
    error.cause = "full" if no_space else cause
    return error


@dataclass
class FakeLog:
    """One byte is one record."""

    path: str
    config: Any
    options: dict[str, Any]
    failure: str | None = None
    is_out_of_room: bool = False
    failure_cause: Cause = "disk"
    damage: str | None = None
    latest_epoch: int = -1
    log_start_offset: int = 0
    recovery_point: int = 0
    closed: bool = False
    calls: list[str] = field(default_factory=list)
    retention_limits: list[int | None] = field(default_factory=list)
    producers: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    fail_on: dict[str, FastlogNativeError] = field(default_factory=dict)
    has_deleted: bool = True

    def __post_init__(self) -> None:
        file = Path(self.path) / LOG_FILE
        if not file.exists():
            file.touch()
        self.log_start_offset = self.options.get("log_start_offset", 0)

    @property
    def log_end_offset(self) -> int:
        return (Path(self.path) / LOG_FILE).stat().st_size

    @property
    def unflushed_bytes(self) -> int:
        return self.log_end_offset - self.recovery_point

    @property
    def recovery_report(self) -> dict[str, Any]:
        return {
            "segments_scanned": 0,
            "bytes_scanned": 0,
            "truncated_bytes": 0,
            "indexes_rebuilt": 0,
            "warnings": [],
        }

    def append(self, data: bytes) -> None:
        with (Path(self.path) / LOG_FILE).open("ab") as file:
            file.write(data)

    def _do(self, call: str) -> None:
        self.calls.append(call)
        if call in self.fail_on:
            raise self.fail_on[call]

    def flush(self) -> int:
        self._do("flush")
        self.recovery_point = self.log_end_offset
        return self.recovery_point

    def close(self) -> None:
        self._do("close")
        self.closed = True

    def recall_unreplicated(self, high_watermark: int) -> None:
        self._do(f"recall_unreplicated {high_watermark}")

    def apply_retention(self, now_ms: int, max_offset: int | None = None) -> int:
        self._do("apply_retention")
        self.retention_limits.append(max_offset)
        return 1

    def purge_deleted(self, now_ms: int) -> int:
        self._do("purge_deleted")
        return 2

    def expire_producers(self, now_ms: int) -> int:
        self._do("expire_producers")
        return 3

    def scrub(self, max_bytes: int, position: Any = None) -> tuple[int, Any]:
        self._do("scrub")
        return self.log_end_offset, None

    def advance_log_start_offset(self, offset: int) -> int:
        self.log_start_offset = max(self.log_start_offset, offset)
        return self.log_start_offset

    def update_config(self, config: Any) -> None:
        self.config = config

    def active_producers(self) -> list[tuple[int, int, int, int, int, int]]:
        return self.producers


class LogOpener:
    """`Log.open`; keeps the logs by path, and raises what `errors` says for a partition name or a path."""

    def __init__(self) -> None:
        self.logs: dict[str, FakeLog] = {}
        self.errors: dict[str, Exception] = {}
        self.producers: dict[str, list[tuple[int, int, int, int, int, int]]] = {}
        self.epochs: dict[str, int] = {}

    def __call__(self, path: str, config: Any, **options: Any) -> Any:
        name = Path(path).name
        error = self.errors.get(name) or self.errors.get(path)
        if error is not None:
            raise error
        log = FakeLog(path, config, options)
        log.producers = self.producers.get(name, [])
        log.latest_epoch = self.epochs.get(name, -1)
        self.logs[path] = log
        return log


class FakeEngine:
    """`IoEngine` whose jobs are done by the test: `finish(token, result)` makes a result readable."""

    def __init__(self, auto: Callable[[str, Any], Any] | None = None) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK)
        self._done: list[tuple[int, Any]] = []
        self._auto = auto
        self.jobs: list[tuple[str, int, tuple[Any, ...]]] = []
        self.closed = False

    def fileno(self) -> int:
        return self._descriptor

    def finish(self, token: int, result: Any) -> None:
        self._done.append((token, result))
        os.eventfd_write(self._descriptor, 1)

    def drain(self) -> list[tuple[int, Any]]:
        try:
            os.eventfd_read(self._descriptor)
        except BlockingIOError:
            return []
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        self.closed = True

    def _submit(self, kind: str, token: int, *args: Any) -> None:
        self.jobs.append((kind, token, args))
        if self._auto is not None:
            self.finish(token, self._auto(kind, args))

    def produce(self, token: int, plan: Any, targets: Any, epochs: Any, guards: Any = None) -> None:
        self._submit("produce", token, plan, targets, epochs)

    def fetch(self, token: int, version: int, correlation_id: int, rows: Any, **options: Any) -> None:
        self._submit("fetch", token, version, correlation_id, rows, options)

    def flush(self, token: int, log: Any) -> None:
        self._submit("flush", token, log)

    def commit(self, token: int, log: Any) -> None:
        self._submit("commit", token, log)


def flushing(kind: str, args: tuple[Any, ...]) -> Any:
    """Answer of an engine that flushes at once, for `FakeEngine(flushing)`."""
    try:
        return args[0].flush()
    except FastlogNativeError as error:
        return error
