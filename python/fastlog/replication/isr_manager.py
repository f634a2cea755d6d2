"""Asks the controller for the in-sync sets that leaders want (AlterPartition, KIP-497).

| event                                    | what follows                                                  |
|------------------------------------------|---------------------------------------------------------------|
| a leader wants another set               | it goes into the next request; at most one is under way       |
| the controller answers for a partition   | `Partition` takes it over, gives up, waits, or is asked again |
| the request fails, or is refused         | all of it is asked again after 50 ms                          |
| half of `replica.lag.time.max.ms` passes | leaders look for members that have fallen behind; a change    |
|                                          | that nobody has answered for so long is asked for again       |

The last is more than Kafka's `AlterPartitionManager` does: there a change whose answer is lost in the wrong
moment stays asked for until the next election (KAFKA-12751, KAFKA-14144). To ask twice does no harm: the
controller answers what it has stored already with success.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol, cast

from fastlog.base.quick_dataclass import dataclass
from fastlog.base.tasks import Loop, Supervisor
from fastlog.errors import ErrorCode
from fastlog.net.errors import ClientError
from fastlog.replication.broker_epochs import UNKNOWN
from fastlog.replication.isr import InSyncSet
from fastlog.replication.partition import Partition, PartitionKey
from fastlog.wire.api_keys import ApiKey

if TYPE_CHECKING:
    from fastlog.replication.controller_link import Make
    from fastlog.wire import Request, Response
    from fastlog.wire.messages.alter_partition import (
        AlterPartitionDataResponse,
        AlterPartitionRequest,
        AlterPartitionResponse,
        AlterPartitionTopic,
    )

__all__ = ["IsrManager"]

_LOG: Final = logging.getLogger(__name__)
RETRY_SECONDS: Final = 0.05
ASK_SECONDS: Final = 30.0
"""How long one request may take (`request.timeout.ms`)."""
_PARTITIONS_PER_STEP: Final = 500
_NO_TOPIC_ID: Final = bytes(16)
_IDS_FROM: Final = 2
_EPOCHS_FROM: Final = 3


class Controller(Protocol):
    """`ControllerLink`."""

    async def ask(
        self,
        api: ApiKey,
        make: Make,
        *,
        timeout: float,  # noqa: ASYNC109
        lowest: int = 0,
        highest: int | None = None,
    ) -> Response:
        """The controller's answer. Raises ClientError."""
        ...


@dataclass(frozen=True, slots=True)
class _Proposal:
    """What a leader wants, and the leadership in which it does."""

    partition: Partition
    wanted: InSyncSet
    leader_epoch: int

    @property
    def is_wanted(self) -> bool:
        """Whether the answer would still count."""
        return self.partition.isr is self.wanted and self.partition.leader_epoch == self.leader_epoch


class IsrManager:
    """One for each broker. Used on the event loop only.

    `broker_epoch` is that of this broker's registration, -1 while there is none; `max_lag_ms` is
    `replica.lag.time.max.ms`. `epoch_of` gives the epoch in which another broker has fetched from this one.
    """

    def __init__(
        self,
        node_id: int,
        controller: Controller,
        partitions: Iterable[Partition],
        *,
        broker_epoch: Callable[[], int],
        max_lag_ms: Callable[[], int],
        tasks: Supervisor,
        epoch_of: Callable[[int], int] = lambda _: UNKNOWN,
    ) -> None:
        self._epoch_of = epoch_of
        self._node_id = node_id
        self._controller = controller
        self._partitions = partitions
        self._broker_epoch = broker_epoch
        self._max_lag_ms = max_lag_ms
        self._tasks = tasks
        self._wanted: dict[PartitionKey, _Proposal] = {}
        self._asked: dict[PartitionKey, _Proposal] = {}
        """Those of the request that is under way."""
        self._unanswered: dict[PartitionKey, InSyncSet] = {}
        """Changes that were neither asked for nor to be asked for at the last look."""
        self._wake = asyncio.Event()
        self._loops: list[Loop] = []
        self.shrinks = 0
        """In-sync sets that lost members, as confirmed by the controller."""
        self.expansions = 0
        self.failures = 0
        """Changes that the controller refused."""

    def start(self) -> None:
        """Begins to ask, and to look for members that have fallen behind."""
        self._loops = [
            self._tasks.run("in-sync-sets", self._work),
            self._tasks.repeat("replica-lag", self.look, every=self._pause, first=self._pause()),
        ]

    async def stop(self) -> None:
        """Asks no more."""
        for loop in self._loops:
            await loop.stop()

    def propose(self, partition: Partition, wanted: InSyncSet) -> None:
        """A leader wants that set, which is its `isr` now."""
        self._wanted[partition.key] = _Proposal(partition, wanted, partition.leader_epoch)
        self._wake.set()

    async def look(self) -> None:
        """Looks at all partitions: who has fallen behind, and what has been asked for in vain."""
        unanswered: dict[PartitionKey, InSyncSet] = {}
        for number, partition in enumerate(self._partitions, 1):
            if partition.followers:
                self._look_at(partition, unanswered)
            if number % _PARTITIONS_PER_STEP == 0:
                await asyncio.sleep(0)
        self._unanswered = unanswered

    def _look_at(self, partition: Partition, unanswered: dict[PartitionKey, InSyncSet]) -> None:
        wanted = partition.shrink()
        if wanted is not None:
            _LOG.info(
                "%s-%d: %s are to leave the in-sync set, they lag behind",
                *partition.key,
                sorted(wanted.leaving),
            )
            self.propose(partition, wanted)
            return
        key, state = partition.key, partition.isr
        if not state.is_changing or key in self._wanted or key in self._asked:
            return
        if self._unanswered.get(key) is state:
            self.propose(partition, state)
        else:
            unanswered[key] = state

    def _pause(self) -> float:
        return max(self._max_lag_ms(), 1) / 2000

    # -- the requests --------------------

    async def _work(self) -> None:
        while True:
            while self._wanted:
                if await self._ask():
                    await asyncio.sleep(RETRY_SECONDS)
            await self._wake.wait()
            self._wake.clear()

    async def _ask(self) -> bool:
        """One request. Whether something of it is to be asked again."""
        wanted, self._wanted = self._wanted, {}
        asked = self._asked = {key: proposal for key, proposal in wanted.items() if proposal.is_wanted}
        again: Iterable[_Proposal] = asked.values()
        try:
            if asked:
                answer = await self._answer(list(asked.values()))
                if answer is not None:
                    again = self._take(asked.values(), answer)
        finally:
            # Whatever happened, nothing stays asked for without an answer.
            self._asked = {}
            rest = [proposal for proposal in again if proposal.is_wanted]
            for proposal in rest:
                self._wanted.setdefault(proposal.partition.key, proposal)
        return bool(rest)

    async def _answer(self, asked: list[_Proposal]) -> AlterPartitionResponse | None:
        broker_epoch = self._broker_epoch()
        if broker_epoch < 0:
            return None
        by_id = all(proposal.partition.topic_id != _NO_TOPIC_ID for proposal in asked)

        def make(version: int) -> Request:
            return _request(self._node_id, broker_epoch, asked, version, self._epoch_of)

        try:
            answer = cast(
                "AlterPartitionResponse",
                await self._controller.ask(
                    ApiKey.ALTER_PARTITION,
                    make,
                    timeout=ASK_SECONDS,
                    highest=None if by_id else _IDS_FROM - 1,
                ),
            )
        except ClientError as error:
            _LOG.warning("%d in-sync sets are asked for again: %s", len(asked), error)
            return None
        if answer.error_code:
            _LOG.warning(
                "%d in-sync sets are asked for again: %s", len(asked), ErrorCode.of(answer.error_code).name
            )
            return None
        return answer

    def _take(self, asked: Iterable[_Proposal], answer: AlterPartitionResponse) -> list[_Proposal]:
        """Takes in the answers; those that are to be asked for again."""
        rows = {
            (name, row.partition_index): row
            for topic in answer.topics
            for row in topic.partitions
            for name in (topic.topic_name, topic.topic_id)
            if name not in ("", _NO_TOPIC_ID)
        }
        again = []
        for proposal in asked:
            partition = proposal.partition
            name, number = partition.key
            row = rows.get((partition.topic_id, number)) or rows.get((name, number))
            if proposal.is_wanted and (row is None or self._is_open(proposal, row)):
                again.append(proposal)
        return again

    def _is_open(self, proposal: _Proposal, row: AlterPartitionDataResponse) -> bool:
        """Takes in an answer. Whether it is to be asked again."""
        partition, wanted = proposal.partition, proposal.wanted
        if row.error_code:
            self.failures += 1
            _LOG.warning(
                "%s-%d: the controller does not want the in-sync set %s: %s",
                *partition.key,
                sorted(wanted.proposed),
                ErrorCode.of(row.error_code).name,
            )
            return partition.on_isr_refused(wanted, row.error_code)
        if row.leader_epoch != proposal.leader_epoch:
            # Of another leadership, which this broker is about to learn of.
            return False
        partition.on_isr_confirmed(wanted, row.isr, row.partition_epoch)
        if partition.isr is wanted:
            # The answer is older than what is known: that of an earlier request.
            return True
        self.shrinks += bool(wanted.leaving)
        self.expansions += wanted.joining is not None
        return False


def _request(
    node_id: int,
    broker_epoch: int,
    asked: Iterable[_Proposal],
    version: int,
    epoch_of: Callable[[int], int],
) -> AlterPartitionRequest:
    # With one replica nobody comes or goes.
    from fastlog.wire.messages.alter_partition import (
        AlterPartitionData,
        AlterPartitionRequest,
        AlterPartitionTopic,
        BrokerState,
    )

    topics: dict[str, AlterPartitionTopic] = {}
    for proposal in asked:
        partition = proposal.partition
        name, number = partition.key
        members = sorted(proposal.wanted.proposed)
        row = AlterPartitionData(
            partition_index=number,
            leader_epoch=proposal.leader_epoch,
            partition_epoch=proposal.wanted.partition_epoch,
        )
        if version >= _EPOCHS_FROM:
            # One that has registered anew since it fetched is not in sync (KIP-903). Kafka's leaders name
            # no epochs on ZooKeeper, and its controller looks at none.
            row.new_isr_with_epochs = [
                BrokerState(member, broker_epoch if member == node_id else epoch_of(member))
                for member in members
            ]
        else:
            row.new_isr = members
        if name not in topics:
            by_id = version >= _IDS_FROM
            topics[name] = AlterPartitionTopic(
                topic_name="" if by_id else name, topic_id=partition.topic_id if by_id else _NO_TOPIC_ID
            )
        topics[name].partitions.append(row)
    return AlterPartitionRequest(broker_id=node_id, broker_epoch=broker_epoch, topics=list(topics.values()))
