"""A cluster of Apache Kafka 3.9 and fastlog: they have the same access rules, whoever is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastlog.wire.acl_types import Operation, PatternType, Permission, Resource
from fastlog.wire.messages.acls import AclCreation, CreateAclsRequest, DeleteAclsFilter, DeleteAclsRequest
from fastlog.wire.messages.groups import HeartbeatRequest
from tests.compat.access.pair import settings
from tests.harness.keeper_process import KeeperProcess
from tests.harness.link import Link
from tests.harness.net import free_port
from tests.harness.plain_link import PlainLink
from tests.harness.tree import tree_at
from tests.harness.waiting import wait_until
from tests.integration.running import RunningBroker
from tests.peers.apache_kafka import KafkaOnZooKeeper

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(300)]

DENIED = 30
"""GROUP_AUTHORIZATION_FAILED."""


class Place:
    """One of the brokers: its operator, and `alice`."""

    def __init__(self) -> None:
        self.port, self.plain = free_port(), free_port()

    def settings(self) -> dict[str, str]:
        """Of the broker."""
        return settings(["alice"], self.port, self.plain)

    def may_read(self, group: str) -> bool:
        """Whether the broker lets alice into a group."""
        with PlainLink(self.port, "alice", "x") as link:
            answer: Any = link.call(HeartbeatRequest(group, 1, "m"), 4)
            return bool(answer.error_code != DENIED)

    def add(self, name: str, kind: PatternType, permission: Permission = Permission.ALLOW) -> None:
        """Has it add a rule."""
        rule = AclCreation(
            int(Resource.GROUP), name, int(kind), "User:alice", "*", int(Operation.READ), int(permission)
        )
        with Link(self.plain) as link:
            answer: Any = link.call(CreateAclsRequest([rule]), 3)
        assert [result.error_code for result in answer.results] == [0], answer

    def remove(self, name: str, kind: PatternType) -> int:
        """Has it remove the rules of a pattern; how many there were."""
        wanted = DeleteAclsFilter(int(Resource.GROUP), name, int(kind), None, None, 1, 1)
        with Link(self.plain) as link:
            answer: Any = link.call(DeleteAclsRequest([wanted]), 3)
        (result,) = answer.filter_results
        assert result.error_code == 0
        return len(result.matching_acls)


def test_rules_are_shared(tmp_path: Path) -> None:
    theirs, ours = Place(), Place()
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:
        connect = f"{keeper.address}/mixed"
        kafka = KafkaOnZooKeeper(
            tmp_path / "kafka", connect, broker_id=2, settings=theirs.settings(), heap="256m"
        )
        kafka.port = theirs.plain
        fastlog = RunningBroker(
            tmp_path / "fastlog", {**ours.settings(), "broker.id": "1", "zookeeper.connect": connect}
        )
        try:
            kafka.start()
            fastlog.start()

            def agree(group: str, wanted: bool) -> None:
                wait_until(
                    lambda: [place.may_read(group) for place in (theirs, ours)] == [wanted, wanted],
                    f"{group}: {wanted} is not in force at both",
                    seconds=20,
                )

            agree("g", False)
            for place, other in ((theirs, ours), (ours, theirs)):
                place.add("g", PatternType.LITERAL)
                agree("g", True)
                other.add("g", PatternType.PREFIXED, Permission.DENY)
                agree("g", False)
                agree("gg", False)
                assert place.remove("g", PatternType.PREFIXED) == 1
                agree("g", True)
                # Each has its own idea of the version by now.
                place.add("g", PatternType.LITERAL, Permission.DENY)
                agree("g", False)
                assert other.remove("g", PatternType.LITERAL) == 2
                agree("g", False)
            ours.add("kept", PatternType.PREFIXED)
            theirs.add("kept", PatternType.LITERAL)
            tree = tree_at(connect)
            assert {"/kafka-acl/Group/kept", "/kafka-acl-extended/prefixed/Group/kept"} <= set(tree)
            assert "/kafka-acl/Group/g" not in tree
            fastlog.stop()
            fastlog.start()
            agree("kept-too", True)
        finally:
            fastlog.close()
            kafka.kill()
