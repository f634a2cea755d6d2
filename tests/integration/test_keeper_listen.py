"""The keeper of a broker on its own, reached by others: `fastlog.keeper.listen`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fastlog.base.clock import SystemClock
from fastlog.coordination.keeper.session_expiry import is_local
from fastlog.coordination.znodes import paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.transport import socket_connector
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.harness.metadata_place import metadata_settings
from tests.harness.net import free_port
from tests.integration.requests import metadata

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
