"""A member at whose start no controller says what there is: clients wait, and it can be stopped."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from fastlog.base.uuids import random_uuid
from fastlog.coordination.controller.data import Assignment, Leadership
from fastlog.coordination.znodes import controller_json
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.errors import NoNode
from fastlog.wire import ApiKey
from tests.harness.broker_process import BrokerProcess
from tests.harness.keeper_process import KeeperProcess
from tests.harness.tree import at
from tests.harness.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
_SEAT: Final = json.dumps(
    {"version": 2, "brokerid": 99, "timestamp": "0", "kraftControllerEpoch": -1}
).encode()
_METADATA: Final = struct.pack(">hhih", ApiKey.METADATA, 1, 7, -1) + struct.pack(">i", -1)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[KeeperProcess]:
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:
        yield keeper


@pytest.fixture
def member(keeper: KeeperProcess, tmp_path: Path) -> Iterator[BrokerProcess]:
    """Broker 1, which has made a topic and was stopped; the controller is 99 now, which is not there."""
    settings = {
        "broker.id": "1",
        "zookeeper.connect": keeper.address,
        # Clients wait for this long and ten seconds more.
        "zookeeper.session.timeout.ms": "120000",
    }
    with BrokerProcess(tmp_path / "broker", settings=settings) as broker:
        create("known", broker.bootstrap)
        assert broker.stop(timeout=90) == 0
        at(keeper.address, _take_the_seat)
        broker.start(timeout=60)
        wait_until(
            lambda: broker.log_text.count("registered as broker 1") == 2, "it is not there", seconds=90
        )
        yield broker


def create(topic: str, bootstrap: str) -> None:
    try:
        admin = AdminClient({"bootstrap.servers": bootstrap})
        (future,) = admin.create_topics([NewTopic(topic, 2, 1)]).values()
        future.result(60)
    except KafkaException as error:
        # The answer to the first request was late.
        assert error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS


async def _take_the_seat(client: ZkClient) -> None:
    await client.create("/controller", _SEAT)


async def _leave_the_seat(client: ZkClient) -> None:
    try:
        await client.delete("/controller")
    except NoNode:
        return


def test_the_first_answer_tells_of_the_topics(keeper: KeeperProcess, member: BrokerProcess) -> None:
    with socket.create_connection(("127.0.0.1", member.port), timeout=120) as client:
        client.sendall(struct.pack(">i", len(_METADATA)) + _METADATA)
        at(keeper.address, _leave_the_seat)
        (size,) = struct.unpack(">i", client.recv(4, socket.MSG_WAITALL))
        assert b"known" in client.recv(size, socket.MSG_WAITALL)
    assert member.stop(timeout=90) == 0


async def _make_topics_that_nobody_has(client: ZkClient) -> None:
    """Of a broker that is away: one that never had a leader, one that is being deleted."""
    for name in ("never", "doomed"):
        topic = controller_json.encode_topic(random_uuid(), {0: Assignment((7,))})
        await client.create(f"/brokers/topics/{name}", topic)
    state = controller_json.encode_state(Leadership(-1, 3, (7,)), 1)
    await client.ensure("/brokers/topics/doomed/partitions/0")
    await client.create("/brokers/topics/doomed/partitions/0/state", state)
    await client.create("/admin/delete_topics/doomed")


def test_topics_that_no_controller_tells_of_keep_no_client_waiting(
    keeper: KeeperProcess, tmp_path: Path
) -> None:
    def broker(node_id: int) -> BrokerProcess:
        settings = {
            "broker.id": str(node_id),
            "zookeeper.connect": keeper.address,
            "zookeeper.session.timeout.ms": "120000",
        }
        return BrokerProcess(tmp_path / str(node_id), settings=settings)

    with broker(1) as controller:
        assert _asked_for_metadata(controller)
        at(keeper.address, _make_topics_that_nobody_has)
        with broker(2) as member:
            # It would answer after its session and ten seconds.
            answer = _asked_for_metadata(member)
            assert b"never" not in answer
            assert b"doomed" not in answer
            assert member.stop(timeout=90) == 0
        assert controller.stop(timeout=90) == 0


def _asked_for_metadata(broker: BrokerProcess) -> bytes:
    with socket.create_connection(("127.0.0.1", broker.port), timeout=60) as client:
        client.sendall(struct.pack(">i", len(_METADATA)) + _METADATA)
        (size,) = struct.unpack(">i", client.recv(4, socket.MSG_WAITALL))
        return client.recv(size, socket.MSG_WAITALL)


def test_it_stops_in_order_while_clients_wait(member: BrokerProcess) -> None:
    with socket.create_connection(("127.0.0.1", member.port), timeout=120) as client:
        client.sendall(struct.pack(">i", len(_METADATA)) + _METADATA)
        # Nobody is asked to take over what it does not lead: that would take as long as there is nobody.
        assert member.stop(timeout=90) == 0
    assert "stopped before the start was complete" in member.log_text
    assert "hand over" not in member.log_text.rpartition("registered as broker 1")[2]
    assert "Traceback" not in member.log_text
