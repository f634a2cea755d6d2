"""What AlterConfigs and IncrementalAlterConfigs share: resources are changed some at a time, in one write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from fastlog.coordination.config_changes import ConfigChange, ConfigKind
from fastlog.server.admin.admin_errors import outcome
from fastlog.server.admin.config_resources import (
    ResourceType,
    broker_resource,
    group_resource,
    topic_to_alter,
    unsupported,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastlog.coordination.lifecycle import ConfigOp
    from fastlog.server.requests.context import RequestContext

# So many resources, or settings, go in one change: others need not wait for all of them.
_RESOURCES_AT_ONCE: Final = 64
_SETTINGS_AT_ONCE: Final = 1000


class Answer(Protocol):
    """What a resource is answered with."""

    error_code: int
    error_message: str | None


class ConfigBatch:
    """Collects changes, and carries them out when there are enough of them."""

    def __init__(self, ctx: RequestContext, validate_only: bool) -> None:
        self._ctx = ctx
        self._validate_only = validate_only
        self._waiting: list[tuple[Answer, ConfigChange]] = []
        self._settings = 0

    async def add(self, answer: Answer, change: ConfigChange) -> None:
        """Has `change` carried out, now or with later ones; `answer` then says how it went."""
        size = len(change.wanted)
        if self._waiting and self._settings + size > _SETTINGS_AT_ONCE:
            await self.finish()
        self._waiting.append((answer, change))
        self._settings += size
        if len(self._waiting) >= _RESOURCES_AT_ONCE:
            await self.finish()

    async def finish(self) -> None:
        """Carries out what waits."""
        waiting, self._waiting, self._settings = self._waiting, [], 0
        if not waiting:
            return
        topics = self._ctx.broker.topics
        work = topics.change_configs([change for _, change in waiting], self._validate_only)
        changed, code, message = await outcome(work)
        for index, (answer, _) in enumerate(waiting):
            if changed is None:
                answer.error_code, answer.error_message = code, message
            else:
                _, answer.error_code, answer.error_message = await outcome(_told(changed[index]))


def change_of(
    ctx: RequestContext, resource_type: int, name: str, wanted: Sequence[ConfigOp] | Mapping[str, str]
) -> ConfigChange:
    """The change of a resource as the protocol names it. Raises KafkaError for one that has no settings."""
    match resource_type:
        case ResourceType.TOPIC:
            return ConfigChange(ConfigKind.TOPIC, topic_to_alter(name), wanted)
        case ResourceType.BROKER:
            return ConfigChange(ConfigKind.BROKER, broker_resource(ctx, name), wanted)
        case ResourceType.GROUP:
            return ConfigChange(ConfigKind.GROUP, group_resource(name), wanted)
        case other:
            raise unsupported(other)


async def _told(outcome_of_one: object) -> None:
    if isinstance(outcome_of_one, Exception):
        raise outcome_of_one
