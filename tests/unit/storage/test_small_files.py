"""Atomic files, UUIDs, partition directory names and partition.metadata."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from fastlog.base import files
from fastlog.base.files import is_full_disk, make_directory, remove_durably, write_atomically
from fastlog.base.uuids import ZERO_UUID, format_uuid, parse_uuid, random_uuid
from fastlog.storage.disk_jobs import in_parallel, uninterrupted
from fastlog.storage.partition_dirs import DirectoryKind, live_name, parse_name, retired_name
from fastlog.storage.partition_files import remove_tree, retire
from fastlog.storage.partition_metadata import (
    PARTITION_METADATA_FILE,
    PartitionMetadataDamaged,
    read_topic_id,
    write_topic_id,
)


class Calls:
    """Records which of os' calls were made, and fails one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failing: str, code: int) -> None:
        self.made: list[str] = []
        for name in ("write", "fsync", "replace"):
            monkeypatch.setattr(files.os, name, self._wrap(name, getattr(os, name), failing, code))

    def _wrap(self, name, real, failing, code):  # type: ignore[no-untyped-def]
        def call(*args):  # type: ignore[no-untyped-def]
            self.made.append(name)
            if name == failing:
                raise OSError(code, os.strerror(code))
            return real(*args)

        return call


def test_a_file_is_replaced_by_its_new_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new content")
    assert path.read_bytes() == b"new content"
    assert list(tmp_path.iterdir()) == [path]


def test_content_and_directory_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch, "", 0)
    write_atomically(tmp_path / "file", b"data")
    assert calls.made == ["write", "fsync", "replace", "fsync"]


def test_nothing_is_changed_that_could_not_be_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a descriptor for the directory no file gets its new content and no directory its new name."""
    path = tmp_path / "file"
    write_atomically(path, b"old")
    (tmp_path / "t-0").mkdir()
    real = os.open

    def opened(name: Path, flags: int, *mode: int) -> int:
        if flags & os.O_DIRECTORY:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(name, flags, *mode)

    with monkeypatch.context() as context:
        context.setattr(files.os, "open", opened)
        for change in (
            lambda: write_atomically(path, b"new"),
            lambda: remove_durably(path),
            lambda: make_directory(tmp_path / "t-1"),
            lambda: retire(tmp_path / "t-0", "t", 0, DirectoryKind.DELETED),
            lambda: remove_tree(tmp_path / "t-0"),
        ):
            with pytest.raises(OSError, match="Too many open files"):
                change()
    assert path.read_bytes() == b"old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "t-0"]


@pytest.mark.parametrize("failing", ["write", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failed_write_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, code: int
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    Calls(monkeypatch, failing, code)
    with pytest.raises(OSError) as caught:
        write_atomically(path, b"new")
    assert caught.value.errno == code
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(files.os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    write_atomically(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_removal_says_whether_there_was_something(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert remove_durably(tmp_path / "file")
    assert not remove_durably(tmp_path / "file")


def test_only_a_full_disk_counts_as_full() -> None:
    assert is_full_disk(OSError(errno.ENOSPC, ""))
    assert is_full_disk(OSError(errno.EDQUOT, ""))
    assert not is_full_disk(OSError(errno.EIO, ""))
    assert not is_full_disk(ValueError())


def test_uuids_have_kafkas_text_form() -> None:
    # Uuid.METADATA_TOPIC_ID and a value from a KRaft log, as Kafka prints them.
    assert format_uuid((1).to_bytes(16, "big")) == "AAAAAAAAAAAAAAAAAAAAAQ"
    assert parse_uuid("vPeOCWypqUOSepEvx0cbog").hex() == "bcf78e096ca9a943927a912fc7471ba2"
    for _ in range(200):
        value = random_uuid()
        text = format_uuid(value)
        assert parse_uuid(text) == value
        assert len(text) == 22
        assert not text.startswith("-")


@pytest.mark.parametrize(
    "text",
    ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAAR", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAA+AAAAAAAAA", "é" * 22],
)
def test_other_texts_are_no_uuids(text: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        parse_uuid(text)


@pytest.mark.parametrize(
    ("name", "topic", "partition", "kind"),
    [
        ("orders-0", "orders", 0, DirectoryKind.LIVE),
        ("my-topic-12", "my-topic", 12, DirectoryKind.LIVE),
        ("a.b_c-7", "a.b_c", 7, DirectoryKind.LIVE),
        ("t-1.0123456789abcdef0123456789abcdef-delete", "t", 1, DirectoryKind.DELETED),
        ("a.b-1.0123456789abcdef0123456789abcdef-future", "a.b", 1, DirectoryKind.FUTURE),
        ("t-1.x-stray", "t", 1, DirectoryKind.STRAY),
        # A topic may be called like a suffix.
        ("x-delete-3", "x-delete", 3, DirectoryKind.LIVE),
    ],
)
def test_directory_names_are_read(name: str, topic: str, partition: int, kind: DirectoryKind) -> None:
    parsed = parse_name(name)
    assert parsed is not None
    assert (parsed.topic, parsed.partition, parsed.kind) == (topic, partition, kind)


@pytest.mark.parametrize(
    "name", ["", "lost+found", "orders", "orders-", "-1", "orders-x", "t-01", "t-99999999999", "t-1-delete"]
)
def test_other_directories_are_not_partitions(name: str) -> None:
    parsed = parse_name(name)
    assert parsed is None or parsed.kind is not DirectoryKind.LIVE or parsed.topic == "t-1"


def test_retired_names_fit_a_file_name_and_parse_back() -> None:
    long_topic = "t" * 249
    for kind in (DirectoryKind.DELETED, DirectoryKind.STRAY):
        name = retired_name(long_topic, 3, kind)
        parsed = parse_name(name)
        assert len(name) <= 255
        assert parsed is not None
        assert (parsed.partition, parsed.kind) == (3, kind)
    assert retired_name("a", 0, DirectoryKind.DELETED) != retired_name("a", 0, DirectoryKind.DELETED)
    assert live_name("a-b", 4) == "a-b-4"


def test_topic_ids_survive_in_partition_metadata(tmp_path: Path) -> None:
    topic_id = random_uuid()
    assert read_topic_id(tmp_path) is None
    write_topic_id(tmp_path, topic_id)
    assert (
        tmp_path / PARTITION_METADATA_FILE
    ).read_text() == f"version: 0\ntopic_id: {format_uuid(topic_id)}\n"
    assert read_topic_id(tmp_path) == topic_id


def test_partition_metadata_of_kafka_has_no_last_newline(tmp_path: Path) -> None:
    (tmp_path / PARTITION_METADATA_FILE).write_text("version: 0\ntopic_id: vPeOCWypqUOSepEvx0cbog")
    assert read_topic_id(tmp_path) == parse_uuid("vPeOCWypqUOSepEvx0cbog")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "version: 0\n",
        "version: 1\ntopic_id: vPeOCWypqUOSepEvx0cbog\n",
        "version: 0\ntopic_id: vPeOCWypqUOSepEvx0cb\n",
        "version: 0\ntopic_id: vPeOCWypqUOSepEvx0cbog\nmore\n",
        f"version: 0\ntopic_id: {format_uuid(ZERO_UUID)}\n",
        "\x00" * 60,
    ],
)
def test_damaged_partition_metadata_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / PARTITION_METADATA_FILE).write_text(content)
    with pytest.raises(PartitionMetadataDamaged, match=r"partition\.metadata"):
        read_topic_id(tmp_path)


async def test_parallel_work_stops_at_the_first_error_and_waits_for_the_rest() -> None:
    began: list[int] = []
    ended: list[int] = []
    gate = asyncio.Event()

    async def work(item: int) -> None:
        began.append(item)
        if item == 1:
            gate.set()
            raise ValueError("one")
        await gate.wait()
        await asyncio.sleep(0)
        ended.append(item)

    with pytest.raises(ValueError, match="one"):
        await in_parallel(3, range(100), work)
    assert began == [0, 1]
    assert ended == [0]
    began.clear()
    await in_parallel(3, [5, 6, 7, 8], work)
    assert began == [5, 6, 7, 8]


async def test_uninterrupted_work_ends_before_the_cancellation_is_raised() -> None:
    gate, done = asyncio.Event(), []

    async def work() -> None:
        await gate.wait()
        done.append(True)

    task = asyncio.create_task(uninterrupted(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]
