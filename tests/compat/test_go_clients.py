"""franz-go, sarama and kafka-go: records of every shape and codec, groups, administration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.client_programs import CODECS, ROOT
from tests.compat.foreign_library import (
    ADMINISTRATION,
    Group,
    Library,
    administration,
    check_round_trip,
)
from tests.harness.broker_process import BrokerProcess
from tests.peers.go_programs import go_program

# The first test that runs may have to fetch and to build.
pytestmark = pytest.mark.timeout(600)

NAMES = ("franz-go", "sarama", "kafka-go")
BALANCERS = {
    "franz-go": ("cooperative-sticky", "sticky", "uniform"),
    "sarama": ("range", "sticky", "cooperative-sticky"),
    "kafka-go": ("roundrobin",),
}


@pytest.fixture(scope="module")
def libraries() -> dict[str, Library]:
    """The three libraries, in one program."""
    program = go_program(ROOT / "tests/compat/clients/go")
    return {name: Library(name, [str(program), name], empty_is_null=name == "kafka-go") for name in NAMES}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", NAMES)
def test_records_are_byte_equal(
    name: str, codec: str, libraries: dict[str, Library], broker: BrokerProcess, tmp_path: Path
) -> None:
    """In order, with nulls, headers, empty and 1 MB records; read by two libraries."""
    other = NAMES[(NAMES.index(name) + 1) % len(NAMES)]
    check_round_trip(libraries[name], [libraries[name], libraries[other]], codec, broker, tmp_path)


@pytest.mark.parametrize(("name", "balancer"), [(name, one) for name in NAMES for one in BALANCERS[name]])
def test_a_group_lives(
    name: str, balancer: str, libraries: dict[str, Library], broker: BrokerProcess, tmp_path: Path
) -> None:
    """Members share, leave, commit and resume."""
    with Group(f"{name}-{balancer}", broker.bootstrap, tmp_path) as group:
        assert group.check_life(libraries[name], balancer) == balancer


def test_libraries_share_a_group(
    libraries: dict[str, Library], broker: BrokerProcess, tmp_path: Path
) -> None:
    """The range assignors of all three understand each other's metadata through the broker."""
    with Group("go-together", broker.bootstrap, tmp_path) as group:
        for name in NAMES:
            group.join(name, libraries[name], "range")
        assert group.wait_shares(2, 2, 2) == "range"
        group.send(60)
        group.wait_handled(*NAMES)
        assert all(group.handled(name) for name in NAMES)
        for name in NAMES:
            group.leave(name)
        assert group.committed() == 60


@pytest.mark.parametrize("name", NAMES)
def test_administration(
    name: str, libraries: dict[str, Library], broker: BrokerProcess, tmp_path: Path
) -> None:
    """Topics, configurations, offsets by time, groups, records."""
    expected = dict(ADMINISTRATION)
    if name == "franz-go":
        # It takes "no record that late" for the end of the log.
        expected["after the end"] = 8
    if name == "kafka-go":
        # It has no DeleteRecords.
        del expected["earliest after delete"]
    assert administration(libraries[name], broker.bootstrap, tmp_path) == expected
