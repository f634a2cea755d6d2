"""Sequences of raw group requests, played against one broker; the answers are noted in a comparable form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any, Final

from fastlog.wire import API_VERSIONS, Request
from fastlog.wire.messages.common import UNKNOWN_OPERATIONS
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_admin import DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)
from fastlog.wire.messages.groups import (
    HeartbeatRequest,
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    LeaveGroupRequest,
    MemberIdentity,
    SyncGroupRequest,
    SyncGroupRequestAssignment,
)
from tests.harness.group_requests import commit_request, join_request, sync_request
from tests.harness.link import Link

TOPIC: Final = "t"
"""Has two partitions."""
SETTINGS: Final = {
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.max.session.timeout.ms": "60000",
    "group.max.size": "2",
    "offset.metadata.max.bytes": "10",
    "offsets.topic.num.partitions": "2",
}
_MEMBER_ID: Final = re.compile(r"[\w.]+-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# Version 0 meant offsets in ZooKeeper: Kafka without one refuses it, we keep them where the others are.
_LOWEST: Final[Mapping[type[Request], int]] = {OffsetCommitRequest: 1, OffsetFetchRequest: 1}
_OF_SETTINGS: Final = 1 << 10 | 1 << 11
_MEMBERS_FROM: Final = 3
_OWN_RETENTION: Final = range(2, 5)
_GROUPS_FROM: Final = 8


class Talk:
    """One broker: requests on any number of connections, and the notes of all answers."""

    highest: Mapping[type[Request], int] = MappingProxyType({DescribeGroupsRequest: 5})
    """Where Kafka 3.9 ends before we do."""

    def __init__(self, port: int, prefix: str) -> None:
        self.port = port
        self.notes: list[tuple[str, Any]] = []
        self.group = prefix
        self._links: dict[str, Link] = {}
        self._names: dict[str, str] = {}

    def close(self) -> None:
        """Closes all connections."""
        for link in self._links.values():
            link.socket.close()

    def link(self, name: str = "") -> Link:
        """A connection by name."""
        if name not in self._links:
            self._links[name] = Link(self.port, timeout=60)
        return self._links[name]

    def ask(self, request: Request, version: int, what: str = "") -> Any:
        """Sends, notes the answer under `what`, and returns it as it is."""
        lowest = _LOWEST.get(type(request), 0)
        highest = self.highest.get(type(request), API_VERSIONS[request.API][1])
        return self.note(self.link().call(request, max(lowest, min(version, highest))), what)

    def note(self, answer: Any, what: str) -> Any:
        """Notes an answer that came otherwise."""
        self.notes.append((f"{type(answer).__name__} {what}", self.plain(answer)))
        return answer

    def plain(self, value: Any) -> Any:
        """Member ids become M1, M2 ...; times of throttling and texts for people are left out."""
        if is_dataclass(value) and not isinstance(value, type):
            return {
                item.name: self._field(item.name, getattr(value, item.name))
                for item in fields(value)
                if item.name not in ("throttle_time_ms", "error_message", "port")
            }
        if isinstance(value, list):
            rows = [self.plain(item) for item in value]
            return sorted(rows, key=repr)
        if isinstance(value, str):
            return _MEMBER_ID.sub(lambda found: self._names.setdefault(found[0], self._name()), value)
        return bytes(value) if isinstance(value, (bytes, memoryview)) else value

    def _field(self, name: str, value: Any) -> Any:
        if name == "authorized_operations" and value != UNKNOWN_OPERATIONS:
            # Groups have settings since Kafka 4.0.
            return value & ~_OF_SETTINGS
        return self.plain(value)

    def _name(self) -> str:
        return f"M{len(self._names) + 1}"

    # -- requests with usual values --------------------

    def join(self, member_id: str = "", **how: Any) -> JoinGroupRequest:
        """JoinGroup of a consumer with one protocol."""
        values: dict[str, Any] = {"group_id": self.group, "protocol": ("range", subscription(TOPIC))}
        return join_request(member_id=member_id, timeout_ms=30_000, **{**values, **how})

    def sync(self, generation: int, member_id: str, **how: Any) -> SyncGroupRequest:
        """SyncGroup of a leader without followers."""
        values: dict[str, Any] = {
            "group_id": self.group,
            "protocol_type": "consumer",
            "protocol_name": "range",
            "own": b"part",
        }
        return sync_request(generation=generation, member_id=member_id, **{**values, **how})

    def heartbeat(self, generation: int, member_id: str, **how: Any) -> HeartbeatRequest:
        """A sign of life."""
        return HeartbeatRequest(
            **{"group_id": self.group} | how, generation_id=generation, member_id=member_id
        )

    def commit(self, generation: int = -1, member_id: str = "", **how: Any) -> OffsetCommitRequest:
        """One offset in one partition."""
        who = {"generation_id_or_member_epoch": generation, "member_id": member_id}
        return commit_request(offset=7, **{"group_id": self.group, "topic": TOPIC, **who, **how})

    def stable(self, version: int, **how: Any) -> tuple[int, str]:
        """Brings one member into the group: (generation, its id)."""
        answer = self.ask(self.join(**how), version, "stable")
        if answer.error_code:
            answer = self.ask(self.join(answer.member_id, **how), version, "stable again")
        generation, member_id = answer.generation_id, answer.member_id
        instance = {"group_instance_id": how["group_instance_id"]} if "group_instance_id" in how else {}
        self.ask(self.sync(generation, member_id, **instance), version, "stable")
        return generation, member_id

    def leave(self, member_id: str, version: int, instance: str | None = None) -> LeaveGroupRequest:
        """LeaveGroup for one member, in the form that the version has."""
        if version < _MEMBERS_FROM:
            return LeaveGroupRequest(self.group, member_id)
        return LeaveGroupRequest(self.group, members=[MemberIdentity(member_id, instance)])

    def fetch(self, version: int, topics: Mapping[str, list[int]] | None, *groups: str) -> OffsetFetchRequest:
        """OffsetFetch of this group, from version 8 on of other groups too."""
        stable = version >= 7
        if version < _GROUPS_FROM:
            rows = None if topics is None else [OffsetFetchRequestTopic(*item) for item in topics.items()]
            return OffsetFetchRequest(self.group, rows, require_stable=stable)
        wanted = None if topics is None else [OffsetFetchRequestTopics(*item) for item in topics.items()]
        names = (self.group, *groups)
        return OffsetFetchRequest(
            groups=[OffsetFetchRequestGroup(name, topics=wanted) for name in names], require_stable=stable
        )


def subscription(*topics: str) -> bytes:
    """What a consumer of these topics tells its leader."""
    names = b"".join(len(topic).to_bytes(2, "big") + topic.encode() for topic in topics)
    return b"\0\1" + len(topics).to_bytes(4, "big") + names + b"\xff\xff\xff\xff\0\0\0\0"


def life(talk: Talk, version: int) -> None:
    """A member's whole life, every request in this version or its highest."""
    generation, member_id = talk.stable(version)
    talk.ask(talk.heartbeat(generation, member_id), version)
    describe = DescribeGroupsRequest(groups=[talk.group, "nobody's"])
    talk.ask(describe, version)
    talk.ask(talk.join(member_id), version, "of the leader again")
    talk.ask(talk.sync(generation + 1, member_id), version)
    talk.ask(talk.commit(generation + 1, member_id), version)
    talk.ask(talk.leave(member_id, version), version)
    talk.ask(describe, version)
    talk.ask(talk.heartbeat(generation + 1, member_id), version)
    talk.ask(talk.fetch(version, None if version >= 2 else {TOPIC: [0, 1]}), version)
    talk.ask(talk.join(member_id), version, "of one that left")


def refused_joins(talk: Talk, version: int) -> None:
    """JoinGroup, with all that can be wrong with it.

    Nobody asks for the group before its first member: Kafka keeps one that knows refused joins alone, as
    Empty, until groups expire, and fastlog keeps none.
    """
    other = [JoinGroupRequestProtocol("other", b"")]
    wrong: dict[str, JoinGroupRequest] = {
        "no group": talk.join(group_id=""),
        "short session": talk.join(session_timeout_ms=999),
        "long session": talk.join(session_timeout_ms=60_001),
        "unknown member": talk.join("nobody"),
        "no protocol": talk.join(protocols=[]),
        "no protocol type": talk.join(protocol_type=""),
    }
    for what, request in wrong.items():
        talk.ask(request, version, f"{what}, no group yet")
    _, member_id = talk.stable(version)
    wrong |= {
        "other protocol": talk.join(protocols=other),
        "other protocol of a member": talk.join(member_id, protocols=other),
        "other type": talk.join(protocol_type="connect"),
        "unknown member": talk.join("nobody"),
    }
    for what, request in wrong.items():
        talk.ask(request, version, f"{what}, stable")


def refused_syncs(talk: Talk, version: int) -> None:
    """SyncGroup, with all that can be wrong with it."""
    talk.ask(talk.sync(1, "nobody"), version, "no such group")
    talk.ask(talk.sync(1, "nobody", group_id=""), version, "no group")
    generation, member_id = talk.stable(version)
    wrong = {
        "fine": talk.sync(generation, member_id),
        "unknown member": talk.sync(generation, "nobody"),
        "no member": talk.sync(generation, ""),
        "past generation": talk.sync(generation - 1, member_id),
        "future generation": talk.sync(generation + 1, member_id),
        "other type": talk.sync(generation, member_id, protocol_type="connect"),
        "other protocol": talk.sync(generation, member_id, protocol_name="other"),
        "neither": talk.sync(generation, member_id, protocol_type=None, protocol_name=None),
    }
    for what, request in wrong.items():
        talk.ask(request, version, what)


def refused_heartbeats(talk: Talk, version: int) -> None:
    """Heartbeat and LeaveGroup, with all that can be wrong with them."""
    talk.ask(talk.heartbeat(1, "nobody"), version, "no such group")
    talk.ask(talk.heartbeat(1, "nobody", group_id=""), version, "no group")
    talk.ask(talk.leave("nobody", version), version, "no such group")
    generation, member_id = talk.stable(version)
    for what, request in {
        "unknown member": talk.heartbeat(generation, "nobody"),
        "past generation": talk.heartbeat(generation - 1, member_id),
        "future generation": talk.heartbeat(generation + 1, member_id),
    }.items():
        talk.ask(request, version, what)
    talk.ask(talk.leave("nobody", version), version, "unknown member")
    talk.ask(talk.leave("", version), version, "no member")
    if version >= _MEMBERS_FROM:
        several = [
            MemberIdentity(member_id),
            MemberIdentity("nobody"),
            MemberIdentity("", "unknown-instance"),
        ]
        talk.ask(LeaveGroupRequest(talk.group, members=several), version, "several")
        talk.ask(LeaveGroupRequest(talk.group, members=[]), version, "none")
        talk.ask(LeaveGroupRequest("", members=several), version, "no group")


def rebalance(talk: Talk, version: int) -> None:
    """What a member is told while another one has joined and the generation is not there yet."""
    generation, member_id = talk.stable(version)
    second = talk.link("second")
    join_version = min(version, 3)  # the last without MEMBER_ID_REQUIRED
    request = talk.join()
    second.send(request, join_version)
    while not talk.link().call(talk.heartbeat(generation, member_id), 0).error_code:  # type: ignore[attr-defined]
        pass
    talk.ask(talk.heartbeat(generation, member_id), version, "preparing")
    talk.ask(talk.sync(generation, member_id), version, "preparing")
    talk.ask(talk.commit(generation, member_id), version, "preparing")
    talk.ask(talk.commit(), version, "preparing, by nobody")
    talk.ask(DescribeGroupsRequest(groups=[talk.group]), version, "preparing")
    # The members' ids are given their names in the order in which they are seen.
    joined = talk.ask(talk.join(member_id), join_version, "of the first")
    other = talk.note(second.receive(request, join_version), "of the second")
    generation = joined.generation_id
    talk.ask(talk.heartbeat(generation, member_id), version, "completing")
    talk.ask(talk.commit(generation, member_id), version, "completing")
    talk.ask(talk.commit(generation - 1, member_id), version, "completing, past generation")
    describe = DescribeGroupsRequest(groups=[talk.group])
    talk.ask(describe, version, "completing")
    sync = talk.sync(generation, other.member_id, assignments=[])
    second.send(sync, 0)
    assignments = [
        SyncGroupRequestAssignment(member_id, b"1"),
        SyncGroupRequestAssignment(other.member_id, b"2"),
    ]
    talk.ask(talk.sync(generation, member_id, assignments=assignments), version, "of the first")
    talk.note(second.receive(sync, 0), "of the second")
    talk.ask(describe, version, "stable")
    talk.ask(talk.join(group_instance_id=None), join_version, "of a third: the group is full")
    talk.ask(talk.leave(other.member_id, version), version)
    talk.ask(talk.heartbeat(generation, member_id), version, "after the other left")


def commits(talk: Talk, version: int) -> None:
    """OffsetCommit from inside and outside of a group, right and wrong."""

    def ask(request: OffsetCommitRequest, what: str) -> None:
        talk.ask(request, version, what)

    ask(talk.commit(group_id=""), "no group")
    ask(talk.commit(5, "nobody"), "generation without a group")
    ask(talk.commit(5, ""), "generation without a member")
    ask(talk.commit(-1, "nobody"), "member without a group")
    ask(talk.commit(topic="never"), "unknown topic")
    ask(talk.commit(partition=9), "unknown partition")
    ask(talk.commit(partition=-1), "negative partition")
    ask(talk.commit(metadata="x" * 10), "metadata as long as allowed")
    ask(talk.commit(metadata="x" * 11), "long metadata")
    ask(talk.commit(metadata=None), "no metadata")
    for what, metadata in {
        "beside ASCII": "\u00fc" * 10,
        "in pairs of UTF-16": "\U0001f600" * 5,
        "too many pairs": "\U0001f600" * 6,
        "mixed, too long": "x" + "\U0001f600" * 5,
    }.items():
        ask(talk.commit(metadata=metadata), f"metadata {what}")
    if version in _OWN_RETENTION:
        for retention in (-(2**63), -2, 0, 2**63 - 1):
            group = f"{talk.group}-{retention}"
            ask(talk.commit(group_id=group, retention_time_ms=retention), f"retention of {retention} ms")
    ask(talk.commit(topics=[]), "no topics")
    ask(talk.commit(group_id=f"{talk.group}-none", topics=[]), "no topics, no such group")
    ask(talk.commit(), "fine")
    rows = [
        OffsetCommitRequestPartition(0, 8),
        OffsetCommitRequestPartition(1, 9, committed_metadata="y" * 11),
    ]
    ask(talk.commit(topics=[OffsetCommitRequestTopic(TOPIC, rows)]), "one of two")
    generation, member_id = talk.stable(2)
    ask(talk.commit(generation, member_id), "of a member")
    ask(talk.commit(), "of nobody")
    ask(talk.commit(generation, "nobody"), "of an unknown member")
    ask(talk.commit(generation - 1, member_id), "past generation")
    ask(talk.commit(generation + 1, member_id), "future generation")
    ask(talk.commit(-1, member_id), "member without generation")
    ask(talk.commit(generation, ""), "generation without member")
    talk.ask(talk.leave(member_id, 0), 0)
    ask(talk.commit(generation, member_id), "of one that left")
    ask(talk.commit(), "of nobody, when it is empty")
    talk.ask(talk.fetch(5, None), 5)


def fetches(talk: Talk, version: int) -> None:
    """OffsetFetch: what there is and what there is not."""
    talk.ask(talk.fetch(version, {TOPIC: [0]}), version, "no such group")
    rows = [OffsetCommitRequestPartition(index, index + 5, 2, committed_metadata="") for index in range(2)]
    talk.ask(talk.commit(topics=[OffsetCommitRequestTopic(TOPIC, rows)]), 8)
    talk.ask(talk.fetch(version, {TOPIC: [0, 1]}, "none"), version, "all partitions")
    talk.ask(talk.fetch(version, {TOPIC: [1, 9], "never": [0]}), version, "some are not there")
    talk.ask(talk.fetch(version, {}), version, "no topics")
    talk.ask(talk.fetch(version, {TOPIC: []}), version, "no partitions")
    if version >= 2:
        talk.ask(talk.fetch(version, None, "none", ""), version, "everything")
    group, talk.group = talk.group, ""
    talk.ask(talk.fetch(version, {TOPIC: [0]}), version, "no group")
    talk.group = group


def static_members(talk: Talk, version: int) -> None:
    """A static member comes back under a new id; the old one is fenced everywhere."""
    instance = {"group_instance_id": "one"}
    generation, old = talk.stable(version, **instance)
    talk.ask(talk.join("nobody", **instance), version, "an id that is not the instance's")
    talk.ask(talk.join("nobody", group_instance_id="two"), version, "an unknown instance with an id")
    back = talk.ask(talk.join(**instance), version, "it is back")
    new = back.member_id
    if back.generation_id == generation:
        talk.ask(talk.sync(generation, new, assignments=[], **instance), version, "of the new id")
    for member_id, what in ((old, "old id"), (new, "new id")):
        talk.ask(talk.heartbeat(back.generation_id, member_id, **instance), version, what)
        talk.ask(talk.commit(back.generation_id, member_id, **instance), version + 2, what)
        talk.ask(talk.sync(back.generation_id, member_id, assignments=[], **instance), version, what)
    talk.ask(talk.heartbeat(back.generation_id, new, group_instance_id="two"), version, "unknown instance")
    talk.ask(talk.heartbeat(back.generation_id, old), version, "old id without instance")
    talk.ask(DescribeGroupsRequest(groups=[talk.group]), version)
    talk.ask(talk.leave(old, version, "one"), version, "old id")
    talk.ask(talk.leave("", version, "two"), version, "unknown instance")
    talk.ask(talk.leave("", version, "one"), version, "by instance alone")
    talk.ask(DescribeGroupsRequest(groups=[talk.group]), version)


def admin(talk: Talk, version: int) -> None:
    """ListGroups with filters, DescribeGroups, DeleteGroups and OffsetDelete."""
    name = talk.group
    generation, member_id = talk.stable(2)
    talk.group = f"{name}-simple"
    talk.ask(talk.commit(), 5)
    talk.group = f"{name}-left"
    _, left = talk.stable(2)
    talk.ask(talk.leave(left, 0), 0)
    talk.group = f"{name}-gone"
    for states, types in (
        ([], []),
        (["Stable"], []),
        (["stable", "EMPTY"], []),
        (["Dead"], []),
        (["NoSuchState"], []),
        ([""], []),
        ([], ["classic"]),
        ([], ["Classic", "nonsense"]),
        ([], ["consumer"]),
        ([], ["nonsense"]),
        (["Empty"], ["classic"]),
    ):
        wanted = ListGroupsRequest(states if version >= 4 else [], types if version >= 5 else [])
        answer = talk.link().call(wanted, min(version, API_VERSIONS[wanted.API][1]))
        # Groups of other tests are there too.
        answer.groups = [row for row in answer.groups if row.group_id.startswith(name)]  # type: ignore[attr-defined]
        talk.note(answer, f"{states} {types}")
    names = [name, f"{name}-simple", f"{name}-left", f"{name}-gone", ""]
    talk.ask(DescribeGroupsRequest(groups=names, include_authorized_operations=version >= 3), version)
    one, unknown = OffsetDeleteRequestPartition(0), OffsetDeleteRequestPartition(9)
    topics = [OffsetDeleteRequestTopic(topic, [one, unknown]) for topic in (TOPIC, "never")]
    talk.group = name
    talk.ask(talk.commit(generation, member_id), 5)
    for group in names:
        talk.ask(OffsetDeleteRequest(group_id=group, topics=topics), 0, group)
        talk.ask(OffsetDeleteRequest(group_id=group, topics=[]), 0, f"nothing of {group}")
    talk.ask(DeleteGroupsRequest(groups_names=names), version)
    talk.ask(DescribeGroupsRequest(groups=names), version)
    talk.ask(DeleteGroupsRequest(groups_names=[]), version, "none")


def coordinators(talk: Talk, version: int) -> None:
    """FindCoordinator of groups, and of what is none."""
    for key_type in (0, 9, -1) if version >= 1 else (0,):
        for key in (talk.group, ""):
            if version < 4:
                talk.ask(FindCoordinatorRequest(key, key_type), version, f"{key!r} {key_type}")
            else:
                keys = [key, "other"]
                request = FindCoordinatorRequest(key_type=key_type, coordinator_keys=keys)
                talk.ask(request, version, f"{key!r} {key_type}")


SCENARIOS: Final[Mapping[str, tuple[Callable[[Talk, int], None], range]]] = {
    "life": (life, range(10)),
    "refused joins": (refused_joins, range(10)),
    "refused syncs": (refused_syncs, range(6)),
    "refused heartbeats": (refused_heartbeats, range(6)),
    "rebalance": (rebalance, range(6)),
    "commits": (commits, range(1, 10)),
    "fetches": (fetches, range(1, 10)),
    "static members": (static_members, range(5, 10)),
    "admin": (admin, range(6)),
    "coordinators": (coordinators, range(7)),
}
"""By name: what is done, and in which versions (each request in that one or in its API's highest)."""
