"""Partitions that this broker was told to have, or to delete, and could not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from fastlog.errors import ErrorCode, KafkaError
from fastlog.replication.partition import PartitionKey
from fastlog.replication.reconciler import Outcome
from fastlog.storage.log_manager import LogManager


class Obstacles:
    """Used on the event loop. `on_new` is called when there are more."""

    def __init__(self, logs: LogManager, on_new: Callable[[], object]) -> None:
        self._logs = logs
        self._on_new = on_new
        self._failures: dict[str, dict[int, Exception]] = {}
        """By topic and number the partitions that are not as the controller wants them, and why."""
        self._undeleted: set[PartitionKey] = set()

    def of(self, topic: str) -> Mapping[int, Exception]:
        """By number the partitions of a topic that could not be had, and why."""
        return self._failures.get(topic, {})

    def note(self, keys: Iterable[PartitionKey], outcome: Outcome) -> None:
        """Of the partitions with these keys, those of `outcome` could not be had, and the others could."""
        if not self._failures and not outcome.failed:
            return
        for topic, number in keys:
            error = outcome.failed.get((topic, number))
            if error is not None:
                self._failures.setdefault(topic, {})[number] = error
            elif topic in self._failures:
                self._failures[topic].pop(number, None)
                if not self._failures[topic]:
                    del self._failures[topic]
        if outcome.failed:
            self._on_new()

    def note_refused(self, topic: str, partition: int) -> None:
        """It was not even tried: its log directory is offline, or its data is lost."""
        error = KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"{topic}-{partition} is offline")
        self._failures.setdefault(topic, {})[partition] = error

    def note_deletions(self, keys: Collection[PartitionKey], failed: Collection[PartitionKey]) -> None:
        """Of the partitions with these keys, those of `failed` could not be deleted."""
        self._undeleted.difference_update(keys)
        self._undeleted.update(failed)
        if failed:
            self._on_new()

    @property
    def may_try_again(self) -> bool:
        """Whether there are some whose log directories are not offline."""
        keys = {(topic, number) for topic, failures in self._failures.items() for number in failures}
        return any(
            self._logs.offline_reason(*key) is None or self._logs.waits_for_room(*key)
            for key in keys | self._undeleted
        )
