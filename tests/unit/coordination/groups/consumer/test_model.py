"""Random histories of a consumer group: nobody ever owns what another one has not given up."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fastlog.coordination.groups.classic.state import GroupState
from fastlog.coordination.groups.consumer import leaving, targets
from fastlog.coordination.groups.consumer.assignors.spec import TopicPartition
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.coordination.groups.consumer.targets import Plan, plan_targets, take_targets
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.groups.consumer.classic import ClassicClient
from tests.unit.coordination.groups.consumer.world import Client, ConsumerWorld, converge

NAMES = ("t", "u", "v")
SUBSCRIPTIONS = st.lists(st.sampled_from(NAMES), min_size=1, unique=True).map(tuple)
REGEXES = st.sampled_from([None, "[tu]", "v|t", ".*"])
WHICH = st.integers(0, 100)


class Histories(RuleBasedStateMachine):
    """Clients join, leave, vanish and lose answers while topics come and grow and the broker restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.world = ConsumerWorld(t=3)
        self.clients: list[Client] = []
        self.classics: list[ClassicClient] = []
        self.count = 0
        self.epochs: dict[str, int] = {}
        self.group_epoch = 0

    def pick(self, which: int) -> Client:
        return self.clients[which % len(self.clients)]

    @precondition(lambda self: len(self.clients) < 5)
    @rule(topics=SUBSCRIPTIONS, regex=REGEXES, static=st.booleans())
    def join(self, topics: tuple[str, ...], regex: str | None, static: bool) -> None:
        self.count += 1
        name = f"m{self.count}"
        client = Client(self.world, name, topics, regex, instance_id=f"i{name}" if static else None)
        self.clients.append(client)
        client.beat()

    @precondition(lambda self: self.clients and len(self.classics) < 3)
    @rule(topics=SUBSCRIPTIONS, cooperative=st.booleans())
    def join_classic(self, topics: tuple[str, ...], cooperative: bool) -> None:
        self.count += 1
        self.classics.append(ClassicClient(self.world, f"c{self.count}", topics, cooperative))
        self.classics[-1].beat()

    @precondition(lambda self: self.classics)
    @rule(which=WHICH)
    def beat_classic(self, which: int) -> None:
        self.classics[which % len(self.classics)].beat()

    @precondition(lambda self: self.classics)
    @rule(which=WHICH)
    def join_and_sync_late(self, which: int) -> None:
        client = self.classics[which % len(self.classics)]
        client.join()
        self.rest_of_all(client)
        client.sync()

    @precondition(lambda self: self.classics)
    @rule(which=WHICH)
    def leave_classic(self, which: int) -> None:
        client = self.classics.pop(which % len(self.classics))
        client.leave()
        self.epochs.pop(client.member_id, None)

    def rest_of_all(self, but: ClassicClient) -> None:
        """Everybody else is heard once."""
        for number in range(len(self.clients) - 1, -1, -1):
            self.beat(number)
            self.nobody_owns_what_another_has()
        for classic in self.classics:
            if classic is not but:
                classic.beat()
                self.nobody_owns_what_another_has()

    @precondition(lambda self: self.clients)
    @rule(which=WHICH)
    def beat(self, which: int) -> None:
        client = self.pick(which)
        try:
            client.beat()
        except KafkaError as error:
            # Too many answers were lost: it gives up everything, and is forgotten when its session ends.
            assert error.code is ErrorCode.FENCED_MEMBER_EPOCH
            self.clients.remove(client)

    @precondition(lambda self: len(self.clients) > 1)
    @rule(which=WHICH, others=st.integers(1, 3))
    def late_answer(self, which: int, others: int) -> None:
        """An answer is under way while others send heartbeats."""
        client = self.pick(which)
        try:
            result = self.world.send(client.request())
        except KafkaError as error:
            assert error.code is ErrorCode.FENCED_MEMBER_EPOCH
            client.is_unsure = True
            return
        for number in range(others):
            other = self.pick(which + 1 + number)
            if other is not client:
                self.beat(self.clients.index(other))
                self.nobody_owns_what_another_has()
        client.take(result)

    @precondition(lambda self: self.clients)
    @rule(which=WHICH)
    def lose_answer(self, which: int) -> None:
        client = self.pick(which)
        try:
            client.lose_answer()
        except KafkaError as error:
            assert error.code is ErrorCode.FENCED_MEMBER_EPOCH
            client.is_unsure = True

    @precondition(lambda self: self.clients)
    @rule(which=WHICH, topics=SUBSCRIPTIONS, regex=REGEXES)
    def change_subscription(self, which: int, topics: tuple[str, ...], regex: str | None) -> None:
        client = self.pick(which)
        client.topics, client.regex, client.is_unsure = topics, regex or "", True

    @precondition(lambda self: self.clients)
    @rule(which=WHICH)
    def leave(self, which: int) -> None:
        client = self.pick(which)
        client.leave()
        self.clients.remove(client)
        self.epochs.pop(client.member_id, None)

    @precondition(lambda self: self.clients)
    @rule(which=WHICH)
    def restart_static(self, which: int) -> None:
        client = self.pick(which)
        if client.instance_id is not None:
            client.leave(-2)
            self.count += 1
            client.member_id = f"m{self.count}"
            client.beat()

    @precondition(lambda self: self.clients)
    @rule(which=WHICH)
    def vanish(self, which: int) -> None:
        """Its session ends; that of everybody else does not."""
        client = self.pick(which)
        group = self.world.group
        if client.member_id in group.members:
            for key in list(group.deadlines):
                group.deadlines[key] = 1e12
            lost = group.members[client.member_id]
            group.start_session(lost, self.world.now())
            assert set(self.world.pass_time(60_000)) == {client.member_id}
        self.clients.remove(client)

    @rule(name=st.sampled_from(NAMES), more=st.integers(1, 3))
    def grow(self, name: str, more: int) -> None:
        found = self.world.topics.find(name)
        self.world.topics.put(name, more + (found[1] if found else 0))

    @rule(name=st.sampled_from(NAMES))
    def drop(self, name: str) -> None:
        if self.world.topics.find(name):
            self.world.topics.drop(name)

    @rule()
    def resolve(self) -> None:
        if self.world.group.wants_regexes:
            self.world.resolve_regexes()

    @rule()
    def restart(self) -> None:
        before = self.world.image()
        self.world.restart()
        assert self.world.image() == before

    @rule(which=WHICH, topics=SUBSCRIPTIONS, regex=REGEXES, what=st.integers(0, 4))
    def change_that_is_refused(
        self, which: int, topics: tuple[str, ...], regex: str | None, what: int
    ) -> None:
        """The log takes nothing of it: the group is what it was."""
        world, before = self.world, self.world.image()
        world.refuses = True
        with suppress(KafkaError):
            if what == 0 or not self.clients:
                world.send(Client(world, "refused", topics, regex).request())
            elif what == 1:
                world.send(self.pick(which).request())
            elif what == 2:
                world.send(self.pick(which).request(epoch=-1))
            elif what == 3:
                world.send(replace(self.pick(which).request(), topics=topics, regex=regex or ""))
            else:
                leaving.expel(world.group, [client.member_id for client in self.clients], world.topics)
                world.store()
        world.refuses = False
        assert world.image() == before

    @rule()
    def rest(self) -> None:
        """Everybody is heard: the group comes to the target, and the target is complete."""
        group = self.world.group
        for client in list(self.clients):
            try:
                client.beat()
            except KafkaError:
                self.clients.remove(client)
        known = {client.member_id for client in [*self.clients, *self.classics]}
        for member_id in set(group.members) - known:
            for key in list(group.deadlines):
                group.deadlines[key] = 1e12
            group.start_session(group.members[member_id], self.world.now())
            self.world.pass_time(60_000)
        converge(*self.clients, *self.classics)
        self.world.resolve_regexes()
        converge(*self.clients, *self.classics)
        named = [name for member in group.members.values() for name in member.details.topics]
        assert group._names == Counter(named)
        wanted = {
            (found[0], number)
            for name in group.subscribed_topics()
            if (found := self.world.topics.find(name)) is not None
            for number in range(found[1])
        }
        owned = [key for _, key in self.all_owned()]
        if self.clients or not self.classics:
            assert sorted(owned) == sorted(wanted)
            assert group.state is (GroupState.STABLE if self.clients else GroupState.EMPTY)
        for client in self.clients:
            assert client.owned == group.targets[client.member_id]

    @invariant()
    def nobody_owns_what_another_has(self) -> None:
        seen: dict[object, str] = {}
        for member_id, key in self.all_owned():
            assert key not in seen, f"{key} is owned by {seen[key]} and {member_id}"
            seen[key] = member_id

    def all_owned(self) -> list[tuple[str, TopicPartition]]:
        """(member id, partition) of everybody who is in the group."""
        members = self.world.group.members
        found = [
            (client.member_id, key)
            for client in self.clients
            if client.member_id in members
            for key in client.owned
        ]
        for classic in self.classics:
            if classic.member_id in members:
                found += [(classic.member_id, key) for key in classic.owned_ids]
        return found

    @invariant()
    def epochs_rise(self) -> None:
        group = self.world.group
        assert group.epoch >= self.group_epoch
        self.group_epoch = group.epoch
        assert group.assignment_epoch <= group.epoch
        for member_id, member in group.members.items():
            assert member.position.epoch >= self.epochs.get(member_id, 0)
            assert member.position.epoch <= group.assignment_epoch
            self.epochs[member_id] = member.position.epoch

    @invariant()
    def the_log_tells_the_same(self) -> None:
        assert self.world.image(self.world.loaded()) == self.world.image()


class LargeHistories(Histories):
    """The same for a group whose targets are made beside requests, and may be late."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(targets, "MOST_STEPS_AT_ONCE", -1)
        self.plan: tuple[ConsumerGroup, Plan] | None = None

    @precondition(lambda self: self.world.group.wants_targets)
    @rule()
    def begin_run(self) -> None:
        self.plan = self.world.group, plan_targets(self.world.group, self.world.topics)

    @precondition(lambda self: self.plan is not None)
    @rule()
    def end_run(self) -> None:
        assert self.plan is not None
        (group, plan), self.plan = self.plan, None
        if group is not self.world.group:
            # The broker was started again meanwhile.
            return
        take_targets(group, plan.make())
        group.wants_targets = group.epoch > group.assignment_epoch
        self.world.store()

    @invariant()
    def nobody_is_told_to_join(self) -> None:
        assert all(client.epoch > 0 for client in self.clients if not client.is_unsure)

    def teardown(self) -> None:
        self.patch.undo()


TestLargeHistories = LargeHistories.TestCase
TestLargeHistories.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)


def test_of_a_topic_that_is_made_again_a_classic_member_owns_nothing() -> None:
    """What it goes on reading under the old name is not its own, and it learns so with its next heartbeat."""
    state = Histories()
    for step in (
        lambda: state.join(regex=None, static=False, topics=("t",)),
        lambda: state.join_classic(cooperative=False, topics=("t",)),
        state.rest,
        lambda: state.drop(name="t"),
        lambda: state.leave(which=0),
        lambda: state.grow(more=2, name="t"),
        lambda: state.join(regex=None, static=False, topics=("t",)),
        lambda: state.grow(more=1, name="t"),
        lambda: state.join(regex=None, static=False, topics=("t",)),
        state.rest,
    ):
        step()
        state.nobody_owns_what_another_has()
