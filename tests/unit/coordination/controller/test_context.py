"""The context's indices say what a search through everything would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.data import Assignment, Leadership, Replica
from fastlog.coordination.controller.states import PartitionPhase, ReplicaPhase
from tests.unit.coordination.controller.world import live

IDS = st.lists(st.integers(1, 4), unique=True, max_size=4).map(tuple)
KEYS = st.tuples(st.sampled_from("tu"), st.integers(0, 2))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("assign"), KEYS, IDS),
            st.tuples(st.just("lead"), KEYS, st.integers(-1, 4)),
            st.tuples(st.just("phase"), KEYS, st.sampled_from(PartitionPhase)),
            st.tuples(st.just("forget"), KEYS, st.none()),
        ),
        max_size=30,
    )
)
def test_indices(steps: list[tuple[str, tuple[str, int], object]]) -> None:
    context = ControllerContext()
    for verb, key, value in steps:
        if verb == "assign" and isinstance(value, tuple):
            context.put_assignment(key, Assignment(value))
        elif verb == "lead" and isinstance(value, int):
            context.put_leadership(key, Leadership(value, 0, ()))
        elif verb == "phase" and isinstance(value, PartitionPhase):
            context.put_phase(key, value)
        elif verb == "forget":
            # Whatever has a leader or a state is assigned.
            context.put_assignment(key, Assignment(()))
            context.remove_topic(key[0])
        if verb != "forget" and key not in context.partitions_of(key[0]):
            context.put_assignment(key, Assignment(()))
    for broker in range(1, 5):
        hosted = {key for key in context.partitions() if broker in context.assignment(key).replicas}
        assert set(context.hosted_by(broker)) == hosted
        led = {key for key, now in context.leaderships.items() if now.leader == broker}
        assert set(context.led_by(broker)) == led
    waiting = {PartitionPhase.NEW, PartitionPhase.OFFLINE}
    pending = {key for key in context.partitions() if context.phase(key) in waiting}
    assert set(context.pending()) == pending
    assert context.leaderships.keys() <= set(context.partitions())


def test_topics_by_id() -> None:
    context = ControllerContext()
    context.put_topic("t", b"1" * 16)
    context.put_topic("t", b"2" * 16)
    assert context.topic_named(b"1" * 16) is None
    assert context.topic_named(b"2" * 16) == "t"
    context.put_topic("old", None)
    assert context.topic_id("old") == bytes(16)
    context.deleting.add("t")
    context.put_assignment(("t", 0), Assignment((1,)))
    context.put_replica_phase(Replica(("t", 0), 1), ReplicaPhase.ONLINE)
    context.reassigning.add(("t", 0))
    context.remove_topic("t")
    assert context.topic_named(b"2" * 16) is None
    assert set(context.topics) == {"old"}
    assert not context.deleting
    assert not context.reassigning
    assert context.replica_phase(Replica(("t", 0), 1)) is ReplicaPhase.NON_EXISTENT


def test_who_is_online() -> None:
    context = ControllerContext()
    context.put_broker(live(1, 10))
    assert context.is_online(1, ("t", 0))
    context.put_offline_in_directories(1, [("t", 0)])
    assert not context.is_online(1, ("t", 0))
    assert context.is_online(1, ("t", 1))
    context.begin_shutdown(1)
    assert not context.is_online(1, ("t", 1))
    assert context.is_online(1, ("t", 1), or_shutting_down=True)
    assert context.live_ids() == set()
    context.remove_broker(1)
    context.put_broker(live(1, 11))
    assert context.is_online(1, ("t", 0)), "another life, other directories"
