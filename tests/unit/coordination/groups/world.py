"""A group with a clock that stands still, and answers by ticket."""

from __future__ import annotations

import itertools

from fastlog.base.clock import ManualClock
from fastlog.coordination.groups.classic import joining, rebalance, syncing
from fastlog.coordination.groups.classic.state import Group, GroupState
from fastlog.coordination.groups.results import (
    GroupLimits,
    JoinAnswer,
    JoinAnswers,
    JoinRequest,
    JoinResult,
    Now,
    Store,
    SyncAnswer,
    SyncAnswers,
    SyncRequest,
    SyncResult,
)
from fastlog.errors import ErrorCode

RANGE = (("range", b"topics"),)
DELAY_MS = 3000
SESSION_MS = 10_000
REBALANCE_MS = 60_000


class GroupWorld:
    """Drives one group as the service does; stores succeed at once unless `store_by_hand`."""

    def __init__(self, *, max_size: int = 100, store_by_hand: bool = False) -> None:
        self.clock = ManualClock()
        self.group = Group(
            "g", GroupLimits(initial_rebalance_delay_ms=DELAY_MS, max_size=max_size), self.now()
        )
        self.joins: dict[int, JoinResult] = {}
        self.syncs: dict[int, SyncResult] = {}
        self.stores: list[Store] = []
        self._store_by_hand = store_by_hand
        self._tickets = itertools.count(1)
        self._ids = itertools.count(1)

    def now(self) -> Now:
        return Now(self.clock.monotonic(), self.clock.now_ms())

    def join(
        self,
        member_id: str = "",
        *,
        instance_id: str | None = None,
        protocols: tuple[tuple[str, bytes], ...] = RANGE,
        protocol_type: str = "consumer",
        requires_known_id: bool = False,
        can_skip: bool = False,
    ) -> int:
        """Sends JoinGroup; returns its ticket. New members are called m1, m2 and so on."""
        ticket = next(self._tickets)
        request = JoinRequest(
            ticket=ticket,
            member_id=member_id,
            instance_id=instance_id,
            client_id="client",
            client_host="/127.0.0.1",
            session_timeout_ms=SESSION_MS,
            rebalance_timeout_ms=REBALANCE_MS,
            protocol_type=protocol_type,
            protocols=protocols,
            requires_known_id=requires_known_id,
            can_skip=can_skip,
            new_member_id="" if member_id else f"m{next(self._ids)}",
        )
        joining.join(self.group, request, self.now())
        self._settle()
        return ticket

    def sync(
        self,
        member_id: str,
        assignments: dict[str, bytes] | None = None,
        *,
        generation: int | None = None,
        instance_id: str | None = None,
        protocol: tuple[str | None, str | None] = (None, None),
    ) -> int:
        """Sends SyncGroup; returns its ticket."""
        ticket = next(self._tickets)
        request = SyncRequest(
            ticket=ticket,
            member_id=member_id,
            instance_id=instance_id,
            generation=self.group.generation if generation is None else generation,
            protocol_type=protocol[0],
            protocol_name=protocol[1],
            assignments=assignments or {},
        )
        syncing.sync(self.group, request, self.now())
        self._settle()
        return ticket

    def heartbeat(
        self, member_id: str, generation: int | None = None, instance_id: str | None = None
    ) -> ErrorCode:
        return self.group.heartbeat(
            member_id, instance_id, self.group.generation if generation is None else generation, self.now()
        )

    def leave(self, member_id: str, instance_id: str | None = None) -> ErrorCode:
        error = rebalance.leave(self.group, member_id, instance_id, self.now())
        self._settle()
        return error

    def pass_time(self, milliseconds: int) -> None:
        """Lets time pass, and runs what is due at each deadline on the way."""
        end = self.clock.monotonic() + milliseconds / 1000
        while (deadline := self.group.next_deadline()) is not None and deadline <= end:
            step = round((deadline - self.clock.monotonic()) * 1000)
            self.clock.advance(max(step, 0))
            if self.clock.monotonic() < deadline:
                # By a rounding error of sums of seconds.
                self.clock.advance(1)
            rebalance.on_time(self.group, self.now())
            self._settle()
        self.clock.advance(max(round((end - self.clock.monotonic()) * 1000), 0))

    def finish_store(self, error: ErrorCode = ErrorCode.NONE) -> None:
        """The oldest store is carried out."""
        syncing.on_stored(self.group, self.stores.pop(0), error, self.now())
        self._settle()

    def stable(self, count: int, *, instances: bool = False) -> list[str]:
        """Brings `count` members into a stable group; the first one leads."""
        tickets = [self.join(instance_id=f"i{index + 1}" if instances else None) for index in range(count)]
        self.pass_time(2 * DELAY_MS)
        members = [self.joins[ticket].member_id for ticket in tickets]
        for member_id in members[1:]:
            self.sync(member_id)
        self.sync(members[0], {member_id: member_id.encode() for member_id in members})
        assert self.group.state is GroupState.STABLE
        return members

    def _joined(self, ticket: int, result: JoinResult) -> None:
        assert ticket not in self.joins, "answered twice"
        self.joins[ticket] = result._replace(members=tuple(result.members))

    def _settle(self) -> None:
        for effect in self.group.take_effects():
            if isinstance(effect, JoinAnswer):
                self._joined(*effect)
            elif isinstance(effect, JoinAnswers):
                for ticket, result in effect.each():
                    self._joined(ticket, result)
            elif isinstance(effect, SyncAnswer | SyncAnswers):
                for ticket, synced in (effect,) if isinstance(effect, SyncAnswer) else effect.each():
                    assert ticket not in self.syncs, "answered twice"
                    self.syncs[ticket] = synced
            elif self._store_by_hand:
                self.stores.append(effect)
            else:
                syncing.on_stored(self.group, effect, ErrorCode.NONE, self.now())
                self._settle()
