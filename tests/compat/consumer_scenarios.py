"""Sequences of raw requests of the consumer protocol (KIP-848), played against one broker and noted.

Epochs are noted from the group's first one on, which is 2 in Kafka 4.3 and 1 here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from fastlog.wire import Request
from fastlog.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from fastlog.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)
from fastlog.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from fastlog.wire.messages.group_admin import DeleteGroupsRequest, DescribeGroupsRequest
from fastlog.wire.messages.group_offsets import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
)
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from tests.compat.group_scenarios import TOPIC, Talk

_EPOCHS: Final = ("member_epoch", "group_epoch", "assignment_epoch", "generation_id")
_ASSIGNED: Final = bytes.fromhex("000000000001000174000000020000000000000001ffffffff")
"""Both partitions of t, as a classic leader hands them out."""
_GROUP: Final = 32


class ConsumerTalk(Talk):
    """A talk with heartbeats, to Kafka 4.3 or us; `first` is the group's first epoch."""

    highest = MappingProxyType[type[Request], int]({})

    def __init__(self, port: int, prefix: str) -> None:
        super().__init__(port, prefix)
        self.first = 1
        self._topics: dict[bytes, str] = {}

    def beat(
        self, what: str, member_id: str, epoch: int = 0, *, version: int = 1, **how: Any
    ) -> ConsumerGroupHeartbeatResponse:
        """A heartbeat; epochs above 0 count from the first one on, which is 1."""
        values: dict[str, Any] = {"group_id": self.group, "member_id": member_id, "member_epoch": epoch}
        if epoch > 0:
            values["member_epoch"] += self.first - 1
        elif epoch == 0:
            values |= {
                "rebalance_timeout_ms": 5000,
                "subscribed_topic_names": [TOPIC],
                "topic_partitions": [],
            }
        request = ConsumerGroupHeartbeatRequest(**{**values, **how})
        answer: ConsumerGroupHeartbeatResponse = self.ask(request, version, what)
        return answer

    def start(self, member_id: str, **how: Any) -> ConsumerGroupHeartbeatResponse:
        """The first member joins a new group."""
        values: dict[str, Any] = {"subscribed_topic_names": [TOPIC], **how}
        request = ConsumerGroupHeartbeatRequest(
            self.group, member_id, 0, rebalance_timeout_ms=5000, topic_partitions=[], **values
        )
        answer: ConsumerGroupHeartbeatResponse = self.link().call(request, 1)  # type: ignore[assignment]
        assert answer.error_code == 0
        self.first = answer.member_epoch
        self.note(answer, "the first member")
        return answer

    def describe(self, what: str) -> Any:
        """ConsumerGroupDescribe."""
        return self.ask(ConsumerGroupDescribeRequest(group_ids=[self.group]), 1, what)

    def commit_as(self, what: str, member_id: str, epoch: int, version: int = 9, **how: Any) -> None:
        """OffsetCommit of a member."""
        self.ask(self.commit(self._epoch(epoch), member_id, **how), version, what)

    def fetch_as(self, what: str, member_id: str | None, epoch: int) -> None:
        """OffsetFetch of a member."""
        group = OffsetFetchRequestGroup(self.group, member_id, self._epoch(epoch), None)
        answer: Any = self.link().call(OffsetFetchRequest(groups=[group]), 9)
        self.notes.append((f"fetch {what}", answer.groups[0].error_code))

    def _epoch(self, epoch: int) -> int:
        return epoch + self.first - 1 if epoch > 0 else epoch

    def _field(self, name: str, value: Any) -> Any:
        if name in _EPOCHS and value > 0:
            return value - self.first + 1
        if name == "topic_id":
            return self._topics.setdefault(bytes(value), f"T{len(self._topics) + 1}")
        # Without a regular expression Kafka says that it is empty.
        return (value or "") if name == "subscribed_topic_regex" else super()._field(name, value)


def refused(talk: ConsumerTalk, /) -> None:
    """Heartbeats with all that can be wrong with them."""
    beat = talk.beat
    beat("no such group", "a", 1)
    beat("no such group, leaving", "a", -1)
    beat("no group", "a", group_id="")
    beat("no member", "")
    for epoch in (1, -1, -2):
        beat("no member", "", epoch, version=0)
    beat("empty instance", "a", instance_id="")
    beat("empty rack", "a", rack_id="")
    beat("static without an instance", "a", -2)
    beat("epoch -3", "a", -3)
    beat("no timeout", "a", rebalance_timeout_ms=-1)
    beat("nothing about partitions", "a", topic_partitions=None)
    beat("partitions", "a", topic_partitions=[TopicPartitions(b"x" * 16, [0])])
    beat("nothing about topics", "a", subscribed_topic_names=None)
    for assignor in ("own", ""):
        beat("assignor", "a", server_assignor=assignor)
    talk.describe("after all that")


def one_member(talk: ConsumerTalk, /) -> None:
    """A member, its epochs, its offsets, and other APIs about its group."""
    beat = talk.beat
    talk.start("a")
    talk.describe("one member")
    for what, member_id, epoch, how in (
        ("joins again", "a", 0, {}),
        ("with the epoch before", "a", 0, {"topic_partitions": []}),
        ("goes on", "a", 1, {}),
        ("is ahead", "a", 2, {}),
        ("is another", "b", 1, {}),
        ("is another and leaves", "b", -1, {}),
        ("with an instance", "a", 1, {"instance_id": "i"}),
        ("leaves with an instance", "a", -1, {"instance_id": "i"}),
        ("says everything", "a", 1, {"rebalance_timeout_ms": 5000, "subscribed_topic_names": [TOPIC]}),
    ):
        beat(what, member_id, epoch, **how)
    for what, member_id, epoch in (
        ("right", "a", 1),
        ("ahead", "a", 2),
        ("unknown", "b", 1),
        ("nobody", "", -1),
        ("without epoch", "a", -1),
    ):
        talk.commit_as(what, member_id, epoch)
        if member_id:
            talk.fetch_as(what, member_id, epoch)
    talk.fetch_as("by an administrator", None, -1)
    talk.commit_as("in an old version", "a", 1, version=8)
    talk.commit_as("in an old version, nobody", "", -1, version=5)
    talk.ask(talk.heartbeat(1, "a"), 3, "classic")
    talk.ask(talk.sync(1, "a"), 3, "classic")
    for version in (5, 6):
        talk.ask(DescribeGroupsRequest(groups=[talk.group, f"{talk.group}-none"]), version, "classic")
    talk.ask(DeleteGroupsRequest(groups_names=[talk.group]), 2)
    rows = [OffsetDeleteRequestPartition(0), OffsetDeleteRequestPartition(9)]
    for topics in ([OffsetDeleteRequestTopic(TOPIC, rows)], []):
        talk.ask(OffsetDeleteRequest(group_id=talk.group, topics=topics), 0)
    talk.ask(talk.leave("nobody", 3), 3, "by an administrator")
    talk.ask(talk.leave("a", 3), 3, "by an administrator")
    talk.describe("nobody is left")
    beat("after it was removed", "a", 1)
    talk.commit_as("after it was removed", "a", 1)
    talk.fetch_as("after it was removed", "a", 1)
    talk.commit_as("nobody, to an empty group", "", -1)


def handover(talk: ConsumerTalk, /) -> None:
    """A partition goes from one member to the next."""
    beat = talk.beat
    talk.start("a")
    beat("joins", "b")
    beat("is told to give up", "a", 1)
    beat("has not yet", "a", 1)
    talk.describe("one has to give up")
    talk.commit_as("of what it gives up", "a", 1, partition=1)
    beat("waits", "b", 2)
    beat("has given up", "a", 1, topic_partitions=[])
    talk.commit_as("of what it gave up", "a", 2, partition=1)
    talk.commit_as("of what it gave up, in the old epoch", "a", 1, partition=1)
    talk.commit_as("of what it kept, in the old epoch", "a", 1, partition=0)
    beat("gets it", "b", 2)
    talk.commit_as("of what it got", "b", 2, partition=1)
    beat("lost the answer", "a", 1, topic_partitions=[])
    beat("lost the answer and says nothing", "a", 1)
    talk.describe("both have theirs")
    beat("wants something else", "a", 2, subscribed_topic_names=["none"])
    beat("has given up", "a", 2, topic_partitions=[])
    talk.describe("one has nothing")
    for member_id in ("c", "d", "one too many"):
        beat("joins", member_id)
    beat("one too many, with an epoch", "x", 3)
    beat("one too many, leaving", "x", -1)
    for member_id in ("d", "c", "a", "a", "b"):
        beat(f"{member_id} leaves", member_id, -1)
    talk.describe("nobody is left")
    talk.ask(DeleteGroupsRequest(groups_names=[talk.group]), 2)
    talk.describe("deleted")


def static_members(talk: ConsumerTalk, /) -> None:
    """A static member leaves for a while and comes back under another id."""
    beat = talk.beat
    talk.start("s1", instance_id="i")
    beat("without its instance", "s1", 1)
    beat("a second one", "s2", instance_id="i")
    beat("a second one, with an epoch", "s2", 1, instance_id="i")
    beat("another instance", "s1", 1, instance_id="j")
    beat("leaves for a while", "s1", -2, instance_id="i")
    talk.describe("it is away")
    beat("late", "s1", 1, instance_id="i")
    talk.commit_as("late", "s1", 1)
    talk.fetch_as("late", "s1", 1)
    beat("not yet joined", "s3", 1, instance_id="i")
    beat("back, with other topics", "s3", instance_id="i", subscribed_topic_names=["none"])
    talk.describe("it is back")
    beat("the former one", "s1", 1, instance_id="i")
    beat("the wrong member leaves", "s1", -1, instance_id="i")
    beat("leaves", "s3", -1, instance_id="i")
    beat("leaves again", "s3", -1, instance_id="i")
    talk.describe("it is gone")


def mixed(talk: ConsumerTalk, /) -> None:
    """A classic member in a group that is upgraded, and downgraded by an administrator."""
    joined = talk.link().call(talk.join(), 3)
    talk.first, old = joined.generation_id, joined.member_id  # type: ignore[attr-defined]
    generation = talk.first
    talk.link().call(talk.sync(generation, old, own=_ASSIGNED), 3)
    talk.ask(talk.commit(generation, old), 9, "before")
    new = talk.beat("the first of the new protocol", "new")
    talk.describe("mixed")
    for what, number, member_id in (
        ("right", generation, old),
        ("wrong generation", generation + 9, old),
        ("unknown", generation, "nobody"),
    ):
        talk.ask(talk.heartbeat(number, member_id), 3, what)
        talk.ask(talk.sync(number, member_id, assignments=[]), 3, what)
        talk.ask(talk.commit(number, member_id), 7, what)
    talk.ask(talk.join("nobody"), 3, "unknown")
    talk.ask(talk.join("", session_timeout_ms=1), 4, "short session")
    again = talk.ask(talk.join(old), 5, "joins again")
    talk.ask(talk.sync(again.generation_id, old, assignments=[]), 5, "joined again")
    talk.ask(talk.sync(again.generation_id, old, assignments=[], protocol_name="other"), 5, "other protocol")
    talk.ask(talk.heartbeat(again.generation_id, old), 3, "joined again")
    talk.beat("its next step", "new", new.member_epoch - talk.first + 1)
    talk.describe("both have theirs")
    talk.ask(talk.leave("nobody", 3), 3)
    talk.ask(talk.leave("new", 3), 3, "the last of the new protocol")
    talk.describe("downgraded")
    answer = talk.link().call(DescribeGroupsRequest(groups=[talk.group]), 5).groups[0]  # type: ignore[attr-defined]
    talk.notes.append(("downgraded", (answer.group_state, answer.protocol_type, len(answer.members))))
    talk.ask(talk.heartbeat(again.generation_id, old), 3, "downgraded")
    talk.beat("the one that was removed", "new", 1)


_PATTERNS: Final = r"""
( ) [ [a [] [^] [z-a] [a-\w] [\w-a] []a] [[:alpha:]-z] [[:nope:]] [[:alpha]] \ \1 \12 \8 \08 \b+a \B
\C \K \Z \z \G \Qa \Q\E* \Qab\E+ \E \pL \p{Lu} \p{^N} \PN \pX \p{Nope} \p{L \x61 \x6 \x{61} \x{}
\x{110000} \é \_ \- a** a*? a*?? a?* a++ a{2}{3} a{1001} a{1000} a{2,1} a{,2} a{2 a{1,} { } *a (*)
(|a)* ^* (?=a) (?<!a) (?x) (?i)T (?i-s:a) (?-)a (?--i)a (?i (?P<n>a) (?<n>a) (?P<1>a) (?P<>a)
(?P<n-1>a) (?P<n>a)(?P<n>b) (?P=n) (?#c) (?>a) | t|
"""


def patterns(talk: ConsumerTalk, /) -> None:
    """Which regular expressions are good ones, and what one stands for."""
    for number, text in enumerate(_PATTERNS.split()):
        request = ConsumerGroupHeartbeatRequest(
            f"{talk.group}-{number}",
            "m",
            0,
            rebalance_timeout_ms=5000,
            subscribed_topic_names=[],
            subscribed_topic_regex=text,
            topic_partitions=[],
        )
        answer: Any = talk.link().call(request, 1)
        talk.notes.append((text, answer.error_code))
    epoch, assigned = 0, None
    how: dict[str, Any] = {"rebalance_timeout_ms": 5000, "topic_partitions": []}
    how |= {"subscribed_topic_names": [], "subscribed_topic_regex": f"{TOPIC}|[0-9]+"}
    while not assigned:
        answer = talk.link().call(ConsumerGroupHeartbeatRequest(talk.group, "m", epoch, **how), 1)
        assert answer.error_code == 0
        epoch, how = answer.member_epoch, {}
        assigned = answer.assignment and [row.partitions for row in answer.assignment.topic_partitions]
    talk.notes.append(("assigned", assigned))
    talk.first = epoch
    talk.describe("by a pattern")
    talk.beat("by name, too", "m", 1, subscribed_topic_names=[TOPIC])
    talk.beat("by name alone", "m", 2, subscribed_topic_regex="")
    talk.describe("by name alone")


def settings_of_groups(talk: ConsumerTalk, /) -> None:
    """DescribeConfigs and IncrementalAlterConfigs of a group."""
    session, beat = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"

    def describe(name: str) -> None:
        wanted = [DescribeConfigsResource(_GROUP, name, [session, beat])]
        answer: Any = talk.link().call(DescribeConfigsRequest(wanted, include_synonyms=True), 4)
        (result,) = answer.results
        rows = [(row.name, row.value, row.config_source, talk.plain(row.synonyms)) for row in result.configs]
        talk.notes.append((f"describe {name}", (result.error_code, sorted(rows))))

    def alter(*changes: tuple[str, int, str | None], name: str = talk.group, check: bool = False) -> None:
        configs = [AlterableConfig(*change) for change in changes]
        request = IncrementalAlterConfigsRequest([AlterConfigsResource(_GROUP, name, configs)], check)
        answer: Any = talk.link().call(request, 1)
        talk.notes.append((f"alter {changes}", answer.responses[0].error_code))

    describe("")
    describe(talk.group)
    alter((session, 0, "7000"), name="")
    alter((session, 0, "7000"), check=True)
    for text in ("9", "99999999", "x", "-1", "", "400", None):
        alter((session, 0, text))
        alter((beat, 0, text))
    alter((session, 0, "15000"), (beat, 0, "15000"))
    alter((session, 0, "15000"), (session, 0, "15001"))
    alter((session, 2, "15000"))
    alter((session, 3, "15000"))
    alter(("no.such.key", 0, "1"))
    alter(("no.such.key", 1, None))
    alter()
    alter((session, 1, None), (beat, 1, None))
    alter((session, 0, "7000"))
    alter((session, 1, None))


SCENARIOS: Final[Mapping[str, Callable[[ConsumerTalk], None]]] = {
    "refused": refused,
    "one member": one_member,
    "handover": handover,
    "static members": static_members,
    "mixed": mixed,
    "patterns": patterns,
    "settings": settings_of_groups,
}
"""By name: what is done."""
