"""Log directories over fakes that outlive the managers opened on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastlog.base.clock import ManualClock
from fastlog.base.uuids import random_uuid
from fastlog.storage.io import IoLoop
from fastlog.storage.log_manager import LogManager
from fastlog.storage.recovery import Opening
from fastlog.storage.settings import StorageSettings
from tests.unit.storage.fakes import FakeConfig, FakeEngine, LogOpener, flushing

ID = random_uuid()
CLUSTER = "vPeOCWypqUOSepEvx0cbog"


class Store:
    """Log directories that outlive the managers opened on them."""

    def __init__(self, root: Path, directories: int = 2) -> None:
        self.paths = [root / f"d{index}" for index in range(directories)]
        self.opener = LogOpener()
        self.clock = ManualClock()
        self.halted: list[str] = []
        self.allow_data_loss = False
        self._ios: list[IoLoop] = []

    async def manager(self) -> LogManager:
        io = IoLoop(FakeEngine(flushing))  # type: ignore[arg-type]
        self._ios.append(io)
        settings = StorageSettings(log_dirs=self.paths, allow_data_loss=self.allow_data_loss)
        return LogManager(settings, self.clock, io, open_log=self.opener, on_all_failed=self.halted.append)

    async def started(self) -> LogManager:
        """A manager with every partition found on disk open."""
        manager = await self.manager()
        preparation = await manager.prepare()
        await manager.confirm_identity(preparation.cluster_id or CLUSTER, 1)
        await manager.open([Opening(found, ID, FakeConfig()) for found in preparation.partitions])  # type: ignore[arg-type]
        return manager

    async def close(self) -> None:
        for io in self._ios:
            await io.close()


async def make(manager: LogManager, topic: str, partition: int = 0, topic_id: bytes = ID) -> Any:
    return await manager.create(topic, topic_id, partition, FakeConfig())  # type: ignore[arg-type]


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir())


async def advance(manager: LogManager, topic: str, partition: int, offset: int) -> int:
    """Raises a log start offset and writes it down."""
    start = await manager.advance_log_start(topic, partition, offset)
    assert not await manager.keep_log_starts([(topic, partition)])
    return start
