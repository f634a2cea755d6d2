"""Random clients, appends that fail or are only said to, markers that are lost, other leaderships: whatever
happens, all records of a transaction have one fate, and it is the one that its client was told.

Clients speak one of the two protocols. Each id has now and then a second client, which fences the first. The
partitions' leaders do what Kafka's do: a write is verified (or added) first, a marker of an older epoch or
coordinator is refused.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from fastlog.coordination.transactions import changes, markers
from fastlog.coordination.transactions.completions import Marker
from fastlog.coordination.transactions.records import encode_key, encode_value
from fastlog.coordination.transactions.state import MAX_EPOCH, PREPARED, TopicPartition, TransactionState
from fastlog.coordination.transactions.verdicts import Granted, Refused
from fastlog.errors import ErrorCode
from tests.unit.coordination.transactions.world import World, turns

E = ErrorCode
PARTITIONS = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
AGAIN = {
    E.CONCURRENT_TRANSACTIONS,
    E.COORDINATOR_NOT_AVAILABLE,
    E.COORDINATOR_LOAD_IN_PROGRESS,
    E.NOT_COORDINATOR,
}
TIMEOUT_MS = 1000
NOT_IN_LOG = (E.NOT_ENOUGH_REPLICAS, E.UNKNOWN_TOPIC_OR_PARTITION)
MAYBE_IN_LOG = (E.REQUEST_TIMED_OUT, E.NOT_ENOUGH_REPLICAS_AFTER_APPEND)


@dataclass
class Leader:
    """One partition: who has written what in a transaction that is open."""

    epochs: dict[int, int] = field(default_factory=dict)
    coordinators: dict[int, int] = field(default_factory=dict)
    open: dict[int, list[int]] = field(default_factory=dict)

    def write(self, producer_id: int, epoch: int, serial: int) -> bool:
        """A record, if the producer is not fenced."""
        if epoch < self.epochs.get(producer_id, -1):
            return False
        self.epochs[producer_id] = epoch
        self.open.setdefault(producer_id, []).append(serial)
        return True

    def mark(self, marker: Marker, fates: dict[int, set[bool]]) -> E:
        """Appends a marker."""
        known, who = self.epochs.get(marker.producer_id, -1), marker.producer_id
        is_old = marker.epoch < known
        if marker.version >= 2 and marker.epoch == known:
            is_old = who in self.open
        if is_old:
            return E.INVALID_PRODUCER_EPOCH
        if marker.coordinator_epoch < self.coordinators.get(who, -1):
            return E.TRANSACTION_COORDINATOR_FENCED
        self.epochs[who], self.coordinators[who] = marker.epoch, marker.coordinator_epoch
        for serial in self.open.pop(who, ()):
            fates[serial].add(marker.commits)
        return E.NONE


@dataclass
class Client:
    """A producer with a transactional id: one request at a time, again when it has to be."""

    name: str
    version: int
    identity: tuple[int, int] | None = None
    serial: int = -1
    asking: asyncio.Task[Any] | None = None
    ask: Any = None
    """What was asked for last, as something to be asked for again."""
    has_added: bool = False


class Model:
    def __init__(self, seed: int, world: World) -> None:
        self.random = random.Random(seed)
        self.world = world
        self.leaders: defaultdict[TopicPartition, Leader] = defaultdict(Leader)
        self.fates: defaultdict[int, set[bool]] = defaultdict(set)
        self.written: defaultdict[int, set[TopicPartition]] = defaultdict(set)
        self.told: dict[int, bool] = {}
        self.serials = 0
        self.clients = [
            Client(f"t{number // 2}", version)
            for number, version in enumerate((0, 0, 2, 2, self.random.choice((0, 2)), 2))
        ]
        world.appends.at_once = False
        world.target.write_at_once = None
        self.did: list[str] = []

    # -- clients --------------------

    def begin(self, client: Client) -> None:
        """What a client does next."""
        if client.ask is None:
            client.ask = self.next_of(client)
        client.asking = asyncio.ensure_future(client.ask())

    def next_of(self, client: Client) -> Any:
        if client.identity is None:
            return lambda: self.init(client, None)
        if not client.has_added and self.random.random() < 0.1:
            identity = self.random.choice((None, client.identity))
            return lambda: self.init(client, identity)
        if client.has_added and self.random.random() < 0.4:
            commits = self.random.random() < 0.6
            return lambda: self.end(client, commits)
        if client.serial < 0:
            self.serials += 1
            client.serial = self.serials
        partition = self.random.choice(PARTITIONS)
        return lambda: self.add(client, partition)

    async def init(self, client: Client, identity: tuple[int, int] | None) -> E:
        answer = await self.world.service.init_producer_id(client.name, TIMEOUT_MS, identity)
        if isinstance(answer, Refused):
            return answer.code
        client.identity = answer.producer_id, answer.epoch
        client.serial, client.has_added = -1, False
        return E.NONE

    async def add(self, client: Client, partition: TopicPartition) -> E:
        """Adds a partition, and writes to it."""
        identity, service = client.identity, self.world.service
        assert identity is not None
        code = await service.add_partitions(client.name, identity, frozenset({partition}), client.version)
        if code is not E.NONE:
            return code
        client.has_added = True
        if client.version < 2:
            verified = service.verify_partitions(client.name, identity, frozenset({partition}))
            if isinstance(verified, E) or verified[partition] is not E.NONE:
                return verified if isinstance(verified, E) else verified[partition]
        elif self.is_changed(client.name, identity):
            # The leader has waited for the answer, and a marker came before it.
            return E.INVALID_PRODUCER_EPOCH
        if not self.leaders[partition].write(*identity, client.serial):
            return E.INVALID_PRODUCER_EPOCH
        self.written[client.serial].add(partition)
        return E.NONE

    def is_changed(self, name: str, identity: tuple[int, int]) -> bool:
        place = self.world.service.table.find(name)
        if isinstance(place, E) or name not in place.transactions:
            return True
        entry = place.transactions[name].entry
        return (entry.producer_id, entry.epoch, entry.state) != (*identity, TransactionState.ONGOING)

    async def end(self, client: Client, commits: bool) -> E:
        assert client.identity is not None
        answer = await self.world.service.end(
            client.name, client.identity, commits=commits, version=client.version
        )
        if isinstance(answer, Refused):
            return answer.code
        assert isinstance(answer, Granted)
        self.told[client.serial] = commits
        if client.version >= 2:
            client.identity = answer.producer_id, answer.epoch
        client.serial, client.has_added = -1, False
        return E.NONE

    def take_answers(self) -> None:
        for client in self.clients:
            if client.asking is None or not client.asking.done():
                continue
            code = client.asking.result()
            self.did.append(f"{client.name}/{id(client) % 97}: {code.name}")
            client.asking = None
            if code not in AGAIN:
                client.ask = None
            if code is not E.NONE and code not in AGAIN:
                # It begins anew, as a client does that has to close its producer.
                client.identity, client.serial, client.has_added = None, -1, False

    # -- what happens --------------------

    async def step(self) -> None:
        happens = self.random.choices(
            ("client", "append", "marker", "time", "led", "failed_append", "lost_marker", "epochs"),
            (40, 40, 20, 2, 1, 6, 5, 1),
        )[0]
        appends, target = self.world.appends, self.world.target
        if happens == "client":
            idle = [client for client in self.clients if client.asking is None]
            if idle:
                self.begin(self.random.choice(idle))
        elif happens == "append" and appends.held:
            appends.settle(self.random.randrange(len(appends.held)))
        elif happens == "failed_append" and appends.held:
            maybe = self.random.random() < 0.5
            code = self.random.choice(MAYBE_IN_LOG if maybe else NOT_IN_LOG)
            appends.settle(self.random.randrange(len(appends.held)), code, is_in_log=maybe)
        elif happens in ("marker", "lost_marker") and target.asked:
            self.mark(self.random.randrange(len(target.asked)), is_lost=happens == "lost_marker")
        elif happens == "time":
            self.world.clock.advance(self.random.choice((10, TIMEOUT_MS + 1)))
            await self.world.service.expiry.abort_timed_out()
        elif happens == "led":
            await self.world.reload()
        elif happens == "epochs":
            self.use_up_epochs()
        await turns(6)
        self.take_answers()

    def use_up_epochs(self) -> None:
        """The epochs of an idle id come to their end."""
        idle = [
            one
            for _, one in self.world.service.table
            if one.pending is None and one.entry.state not in PREPARED and one.entry.epoch < 100
        ]
        if idle and all(client.asking is None for client in self.clients):
            one = self.random.choice(idle)
            if one.entry.state is TransactionState.ONGOING or one.fence_failed:
                return
            lifted = {
                name: value for name in one.entry.__slots__ if (value := getattr(one.entry, name)) is not None
            }
            former = one.entry.epoch
            one.entry = type(one.entry)(**{**lifted, "epoch": MAX_EPOCH - 2, "last_epoch": -1})
            self.world.replica.log.records.append(_record(one))
            for client in self.clients:
                if client.name == one.transactional_id and client.identity == (one.entry.producer_id, former):
                    client.identity = one.entry.producer_id, one.entry.epoch

    def mark(self, number: int, *, is_lost: bool) -> None:
        """A marker arrives, or does not; and its answer, or it does not."""
        marker, wait = self.world.target.asked.pop(number)
        outcomes = dict.fromkeys(marker.partitions, E.NETWORK_EXCEPTION)
        for key in marker.partitions:
            if not is_lost or self.random.random() < 0.5:
                code = self.leaders[key].mark(marker, self.fates)
                if not is_lost:
                    outcomes[key] = code
        if not wait.done():
            wait.set_result(outcomes)

    async def come_to_an_end(self) -> None:
        """Nothing fails any more, and every id is taken over by a client that ends what is open."""
        for _ in range(2000):
            self.let_through()
            await turns(6)
            self.take_answers()
            if all(client.asking is None for client in self.clients):
                break
        for name in sorted({client.name for client in self.clients}):
            await self.take_over(Client(name, 0))

    def let_through(self) -> None:
        """Whatever waits comes to its end."""
        while self.world.appends.held:
            self.world.appends.settle()
        while self.world.target.asked:
            self.mark(0, is_lost=False)

    async def take_over(self, last: Client) -> None:
        for _ in range(2000):
            asking = asyncio.ensure_future(self.init(last, None))
            while not asking.done():
                self.let_through()
                await asyncio.sleep(0)
            if asking.result() is E.NONE:
                return
            assert asking.result() in AGAIN
        raise AssertionError(f"{last.name} does not come to an end")

    def check(self) -> None:
        for key, leader in self.leaders.items():
            assert not leader.open, f"{key} has open transactions"
        for serial in self.written:
            assert len(self.fates[serial]) == 1, f"transaction {serial} is torn: {self.fates[serial]}"
        for serial, commits in self.told.items():
            if serial in self.written:
                assert self.fates[serial] == {commits}, f"transaction {serial} was told {commits}"


def _record(one: Any) -> tuple[bytes, bytes | None]:
    return encode_key(one.transactional_id), encode_value(one.entry)


@pytest.fixture
async def plain_world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(changes, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(markers, "AGAIN_SECONDS", 0.0)
    world = World()
    yield world
    await world.close()


@pytest.mark.parametrize("seed", range(40))
async def test_every_transaction_has_one_fate(plain_world: World, seed: int) -> None:
    model = Model(seed, plain_world)
    for _ in range(400):
        await model.step()
    await model.come_to_an_end()
    try:
        model.check()
    except AssertionError as error:
        raise AssertionError(f"{error}; {model.did[-40:]}") from None
    assert plain_world.tasks.failures == dict.fromkeys(plain_world.tasks.failures, 0)
    # It is no model in which nothing happens.
    assert len(model.written) > 3
