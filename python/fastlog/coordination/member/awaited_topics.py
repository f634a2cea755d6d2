"""Topics that requests have made and wait for: whether they have been there, and are not any more.

Another request may delete a topic before all of it is led. Nothing would come of waiting for it then; and
that it is not to be seen is no sign of that, since it is not to be seen either before it is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from fastlog.coordination.cluster_view import TopicState


class AwaitedTopics:
    """Used on the event loop; topics go by their ids."""

    def __init__(self) -> None:
        self._awaited: Counter[bytes] = Counter()
        self._gone: set[bytes] = set()

    @contextmanager
    def while_awaited(self, ids: Collection[bytes]) -> Iterator[None]:
        """What becomes of these topics is remembered."""
        self._awaited.update(ids)
        try:
            yield
        finally:
            self._awaited.subtract(ids)
            over = [topic_id for topic_id in ids if self._awaited[topic_id] <= 0]
            for topic_id in over:
                self._awaited.pop(topic_id, None)
                self._gone.discard(topic_id)

    def note_gone(self, topics: Iterable[TopicState]) -> None:
        """The view does not show these topics any more."""
        self._gone.update(topic.topic_id for topic in topics if topic.topic_id in self._awaited)

    def is_gone(self, topic_id: bytes) -> bool:
        """Whether an awaited topic was to be seen, and is gone."""
        return topic_id in self._gone
