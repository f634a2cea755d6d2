"""How much a reassignment may take of the network: the settings that limit it, and their removal.

A rate in bytes a second on every broker that takes part, {leader,follower}.replication.throttled.rate, and on
every topic that moves the replicas for which it counts, {leader,follower}.replication.throttled.replicas, as
`partition:broker,...`: those that send, and those that are new. Replicas that are in sync are never limited.
Both sides have a limit, as kafka-reassign-partitions sets it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fastlog.client import ClientError, Cluster, TopicPartition
from fastlog.client.admin.configs import (
    ConfigResource,
    ConfigResourceType,
    ConfigSource,
    alter_configs,
    describe_configs,
)
from fastlog.errors import ErrorCode

__all__ = ["Move", "Throttled", "clear_throttles", "set_throttles", "throttled_replicas"]

_LEADERS: Final = "leader.replication.throttled.replicas"
_FOLLOWERS: Final = "follower.replication.throttled.replicas"
_RATES: Final = ("leader.replication.throttled.rate", "follower.replication.throttled.rate")


@dataclass(frozen=True, slots=True)
class Move:
    """Node ids of the replicas that a partition has, and of those that it is to get."""

    origin: tuple[int, ...]
    adding: tuple[int, ...]


@dataclass(slots=True)
class Throttled:
    """The topics and brokers whose settings were changed, and what failed."""

    topics: list[str] = field(default_factory=list)
    brokers: list[int] = field(default_factory=list)
    errors: dict[str, ClientError] = field(default_factory=dict)

    def add(self, outcomes: Mapping[ConfigResource, ClientError | None]) -> None:
        """Notes what came of each."""
        for resource, error in outcomes.items():
            if error is not None:
                self.errors[f"{resource.kind.name.lower()} {resource.name}"] = error
            elif resource.kind is ConfigResourceType.TOPIC:
                self.topics.append(resource.name)
            else:
                self.brokers.append(int(resource.name))


def throttled_replicas(moves: Mapping[TopicPartition, Move]) -> dict[str, tuple[str, str]]:
    """By topic: the replicas that send, and those that receive. Only what gets new replicas is in it."""
    leaders: defaultdict[str, list[str]] = defaultdict(list)
    followers: defaultdict[str, list[str]] = defaultdict(list)
    for name, move in sorted(moves.items()):
        if move.adding:
            leaders[name.topic] += [f"{name.partition}:{node}" for node in move.origin]
            followers[name.topic] += [f"{name.partition}:{node}" for node in move.adding]
    return {topic: (",".join(rows), ",".join(followers[topic])) for topic, rows in leaders.items()}


async def set_throttles(cluster: Cluster, moves: Mapping[TopicPartition, Move], rate: int) -> Throttled:
    """Limits these moves to `rate` bytes a second on each broker. Raises ClientError for a broken call."""
    done = Throttled()
    topics = throttled_replicas(moves)
    nodes = {node for move in moves.values() if move.adding for node in (*move.origin, *move.adding)}
    # First the rates: replicas that are named under no rate would not be limited at all.
    done.add(
        await alter_configs(
            cluster,
            {
                # A broker that is down cannot be asked, and neither sends nor receives.
                ConfigResource.broker(node): dict.fromkeys(_RATES, rate)
                for node in sorted(nodes & cluster.brokers.keys())
            },
        )
    )
    done.add(
        await alter_configs(
            cluster,
            {
                ConfigResource.topic(topic): {_LEADERS: sending, _FOLLOWERS: receiving}
                for topic, (sending, receiving) in topics.items()
            },
        )
    )
    return done


async def clear_throttles(
    cluster: Cluster, topics: Iterable[str] | None = None, *, rates: bool = True
) -> Throttled:
    """Removes the limits from these topics, or from all; with `rates` also from all live brokers.

    Only what is set is touched. Raises ClientError for a broken call.
    """
    done = Throttled()
    named = list((await cluster.metadata()).topics if topics is None else topics)
    of_topics = [ConfigResource.topic(name) for name in named]
    done.add(await _clear(cluster, of_topics, (_LEADERS, _FOLLOWERS), ConfigSource.TOPIC))
    if rates:
        of_brokers = [ConfigResource.broker(node) for node in sorted(cluster.brokers)]
        done.add(await _clear(cluster, of_brokers, _RATES, ConfigSource.BROKER))
    return done


async def _clear(
    cluster: Cluster, resources: Sequence[ConfigResource], keys: tuple[str, ...], source: ConfigSource
) -> dict[ConfigResource, ClientError | None]:
    found = await describe_configs(cluster, resources, keys=keys)
    changes: dict[ConfigResource, dict[str, None]] = {}
    result: dict[ConfigResource, ClientError | None] = {}
    for resource, entries in found.items():
        if isinstance(entries, ClientError):
            # A topic that was deleted meanwhile has no settings any more.
            if entries.code is not ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
                result[resource] = entries
            continue
        # Some brokers tell more than they were asked for.
        mine = [item for item in entries if item.name in keys and item.source is source]
        if mine:
            changes[resource] = dict.fromkeys(item.name for item in mine)
    return result | (await alter_configs(cluster, changes) if changes else {})
