"""What the patterns of a group stand for, while they are resolved one after the other.

A pattern of a few bytes may stand for all topics. Patterns that stand for the same topics share them; one for
whose topics there is no memory stands for none, until it is resolved anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.coordination.groups.weight import resolved_weight

_LOG: Final = logging.getLogger(__name__)


class ResolvedPatterns:
    """Topics by pattern. `has_room` says whether the group may grow by so many bytes."""

    def __init__(self, group: ConsumerGroup, has_room: Callable[[int], bool]) -> None:
        self._group_id = group.group_id
        self._has_room = has_room
        self._before = {text: resolved_weight(known.topics) for text, known in group.regexes.items()}
        self._shared = {known.topics: known.topics for known in group.regexes.values()}
        self._more = 0
        self._found: dict[str, frozenset[str]] = {}

    @property
    def found(self) -> Mapping[str, frozenset[str]]:
        """What is known so far."""
        return self._found

    def add(self, text: str, topics: frozenset[str]) -> None:
        """The pattern stands for these."""
        more = resolved_weight(topics) - self._before.get(text, 0)
        if more > 0 and not self._has_room(self._more + more):
            _LOG.warning(
                "group %s: the pattern %.200r stands for no topic: there is no memory for its %d topics",
                *(self._group_id, text, len(topics)),
            )
            topics, more = frozenset(), -self._before.get(text, 0)
        self._more += more
        self._found[text] = self._shared.setdefault(topics, topics)
