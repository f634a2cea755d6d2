"""What handlers and coordinators ask of whoever changes topics (`MemberTopics`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.config_changes import ConfigChange, Configs
from fastlog.coordination.lifecycle import TopicObserver
from fastlog.coordination.topic_plan import DEFAULT, Assignments, MorePartitions, NewTopic
from fastlog.errors import KafkaError


class TopicAdmin(Protocol):
    """All methods raise KafkaError for the client to see. `seconds`: how long a change may take to be
    seen, where other brokers have a part in it."""

    def observe(self, observer: TopicObserver) -> None:
        """Tells `observer` what becomes of topics from now on."""
        ...

    async def create(
        self,
        name: str,
        partitions: int = DEFAULT,
        replication: int = DEFAULT,
        assignments: Assignments | None = None,
        configs: Mapping[str, str | None] | None = None,
    ) -> TopicState:
        """Makes a topic that this broker needs. Returns it as it is visible."""
        ...

    async def create_all(
        self, topics: Sequence[NewTopic], validate_only: bool = False, seconds: float = 30.0
    ) -> list[TopicState | KafkaError]:
        """Makes topics, each on its own merits, with an outcome for each."""
        ...

    async def create_asked_for(self, topics: Sequence[NewTopic]) -> list[TopicState | KafkaError]:
        """The same for topics that come into being by being asked for."""
        ...

    async def create_more_partitions(
        self, wanted: Sequence[MorePartitions], validate_only: bool = False, seconds: float = 30.0
    ) -> list[TopicState | Exception]:
        """Lets topics grow, none of which stands twice, with an outcome for each."""
        ...

    async def delete_all(
        self, topics: Sequence[str | bytes], seconds: float = 30.0
    ) -> list[TopicState | Exception]:
        """Deletes topics by name or id, with an outcome for each."""
        ...

    async def change_configs(
        self, changes: Sequence[ConfigChange], validate_only: bool = False
    ) -> list[Configs | Exception]:
        """Changes overrides, none of one resource twice; gives those in force then, or why not."""
        ...

    async def close(self) -> None:
        """Waits for changes that are under way."""
        ...
