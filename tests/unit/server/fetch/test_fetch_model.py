"""A session that looks only at what moved says what one says that looks at everything, whatever happens."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

import pytest

from fastlog.errors import ErrorCode
from fastlog.native.shapes import FetchPlanRow, ForgottenPartition
from fastlog.replication.partition import PartitionKey
from fastlog.server.fetch import operation, rows
from fastlog.server.fetch.fetch_context import FetchContext
from fastlog.server.fetch.operation import FetchOperation
from fastlog.server.fetch.rows import FetchTerms
from tests.unit.server.fetch.full_look import FullLook
from tests.unit.server.fetch_world import KEYS, Cluster, Exchange

STEPS = 300


class Client:
    """Asks the broker and the full look for the same."""

    def __init__(self, cluster: Cluster, *, by_id: bool, with_session: bool, replica: int = -1) -> None:
        self.replica = replica
        self.cluster, self.chance = cluster, cluster.chance
        self.by_id = by_id
        self.with_session = with_session
        self.expected: list[str] = []
        self.answers: list[str] = []
        self.model = FullLook(cluster.broker, lambda said: self.expected.append(repr(said)))
        self.session_id, self.epoch, self.asked = 0, 0, 0
        self.context: FetchContext | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether its request is not answered yet."""
        return self.context is not None and len(self.answers) < self.asked

    def row(self, key: PartitionKey) -> FetchPlanRow:
        """What a client may ask of a partition, right or wrong."""
        chance, (topic, partition) = self.chance, key
        replica = self.cluster.replicas.find(key)
        end, start, epoch = 0, 0, 1
        if replica is not None:
            end, start = replica.log.log_end_offset, replica.log.log_start_offset
            epoch = replica.leader_epoch
        offset = chance.choice([end] * 6 + [start, start - 1, end + 1, chance.randint(start, end)])
        known = chance.choice([-1] * 3 + [epoch] * 3 + [epoch - 1, epoch + 1])
        last = chance.choice([-1, -1, epoch, epoch, epoch - 1])
        most = chance.choice([100, 250, 1000])
        named = (None, self.cluster.id_of(topic)) if self.by_id else (topic, None)
        return (*named, partition, known, offset, last, -1, most)

    def ask(self) -> None:
        """The next request. One that waits for the session is overtaken."""
        chance, sessions = self.chance, self.cluster.sessions
        if chance.random() < 0.05 or not self.with_session:
            self.session_id, self.epoch = (self.session_id, 0) if self.with_session else (0, -1)
        if not self.with_session and self.is_waiting:
            return
        overtaken = self.model.is_waiting
        if self.epoch <= 0:
            rows = [self.row(key) for key in chance.sample(KEYS, chance.randint(1, len(KEYS)))]
            forgotten: list[ForgottenPartition] = []
            self.model.entries.clear()
            error = ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        else:
            rows = [self.row(key) for key in chance.sample(KEYS, chance.choice([0, 0, 0, 1, 2, 4]))]
            known = [key for key in self.model.entries if key not in {self._key(row) for row in rows}]
            gone = chance.sample(known, min(chance.choice([0, 0, 0, 1]), max(0, len(known) - 1)))
            forgotten = [
                (None, name, partition) if isinstance(name, bytes) else (name, None, partition)
                for name, partition in gone
            ]
            error = ErrorCode.INVALID_FETCH_SESSION_EPOCH
        if overtaken:
            self.expected.append(repr(int(error)))
        context = sessions.open(self.session_id, self.epoch, rows, forgotten, uses_ids=self.by_id)
        assert not context.error_code
        self.model.change(rows, forgotten)
        self.model.incremental = context.is_incremental
        version = chance.choice([13, 13, 16]) if self.by_id else chance.choice([5, 9, 12, 12, 12])
        terms = FetchTerms(version, chance.choice([0, 0, 0, 1]), self.replica)
        min_bytes = chance.choice([1, 1, 300, 700])
        # Where there is no room for what is readable, the broker looks again in vain, and at newer facts.
        max_bytes = chance.choice([300 if min_bytes <= 1 else 1000, 1000, 10_000])
        if self.with_session and not context.is_incremental:
            min_bytes = 0
        FetchOperation(
            self.cluster.broker,
            cast("Any", Exchange(self.answers)),
            context,
            terms=terms,
            max_wait_ms=500,
            min_bytes=min_bytes,
            max_bytes=max_bytes,
        ).start()
        self.asked += 1
        self.context = context
        self.model.begin(terms, min_bytes=min_bytes, max_bytes=max_bytes)

    def answered(self) -> None:
        """Notes the session."""
        if self.context is not None and self.with_session:
            session = self.context.session
            assert session is not None
            self.session_id, self.epoch = session.id, session.epoch

    def _key(self, row: FetchPlanRow) -> Any:
        return (row[0] if row[1] is None else row[1], row[2])


async def settle() -> None:
    """Lets reads end, and looks that take turns."""
    for _ in range(12):
        await asyncio.sleep(0)


async def play(seed: int, *, by_id: bool, with_session: bool, follows: bool = False) -> tuple[int, int]:
    """A random sequence; how many answers there were, and how many partitions they told of."""
    chance = random.Random(seed)
    cluster = Cluster(chance, (2, 3) if follows else ())
    client = Client(cluster, by_id=by_id, with_session=with_session, replica=2 if follows else -1)
    for step in range(STEPS):
        cluster.moved.clear()
        cluster.appended.clear()
        if chance.random() < 0.4:
            client.ask()
            # What a follower has brought about by asking.
            for key in cluster.moved:
                cluster.news.tell(key)
            if follows:
                assert client.model.unnoted(2) == [], f"step {step} of seed {seed}"
        elif chance.random() < 0.2:
            # Each client's own time is up first in the model: nothing else happens at that moment.
            cluster.loop.advance(0.6)
            client.model.expire()
        else:
            # All of it at one moment: who leads no more, and who leads instead.
            cluster.happen()
            for key in cluster.moved:
                cluster.news.tell(key)
            for key in cluster.appended:
                cluster.news.tell_append(key)
            for key in [*cluster.moved, *cluster.appended]:
                client.model.moved(key)
        await settle()
        assert client.answers == client.expected, f"step {step} of seed {seed}"
        assert client.is_waiting == client.model.is_waiting, f"step {step} of seed {seed}"
        client.answered()
    cluster.loop.advance(0.6)
    await settle()
    if client.session_id:
        cluster.sessions.open(client.session_id, -1, [], [], uses_ids=by_id)
    assert (len(cluster.news), len(cluster.sessions), len(cluster.purgatory)) == (0, 0, 0)
    return len(client.answers), sum(answer.count("(") for answer in client.answers)


@pytest.mark.parametrize("in_turns", [False, True])
@pytest.mark.parametrize("with_session", [True, False])
@pytest.mark.parametrize("by_id", [False, True])
async def test_it_answers_what_a_full_look_answers(
    monkeypatch: pytest.MonkeyPatch, by_id: bool, with_session: bool, in_turns: bool
) -> None:
    if in_turns:
        monkeypatch.setattr(rows, "PARTITIONS_PER_STEP", 2)
        monkeypatch.setattr(operation, "PARTITIONS_PER_STEP", 2)
    for seed in range(12):
        answers, told = await play(seed, by_id=by_id, with_session=with_session)
        assert answers > 20
        assert told > 20


@pytest.mark.parametrize("with_session", [True, False])
@pytest.mark.parametrize("by_id", [False, True])
async def test_followers_are_answered_so_too(by_id: bool, with_session: bool) -> None:
    for seed in range(12):
        answers, told = await play(seed, by_id=by_id, with_session=with_session, follows=True)
        assert answers > 20
        assert told > 20
