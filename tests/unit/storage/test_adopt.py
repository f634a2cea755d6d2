"""What is found in a log directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.base.uuids import random_uuid
from fastlog.storage.adopt import list_log_directory, report_left_alone
from fastlog.storage.partition_metadata import write_topic_id
from fastlog.storage.placement import duplicate_directories, duplicate_partitions


def test_a_directory_of_kafka_is_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    topic_id = random_uuid()
    for name in (
        "orders-0",
        "orders-1",
        "__consumer_offsets-49",
        "__cluster_metadata-0",
        "gone-0.0123456789abcdef0123456789abcdef-delete",
        "moved-0.0123456789abcdef0123456789abcdef-future",
        "odd-0.0123456789abcdef0123456789abcdef-stray",
        "lost+found",
        "remote-log-index-cache",
        "backup",
        ".hidden",
    ):
        (tmp_path / name).mkdir()
    (tmp_path / "a-file-0").touch()
    write_topic_id(tmp_path / "orders-0", topic_id)
    (tmp_path / "orders-0" / "leader-epoch-checkpoint").write_text("0\n2\n3 0\n7 1200\n")
    (tmp_path / "orders-1" / "partition.metadata").write_text("garbage")
    listing = list_log_directory(tmp_path)
    found = {(entry.topic, entry.partition): entry for entry in listing.partitions}
    assert set(found) == {("orders", 0), ("orders", 1), ("__consumer_offsets", 49)}
    assert (found["orders", 0].topic_id, found["orders", 0].latest_epoch) == (topic_id, 7)
    assert found["orders", 0].problem is None
    assert "damaged" in (found["orders", 1].problem or "")
    assert found["__consumer_offsets", 49].topic_id is None
    assert [path.name.partition("-")[0] for path in listing.deleted] == ["gone"]
    assert [path.name.partition("-")[0] for path in listing.future] == ["moved"]
    assert [path.name.partition("-")[0] for path in listing.stray] == ["odd"]
    assert [path.name for path in listing.foreign] == ["backup"]
    report_left_alone([listing])
    for name in ("moved-0", "odd-0", "backup"):
        assert name in caplog.text


def test_a_link_to_a_partition_elsewhere_is_listed(tmp_path: Path) -> None:
    """A partition that somebody moved to another disk; Kafka serves it."""
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    elsewhere.mkdir()
    (data / "t-0").symlink_to(elsewhere)
    (data / "t-1").symlink_to(tmp_path / "nothing")
    assert [(entry.topic, entry.partition) for entry in list_log_directory(data).partitions] == [("t", 0)]


def test_a_partition_in_two_directories_is_told(tmp_path: Path) -> None:
    for parent in ("a", "b"):
        (tmp_path / parent / "t-0").mkdir(parents=True)
    found = [entry for parent in ("a", "b") for entry in list_log_directory(tmp_path / parent).partitions]
    assert "t-0 is in both" in (duplicate_partitions(found) or "")
    assert duplicate_partitions(found[:1]) is None


def test_one_directory_named_twice_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert "twice" in (duplicate_directories([tmp_path / "a", tmp_path / "link"]) or "")
    assert duplicate_directories([tmp_path / "a", tmp_path / "b"]) is None
