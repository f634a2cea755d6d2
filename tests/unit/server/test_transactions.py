"""Transactions of a broker before they are made, and how they come to be."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fastlog.base.tasks import Supervisor
from fastlog.server import transaction_parts, transactions
from fastlog.server.transactions import Transactions

TOPIC = "__transaction_state"


class World:
    """Transactions with stand-ins for what they are made of, which note what they are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[Any] = []
        self.tasks = Supervisor(first_pause=0.001)
        monkeypatch.setattr(transaction_parts, "transaction_parts", self._make)
        services: Any = lambda: "services"  # noqa: E731 - stands for a broker's
        writer: Any = None
        self.late = Transactions(services, tasks=self.tasks, missing_topics=None, marker_writer=writer)

    def _make(self, services: Any, **_: Any) -> Any:
        assert services == "services"
        self.told.append("made")
        told = self.told.append

        async def deleted(topic: Any) -> None:
            told(("deleted", topic.name))

        async def close() -> None:
            told("closed")

        service = SimpleNamespace(
            on_partition_led=lambda _, partition: told(("led", partition)),
            on_partition_resigned=lambda _, partition: told(("resigned", partition)),
            on_topic_deleted=deleted,
            start=lambda: told("started"),
            resign=lambda: told("no more requests"),
        )
        return SimpleNamespace(service=service, close=close)

    async def settle(self) -> None:
        """Returns when what was begun in the background has come to its end."""
        while not self.tasks.loops["transactions"].is_over:  # noqa: ASYNC110 - it may fail on its way
            await asyncio.sleep(0.001)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_nothing_makes_them_that_has_nothing_to_do_with_them(world: World) -> None:
    world.late.start()
    world.late.on_partition_led("a", 0)
    world.late.on_partition_resigned("a", 0)
    world.late.on_partition_resigned(TOPIC, 0)
    topic: Any = SimpleNamespace(name=TOPIC)
    await world.late.on_topic_deleted(topic)
    world.late.resign()
    await world.late.close()
    assert world.late.made is None
    assert (world.told, world.tasks.loops) == ([], {})


async def test_they_are_made_once(world: World) -> None:
    world.late.start()
    made = await asyncio.gather(*(world.late.get() for _ in range(5)))
    assert all(one is world.late.made is world.late.get_loaded() for one in made)
    await world.late.close()
    assert world.told == ["made", "started", "closed"]


async def test_a_partition_that_is_led_makes_them_and_nothing_is_missed(world: World) -> None:
    world.late.start()
    world.late.on_partition_led(TOPIC, 1)
    world.late.on_partition_led(TOPIC, 2)
    world.late.take_offline(Path("d"), "it failed", [(TOPIC, 1), ("a", 0)])
    await world.settle()
    world.late.on_partition_led(TOPIC, 3)
    world.late.on_partition_led("a", 3)
    world.late.on_partition_resigned(TOPIC, 2)
    world.late.on_partition_resigned("a", 2)
    for name in (TOPIC, "a"):
        topic: Any = SimpleNamespace(name=name)
        await world.late.on_topic_deleted(topic)
    before = ["made", ("led", 1), ("led", 2), ("resigned", 1), "started"]
    assert world.told == [*before, ("led", 3), ("resigned", 2), ("deleted", TOPIC)]
    await world.late.close()


async def test_what_is_led_before_the_start_waits_for_it(world: World) -> None:
    world.late.on_partition_led(TOPIC, 1)
    assert world.tasks.loops == {}
    world.late.start()
    await world.settle()
    assert world.told == ["made", ("led", 1), "started"]
    await world.late.close()


async def test_who_is_early_gets_them_unstarted(world: World) -> None:
    await world.late.get()
    assert world.told == ["made"]
    world.late.start()
    assert world.told == ["made", "started"]
    await world.late.close()


async def test_of_a_topic_that_was_deleted_nothing_is_read(world: World) -> None:
    world.late.on_partition_led(TOPIC, 1)
    topic: Any = SimpleNamespace(name=TOPIC)
    await world.late.on_topic_deleted(topic)
    world.late.start()
    assert world.tasks.loops == {}
    await world.late.close()


async def test_those_that_are_made_during_a_stop_take_no_requests(world: World) -> None:
    world.late.start()
    world.late.resign()
    await world.late.get()
    assert world.told == ["made", "no more requests", "started"]
    world.late.resign()
    await world.late.close()
    assert world.told[3:] == ["no more requests", "closed"]


async def test_after_the_stop_none_are_made(world: World) -> None:
    world.late.start()
    await world.late.close()
    world.late.on_partition_led(TOPIC, 1)
    with pytest.raises(RuntimeError):
        await world.late.get()
    assert (world.told, world.tasks.loops) == ([], {})


async def test_an_import_that_fails_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError("the disk"), MemoryError()]

    def load(_: str) -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr(transactions, "import_module", load)
    world.late.start()
    with pytest.raises(MemoryError):
        await world.late.get()
    world.late.on_partition_led(TOPIC, 1)
    await world.settle()
    assert world.tasks.failures == {"transactions": 1}
    assert world.told == ["made", ("led", 1), "started"]
    await world.late.close()
