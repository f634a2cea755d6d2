"""Produce requests about which nothing is left to decide: which they are, and what follows on them.

`settled_write` is the policy: what it gives for a partition holds for every client that may come here, until
the partition's `generation` changes. It is asked after a request of the usual way (`operation`), and its
answer is kept in a native table (`SettledTable`), which then checks, appends and answers requests of this
partition by itself. Whatever it is not sure of, it leaves to the usual way; nothing is done about that then.

| what changes                                   | why no entry of before is used                         |
|------------------------------------------------|--------------------------------------------------------|
| leader, epoch, in-sync set, settings, the disk | `Partition` changes its generation                     |
| the partition is deleted, or gets another log  | the same; what the entry holds goes at once            |
| the topic's limits (`max.message.bytes`, ...)  | they are the log's, which looks at them in each append |
| rules of access                                | with an authorizer there are no entries                |
| quotas                                         | while anybody has one, `produce` does nothing          |
| who is at the other end                        | only listeners that do not ask have the table          |
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastlog.native import SettledTable
from fastlog.wire.api_keys import ApiKey

if TYPE_CHECKING:
    from fastlog.native import Frame, Log, Produced, Receiver
    from fastlog.replication.partition import Partition, PartitionKey
    from fastlog.server.observability.metrics import BrokerMetrics
    from fastlog.server.quotas.client_quotas import ClientQuotas
    from fastlog.storage.io import IoLoop

__all__ = ["SettledWrite", "SettledWrites", "settled_write"]

_LOG: Final = logging.getLogger(__name__)
_PRODUCE: Final = ApiKey.PRODUCE.value
Came = tuple[Any, "list[Frame] | None", bytes, BaseException | None]
"""(connection, frames that are left, bytes of answers before them that are unsent, error)."""
MOST_SECONDS: Final = 0.001
"""How long the requests of one wake-up may take: others come in between."""


class SettledWrite(NamedTuple):
    """What is settled about writes to a partition by any client."""

    log: Log
    leader_epoch: int
    acks_all: bool
    """Whether acks=all waits for nobody else."""


def settled_write(partition: Partition) -> SettledWrite | None:
    """What is settled about writes to `partition` now; None when each of them is to be decided by itself.

    What it looks at must change the partition's generation when it changes.
    """
    settings = partition.settings
    if partition.leader_error() or settings.internal or settings.fsync:
        return None
    return SettledWrite(partition.log, partition.leader_epoch, acks_all=partition.is_alone)


class SettledWrites:
    """The table of a broker. Used on the event loop only."""

    def __init__(self, metrics: BrokerMetrics, quotas: ClientQuotas, io: IoLoop) -> None:
        self._table: Final = SettledTable()
        self._metrics = metrics
        self._quotas = quotas
        self._io = io
        self.executed = 0
        """Requests that were executed at once."""

    def __len__(self) -> int:
        return len(self._table)

    def offer(self, partition: Partition) -> None:
        """A request was written to `partition` the usual way: the next one may not have to be."""
        generation = partition.generation
        decided_in = generation.number
        found = settled_write(partition)
        if found is not None:
            self._table.enter(
                *partition.key,
                log=found.log,
                leader_epoch=found.leader_epoch,
                acks_all=found.acks_all,
                owner=partition,
                generation=generation,
                decided_in=decided_in,
            )

    def withdraw(self, key: PartitionKey) -> None:
        """The partition is of no more use: its log is let go."""
        self._table.withdraw(*key)

    def produce(self, frames: list[Frame]) -> Produced | None:
        """Executes the first ones of `frames` about which everything is settled; None when that is none."""
        if self._quotas.active:
            return None
        done = self._table.produce(frames, MOST_SECONDS)
        if done is None:
            return None
        metrics = self._metrics
        self.executed += done.requests
        metrics.requests[_PRODUCE] += done.requests
        metrics.produce_bytes += done.record_bytes
        self._note_appended(done.appended)
        return done

    def receive(self, receiver: Receiver) -> list[Came]:
        """Has `receiver` read, and execute what is settled; what it has left."""
        done = receiver.receive(None if self._quotas.active else self._table, MOST_SECONDS)
        metrics, seconds = self._metrics, done.seconds
        metrics.bytes_in += done.bytes_in
        if seconds:
            metrics.bytes_out += done.bytes_out
            self.executed += len(seconds)
            metrics.requests[_PRODUCE] += len(seconds)
            metrics.produce_bytes += done.record_bytes
            for each in seconds:
                metrics.answered(_PRODUCE, each)
            self._note_appended(done.appended)
        return done.left

    def _note_appended(self, appended: list[tuple[Partition, int]]) -> None:
        for partition, end_offset in appended:
            try:
                partition.on_appended(end_offset)
            except Exception:  # noqa: BLE001 - logged; it is written, and others are to be told of theirs
                _LOG.exception("what follows an append to %s-%d failed", *partition.key)
        self._io.appended_at_once()
