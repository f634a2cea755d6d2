"""The same requests about transactions to Apache Kafka and to us: the answers must be the same.

A class starts one broker of each, which play all scenarios that are wanted; its tests compare.
"""

from __future__ import annotations

import pytest

from tests.compat.transactions.differences import (
    KAFKA_3 as OF_3,
)
from tests.compat.transactions.differences import (
    KAFKA_4 as OF_4,
)
from tests.compat.transactions.differences import (
    KNOWN,
    differences,
    is_known,
    known_of,
)
from tests.compat.transactions.scenarios import OF_KAFKA_3, OF_KAFKA_4, OfRelease
from tests.compat.transactions.stage import FAILED, Told, peers_of, play_all
from tests.peers.apache_kafka import KAFKA_3, KAFKA_44

pytestmark = [pytest.mark.java, pytest.mark.timeout(400)]
Pair = tuple[Told, Told]


@pytest.fixture(scope="class")
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """What Kafka tells, and what we do."""
    cls = request.cls
    scenarios: OfRelease = cls.scenarios
    wanted = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.cls is cls and hasattr(item, "callspec")
    }
    directory = tmp_path_factory.mktemp(f"kafka-{cls.release}")
    kafka, fastlog = peers_of(directory, cls.release, cls.level)
    theirs, ours = play_all((kafka, fastlog), scenarios, wanted)
    assert "Traceback" not in fastlog.log_text, fastlog.log_text[-4000:]
    return theirs, ours


class TestKafka3:
    """In the first protocol."""

    release = KAFKA_3
    level = 0
    scenarios = OF_KAFKA_3

    @pytest.mark.parametrize("name", OF_KAFKA_3.names)
    def test_same_answers(self, told: Pair, name: str) -> None:
        compare(told, name, OF_3)


class TestKafka4:
    """With `transaction.version` 2, in both protocols."""

    release = KAFKA_44
    level = 2
    scenarios = OF_KAFKA_4

    @pytest.mark.parametrize("name", OF_KAFKA_4.names)
    def test_same_answers(self, told: Pair, name: str) -> None:
        compare(told, name, OF_4)


def compare(told: Pair, name: str, release: int) -> None:
    """Differences are those of the table, and each of these is there."""
    theirs, ours = told[0][name], told[1][name]
    failed = [answer for what, answer in (*theirs, *ours) if what == FAILED]
    assert not failed, "\n".join(failed)
    found = [*differences(theirs, ours)]
    known = known_of(name, release)
    new = [difference for difference in found if not any(is_known(one, difference) for one in known)]
    assert not new, "\n".join(map(str, new))
    gone = [one for one in known if one.always and not any(is_known(one, difference) for difference in found)]
    assert not gone, "\n".join(map(str, gone))


def test_there_are_enough_scenarios() -> None:
    assert min(len(OF_KAFKA_3.names), len(OF_KAFKA_4.names)) >= 60
    assert {known.scenario for known in KNOWN} <= {*OF_KAFKA_4.names}
