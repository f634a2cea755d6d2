"""Which of the topics that a Metadata request names its client may see, and which it may have made.

Of a topic that it may not describe nobody looks whether it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.server.access.gate import LOT, needs, on_cluster
from fastlog.server.handlers.metadata import Hidden
from fastlog.wire import ApiKey

if TYPE_CHECKING:
    from fastlog.coordination.cluster_view import ClusterSnapshot
    from fastlog.server.access.asking import Ask
    from fastlog.server.handlers.metadata import Asked
    from fastlog.wire import Steps

__all__ = ["seen"]


def seen(ask: Ask, snapshot: ClusterSnapshot, asked: Asked, creates: bool) -> Steps[tuple[Asked, Hidden]]:
    """(names and ids that are told of, the others). All topics (no names) that may be seen are named, unless
    these are all that there are. `creates`: what is missing is to be made."""
    names, ids = asked
    if names is None:
        return (yield from _all(ask, snapshot)), Hidden()
    told, hidden, not_to_be_made = yield from _by_name(ask, snapshot, names, creates)
    describe = needs(ApiKey.METADATA, 4)[0]
    told_ids: list[bytes] = []
    hidden_ids: list[bytes] = []
    for number, topic_id in enumerate(ids, start=1):
        state = snapshot.topics_by_id.get(topic_id)
        is_told = state is None or ask.may(describe.operation, describe.resource, state.name)
        (told_ids if is_told else hidden_ids).append(topic_id)
        if not number % LOT:
            yield
    found = Hidden(tuple(hidden), tuple(hidden_ids), tuple(not_to_be_made))
    return (tuple(told), tuple(told_ids)), found


def _all(ask: Ask, snapshot: ClusterSnapshot) -> Steps[Asked]:
    describe = needs(ApiKey.METADATA, 4)[0]
    allowed = []
    for number, name in enumerate(snapshot.topics, start=1):
        if ask.tries(describe.operation, describe.resource, name):
            allowed.append(name)
        if not number % LOT:
            yield
    everything = len(allowed) == len(snapshot.topics)
    return None if everything else tuple(allowed), ()


def _by_name(
    ask: Ask, snapshot: ClusterSnapshot, names: tuple[str, ...], creates: bool
) -> Steps[tuple[list[str], list[str], list[str]]]:
    """Names that are told of, those that may not be described, and those that may not be made."""
    describe, create_all, create, _ = needs(ApiKey.METADATA, 4)
    told: list[str] = []
    hidden: list[str] = []
    not_to_be_made: list[str] = []
    for number, name in enumerate(names, start=1):
        if not ask.may(describe.operation, describe.resource, name):
            hidden.append(name)
        elif (
            creates
            and name not in snapshot.topics
            and not on_cluster(ask, create_all)
            and not ask.may(create.operation, create.resource, name)
        ):
            not_to_be_made.append(name)
        else:
            told.append(name)
        if not number % LOT:
            yield
    return told, hidden, not_to_be_made
