"""A broker on a keeper that is killed amid changes, and whose nodes are removed under its feet."""

from __future__ import annotations

import json
import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from fastlog.coordination.zookeeper.client import ZkClient
from tests.compat.cluster_operator import TOPIC, Operator
from tests.harness.broker_process import BrokerProcess
from tests.harness.keeper_process import KeeperProcess
from tests.harness.tree import at, nodes_below, tree_at
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.timeout(180)
KILLS: Final = 5


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[KeeperProcess]:
    with KeeperProcess(tmp_path / "keeper", tick_ms=250) as process:
        yield process


@pytest.fixture
def broker(keeper: KeeperProcess, tmp_path: Path) -> Iterator[BrokerProcess]:
    settings = {
        "broker.id": "1",
        "zookeeper.connect": f"{keeper.address}/kafka",
        "zookeeper.session.timeout.ms": "4000",
        "zookeeper.connection.timeout.ms": "6000",
        "offsets.topic.num.partitions": "1",
    }
    with BrokerProcess(tmp_path / "broker", settings=settings) as process:
        operator = Operator(process.bootstrap)
        operator.wait_until_it_serves()
        # The topic of the offsets is made when somebody asks for a group: here, and not in between.
        operator.create(NewTopic("first", 1, 1))
        operator.produce("first", 1)
        operator.consume("first", "readers", 1)
        operator.delete("first")
        yield process
        assert "Traceback" not in process.log_text


def assert_all_agree(keeper: KeeperProcess, broker: BrokerProcess) -> set[str]:
    """What is told, what is stored and what lies on the disk are the same topics; gives those of users."""
    operator = Operator(broker.bootstrap)
    told = operator.described()
    tree = tree_at(f"{keeper.address}/kafka")
    stored = {
        path.split("/")[3]: json.loads(node.data or b"")
        for path, node in tree.items()
        if path.startswith("/brokers/topics/") and path.count("/") == 3
    }
    assert stored.keys() == told["topics"].keys()
    for name, (_, partitions) in told["topics"].items():
        assert stored[name]["partitions"] == {str(number): replicas for number, _, replicas, _ in partitions}
        assert json.loads(tree[f"/config/topics/{name}"].data or b"")["config"] == told["topic configs"][name]
        for number, *_ in partitions:
            assert f"/brokers/topics/{name}/partitions/{number}/state" in tree
    assert {path.split("/")[3] for path in tree if path.startswith("/config/topics/")} == stored.keys()
    assert not [path for path in tree if path.startswith("/admin/delete_topics/")]
    directories = {
        path.name for path in broker.data_dir.iterdir() if path.is_dir() and not path.name.endswith("-delete")
    }
    assert directories == {
        f"{name}-{number}" for name, (_, parts) in told["topics"].items() for number, *_ in parts
    }
    return stored.keys() - {"__consumer_offsets"}


class Churn(threading.Thread):
    """Makes, grows, alters and deletes topics; keeps what the broker has said of each."""

    def __init__(self, bootstrap: str, number: int) -> None:
        super().__init__()
        self._operator = Operator(bootstrap)
        self._chance = random.Random(number)
        self._number = number
        self.enough = threading.Event()
        self.there: set[str] = set()
        self.unsure: set[str] = set()
        self.changes = 0

    def run(self) -> None:
        while not self.enough.is_set():
            name = f"t-{self._number}-{self.changes}"
            try:
                self._one(name)
            except KafkaException:
                self.unsure.add(name)
            self.changes += 1

    def _one(self, name: str) -> None:
        self._operator.create(NewTopic(name, self._chance.randint(1, 4), 1, config={"retention.ms": "5000"}))
        self.there.add(name)
        if self._chance.random() < 0.3:
            self._operator.grow(name, 6)
        if self._chance.random() < 0.3:
            self._operator.alter(TOPIC, name, "retention.ms", "6000")
        if self._chance.random() < 0.6:
            self.unsure.add(name)
            self._operator.delete(name)
            self.there.discard(name)
            self.unsure.discard(name)


def test_a_keeper_killed_amid_changes_costs_none_that_was_answered(
    keeper: KeeperProcess, broker: BrokerProcess
) -> None:
    threads = [Churn(broker.bootstrap, number) for number in range(3)]
    for thread in threads:
        thread.start()
    chance = random.Random(7)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.3, 1.2))
        keeper.kill()
        time.sleep(chance.uniform(0.0, 0.5))
        keeper.start()
    time.sleep(0.5)
    for thread in threads:
        thread.enough.set()
    for thread in threads:
        thread.join()
    assert sum(thread.changes for thread in threads) > 20
    Operator(broker.bootstrap).create(NewTopic("last", 1, 1))
    there = assert_all_agree(keeper, broker) - {"last"}
    certain = {name for thread in threads for name in thread.there}
    unsure = {name for thread in threads for name in thread.unsure}
    assert certain - unsure <= there <= certain | unsure
    broker.kill()
    broker.start()
    Operator(broker.bootstrap).wait_until_it_serves()
    assert assert_all_agree(keeper, broker) - {"last"} == there
    assert broker.stop() == 0


def _remove(keeper: KeeperProcess, *tops: str) -> None:
    async def work(client: ZkClient) -> None:
        for top in tops:
            for path in sorted(await nodes_below(client, top), key=len, reverse=True):
                await client.delete(path)

    at(f"{keeper.address}/kafka", work)


def test_nodes_removed_under_its_feet_cost_no_records(keeper: KeeperProcess, broker: BrokerProcess) -> None:
    """Those of the cluster and states come back; settings and topics that somebody removes are gone."""
    operator = Operator(broker.bootstrap)
    operator.create(*(NewTopic(name, 2, 1, config={"retention.ms": "-1"}) for name in "abcd"))
    # In leader epochs above 0: a topic that begins anew would be in one that nobody obeys.
    broker.stop()
    broker.start()
    operator = Operator(broker.bootstrap)
    operator.wait_until_it_serves()
    for name in "abcd":
        operator.produce(name)
    _remove(
        keeper,
        "/config/topics/a",
        "/brokers/topics/b/partitions/0/state",
        "/brokers/topics/b/partitions/1",
        "/brokers/topics/c",
        "/brokers/topics/d",
        "/controller",
        "/brokers/ids/1",
    )
    # Who leads goes on with what it knows.
    for name in "abcd":
        operator.produce(name)
    wait_until(
        lambda: {"/controller", "/brokers/ids/1"} <= tree_at(f"{keeper.address}/kafka").keys(),
        "the broker is not in its cluster again",
        seconds=20,
    )
    wait_until(
        lambda: "/brokers/topics/b/partitions/1/state" in tree_at(f"{keeper.address}/kafka"),
        "the states are not there again",
        seconds=20,
    )
    operator.produce("b")
    operator.alter(TOPIC, "a", "retention.bytes", "-1")
    operator.grow("a", 3)
    operator.delete("d")
    operator.create(NewTopic("d", 1, 1), NewTopic("e", 1, 1))
    with pytest.raises(KafkaException) as caught:
        operator.grow("c", 3)
    assert caught.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    broker.stop()
    broker.start()
    operator = Operator(broker.bootstrap)
    operator.wait_until_it_serves()
    # There is no such topic any more: this one is another, and what was of the former is kept beside it.
    operator.create(NewTopic("c", 2, 1))
    for name in "abcde":
        operator.produce(name)
    told = operator.described()
    ends = {name: sum(end for _, end in told["ends"][name]) for name in "abcde"}
    assert ends == {"a": 300, "b": 400, "c": 100, "d": 100, "e": 100}
    strays = [path for path in broker.data_dir.iterdir() if path.name.endswith("-stray")]
    assert sorted(path.name.split(".")[0] for path in strays) == ["c-0", "c-1"]
    assert sum(path.stat().st_size for stray in strays for path in stray.glob("*.log")) > 0
    for stray in strays:
        shutil.rmtree(stray)
    assert told["topic configs"]["a"]["retention.bytes"] == "-1"
    assert told["topic configs"]["b"] == {"retention.ms": "-1"}
    assert assert_all_agree(keeper, broker) == set("abcde")
