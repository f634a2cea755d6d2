"""What a change of one topic costs while there are many: work is counted, not timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.coordination.config_changes import ConfigKind
from fastlog.coordination.keeper.reads import Reads
from fastlog.coordination.topic_plan import NewTopic
from fastlog.coordination.zookeeper.replies import Result
from tests.unit.coordination.work import steps_of
from tests.unit.coordination.world import Broker, World

FEW, MANY = 200, 2_000
TIMES = 4


async def measured(broker: Broker) -> dict[str, int]:
    """Instructions of each kind of change, of a topic that is gone afterwards."""
    topics = broker.topics
    return {
        "create": await steps_of(topics.create("new", 1)),
        "configure": await steps_of(topics.change_config(ConfigKind.TOPIC, "new", {"retention.ms": "1"})),
        "grow": await steps_of(broker.grow("new", 3)),
        "delete": await steps_of(broker.delete("new")),
    }


async def put(broker: Broker, names: range) -> None:
    await broker.topics.create_all([NewTopic(f"topic-{number}", 1) for number in names])


async def test_a_change_of_one_topic_visits_no_other(tmp_path: Path) -> None:
    broker = await World(tmp_path).start()
    made = 0
    counts: list[dict[str, int]] = []
    for size in (FEW, MANY):
        await put(broker, range(made, size))
        made = size
        # The first time the connection lists all that there are, and some modules are imported.
        await measured(broker)
        # How many turns of the loop the disk takes differs from time to time.
        rounds = [await measured(broker) for _ in range(TIMES)]
        counts.append({what: min(each[what] for each in rounds) for what in rounds[0]})
    for what, beside_few in counts[0].items():
        # A level more of the maps, and fuller leaves. One instruction for each topic would be 1,800.
        assert counts[1][what] < beside_few + 1_700, (what, counts)
    await broker.stop()


async def test_a_change_of_one_topic_lists_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the keeper lists costs no instruction that `steps_of` counts: names are counted."""
    broker = await World(tmp_path).start()
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
    await broker.stop()
