"""Records go through each change of a cluster: each once, in order, and the same bytes on all replicas."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.extent import RATE, RECORDS, WHOLE
from tests.cluster.load import Load
from tests.cluster.moves import OF_BROKERS, SHORT
from tests.cluster.operator import create_topic, elect_preferred, rotations
from tests.cluster.verdict import assert_kept

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]
_PARTITIONS = 3


@pytest.mark.parametrize("move", OF_BROKERS if WHOLE else SHORT)
def test_records_go_through(move: str, cluster: Cluster, tmp_path: Path) -> None:
    topic = move.replace(" ", "-")
    create_topic(cluster, topic, rotations([*cluster.members]))
    with Load(cluster.bootstrap, topic, _PARTITIONS, tmp_path, rate=RATE) as load:
        load.wait_for_acks(100)
        before = cluster.look()
        OF_BROKERS[move](cluster, topic)
        load.wait_for_acks(100)
        history = assert_kept(cluster, load, at_least=RECORDS)
    after = cluster.look()
    # It has had its effect, more than the load has had.
    if "controller" in move or "all" in move:
        assert after.controller_epoch > before.controller_epoch
    if "leader" in move:
        assert after.partitions[topic, 0].leader_epoch > before.partitions[topic, 0].leader_epoch
    assert {row[0] for row in history.final or ()} == set(range(_PARTITIONS))
    elect_preferred(cluster, topic)
