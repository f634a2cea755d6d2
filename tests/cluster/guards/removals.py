"""What a broker is like without one of its guards. Each is small: what a careless change might make of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastlog.coordination.controller import alter_partition, elections
from fastlog.coordination.controller.data import Leadership
from fastlog.coordination.controller.elections import Election
from fastlog.coordination.member.controller_fence import ControllerFence
from fastlog.errors import ErrorCode
from fastlog.native import Log, ProducePlan
from fastlog.native.shapes import ProduceResult
from fastlog.replication import partition
from fastlog.replication.broker_epochs import BrokerEpochs
from fastlog.replication.fetch_positions import FetchPosition
from fastlog.replication.isr import InSyncSet
from fastlog.replication.partition import Partition
from fastlog.server.fetch import rows
from fastlog.storage.io import IoLoop

Patch = Callable[[Any, str, object], object]
"""As `setattr`."""


def fence(patch: Patch) -> None:
    """An append that was queued in an older epoch lands in the one that the log is in now."""
    produce = IoLoop.produce

    def in_any_epoch(
        self: IoLoop,
        plan: ProducePlan,
        targets: list[Log | int],
        epochs: list[int],
        guards: dict[int, int] | None = None,
    ) -> asyncio.Future[list[ProduceResult]]:
        pairs = zip(targets, epochs, strict=True)
        now = [epoch if isinstance(log, int) else max(epoch, log.latest_epoch) for log, epoch in pairs]
        return produce(self, plan, targets, now, guards)

    patch(IoLoop, "produce", in_any_epoch)


def truncation(patch: Patch) -> None:
    """Followers neither say which epoch their log ends with nor cut it."""
    patch(FetchPosition, "last_epoch", _always(-1))
    patch(FetchPosition, "cut_to", _always(None))


def epochs_of_followers(patch: Patch) -> None:
    """Followers cut to their high watermark, as Kafka's did before KIP-101."""
    patch(FetchPosition, "last_epoch", _always(-1))


def divergence(patch: Patch) -> None:
    """Leaders never tell a follower that its log is another one."""

    def never(*_: object) -> None:
        return None

    patch(rows, "divergence", never)


def min_in_sync_before(patch: Patch) -> None:
    """NOT_ENOUGH_REPLICAS is found out when the records are in the log."""
    ack_error = Partition.ack_error

    def let_in(self: Partition, acks: int) -> int:
        return self.leader_error()

    def afterwards(self: Partition, acks: int, end_offset: int, leader_epoch: int) -> int | None:
        if acks == -1 and len(self.in_sync) < self.least_in_sync:
            return ErrorCode.NOT_ENOUGH_REPLICAS
        return ack_error(self, acks, end_offset, leader_epoch)

    patch(Partition, "write_error", let_in)
    patch(Partition, "ack_error", afterwards)


def min_in_sync_after(patch: Patch) -> None:
    """The high watermark rises however few are in sync (KAFKA-15583)."""
    high_watermark = partition.high_watermark

    def of_any(*arguments: Any, least: int, **others: Any) -> int | None:
        return high_watermark(*arguments, least=0, **others)

    patch(partition, "high_watermark", of_any)


def watermark(patch: Patch) -> None:
    """The high watermark is where the leader's own log ends."""

    def own_end(end: int, *_: object, **__: object) -> int:
        return end

    patch(partition, "high_watermark", own_end)


def pending_shrink(patch: Patch) -> None:
    """Who is asked to leave the in-sync set is not waited for from then on."""
    patch(InSyncSet, "maximal", property(lambda self: self.committed - self.leaving))
    patch(InSyncSet, "proposed", property(lambda self: self.committed - self.leaving | _joining(self)))
    high_watermark = partition.high_watermark

    def of_those_who_stay(
        end: int, followers: dict[int, Any], in_sync: InSyncSet, **others: Any
    ) -> int | None:
        staying = {replica: each for replica, each in followers.items() if replica not in in_sync.leaving}
        return high_watermark(end, staying, in_sync, **others)

    patch(partition, "high_watermark", of_those_who_stay)


def controller_epoch(patch: Patch) -> None:
    """Brokers obey a controller that is none any more."""
    refused = ControllerFence.refused

    async def only_for_another_life(self: ControllerFence, request: Any) -> ErrorCode:
        error = await refused(self, request)
        return ErrorCode.NONE if error is ErrorCode.STALE_CONTROLLER_EPOCH else error

    patch(ControllerFence, "refused", only_for_another_life)


def broker_epoch_of_orders(patch: Patch) -> None:
    """Brokers obey what was meant for a former life of theirs (KAFKA-7235)."""
    refused = ControllerFence.refused

    async def only_of_another_controller(self: ControllerFence, request: Any) -> ErrorCode:
        error = await refused(self, request)
        return ErrorCode.NONE if error is ErrorCode.STALE_BROKER_EPOCH else error

    patch(ControllerFence, "refused", only_of_another_controller)


def broker_epoch_of_followers(patch: Patch) -> None:
    """Leaders believe what a former life of a follower has sent (KIP-903)."""

    def anybody(*_: object) -> bool:
        return True

    patch(BrokerEpochs, "admit", anybody)


def asking_leader(patch: Patch) -> None:
    """The controller takes whoever asks for an in-sync set for the leader, in whatever epoch."""

    def as_asked(_: object, __: object, now: Leadership, asked: alter_partition.Asked) -> Leadership:
        return Leadership(
            *(asked.broker, asked.leader_epoch, asked.isr),
            partition_epoch=now.partition_epoch,
            controller_epoch=now.controller_epoch,
        )

    patch(alter_partition, "check", as_asked)


def dead_members(patch: Patch) -> None:
    """The controller lets a broker into an in-sync set that is not there any more."""

    def anybody(*_: object) -> bool:
        return True

    patch(alter_partition, "_is_eligible", anybody)


def unseen_restarts(patch: Patch) -> None:
    """A member of an in-sync set that has come back while nobody was controller stays in it (KIP-966)."""

    def never(*_: object) -> bool:
        return False

    patch(elections, "_came_back_unseen", never)


def clean_elections(patch: Patch) -> None:
    """Any replica that is there may lead."""
    rules = {**elections._RULES, Election.OFFLINE: elections._RULES[Election.UNCLEAN]}
    patch(elections, "_RULES", rules)


GUARDS: dict[str, Callable[[Patch], None]] = {
    "fence": fence,
    "truncation": truncation,
    "epochs of followers": epochs_of_followers,
    "divergence": divergence,
    "min in sync before": min_in_sync_before,
    "min in sync after": min_in_sync_after,
    "watermark": watermark,
    "pending shrink": pending_shrink,
    "controller epoch": controller_epoch,
    "broker epoch of orders": broker_epoch_of_orders,
    "broker epoch of followers": broker_epoch_of_followers,
    "asking leader": asking_leader,
    "dead members": dead_members,
    "unseen restarts": unseen_restarts,
    "clean elections": clean_elections,
}
"""By name."""


def _always(value: object) -> property:
    """An attribute that takes no other value."""

    def ignore(self: object, given: object) -> None:
        """It stays."""

    return property(lambda self: value, ignore)


def _joining(in_sync: InSyncSet) -> frozenset[int]:
    return frozenset() if in_sync.joining is None else frozenset([in_sync.joining])
