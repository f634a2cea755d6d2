"""kafkajs: records of every shape and codec, groups, administration."""

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
from tests.peers.node_packages import node_with

# The first test that runs may have to fetch.
pytestmark = pytest.mark.timeout(300)

PROGRAM = ROOT / "tests/compat/clients/node"


@pytest.fixture(scope="module")
def kafkajs() -> Library:
    """The library; a record of it has one value per header name."""
    command, environment = node_with(PROGRAM / "package.json")
    return Library("kafkajs", [command, str(PROGRAM / "main.js")], environment, repeated_headers=False)


@pytest.mark.parametrize("codec", CODECS)
def test_records_are_byte_equal(codec: str, kafkajs: Library, broker: BrokerProcess, tmp_path: Path) -> None:
    """In order, from the idempotent producer, with nulls, headers, empty and 1 MB records."""
    check_round_trip(kafkajs, [kafkajs], codec, broker, tmp_path)


def test_a_group_lives(kafkajs: Library, broker: BrokerProcess, tmp_path: Path) -> None:
    """Members share, leave, commit and resume, with the assignor that the library brings."""
    with Group("kafkajs-group", broker.bootstrap, tmp_path) as group:
        assert group.check_life(kafkajs, "RoundRobinAssigner") == "RoundRobinAssigner"


def test_administration(kafkajs: Library, broker: BrokerProcess, tmp_path: Path) -> None:
    """Topics, configurations, offsets by time, groups, records."""
    expected = dict(ADMINISTRATION)
    # It takes "no record that late" for the end of the log, and commits as a member, without metadata.
    expected["after the end"] = 8
    expected["committed"] = [5, ""]
    expected["type of the group"] = "consumer"
    assert administration(kafkajs, broker.bootstrap, tmp_path) == expected
