"""Where this broker's metadata is, and who changes it.

| `zookeeper.connect` | the metadata is in            | who decides                                        |
|---------------------|-------------------------------|----------------------------------------------------|
| set                 | the tree of ZooKeeper servers | the cluster's controller                           |
| not set             | the tree of a keeper here     | this broker, which is alone                        |

It speaks the same protocol with both trees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fastlog.coordination.producer_ids import ProducerIdStore
from fastlog.coordination.topic_admin import TopicAdmin
from fastlog.replication.controller_link import ControllerLink
from fastlog.server.lone_broker import has_former, lone_broker, take_over

if TYPE_CHECKING:
    from fastlog.base.clock import Clock
    from fastlog.base.tasks import Supervisor
    from fastlog.config import BrokerConfig
    from fastlog.coordination.member.member import Member
    from fastlog.coordination.producer_ids import ProducerIds
    from fastlog.server.topic_parts import TopicParts
    from fastlog.storage.log_manager import LogManager
    from fastlog.storage.starting import Preparation


class MetadataSource(Protocol):
    """`topics` and `producer_ids`, then `start` when all parts are there, `announce` when connections are
    about to be accepted, `settle` before clients are served, `leave` before connections are closed, `close`
    before logs are. Each raises FastlogError."""

    @property
    def config(self) -> BrokerConfig:
        """The configuration, with the id of this broker."""
        ...

    @property
    def producer_ids(self) -> ProducerIdStore:
        """Where blocks of producer ids come from."""
        ...

    @property
    def member(self) -> Member | None:
        """What other brokers ask; None where there are no others."""
        ...

    @property
    def link(self) -> ControllerLink:
        """To the controller, if there is one."""
        ...

    def broker_epoch(self) -> int:
        """That of this broker's registration, -1 without one."""
        ...

    def topics(self, parts: TopicParts) -> TopicAdmin:
        """Who changes topics."""
        ...

    async def start(self, producer_ids: ProducerIds) -> None:
        """From prepared log directories to open logs, with their topics where nobody else decides."""
        ...

    async def announce(self) -> None:
        """Makes this broker known."""
        ...

    async def settle(self) -> None:
        """Waits, within bounds, until the cluster is known here."""
        ...

    async def leave(self) -> None:
        """Hands over what others can do."""
        ...

    async def close(self) -> None:
        """Waits for a change that is under way, and leaves the cluster."""
        ...


async def metadata_source(
    config: BrokerConfig, logs: LogManager, preparation: Preparation, clock: Clock, tasks: Supervisor
) -> MetadataSource:
    """Raises InvalidConnectString, KeeperDamaged, StoreError, StorageError, OSError."""
    if config.zookeeper_connect:
        # A broker that is alone need not load what makes one of many.
        from fastlog.server.membership import join

        membership = await join(config, preparation, clock, tasks)
        try:
            is_first = bool(preparation.partitions) and await membership.is_first()
            if is_first or await has_former(logs):
                await take_over(membership.config, logs, preparation, clock, tasks)
        except BaseException:
            await membership.close()
            raise
        return membership
    return await lone_broker(config, logs, preparation, clock, tasks)
