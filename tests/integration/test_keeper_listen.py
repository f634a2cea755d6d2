"""The keeper of a broker on its own, reached by others: `fastlog.keeper.listen`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fastlog.base.clock import SystemClock
from fastlog.coordination.keeper.session_expiry import is_local
from fastlog.coordination.znodes import paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.transport import socket_connector
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.harness.batches import batch
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.harness.metadata_place import metadata_settings
from tests.harness.net import free_port
from tests.harness.waiting import wait_until
from tests.integration.requests import metadata, produce

pytestmark = pytest.mark.skipif(
    bool(metadata_settings(Path("/"))), reason="the brokers of this run have no keeper of their own"
)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def broker(tmp_path: Path, port: int) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path, settings={"fastlog.keeper.listen": f"127.0.0.1:{port}"}) as made:
        yield made


@asynccontextmanager
async def client(port: int) -> AsyncIterator[ZkClient]:
    session = ZkSession([socket_connector("127.0.0.1", port)], SystemClock())
    session.start()
    await asyncio.wait_for(session.connected(), 30)
    try:
        yield ZkClient(session)
    finally:
        await session.close()


def make(broker: BrokerProcess, topic: str) -> None:
    with Link(broker.port) as link:
        assert link.call(metadata(topic), 9).topics[0].error_code == 0  # type: ignore[attr-defined]


async def test_others_see_the_metadata_and_have_sessions_of_their_own(
    broker: BrokerProcess, port: int
) -> None:
    await asyncio.to_thread(make, broker, "t")
    async with client(port) as zk:
        assert (await zk.children(paths.TOPICS))[0] == ["t"]
        data, stat = await zk.get(paths.broker_id(1))
        assert json.loads(data or b"")["port"] == broker.port
        assert is_local(stat.ephemeral_owner)
        assert not is_local(zk.session.session_id)
        _, before = await zk.get(paths.CONTROLLER)
        await zk.create("/theirs", b"x", mode=CreateMode.EPHEMERAL)
        told = asyncio.Event()
        await zk.children(paths.TOPICS, lambda event: told.set())

        # It is killed: its own session ends with it, that of others does not, and neither do their watches.
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
        await asyncio.to_thread(make, broker, "u")
        await asyncio.wait_for(told.wait(), 30)
        assert (await zk.children(paths.TOPICS))[0] == ["t", "u"]
        _, owned = await zk.get("/theirs")
        assert owned.ephemeral_owner == zk.session.session_id
        _, after = await zk.get(paths.CONTROLLER)
        assert after.ephemeral_owner != before.ephemeral_owner
        assert after.czxid > before.czxid


def test_an_address_in_use_is_named(tmp_path: Path, broker: BrokerProcess, port: int) -> None:
    second = BrokerProcess(tmp_path / "second", settings={"fastlog.keeper.listen": f"127.0.0.1:{port}"})
    with pytest.raises(AssertionError, match="did not start"):
        second.start()
    assert f"127.0.0.1:{port}" in second.log_text
    assert "Traceback" not in second.log_text


def test_another_broker_joins_and_has_replicas(broker: BrokerProcess, port: int, tmp_path: Path) -> None:
    """Also over a restart of the first, whose keeper the tree is that of."""
    (tmp_path / "second").mkdir()
    settings = {"broker.id": "2", "zookeeper.connect": f"127.0.0.1:{port}"}
    with BrokerProcess(tmp_path / "second", settings=settings) as second:

        def in_sync() -> list[list[int]]:
            with Link(second.port) as link:
                answer: Any = link.call(metadata("t", create=False), 9)
            return [sorted(row.isr_nodes) for row in answer.topics[0].partitions]

        with Link(broker.port) as link:
            made: Any = link.call(CreateTopicsRequest([CreatableTopic("t", 2, 2)], timeout_ms=30000), 7)
            assert made.topics[0].error_code == 0
        wait_until(lambda: in_sync() == [[1, 2], [1, 2]], lambda: str(in_sync()), seconds=60)

        def codes() -> list[int]:
            """Of a record for each broker, one of which leads: it is acknowledged by both."""
            found = []
            for each in (broker, second):
                with Link(each.port) as link:
                    answer: Any = link.call(produce("t", batch(b"x"), acks=-1), 8)
                found.append(answer.responses[0].partition_responses[0].error_code)
            return found

        wait_until(lambda: 0 in codes(), lambda: str(codes()), seconds=30)
        broker.kill()
        broker.start()
        wait_until(
            lambda: in_sync() == [[1, 2], [1, 2]], lambda: f"{in_sync()} {second.log_text}", seconds=60
        )
        wait_until(lambda: 0 in codes(), lambda: f"{codes()} {broker.log_text}", seconds=30)
