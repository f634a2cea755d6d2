"""Resources of the configuration APIs: topics, brokers, broker loggers and groups (`ConfigResource.Type`)."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.topic_names import check_topic_name
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext


class ResourceType(IntEnum):
    """Kinds of resources with their numbers on the wire."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


def topic_resource(ctx: RequestContext, name: str) -> TopicState:
    """The topic; raises KafkaError INVALID_TOPIC_EXCEPTION or UNKNOWN_TOPIC_OR_PARTITION."""
    check_topic_name(name)
    state = ctx.broker.cluster.topics.get(name)
    if state is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"topic '{name}' does not exist")
    return state


def topic_to_alter(name: str) -> str:
    """The name of a topic that may be there: the change finds out, after it has looked at the settings.

    Raises KafkaError: INVALID_TOPIC_EXCEPTION, and INVALID_REQUEST for an empty name: that would stand for
    all topics, which have no settings of their own.
    """
    if not name:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "there are no settings for all topics: name one")
    check_topic_name(name)
    return name


def broker_resource(ctx: RequestContext, name: str) -> int | None:
    """This broker's node id, or None for all brokers (an empty name).

    Raises KafkaError(INVALID_REQUEST) for another broker's id: each broker answers for itself.
    """
    if not name:
        return None
    own = ctx.broker.config.node_id
    if not name.isascii() or not name.isdigit() or int(name) != own:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"'{name}' is not the id of this broker, which is {own}")
    return own


def group_resource(name: str) -> str:
    """The group's id, which no group need have; raises KafkaError(INVALID_REQUEST) for an empty one."""
    if not name:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "the name of a group must not be empty")
    return name


def unsupported(resource_type: int) -> KafkaError:
    """The error of a kind of resource that there is no configuration for."""
    names = {kind.value: kind.name for kind in ResourceType}
    what = names.get(resource_type, str(resource_type))
    return KafkaError(ErrorCode.INVALID_REQUEST, f"resources of type {what} have no configuration here")
