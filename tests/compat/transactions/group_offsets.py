"""TxnOffsetCommit: who may commit offsets of a group in a transaction, and what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from fastlog.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from fastlog.wire.messages.group_admin import DeleteGroupsRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from fastlog.wire.messages.groups import LeaveGroupRequest, MemberIdentity
from fastlog.wire.messages.transactions import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from tests.compat.group_scenarios import subscription
from tests.compat.transactions.play import FAR, SECONDS, Play, Scenario, name_of
from tests.harness.group_requests import join_request, sync_request
from tests.integration.running import RawClient
from tests.integration.transactional_client import Identity, Partition

NOBODY: Final = ("", None, -1)


class Case:
    """A play with a topic, a group and a producer that has the group's offsets in its transaction."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.at: Partition = (play.topic(), 0)
        self.group = f"{play.name}-group"

    def begun(self, timeout_ms: int = 600_000) -> Identity:
        """The identity."""
        identity = self.play.initialized(timeout_ms=timeout_ms)
        self.play.add_offsets(identity, self.group)
        return identity

    def seen(self) -> None:
        """Both ways to read the offset."""
        self.play.offset(self.group, self.at)
        self.play.offset(self.group, self.at, stable=True)

    def plain(self, offset: int) -> None:
        """A commit outside of the transaction."""
        rows = [OffsetCommitRequestTopic(self.at[0], [OffsetCommitRequestPartition(self.at[1], offset)])]
        answer: Any = self.play.client.ask(OffsetCommitRequest(self.group, topics=rows), 7)
        self.play.note("plain commit", name_of(answer.topics[0].partitions[0].error_code))

    def stable(self, instance: str | None = None) -> tuple[str, int]:
        """A member alone in the group: (its id, generation)."""
        usual: dict[str, Any] = {"group_instance_id": instance} if instance else {}
        join = join_request(
            self.group, protocol=("range", subscription(self.at[0])), timeout_ms=30_000, **usual
        )
        answer: Any = self.play.client.ask(join, 7)
        if answer.error_code:
            join.member_id = answer.member_id
            answer = self.play.client.ask(join, 7)
        member, generation = answer.member_id, answer.generation_id
        sync = sync_request(
            self.group,
            generation,
            member,
            b"part",
            protocol_type="consumer",
            protocol_name="range",
            **usual,
        )
        synced: Any = self.play.client.ask(sync, 5)
        self.play.note("a member", (name_of(answer.error_code), generation, name_of(synced.error_code)))
        return member, generation


def commit_and_abort(play: Play) -> None:
    """They count at the commit, and are dropped at the abort."""
    case = Case(play)
    case.seen()
    for number, commits in enumerate((True, False, True)):
        identity = case.begun()
        play.commit(identity, case.group, {case.at: 5 + number})
        case.seen()
        play.ended(identity, commits=commits)
        case.seen()


def not_added(play: Play) -> None:
    """The group's partition is not in the transaction."""
    case = Case(play)
    identity = play.initialized()
    for version in range(5):
        play.commit(identity, case.group, {case.at: 5}, version=version)
    play.add(identity, case.at)
    for version in range(5):
        play.commit(identity, case.group, {case.at: 5}, version=version)
    case.seen()


def identities(play: Play) -> None:
    case = Case(play)
    former = play.initialized()
    identity = case.begun()
    for version in (0, 2, 3, 4):
        for what, who in (("former", former), ("far", (FAR, 0)), ("later", (identity[0], 9))):
            play.commit(who, case.group, {case.at: 5}, version=version, what=what)
    play.commit(identity, "", {case.at: 5})
    case.seen()


def rows(play: Play) -> None:
    """Partitions that are none, texts that are too long, partitions named twice, negative offsets."""
    case = Case(play)
    identity = case.begun()

    def ask(what: str, *topics: TxnOffsetCommitRequestTopic, version: int = 3) -> None:
        asked = TxnOffsetCommitRequest(play.name, case.group, *identity, topics=list(topics))
        answer: Any = play.client.ask(asked, version)
        told = sorted(
            (topic.name, row.partition_index, name_of(row.error_code))
            for topic in answer.topics
            for row in topic.partitions
        )
        play.note(what, told)

    def topic(name: str, *some: TxnOffsetCommitRequestPartition) -> TxnOffsetCommitRequestTopic:
        return TxnOffsetCommitRequestTopic(name, list(some))

    row = TxnOffsetCommitRequestPartition
    name = case.at[0]
    for version in (0, 2, 3):
        ask("unknown", topic("nowhere", row(0, 5)), topic(name, row(9, 5), row(0, 5)), version=version)
    long, short = row(1, 5, committed_metadata="x" * 11), row(0, 6, committed_metadata="x" * 10)
    ask("long text", topic(name, long, short))
    ask("negative", topic(name, row(1, -5)))
    ask("no topics")
    case.seen()
    play.ended(identity)
    case.seen()
    play.offset(case.group, (name, 1))


def members(play: Play) -> None:
    """Scenario 55: generation, member and instance, of a group with a member."""
    case = Case(play)
    member, generation = case.stable()
    identity = case.begun()
    for what, who in (
        ("as it is", (member, None, generation)),
        ("generation before", (member, None, generation - 1)),
        ("next generation", (member, None, generation + 1)),
        ("no generation", (member, None, -1)),
        ("another member", ("who", None, generation)),
        ("no member", ("", None, generation)),
        ("an instance", (member, "i", generation)),
        ("an instance alone", ("", "i", -1)),
        ("nobody", NOBODY),
    ):
        for version in (3, 4):
            play.commit(identity, case.group, {case.at: 5}, member=who, version=version, what=what)
    case.seen()
    play.ended(identity)
    case.seen()


def static_members(play: Play) -> None:
    """Scenario 55, of a member with an instance."""
    case = Case(play)
    member, generation = case.stable("i")
    identity = case.begun()
    for what, who in (
        ("as it is", (member, "i", generation)),
        ("without its instance", (member, None, generation)),
        ("another member", ("who", "i", generation)),
        ("another instance", (member, "j", generation)),
        ("generation before", (member, "i", generation - 1)),
        ("no generation", (member, "i", -1)),
    ):
        play.commit(identity, case.group, {case.at: 5}, member=who, what=what)
    # The instance comes back as another member.
    _, again = case.stable("i")
    play.commit(identity, case.group, {case.at: 6}, member=(member, "i", again), what="the former")
    play.ended(identity)
    case.seen()


def nobody_there(play: Play) -> None:
    """Scenario 56: a group without members, and one that does not exist."""
    case = Case(play)
    identity = case.begun()
    for what, who in (
        ("generation", ("", None, 0)),
        ("member", ("who", None, -1)),
        ("member and generation", ("who", None, 3)),
        ("instance", ("", "i", -1)),
        ("nobody", NOBODY),
        ("generation of an empty group", ("", None, 0)),
        ("member of an empty group", ("who", None, 3)),
    ):
        play.commit(identity, case.group, {case.at: 5}, member=who, what=what)
    play.ended(identity)
    case.seen()


def rebalance(play: Play) -> None:
    """Scenario 57: another member joins between the addition and the commit."""
    case = Case(play)
    member, generation = case.stable()
    identity = case.begun()
    with RawClient(play.port, timeout=SECONDS) as other:
        protocol = "range", subscription(case.at[0])
        join = join_request(case.group, protocol=protocol, timeout_ms=30_000)
        answer: Any = other.ask(join, 7)
        join.member_id = answer.member_id
        other.send(join, 7)
        play.commit(identity, case.group, {case.at: 5}, member=(member, None, generation), what="before")
        again = join_request(case.group, member, protocol=protocol, timeout_ms=30_000)
        joined: Any = play.client.ask(again, 7)
        _, answer = other.receive(join.API, 7)
        play.note("joined", (joined.generation_id, answer.generation_id))
        # Both have joined, and wait for the leader's assignment.
        for what, who in (
            ("generation before", (member, None, generation)),
            ("this generation", (member, None, joined.generation_id)),
            ("the other", (join.member_id, None, joined.generation_id)),
            ("nobody", NOBODY),
        ):
            play.commit(identity, case.group, {case.at: 6}, member=who, what=what)
    play.ended(identity)
    case.seen()


def member_that_left(play: Play) -> None:
    """It commits after it has left."""
    case = Case(play)
    member, generation = case.stable()
    identity = case.begun()
    play.commit(identity, case.group, {case.at: 5}, member=(member, None, generation), what="member")
    play.client.ask(LeaveGroupRequest(case.group, members=[MemberIdentity(member)]), 4)
    play.commit(identity, case.group, {case.at: 6}, member=(member, None, generation), what="after it left")
    play.commit(identity, case.group, {case.at: 7}, what="nobody")
    play.ended(identity)
    case.seen()


def plain_commit_after(play: Play) -> None:
    """Scenario 58, and the other way round."""
    case = Case(play)
    identity = case.begun()
    play.commit(identity, case.group, {case.at: 5})
    case.plain(7)
    case.seen()
    play.ended(identity)
    case.seen()
    identity = case.begun()
    case.plain(8)
    play.commit(identity, case.group, {case.at: 3})
    case.seen()
    play.ended(identity)
    case.seen()


def two_producers(play: Play) -> None:
    """Both have offsets of one partition open; the later record counts whoever commits first."""
    case = Case(play)
    identity = case.begun()
    other = Play(play.port, f"{play.name}-other")
    try:
        second = other.initialized()
        other.add_offsets(second, case.group)
        play.commit(identity, case.group, {case.at: 5})
        other.commit(second, case.group, {case.at: 6})
        other.ended(second)
        case.seen()
        play.ended(identity)
        case.seen()
    finally:
        other.close()
    play.notes += [(f"other {what}", answer) for what, answer in other.notes]


def deleted_group(play: Play) -> None:
    """Scenario 59: the group is deleted while offsets are open."""
    case = Case(play)
    identity = case.begun()
    play.commit(identity, case.group, {case.at: 5})
    deleted: Any = play.client.ask(DeleteGroupsRequest([case.group]), 2)
    play.note("delete", name_of(deleted.results[0].error_code))
    case.seen()
    play.ended(identity)
    case.seen()
    deleted = play.client.ask(DeleteGroupsRequest([case.group]), 2)
    play.note("delete again", name_of(deleted.results[0].error_code))
    case.seen()


def deleted_offset(play: Play) -> None:
    """OffsetDelete while one is committed and another is open."""
    case = Case(play)
    case.plain(3)
    identity = case.begun()
    play.commit(identity, case.group, {case.at: 5})
    topics = [OffsetDeleteRequestTopic(case.at[0], [OffsetDeleteRequestPartition(0)])]
    answer: Any = play.client.ask(OffsetDeleteRequest(case.group, topics), 0)
    told = [name_of(row.error_code) for topic in answer.topics for row in topic.partitions]
    play.note("delete", (name_of(answer.error_code), told))
    case.seen()
    play.ended(identity)
    case.seen()


def deleted_topic(play: Play) -> None:
    """Scenario 59: the topic of the offsets is deleted, and made again."""
    case = Case(play)
    identity = case.begun()
    play.commit(identity, case.group, {case.at: 5})
    play.delete_topic(case.at[0])
    play.topic()
    case.seen()
    play.ended(identity)
    case.seen()


def timed_out(play: Play) -> None:
    """The coordinator aborts, offsets too."""
    case = Case(play)
    identity = play.initialized(timeout_ms=2000)
    play.add_offsets(identity, case.group)
    play.commit(identity, case.group, {case.at: 5}, at_once=True)
    play.describe("CompleteAbort")
    case.seen()
    for version in (3, 4):
        play.commit(identity, case.group, {case.at: 6}, version=version)
    case.seen()


def over_a_restart(play: Play) -> Iterator[None]:
    """Open ones are open, and committed ones there."""
    case = Case(play)
    case.plain(3)
    identity = case.begun()
    play.commit(identity, case.group, {case.at: 5})
    yield
    case.seen()
    play.commit(identity, case.group, {case.at: 6})
    case.seen()
    play.ended(identity)
    case.seen()


def joins(play: Play) -> None:
    """Version 5 takes the group's partition into the transaction."""
    case = Case(play)
    former = play.initialized()
    identity = play.initialized()
    play.commit(former, case.group, {case.at: 4}, version=5, what="former")
    play.commit((FAR, 0), case.group, {case.at: 4}, version=5, what="far")
    play.describe("Empty")
    play.commit(identity, case.group, {case.at: 5}, version=5)
    play.describe("Ongoing")
    following = play.ended(identity, version=5)
    case.seen()
    play.commit(identity, case.group, {case.at: 6}, version=5, what="epoch before")
    play.commit(following, case.group, {case.at: 7}, version=5)
    play.ended(following, version=5, commits=False)
    case.seen()


def joins_as_member(play: Play) -> None:
    """What is wrong with the member is told before the partition has joined, or after it."""
    case = Case(play)
    member, generation = case.stable()
    identity = play.initialized()
    play.commit(identity, case.group, {case.at: 5}, version=5, member=("who", None, generation), what="who")
    play.note("state", play.producer.describe().transaction_state)
    play.commit(identity, case.group, {case.at: 5}, version=5, member=(member, None, generation), what="it")
    play.ended(identity, version=5)
    case.seen()


def of_the_consumer_protocol(play: Play) -> None:
    """Groups of KIP-848: the epoch of a member takes the place of the generation."""
    case = Case(play)
    member = f"{play.name}-member"

    def beat(epoch: int, *topics: str) -> int:
        joins = epoch == 0
        asked = ConsumerGroupHeartbeatRequest(
            case.group,
            member,
            epoch,
            rebalance_timeout_ms=5000 if joins else -1,
            subscribed_topic_names=[*topics] if topics else None,
            topic_partitions=[] if joins else None,
        )
        answer: Any = play.client.ask(asked, 1)
        assert not answer.error_code
        told: int = answer.member_epoch
        return told

    epoch = beat(0, case.at[0])
    identity = case.begun()
    for what, who in (
        ("as it is", (member, None, epoch)),
        ("epoch before", (member, None, epoch - 1)),
        ("next epoch", (member, None, epoch + 1)),
        ("no epoch", (member, None, -1)),
        ("another member", ("who", None, epoch)),
        ("no member", ("", None, epoch)),
        ("an instance", (member, "i", epoch)),
        ("nobody", NOBODY),
    ):
        for version in (3, 4, 5):
            play.commit(identity, case.group, {case.at: 5}, member=who, version=version, what=what)
    case.seen()
    # Another subscription raises the epoch while the transaction is open.
    other = play.topic(".more")
    following = epoch
    until = time.monotonic() + SECONDS
    # Kafka assigns a while later.
    while following == epoch:
        assert time.monotonic() < until
        following = beat(epoch, case.at[0], other)
    play.commit(identity, case.group, {case.at: 6}, member=(member, None, epoch), what="former epoch")
    play.commit(identity, case.group, {case.at: 7}, member=(member, None, following), what="new epoch")
    play.ended(identity)
    case.seen()
    beat(-1)
    identity = case.begun()
    play.commit(identity, case.group, {case.at: 8}, member=(member, None, following), what="it has left")
    play.commit(identity, case.group, {case.at: 9}, what="nobody")
    play.ended(identity)
    case.seen()


SCENARIOS: Final[dict[str, Scenario]] = {
    "offsets-ends": commit_and_abort,
    "offsets-identities": identities,
    "offsets-rows": rows,
    "offsets-members": members,
    "offsets-static": static_members,
    "offsets-nobody": nobody_there,
    "offsets-rebalance": rebalance,
    "offsets-left": member_that_left,
    "offsets-plain": plain_commit_after,
    "offsets-two": two_producers,
    "offsets-deleted-group": deleted_group,
    "offsets-deleted": deleted_offset,
    "offsets-deleted-topic": deleted_topic,
    "offsets-timed-out": timed_out,
    "offsets-restart": over_a_restart,
}
ALONE: Final[dict[str, Scenario]] = {"offsets-not-added": not_added}
RAISING: Final[dict[str, Scenario]] = {
    "offsets-join": joins,
    "offsets-join-member": joins_as_member,
    "offsets-consumer": of_the_consumer_protocol,
}
