"""What a leader asks before it takes a transactional batch: is its partition in the producer's transaction?

The coordinator may be this broker, then it is a call, or another one, then it is AddPartitionsToTxn. Under
the first protocol the question only verifies (version 4), under the second one (Produce 12) it adds the
partition (version 5, KIP-890 part 2).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from fastlog.coordination.topic_names import TRANSACTION_STATE_TOPIC
from fastlog.coordination.transactions.state import EPOCH_BUMP_VERSION, TopicPartition, by_topic
from fastlog.errors import ErrorCode, FastlogError
from fastlog.wire.messages.transactions import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
)

if TYPE_CHECKING:
    from fastlog.coordination.cluster_view import ClusterView
    from fastlog.coordination.transactions.service import TransactionService
    from fastlog.coordination.transactions.verdicts import Identity
    from fastlog.net.link import Link
    from fastlog.replication.controller_link import OpenLink

ANSWER_SECONDS: Final = 30.0
_CONNECT_SECONDS: Final = 10.0
_VERIFIES: Final = 4
_ADDS: Final = 5

Codes = Mapping[TopicPartition, ErrorCode]
Address = Callable[[int], tuple[str, int]]
"""Where brokers reach the broker with that id. Raises FastlogError when nobody knows."""


class Verifier(Protocol):
    """Asked by Produce and TxnOffsetCommit, as the leader of the partitions."""

    async def verify(
        self,
        transactional_id: str,
        identity: Identity,
        partitions: frozenset[TopicPartition],
        *,
        adds: bool = False,
    ) -> Codes:
        """A code for each partition, as the coordinator has it: what producers are told is the leader's
        matter. `adds`: a partition that is not in the transaction is added to it.

        NETWORK_EXCEPTION when the coordinator cannot be asked, COORDINATOR_NOT_AVAILABLE when there is none.
        Raises nothing.
        """
        ...

    def is_here(self, transactional_id: str) -> bool:
        """Whether this broker is the coordinator."""
        ...

    def verify_here(
        self,
        transactional_id: str,
        identity: Identity,
        partitions: frozenset[TopicPartition],
        then: Callable[[Codes], None],
        *,
        adds: bool = False,
    ) -> None:
        """The same as `verify` with a callback, at once or later, by this broker: NOT_COORDINATOR if it is
        not the coordinator."""
        ...

    def when_settled(self, transactional_id: str, seconds: float, then: Callable[[], None]) -> None:
        """Calls back, later, when no change of the id is under way here, or after so many seconds."""
        ...


class CoordinatorVerifier:
    """`Verifier`: asks whoever coordinates the id, over one connection for each broker."""

    def __init__(
        self,
        *,
        node_id: int,
        view: ClusterView,
        service: TransactionService,
        address: Address,
        open_link: OpenLink,
    ) -> None:
        self._node_id = node_id
        self._view = view
        self._service = service
        self._address = address
        self._open_link = open_link
        self._links: dict[int, Link] = {}
        self._opening: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def verify(
        self,
        transactional_id: str,
        identity: Identity,
        partitions: frozenset[TopicPartition],
        *,
        adds: bool = False,
    ) -> Codes:
        """See `Verifier`."""
        broker = self._coordinator(transactional_id)
        if broker is None:
            return dict.fromkeys(partitions, ErrorCode.COORDINATOR_NOT_AVAILABLE)
        if broker == self._node_id:
            found = await self._ask_here(transactional_id, identity, partitions, adds)
            return dict.fromkeys(partitions, found) if isinstance(found, ErrorCode) else found
        try:
            return await self._ask(broker, transactional_id, identity, partitions, adds)
        except (OSError, FastlogError):
            return dict.fromkeys(partitions, ErrorCode.NETWORK_EXCEPTION)

    def is_here(self, transactional_id: str) -> bool:
        """See `Verifier`."""
        return self._coordinator(transactional_id) == self._node_id

    def verify_here(
        self,
        transactional_id: str,
        identity: Identity,
        partitions: frozenset[TopicPartition],
        then: Callable[[Codes], None],
        *,
        adds: bool = False,
    ) -> None:
        """See `Verifier`."""
        if not adds:
            found = self._service.verify_partitions(transactional_id, identity, partitions)
            then(dict.fromkeys(partitions, found) if isinstance(found, ErrorCode) else found)
            return

        def told(code: ErrorCode) -> None:
            then(dict.fromkeys(partitions, code))

        version = EPOCH_BUMP_VERSION
        self._service.begin_add(transactional_id, identity, partitions, version, told, waits=False)

    def when_settled(self, transactional_id: str, seconds: float, then: Callable[[], None]) -> None:
        """See `Verifier`."""
        self._service.when_settled(transactional_id, seconds, then)

    async def close(self) -> None:
        """Ends all connections."""
        links, self._links = self._links, {}
        for link in links.values():
            await link.connection.close()

    def _coordinator(self, transactional_id: str) -> int | None:
        partition = self._service.table.partition(transactional_id)
        if partition is None:
            return None
        leader = self._view.topics[TRANSACTION_STATE_TOPIC].partitions[partition].leader
        return leader if self._view.is_alive(leader) else None

    async def _ask_here(
        self, transactional_id: str, identity: Identity, partitions: frozenset[TopicPartition], adds: bool
    ) -> ErrorCode | Codes:
        if not adds:
            return self._service.verify_partitions(transactional_id, identity, partitions)
        return await self._service.add_partitions(
            transactional_id, identity, partitions, EPOCH_BUMP_VERSION, waits=False
        )

    async def _ask(
        self,
        broker: int,
        transactional_id: str,
        identity: Identity,
        partitions: frozenset[TopicPartition],
        adds: bool,
    ) -> Codes:
        topics = by_topic(partitions)
        asked = AddPartitionsToTxnTransaction(
            transactional_id=transactional_id,
            producer_id=identity[0],
            producer_epoch=identity[1],
            verify_only=not adds,
            topics=[AddPartitionsToTxnTopic(name, numbers) for name, numbers in topics.items()],
        )
        link = await self._open(broker)
        answer = await link.call(
            AddPartitionsToTxnRequest(transactions=[asked]),
            AddPartitionsToTxnResponse,
            timeout=ANSWER_SECONDS,
            lowest=_ADDS if adds else _VERIFIES,
        )
        if answer.error_code:
            return dict.fromkeys(partitions, ErrorCode.of(answer.error_code))
        codes = dict.fromkeys(partitions, ErrorCode.UNKNOWN_SERVER_ERROR)
        for result in answer.results_by_transaction:
            for row in result.topic_results:
                for partition in row.results_by_partition:
                    key = row.name, partition.partition_index
                    codes[key] = ErrorCode.of(partition.partition_error_code)
        return codes

    async def _open(self, broker: int) -> Link:
        async with self._opening[broker]:
            link = former = self._links.get(broker)
            if link is None or not link.connection.is_open or link.connection.is_due:
                host, port = self._address(broker)
                link = self._links[broker] = await self._open_link(
                    host, port, client_id=f"broker-{self._node_id}-txn-verifier", timeout=_CONNECT_SECONDS
                )
                if former is not None and former.connection.is_open:
                    former.connection.retire()
            return link
