"""The reconciler: steps between two states of a topic, and a host that meets obstacles."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.base.persistent_map import PersistentMap
from fastlog.coordination.cluster_view import PartitionState, TopicState
from fastlog.errors import ErrorCode, KafkaError
from fastlog.replication.partition import PartitionKey
from fastlog.replication.reconciler import Action, Reconciler, steps

NODE = 1
HERE = PartitionState(1, 0, (1, 2), (1, 2))
NEXT_EPOCH = PartitionState(1, 1, (1, 2), (1,))
FOLLOWED = PartitionState(2, 1, (1, 2), (1, 2))
LEADERLESS = PartitionState(-1, 2, (1, 2), (2,))
ELSEWHERE = PartitionState(2, 0, (2, 3), (2, 3))
STATES = (HERE, NEXT_EPOCH, FOLLOWED, LEADERLESS, ELSEWHERE)


def topic(*partitions: PartitionState, id_: int = 0, **configs: str) -> TopicState:
    return TopicState("t", bytes(15) + bytes([id_]), partitions, configs)


def actions(before: TopicState | None, after: TopicState | None) -> list[tuple[str, int]]:
    return [(step.action.value, step.partition) for step in steps(NODE, before, after)]


def test_a_topic_comes_and_goes() -> None:
    made = topic(HERE, ELSEWHERE, FOLLOWED, LEADERLESS)
    assert actions(None, made) == [("lead", 0), ("follow", 2), ("follow", 3)]
    assert actions(made, made) == actions(None, None) == []
    assert actions(made, None) == [("delete", 0), ("delete", 2), ("delete", 3)]
    assert actions(made, topic(HERE, ELSEWHERE, FOLLOWED, LEADERLESS, HERE)) == [("lead", 4)]
    assert actions(made, topic(HERE, ELSEWHERE, FOLLOWED, LEADERLESS, a="b")) == [("configure", -1)]
    assert actions(made, topic(HERE, id_=7)) == [*actions(made, None), ("lead", 0)]


@pytest.mark.parametrize(("old", "new"), [*product(STATES, STATES)])
def test_a_partition_changes(old: PartitionState, new: PartitionState) -> None:
    was, is_, led = NODE in old.replicas, NODE in new.replicas, new.leader == NODE
    expected = [] if old == new or not (was or is_) else ["stop" if not is_ else "lead" if led else "follow"]
    assert [action for action, _ in actions(topic(old), topic(new))] == expected


@dataclass
class Host:
    """Remembers what it was told; partitions of `broken` topics fail."""

    held: dict[PartitionKey, tuple[str, Any]] = field(default_factory=dict)
    configs: dict[str, Any] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    calls: int = 0

    async def _try(self, topic: TopicState) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if topic.name in self.broken:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "broken")

    async def lead(self, topic: TopicState, partition: int) -> None:
        await self._try(topic)
        self.held[topic.name, partition] = "lead", topic.partitions[partition]

    async def follow(self, topic: TopicState, partition: int) -> None:
        await self._try(topic)
        self.held[topic.name, partition] = "follow", topic.partitions[partition]

    async def stop(self, topic: TopicState, partition: int, *, delete: bool) -> None:
        await self._try(topic)
        self.held.pop((topic.name, partition), None)

    async def configure(self, topic: TopicState) -> None:
        await self._try(topic)
        self.configs[topic.name] = topic.configs


def wanted(view: PersistentMap[str, TopicState]) -> dict[PartitionKey, tuple[str, Any]]:
    return {
        (name, number): ("lead" if state.leader == NODE else "follow", state)
        for name, topic in view.items()
        for number, state in enumerate(topic.partitions)
        if NODE in state.replicas
    }


NAMES = st.sampled_from("abc")
TOPICS = st.lists(st.sampled_from(STATES), min_size=1, max_size=3).map(tuple)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), NAMES, TOPICS),
        st.tuples(st.just("remove"), NAMES, st.none()),
        st.tuples(st.just("break"), NAMES, st.none()),
        st.tuples(st.just("mend"), NAMES, st.none()),
        st.tuples(st.just("retry"), NAMES, st.none()),
    ),
    max_size=20,
)


@given(CHANGES)
def test_whatever_fails_the_last_view_is_reached(changes: list[tuple[str, str, Any]]) -> None:
    async def run() -> None:
        host = Host()
        reconciler: Reconciler[TopicState] = Reconciler(NODE, host)
        gone: dict[str, TopicState] = {}
        for what, name, partitions in changes:
            match what:
                case "put":
                    gone.pop(name, None)
                    state = TopicState(name, bytes(16), partitions, {})
                    await reconciler.apply(reconciler.view.updated({name: state}))
                case "remove" if name in reconciler.view:
                    gone[name] = reconciler.view[name]
                    if not (await reconciler.remove([gone[name]])).failed:
                        del gone[name]
                case "break":
                    host.broken.add(name)
                case "mend":
                    host.broken.discard(name)
                case "retry":
                    await reconciler.retry([name])
            if not host.broken:
                await reconciler.retry("abc")
                assert not reconciler.behind
        host.broken.clear()
        await reconciler.remove([*gone.values()])
        await reconciler.retry("abc")
        # No topic loses partitions, but for those that this test makes of one.
        counts = {name: len(topic.partitions) for name, topic in reconciler.view.items()}
        held = {key: value for key, value in host.held.items() if key[1] < counts.get(key[0], 0)}
        assert held == wanted(reconciler.view)
        assert not reconciler.behind
        assert not reconciler.owed

    asyncio.run(run())


def view_of(*topics: TopicState) -> PersistentMap[str, TopicState]:
    return PersistentMap({topic.name: topic for topic in topics})


async def test_a_start_is_the_difference_to_the_empty_view() -> None:
    host = Host(broken={"b"})
    reconciler: Reconciler[TopicState] = Reconciler(NODE, host)
    view = view_of(*(TopicState(name, name.encode() * 16, (HERE, HERE, FOLLOWED), {}) for name in "abc"))
    outcome = await reconciler.start(view, lambda topic, partition: (topic, partition) != ("c", 1))
    assert sorted(outcome.led) == [("a", 0), ("a", 1), ("c", 0)]
    # Each on its own merits: all three were tried.
    assert sorted(outcome.failed) == [("b", 0), ("b", 1), ("b", 2)]
    assert (reconciler.behind, host.calls) == ({"b": {0, 1, 2}}, 8)
    assert len((await reconciler.retry("b", each_on_its_own=True)).failed) == 3
    host.broken.clear()
    assert sorted((await reconciler.retry("b")).led) == [("b", 0), ("b", 1)]
    assert not reconciler.behind
    assert ("c", 1) not in host.held


async def test_the_first_obstacle_of_a_topic_ends_the_change_of_that_topic() -> None:
    host = Host(broken={"t"})
    reconciler: Reconciler[TopicState] = Reconciler(NODE, host)
    state = topic(*[HERE] * 100)
    outcome = await reconciler.apply(view_of(state))
    assert host.calls <= 16
    assert set(outcome.failed_topics) == {"t"}
    assert len(reconciler.behind["t"]) == 100
    assert len((await reconciler.retry(["t"])).failed) <= 16
    assert len(reconciler.behind["t"]) == 100
    host.broken.clear()
    assert len((await reconciler.retry(["t", "other"])).led) == 100


async def test_what_was_left_behind_is_over_when_its_topic_changes_or_goes() -> None:
    host = Host(broken={"t"})
    reconciler: Reconciler[TopicState] = Reconciler(NODE, host)
    await reconciler.apply(view_of(topic(HERE)))
    host.broken.clear()
    assert (await reconciler.apply(view_of(topic(NEXT_EPOCH)))).led == [("t", 0)]
    assert not reconciler.behind
    host.broken.add("t")
    await reconciler.apply(view_of(topic(HERE)))
    assert reconciler.behind
    # Not even the deletion can be done.
    assert set((await reconciler.apply(view_of())).failed) == {("t", 0)}
    assert (reconciler.behind, [*reconciler.owed]) == ({}, ["t"])
    host.broken.clear()
    assert not (await reconciler.retry(["t"])).failed
    assert not reconciler.owed


async def test_a_change_of_one_topic_asks_the_host_about_no_other() -> None:
    host = Host()
    reconciler: Reconciler[TopicState] = Reconciler(NODE, host)
    others = [TopicState(f"o{number}", bytes(16), (HERE,), {}) for number in range(500)]
    await reconciler.start(view_of(*others), lambda *_: True)
    before = host.calls
    await reconciler.apply(reconciler.view.updated({"o7": TopicState("o7", bytes(16), (NEXT_EPOCH,), {})}))
    assert host.calls == before + 1
    assert host.held["o7", 0] == ("lead", NEXT_EPOCH)


async def test_configs_that_are_not_taken_are_told_and_defaults_reach_all() -> None:
    host = Host()
    reconciler: Reconciler[TopicState] = Reconciler(NODE, host)
    await reconciler.apply(view_of(topic(HERE)))
    host.broken.add("t")
    outcome = await reconciler.apply(view_of(topic(HERE, a="b")))
    assert (set(outcome.unconfigured), outcome.failed, reconciler.behind) == ({"t"}, {}, {})
    host.broken.clear()
    await reconciler.configure_all()
    assert host.configs == {"t": {"a": "b"}}


async def test_another_topic_of_a_name_waits_until_the_former_one_is_deleted() -> None:
    """Its partitions are deleted first, once, and nothing else takes their place."""

    class Disk(Host):
        """One partition to a name, as in a log directory."""

        ids: dict[PartitionKey, bytes]

        async def lead(self, topic: TopicState, partition: int) -> None:
            await super().lead(topic, partition)
            if self.ids.setdefault((topic.name, partition), topic.topic_id) != topic.topic_id:
                raise KafkaError(ErrorCode.INCONSISTENT_TOPIC_ID, "another topic's")

        async def stop(self, topic: TopicState, partition: int, *, delete: bool) -> None:
            await super().stop(topic, partition, delete=delete)
            if self.ids.get((topic.name, partition)) == topic.topic_id:
                del self.ids[topic.name, partition]

    host = Disk()
    host.ids = {}
    reconciler: Reconciler[TopicState] = Reconciler(NODE, host)
    await reconciler.apply(view_of(topic(HERE, HERE, id_=1)))
    assert (await reconciler.apply(view_of(topic(HERE, id_=2)))).led == [("t", 0)]
    host.broken.add("t")
    for id_ in (3, 4):
        assert (await reconciler.apply(view_of(topic(HERE, id_=id_)))).failed
    assert (await reconciler.retry(["t"])).failed
    host.broken.clear()
    assert (await reconciler.retry(["t"])).led == [("t", 0)]
    assert host.ids == {("t", 0): bytes(15) + b"\x04"}
    assert not reconciler.behind
    assert not reconciler.owed


async def test_a_stop_that_failed_is_done_later_unless_the_partition_comes_back() -> None:
    host = Host()
    reconciler: Reconciler[TopicState] = Reconciler(NODE, host)
    await reconciler.apply(view_of(topic(HERE, HERE)))
    host.broken.add("t")
    assert (await reconciler.apply(view_of(topic(ELSEWHERE, ELSEWHERE)))).failed
    host.broken.clear()
    await reconciler.apply(view_of(topic(ELSEWHERE, NEXT_EPOCH)))
    await reconciler.retry(["t"])
    assert host.held == {("t", 1): ("lead", NEXT_EPOCH)}
    assert not reconciler.owed


async def test_a_defect_in_one_step_leaves_no_other_undone(caplog: pytest.LogCaptureFixture) -> None:
    class Defective(Host):
        defect: Exception | None = RuntimeError("can't start new thread")

        async def lead(self, topic: TopicState, partition: int) -> None:
            if topic.name == "a" and self.defect is not None:
                raise self.defect
            await super().lead(topic, partition)

    host = Defective()
    reconciler: Reconciler[TopicState] = Reconciler(NODE, host)
    view = view_of(*(TopicState(name, name.encode() * 16, (HERE,), {}) for name in "abc"))
    outcome = await reconciler.apply(view)
    assert sorted(outcome.led) == [("b", 0), ("c", 0)]
    assert (set(outcome.failed_topics), reconciler.behind) == ({"a"}, {"a": {0}})
    assert "can't start new thread" in caplog.text
    host.defect = None
    assert (await reconciler.retry(["a"])).led == [("a", 0)]


def test_every_action_is_one_of_the_table() -> None:
    assert {action.name for action in Action} == {"LEAD", "FOLLOW", "STOP", "DELETE", "CONFIGURE"}
