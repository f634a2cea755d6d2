"""All members are replaced, one by one, and back again, each on its directory, while records are written."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.extent import RATE, RECORDS
from tests.cluster.kinds import Kind, replacements
from tests.cluster.load import Load
from tests.cluster.operator import create_topic, rotations
from tests.cluster.verdict import assert_kept

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(900)]
_BOTH: Final[tuple[Kind, ...]] = ("kafka", "fastlog")


@pytest.mark.parametrize(
    ("kind", "other"),
    # One that changes nothing but processes is for the long run.
    [
        pytest.param(*pair, marks=[pytest.mark.whole] if len(set(pair)) == 1 else [])
        for pair in replacements()
    ],
)
def test_members_are_replaced_and_come_back(kind: Kind, other: Kind, tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster", (kind,) * 3) as cluster:
        create_topic(cluster, "kept", rotations([*cluster.members]))
        create_topic(cluster, "still", rotations([*cluster.members]))
        with Load(cluster.bootstrap, "still", 3, tmp_path / "before", rate=RATE) as before:
            assert_kept(cluster, before, at_least=100)
        identities = [_identity(path) for path in cluster.data_dirs.values()]
        with Load(cluster.bootstrap, "kept", 3, tmp_path / "during", rate=RATE // 4) as during:
            for successor in (other, kind):
                for number, member in cluster.members.items():
                    cluster.restart(number, kind=successor)
                    assert member.kind == successor
                    # It catches up before the next one goes: two have to be in sync.
                    cluster.wait_whole()
                    during.wait_for_acks(100)
                # What was written before the first replacement is served by all who came.
                assert len(before.finish().final or ()) >= 100
            assert_kept(cluster, during, at_least=RECORDS)
        assert [_identity(path) for path in cluster.data_dirs.values()] == identities


def _identity(data_dir: Path) -> set[str]:
    lines = (data_dir / "meta.properties").read_text().splitlines()
    return {line for line in lines if line.startswith(("broker.id=", "cluster.id=", "version="))}


def test_a_member_alone_changes_its_kind(tmp_path: Path) -> None:
    """A cluster of one goes on as the other kind and as the first again, with all that was written."""
    settings = {"min.insync.replicas": "1", "fastlog.default.transaction.version": "0"}
    with Cluster(tmp_path / "cluster", ("fastlog",), settings=settings) as cluster:
        create_topic(cluster, "kept", [[1]])
        identity = _identity(cluster.data_dirs[1])
        with Load(cluster.bootstrap, "kept", 1, tmp_path, rate=RATE // 4) as load:
            for kind in _BOTH:
                load.wait_for_acks(100)
                cluster.restart(1, kind=kind)
                cluster.wait_whole()
            load.wait_for_acks(100)
            assert_kept(cluster, load, at_least=2000)
        assert _identity(cluster.data_dirs[1]) == identity
