"""The console's verbs on fastlog and on Apache Kafka 2.8, 3.9 and 4: all that read, each write with its plan.

With FASTLOG_CLUSTER=full on all of them, else on fastlog and Kafka 4: each start of Kafka's takes its time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastlog.console.sampler import Sampler
from fastlog.errors import FastlogError
from fastlog.verbs.desk import Connection, Desk
from fastlog.verbs.problems import problem_of
from fastlog.verbs.registry import call, load_all
from tests.harness.broker_process import BrokerProcess
from tests.harness.keeper_process import KeeperProcess
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, ApacheKafka, JavaTools, KafkaOnZooKeeper

pytestmark = [pytest.mark.timeout(300)]
OLDEST = "2.8.2"
UNKNOWN_TO_THE_OLDEST = ("list_transactions", "describe_transaction", "find_hanging")
SETTINGS = {"offsets.topic.num.partitions": "2", "transaction.state.log.num.partitions": "2"}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("fastlog", id="fastlog"),
        pytest.param(KAFKA_3, id="kafka-3", marks=[pytest.mark.java, pytest.mark.whole]),
        pytest.param(KAFKA_4, id="kafka-4", marks=pytest.mark.java),
        pytest.param(OLDEST, id="kafka-2", marks=[pytest.mark.java, pytest.mark.whole]),
    ],
)
def bootstrap(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place: Path = tmp_path_factory.mktemp("broker")
    if request.param == "fastlog":
        with BrokerProcess(place, settings=SETTINGS) as broker:
            yield broker.bootstrap
    elif request.param == OLDEST:
        with KeeperProcess(place / "keeper") as keeper:
            old = KafkaOnZooKeeper(place / "kafka", keeper.address, settings=SETTINGS)
            old.tools = JavaTools(OLDEST)
            with old:
                yield old.bootstrap
    else:
        with ApacheKafka(place, version=str(request.param), settings=SETTINGS, quick=True) as kafka:
            yield kafka.bootstrap


@pytest.fixture
async def desk(bootstrap: str) -> AsyncIterator[Desk]:
    async with await Desk.open(Connection(bootstrap), allow_writes=True) as found:
        yield found


async def test_every_verb(desk: Desk, request: pytest.FixtureRequest) -> None:
    used: set[str] = set()

    old = "kafka-2" in request.node.name

    async def do(verb: str, **arguments: Any) -> Any:
        used.add(verb)
        return await call(desk, verb, arguments)

    async def write(verb: str, **arguments: Any) -> Any:
        plan = await do(verb, **arguments)
        assert plan["executed"] is False
        done = await do(verb, **arguments, dry_run=False)
        assert done["executed"] is True
        return plan, done

    async def refused(verb: str, **arguments: Any) -> str:
        with pytest.raises(FastlogError) as caught:
            await do(verb, **arguments)
        return problem_of(caught.value).code

    async def settled(verb: str, look: Callable[[Any], bool], **arguments: Any) -> Any:
        """What a verb tells when that is so: brokers in KRaft mode hear of changes a moment later."""
        deadline = time.monotonic() + 60
        while True:
            found = await do(verb, **arguments)
            if look(found):
                return found
            assert time.monotonic() < deadline, f"{verb} still tells {found}"
            await asyncio.sleep(0.2)

    plan, _ = await write("create_topic", topic="orders", partitions=2, configs={"retention.ms": "-1"})
    assert (plan["partitions"], plan["replication_factor"]) == (2, 1)
    await write("alter_topic", topic="orders", partitions=3, configs={"max.message.bytes": "2000000"})
    await write(
        "alter_configs", resource_type="topic", resource="orders", configs={"max.message.bytes": None}
    )
    for number in range(10):
        await do("produce", topic="orders", value=f'{{"id": {number}}}', key=f"k{number}", dry_run=False)
    await write("produce", topic="orders", value="x", partition=0)
    await write("tombstone", topic="orders", key="k0")
    await write("import_records", topic="orders", records=[{"value": "a"}, {"value": "b", "key": "c"}])

    (row,) = (await do("list_topics", pattern="orders"))["topics"]
    assert (row["partitions"], row["records"]) == (3, 14)
    assert row["size_bytes"] > 0
    own = {"retention.ms": "-1"}
    await settled("describe_topic", lambda found: found["configs"] == own, topic="orders")
    configs = (await do("describe_configs", resource_type="topic", resource="orders"))["configs"]
    (retention,) = [item for item in configs if item["name"] == "retention.ms"]
    assert (retention["value"], retention["source"]) == ("-1", "topic")
    cluster = await do("describe_cluster", api_versions=True)
    (broker,) = cluster["brokers"]
    assert broker["log_dirs"][0]["size_bytes"] > 0
    assert cluster["unavailable_partitions"] == 0
    node = str(broker["id"])
    assert (await do("describe_configs", resource_type="broker", resource=node))["configs"]

    page = await do("browse", topic="orders", filter="value.id >= 5")
    assert sorted(item["key"] for item in page["messages"]) == ["k5", "k6", "k7", "k8", "k9"]
    one = page["messages"][0]
    again = {"topic": "orders", "partition": one["partition"], "offset": one["offset"]}
    assert (await do("get_message", **again))["key"] == one["key"]
    await write("resend", **again)

    plan, done = await write("reset_offsets", group="g", to="earliest", topics=["orders"])
    assert plan["partitions"] == done["partitions"]
    await write("reset_offsets", group="g", to="time", time="2020-01-01")
    (group,) = (await do("list_groups"))["groups"]
    assert (group["group"], group["state"], group["members"], group["total_lag"]) == ("g", "Empty", 0, 15)
    assert (await do("describe_group", group="g"))["total_lag"] == 15
    assert (await do("list_topic_groups", topic="orders"))["groups"][0]["group"] == "g"

    sampler = Sampler(desk)
    await sampler.look()
    assert (sampler.group_lag("g"), list(sampler.topic_groups("orders"))) == (15, ["g"])
    assert sampler.size_bytes("orders")

    await write("delete_group_offsets", group="g", topic="orders", partitions=[0])
    await write("delete_groups", groups=["g"])
    assert await refused("describe_group", group="g") == "GROUP_ID_NOT_FOUND"
    plan, done = await write("purge", topic="orders", before={"0": 1})
    assert done["partitions"][0]["new_earliest_offset"] == 1
    assert (await write("elect_leaders", topic="orders"))[0]["partitions"] == []
    await write("reassign", topic="orders", replicas={"0": [broker["id"]]})
    await settled("list_reassignments", lambda found: found["reassignments"] == [])

    assert (await do("describe_producers", topic="orders"))["producers"]
    if old:
        assert await refused("list_transactions") == "UNSUPPORTED_VERSION"
        used.update(UNKNOWN_TO_THE_OLDEST)
    else:
        assert (await do("list_transactions"))["transactions"] == []
        assert await refused("describe_transaction", transactional_id="t") == "TRANSACTIONAL_ID_NOT_FOUND"
        assert (await do("find_hanging", topic="orders"))["transactions"] == []

    await write("set_password", user="ada", password="geheim")  # noqa: S106
    await settled("list_users", lambda found: {item["user"] for item in found["users"]} == {"ada"})
    await write("alter_quotas", user="ada", quotas={"producer_byte_rate": 1_000_000})
    await settled("list_quotas", lambda found: [item["user"] for item in found["quotas"]] == ["ada"])
    await write("alter_quotas", user="ada", quotas={"producer_byte_rate": None})
    await write("delete_user", user="ada")
    rule = {"resource": "Topic", "name": "t", "principal": "User:ada", "operation": "Read"}
    for verb in ("create_acl", "delete_acl"):
        assert await refused(verb, **rule) == "SECURITY_DISABLED"
    assert await refused("list_acls") == "SECURITY_DISABLED"
    await write("delete_topics", topics=["orders"])
    assert used == set(load_all())
