"""The table of partitions: what it finds by topic and counts by directory, whatever comes and goes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from fastlog.storage.partitions import OpenPartition, PartitionTable

KEYS = st.tuples(st.sampled_from("ab"), st.integers(0, 5))


class Directory:
    """Is compared, and told of what closes."""

    def note_former(self, key: tuple[str, int], recovery_point: int, log_start: int) -> None:
        """Keeps nothing."""


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "close"]), KEYS, st.integers(0, 1))))
def test_it_agrees_with_a_walk_through_all(changes: list[tuple[str, tuple[str, int], int]]) -> None:
    table = PartitionTable()
    directories: list[Any] = [Directory(), Directory()]
    for what, (topic, number), place in changes:
        entry = table.get(topic, number)
        if what == "add":
            log = cast("Any", SimpleNamespace(path="/none", recovery_point=0, log_start_offset=0))
            table.add(
                OpenPartition(topic, number, bytes(16), log, directories[place], cast("Any", None), 0.0)
            )
        elif what == "remove":
            assert table.remove(topic, number) is entry
        elif entry is not None:
            table.close(entry, "failed")
            assert (topic, number) in table.closed
        everything = list(table)
        for name in "ab":
            assert table.of_topic(name) == sorted(
                (entry for entry in everything if entry.topic == name), key=lambda entry: entry.partition
            )
        for directory in directories:
            assert table.count_in(directory) == len(table.in_directory(directory))
        assert set(table._ends) == {entry.topic for entry in everything}
