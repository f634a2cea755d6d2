"""Committed offsets: order, expiry, and where a group is stored."""

from __future__ import annotations

import pytest

from fastlog.base.java_hash import java_hash
from fastlog.coordination.coordinator_partition import partition_of
from fastlog.coordination.groups.batches import make_batch, read_records
from fastlog.coordination.groups.committed_offsets import CommittedOffset, GroupOffsets
from fastlog.coordination.groups.subscribed_names import MAX_TOPIC_NAMES
from fastlog.coordination.groups.subscriptions import subscribed_topics
from fastlog.errors import ErrorCode
from tests.unit.coordination.groups.world import DELAY_MS, GroupWorld

DAY = 24 * 3600 * 1000
KEY = ("t", 0)


def _subscription(*topics: str) -> bytes:
    names = b"".join(len(topic).to_bytes(2, "big") + topic.encode() for topic in topics)
    return b"\0\1" + len(topics).to_bytes(4, "big") + names + b"\0\0\0\0"


def _at(time_ms: int, expire: int = -1) -> CommittedOffset:
    return CommittedOffset(1, -1, "", time_ms, expire)


# Values of `String.hashCode` in Java.
@pytest.mark.parametrize(
    ("text", "value"),
    [("", 0), ("a", 97), ("group", 98629247), ("polygenelubricants", -(2**31)), ("\U0001d11e", 1772394)],
)
def test_java_hash(text: str, value: int) -> None:
    assert java_hash(text) == value


def test_partition_of_a_group() -> None:
    assert partition_of("group", 50) == 47
    assert partition_of("polygenelubricants", 50) == 0


def test_a_commit_counts_when_it_is_written() -> None:
    offsets = GroupOffsets()
    change = offsets.begin({KEY: _at(1)})
    assert offsets and not offsets.committed
    offsets.end(change, written=False)
    assert not offsets
    offsets.end(offsets.begin({KEY: _at(2)}), written=True)
    assert offsets.committed == {KEY: _at(2)}
    assert offsets.touched() == [KEY]
    assert offsets.touched("other") == []


def test_a_simple_group_expires_by_commit_time() -> None:
    group = GroupWorld().group
    offsets = GroupOffsets({KEY: _at(0), ("t", 1): _at(DAY)})
    assert offsets.expired(group, DAY - 1, DAY) == []
    assert offsets.expired(group, DAY, DAY) == [KEY]
    offsets.begin({KEY: _at(1)})
    assert offsets.expired(group, DAY, DAY) == []


def test_a_managed_group_expires_by_when_it_became_empty() -> None:
    world = GroupWorld()
    (member,) = world.stable(1)
    world.clock.advance(5000)
    world.leave(member)
    empty_since = world.now().wall_ms
    offsets = GroupOffsets({KEY: _at(0), ("t", 1): _at(0, expire=empty_since + 5)})
    assert offsets.expired(world.group, empty_since + DAY - 1, DAY) == [("t", 1)]
    assert offsets.expired(world.group, empty_since + DAY, DAY) == [KEY, ("t", 1)]


def test_a_stable_group_keeps_the_topics_that_it_reads() -> None:
    world = GroupWorld()
    world.join(protocols=(("range", _subscription("t", "u")),))
    world.pass_time(DELAY_MS)
    world.sync("m1", {})
    assert subscribed_topics(world.group) == {"t", "u"}
    offsets = GroupOffsets({KEY: _at(0), ("old", 0): _at(0)})
    assert offsets.expired(world.group, 10 * DAY, DAY) == [("old", 0)]


def test_a_group_that_rebalances_keeps_everything() -> None:
    world = GroupWorld()
    protocols = (("range", _subscription("t")),)
    world.join(protocols=protocols)
    world.pass_time(DELAY_MS)
    world.sync("m1", {})
    world.join(protocols=protocols)
    assert GroupOffsets({("old", 0): _at(0)}).expired(world.group, 10 * DAY, DAY) == []
    assert world.heartbeat("m1") is ErrorCode.REBALANCE_IN_PROGRESS


@pytest.mark.parametrize(
    "metadata", [b"", b"\0\0\0\0\0\1\0\5ab", b"\0\0\x7f\xff\xff\xff", b"\0\0\0\0\0\1\0\1\xff"]
)
def test_a_subscription_that_makes_no_sense_keeps_everything(metadata: bytes) -> None:
    world = GroupWorld()
    world.join(protocols=(("range", metadata),))
    world.pass_time(DELAY_MS)
    world.sync("m1", {})
    assert subscribed_topics(world.group) is None
    assert GroupOffsets({KEY: _at(0)}).expired(world.group, 10 * DAY, DAY) == []


def test_a_subscription_is_read_when_the_member_joins_and_only_up_to_a_bound() -> None:
    world = GroupWorld()
    most = _subscription(*[f"t{number}" for number in range(MAX_TOPIC_NAMES)])
    too_many = _subscription(*[""] * (MAX_TOPIC_NAMES + 1))
    protocols = (("range", most), ("sticky", too_many), ("third", most), ("fourth", _subscription("t")))
    world.join(protocols=protocols)
    (member,) = world.group.members
    assert {name: len(topics) for name, topics in member.topics.items()} == {
        "range": MAX_TOPIC_NAMES,
        "third": MAX_TOPIC_NAMES,
    }
    kept = world.group.members.weight
    assert kept > sum(len(metadata) for _, metadata in protocols) + 2 * 64 * MAX_TOPIC_NAMES
    # Nothing is read again: what was kept is what counts.
    world.pass_time(DELAY_MS)
    member.protocols = (("range", b""),)
    assert len(subscribed_topics(world.group) or ()) == MAX_TOPIC_NAMES


@pytest.mark.parametrize("codec", range(5))
def test_batches_round_trip(codec: int) -> None:
    records: list[tuple[bytes, bytes | None]] = [(b"k%d" % index, b"v" * index) for index in range(200)]
    records.append((b"gone", None))
    batch = make_batch(records, 1234, codec)
    assert read_records(batch) == (records, 201)
    assert read_records(batch + batch[:50]) == (records, 201)
    assert read_records(batch[:-1]) == ([], -1)
