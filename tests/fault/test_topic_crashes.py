"""A crash between any two steps of a change to topics: every one of them restarts clean.

Each call that changes the disk is a step, and so is each write of the keeper's journal. Before every step all
directories are copied as they are; then brokers start on the copies.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastlog.coordination.config_changes import ConfigKind
from fastlog.coordination.keeper import journal
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


@contextmanager
def copied_at_each_step(root: Path, copies: Path) -> Iterator[list[Path]]:
    """Yields the list of the copies of `root` that are made."""
    made: list[Path] = []
    lock = threading.RLock()
    copying = False
    real = {name: getattr(os, name) for name in STEPS}
    write_durably = journal.write_durably

    def copy() -> None:
        nonlocal copying
        # What the copy itself does is no step; what other threads do waits for it.
        with lock:
            if not copying:
                copying = True
                target = copies / str(len(made))
                shutil.copytree(root, target)
                made.append(target)
                copying = False

    def wrap(call: Callable[..., Any], *, creates: bool = False) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            if not creates or args[1] & os.O_CREAT:
                copy()
            return call(*args, **options)

        return step

    try:
        for name in STEPS:
            setattr(os, name, wrap(real[name], creates=name == "open"))
        journal.write_durably = wrap(write_durably)
        yield made
    finally:
        for name in STEPS:
            setattr(os, name, real[name])
        journal.write_durably = write_durably


async def create(broker: Broker) -> None:
    await broker.topics.create("t", 3, configs={"retention.ms": "1"})


async def delete(broker: Broker) -> None:
    await broker.delete("old")


async def delete_several(broker: Broker) -> None:
    await broker.topics.delete_all(["old", "older"])


async def grow(broker: Broker) -> None:
    await broker.grow("old", 4)


async def configure(broker: Broker) -> None:
    await broker.topics.change_config(
        ConfigKind.TOPIC, "old", [ConfigOp("retention.ms", ConfigOpType.SET, "9")]
    )


async def stop(broker: Broker) -> None:
    assert await broker.stop()


async def purge(broker: Broker) -> None:
    await broker.delete("old")
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
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world")
    broker = await world.start()
    await broker.topics.create("kept", 2)
    await broker.topics.create("old", 2)
    await broker.topics.create("older", 1)
    for name, number, data in (("kept", 0, b"12345"), ("old", 1, b"123")):
        log: Any = broker.logs.get(name, number)
        log.append(data)
    with copied_at_each_step(tmp_path / "world", tmp_path / "copies") as copies:
        await change(broker)
    if change is not stop:
        await broker.crash()
    assert copies
    for copy in [*copies, tmp_path / "world"]:
        left = World(copy)
        again = await left.start()
        check(again, left)
        if copy not in copies:
            outcome = ("t" in again.view.topics, "old" in again.view.topics)
            expected = {
                create: (True, True),
                delete: (False, False),
                delete_several: (False, False),
                purge: (False, False),
            }
            assert outcome == expected.get(change, (False, True))
        # The same change, and its opposite, work on what is left.
        for name in ("t", "old"):
            if name in again.view.topics:
                await again.delete(name)
            await again.topics.create(name, 2 if name == "old" else 3)
        check_log: Any = again.logs.get("old", 1)
        check_log.append(b"123")
        check(again, left)
        assert await again.stop()


async def test_a_start_that_crashes_anywhere_can_be_repeated(tmp_path: Path) -> None:
    """Starting has steps too: the first start, and one with a deletion to finish."""
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world")
    for turn in range(2):
        with copied_at_each_step(tmp_path / "world", tmp_path / f"copies{turn}") as copies:
            broker = await world.start()
        if not turn:
            await broker.topics.create("old", 2)

            def refuse(action: str, topic: str, partition: int) -> None:
                if partition == 1:
                    raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no")

            broker.lifecycle.before = refuse
            await broker.delete("old")
        await broker.crash()
        assert len(copies) > 5
        for copy in copies:
            again = await World(copy).start()
            assert again.view.topics == {}
            await again.topics.create("old", 1)
            assert await again.stop()
