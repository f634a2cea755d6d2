"""A classic member of a consumer group, and the bytes that classic members exchange."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import pack

from fastlog.coordination.groups.consumer import classic_members
from fastlog.coordination.groups.consumer.assignors.spec import TopicPartition
from fastlog.coordination.groups.consumer.consumer_protocol import decode_assignment, with_ids
from fastlog.coordination.groups.results import JoinRequest, SyncRequest
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.groups.consumer.world import REBALANCE_MS, ConsumerWorld

SESSION_MS = 10_000


def text(name: str) -> bytes:
    return pack(">h", len(name)) + name.encode()


def subscription(*topics: str, owned: dict[str, list[int]] | None = None, version: int = 1) -> bytes:
    """Metadata of a classic consumer."""
    data = pack(">hi", version, len(topics)) + b"".join(map(text, topics)) + pack(">i", -1)
    if version >= 1:
        rows = owned or {}
        data += pack(">i", len(rows))
        for name, numbers in rows.items():
            data += text(name) + pack(f">i{len(numbers)}i", len(numbers), *numbers)
    if version >= 2:
        data += pack(">i", 5)
    if version >= 3:
        data += text("rack")
    return data


def assignment(user_data: bytes | None = None, **topics: list[int]) -> bytes:
    """What a classic leader hands out."""
    data = pack(">hi", 0, len(topics))
    for name, numbers in topics.items():
        data += text(name) + pack(f">i{len(numbers)}i", len(numbers), *numbers)
    return data + (pack(">i", -1) if user_data is None else pack(">i", len(user_data)) + user_data)


@dataclass(slots=True)
class ClassicClient:
    """A member as a client of the classic protocol behaves. It knows (topic, partition) pairs by name alone.

    `owned_ids` are those that they stood for when they were assigned: a topic that is made again under the
    name has other partitions, of which the client owns none.
    """

    world: ConsumerWorld
    member_id: str
    topics: tuple[str, ...] = ("t",)
    cooperative: bool = False
    generation: int = 0
    owned: set[tuple[str, int]] = field(default_factory=set)
    must_join: bool = True
    owned_ids: list[TopicPartition] = field(default_factory=list)

    def join(self) -> None:
        """JoinGroup: an eager member gives up everything first."""
        if not self.cooperative:
            self.owned, self.owned_ids = set(), []
        mine: dict[str, list[int]] = {}
        for name, number in self.owned:
            mine.setdefault(name, []).append(number)
        request = JoinRequest(
            ticket=1,
            member_id=self.member_id,
            instance_id=None,
            client_id="c",
            client_host="/h",
            session_timeout_ms=SESSION_MS,
            rebalance_timeout_ms=REBALANCE_MS,
            protocol_type="consumer",
            protocols=(("range", subscription(*self.topics, owned=mine)),),
        )
        result = classic_members.join(self.world.group, request, self.world.now(), self.world.topics)
        self.world.store()
        self.generation = result.generation
        self.must_join = False

    def sync(self) -> None:
        """SyncGroup: what is not assigned is given up; then it joins again to say so."""
        request = SyncRequest(1, self.member_id, None, self.generation, None, None, {})
        try:
            result = classic_members.sync(self.world.group, request, self.world.now(), self.world.topics)
        except KafkaError as error:
            assert error.code is ErrorCode.REBALANCE_IN_PROGRESS
            self.must_join = True
            return
        assigned = set(decode_assignment(result.assignment)[0])
        self.must_join = bool(self.owned - assigned)
        self.owned = assigned
        self.owned_ids = with_ids(assigned, self.world.topics)

    def beat(self) -> None:
        """Heartbeat, and whatever follows from it."""
        if not self.must_join:
            error = classic_members.heartbeat(
                self.world.group, self.member_id, None, self.generation, self.world.now()
            )
            if error is ErrorCode.NONE:
                return
            assert error is ErrorCode.REBALANCE_IN_PROGRESS
        self.join()
        self.sync()

    def leave(self) -> None:
        """LeaveGroup."""
        codes = classic_members.leave(self.world.group, [(self.member_id, None)], self.world.topics)
        assert codes == [ErrorCode.NONE]
        self.world.store()
