"""What the members of a cluster make of a ZooKeeper ensemble of three that loses servers, and its quorum."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.extent import RATE, RECORDS, WHOLE
from tests.cluster.kinds import Kinds, clusters, named
from tests.cluster.load import Load
from tests.cluster.moves import OF_SERVERS
from tests.cluster.operator import create_topic, rotations
from tests.cluster.verdict import assert_kept

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]


_CLUSTERS = clusters(whole=WHOLE)
_PARTITIONS = 3


@pytest.fixture(scope="module", params=_CLUSTERS if WHOLE else _CLUSTERS[-1:], ids=named)
def on_ensemble(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    kinds: Kinds = request.param
    with Cluster(tmp_path_factory.mktemp("cluster"), kinds, place="ensemble") as cluster:
        yield cluster


@pytest.mark.parametrize("move", OF_SERVERS if WHOLE else ["quorum lost"])
def test_records_go_on(move: str, on_ensemble: Cluster, tmp_path: Path) -> None:
    """Without the servers nobody is elected, and nobody has to be: the leaders lead on."""
    on_ensemble.heal()
    topic = move.replace(" ", "-")
    create_topic(on_ensemble, topic, rotations([*on_ensemble.members]))
    with Load(on_ensemble.bootstrap, topic, _PARTITIONS, tmp_path, rate=RATE) as load:
        load.wait_for_acks(100)
        before = load.acked
        OF_SERVERS[move](on_ensemble, topic)
        # A second's worth, in several seconds without them.
        assert load.acked > before + RATE
        on_ensemble.wait_whole()
        load.wait_for_acks(100)
        assert_kept(on_ensemble, load, at_least=RECORDS)
    # Topics can be made again, and members can leave and come.
    create_topic(on_ensemble, f"{topic}-after", rotations([*on_ensemble.members]))
    on_ensemble.restart(on_ensemble.controller())
    on_ensemble.wait_whole()


@pytest.mark.whole
def test_a_member_dies_without_a_quorum(on_ensemble: Cluster, tmp_path: Path) -> None:
    """Who leads what it had is decided when the servers are back."""
    on_ensemble.heal()
    assert on_ensemble.ensemble is not None
    create_topic(on_ensemble, "orphaned", rotations([*on_ensemble.members]))
    with Load(on_ensemble.bootstrap, "orphaned", _PARTITIONS, tmp_path, rate=RATE) as load:
        load.wait_for_acks(100)
        number = on_ensemble.leader("orphaned")
        for server in on_ensemble.ensemble.members[:2]:
            server.kill()
        on_ensemble.kill(number)
        on_ensemble.ensemble.restore()
        on_ensemble.wait_led_by_others("orphaned", number)
        load.wait_for_acks(100)
        on_ensemble.start(number)
        assert_kept(on_ensemble, load, at_least=RECORDS)
