"""Records go on while members do not reach ZooKeeper, and while it is not known what became of writes."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cut_off import CUTS, CutOffCluster
from tests.cluster.extent import RATE, WHOLE
from tests.cluster.kinds import Kinds, clusters, named
from tests.cluster.load import Load
from tests.cluster.operator import create_topic, elect_preferred, rotations
from tests.cluster.verdict import assert_kept

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]
_CLUSTERS = clusters(whole=WHOLE)
_RECORDS = 5000
_SHORT = ("controller cut off", "answers lost at a failover")


@pytest.fixture(scope="module", params=_CLUSTERS if WHOLE else _CLUSTERS[-1:], ids=named)
def behind_proxies(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CutOffCluster]:
    kinds: Kinds = request.param
    with CutOffCluster(tmp_path_factory.mktemp("cluster"), kinds) as cluster:
        yield cluster


@pytest.mark.parametrize("move", CUTS if WHOLE else _SHORT)
def test_records_go_on(move: str, behind_proxies: CutOffCluster, tmp_path: Path) -> None:
    """`FASTLOG_CLUSTER_SEED` says which answers are lost."""
    cluster = behind_proxies
    cluster.heal()
    topic = move.replace(" ", "-")
    create_topic(cluster, topic, rotations([*cluster.members]))
    with Load(cluster.bootstrap, topic, len(cluster.members), tmp_path, rate=RATE // 2) as load:
        load.wait_for_acks(100)
        CUTS[move](cluster, topic, random.Random(int(os.environ.get("FASTLOG_CLUSTER_SEED") or 1)))
        load.wait_for_acks(100)
        assert_kept(cluster, load, at_least=_RECORDS)
    elect_preferred(cluster, topic)
