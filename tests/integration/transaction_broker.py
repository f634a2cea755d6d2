"""A broker with a stand-in for the leader's side of markers, and short ways to ask about transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastlog.coordination.transactions.completions import Marker, Outcomes
from fastlog.coordination.transactions.service import TransactionService
from fastlog.coordination.transactions.state import Transaction, TransactionEntry
from fastlog.errors import ErrorCode
from fastlog.server.requests.context import BrokerServices
from fastlog.wire.messages.describe_transactions import DescribeTransactionsRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.transactions import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
    EndTxnRequest,
)
from tests.harness.waiting import wait_until
from tests.integration.running import RawClient, RunningBroker

CONCURRENT = int(ErrorCode.CONCURRENT_TRANSACTIONS)


class HeldMarkers:
    """`MarkerWriter` that notes markers, and lets them through unless `hold` is called."""

    def __init__(self) -> None:
        self.written: list[Marker] = []
        self.codes: list[ErrorCode] = []
        """What the next partitions are answered with; NONE when there is none."""
        self._open: asyncio.Event | None = None

    async def write(self, markers: Sequence[Marker]) -> list[Outcomes]:
        """See `MarkerWriter`."""
        if self._open is not None:
            await self._open.wait()
        self.written += markers
        return [
            {key: self.codes.pop(0) if self.codes else ErrorCode.NONE for key in marker.partitions}
            for marker in markers
        ]

    async def hold(self) -> None:
        """Markers wait from now on."""
        self._open = asyncio.Event()

    async def release(self) -> None:
        """They go on."""
        if self._open is not None:
            self._open.set()
            self._open = None


class TransactionBroker(RunningBroker):
    """A `RunningBroker` that coordinates transactions."""

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, str] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.markers = HeldMarkers()
        few = {
            "transaction.state.log.num.partitions": "3",
            "offsets.topic.num.partitions": "2",
            "num.partitions": "2",
        }
        super().__init__(directory, {**few, **(settings or {})}, loop)

    def marker_writer(self) -> Callable[[BrokerServices], HeldMarkers] | None:
        """The stand-in."""
        return lambda _: self.markers

    def hold(self) -> None:
        """Markers wait."""
        self.run(self.markers.hold())

    def release(self) -> None:
        """They go on."""
        self.run(self.markers.release())


class Producer:
    """Asks about one transactional id, over one connection."""

    def __init__(self, client: RawClient, name: str, *, finds: bool = True) -> None:
        self.client = client
        self.name = name
        if finds:
            # Who asks for a coordinator has its topic made.
            self.client.ask(FindCoordinatorRequest(key_type=1, coordinator_keys=[name]), 4)

    def init(
        self, identity: tuple[int, int] = (-1, -1), *, timeout_ms: int = 60_000, version: int = 4
    ) -> tuple[int, int, int]:
        """(code, producer id, epoch)."""
        request = InitProducerIdRequest(self.name, timeout_ms, *identity)
        answer = self.client.ask(request, version)
        return answer.error_code, answer.producer_id, answer.producer_epoch

    def initialized(self, **how: Any) -> tuple[int, int]:
        """The identity, once nothing is under way any more."""
        found: list[tuple[int, int, int]] = []

        def is_done() -> bool:
            found[:] = [self.init(**how)]
            return found[0][0] != CONCURRENT

        wait_until(is_done, lambda: f"{self.name}: {found}", seconds=20, pause=0.02)
        code, producer_id, epoch = found[0]
        assert code == 0
        return producer_id, epoch

    def add(
        self, identity: tuple[int, int], *partitions: tuple[str, int], version: int = 3
    ) -> dict[tuple[str, int], int]:
        """Codes by partition."""
        answer = self.client.ask(
            AddPartitionsToTxnRequest(
                v3_and_below_transactional_id=self.name,
                v3_and_below_producer_id=identity[0],
                v3_and_below_producer_epoch=identity[1],
                v3_and_below_topics=[AddPartitionsToTxnTopic(topic, [at]) for topic, at in partitions],
            ),
            version,
        )
        return _codes(answer.results_by_topic_v3_and_below)

    def added(self, identity: tuple[int, int], *partitions: tuple[str, int]) -> None:
        """The partitions are in, once the transaction before is complete."""
        found: list[set[int]] = []

        def is_done() -> bool:
            found[:] = [set(self.add(identity, *partitions).values())]
            return found[0] != {CONCURRENT}

        wait_until(is_done, lambda: f"{self.name}: {found}", seconds=20, pause=0.02)
        assert found[0] == {0}

    def end(
        self, identity: tuple[int, int], *, commits: bool = True, version: int = 4
    ) -> tuple[int, int, int]:
        """(code, producer id, epoch)."""
        answer = self.client.ask(EndTxnRequest(self.name, *identity, commits), version)
        return answer.error_code, answer.producer_id, answer.producer_epoch

    def describe(self) -> Any:
        """The state of it."""
        (state,) = self.client.ask(DescribeTransactionsRequest([self.name]), 0).transaction_states
        return state

    def wait_for(self, state: str) -> Any:
        """The same, once it is in this state."""
        wait_until(
            lambda: self.describe().transaction_state == state,
            lambda: f"{self.name} is {self.describe()}, not {state}",
            seconds=20,
            pause=0.02,
        )
        return self.describe()


def of_broker(
    name: str, identity: tuple[int, int], *partitions: tuple[str, int], verifies: bool = False
) -> AddPartitionsToTxnTransaction:
    """One transaction in a request of another broker."""
    topics = [AddPartitionsToTxnTopic(topic, [at]) for topic, at in partitions]
    return AddPartitionsToTxnTransaction(name, *identity, verifies, topics)


def ask_as_broker(
    client: RawClient, *transactions: AddPartitionsToTxnTransaction, version: int = 4
) -> dict[str, dict[tuple[str, int], int]]:
    """Codes by transactional id and partition."""
    answer = client.ask(AddPartitionsToTxnRequest(transactions=list(transactions)), version)
    assert answer.error_code == 0
    return {one.transactional_id: _codes(one.topic_results) for one in answer.results_by_transaction}


def _codes(topics: Any) -> dict[tuple[str, int], int]:
    return {
        (topic.name, row.partition_index): row.partition_error_code
        for topic in topics
        for row in topic.results_by_partition
    }


def service_of(running: RunningBroker) -> TransactionService:
    """The coordinator, which somebody has needed."""
    transactions = running.broker.services.transactions
    assert transactions is not None and transactions.made is not None
    return transactions.made.service


def of(running: RunningBroker, name: str) -> Transaction:
    """The state of an id in the broker."""
    service = service_of(running)
    (found,) = (transaction for _, transaction in service.table if transaction.transactional_id == name)
    return found


def put(running: RunningBroker, name: str, **fields: Any) -> None:
    """Changes what is in force of an id, in memory."""
    transaction = of(running, name)
    now = {field: getattr(transaction.entry, field) for field in TransactionEntry.__dataclass_fields__}

    async def change() -> None:
        transaction.entry = TransactionEntry(**{**now, **fields})

    running.run(change())
