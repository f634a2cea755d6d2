"""A crash between any two steps of a change to topics: every one of them restarts clean.

Each call that changes the disk is a step. The n-th and all later ones fail as if the process were gone, for
every n until the change gets through; then a new broker starts on what is left.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastlog.coordination.config_changes import ConfigKind
from fastlog.coordination.lifecycle import ConfigOp, ConfigOpType
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.world import Broker, World

STEPS = (
    "mkdir",
    "open",
    "write",
    "fsync",
    "rename",
    "replace",
    "unlink",
    "rmdir",
    "ftruncate",
    "posix_fallocate",
)


class Crashed(BaseException):
    """The process ended here: no handler of errors may see it."""


@contextmanager
def crash_at(step: int) -> Iterator[list[str]]:
    """Lets `step` changing calls through; yields the list of those that were made."""
    made: list[str] = []
    real = {name: getattr(os, name) for name in STEPS}

    def wrap(name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return real[name](*args, **options)
            if len(made) >= step:
                raise Crashed
            made.append(name)
            return real[name](*args, **options)

        return call

    try:
        for name in STEPS:
            setattr(os, name, wrap(name))
        yield made
    finally:
        for name in STEPS:
            setattr(os, name, real[name])


async def create(broker: Broker) -> None:
    await broker.topics.create("t", 3, configs={"retention.ms": "1"})


async def delete(broker: Broker) -> None:
    await broker.topics.delete("old")


async def delete_several(broker: Broker) -> None:
    await broker.topics.delete_all(["old", "older"])


async def grow(broker: Broker) -> None:
    await broker.topics.create_partitions("old", 4)


async def configure(broker: Broker) -> None:
    await broker.topics.change_config(
        ConfigKind.TOPIC, "old", [ConfigOp("retention.ms", ConfigOpType.SET, "9")]
    )


async def stop(broker: Broker) -> None:
    # A stop comes to its end whatever fails in it; that it was cut short shows in what it returns.
    if not await broker.stop():
        raise Crashed


async def purge(broker: Broker) -> None:
    await broker.topics.delete("old")
    broker.lifecycle.logs.clock.advance(60_000)  # type: ignore[attr-defined]
    await broker.logs.housekeeping.purge()


async def checkpoint(broker: Broker) -> None:
    await broker.logs.housekeeping.checkpoint()


def check(broker: Broker, world: World) -> None:
    """What must hold after any crash: topics are whole or not there, and nobody else lost anything."""
    kept = broker.view.topics["kept"]
    assert len(kept.partitions) == 2
    log: Any = broker.logs.get("kept", 0)
    assert log.log_end_offset == 5
    for name, sizes in (("t", {3}), ("old", {2, 4}), ("older", {1})):
        topic = broker.view.topics.get(name)
        live = [
            entry for entry in world.directories() if entry.startswith(f"{name}-") and entry.count(".") == 0
        ]
        if topic is None:
            assert live == []
            continue
        assert len(topic.partitions) in sizes
        assert live == sorted(f"{name}-{number}" for number in range(len(topic.partitions)))
        for number in range(len(topic.partitions)):
            assert broker.logs.get(name, number) is not None
            assert (name, number) in broker.lifecycle.led
    old: Any = broker.logs.get("old", 1)
    assert old is None or old.log_end_offset == 3
    assert broker.logs.table.closed == {}


@pytest.mark.parametrize("change", [create, delete, delete_several, grow, configure, stop, purge, checkpoint])
async def test_every_crash_point_restarts_clean(
    tmp_path: Path, change: Callable[[Broker], Awaitable[None]]
) -> None:
    outcomes: set[tuple[bool, bool]] = set()
    for step in range(500):
        world = World(tmp_path / str(step))
        (tmp_path / str(step)).mkdir()
        broker = await world.start()
        await broker.topics.create("kept", 2)
        await broker.topics.create("old", 2)
        await broker.topics.create("older", 1)
        for name, number, data in (("kept", 0, b"12345"), ("old", 1, b"123")):
            log: Any = broker.logs.get(name, number)
            log.append(data)
        finished = False
        with crash_at(step) as made:
            try:
                await change(broker)
                finished = True
            except (Crashed, KafkaError):
                pass
            if len(made) < step:
                assert finished
        await broker.crash()
        again = await world.start()
        check(again, world)
        if change is delete_several:
            # Decided together, in one step.
            assert ("old" in again.view.topics) == ("older" in again.view.topics)
        if finished:
            outcomes.add(("t" in again.view.topics, "old" in again.view.topics))
        # The same change, and its opposite, work on what is left.
        for name in ("t", "old"):
            if name in again.view.topics:
                await again.topics.delete(name)
            await again.topics.create(name, 2 if name == "old" else 3)
        check_log: Any = again.logs.get("old", 1)
        check_log.append(b"123")
        check(again, world)
        assert await again.stop()
        third = await world.start()
        check(third, world)
        await third.stop()
        if finished:
            break
    else:
        pytest.fail("the change never got through")
    assert step > 2
    expected = {
        create: (True, True),
        delete: (False, False),
        delete_several: (False, False),
        purge: (False, False),
    }
    assert outcomes == {expected.get(change, (False, True))}


async def test_a_start_that_crashes_anywhere_can_be_repeated(tmp_path: Path) -> None:
    """Starting has steps too: the first start, and one with a creation and a deletion to finish."""
    for step in range(500):
        (tmp_path / str(step)).mkdir()
        world = World(tmp_path / str(step))
        with crash_at(step):
            try:
                broker = await world.start()
                finished = True
            except Crashed:
                finished = False
        if finished:
            await broker.crash()
            break
        again = await world.start()
        await again.topics.create("t", 1)
        assert await again.stop()
    else:
        pytest.fail("the start never got through")
    assert step > 10


async def test_unfinished_changes_survive_a_second_crash(tmp_path: Path) -> None:
    for step in range(500):
        (tmp_path / str(step)).mkdir()
        world = World(tmp_path / str(step))
        broker = await world.start()
        await broker.topics.create("old", 2)

        def refuse(action: str, topic: str, partition: int) -> None:
            if partition == 1:
                raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no")

        broker.lifecycle.before = refuse
        await broker.topics.delete("old")
        with pytest.raises(KafkaError):
            await broker.topics.create("new", 2)
        await broker.crash()
        with crash_at(step):
            try:
                again = await world.start()
                finished = True
            except Crashed:
                finished = False
        if finished:
            await again.crash()
        last = await world.start()
        assert last.view.topics == {}
        assert all(name.endswith("-delete") for name in world.directories())
        await last.stop()
        if finished:
            break
    else:
        pytest.fail("the start never got through")
    assert step > 10
