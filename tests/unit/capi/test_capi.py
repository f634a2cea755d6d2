"""The C ABI as a foreign runtime sees it: through `fastlog.h` and the shared library, nothing else."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cffi import FFI

from tests.unit.native.data import batch, rebased

ROOT = Path(__file__).parents[3]
HEADER = ROOT / "rust/fastlog-capi/include/fastlog.h"
LIBRARY = ROOT / "target/release" / ("libfastlog.dylib" if sys.platform == "darwin" else "libfastlog.so")


def declarations() -> str:
    """The header without the lines of the preprocessor and of C++."""
    text = re.sub(r"#ifdef __cplusplus\n.*?#endif\n", "", HEADER.read_text(), flags=re.S)
    return re.sub(r"^#.*\n", "", text, flags=re.M)


class Library:
    """The loaded library with short helpers."""

    def __init__(self) -> None:
        self.ffi = FFI()
        self.ffi.cdef(declarations())
        self.lib: Any = self.ffi.dlopen(str(LIBRARY))
        self.open_logs: list[Any] = []

    def error(self) -> str:
        text = self.ffi.string(self.lib.fastlog_last_error())
        assert isinstance(text, bytes)
        return text.decode()

    def options(self, **changes: int) -> Any:
        options = self.ffi.new("fastlog_options *")
        assert self.lib.fastlog_options_init(options) == self.lib.FASTLOG_OK
        for name, value in changes.items():
            setattr(options, name, value)
        return options

    def open(self, path: Path, **changes: int) -> Any:
        name, out = str(path).encode(), self.ffi.new("fastlog_log **")
        status = self.lib.fastlog_open(name, len(name), self.options(**changes), out)
        assert status == self.lib.FASTLOG_OK, self.error()
        self.open_logs.append(out[0])
        return out[0]

    def close(self, log: Any) -> None:
        self.open_logs.remove(log)
        assert self.lib.fastlog_close(log) == self.lib.FASTLOG_OK, self.error()

    def append(self, log: Any, records: bytes, epoch: int = 0) -> Any:
        info = self.ffi.new("fastlog_append_info *")
        status = self.lib.fastlog_append(log, records, len(records), epoch, info)
        assert status == self.lib.FASTLOG_OK, self.error()
        return info

    def read(self, log: Any, offset: int, capacity: int = 1 << 16, max_offset: int = 2**63 - 1) -> bytes:
        buffer, length = bytearray(capacity), self.ffi.new("size_t *")
        view = self.ffi.from_buffer("uint8_t[]", buffer, require_writable=True)
        status = self.lib.fastlog_read(log, offset, max_offset, view, capacity, length)
        assert status == self.lib.FASTLOG_OK, self.error()
        return bytes(buffer[: length[0]])

    def recovery(self, log: Any) -> Any:
        report = self.ffi.new("fastlog_recovery *")
        assert self.lib.fastlog_recovery_report(log, report) == self.lib.FASTLOG_OK
        return report


@pytest.fixture
def c() -> Iterator[Library]:
    library = Library()
    yield library
    for log in list(library.open_logs):
        library.lib.fastlog_close(log)


def test_append_read_flush_and_reopen(c: Library, tmp_path: Path) -> None:
    log = c.open(tmp_path / "t-0")
    records = batch(b"one", b"two")
    info = c.append(log, records, epoch=3)
    assert (info.first_offset, info.last_offset, info.end_offset, info.duplicate) == (0, 1, 2, 0)
    assert (info.log_append_time, info.log_start_offset) == (-1, 0)
    assert c.lib.fastlog_append(log, records, len(records), 3, c.ffi.NULL) == c.lib.FASTLOG_OK
    stored = rebased(records, 0, 3) + rebased(records, 2, 3)
    assert c.read(log, 0) == stored
    assert c.read(log, 0, max_offset=2) == rebased(records, 0, 3)
    assert c.read(log, 2) == rebased(records, 2, 3)
    assert c.read(log, 4) == b""
    number = c.ffi.new("int64_t *")
    assert c.lib.fastlog_flush(log, number) == c.lib.FASTLOG_OK
    assert number[0] == 4
    assert c.lib.fastlog_log_end_offset(log, number) == c.lib.FASTLOG_OK
    assert number[0] == 4
    assert c.lib.fastlog_log_start_offset(log, number) == c.lib.FASTLOG_OK
    assert number[0] == 0
    c.close(log)
    again = c.open(tmp_path / "t-0", clean_shutdown=1, recovery_point=4)
    assert c.recovery(again).bytes_scanned == 0
    assert c.read(again, 0) == stored


def test_duplicate_of_an_idempotent_producer(c: Library, tmp_path: Path) -> None:
    log = c.open(tmp_path / "t-0")
    records = batch(b"one", producer_id=5, producer_epoch=0, base_sequence=0)
    c.append(log, records)
    again = c.append(log, records)
    assert (again.first_offset, again.duplicate, again.end_offset) == (0, 1, 1)


def test_recovery_cuts_a_torn_tail(c: Library, tmp_path: Path) -> None:
    log = c.open(tmp_path / "t-0")
    records = batch(b"one")
    for _ in range(3):
        c.append(log, records)
    c.close(log)
    file = tmp_path / "t-0" / "00000000000000000000.log"
    file.write_bytes(file.read_bytes()[:-7])
    torn = c.open(tmp_path / "t-0")
    report = c.recovery(torn)
    assert report.truncated_bytes == len(records) - 7
    assert report.segments_scanned == 1
    assert c.read(torn, 0) == rebased(records, 0) + rebased(records, 1)
    text = c.ffi.new("char **")
    for index in range(report.warnings):
        assert c.lib.fastlog_recovery_warning(torn, index, text) == c.lib.FASTLOG_OK
        assert c.ffi.string(text[0])
    status = c.lib.fastlog_recovery_warning(torn, report.warnings, text)
    assert status == c.lib.FASTLOG_INVALID_ARGUMENT


def test_damage_refuses_to_open_unless_loss_is_allowed(c: Library, tmp_path: Path) -> None:
    log = c.open(tmp_path / "t-0")
    for number in range(3):
        c.append(log, batch(b"value %d" % number))
    c.close(log)
    file = tmp_path / "t-0" / "00000000000000000000.log"
    damaged = bytearray(file.read_bytes())
    damaged[70] ^= 0xFF
    file.write_bytes(damaged)
    name, out = str(tmp_path / "t-0").encode(), c.ffi.new("fastlog_log **")
    assert c.lib.fastlog_open(name, len(name), c.ffi.NULL, out) == c.lib.FASTLOG_CORRUPT
    assert out[0] == c.ffi.NULL
    assert str(file) in c.error()
    assert c.lib.fastlog_last_error_code() == 2
    opened = c.open(tmp_path / "t-0", allow_data_loss=1)
    assert c.recovery(opened).warnings > 0
    assert list((tmp_path / "t-0").glob("*.corrupt*"))


def test_rejected_batches(c: Library, tmp_path: Path) -> None:
    log = c.open(tmp_path / "t-0", max_message_bytes=100)
    records = bytearray(batch(b"one"))
    records[-1] ^= 1
    for bad, code in ((bytes(records), 2), (batch(b"x" * 200), 10)):
        status = c.lib.fastlog_append(log, bad, len(bad), 0, c.ffi.NULL)
        assert status == c.lib.FASTLOG_REJECTED
        assert c.lib.fastlog_last_error_code() == code
        assert c.error()
    assert c.lib.fastlog_append(log, b"", 0, 0, c.ffi.NULL) == c.lib.FASTLOG_REJECTED


def test_a_small_buffer_says_how_much_is_needed(c: Library, tmp_path: Path) -> None:
    log = c.open(tmp_path / "t-0")
    records = batch(b"one")
    c.append(log, records)
    buffer, length = c.ffi.new("uint8_t[10]"), c.ffi.new("size_t *")
    status = c.lib.fastlog_read(log, 0, 2**63 - 1, buffer, 10, length)
    assert status == c.lib.FASTLOG_BUFFER_TOO_SMALL
    assert length[0] == len(records)
    assert bytes(c.ffi.buffer(buffer)) == bytes(10)
    assert c.read(log, 0, capacity=length[0]) == rebased(records, 0)
    assert c.lib.fastlog_read(log, 1, 2**63 - 1, c.ffi.NULL, 0, length) == c.lib.FASTLOG_OK
    assert length[0] == 0


def test_wrong_arguments(c: Library, tmp_path: Path) -> None:
    log, null = c.open(tmp_path / "t-0"), c.ffi.NULL
    number, size, out = c.ffi.new("int64_t *"), c.ffi.new("size_t *"), c.ffi.new("fastlog_log **")
    name = str(tmp_path / "x").encode()
    raw = c.ffi.new("fastlog_options *")
    calls = [
        c.lib.fastlog_options_init(null),
        c.lib.fastlog_open(null, 5, null, out),
        c.lib.fastlog_open(name, 0, null, out),
        c.lib.fastlog_open(b"\xff\xfe", 2, null, out),
        c.lib.fastlog_open(b"a\0b", 3, null, out),
        c.lib.fastlog_open(name, len(name), null, null),
        c.lib.fastlog_open(name, len(name), raw, out),
        c.lib.fastlog_open(name, len(name), c.options(segment_bytes=0), out),
        c.lib.fastlog_append(null, b"x", 1, 0, null),
        c.lib.fastlog_append(log, null, 1, 0, null),
        c.lib.fastlog_read(log, 0, 0, null, 1, size),
        c.lib.fastlog_read(log, 0, 0, null, 0, null),
        c.lib.fastlog_flush(null, number),
        c.lib.fastlog_log_end_offset(null, number),
        c.lib.fastlog_log_start_offset(log, null),
        c.lib.fastlog_recovery_report(log, null),
        c.lib.fastlog_recovery_warning(null, 0, null),
    ]
    assert calls == [c.lib.FASTLOG_INVALID_ARGUMENT] * len(calls)
    assert c.error()
    assert c.lib.fastlog_close(null) == c.lib.FASTLOG_OK
    assert not (tmp_path / "x").exists()


def test_out_of_range_and_io_errors(c: Library, tmp_path: Path) -> None:
    log, length = c.open(tmp_path / "t-0"), c.ffi.new("size_t *")
    status = c.lib.fastlog_read(log, 7, 100, c.ffi.NULL, 0, length)
    assert status == c.lib.FASTLOG_OFFSET_OUT_OF_RANGE
    assert c.lib.fastlog_last_error_code() == 1
    (tmp_path / "file").write_bytes(b"")
    name, out = str(tmp_path / "file" / "t-0").encode(), c.ffi.new("fastlog_log **")
    assert c.lib.fastlog_open(name, len(name), c.ffi.NULL, out) == c.lib.FASTLOG_IO
    assert c.lib.fastlog_last_error_code() == 56


def test_errors_belong_to_the_thread(c: Library) -> None:
    assert c.lib.fastlog_options_init(c.ffi.NULL) == c.lib.FASTLOG_INVALID_ARGUMENT
    seen: list[tuple[str, int]] = []
    thread = threading.Thread(target=lambda: seen.append((c.error(), c.lib.fastlog_last_error_code())))
    thread.start()
    thread.join()
    assert seen == [("", 0)]
    assert c.error()


def test_version(c: Library) -> None:
    declared = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), flags=re.M)
    assert declared
    assert c.ffi.string(c.lib.fastlog_version()) == declared[1].encode()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the symbol table with nm of binutils")
def test_header_and_exported_symbols_agree() -> None:
    declared = set(re.findall(r"\b(fastlog_\w+)\(", declarations().split("fastlog_append_info;")[-1]))
    table = subprocess.run(
        ["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True
    )
    exported = {line.split()[-1] for line in table.stdout.splitlines() if " T " in line}
    assert {name for name in exported if not name.startswith(("rust_", "_"))} == declared


def test_the_layouts_agree(c: Library) -> None:
    assert c.options().struct_size == c.ffi.sizeof("fastlog_options")
    assert c.ffi.sizeof("fastlog_recovery") == 5 * 8
    assert c.ffi.sizeof("fastlog_append_info") == 6 * 8
