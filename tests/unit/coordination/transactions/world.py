"""A coordinator over a log in memory, whose appends and markers have the outcomes that a test gives them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from fastlog.base.clock import ManualClock
from fastlog.base.tasks import Supervisor
from fastlog.coordination.groups.batches import make_batch
from fastlog.coordination.topic_names import TRANSACTION_STATE_TOPIC
from fastlog.coordination.transactions.completions import Marker, Outcomes
from fastlog.coordination.transactions.service import TransactionService
from fastlog.coordination.transactions.state import Transaction, TransactionState
from fastlog.coordination.transactions.verdicts import Granted, Refused
from fastlog.errors import ErrorCode

NODE = 1
MADE_TURNS = 12
"""Turns of the loop after which everything that needs no outcome is done."""


class MemoryLog:
    """What a partition of `__transaction_state` has, as batches."""

    path = "memory"
    log_start_offset = 0

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []

    @property
    def log_end_offset(self) -> int:
        return len(self.records)

    def read(self, offset: int, _: int, *, max_offset: int) -> bytes:
        """A batch at a time, as the native log: here with one record."""
        if offset >= max_offset:
            return b""
        batch = bytearray(make_batch([self.records[offset]], 1))
        batch[0:8] = offset.to_bytes(8, "big")
        return bytes(batch)


class FakeReplica:
    """The partition, led in `leader_epoch`."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.leader_epoch = 1
        self.leads = True
        self.replicated: int | None = None
        """What all replicas in sync have; None: all of it."""

    @property
    def high_watermark(self) -> int:
        """As that of a partition."""
        return self.log.log_end_offset if self.replicated is None else self.replicated

    def leader_error(self) -> int:
        return 0 if self.leads else int(ErrorCode.NOT_LEADER_OR_FOLLOWER)

    def write_error(self, _: int) -> int:
        return self.leader_error()


class HeldAppends:
    """`Appender` whose batches wait until a test says what becomes of them."""

    committer = purgatory = None

    def __init__(self, replica: FakeReplica) -> None:
        self.held: list[Any] = []
        self.at_once = True
        self.jobs_wait = False
        """Whether jobs are under way until their batches have an outcome."""
        self._replica = replica

    def write(self, batches: Sequence[Any], *, timestamp_ms: int, codec: str) -> None:
        """As `Appender.write`."""
        assert codec == "none"
        for batch in batches:
            if batch.replicas[0] is None:
                batch.end_refused()
                continue
            if not self.jobs_wait:
                # It is in the log, or is not; whether it is acknowledged is another matter.
                batch.end_job()
            self.held.append(batch)
            if self.at_once:
                self.settle(len(self.held) - 1)

    def settle(
        self, number: int = 0, code: ErrorCode = ErrorCode.NONE, *, is_in_log: bool | None = None
    ) -> None:
        """A batch has its outcome; one that is not acknowledged may be in the log."""
        batch = self.held.pop(number)
        if self._replica.leader_epoch != batch.epochs[0] or not self._replica.leads:
            code, is_in_log = ErrorCode.NOT_LEADER_OR_FOLLOWER, False
        if code is ErrorCode.NONE if is_in_log is None else is_in_log:
            self._replica.log.records += batch.records
        batch.end_job()
        batch.results = [(int(code), 0, -1, 0, None, None, -1)]
        batch.settled()


class HeldTarget:
    """`MarkerTarget` of this broker; what is not let through waits."""

    def __init__(self) -> None:
        self.asked: list[tuple[Marker, asyncio.Future[Outcomes]]] = []
        self.write_at_once: Callable[[Marker], Outcomes] | None = _all_written
        self.seen: list[Marker] = []

    async def write(self, markers: Sequence[Marker]) -> list[Outcomes]:
        """See `MarkerTarget`."""
        self.seen += markers
        if self.write_at_once is not None:
            return [self.write_at_once(marker) for marker in markers]
        loop = asyncio.get_running_loop()
        waits = [loop.create_future() for _ in markers]
        self.asked += list(zip(markers, waits, strict=True))
        return [await wait for wait in waits]

    def answer(self, number: int = 0, code: ErrorCode = ErrorCode.NONE) -> Marker:
        """A marker has its outcome: one code for all partitions."""
        marker, wait = self.asked.pop(number)
        if not wait.done():
            wait.set_result(dict.fromkeys(marker.partitions, code))
        return marker

    async def close(self) -> None:
        """See `MarkerTarget`."""


def _all_written(marker: Marker) -> Outcomes:
    return dict.fromkeys(marker.partitions, ErrorCode.NONE)


class ProducerIds:
    """Rising from 100."""

    def __init__(self) -> None:
        self.next = 100
        self.above = -1
        self.failure: Exception | None = None

    async def allocate(self) -> int:
        """See `fastlog.coordination.producer_ids`."""
        if self.failure is not None:
            raise self.failure
        self.next = max(self.next, self.above) + 1
        return self.next

    def keep_above(self, producer_id: int) -> None:
        """See there."""
        self.above = max(self.above, producer_id)


class World:
    """One partition of the topic, topics `a` and `b` with two partitions each, all led by one broker."""

    def __init__(self, *, level: int = 0, patience: float = 0.0) -> None:
        self.clock = ManualClock()
        self.replica = FakeReplica()
        self.appends = HeldAppends(self.replica)
        self.targets: defaultdict[int, HeldTarget] = defaultdict(HeldTarget)
        self.ids = ProducerIds()
        led = SimpleNamespace(leader=NODE)
        self.topics: dict[str, Any] = {
            TRANSACTION_STATE_TOPIC: SimpleNamespace(partitions=(led,)),
            "a": SimpleNamespace(partitions=(led, led)),
            "b": SimpleNamespace(partitions=(led, led)),
        }
        self.brokers = [SimpleNamespace(id=NODE)]
        self.view: Any = SimpleNamespace(topics=self.topics, snapshot=self)
        self.config = SimpleNamespace(
            transaction_state_log_load_buffer_size=1 << 20,
            transactional_id_expiration_ms=1000,
            message_max_bytes=1 << 20,
            memory=SimpleNamespace(transactions=1 << 24),
            transaction_abort_timed_out_transaction_cleanup_interval_ms=3_600_000,
            transaction_remove_expired_transaction_cleanup_interval_ms=3_600_000,
        )
        self.level = level
        self.patience = patience
        self.missing: Callable[[Sequence[str]], Any] | None = None
        self.service = self._make()
        self.tasks: Supervisor

    @property
    def target(self) -> HeldTarget:
        """That of this broker."""
        return self.targets[NODE]

    def _make(self) -> TransactionService:
        self.tasks = Supervisor(first_pause=0.01)
        found: Any = SimpleNamespace(get=lambda *_: self.replica)
        config: Any = self.config
        appender: Any = self.appends
        ids: Any = self.ids
        topics: Any = None
        made = TransactionService(
            view=self.view,
            topics=topics,
            replicas=found,
            appender=appender,
            producer_ids=ids,
            clock=self.clock,
            config=lambda: config,
            tasks=self.tasks,
            target_of=self.targets.__getitem__,
            level=lambda: self.level,
            patience=self.patience,
            missing_topics=self.missing,
        )
        made.start()
        made.on_partition_led(TRANSACTION_STATE_TOPIC, 0)
        return made

    async def reload(self) -> None:
        """The partition is led anew: by this broker, which has forgotten all."""
        self.replica.leader_epoch += 1
        self.service.on_partition_resigned(TRANSACTION_STATE_TOPIC, 0)
        self.service.on_partition_led(TRANSACTION_STATE_TOPIC, 0)
        while self.service.table.is_loading:  # noqa: ASYNC110 - a thread reads
            await asyncio.sleep(0.001)

    async def reload_until_read(self, seconds: float = 0.05) -> None:
        """The same, while replicas do not have all of it: returns after a time in which it can be read."""
        self.replica.leader_epoch += 1
        self.service.on_partition_resigned(TRANSACTION_STATE_TOPIC, 0)
        self.service.on_partition_led(TRANSACTION_STATE_TOPIC, 0)
        await asyncio.sleep(seconds)

    async def restart(self) -> None:
        """Another process takes over."""
        await self.close()
        self.replica.leader_epoch += 1
        self.service = self._make()
        while self.service.table.is_loading:  # noqa: ASYNC110 - a thread reads
            await asyncio.sleep(0.001)

    async def close(self) -> None:
        """Ends everything; what is held is refused."""
        self.replica.leads = False
        while self.appends.held:
            self.appends.settle()
        for _, wait in [pair for target in self.targets.values() for pair in target.asked]:
            wait.cancel()
        await self.service.close()
        self.replica.leads = True

    def transaction(self, name: str = "t") -> Transaction:
        """The state of an id."""
        (found,) = (one for _, one in self.service.table if one.transactional_id == name)
        return found


async def turns(number: int = MADE_TURNS) -> None:
    """Lets everything go on that needs nothing from outside."""
    for _ in range(number):
        await asyncio.sleep(0)


A, B = ("a", 0), ("b", 1)


async def begun(world: World, *partitions: tuple[str, int], name: str = "t") -> tuple[int, int]:
    """An id with an open transaction."""
    given = await world.service.init_producer_id(name, 1000, None)
    assert isinstance(given, Granted)
    identity = given.producer_id, given.epoch
    parts = frozenset(partitions or (A,))
    assert await world.service.add_partitions(name, identity, parts, 0) is ErrorCode.NONE
    return identity


async def end(world: World, identity: tuple[int, int], *, commits: bool = True, version: int = 0) -> object:
    answer = await world.service.end("t", identity, commits=commits, version=version)
    return answer.code if isinstance(answer, Refused) else (answer.producer_id, answer.epoch)


async def until(world: World, state: TransactionState) -> None:
    while world.transaction().entry.state is not state:  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0)
