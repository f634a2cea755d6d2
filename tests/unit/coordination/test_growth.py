"""What a change of one topic costs while there are many: work is counted, not timed."""

from __future__ import annotations

from pathlib import Path

from fastlog.coordination.config_changes import ConfigKind
from fastlog.coordination.topic_plan import NewTopic
from tests.unit.coordination.work import steps_of
from tests.unit.coordination.world import Broker, World

FEW, MANY = 200, 2_000


async def measured(broker: Broker) -> dict[str, int]:
    topics = broker.topics
    return {
        "create": await steps_of(topics.create("new")),
        "configure": await steps_of(topics.change_config(ConfigKind.TOPIC, "new", {"retention.ms": "1"})),
        "grow": await steps_of(topics.create_partitions("new", 3)),
        "delete": await steps_of(topics.delete("new")),
    }


async def test_a_change_of_one_topic_visits_no_other(tmp_path: Path) -> None:
    broker = await World(tmp_path).start()
    made = 0
    counts: list[dict[str, int]] = []
    for size in (FEW, MANY):
        await broker.topics.create_all([NewTopic(f"topic-{number}", 1) for number in range(made, size)])
        made = size
        # The first time some modules are imported.
        await measured(broker)
        counts.append(await measured(broker))
    for what, beside_few in counts[0].items():
        # A level more of the maps, and fuller leaves. One instruction for each topic would be 1,800.
        assert counts[1][what] < beside_few + 1_700, (what, counts)
    await broker.stop()
