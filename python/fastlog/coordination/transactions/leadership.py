"""Coordinators live as long as the leadership of their partition of `__transaction_state`.

| call       | when                                     | what happens                                     |
|------------|------------------------------------------|--------------------------------------------------|
| `elected`  | this broker leads the partition now      | its ids are read, then served; decided ones end |
| `resigned` | it does not, or the partition is offline | they are forgotten, with the markers they owe    |
| `deleted`  | the partition is about to be removed     | the same, and nothing is written to it any more  |

The calls count at once; partitions are read one after the other. What was read is served, and its markers
are sent, when all replicas in sync have it: whoever takes over from this broker at once does not know of the
rest, by which somebody might have been answered, or a transaction ended in part.

A partition that is damaged, or has records of a version that is not known, is not served. One that could not
be read for want of memory, threads or descriptors is read again, when the loop that does it is started again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from fastlog.coordination.coordinator_partition import partition_of
from fastlog.coordination.topic_names import TRANSACTION_STATE_TOPIC
from fastlog.coordination.transactions.loading import LoadedTransactions, load_partition
from fastlog.coordination.transactions.log import Election
from fastlog.coordination.transactions.state import PREPARED, Transaction
from fastlog.coordination.transactions.table import Coordinated, TransactionTable
from fastlog.native import StorageError

if TYPE_CHECKING:
    from fastlog.base.clock import Clock
    from fastlog.config import BrokerConfig
    from fastlog.coordination.producer_ids import ProducerIds
    from fastlog.coordination.transactions.log import TransactionLog
    from fastlog.coordination.transactions.markers import Markers
    from fastlog.native import Log
    from fastlog.replication.replica_manager import ReplicaManager

_LOG: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 256
_LOOK_SECONDS: Final = 0.02
"""How often it is looked whether replicas have what was read."""
_PASSING: Final = (OSError, MemoryError, StorageError)
_Read: TypeAlias = tuple[LoadedTransactions, dict[str, Transaction]]


class TransactionLeadership:
    """Brings ids in and takes them out. Used on the event loop."""

    def __init__(
        self,
        *,
        replicas: ReplicaManager,
        table: TransactionTable,
        log: TransactionLog,
        markers: Markers,
        producer_ids: ProducerIds,
        clock: Clock,
        config: Callable[[], BrokerConfig],
    ) -> None:
        self._clock = clock
        self._replicas = replicas
        self._table = table
        self._log = log
        self._markers = markers
        self._producer_ids = producer_ids
        self._config = config
        self._work: deque[Coordinated] = deque()
        """Partitions to be read."""
        self._has_work = asyncio.Event()
        self._read_already: dict[Coordinated, _Read] = {}
        """What waits for replicas."""

    def elected(self, partition: int) -> None:
        """This broker leads the partition, with a replica that is there. Harmless when it did already."""
        replica = self._replicas.get(TRANSACTION_STATE_TOPIC, partition)
        if replica is None:
            return
        before = self._table.partitions.get(partition)
        if before is not None:
            election = before.election
            if election.replica is replica and election.epoch == replica.leader_epoch:
                return
        self.resigned(partition)
        place = Coordinated(Election(partition, replica, replica.leader_epoch))
        self._table.partitions[partition] = place
        if replica.log.log_end_offset == replica.log.log_start_offset:
            place.is_loading = False
            return
        self._work.append(place)
        self._has_work.set()

    def resigned(self, partition: int) -> None:
        """This broker does not lead the partition any more. Harmless when it did not."""
        place = self._table.partitions.pop(partition, None)
        if place is not None:
            self._read_already.pop(place, None)
            self._markers.forget(place)

    async def deleted(self, partition: int) -> None:
        """The partition goes, with all ids in it."""
        self.resigned(partition)
        await self._log.written(partition)

    async def run(self) -> None:
        """Reads, for ever. Raises what kept it from reading a partition and may pass."""
        while True:
            await self._has_work.wait()
            while self._work:
                place = self._work[0]
                if self._table.is_current(place):
                    await self._read(place)
                if self._work and self._work[0] is place:
                    self._work.popleft()
            self._has_work.clear()

    async def _read(self, place: Coordinated) -> None:
        number, log = place.election.partition, place.election.replica.log
        size = self._config().transaction_state_log_load_buffer_size
        try:
            found = self._read_already.pop(place, None)
            if found is None:
                found = await asyncio.to_thread(_load, log, number, size, self._table.count)
            if place.election.replica.high_watermark < found[0].end_offset and self._table.is_current(place):
                self._read_already[place] = found
                asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look_again, place)
                return
            await self._adopt(place, *found)
        except _PASSING as error:
            _LOG.error("transactions of %s-%d cannot be read: %s", TRANSACTION_STATE_TOPIC, number, error)
            # Others have their turn first.
            self._work.rotate(-1)
            raise
        except Exception:  # noqa: BLE001 - a defect: the other partitions are served all the same
            place.has_failed, place.is_loading = True, False
            _LOG.exception("transactions of %s-%d are not served", TRANSACTION_STATE_TOPIC, number)

    def _look_again(self, place: Coordinated) -> None:
        if place in self._read_already:
            self._work.append(place)
            self._has_work.set()

    async def _adopt(
        self, place: Coordinated, loaded: LoadedTransactions, transactions: dict[str, Transaction]
    ) -> None:
        if not self._table.is_current(place):
            return
        number = place.election.partition
        self._producer_ids.keep_above(loaded.highest_producer_id)
        now_ms, seconds = self._clock.now_ms(), self._clock.monotonic()
        decided: list[Transaction] = []
        for transaction in transactions.values():
            transaction.opened(now_ms, seconds)
            if transaction.pending is not None:
                decided.append(transaction)
        place.transactions, place.is_loading = transactions, False
        place.weight = loaded.weight
        if loaded.records:
            _LOG.info(
                "loaded %d transactional ids from %d records of %s-%d",
                *(len(transactions), loaded.records, TRANSACTION_STATE_TOPIC, number),
            )
        strays = loaded.strays
        if strays:
            # They still end by their time-outs; but who asks for them is sent elsewhere, and finds nothing.
            _LOG.error(
                "%d transactional ids of %s-%d belong to other partitions, %r for one: "
                "the number of partitions must never change",
                *(len(strays), TRANSACTION_STATE_TOPIC, number, strays[0]),
            )
        if loaded.skipped:
            _LOG.warning(
                "%d records of %s-%d have keys of no known kind",
                *(loaded.skipped, TRANSACTION_STATE_TOPIC, number),
            )
        for index, transaction in enumerate(decided, start=1):
            self._markers.send(place, transaction)
            if not index % _AT_ONCE:
                await asyncio.sleep(0)
                if not self._table.is_current(place):
                    return


def _load(log: Log, number: int, read_bytes: int, count: int) -> _Read:
    """On a thread: what a log says, and its ids. The completion of decided ones is pending.

    `count` is the number of partitions, 0 while it is not known.
    """
    loaded = load_partition(log, log.log_end_offset, read_bytes)
    transactions = {name: Transaction(name, number, entry) for name, entry in loaded.entries.items()}
    for transaction in transactions.values():
        if transaction.entry.state in PREPARED:
            transaction.begin(transaction.entry.completed(0).state)
    if count:
        loaded.strays = [name for name in transactions if partition_of(name, count) != number]
    return loaded, transactions
