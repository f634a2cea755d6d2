"""Targets of large groups, made on a thread: one run at a time for each group.

What changes during a run is for the next one: members that come meanwhile share it, however many they are. A
run for a group that is gone, or goes on with the classic protocol, comes to nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.coordination.groups.consumer.targets import plan_targets, take_targets
from fastlog.coordination.groups.consumer.topics_seen import Topics

if TYPE_CHECKING:
    from fastlog.base.tasks import Guard
    from fastlog.coordination.groups.table import GroupEntry


class TargetRuns:
    """The runs of all groups. `on_made` is called when a group has a new target. Used on the event loop."""

    def __init__(
        self,
        topics: Callable[[], Topics],
        on_made: Callable[[GroupEntry, ConsumerGroup], None],
        guard: Guard,
    ) -> None:
        self._topics = topics
        self._on_made = on_made
        self._guard = guard
        self._thread = ThreadPoolExecutor(1, "fastlog-targets")
        self._tasks: dict[ConsumerGroup, asyncio.Task[None]] = {}
        self._steps: dict[ConsumerGroup, asyncio.Future[None]] = {}
        """Done with each target of a group, and when no more is to come."""

    def start(self, entry: GroupEntry, group: ConsumerGroup) -> None:
        """Makes targets until the group has that of its epoch, unless that is under way already."""
        if group not in self._tasks:
            self._steps[group] = asyncio.get_running_loop().create_future()
            self._tasks[group] = asyncio.create_task(self._run(entry, group), name="fastlog-groups-target")

    async def wait(self, group: ConsumerGroup, seconds: float) -> None:
        """Waits for the target of the group epoch of now, but not for long."""
        loop = asyncio.get_running_loop()
        epoch, until = group.epoch, loop.time() + seconds
        while group.assignment_epoch < epoch and group in self._steps and loop.time() < until:
            await asyncio.wait([self._steps[group]], timeout=until - loop.time())

    async def close(self) -> None:
        """Ends all runs; what they would have made is made after the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, entry: GroupEntry, group: ConsumerGroup) -> None:
        try:
            while group.epoch > group.assignment_epoch and entry.group is group and not group.is_dead:
                plan = plan_targets(group, self._topics())
                made = await asyncio.get_running_loop().run_in_executor(self._thread, plan.make)
                if entry.group is group and not group.is_dead:
                    take_targets(group, made)
                    self._on_made(entry, group)
                self._steps[group].set_result(None)
                self._steps[group] = asyncio.get_running_loop().create_future()
        except Exception as error:  # noqa: BLE001 - logged and counted; the next heartbeat begins anew
            self._guard.failed(error)
        finally:
            group.wants_targets = False
            del self._tasks[group]
            self._steps.pop(group).set_result(None)
