"""All brokers die, and the one that comes back first has an empty disk: the others keep what they have."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from confluent_kafka import ElectionType, KafkaError, KafkaException, TopicPartition

from tests.cluster.checker import check
from tests.cluster.cluster import Cluster
from tests.cluster.load import Load
from tests.cluster.logs import assert_equal_logs
from tests.cluster.operator import admin, create_topic, until_it_works

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_who_has_lost_all_does_not_lead(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster", ("fastlog",) * 3, place="keeper") as cluster:
        # It leads one, and is the first to follow in the other.
        create_topic(cluster, "kept", [[1, 2, 3], [2, 1, 3]])
        with Load(cluster.bootstrap, "kept", 2, tmp_path, rate=200) as load:
            load.wait_for_acks(200)
            cluster.kill(1, 2, 3)
            shutil.rmtree(cluster.members[1].data_dir)
            cluster.start(1)
            _wait_led_by_nobody(cluster)
            # The second time its directory is its own.
            cluster.kill(1)
            cluster.start(1, 2, 3)
            _wait_led_by_nobody(cluster)
            until_it_works(lambda: _elect(cluster), "nobody is elected")
            assert {part.leader for part in cluster.look().of("kept").values()} <= {2, 3}
            # Now somebody leads, from whom it gets all.
            cluster.kill(1)
            cluster.start(1)
            cluster.wait_whole("kept")
            load.wait_for_acks(200)
            history = load.finish()
        assert check(history) == []
        replicas = {("kept", number): part.replicas for number, part in cluster.look().of("kept").items()}
        assert_equal_logs(cluster.data_dirs, replicas)
        assert cluster.tracebacks() == []


def _wait_led_by_nobody(cluster: Cluster) -> None:
    cluster.wait_for(
        lambda state: all(part.leader == -1 for part in state.of("kept").values()),
        "it leads what it has lost",
    )


def _elect(cluster: Cluster) -> None:
    client = admin(cluster)
    wanted = [TopicPartition("kept", number) for number in range(2)]
    for error in client.elect_leaders(ElectionType.UNCLEAN, wanted).result().values():
        if error is not None and error.code() != KafkaError.ELECTION_NOT_NEEDED:
            raise KafkaException(error)
