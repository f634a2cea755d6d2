"""A consumer group with a clock that stands still, topics that grow, and members that behave."""

from __future__ import annotations

import copy
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

from fastlog.base.clock import ManualClock
from fastlog.coordination.groups.consumer import leaving, member_heartbeat
from fastlog.coordination.groups.consumer.assignors.spec import TopicPartition
from fastlog.coordination.groups.consumer.patterns import matching
from fastlog.coordination.groups.consumer.records import (
    apply_record,
    decode_key,
    encode_key,
    encode_value,
)
from fastlog.coordination.groups.consumer.results import ConsumerLimits, HeartbeatRequest, HeartbeatResult
from fastlog.coordination.groups.consumer.state import ConsumerGroup, Deadline, StoredConsumerGroup
from fastlog.coordination.groups.consumer.targets import plan_targets, take_targets
from fastlog.coordination.groups.consumer.undoing import restore
from fastlog.coordination.groups.results import Now
from fastlog.errors import ErrorCode, KafkaError

SESSION_MS = 45_000
REBALANCE_MS = 60_000


@dataclass(slots=True)
class FakeTopics:
    """Topics by name: id and number of partitions."""

    generation: int = 0
    known: dict[str, tuple[bytes, int]] = field(default_factory=dict)

    def put(self, name: str, partitions: int) -> bytes:
        """Makes a topic or lets it grow."""
        self.generation += 1
        topic_id = self.known[name][0] if name in self.known else self.generation.to_bytes(16, "big")
        self.known[name] = (topic_id, partitions)
        return topic_id

    def drop(self, name: str) -> None:
        """Deletes a topic."""
        self.generation += 1
        del self.known[name]

    def find(self, name: str) -> tuple[bytes, int] | None:
        return self.known.get(name)

    def name(self, topic_id: bytes) -> str | None:
        return next((name for name, found in self.known.items() if found[0] == topic_id), None)

    def names(self) -> AbstractSet[str]:
        return self.known.keys()


class ConsumerWorld:
    """Drives one group as the service does; `log` is what is stored of it."""

    def __init__(self, *, limits: ConsumerLimits | None = None, **topics: int) -> None:
        self.clock = ManualClock()
        self.limits = limits or ConsumerLimits()
        self.topics = FakeTopics()
        for name, partitions in topics.items():
            self.topics.put(name, partitions)
        self.group = ConsumerGroup("g", self.limits)
        self.log: dict[bytes, bytes] = {}
        self.refuses = False
        """Whether the log takes nothing."""

    def now(self) -> Now:
        return Now(self.clock.monotonic(), self.clock.now_ms())

    def send(self, request: HeartbeatRequest) -> HeartbeatResult:
        """Sends a heartbeat; raises KafkaError."""
        member_heartbeat.check_request(request, self.limits)
        if request.epoch < 0:
            result = leaving.leave(self.group, request, self.topics)
        else:
            result = member_heartbeat.heartbeat(self.group, request, self.now(), self.topics)
        self.store()
        return result

    def refusal(self, request: HeartbeatRequest) -> ErrorCode:
        """Sends a heartbeat that is refused, and makes sure that it changed nothing."""
        before = self.image()
        try:
            self.send(request)
        except KafkaError as error:
            assert self.image() == before
            return error.code
        raise AssertionError("it was not refused")

    def pass_time(self, milliseconds: int) -> dict[str, Deadline]:
        """Lets time pass; returns who was fenced, and why."""
        self.clock.advance(milliseconds)
        fenced = leaving.on_time(self.group, self.now(), self.topics)
        self.store()
        return fenced

    def resolve_regexes(self) -> None:
        """Does what the service does on a thread."""
        found = {text: matching(text, self.topics.names()) for text in self.group.patterns()}
        member_heartbeat.on_regexes(self.group, found, self.topics.generation, self.now())
        self.store()

    def run_targets(self) -> bool:
        """Does what the service does on a thread for a large group; whether there was anything to do."""
        wanted = self.group.wants_targets
        if wanted:
            take_targets(self.group, plan_targets(self.group, self.topics).make())
            self.group.wants_targets = False
            self.store()
        return wanted

    def store(self) -> None:
        """Writes what has changed, as the log keeps it after compaction."""
        before, is_whole = self.group.take_before()
        if self.refuses:
            assert is_whole
            restore(self.group, before, self.now())
            return
        for name in self.group.take_touched():
            key, value = encode_key("g", name), encode_value(self.group, name)
            if value is None:
                self.log.pop(key, None)
            else:
                self.log[key] = value

    def restart(self) -> None:
        """Another broker reads the log."""
        self.group = self.loaded()

    def loaded(self) -> ConsumerGroup:
        """The group as the log has it."""
        stored = StoredConsumerGroup()
        for key, value in self.log.items():
            decoded = decode_key(key)
            assert decoded is not None
            assert decoded[0] == "g"
            apply_record(stored, decoded[1], value)
        return ConsumerGroup.load("g", self.limits, stored, self.now())

    def image(self, group: ConsumerGroup | None = None) -> tuple[object, ...]:
        """Everything that counts about a group."""
        group = group or self.group
        return (
            group.epoch,
            group.assignment_epoch,
            group.metadata_hash,
            dict(group.members),
            dict(group.static),
            dict(group.targets),
            dict(group.owners),
            {text: found.topics for text, found in group.regexes.items()},
            group.state,
        )


@dataclass(slots=True)
class Client:
    """A member as a client library behaves: it owns what it was told, and says so."""

    world: ConsumerWorld
    member_id: str
    topics: tuple[str, ...] | None = ("t",)
    regex: str | None = None
    instance_id: str | None = None
    assignor: str | None = None
    epoch: int = 0
    owned: set[TopicPartition] = field(default_factory=set)
    is_unsure: bool = True
    """The last answer was lost: the next request says everything."""

    def request(self, *, epoch: int | None = None) -> HeartbeatRequest:
        """The next heartbeat."""
        epoch = self.epoch if epoch is None else epoch
        full = self.is_unsure or epoch == 0
        return HeartbeatRequest(
            member_id=self.member_id,
            epoch=epoch,
            instance_id=self.instance_id if full or epoch < 0 else None,
            rebalance_timeout_ms=REBALANCE_MS if full else -1,
            topics=self.topics if full else None,
            regex=self.regex if full else None,
            assignor=self.assignor if full else None,
            owned=frozenset(self.owned),
        )

    def take(self, result: HeartbeatResult) -> None:
        """The answer has come."""
        self.is_unsure = False
        self.epoch = result.epoch
        if result.assignment is not None:
            self.owned = set(result.assignment)

    def beat(self) -> HeartbeatResult:
        """A heartbeat whose answer arrives."""
        result = self.world.send(self.request())
        self.take(result)
        return result

    def lose_answer(self) -> None:
        """A heartbeat whose answer does not arrive."""
        self.world.send(self.request())
        self.is_unsure = True

    def leave(self, epoch: int = -1) -> HeartbeatResult:
        """Leaves for good, or for a while (-2)."""
        result = self.world.send(self.request(epoch=epoch))
        self.epoch, self.owned, self.is_unsure = 0, set(), True
        return result

    def numbers(self) -> list[int]:
        """The partition numbers that it owns."""
        return sorted(number for _, number in self.owned)


class Beating(Protocol):
    """A client of any protocol."""

    world: ConsumerWorld

    def beat(self) -> object:
        """Lets it take its next step."""


def converge(*clients: Beating, rounds: int = 20) -> None:
    """Everybody sends heartbeats until nothing changes."""
    for _ in range(rounds):
        made = False
        before = copy.deepcopy([_without_world(client) for client in clients])
        for client in clients:
            client.beat()
            made = client.world.run_targets() or made
        if not made and before == [_without_world(client) for client in clients]:
            return
    raise AssertionError("the group does not come to rest")


def _without_world(client: Beating) -> list[object]:
    names = getattr(type(client), "__slots__", ())
    return [getattr(client, name) for name in names if name != "world"]
