"""Requests about one transactional id of a little world: `x`, which writes to a topic `t`, with a group `g`.

Each is one request of a client that asks again as long as it is told to; it returns whether it was told that
all of it was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, Final

from fastlog.coordination.transactions.service import TransactionService
from fastlog.coordination.transactions.state import IDLE, Transaction, TransactionState
from fastlog.errors import ErrorCode as E
from fastlog.native import FrameReader, ProducePlan, read_batches
from fastlog.server.produce.operation import ProduceOperation
from fastlog.server.transactions import leader_markers
from fastlog.wire import ApiKey, Request, decode_response, encode_request
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_admin import DeleteGroupsRequest
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from fastlog.wire.messages.topics import DeleteTopicsRequest, DeleteTopicState
from fastlog.wire.messages.transactions import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    EndTxnRequest,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from fastlog.wire.messages.txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)
from tests.integration.pairs.world import SETTINGS, World
from tests.integration.transactional_client import batch_of

Identity = tuple[int, int]
NOBODY: Final = (-1, -1)
_AGAIN: Final = frozenset(
    {
        E.CONCURRENT_TRANSACTIONS,
        E.COORDINATOR_LOAD_IN_PROGRESS,
        E.COORDINATOR_NOT_AVAILABLE,
        E.NOT_COORDINATOR,
        E.NOT_ENOUGH_REPLICAS,
        E.NOT_LEADER_OR_FOLLOWER,
    }
)
_MOST_TRIES: Final = 3000
_TIMEOUT_MS: Final = 60_000


class TransactionWorld(World):
    """A world with transactions. `identities`: of the producer of each space, as it began."""

    settings: ClassVar[Mapping[str, str]] = {
        **SETTINGS,
        "transaction.state.log.num.partitions": "1",
        "offsets.topic.num.partitions": "1",
        "num.partitions": "2",
    }
    marker_writer = staticmethod(leader_markers)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.identities: dict[str, Identity] = {}

    async def service(self) -> TransactionService:
        """The coordinator."""
        transactions = self.services.transactions
        assert transactions is not None
        return (await transactions.get()).service

    async def begin(self) -> None:
        """Makes both topics of coordinators, and waits until they are served."""
        await self.group_topic()
        await self.ask(FindCoordinatorRequest(key_type=1, coordinator_keys=["x"]), 4)
        service = await self.service()
        for _ in range(_MOST_TRIES):
            if service.table.partitions and not service.table.is_loading:
                return
            await asyncio.sleep(0.001)
        raise AssertionError("the coordinator does not come")

    async def write(self, request: ProduceRequest, version: int) -> Any:
        """The answer to a Produce request, which is no message to handlers."""
        frame = encode_request(request, version, 1, "client")
        reader = FrameReader(1 << 20)
        memoryview(reader)[: len(frame)] = frame
        (parsed,) = reader.advance(len(frame))
        told: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        exchange: Any = SimpleNamespace(
            meter=None,
            is_lost=False,
            answer=None,
            operation=None,
            api_key=ApiKey.PRODUCE,
            session=SimpleNamespace(refused={}, listener=None),
            proceed=lambda: None,
            reply=lambda answer: told.done() or told.set_result(bytes(answer)),
            close=lambda *why: told.done() or told.set_exception(AssertionError(why)),
        )
        ProduceOperation(self.services, exchange, ProducePlan.parse(parsed)).start()
        return decode_response(ApiKey.PRODUCE, version, (await told)[4:])[1]

    async def quiet(self, space: str) -> None:
        """Returns when nothing is under way about an id: markers too."""
        service = await self.service()
        for _ in range(_MOST_TRIES):
            await self.settled()
            found = service._questions.find(f"x-{space}")
            if isinstance(found, E) or found[1].pending is None:
                return
            await asyncio.sleep(0.001)
        raise AssertionError(f"x-{space} does not come to rest")


Step = Callable[[TransactionWorld, str], Awaitable[bool]]
Codes = Callable[[Any], list[int]]


async def ask(world: TransactionWorld, request: Request, version: int, codes: Codes) -> bool:
    """Asks as long as it is to be asked again; whether all of it was done."""
    for _ in range(_MOST_TRIES):
        answer = await world.ask(request, version)
        found = [int(answer)] if isinstance(answer, E) else codes(answer)
        if not any(code in _AGAIN for code in found):
            return not any(found)
        await asyncio.sleep(0.001)
    raise AssertionError(f"{request} is not done")


def _code(answer: Any) -> list[int]:
    return [answer.error_code]


def init(*, is_owner: bool) -> Step:
    async def step(world: TransactionWorld, space: str) -> bool:
        identity = world.identities[space] if is_owner else NOBODY
        return await ask(world, InitProducerIdRequest(f"x-{space}", _TIMEOUT_MS, *identity), 4, _code)

    return step


def add(partition: int) -> Step:
    async def step(world: TransactionWorld, space: str) -> bool:
        identity = world.identities[space]
        request = AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=f"x-{space}",
            v3_and_below_producer_id=identity[0],
            v3_and_below_producer_epoch=identity[1],
            v3_and_below_topics=[AddPartitionsToTxnTopic(f"t-{space}", [partition])],
        )

        def codes(answer: Any) -> list[int]:
            rows = [
                row for topic in answer.results_by_topic_v3_and_below for row in topic.results_by_partition
            ]
            return [row.partition_error_code for row in rows]

        return await ask(world, request, 3, codes)

    return step


def add_offsets() -> Step:
    async def step(world: TransactionWorld, space: str) -> bool:
        request = AddOffsetsToTxnRequest(f"x-{space}", *world.identities[space], f"g-{space}")
        return await ask(world, request, 3, _code)

    return step


def commit_offset(offset: int, version: int) -> Step:
    async def step(world: TransactionWorld, space: str) -> bool:
        identity = world.identities[space]
        rows = [TxnOffsetCommitRequestPartition(0, offset)]
        request = TxnOffsetCommitRequest(
            transactional_id=f"x-{space}",
            group_id=f"g-{space}",
            producer_id=identity[0],
            producer_epoch=identity[1],
            topics=[TxnOffsetCommitRequestTopic(f"t-{space}", rows)],
        )

        def codes(answer: Any) -> list[int]:
            return [row.error_code for topic in answer.topics for row in topic.partitions]

        return await ask(world, request, version, codes)

    return step


def end(*, commits: bool, version: int) -> Step:
    async def step(world: TransactionWorld, space: str) -> bool:
        request = EndTxnRequest(f"x-{space}", *world.identities[space], commits)
        return await ask(world, request, version, _code)

    return step


def write(partition: int, version: int, value: bytes) -> Step:
    async def step(world: TransactionWorld, space: str) -> bool:
        batch = batch_of(world.identities[space], 0, [value])
        rows = [TopicProduceData(f"t-{space}", [PartitionProduceData(partition, batch)])]
        request = ProduceRequest(f"x-{space}", -1, 10_000, rows)
        for _ in range(_MOST_TRIES):
            answer = await world.write(request, version)
            code = answer.responses[0].partition_responses[0].error_code
            if code not in _AGAIN:
                return bool(code == E.NONE)
            await asyncio.sleep(0.001)
        raise AssertionError("the record is not written")

    return step


def mark(*, commits: bool) -> Step:
    """The abort of an administrator, or what a coordinator of the past decided."""

    async def step(world: TransactionWorld, space: str) -> bool:
        marker = WritableTxnMarker(
            producer_id=world.identities[space][0],
            producer_epoch=world.identities[space][1],
            transaction_result=commits,
            topics=[WritableTxnMarkerTopic(f"t-{space}", [0])],
            coordinator_epoch=0,
        )

        def codes(answer: Any) -> list[int]:
            return [row.error_code for topic in answer.markers[0].topics for row in topic.partitions]

        return await ask(world, WriteTxnMarkersRequest([marker]), 1, codes)

    return step


async def time_out(world: TransactionWorld, space: str) -> bool:
    """The coordinator finds it open for too long, and aborts it; whether there was anything to abort."""
    service = await world.service()
    found = service._questions.find(f"x-{space}")
    if isinstance(found, E) or not _is_at_rest(found[1], {TransactionState.ONGOING}):
        return False
    await service.expiry._abort(*found)
    return True


async def expire(world: TransactionWorld, space: str) -> bool:
    """The coordinator finds that nobody has used the id for a long time; whether that could be."""
    service = await world.service()
    found = service._questions.find(f"x-{space}")
    if isinstance(found, E) or not _is_at_rest(found[1], IDLE):
        return False
    service.expiry._remove(found[0], [found[1]], -(1 << 60))
    return True


def _is_at_rest(transaction: Transaction, states: Collection[TransactionState]) -> bool:
    return transaction.pending is None and not transaction.is_new and transaction.entry.state in states


async def delete_topic(world: TransactionWorld, space: str) -> bool:
    topic = DeleteTopicState(f"t-{space}")
    answer = await world.ask(DeleteTopicsRequest([topic], timeout_ms=1000))
    return bool(answer.responses[0].error_code == 0)


async def delete_group(world: TransactionWorld, space: str) -> bool:
    answer = await world.ask(DeleteGroupsRequest([f"g-{space}"]))
    return bool(answer.results[0].error_code == 0)


def requests(*, raises: bool) -> Mapping[str, Step]:
    """All that may happen to the id, in one of the two protocols."""
    version = 5 if raises else 4
    found: dict[str, Step] = {
        "take the id over": init(is_owner=False),
        "raise the epoch": init(is_owner=True),
        "move the group": commit_offset(7, 5 if raises else 3),
        "commit": end(commits=True, version=version),
        "abort": end(commits=False, version=version),
        "write": write(0, 12 if raises else 9, b"first"),
        "write elsewhere": write(1, 12 if raises else 9, b"second"),
        "abort marker": mark(commits=False),
        "time out": time_out,
        "expire": expire,
        "delete the topic": delete_topic,
        "delete the group": delete_group,
    }
    if not raises:
        found |= {"add a partition": add(1), "add offsets": add_offsets()}
    return found


async def state_of(world: TransactionWorld, space: str) -> dict[str, Any]:
    """What can be told of the id, of what it has written, and of the group's place."""
    service = await world.service()
    producer_id, epoch = world.identities[space]
    found = service._questions.find(f"x-{space}")
    told: dict[str, Any] = {"id": None}
    if not isinstance(found, E):
        entry = found[1].entry
        told["id"] = (
            entry.state.label,
            entry.producer_id == producer_id,
            entry.epoch - epoch,
            sorted((topic.partition("-")[0], number) for topic, number in entry.partitions),
        )
    topic = world.topic(f"t-{space}")
    told["logs"] = None if topic is None else [_log(world, f"t-{space}", number) for number in range(2)]
    group = world.services.groups.table.get(f"g-{space}")
    offsets = None if group is None else group.offsets
    key = f"t-{space}", 0
    place = None if offsets is None else offsets.committed.get(key)
    told["place"] = None if place is None else place.offset
    told["moving"] = offsets is not None and key in offsets.transactional.partitions()
    return told


def _log(world: TransactionWorld, topic: str, number: int) -> Any:
    """What can be read of it, and what is open."""
    replica = world.services.replicas.get(topic, number)
    assert replica is not None
    log, stable = replica.log, replica.last_stable_offset()
    data = bytes(log.read(0, 1 << 20, max_offset=stable)) if stable else b""
    aborted = {first for _, first in log.aborted_transactions(0, max(stable, 1))}
    values = sorted(row[3] for row in read_batches(data) if row[0] not in aborted)
    return values, replica.high_watermark - stable > 0
