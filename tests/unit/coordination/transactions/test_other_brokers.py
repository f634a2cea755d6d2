"""Markers for, and questions to, another broker: what goes over the wire, and what becomes of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from fastlog.coordination.topic_names import TRANSACTION_STATE_TOPIC
from fastlog.coordination.transactions.completions import Marker, Outcomes
from fastlog.coordination.transactions.marker_targets import LocalTarget, RemoteTarget
from fastlog.coordination.transactions.verdicts import Granted
from fastlog.coordination.transactions.verification import CoordinatorVerifier
from fastlog.errors import ErrorCode, FastlogError, KafkaError
from fastlog.wire import API_VERSIONS, Request, Response, decode_body, encode_body
from fastlog.wire.messages.transactions import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
)
from fastlog.wire.messages.txn_markers import (
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)
from tests.unit.coordination.transactions.world import NODE, World

E = ErrorCode
OTHER = 2
FIRST = Marker(7, 3, True, 5, (("a", 0), ("a", 1), ("b", 0)), 2)
SECOND = Marker(8, 0, False, 5, (("a", 0),))


class FakeLink:
    """`Link` to a broker that answers what a test says."""

    def __init__(self, highest: int | None = None) -> None:
        self.connection = self
        self.is_open = True
        self.is_due = False
        self.asked: list[tuple[Any, int]] = []
        self.answers: list[Response | Exception] = []
        self.highest = highest
        self.opened: list[tuple[str, int, str | None]] = []

    async def open(self, host: str, port: int, *, client_id: str | None, timeout: float) -> Any:  # noqa: ASYNC109 - as it is there
        """As `open_link`."""
        self.opened.append((host, port, client_id))
        self.is_open = True
        self.is_due = False
        return self

    async def call(
        self,
        body: Request,
        answer: type[Response],
        *,
        timeout: float,  # noqa: ASYNC109 - as it is there
        lowest: int = 0,
        highest: int | None = None,
    ) -> Response:
        """As `Link.call`, through the codec of the version that both speak."""
        version = API_VERSIONS[body.API][1] if self.highest is None else self.highest
        version = version if highest is None else min(version, highest)
        if version < lowest:
            raise FastlogError("no version that both speak")
        self.asked.append((decode_body(type(body), version, encode_body(body, version)), version))
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, answer)
        return found

    async def close(self) -> None:
        """As `Connection.close`."""
        self.is_open = False


def results(producer_id: int, **codes: list[E]) -> WritableTxnMarkerResult:
    return WritableTxnMarkerResult(
        producer_id,
        [
            WritableTxnMarkerTopicResult(
                topic, [WritableTxnMarkerPartitionResult(at, int(code)) for at, code in enumerate(found)]
            )
            for topic, found in codes.items()
        ],
    )


@pytest.mark.parametrize(("highest", "version"), [(None, 2), (1, 1)])
async def test_markers_for_another_broker(highest: int | None, version: int) -> None:
    link = FakeLink(highest)
    # Kafka's answer is in an order of its own.
    answer = WriteTxnMarkersResponse(
        [
            results(8, a=[E.NOT_LEADER_OR_FOLLOWER]),
            results(7, a=[E.NONE, E.NONE], b=[E.INVALID_PRODUCER_EPOCH]),
        ]
    )
    link.answers += [answer, OSError("gone"), answer]
    target = RemoteTarget(lambda: ("host", 9092), client_id="me", open_link=link.open)
    assert await target.write([FIRST, SECOND]) == [
        {("a", 0): E.NONE, ("a", 1): E.NONE, ("b", 0): E.INVALID_PRODUCER_EPOCH},
        {("a", 0): E.NOT_LEADER_OR_FOLLOWER},
    ]
    ((request, asked),) = link.asked
    assert (asked, isinstance(request, WriteTxnMarkersRequest)) == (version, True)
    first, second = request.markers
    assert (first.producer_id, first.producer_epoch, first.transaction_result) == (7, 3, True)
    assert (first.coordinator_epoch, first.transaction_version) == (5, 2 if version == 2 else 0)
    assert [(topic.name, topic.partition_indexes) for topic in first.topics] == [("a", [0, 1]), ("b", [0])]
    assert (second.producer_id, second.transaction_result) == (8, False)
    with pytest.raises(OSError, match="gone"):
        await target.write([FIRST])
    # The connection stays while it is open.
    assert link.opened == [("host", 9092, "me")]
    link.is_open = False
    await target.write([SECOND])
    assert len(link.opened) == 2
    await target.close()
    assert not link.is_open


async def test_markers_for_this_broker() -> None:
    class Writer:
        async def write(self, markers: Sequence[Marker]) -> list[Outcomes]:
            return [dict.fromkeys(marker.partitions, E.NONE) for marker in markers]

    target = LocalTarget(Writer())
    assert await target.write([SECOND, FIRST]) == [
        {("a", 0): E.NONE},
        dict.fromkeys(FIRST.partitions, E.NONE),
    ]
    await target.close()


A, B = ("a", 0), ("b", 1)


def verifier_of(world: World, link: FakeLink) -> CoordinatorVerifier:
    def address(broker: int) -> tuple[str, int]:
        if broker != OTHER:
            raise KafkaError(E.BROKER_NOT_AVAILABLE, "nobody knows")
        return "other", 9093

    view: Any = SimpleNamespace(
        topics=world.topics, is_alive=lambda node: any(broker.id == node for broker in world.brokers)
    )
    return CoordinatorVerifier(
        node_id=NODE, view=view, service=world.service, address=address, open_link=link.open
    )


async def test_questions_to_this_broker(world: World) -> None:
    verifier = verifier_of(world, FakeLink())
    given = await world.service.init_producer_id("t", 1000, None)
    assert isinstance(given, Granted)
    identity = given.producer_id, given.epoch
    both = frozenset({A, B})
    assert await verifier.verify("t", identity, both) == dict.fromkeys(both, E.TRANSACTION_ABORTABLE)
    assert await verifier.verify("t", identity, frozenset({A}), adds=True) == {A: E.NONE}
    assert world.transaction().entry.client_version == 2
    assert await verifier.verify("t", identity, both) == {A: E.NONE, B: E.TRANSACTION_ABORTABLE}
    assert await verifier.verify("u", identity, both) == dict.fromkeys(both, E.INVALID_PRODUCER_ID_MAPPING)
    world.topics[TRANSACTION_STATE_TOPIC] = SimpleNamespace(partitions=(SimpleNamespace(leader=-1),))
    assert await verifier.verify("t", identity, both) == dict.fromkeys(both, E.COORDINATOR_NOT_AVAILABLE)
    del world.topics[TRANSACTION_STATE_TOPIC]
    assert await verifier.verify("t", identity, both) == dict.fromkeys(both, E.COORDINATOR_NOT_AVAILABLE)
    await verifier.close()


async def test_questions_to_another_broker(world: World) -> None:
    link = FakeLink()
    verifier = verifier_of(world, link)
    world.topics[TRANSACTION_STATE_TOPIC] = SimpleNamespace(partitions=(SimpleNamespace(leader=OTHER),))
    world.brokers.append(SimpleNamespace(id=OTHER))
    rows = [
        AddPartitionsToTxnTopicResult("a", [AddPartitionsToTxnPartitionResult(0, 0)]),
        AddPartitionsToTxnTopicResult("b", [AddPartitionsToTxnPartitionResult(1, int(E.PRODUCER_FENCED))]),
    ]
    whole = AddPartitionsToTxnResponse(results_by_transaction=[AddPartitionsToTxnResult("t", rows)])
    link.answers += [
        whole,
        whole,
        AddPartitionsToTxnResponse(error_code=int(E.CLUSTER_AUTHORIZATION_FAILED)),
        AddPartitionsToTxnResponse(),
        OSError("gone"),
    ]
    both = frozenset({A, B})
    assert await verifier.verify("t", (7, 1), both) == {A: E.NONE, B: E.PRODUCER_FENCED}
    assert await verifier.verify("t", (7, 1), both, adds=True) == {A: E.NONE, B: E.PRODUCER_FENCED}
    verifying, adding = (request for request, _ in link.asked)
    assert isinstance(verifying, AddPartitionsToTxnRequest)
    assert [one.verify_only for one in (*verifying.transactions, *adding.transactions)] == [True, False]
    (asked,) = verifying.transactions
    assert (asked.transactional_id, asked.producer_id, asked.producer_epoch) == ("t", 7, 1)
    assert [(topic.name, topic.partitions) for topic in asked.topics] == [("a", [0]), ("b", [1])]
    for code in (E.CLUSTER_AUTHORIZATION_FAILED, E.UNKNOWN_SERVER_ERROR, E.NETWORK_EXCEPTION):
        assert await verifier.verify("t", (7, 1), both) == dict.fromkeys(both, code)
    assert len(link.opened) == 1
    # One of Kafka 3.7 can verify, and cannot add.
    link.highest = 4
    link.answers.append(whole)
    assert await verifier.verify("t", (7, 1), both, adds=True) == dict.fromkeys(both, E.NETWORK_EXCEPTION)
    assert await verifier.verify("t", (7, 1), both) == {A: E.NONE, B: E.PRODUCER_FENCED}
    await verifier.close()
