"""The stored records of all topics, by name and by what names have in common: no look-up visits all."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping

from fastlog.coordination.store import TopicRecord
from fastlog.coordination.topic_names import by_collision_key, colliding_topic, collision_key


class TopicRecords(MutableMapping[str, TopicRecord]):
    """A dict of records by name that knows which names collide."""

    def __init__(self, records: Mapping[str, TopicRecord] | None = None) -> None:
        self._by_name: MutableMapping[str, TopicRecord] = dict(records or {})
        self._by_key: MutableMapping[str, str] = by_collision_key(self._by_name)

    def draft(self) -> TopicRecords:
        """The same records, to which some can be added without any trace here."""
        drafted = TopicRecords()
        drafted._by_name = ChainMap({}, self._by_name)
        drafted._by_key = ChainMap({}, self._by_key)
        return drafted

    def colliding(self, name: str) -> str | None:
        """The topic that differs from `name` only by '.' against '_', or None."""
        return colliding_topic(name, self._by_key)

    def __getitem__(self, name: str) -> TopicRecord:
        return self._by_name[name]

    def __setitem__(self, name: str, record: TopicRecord) -> None:
        self._by_name[name] = record
        self._by_key[collision_key(name)] = name

    def __delitem__(self, name: str) -> None:
        del self._by_name[name]
        del self._by_key[collision_key(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)
