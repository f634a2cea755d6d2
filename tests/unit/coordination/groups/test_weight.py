"""What groups weigh, and what they may."""

from __future__ import annotations

import random

from fastlog.coordination.groups.committed_offsets import CommittedOffset, GroupOffsets
from fastlog.coordination.groups.consumer.members import ConsumerMember, Details, Position
from fastlog.coordination.groups.consumer.results import ConsumerLimits
from fastlog.coordination.groups.consumer.state import ConsumerGroup, Resolved
from fastlog.coordination.groups.weight import (
    GROUP_BYTES,
    MEMBER_BYTES,
    GroupMemory,
    Weighed,
    commit_weight,
    member_weight,
)
from tests.unit.coordination.groups.world import GroupWorld

EMPTY_GROUP = GROUP_BYTES + len("g")


class Entry:
    """A group that weighs what a test says."""

    def __init__(self, weight: int) -> None:
        self.weighed = 0
        self.size = weight

    def weight(self) -> int:
        return self.size


def test_a_weighed_dict_always_knows_its_weight() -> None:
    chance = random.Random(1)
    known: Weighed[int, bytes] = Weighed(lambda key, value: key + len(value), {1: b"ab"})
    assert known.weight == 3
    for _ in range(2000):
        key, value = chance.randrange(20), bytes(chance.randrange(9))
        match chance.randrange(5):
            case 0:
                known[key] = value
            case 1:
                known.pop(key, None)
            case 2:
                known.update({key: value, key + 1: value})
            case 3:
                known.setdefault(key, value)
            case _ if key in known:
                del known[key]
        assert known.weight == sum(key + len(value) for key, value in known.items())


def test_a_classic_group_weighs_its_members_and_is_light_again_without_them() -> None:
    world = GroupWorld()
    large = (("range", bytes(50_000)), ("sticky", bytes(30_000)))
    ticket = world.join(protocols=large)
    world.pass_time(10_000)
    member_id = world.joins[ticket].member_id
    assert world.group.weight > EMPTY_GROUP + MEMBER_BYTES + 80_000
    world.sync(member_id, {member_id: bytes(40_000)})
    assert world.group.weight > EMPTY_GROUP + MEMBER_BYTES + 120_000
    world.join(member_id, protocols=(("range", b"x"),))
    assert world.group.weight < EMPTY_GROUP + MEMBER_BYTES + 41_000
    world.leave(member_id)
    assert world.group.weight == EMPTY_GROUP


def test_ids_that_were_given_out_count_until_they_are_used_or_expire() -> None:
    world = GroupWorld()
    world.join(requires_known_id=True)
    assert world.group.weight > EMPTY_GROUP
    world.pass_time(60_000)
    assert world.group.weight == EMPTY_GROUP


def test_a_consumer_group_weighs_all_that_its_members_say() -> None:
    group = ConsumerGroup("g", ConsumerLimits())
    topics = tuple(f"topic{number}" for number in range(1000))
    position = Position(assigned={("t", number): 1 for number in range(100)})
    group.put(ConsumerMember("m", Details(topics=topics, regex="t.*"), position))
    group.set_target("m", frozenset(("t", number) for number in range(100)))
    before = group.weight
    assert before > EMPTY_GROUP + MEMBER_BYTES + 1000 * 64 + 300 * 100
    group.set_regexes({"t.*": Resolved(frozenset(topics), 1, 0)})
    assert group.weight > before + 64_000
    group.remove("m")
    assert group.weight == EMPTY_GROUP


def test_offsets_weigh_their_metadata() -> None:
    offsets = GroupOffsets({("t", 0): CommittedOffset(1, -1, "x" * 1000, 0)})
    assert 1400 < offsets.weight < 1600
    more = {("t", number): CommittedOffset(1, -1, "x" * 1000, 0) for number in range(3)}
    assert commit_weight(offsets.committed, more) == 2 * offsets.weight
    assert commit_weight(offsets.committed, {("t", 0): CommittedOffset(1, -1, "", 0)}) == -1000


def test_all_groups_share_their_memory() -> None:
    memory = GroupMemory(lambda: 1000)
    entries = [Entry(250) for _ in range(4)]
    for entry in entries:
        assert memory.has_room(None, 250)
        memory.weigh(entry)
    assert memory.used == 1000
    assert not memory.has_room(None, 1)
    assert not memory.has_room_for_member(entries[0], 51, 50)
    assert memory.has_room_for_member(entries[0], 50, 50), "who does not grow may stay"
    memory.forget(entries[3])
    assert memory.has_room(None, 250)
    assert not memory.has_room(entries[0], 1), "one group has a quarter"
    assert not memory.has_room_for_member(None, 126), "one member has an eighth"


def test_what_does_not_grow_is_let_through_above_the_limit() -> None:
    memory = GroupMemory(lambda: 1000)
    entry = Entry(3000)
    memory.weigh(entry)
    assert memory.has_room(entry, 0) and memory.has_room(entry, -5)
    assert not memory.has_room(entry, 1)
    assert memory.has_room_for_member(entry, 700, 700)
    assert not memory.has_room_for_member(entry, 701, 700)


def test_every_name_and_protocol_of_a_member_counts() -> None:
    assert member_weight(("abc", None), ()) == MEMBER_BYTES + 3
    assert member_weight((), (("p", b"12345"),), b"123") > MEMBER_BYTES + 9
