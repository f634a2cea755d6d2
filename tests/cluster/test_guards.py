"""A check that has never failed may be unable to: a cluster without its guards loses what it acknowledged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.checker import check
from tests.cluster.cluster import Cluster
from tests.cluster.extent import RATE
from tests.cluster.kinds import Kinds, clusters, named
from tests.cluster.load import Load
from tests.cluster.operator import create_topic

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.whole, pytest.mark.timeout(600)]


@pytest.mark.parametrize("kinds", clusters(whole=True), ids=named)
def test_an_unclean_election_is_seen(kinds: Kinds, tmp_path: Path) -> None:
    """One in sync is enough to write, and it dies; others lead who know nothing of that."""
    settings = {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"}
    with Cluster(tmp_path / "cluster", kinds, settings=settings) as cluster:
        create_topic(cluster, "unsafe", [[1, 2, 3]])
        # An idempotent producer finds it out by itself, and gives up: OUT_OF_ORDER_SEQUENCE_NUMBER.
        with Load(cluster.bootstrap, "unsafe", 1, tmp_path, rate=RATE, idempotent=False) as load:
            load.wait_for_acks(100)
            cluster.kill(2, 3)
            cluster.wait_for(lambda state: state.of("unsafe")[0].isr == (1,), "the dead stay in sync")
            load.wait_for_acks(RATE)
            cluster.kill(1)
            cluster.start(2, 3)
            cluster.wait_led_by_others("unsafe", 1)
            cluster.start(1)
            cluster.wait_whole("unsafe")
            found = check(load.finish())
    assert [line for line in found if line.startswith(("lost write", "unseen"))]
    assert [line for line in found if line.startswith(("reading", "vanished", "inconsistent offset"))]
