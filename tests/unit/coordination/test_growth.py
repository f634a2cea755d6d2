"""What a change of one topic costs while there are many: work is counted, not timed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from fastlog.coordination.config_changes import ConfigKind
from fastlog.coordination.keeper.reads import Reads
from fastlog.coordination.topic_plan import NewTopic
from fastlog.coordination.zookeeper.replies import Result
from tests.unit.coordination.work import steps_of
from tests.unit.coordination.world import Broker, World

FEW, MANY = 200, 3_000
TIMES = 3
QUIET_TURNS = 20


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    broker = await World(tmp_path).start()
    yield broker
    await broker.stop()


def is_idle(broker: Broker) -> bool:
    """Whether nothing is asked of the keeper, of the controller or of the broker by it."""
    member, keeper = broker.member, broker.keeper._keeper
    queue = member.controller._queue
    assert keeper is not None
    is_asking = member._tree.client.session._waiting or keeper._held
    return not (is_asking or queue._waiting or queue.running or member.receiver._lock.locked())


async def settled(broker: Broker, change: Coroutine[Any, Any, object]) -> None:
    """Makes a change and waits for all that follows: some of it goes on when the change has been answered."""
    await change
    quiet = 0
    async with asyncio.timeout(20):
        while quiet < QUIET_TURNS:
            await asyncio.sleep(0)
            quiet = quiet + 1 if is_idle(broker) else 0


async def measured(broker: Broker) -> dict[str, int]:
    """Instructions of each kind of change, of a topic that is gone afterwards."""
    topics = broker.topics
    changes: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "create": lambda: topics.create("new", 1),
        "configure": lambda: topics.change_config(ConfigKind.TOPIC, "new", {"retention.ms": "1"}),
        "grow": lambda: broker.grow("new", 3),
        "delete": lambda: broker.delete("new"),
    }
    return {what: await steps_of(settled(broker, change())) for what, change in changes.items()}


async def put(broker: Broker, names: range) -> None:
    await broker.topics.create_all([NewTopic(f"topic-{number}", 1) for number in names])


async def test_a_change_of_one_topic_visits_no_other(broker: Broker) -> None:
    made = 0
    counts: list[dict[str, int]] = []
    for size in (FEW, MANY):
        await put(broker, range(made, size))
        made = size
        # The first time the connection lists all that there are, and some modules are imported.
        await measured(broker)
        # What else goes on in the background differs from time to time.
        rounds = [await measured(broker) for _ in range(TIMES)]
        counts.append({what: min(each[what] for each in rounds) for what in rounds[0]})
    for what, beside_few in counts[0].items():
        # A level more of the maps, and fuller leaves. One instruction for each topic would be 2,800.
        assert counts[1][what] < beside_few + 2_600, (what, counts)


async def test_a_change_of_one_topic_lists_no_other(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the keeper lists costs no instruction that `steps_of` counts: names are counted."""
    await put(broker, range(FEW))
    await measured(broker)
    listed: list[str] = []
    answer = Reads.answer

    def counted(*args: object) -> Result:
        result = answer(*args)  # type: ignore[arg-type, type-var]
        listed.extend((*result.names, *(result.gone or ())))
        return result

    monkeypatch.setattr(Reads, "answer", counted)
    await measured(broker)
    assert "new" in listed
    # Its partitions, the mark of its deletion and the notification of its settings are among them.
    assert len(listed) < 20, listed
