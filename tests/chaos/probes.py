"""Requests that a correct coordinator refuses: commits of members of the past, and of nobody at all.

Real clients seldom send them, because they notice in time that they are late. A process that was frozen
between that look and its request does send them, so the run does it on purpose, with an offset of 0.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from fastlog.errors import ErrorCode
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from tests.chaos.history import Commit, read_events
from tests.harness.link import Link

_VERSION = 7


class Probes:
    """Sends them, and keeps what was answered."""

    def __init__(self, port: int, group: str, topic: str) -> None:
        self._port, self._group, self._topic = port, group, topic
        self._partitions = itertools.count()
        self.commits: list[Commit] = []

    def send(self, events: Path) -> None:
        """Tries a past generation of the member that writes `events`, and members that do not exist."""
        turns = [event for event in read_events(events) if event["e"] == "assigned" and event["generation"]]
        if not turns:
            return
        member, generation, partitions = turns[-1]["member"], turns[-1]["generation"], turns[-1]["partitions"]
        if not partitions:
            return
        partition = partitions[next(self._partitions) % len(partitions)]
        for member_id, number in ((member, generation - 1), ("nobody", generation), ("", -1)):
            self._commit(member_id, number, partition)

    @property
    def refused(self) -> int:
        """How many were refused because of who sent them."""
        return sum(commit.error is not None for commit in self.commits)

    def accepted(self) -> list[str]:
        """What should have been refused."""
        return [
            f"probe accepted: a commit of partition {list(commit.offsets)} by {commit.process}"
            for commit in self.commits
            if commit.error is None
        ]

    def _commit(self, member_id: str, generation: int, partition: int) -> None:
        request = OffsetCommitRequest(
            group_id=self._group,
            member_id=member_id,
            generation_id_or_member_epoch=generation,
            topics=[OffsetCommitRequestTopic(self._topic, [OffsetCommitRequestPartition(partition, 0)])],
        )
        began = time.monotonic_ns()
        try:
            with Link(self._port) as link:
                answer = link.call(request, _VERSION)
        except OSError:
            return  # the broker is away: nothing was shown
        code = ErrorCode(answer.topics[0].partitions[0].error_code)  # type: ignore[attr-defined]
        error = None if code is ErrorCode.NONE else code.name
        who = f"{member_id or 'no member'} in generation {generation}"
        self.commits.append(Commit(who, began, time.monotonic_ns(), None, {partition: 0}, error))
