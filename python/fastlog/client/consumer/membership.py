"""A consumer's part in its group: when to join, what to give up and to take over, signs of life.

`attend` is called in every poll and does what there is to do; heartbeats go on beside it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final, Protocol

from fastlog.client.cluster import Cluster
from fastlog.client.consumer.config import ConsumerConfig
from fastlog.client.consumer.group.classic import ClassicMember
from fastlog.client.consumer.group.heartbeats import HeartbeatMember
from fastlog.client.consumer.listener import CallListener
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.client.offset_values import GroupMetadata
from fastlog.errors import ErrorCode

__all__ = ["Membership", "Owner", "make_membership"]

_LOG: Final = logging.getLogger("fastlog.client")
_PAUSE: Final = 0.1


class Owner(Protocol):
    """What the membership changes: the partitions that the consumer reads."""

    @property
    def owned(self) -> frozenset[TopicPartition]:
        """Those that are read."""
        ...

    async def take_over(self, names: frozenset[TopicPartition]) -> None:
        """Reads exactly these from now on, the new ones from where the group is."""
        ...

    async def commit_before(self) -> None:
        """Commits on its own account, if it does, before partitions go."""
        ...

    def poke(self) -> None:
        """A poll that waits looks again."""
        ...


class Membership(ABC):
    """What both protocols have in common."""

    newer = False

    def __init__(self, cluster: Cluster, config: ConsumerConfig, owner: Owner, call: CallListener) -> None:
        self._cluster = cluster
        self._config = config
        self._owner = owner
        self._call = call
        self._topics: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self._polled = time.monotonic()
        self._beating: asyncio.Task[None] | None = None
        self._looked = -math.inf
        self._failure: ClientError | None = None

    def subscribe(self, topics: frozenset[str], pattern: re.Pattern[str] | None) -> None:
        """Wants other topics from now on."""
        self._topics, self._pattern = topics, pattern
        self._looked = -math.inf

    def polled(self) -> None:
        """The caller is alive."""
        self._polled = time.monotonic()

    @property
    @abstractmethod
    def metadata(self) -> GroupMetadata:
        """Who commits."""
        ...

    @abstractmethod
    async def attend(self) -> None:
        """Does what the group asks for, until the member is settled. Raises ClientError."""
        ...

    @property
    @abstractmethod
    def is_settled(self) -> bool:
        """Whether there is nothing to do for `attend`."""
        ...

    async def close(self, *, leave: bool) -> None:
        """Ends heartbeats, and leaves."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        if leave:
            try:
                await self._leave()
            except ClientError as error:
                _LOG.info("group %s: it could not be left: %s", self._config.group_id, error)

    # -- inside --------------------

    @abstractmethod
    async def _leave(self) -> None: ...

    @abstractmethod
    async def _beat(self) -> None: ...

    @property
    def _interval(self) -> float:
        return self._config.heartbeat_interval_ms / 1000

    def _start_beating(self) -> None:
        if self._beating is None or self._beating.done():
            self._beating = asyncio.ensure_future(self._beat_on())

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            if time.monotonic() - self._polled > self._config.max_poll_interval_ms / 1000:
                _LOG.warning(
                    "group %s: no poll for max_poll_interval_ms=%d, leaving; the next poll joins again",
                    self._config.group_id,
                    self._config.max_poll_interval_ms,
                )
                await self._go_away()
                return
            try:
                await self._beat()
            except ClientError as error:
                if error.retriable:
                    _LOG.info("group %s: %s; trying again", self._config.group_id, error)
                    continue
                self._failure = error
                self._owner.poke()
                return

    async def _go_away(self) -> None:
        try:
            await self._leave()
        except ClientError as error:
            _LOG.info("group %s: it could not be left: %s", self._config.group_id, error)
        self._owner.poke()

    def _check(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def _matching(self) -> frozenset[str]:
        """The topics that are wanted, a pattern taken as what exists."""
        if self._pattern is None:
            return self._topics
        found = await self._cluster.metadata(None)
        return frozenset(
            topic.name
            for topic in found.topics.values()
            if topic.error is ErrorCode.NONE and not topic.is_internal and self._pattern.search(topic.name)
        )

    async def _give_up(self, names: frozenset[TopicPartition], *, lost: bool) -> None:
        if not names:
            return
        if not lost:
            await self._owner.commit_before()
        await self._call("lost" if lost else "revoked", names)
        await self._owner.take_over(self._owner.owned - names)

    async def _take(self, names: frozenset[TopicPartition]) -> None:
        new = names - self._owner.owned
        await self._owner.take_over(names)
        await self._call("assigned", new)


class ClassicMembership(Membership):
    """In the classic protocol: rebalances are joins."""

    def __init__(self, cluster: Cluster, config: ConsumerConfig, owner: Owner, call: CallListener) -> None:
        super().__init__(cluster, config, owner, call)
        self._member = ClassicMember(cluster, config, self._counts)
        self._must_join = True
        self._joined_for: frozenset[str] = frozenset()

    @property
    def metadata(self) -> GroupMetadata:
        """See `Membership`."""
        return self._member.metadata

    @property
    def is_settled(self) -> bool:
        """See `Membership`."""
        recent = time.monotonic() - self._looked < self._config.metadata_max_age_ms / 1000
        return not self._must_join and self._failure is None and recent

    async def attend(self) -> None:
        """See `Membership`."""
        self._check()
        await self._look_at_topics()
        while self._must_join:
            self._must_join = False
            try:
                await self._rebalance()
            except BaseException:
                self._must_join = True
                raise
        self._start_beating()

    async def _rebalance(self) -> None:
        member, owner = self._member, self._owner
        if self._beating is not None:
            self._beating.cancel()
        if member.take_lost():
            await self._give_up(owner.owned, lost=True)
        elif not member.is_cooperative:
            await self._give_up(owner.owned, lost=False)
        self._joined_for = await self._matching()
        found = frozenset(await member.join(self._joined_for, owner.owned))
        if member.take_lost():
            await self._give_up(owner.owned, lost=True)
        revoked = owner.owned - found
        if revoked:
            await self._give_up(revoked, lost=False)
            # What was given up can be given to others now.
            self._must_join = True
        await self._take(found)

    async def _look_at_topics(self) -> None:
        """New topics and new partitions call for another assignment."""
        now = time.monotonic()
        if now - self._looked < self._config.metadata_max_age_ms / 1000:
            return
        self._looked = now
        if self._must_join:
            return
        changed = await self._matching() != self._joined_for
        known = self._member.leads_topics
        if known is not None and not changed:
            counts = await self._counts(set(known))
            changed = {name: counts.get(name, 0) for name in known} != known
        # A heartbeat may have heard of a rebalance meanwhile.
        self._must_join = self._must_join or changed

    async def _counts(self, topics: set[str]) -> Mapping[str, int]:
        if not topics:
            return {}
        found = await self._cluster.metadata(sorted(topics))
        return {name: len(topic.partitions) for name, topic in found.topics.items() if topic.partitions}

    async def _beat(self) -> None:
        # In a rebalance, too: the caller has all of max_poll_interval_ms until the poll that joins.
        if self._member.generation >= 0 and not await self._member.heartbeat():
            self._must_join = True
            self._owner.poke()

    async def _leave(self) -> None:
        await self._member.leave()
        self._member.forget()
        self._member.lose()
        self._must_join = True


class NewerMembership(Membership):
    """In the protocol of KIP-848: the coordinator says what to own, and hears what is."""

    newer = True

    def __init__(self, cluster: Cluster, config: ConsumerConfig, owner: Owner, call: CallListener) -> None:
        super().__init__(cluster, config, owner, call)
        self._member = HeartbeatMember(cluster, config)
        self._ids: dict[bytes, str] = {}
        self._names: frozenset[str] = frozenset()
        self._joined = False

    @property
    def metadata(self) -> GroupMetadata:
        """See `Membership`."""
        return self._member.metadata

    @property
    def is_settled(self) -> bool:
        """See `Membership`."""
        recent = time.monotonic() - self._looked < self._config.metadata_max_age_ms / 1000
        return self._joined and recent and self._failure is None and self._wanted() == self._owner.owned

    async def attend(self) -> None:
        """See `Membership`."""
        self._check()
        while not self.is_settled:
            if self._member.take_lost():
                await self._give_up(self._owner.owned, lost=True)
            if time.monotonic() - self._looked >= self._config.metadata_max_age_ms / 1000:
                names = await self._matching()
                self._looked = time.monotonic()
                self._joined = self._joined and names == self._names
                self._names = names
            if not self._joined:
                await self._tell()
                self._joined = self._member.epoch > 0
                continue
            await self._know_ids()
            wanted, owned = self._wanted(), self._owner.owned
            if wanted is None:
                await asyncio.sleep(_PAUSE)
                await self._tell()
                continue
            if owned - wanted:
                await self._give_up(owned - wanted, lost=False)
                await self._tell()
            elif wanted - owned:
                await self._take(wanted)
                await self._tell()
        self._start_beating()

    def _wanted(self) -> frozenset[TopicPartition] | None:
        """The target, or None while there is none or its topics have no known name."""
        target = self._member.target
        if target is None or not target.keys() <= self._ids.keys():
            return None
        return frozenset(
            TopicPartition(self._ids[topic], index) for topic, indexes in target.items() for index in indexes
        )

    async def _know_ids(self) -> None:
        if self._member.target is not None and not self._member.target.keys() <= self._ids.keys():
            found = await self._cluster.metadata(None)
            self._ids = {topic.topic_id: topic.name for topic in found.topics.values()}

    async def _tell(self) -> None:
        await self._member.heartbeat(self._names, self._owner.owned, self._ids)

    async def _beat(self) -> None:
        await self._tell()
        if self._member.epoch == 0:
            self._joined = False
        if not self.is_settled:
            self._owner.poke()

    @property
    def _interval(self) -> float:
        return self._member.interval

    async def _leave(self) -> None:
        await self._member.leave()
        self._member.lose()
        self._member.target = None
        self._joined = False


def make_membership(cluster: Cluster, config: ConsumerConfig, owner: Owner, call: CallListener) -> Membership:
    """The membership in the protocol that is asked for."""
    kind = NewerMembership if config.group_protocol == "consumer" else ClassicMembership
    return kind(cluster, config, owner, call)
