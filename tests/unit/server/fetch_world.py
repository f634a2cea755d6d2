"""Partitions to which everything happens that can, as fetches see them: over fake logs and fake I/O."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any, cast

from fastlog.coordination.cluster_view import ClusterView, PartitionState, TopicState
from fastlog.native import Log
from fastlog.replication.isr import InSyncSet
from fastlog.replication.news import PartitionNews
from fastlog.replication.partition import Partition, PartitionKey, ReplicaSettings
from fastlog.replication.purgatory import Purgatory
from fastlog.replication.replica_manager import ReplicaManager
from fastlog.server.fetch.sessions import FetchSessionCache
from fastlog.server.memory.response_memory import ResponseMemory
from fastlog.server.network.session import ListenerIdentity, Session
from fastlog.server.observability.metrics import BrokerMetrics
from fastlog.server.requests.turns import Turns
from tests.unit.replication.fakes import FakeLog, FakeLoop
from tests.unit.server.fetch.full_look import run_job

NODE = 1
TOPICS = [f"t{number}" for number in range(8)]
# One partition each: of those of a topic that goes one is told of first, and the others a moment later.
KEYS = [(topic, 0) for topic in TOPICS]


class FakeBuilder(list[Any]):
    """As `FetchRowBuilder`; `lots` are the numbers of rows that it got at once."""

    def __init__(self) -> None:
        super().__init__()
        self.lots: list[int] = []

    def add(self, rows: list[Any], start: int) -> None:
        """As `FetchRowBuilder.add`."""
        self.lots.append(len(rows) - start)
        self += rows[start:]


class FakeOutcomes:
    """As `FetchedRows`; `lots` are the numbers of rows that were taken at once."""

    def __init__(self, rows: list[tuple[int, int, int]]) -> None:
        self.rows = rows
        self.lots: list[int] = []

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """As `FetchedRows.part`."""
        self.lots.append(len(self.rows[start:stop]))
        return self.rows[start:stop]


class Io:
    """Reads at once; the answer is what it says, as text."""

    def fetch(
        self, version: int, correlation_id: int, rows: list[Any], *, error_code: int, **how: Any
    ) -> asyncio.Future[Any]:
        """As `IoLoop.fetch`."""
        total, said, outcomes = run_job(rows, how["max_bytes"], how["min_bytes"], error_code)
        answer = None if said is None else repr(int(error_code) or said).encode()
        future = asyncio.get_running_loop().create_future()
        future.set_result(
            (total, answer, FakeOutcomes(outcomes) if isinstance(rows, FakeBuilder) else outcomes)
        )
        return future

    def row_builder(self) -> FakeBuilder:
        """As `IoLoop.row_builder`."""
        return FakeBuilder()


class Exchange:
    """Notes the answer."""

    api_key = 1
    correlation_id = 7
    is_lost = False
    meter = None
    half_closed_since = None

    def __init__(self, answers: list[str]) -> None:
        self.answers = answers
        self.session = Session(ListenerIdentity("PLAINTEXT"))
        self.is_finishing = False
        self.operation: Any = None
        self.on_sent: Any = None

    def release(self) -> None:
        """As `Exchange.release`."""

    def reply(self, answer: memoryview) -> None:
        """As `Exchange.reply`: the peer takes it at once."""
        self.answers.append(bytes(answer).decode())
        self.on_sent()

    def close(self, reason: str, detail: object = None) -> None:
        """As `Exchange.close`."""
        raise AssertionError((reason, detail))


class Cluster:
    """Partitions to which everything happens that can."""

    def __init__(self, chance: random.Random, followers: tuple[int, ...] = ()) -> None:
        self.chance = chance
        self.followers = followers
        self.loop = FakeLoop()
        self.purgatory = Purgatory(self.loop)
        self.news = PartitionNews()
        self.moved: list[PartitionKey] = []
        self.appended: list[PartitionKey] = []
        self.replicas = ReplicaManager(NODE, self.moved.append, on_append=self.appended.append)
        self.view = ClusterView()
        self.generation = 0
        self.sessions = FetchSessionCache(self.loop.time, self.news)
        self.broker = cast(
            "Any",
            SimpleNamespace(
                loop=self.loop,
                cluster=self.view,
                io=Io(),
                replicas=self.replicas,
                purgatory=self.purgatory,
                fetch_sessions=self.sessions,
                response_memory=ResponseMemory(1 << 30),
                metrics=BrokerMetrics(),
                config=SimpleNamespace(fetch_max_bytes=55 << 20),
                logs=SimpleNamespace(offline_reason=lambda topic, partition: None),
                turns=Turns(asyncio.get_running_loop()),
                in_sync_sets=SimpleNamespace(propose=self.confirm),
            ),
        )
        for topic in TOPICS[:-2]:
            self.create(topic)

    def id_of(self, topic: str) -> bytes:
        """The id that a client knows: that of the topic now, or of one that is gone."""
        state = self.view.topics.get(topic)
        return (topic * 8).encode()[:16] if state is None else state.topic_id

    def create(self, topic: str) -> None:
        """A new topic."""
        self.generation += 1
        topic_id = f"{topic}-{self.generation}".encode().ljust(16, b"*")
        state = PartitionState(NODE, 1, (NODE,), (NODE,))
        self.view.put_topic(TopicState(topic, topic_id, (state,), {}))
        log = FakeLog()
        log.epochs = [(1, 0)]
        self.lead(topic, topic_id, log, 1)

    def lead(
        self,
        topic: str,
        topic_id: bytes,
        log: FakeLog | Log,
        epoch: int,
        settings: ReplicaSettings | None = None,
    ) -> None:
        """Leads a partition."""
        self.replicas.become_leader(
            topic,
            topic_id,
            0,
            cast("Log", log),
            leader_epoch=epoch,
            in_sync=self.some_members(),
            settings=settings or ReplicaSettings(),
            replicas=(NODE, *self.followers),
        )

    def some_members(self) -> frozenset[int]:
        """An in-sync set."""
        return frozenset([NODE, *(node for node in self.followers if self.chance.random() < 0.7)])

    def confirm(self, partition: Partition, wanted: InSyncSet) -> None:
        """The controller grants what the leader wants."""
        partition.on_isr_confirmed(wanted, wanted.proposed, wanted.partition_epoch + 1)

    def other_follower(self, replica: Partition, log: FakeLog) -> None:
        """The last follower fetches, from anywhere."""
        if replica.is_leader and self.followers and not replica.offline:
            offset = self.chance.choice([log.log_end_offset, self.chance.randint(0, log.log_end_offset)])
            wanted = replica.on_fetched(self.followers[-1], offset, 0)
            if wanted is not None:
                self.confirm(replica, wanted)

    def happen(self) -> None:
        """Something happens to a partition."""
        topic, partition = self.chance.choice(KEYS)
        replica = self.replicas.get(topic, partition)
        if topic not in self.view.topics:
            self.create(topic)
        elif replica is None:
            self.delete(topic)
        else:
            what = self.chance.choice(
                [self.append] * 6
                + [self.begin_transaction, self.end_transaction, self.cut, self.roll, self.configure]
                + [self.next_epoch, self.resign, self.truncate, self.fail, self.delete_topic_of]
                + [self.other_follower] * 4 * bool(self.followers)
            )
            what(replica, cast("FakeLog", replica.log))

    def append(self, replica: Partition, log: FakeLog) -> None:
        """Some records."""
        if replica.is_leader and not replica.offline:
            log.log_end_offset += self.chance.randint(1, 4)
            replica.on_appended(log.log_end_offset)

    def begin_transaction(self, replica: Partition, log: FakeLog) -> None:
        """Records that read_committed consumers do not get yet."""
        if log.unstable is None:
            log.unstable = log.log_end_offset
        self.append(replica, log)

    def end_transaction(self, replica: Partition, log: FakeLog) -> None:
        """A marker, perhaps of an abort: rows do not tell which."""
        if replica.is_leader and not replica.offline:
            log.unstable = None
            self.chance.randint(0, 1)
            self.append(replica, log)

    def cut(self, replica: Partition, log: FakeLog) -> None:
        """Retention, or a deletion of records."""
        start = self.chance.randint(log.log_start_offset, replica.high_watermark)
        if start > log.log_start_offset:
            log.log_start_offset = start
            if log.unstable is not None:
                log.unstable = max(log.unstable, start)
            replica.on_log_cut()

    def roll(self, replica: Partition, log: FakeLog) -> None:
        """Another segment; nobody is told before records are in it."""
        log.active_base = log.log_end_offset
        self.append(replica, log)

    def configure(self, replica: Partition, log: FakeLog) -> None:
        """zstd, or not any more."""
        replica.configure(ReplicaSettings(zstd=not replica.settings.zstd))

    def next_epoch(self, replica: Partition, log: FakeLog) -> None:
        """It leads on, or again."""
        epoch = replica.leader_epoch + 1
        log.epochs.append((epoch, log.log_end_offset))
        replica.lead(epoch, self.some_members(), replicas=(NODE, *self.followers))

    def resign(self, replica: Partition, log: FakeLog) -> None:
        """Another broker leads."""
        replica.resign(2, replica.leader_epoch + 1)

    def truncate(self, replica: Partition, log: FakeLog) -> None:
        """Comes back with less: what another leader never had."""
        shorter = FakeLog(self.chance.randint(log.log_start_offset, log.log_end_offset), log.log_start_offset)
        epoch = replica.leader_epoch + 1
        kept = [(known, start) for known, start in log.epochs if start <= shorter.log_end_offset]
        shorter.epochs = [*kept, (epoch, shorter.log_end_offset)]
        self.lead(replica.key[0], replica.topic_id, shorter, epoch)

    def fail(self, replica: Partition, log: FakeLog) -> None:
        """The disk is gone; a moment later the topic is made anew."""
        if replica.offline:
            self.delete(replica.key[0])
        else:
            replica.take_offline()

    def delete_topic_of(self, replica: Partition, log: FakeLog) -> None:
        """Deletes the topic."""
        self.delete(replica.key[0])

    def delete(self, topic: str) -> None:
        """A topic goes."""
        self.view.remove_topic(topic)
        self.replicas.remove(topic, 0)
