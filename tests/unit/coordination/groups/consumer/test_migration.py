"""Classic members in consumer groups, and groups that move between the protocols."""

from __future__ import annotations

from struct import pack

import pytest

from fastlog.coordination.groups.classic.state import GroupState
from fastlog.coordination.groups.consumer import classic_members, commit_checks, leaving, migration
from fastlog.coordination.groups.consumer.consumer_protocol import (
    BadProtocolMessage,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    version_of,
)
from fastlog.coordination.groups.consumer.results import ConsumerLimits
from fastlog.coordination.groups.consumer.state import Deadline
from fastlog.coordination.groups.results import GroupLimits, JoinRequest, JoinResult, SyncRequest
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.groups.consumer.classic import assignment, subscription
from tests.unit.coordination.groups.consumer.world import REBALANCE_MS, Client, ConsumerWorld, converge
from tests.unit.coordination.groups.world import GroupWorld


def join(
    world: ConsumerWorld,
    member_id: str,
    *,
    owned: list[int] | None = None,
    instance_id: str | None = None,
    new: bool = False,
    **how: object,
) -> JoinResult:
    """JoinGroup of a classic member, which is called `member_id` also when it is new."""
    metadata = subscription("t", owned=None if owned is None else {"t": owned})
    request = JoinRequest(
        ticket=1,
        member_id="" if new else member_id,
        instance_id=instance_id,
        client_id="c",
        client_host="/h",
        session_timeout_ms=10_000,
        rebalance_timeout_ms=REBALANCE_MS,
        protocol_type="consumer",
        protocols=(("range", metadata),),
        new_member_id=member_id if new else "",
    )
    result = classic_members.join(world.group, request._replace(**how), world.now(), world.topics)
    world.store()
    return result


def sync(world: ConsumerWorld, member_id: str, generation: int, **how: object) -> list[int]:
    """SyncGroup; returns the partition numbers."""
    request = SyncRequest(1, member_id, None, generation, None, None, {})
    result = classic_members.sync(world.group, request._replace(**how), world.now(), world.topics)
    return [number for _, number in decode_assignment(result.assignment)[0]]


def alive(world: ConsumerWorld, member_id: str, generation: int) -> ErrorCode:
    """Heartbeat."""
    return classic_members.heartbeat(world.group, member_id, None, generation, world.now())


def code_of(action: object, *args: object, **how: object) -> ErrorCode:
    with pytest.raises(KafkaError) as caught:
        action(*args, **how)  # type: ignore[operator]
    return caught.value.code


def upgraded(world: ConsumerWorld, classic: GroupWorld, limits: ConsumerLimits | None = None) -> None:
    """The world's group becomes that of the classic world."""
    world.group = migration.upgrade(classic.group, limits or world.limits, world.now(), world.topics)
    world.store()


def classic_world(*members: list[int], user_data: bytes | None = None) -> tuple[GroupWorld, list[str]]:
    """A stable classic group whose members own those partitions of t."""
    world = GroupWorld()
    protocols = (("range", subscription("t")),)
    tickets = [world.join(protocols=protocols) for _ in members]
    world.pass_time(10_000)
    names = [world.joins[ticket].member_id for ticket in tickets]
    shares = {name: assignment(user_data, t=numbers) for name, numbers in zip(names, members, strict=True)}
    for name in names[1:]:
        world.sync(name)
    world.sync(names[0], shares)
    assert world.group.state is GroupState.STABLE
    return world, names


def test_upgrade_keeps_what_members_own_until_they_give_it_up() -> None:
    world = ConsumerWorld(t=4)
    classic, (old,) = classic_world([0, 1, 2, 3])
    generation = classic.group.generation
    upgraded(world, classic)
    assert classic.group.state is GroupState.DEAD
    new = Client(world, "new")
    assert new.beat().epoch == generation + 1
    assert new.owned == set()
    assert alive(world, old, generation) is ErrorCode.REBALANCE_IN_PROGRESS
    # A cooperative member gives up two, and joins once more to say so.
    first = join(world, old, owned=[0, 1, 2, 3])
    assert (first.generation, len(sync(world, old, generation))) == (generation, 2)
    new.beat()
    assert new.owned == set()
    kept = sync(world, old, generation)
    assert alive(world, old, generation) is ErrorCode.REBALANCE_IN_PROGRESS
    second = join(world, old, owned=kept)
    assert second.generation == generation + 1
    new.beat()
    assert sorted([*sync(world, old, second.generation), *new.numbers()]) == [0, 1, 2, 3]
    assert alive(world, old, second.generation) is ErrorCode.NONE
    before = world.image()
    world.restart()
    assert world.image() == before
    assert world.group.members[old].is_classic


def test_upgrade_ends_a_rebalance_that_is_under_way() -> None:
    world = ConsumerWorld(t=2)
    classic, (old, other) = classic_world([0], [1])
    ticket = classic.join(old, protocols=(("range", subscription("t", "u")),))
    assert classic.group.state is GroupState.PREPARING_REBALANCE
    upgraded(world, classic)
    classic._settle()
    assert classic.joins[ticket].error is ErrorCode.REBALANCE_IN_PROGRESS
    assert set(world.group.members) == {old, other}


def test_a_partition_that_a_classic_leader_gave_out_twice_has_one_owner() -> None:
    world = ConsumerWorld(t=2)
    classic, (old, other) = classic_world([0, 1], [1])
    upgraded(world, classic)
    new = Client(world, "new")
    new.beat()
    for _ in range(2):
        join(world, old, owned=[])
        join(world, other, owned=[])
        new.beat()
    owned = [key for member in world.group.members.values() for key in member.position.owns()]
    assert len(owned) == len(set(owned)) == 2


def test_groups_that_cannot_be_upgraded() -> None:
    world = ConsumerWorld(t=2)
    refused = ErrorCode.GROUP_ID_NOT_FOUND
    classic, _ = classic_world([0, 1])
    assert code_of(upgraded, world, classic, ConsumerLimits(may_upgrade=False)) is refused
    assert code_of(upgraded, world, classic, ConsumerLimits(max_size=1)) is ErrorCode.GROUP_MAX_SIZE_REACHED
    custom, _ = classic_world([0, 1], user_data=b"own")
    assert code_of(upgraded, world, custom) is refused
    connect = GroupWorld()
    connect.join(protocol_type="connect")
    assert code_of(upgraded, world, connect) is refused
    malformed = GroupWorld()
    malformed.join()
    assert code_of(upgraded, world, malformed) is refused
    assert malformed.group.state is not GroupState.DEAD
    # Whatever protocol the group has chosen, the first one of each member is looked at later.
    mixed = GroupWorld()
    protocols = (("own", b"?"), ("range", subscription("t")))
    mixed.join(protocols=protocols)
    mixed.join(protocols=protocols[1:])
    mixed.pass_time(10_000)
    assert mixed.group.protocol_name == "range"
    assert code_of(upgraded, world, mixed) is refused


def test_downgrade_hands_the_target_over() -> None:
    world = ConsumerWorld(t=4)
    new = Client(world, "new")
    new.beat()
    old = join(world, "old", new=True).member_id
    for _ in range(4):
        new.beat()
        generation = join(world, old, owned=sync_owned(world, old)).generation
    assert not migration.can_downgrade(world.group)
    leaving.leave(world.group, new.request(epoch=-1), world.topics)
    assert migration.can_downgrade(world.group)
    group = migration.downgrade(world.group, GroupLimits(), world.now(), world.topics, call_members=True)
    world.store()
    assert world.log == {}, "nothing is left of the consumer group"
    assert (group.state, group.generation) == (GroupState.PREPARING_REBALANCE, generation + 1)
    (member,) = group.members
    assert (member.member_id, member.protocols[0][0], group.protocol_name) == (old, "range", "range")
    assert len(decode_assignment(member.assignment)[0]) == 2


def sync_owned(world: ConsumerWorld, member_id: str) -> list[int]:
    return sorted(number for _, number in world.group.members[member_id].position.assigned)


def test_who_may_not_be_downgraded() -> None:
    for limits in (ConsumerLimits(may_downgrade=False), ConsumerLimits(classic_max_size=0)):
        world = ConsumerWorld(limits=limits, t=4)
        new = Client(world, "new")
        new.beat()
        join(world, "old", new=True)
        new.leave()
        assert not migration.can_downgrade(world.group)
    world = ConsumerWorld(t=1)
    Client(world, "a").beat()
    assert not migration.can_downgrade(world.group)


def test_a_static_member_changes_its_protocol() -> None:
    world = ConsumerWorld(t=2)
    one, two = Client(world, "a"), Client(world, "b", instance_id="i")
    converge(one, two)
    had, epoch = two.numbers(), world.group.epoch
    joined = join(world, "b-classic", instance_id="i", new=True)
    assert (joined.error, joined.generation) == (ErrorCode.NONE, epoch)
    assert sync_owned(world, "b-classic") == had
    assert world.refusal(two.request()) is ErrorCode.UNKNOWN_MEMBER_ID
    fenced = code_of(join, world, "b", instance_id="i")
    assert fenced is ErrorCode.FENCED_INSTANCE_ID
    # And back, without leaving first.
    again = Client(world, "b-new", instance_id="i")
    again.beat()
    assert again.numbers() == had
    assert world.group.epoch == epoch


def test_classic_requests_that_are_refused() -> None:
    world = ConsumerWorld(limits=ConsumerLimits(max_size=2), t=2)
    new = Client(world, "new")
    new.beat()
    assert join(world, "x", new=True, requires_known_id=True).error is ErrorCode.MEMBER_ID_REQUIRED
    assert code_of(join, world, "x", protocol_type="connect") is ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert code_of(join, world, "x", protocols=(("range", b"?"),)) is ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert code_of(join, world, "x", instance_id="i") is ErrorCode.UNKNOWN_MEMBER_ID
    generation = join(world, "old").generation
    assert code_of(join, world, "x") is ErrorCode.GROUP_MAX_SIZE_REACHED
    assert code_of(sync, world, "old", generation + 1) is ErrorCode.ILLEGAL_GENERATION
    assert code_of(sync, world, "new", generation) is ErrorCode.UNKNOWN_MEMBER_ID
    assert code_of(sync, world, "nobody", generation) is ErrorCode.UNKNOWN_MEMBER_ID
    wrong = code_of(sync, world, "old", generation, protocol_name="sticky")
    assert wrong is ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert code_of(alive, world, "old", generation - 1) is ErrorCode.ILLEGAL_GENERATION
    world.topics.put("t", 3)
    new.beat()
    assert code_of(sync, world, "old", generation) is ErrorCode.REBALANCE_IN_PROGRESS
    codes = classic_members.leave(
        world.group, [("nobody", None), ("old", "i"), ("", "i"), ("old", None)], world.topics
    )
    unknown = ErrorCode.UNKNOWN_MEMBER_ID
    assert codes == [unknown, unknown, unknown, ErrorCode.NONE]
    assert set(world.group.members) == {"new"}


def test_administrators_remove_members_of_either_protocol() -> None:
    world = ConsumerWorld(t=2)
    new, static = Client(world, "new"), Client(world, "static", instance_id="i")
    converge(new, static)
    fenced = classic_members.leave(world.group, [("new", "i")], world.topics)
    assert fenced == [ErrorCode.FENCED_INSTANCE_ID]
    assert classic_members.leave(world.group, [("new", None)], world.topics) == [ErrorCode.NONE]
    assert classic_members.leave(world.group, [("", "i")], world.topics) == [ErrorCode.NONE]
    assert not world.group.members


def test_classic_members_that_do_not_join_or_sync_in_time() -> None:
    for what in (Deadline.JOIN, Deadline.SYNC):
        world = ConsumerWorld(limits=ConsumerLimits(session_timeout_ms=10 * REBALANCE_MS), t=2)
        new = Client(world, "new")
        new.beat()
        generation = join(world, "old", new=True, session_timeout_ms=10 * REBALANCE_MS).generation
        if what is Deadline.JOIN:
            new.beat()
            new.beat()
            sync(world, "old", generation)
            assert world.pass_time(REBALANCE_MS) == {}
            world.topics.put("t", 4)
            new.beat()
            assert alive(world, "old", generation) is ErrorCode.REBALANCE_IN_PROGRESS
            world.clock.advance(REBALANCE_MS - 1)
            assert alive(world, "old", generation) is ErrorCode.REBALANCE_IN_PROGRESS
            assert world.pass_time(0) == {}
            assert world.pass_time(1) == {"old": what}
        else:
            assert world.pass_time(REBALANCE_MS) == {"old": what}


def test_the_consumer_protocols_messages() -> None:
    newest = decode_subscription(subscription("t", "u", owned={"t": [1, 2]}, version=3))
    assert newest.topics == ("t", "u")
    assert newest.owned == (("t", 1), ("t", 2))
    assert newest.rack_id == "rack"
    assert decode_subscription(subscription("t", version=0)).owned == ()
    world = ConsumerWorld(t=3)
    topic_id = world.topics.known["t"][0]
    encoded = encode_assignment([(topic_id, 2), (topic_id, 0), (b"gone" * 4, 1)], world.topics, 2)
    assert decode_assignment(encoded) == ([("t", 0), ("t", 2)], b"")
    for bad in (b"\0", b"\0\0\x7f\xff\xff\xff", subscription("t")[:-3], b"\0\0" + pack(">ih", 1, -1)):
        with pytest.raises(BadProtocolMessage):
            decode_subscription(bad)


def test_what_a_member_says_is_read_up_to_a_bound() -> None:
    """Counts are checked before the first element is read."""
    names = pack(">hi", 0, 6_000_000) + b"\0\0" * 6_000_000 + pack(">i", -1)
    rows = pack(">hiii", 1, 0, -1, 6_000_000) + b"\0" * 36_000_000
    numbers = pack(">hiiihi", 1, 0, -1, 1, 0, 6_000_000) + b"\0" * 24_000_000
    for message in (names, rows, numbers):
        with pytest.raises(BadProtocolMessage, match="there may be"):
            decode_subscription(message)
        assert version_of(message) in (0, 1)


def test_a_classic_member_is_called_when_there_is_something_for_it() -> None:
    world = ConsumerWorld(t=2)
    new = Client(world, "new")
    new.beat()
    generation = join(world, "old", new=True).generation
    assert sync(world, "old", generation) == []
    assert alive(world, "old", generation) is ErrorCode.NONE, "its partition is not free yet"
    new.beat()
    new.beat()
    assert alive(world, "old", generation) is ErrorCode.REBALANCE_IN_PROGRESS


def test_a_classic_member_may_change_its_protocols() -> None:
    world = ConsumerWorld(t=2)
    Client(world, "new").beat()
    join(world, "old", new=True)
    other = (("sticky", subscription("t")),)
    assert join(world, "old", protocols=other).protocol_name == "sticky"
    assert code_of(join, world, "third", new=True) is ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_who_may_commit_and_fetch_without_an_epoch() -> None:
    world = ConsumerWorld(t=2)
    assert commit_checks.commit_error(world.group, "", -1, (), knows_epochs=True) is ErrorCode.NONE
    Client(world, "a").beat()
    for member_id, error in (("", ErrorCode.UNKNOWN_MEMBER_ID), ("a", ErrorCode.STALE_MEMBER_EPOCH)):
        assert commit_checks.commit_error(world.group, member_id, -1, (), knows_epochs=True) is error
    assert commit_checks.fetch_error(world.group, None, -1) is ErrorCode.NONE
    assert commit_checks.fetch_error(world.group, "a", -1) is ErrorCode.STALE_MEMBER_EPOCH
    assert commit_checks.fetch_error(world.group, "b", -1) is ErrorCode.UNKNOWN_MEMBER_ID
