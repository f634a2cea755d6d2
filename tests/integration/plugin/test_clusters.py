"""Clusters of the fixtures: members come and go, and what is acknowledged stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog import Producer
from fastlog.testing import BrokerCluster, KafkaTopic
from fastlog.testing.topic import read


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCluster]:
    with BrokerCluster(tmp_path_factory.mktemp("cluster"), 3) as cluster:
        yield cluster


def values(topic: KafkaTopic) -> list[bytes | None]:
    return [record.value for record in read(topic.bootstrap, topic)]


def test_a_leader_that_is_killed(cluster: BrokerCluster) -> None:
    topic = cluster.topic(partitions=1)
    with Producer(cluster.bootstrap) as producer:
        producer.send(topic, b"0").result(30)
        leader = cluster.leader(topic)
        leader.kill()
        producer.send(topic, b"1").result(30)
        assert cluster.leader(topic) is not leader
        leader.start()
        cluster.wait_whole()
        producer.send(topic, b"2").result(30)
    assert values(topic) == [b"0", b"1", b"2"]


@pytest.mark.slow
def test_a_controller_that_hangs(cluster: BrokerCluster) -> None:
    """Others take over when its session has run out, and it comes back as one of them."""
    topic = cluster.topic(partitions=3)
    controller = cluster.controller()
    controller.freeze()
    other = cluster.controller()
    assert other is not controller
    topic.send(["a", "b"])
    controller.thaw()
    cluster.wait_whole()
    assert sorted(values(topic)) == [b"a", b"b"]


def test_each_member_has_a_proxy(cluster: BrokerCluster) -> None:
    proxies = [broker.proxy for broker in cluster]
    topic = cluster.topic(partitions=3)
    with Producer(proxies[0].bootstrap, linger_ms=0, retry_backoff_ms=10) as producer:
        for proxy in proxies:
            proxy.cut("produce")
        for number in range(9):
            producer.send(topic, b"%d" % number, partition=number % 3).result(30)
    assert all(proxy.requests["PRODUCE"] >= 3 for proxy in proxies)
    assert sorted(values(topic)) == [b"%d" % number for number in range(9)]


def test_a_cluster_of_one(tmp_path: Path) -> None:
    with BrokerCluster(tmp_path, 1) as cluster:
        topic = cluster.topic()
        topic.send("a")
        assert cluster.leader(topic) is cluster[1]
        assert topic.values() == [b"a"]
    with pytest.raises(ValueError, match="a broker at least"):
        BrokerCluster(tmp_path, 0)
