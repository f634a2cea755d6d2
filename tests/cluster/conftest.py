"""A cluster for the tests of one file, of each list of kinds in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.extent import PLACE, WHOLE
from tests.cluster.kinds import Kinds, clusters, named


@pytest.fixture(scope="module", params=clusters(whole=WHOLE), ids=named)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    kinds: Kinds = request.param
    with Cluster(tmp_path_factory.mktemp("cluster"), kinds, place=PLACE) as cluster:
        yield cluster


_MIXED: Final = [kinds for kinds in clusters(whole=True) if len(set(kinds)) > 1]


@pytest.fixture(scope="module", params=_MIXED if WHOLE else _MIXED[:1], ids=named)
def mixed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One of both kinds."""
    kinds: Kinds = request.param
    with Cluster(tmp_path_factory.mktemp("cluster"), kinds) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """Whole, whatever the last test has left."""
    started.heal()
    return started
