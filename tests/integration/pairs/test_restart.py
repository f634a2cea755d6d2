"""Whatever the broker has accepted, it starts again, after a stop and after a kill, and tells the same.

A seed chooses requests: topics that come, grow and go, every setting of topics, groups and brokers with
values at its bounds, offsets, groups, deleted records. What is refused may be refused; what can be described
is the same on the next broker.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from fastlog.config import BROKER_KEYS, GROUP_KEYS, TOPIC_KEYS
from fastlog.coordination.member.topics import MemberTopics
from fastlog.coordination.znodes import paths
from fastlog.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from tests.integration.pairs import makers
from tests.integration.pairs.makers import Maker
from tests.integration.pairs.seeded_loop import SeededLoop
from tests.integration.pairs.state import MOVING, state_of
from tests.integration.pairs.world import World, run

CHANGES = 120
SPACES = ("a", "b")
TOPIC, BROKER, GROUP = 2, 4, 32
NUMBERS = ("-2", "-1", "0", "1", "2", "14", "1000", "60000", "1048576", "2147483647", "9223372036854775807")
WORDS = ("true", "false", "", "delete", "compact", "compact,delete", "gzip", "zstd", "lz4", "producer", "0.5")
WORDS += (
    "CreateTime",
    "LogAppendTime",
    "fsync",
    "pagecache",
    "upgrade",
    "downgrade",
    "uniform",
    "3.9",
    "0:1",
)
# These take their size from the disk at once.
TOO_LARGE = ("preallocate", "log.preallocate")


class Changes:
    """Chooses what to do next."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.accepted: list[str] = []

    async def one(self) -> None:
        """One request."""
        space = self.chance.choice(SPACES)
        kind = self.chance.randrange(4)
        if kind == 0:
            known = {**makers.OF_TOPICS, **makers.OF_GROUPS, **makers.OF_CONFIGS}
            name = self.chance.choice(sorted(known))
            await self.run(f"{name} {space}", known[name], space)
        elif kind == 1:
            name = self.chance.choice(("t", "n"))
            await self.run(f"create {name}-{space}", makers.create(name), space)
        else:
            await self.configure(space)

    async def run(self, what: str, maker: Maker, space: str) -> None:
        for step in maker:
            if await step(self.world, space):
                self.accepted.append(what)

    async def configure(self, space: str) -> None:
        """Some setting of something."""
        resource, keys = self.chance.choice(
            (
                ((TOPIC, f"t-{space}"), TOPIC_KEYS),
                ((TOPIC, f"n-{space}"), TOPIC_KEYS),
                ((BROKER, ""), BROKER_KEYS),
                ((BROKER, "1"), BROKER_KEYS),
                ((GROUP, f"g-{space}"), GROUP_KEYS),
            )
        )
        names = [name for name in keys if name not in TOO_LARGE]
        if keys is BROKER_KEYS:
            names = [name for name in names if BROKER_KEYS[name].dynamic]
        # Those that rules of several keys are about come up more often.
        related = [name for name in names if "compaction.lag" in name or "session" in name]
        name = self.chance.choice(self.chance.choice((names, related or names)))
        value = self.chance.choice(
            self.chance.choice((NUMBERS, WORDS) if name not in related else (NUMBERS,))
        )
        await self.set(resource, name, value)

    async def set(self, resource: tuple[int, str], name: str, value: str) -> bool:
        config = AlterableConfig(name, makers.SET, value)
        answer = await self.world.ask(
            IncrementalAlterConfigsRequest([AlterConfigsResource(*resource, [config])])
        )
        row = answer.responses[0]
        if row.error_code == 0:
            self.accepted.append(f"{resource} {name}={value}")
        assert row.error_code != -1, f"{resource} {name}={value}: {row.error_message}"
        return row.error_code == 0


async def description(world: World) -> dict[str, Any]:
    """Everything that can be described."""
    found: dict[str, Any] = {}
    for space in SPACES:
        ids = {name: topic.topic_id for name in ("t", "n") if (topic := world.topic(f"{name}-{space}"))}
        found[space] = {**await state_of(world, space, ids), "ids": ids}
    topics = [DescribeConfigsResource(TOPIC, name) for name in sorted(world.services.cluster.topics)]
    groups = [DescribeConfigsResource(GROUP, f"g-{space}") for space in SPACES]
    brokers = [DescribeConfigsResource(BROKER, name) for name in ("", "1")]
    answer = await world.ask(DescribeConfigsRequest([*topics, *groups, *brokers]))
    for result in answer.results:
        assert result.error_code == 0, (result.resource_name, result.error_message)
        found[f"{result.resource_type} {result.resource_name}"] = {
            config.name: (config.value, config.config_source)
            for config in result.configs
            if config.name not in ("log.dirs", "log.dir")
        }
    return found


async def producer_id(world: World) -> int:
    return int((await world.ask(InitProducerIdRequest(None, transaction_timeout_ms=1))).producer_id)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(4))
def test_any_accepted_changes(seed: int, memory_path: Path) -> None:
    async def test(loop: SeededLoop) -> None:
        loop.chance.seed(seed)
        async with World(memory_path / "first", loop) as world:
            await world.group_topic()
            changes = Changes(world, seed)
            last = -1
            for _ in range(CHANGES):
                await changes.one()
            for _ in range(changes.chance.randrange(3)):
                last = await producer_id(world)
            await world.settled()
            before = await description(world)
            # As after kill -9: what was written is there, and nobody has said goodbye.
            shutil.copytree(memory_path / "first", memory_path / "killed")
        for directory in ("first", "killed"):
            async with World(memory_path / directory, loop) as world:
                after = await description(world)
                for what, told in before.items():
                    if what in SPACES and told["group"] == MOVING:
                        after[what]["group"] = MOVING
                    assert after.get(what) == told, (directory, what, changes.accepted[-20:])
                assert after.keys() == before.keys()
                assert await producer_id(world) > last

    run(test)


@pytest.mark.parametrize(
    ("own", "default"),
    [
        ("min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
        ("max.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"),
    ],
)
def test_a_default_that_contradicts_a_topic(own: str, default: str, memory_path: Path) -> None:
    async def test(loop: SeededLoop) -> None:
        values = ("60000", "1000") if own.startswith("min") else ("1000", "60000")
        async with World(memory_path, loop) as world:
            await world.group_topic()
            changes = Changes(world, 0)
            await changes.run("create", makers.create("t"), "a")
            assert await changes.set((TOPIC, "t-a"), own, values[0])
            assert await changes.set((BROKER, ""), default, values[1])
            before = await description(world)
        async with World(memory_path, loop) as world:
            assert await description(world) == before
            changes = Changes(world, 0)
            # As in Kafka, a change of the topic has to mend it.
            assert not await changes.set((TOPIC, "t-a"), "retention.ms", "5")
            assert await changes.set((TOPIC, "t-a"), own, values[1])
            assert await changes.set((TOPIC, "t-a"), "retention.ms", "5")

    run(test)


def test_what_another_version_stored_is_kept(memory_path: Path) -> None:
    """Keys and values that this one cannot read, of topics, groups and brokers."""

    async def test(loop: SeededLoop) -> None:
        strange = {"of.the.future": "1"}
        async with World(memory_path, loop) as world:
            await makers.create("t")[0](world, "a")
            topics = world.services.topics
            assert isinstance(topics, MemberTopics)
            write = topics._writes.set_config
            configs = {**strange, "retention.ms": "soon", "segment.bytes": "1000000"}
            await write(paths.topic_config("t-a"), configs, (paths.CONFIG_CHANGE, "topics/t-a"))
            configs = {**strange, "consumer.session.timeout.ms": "50000"}
            await write(paths.group_config("g-a"), configs, (paths.GROUP_CONFIG_CHANGE, "groups/g-a"))
            configs = {**strange, "log.retention.ms": "soon", "log.segment.bytes": "2000000"}
            await write(paths.broker_config(None), configs, (paths.CONFIG_CHANGE, "brokers/<default>"))
        for _ in range(2):
            async with World(memory_path, loop) as world:
                services = world.services
                changes = Changes(world, 0)
                assert services.config.layers.cluster["log.segment.bytes"] == "2000000"
                assert services.groups.table.consumer_limits("g-a").session_timeout_ms == 50000
                await world.group_topic()
                await description(world)
                assert await changes.set((TOPIC, "t-a"), "max.message.bytes", "1000")
                assert await changes.set((GROUP, "g-a"), "consumer.heartbeat.interval.ms", "6000")
                assert await changes.set((BROKER, ""), "log.roll.ms", "100000")
                assert services.config.layers.cluster["log.roll.ms"] == "100000"
                kept = services.cluster.snapshot
                stored = (kept.topics["t-a"].configs, kept.group_configs["g-a"], kept.broker_configs[None])
                assert all(configs["of.the.future"] == "1" for configs in stored)
                assert stored[0]["retention.ms"] == "soon"

    run(test)
