"""Any sequence of what may happen to a cluster keeps what must always hold of its partitions.

Brokers fail, bounce and shut down, directories go offline, leaders change in-sync sets, partitions move,
controllers change, writes meet the writes of others or fail. Every write, and every request, is looked at.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastlog.coordination.controller import brokers, reassignment
from fastlog.coordination.controller.alter_partition import alter_partitions
from fastlog.coordination.controller.balance import imbalanced
from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.data import NO_LEADER, Leadership
from fastlog.coordination.controller.elections import Election
from fastlog.coordination.controller.flow import Failed, Flow, StateWrite, WriteResult
from fastlog.coordination.controller.partition_machine import pending_to_online, to_online
from fastlog.errors import ErrorCode, KafkaError
from fastlog.replication.partition import PartitionKey
from fastlog.wire.messages.alter_partition import (
    AlterPartitionData,
    AlterPartitionRequest,
    AlterPartitionTopic,
    BrokerState,
)
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest
from tests.unit.coordination.controller.world import World, live

IDS = (1, 2, 3, 4)
BROKERS = st.sampled_from(IDS)
REPLICAS = st.lists(BROKERS, unique=True, min_size=1, max_size=3)
KEYS = st.integers(0, 3).map(lambda number: ("t", number))


class CheckedWorld(World):
    """Looks at each write. `refuse` of the next writes fail."""

    def __init__(self) -> None:
        super().__init__(IDS)
        self.leaders: dict[tuple[PartitionKey, int], int] = {}
        self.forced = False
        self.refuse = 0
        self.refused = False

    def _write(self, write: StateWrite) -> WriteResult:
        if self.refuse:
            self.refuse -= 1
            self.refused = True
            return Failed("told to")
        before = self.nodes.get(write.key)
        result = super()._write(write)
        after = self.nodes.get(write.key)
        if after is not None and after is not before:
            self._look_at(write.key, before, after)
        return result

    def _look_at(self, key: PartitionKey, before: Leadership | None, after: Leadership) -> None:
        assert after.isr, "nobody is in sync"
        assert len(set(after.isr)) == len(after.isr)
        assert after.leader == NO_LEADER or after.leader in after.isr
        assert after.controller_epoch == self.context.epoch
        if after.leader != NO_LEADER:
            assert self.leaders.setdefault((key, after.leader_epoch), after.leader) == after.leader
        if before is None:
            assert (after.leader_epoch, after.partition_epoch) == (0, 0)
            return
        assert after.partition_epoch == before.partition_epoch + 1
        assert after.leader_epoch >= before.leader_epoch
        if after.leader != before.leader:
            assert after.leader_epoch > before.leader_epoch
        if after.leader not in (*before.isr, NO_LEADER):
            assert self.forced or "t" in self.unclean, "an unclean election that nobody allowed"
            assert after.recovering
            assert after.isr == (after.leader,)
            assert not any(self.context.is_online(member, key) for member in before.isr)


class ControllerModel(RuleBasedStateMachine):
    """A topic of four partitions on four brokers."""

    def __init__(self) -> None:
        super().__init__()
        self.world = CheckedWorld()
        # The leader epoch that each broker was last told in this life.
        self.told: dict[int, dict[PartitionKey, int]] = {broker: {} for broker in IDS}

    @initialize(replicas=st.lists(REPLICAS, min_size=4, max_size=4))
    def create(self, replicas: list[list[int]]) -> None:
        self.world.create("t", *replicas)
        for key in self.context.partitions():
            for broker in self.context.assignment(key).replicas:
                self.told[broker][key] = 0

    @property
    def context(self) -> ControllerContext:
        return self.world.context

    def run(self, flow: Flow[object]) -> None:
        self.world.run(flow)
        for broker, message in self.world.sent:
            assert message.broker_epoch == self.context.brokers[broker].epoch
            if not isinstance(message, LeaderAndIsrRequest):
                continue
            for topic in message.topic_states:
                for state in topic.partition_states:
                    key = (topic.topic_name, state.partition_index)
                    if state.leader != NO_LEADER:
                        assert self.world.leaders[key, state.leader_epoch] == state.leader
                    assert state.leader_epoch >= self.told[broker].get(key, 0)
                    self.told[broker][key] = state.leader_epoch
        self.world.forget()

    def registered(self, broker: int) -> bool:
        return broker in self.context.brokers

    @rule(broker=BROKERS)
    def fail(self, broker: int) -> None:
        if self.registered(broker):
            self.run(brokers.brokers_failed(self.context, [broker]))

    @rule(failed=st.sets(BROKERS, min_size=1))
    def fail_together(self, failed: set[int]) -> None:
        self.run(brokers.brokers_failed(self.context, sorted(filter(self.registered, failed))))

    @rule(broker=BROKERS)
    def start(self, broker: int) -> None:
        if self.registered(broker):
            self.run(brokers.brokers_failed(self.context, [broker]))
        self.told[broker] = {}
        self.run(brokers.brokers_started(self.context, [live(broker, self.world.next_zxid())]))
        self.run(reassignment.resume(self.context, [broker]))

    @rule(broker=BROKERS)
    def shut_down(self, broker: int) -> None:
        if self.registered(broker):
            self.run(brokers.controlled_shutdown(self.context, broker, self.context.brokers[broker].epoch))

    @rule(broker=BROKERS, key=KEYS)
    def lose_directory(self, broker: int, key: PartitionKey) -> None:
        """Until the broker starts again."""
        if broker in self.context.assignment(key).replicas:
            answer = {key: ErrorCode.KAFKA_STORAGE_ERROR}
            self.run(brokers.directories_answer(self.context, broker, answer))

    @rule(key=KEYS, members=st.sets(BROKERS))
    def alter(self, key: PartitionKey, members: set[int]) -> None:
        now = self.world.nodes.get(key)
        if now is None or not self.registered(now.leader):
            return
        wanted = [BrokerState(broker) for broker in sorted(members | {now.leader})]
        data = AlterPartitionData(
            partition_index=key[1],
            leader_epoch=now.leader_epoch,
            new_isr_with_epochs=wanted,
            partition_epoch=now.partition_epoch,
        )
        topic = AlterPartitionTopic(topic_id=self.context.topic_id("t"), partitions=[data])
        epoch = self.context.brokers[now.leader].epoch
        request = AlterPartitionRequest(now.leader, epoch, [topic])
        altered = self.world.run(alter_partitions(self.context, request, 3))
        self.run(reassignment.complete(self.context, altered.changed))

    @rule(key=KEYS, replicas=REPLICAS | st.none())
    def reassign(self, key: PartitionKey, replicas: list[int] | None) -> None:
        try:
            wanted = reassignment.check_reassignment(self.context, key, replicas)
        except KafkaError:
            return
        self.run(reassignment.reassign(self.context, key, wanted))

    @rule(allowed=st.booleans())
    def unclean(self, allowed: bool) -> None:
        self.world.unclean = {"t"} if allowed else set()
        self.run(pending_to_online(self.context))

    @rule(key=KEYS)
    def force(self, key: PartitionKey) -> None:
        self.world.forced = True
        self.run(to_online(self.context, [key], Election.UNCLEAN))
        self.world.forced = False

    @rule()
    def balance(self) -> None:
        self.run(to_online(self.context, imbalanced(self.context, 10), Election.PREFERRED))

    @rule(away=st.sets(BROKERS), restarted=st.sets(BROKERS))
    def change_controller(self, away: set[int], restarted: set[int]) -> None:
        """The next controller finds what is stored; brokers died or restarted, and nobody saw it."""
        fresh = ControllerContext(self.context.epoch + 1)
        for broker, known in self.context.brokers.items():
            if broker in restarted:
                self.told[broker] = {}
                fresh.put_broker(replace(known, epoch=self.world.next_zxid()))
            elif broker not in away:
                fresh.put_broker(known)
        for topic, partitions in self.world.assignments.items():
            fresh.put_topic(topic, self.context.topic_id(topic))
            for number, assignment in partitions.items():
                fresh.put_assignment((topic, number), assignment)
        for key, now in self.world.nodes.items():
            fresh.put_leadership(key, now)
        self.world.context = fresh
        reassignment.begin(fresh)
        self.run(brokers.take_over(fresh))
        self.run(reassignment.resume(fresh))

    @rule(key=KEYS)
    def change_behind(self, key: PartitionKey) -> None:
        """A state has another version than the controller knows."""
        now = self.world.nodes.get(key)
        if now is not None:
            self.world.nodes[key] = replace(now, partition_epoch=now.partition_epoch + 3)

    @precondition(lambda self: not self.world.refused)
    @rule(count=st.integers(1, 3))
    def refuse_writes(self, count: int) -> None:
        self.world.refuse = count

    @invariant()
    def the_context_knows_what_is_stored(self) -> None:
        for key, stored in self.world.nodes.items():
            known = self.context.leadership(key)
            assert known is not None
            assert replace(known, partition_epoch=0) == replace(stored, partition_epoch=0)
        assert dict(self.context.topics["t"]) == self.world.assignments["t"]

    @invariant()
    def members_are_replicas(self) -> None:
        if not self.world.refused:
            for key, now in self.world.nodes.items():
                assert set(now.isr) <= set(self.context.assignment(key).replicas)

    @invariant()
    def who_can_be_led_is_led(self) -> None:
        if self.world.refused:
            return
        for key, now in self.world.nodes.items():
            replicas = self.context.assignment(key).replicas
            able = [r for r in replicas if r in now.isr and self.context.is_online(r, key)]
            if able:
                assert self.context.is_online(now.leader, key, or_shutting_down=True)

    @invariant()
    def replicas_know_their_leader(self) -> None:
        if self.world.refused:
            return
        for key, now in self.world.nodes.items():
            for replica in self.context.assignment(key).replicas:
                if now.leader != NO_LEADER and self.context.is_online(replica, key):
                    assert self.told[replica].get(key) == now.leader_epoch


TestControllerModel = ControllerModel.TestCase
TestControllerModel.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
