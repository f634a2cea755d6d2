"""Settings in the tree that cannot be read are named, and nobody else's are kept from being taken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.codes import CreateMode
from tests.harness.broker_process import BrokerProcess
from tests.harness.keeper_process import KeeperProcess
from tests.harness.tree import at
from tests.harness.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_DAMAGED: Final = {
    "/config/brokers/1": b"{",
    "/config/brokers/<default>": b'{"version":1,"config":[]}',
    "/config/brokers/7": b"\xff",
    "/config/groups/g": b'{"version":1,"config":{"\\ud800":"x"}}',
    "/config/topics/damaged": b"[]",
}
_ODD: Final = (
    "topics/../../x",
    "topics/a%2Fb",
    "topics/",
    "topics/%00",
    "brokers/99999999999",
    "groups/",
    "x",
)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[KeeperProcess]:
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:
        yield keeper


def test_changes_that_cannot_be_read_hold_up_no_others(keeper: KeeperProcess, tmp_path: Path) -> None:
    settings = {"broker.id": "1", "zookeeper.connect": keeper.address, "zookeeper.session.timeout.ms": "6000"}
    with BrokerProcess(tmp_path / "broker", settings=settings) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        topics = [NewTopic(name, 1, 1) for name in ("damaged", "sound")]
        for future in admin.create_topics(topics).values():
            future.result(60)
        at(keeper.address, _damage)
        # What another broker has written, and told of after all that.
        at(keeper.address, lambda client: _set(client, "topics/sound", {"retention.ms": "12345"}))
        wait_until(lambda: _setting(admin, "sound") == "12345", "it is not taken", seconds=60)
        for path in _DAMAGED.keys() - {"/config/brokers/7"}:
            assert path in broker.log_text
        assert broker.stop(timeout=90) == 0
        broker.start(timeout=60)
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        assert _setting(admin, "sound") == "12345"
        resource = ConfigResource(
            ResourceType.TOPIC,
            "damaged",
            incremental_configs=[
                ConfigEntry("retention.ms", "777", incremental_operation=AlterConfigOpType.SET)
            ],
        )
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(60)
        assert _setting(admin, "damaged") == "777"
        assert "Traceback" not in broker.log_text


async def _damage(client: ZkClient) -> None:
    for path, data in _DAMAGED.items():
        await client.ensure(path)
        await client.set(path, data)
        await _notify(client, path.removeprefix("/config/"))
    for entity in _ODD:
        await _notify(client, entity)


async def _set(client: ZkClient, entity: str, configs: dict[str, str]) -> None:
    await client.set(f"/config/{entity}", json.dumps({"version": 1, "config": configs}).encode())
    await _notify(client, entity)


async def _notify(client: ZkClient, entity: str) -> None:
    data = json.dumps({"version": 2, "entity_path": entity}).encode()
    for parent in ("changes", "group_changes"):
        await client.ensure(f"/config/{parent}")
        path = f"/config/{parent}/config_change_"
        await client.create(path, data, mode=CreateMode.PERSISTENT_SEQUENTIAL)


def _setting(admin: AdminClient, topic: str) -> str | None:
    (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    value: str | None = future.result(60)["retention.ms"].value
    return value
