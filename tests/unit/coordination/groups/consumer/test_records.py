"""Records of consumer groups: both ways, and bytes that are none."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlog.coordination.groups.consumer.members import (
    ClassicInfo,
    ConsumerMember,
    Details,
    MemberState,
    Position,
)
from fastlog.coordination.groups.consumer.records import (
    apply_record,
    decode_key,
    encode_key,
    encode_value,
)
from fastlog.coordination.groups.consumer.results import ConsumerLimits
from fastlog.coordination.groups.consumer.state import ConsumerGroup, Kind, StoredConsumerGroup
from fastlog.coordination.groups.loading import LoadedPartition
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.coordination.groups.records import encode_group_key, encode_group_value
from fastlog.coordination.groups.results import StoredGroup
from fastlog.errors import ErrorCode
from tests.unit.coordination.groups.consumer.world import Client, ConsumerWorld, converge

TEXT = st.text(max_size=200)
PARTITIONS = st.dictionaries(
    st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 2**31 - 1)), st.integers(0, 9), max_size=6
)
DETAILS = st.builds(
    Details,
    instance_id=st.none() | TEXT,
    rack_id=st.none() | TEXT,
    client_id=TEXT,
    client_host=TEXT,
    topics=st.lists(TEXT, max_size=3).map(tuple),
    regex=st.none() | st.text(min_size=1, max_size=20),
    rebalance_timeout_ms=st.integers(-1, 2**31 - 1),
    assignor=st.none() | TEXT,
    classic=st.none()
    | st.builds(
        ClassicInfo,
        st.integers(0, 2**31 - 1),
        st.lists(st.tuples(TEXT, st.binary(max_size=300)), max_size=3).map(tuple),
    ),
)
POSITIONS = st.builds(
    Position,
    epoch=st.integers(-2, 2**31 - 1),
    previous_epoch=st.integers(-1, 2**31 - 1),
    state=st.sampled_from(MemberState),
    assigned=PARTITIONS,
    revoking=st.just({}),
)


@settings(max_examples=150, deadline=None)
@given(details=DETAILS, position=POSITIONS, member_id=TEXT, data=st.data())
def test_members_come_back(details: Details, position: Position, member_id: str, data: st.DataObject) -> None:
    group = ConsumerGroup("g", ConsumerLimits())
    group.put(ConsumerMember(member_id, details, position))
    stored = StoredConsumerGroup()
    for name in group.take_touched():
        value = encode_value(group, name)
        assert decode_key(encode_key("g", name)) == ("g", name)
        assert value is not None
        apply_record(stored, name, value)
        # Whatever is cut off is noticed.
        with pytest.raises(BadGroupRecord):
            apply_record(StoredConsumerGroup(), name, value[: data.draw(st.integers(0, len(value) - 1))])
    assert stored.details[member_id] == details
    assert stored.positions.get(member_id, Position()) == position


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(Kind), value=st.binary(max_size=40).map(lambda data: b"\0\0" + data))
def test_any_bytes_are_a_record_or_refused(kind: Kind, value: bytes) -> None:
    with contextlib.suppress(BadGroupRecord):
        apply_record(StoredConsumerGroup(), (kind, ""), value)


def test_the_bytes_are_those_of_kafka() -> None:
    """Written out by hand after Kafka's schemas."""
    world = ConsumerWorld(t=1)
    client = Client(world, "m", instance_id="i")
    client.beat()
    topic_id = world.topics.known["t"][0]
    values = {key: world.log[encode_key("g", key)] for key in [(Kind.TARGET, "m"), (Kind.POSITION, "m")]}
    rows = b"\x02" + topic_id + b"\x02" + bytes(4)
    assert values[Kind.TARGET, "m"] == b"\0\0" + rows + b"\0" + b"\0"
    epochs = b"\x01\x00\x05\x02" + (1).to_bytes(4)
    head = b"\0\0" + (1).to_bytes(4) + (0).to_bytes(4) + b"\0"
    assert values[Kind.POSITION, "m"] == head + rows + epochs + b"\x01" + b"\0"
    member = world.log[encode_key("g", (Kind.MEMBER, "m"))]
    assert member == b"\0\0\x02i\0\x01\x01\x02\x02t\0" + (60_000).to_bytes(4) + b"\0\0"
    # Kafka writes that there is nothing of the classic protocol, and a regular expression that is empty.
    said = member[:-1].replace(b"\x02\x02t\0", b"\x02\x02t\x01") + b"\x01\x00\x01\x00"
    stored = StoredConsumerGroup()
    apply_record(stored, (Kind.MEMBER, "m"), said)
    assert stored.details["m"] == world.group.members["m"].details
    assert encode_key("g", (Kind.REGEX, "x")) == b"\0\x10\0\x01g\0\x01x"


def test_the_last_protocol_of_a_group_counts() -> None:
    world = ConsumerWorld(t=2)
    converge(Client(world, "a"), Client(world, "b"))
    consumer = list(world.log.items())
    classic = (encode_group_key("g"), encode_group_value(StoredGroup("consumer", 3, None, None, 0, ())))
    loaded = LoadedPartition()
    loaded.apply([classic, *consumer])
    assert (list(loaded.groups), list(loaded.consumers)) == ([], ["g"])
    loaded.apply([classic])
    assert (list(loaded.groups), list(loaded.consumers)) == (["g"], [])
    loaded.apply([*consumer, *((key, None) for key, _ in consumer)])
    assert loaded.group_ids() == set()
    assert loaded.skipped == 0


def test_partition_metadata_of_older_kafka_is_removed() -> None:
    world = ConsumerWorld(t=2)
    Client(world, "a").beat()
    world.log[encode_key("g", (Kind.PARTITION_METADATA, ""))] = b"\0\0\x01\0"
    world.restart()
    world.store()
    assert encode_key("g", (Kind.PARTITION_METADATA, "")) not in world.log


def test_records_that_contradict_each_other_give_nothing_two_owners() -> None:
    world = ConsumerWorld(t=2)
    one, two = Client(world, "a"), Client(world, "b")
    converge(one, two)
    position = world.log[encode_key("g", (Kind.POSITION, "a"))]
    world.log[encode_key("g", (Kind.POSITION, "b"))] = position
    world.restart()
    assert world.group.owners == dict.fromkeys(world.group.members["a"].position.assigned, "a")
    assert world.refusal(two.request()) is ErrorCode.FENCED_MEMBER_EPOCH
    two.epoch, two.owned, two.is_unsure = 0, set(), True
    converge(one, two)
    assert sorted([*one.numbers(), *two.numbers()]) == [0, 1]


def test_epochs_go_on_when_the_record_of_the_group_is_lost() -> None:
    world = ConsumerWorld(t=2)
    one = Client(world, "a")
    converge(one)
    world.topics.put("t", 3)
    converge(one)
    assert one.epoch == 2
    for lost in (Kind.GROUP, Kind.TARGET_EPOCH):
        del world.log[encode_key("g", (lost, ""))]
        world.restart()
        assert world.group.epoch == 2
    world.topics.put("t", 4)
    converge(one)
    assert one.epoch > 2
    assert one.numbers() == [0, 1, 2, 3]
