"""Batches of the groups' log: requests that share one, and what each of them is told in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import FastlogNativeError
from fastlog.replication.appender import Batch

if TYPE_CHECKING:
    from fastlog.coordination.groups.batches import KeyValue
    from fastlog.coordination.groups.group_log import GroupLog
    from fastlog.native.shapes import AppendTransaction, ProduceResult
    from fastlog.replication.partition import Partition

TOO_LARGE: Final = (ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.RECORD_LIST_TOO_LARGE)

# What a client of the coordinator is told when its records could not be written (Kafka's
# `maybeConvertOffsetCommitError`): whom it should look for next. Others are passed on.
_FOR_CLIENTS: Final = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.REQUEST_TIMED_OUT: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_LEADER_OR_FOLLOWER: ErrorCode.NOT_COORDINATOR,
    ErrorCode.KAFKA_STORAGE_ERROR: ErrorCode.NOT_COORDINATOR,
}


class NotAcknowledged(KafkaError):
    """The records may be in the log all the same."""


Then: TypeAlias = Callable[[Exception | None], None]
"""What is called with the outcome of a write: None, or a KafkaError with a code for clients, or a defect."""


@dataclass(slots=True, eq=False)
class Entry:
    """Records, and the leadership under which they were asked for: they are for no later one."""

    records: Sequence[KeyValue]
    """Those that are not in the log yet."""
    size: int
    then: Then
    replica: Partition | None
    epoch: int
    divisible: bool = False
    """Whether the records may go into several batches, next to each other."""
    at_once: int | None = None
    """So many of them are tried in a batch that they share with no others: the topic has refused more."""
    transaction: AppendTransaction | None = None
    """The transaction that they belong to, or that ends with them."""
    is_partly_written: bool = False
    told: bool = False
    """Whether `then` was called."""


class GroupBatch(Batch):
    """Entries of one partition that share a batch."""

    __slots__ = ("_entries", "_is_under_way", "_is_written", "_log", "_outcome", "has_outcome", "partition")

    def __init__(
        self, log: GroupLog, partition: int, replica: Partition | None, entries: list[Entry], timeout_ms: int
    ) -> None:
        first = entries[0]
        if first.at_once is not None:
            records = first.records[: first.at_once]
        elif len(entries) == 1:
            records = first.records
        else:
            records = [record for entry in entries for record in entry.records]
        super().__init__(log.appender, replica, records, timeout_ms, first.transaction)
        self._log = log
        self.partition = partition
        self._entries = entries
        self._is_under_way = True
        self._is_written = False
        self._outcome: KafkaError | None = None
        self.has_outcome = False
        """Whether it can be told."""

    def appended(self, results: list[ProduceResult]) -> None:
        """It is in the log, or is not. What is to be tried again comes before what was asked for since."""
        again: Sequence[Entry] = ()
        code = results[0][0]
        if code in TOO_LARGE and self._is_divided():
            again, self._entries = self._entries, []
        elif not code and self._entries[0].at_once is not None:
            again = self._left()
        self._is_under_way = False
        self._is_written = results[0][6] >= 0
        if self._is_written:
            self._log.written(self)
        self._log.release(self.partition, again)
        super().appended(results)

    def settled(self) -> None:
        """What is in the log is acknowledged, or nobody knows; or it is not in the log."""
        code, _, _, _, _, message, _ = self.results[0]
        self.has_outcome = True
        if self._is_written:
            if code:
                text = message or "the records of the group are not acknowledged"
                self._outcome = NotAcknowledged(ErrorCode.of(code), text)
            self._log.settled(self)
        else:
            text = message or "the partition of the group takes no records"
            self._outcome = KafkaError(ErrorCode.of(code), text)
            self.tell()

    def tell(self) -> None:
        """Tells everybody what became of it."""
        finish(self._entries, self._outcome)

    def failed(self, error: BaseException) -> None:
        """Nobody must wait for ever because of a defect."""
        if self._is_under_way:
            self._is_under_way = False
            self._log.release(self.partition, [])
        code = ErrorCode.UNKNOWN_SERVER_ERROR
        if isinstance(error, FastlogNativeError):
            code = ErrorCode.of(error.code)
        self._log.give_up(self._entries, error, code)
        if self._is_written and not self.has_outcome:
            # Those behind it go on.
            self.has_outcome = True
            self._log.settled(self)

    def _is_divided(self) -> bool:
        """Whether smaller batches can be tried: nobody is to fail because of another's records."""
        first = self._entries[0]
        if len(self._entries) > 1:
            for entry in self._entries:
                entry.at_once = len(entry.records)
        elif first.divisible and len(self.records) > 1:
            first.at_once = len(self.records) // 2
        else:
            return False
        return True

    def _left(self) -> list[Entry]:
        """What is to be written yet of an entry that is written in several batches."""
        first = self._entries[0]
        if len(self.records) == len(first.records):
            return []
        first.records = first.records[len(self.records) :]
        first.is_partly_written = True
        # The last one speaks for all: it is acknowledged after those before.
        self._entries = []
        return [first]


def finish(entries: Iterable[Entry], error: KafkaError | None) -> None:
    """Tells everybody who was not told yet, also when one of them fails; that is raised at the end."""
    defect: BaseException | None = None
    for entry in entries:
        if not entry.told:
            entry.told = True
            try:
                entry.then(None if error is None else _for_client(error, entry))
            except BaseException as failure:  # noqa: BLE001 - raised below
                defect = defect or failure
    if defect is not None:
        raise defect


def _for_client(error: KafkaError, entry: Entry) -> KafkaError:
    kind = NotAcknowledged if entry.is_partly_written else type(error)
    return kind(_FOR_CLIENTS.get(error.code, error.code), error.message)
