"""The persistent map against a dict, and what its versions share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.base.persistent_map import PersistentMap


class Key:
    """A key whose hash is chosen: many that collide in some bits or in all."""

    def __init__(self, name: int, bits: int) -> None:
        self.name = name
        self.bits = bits

    def __hash__(self) -> int:
        return self.bits

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other.name == self.name

    def __repr__(self) -> str:
        return f"k{self.name}"


# Some share all bits of the hash, some the lowest ten, some none; some hashes are negative.
KEYS = [Key(name, (-3, name << 10, name)[name % 3]) for name in range(200)]
CHANGES = st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 199), max_size=90)), max_size=12)


@given(CHANGES)
def test_it_holds_what_a_dict_holds_and_old_versions_stay(changes: list[tuple[bool, set[int]]]) -> None:
    held: PersistentMap[Key, object] = PersistentMap()
    model: dict[Key, object] = {}
    versions = [(held, dict(model))]
    for adds, numbers in changes:
        keys = [KEYS[number] for number in numbers]
        if adds:
            new = {key: object() for key in keys}
            held = held.updated(new)
            model.update(new)
        else:
            held = held.without(keys)
            for key in keys:
                model.pop(key, None)
        versions.append((held, dict(model)))
    for version, expected in versions:
        assert version == expected
        assert len(version) == len(expected) == len(list(version))
        assert set(version.values()) == set(expected.values())
        assert all(version[key] is version.get(key) is value for key, value in expected.items())
        assert [key for key in KEYS if key in version] == [key for key in KEYS if key in expected]
        told = {key: (old, new) for key, old, new in version.differences(held)}
        assert told == {
            key: (expected.get(key), model.get(key))
            for key in KEYS
            if expected.get(key) is not model.get(key)
        }


def test_a_missing_key() -> None:
    held = PersistentMap({"a": 1})
    assert (held.get("b"), held.get("b", 7)) == (None, 7)
    with pytest.raises(KeyError):
        held["b"]
    assert held.without(["b"]) is held.updated({}) is held


def nodes(node: Any) -> Iterator[Any]:
    yield node
    if type(node) is list:
        for child in node:
            yield from nodes(child)


@pytest.mark.parametrize("count", [1_000, 32_000])
def test_what_a_change_copies_does_not_grow_with_the_map(count: int) -> None:
    before = PersistentMap({f"topic-{number}": number for number in range(count)})
    shared = {id(node) for node in nodes(before._root)}
    for after in (before.updated({"topic-7": -1}), before.without(["topic-7"]), before.updated({"new": 1})):
        copied = [node for node in nodes(after._root) if id(node) not in shared]
        # A path from the top; a leaf that was full has become some smaller ones.
        assert sum(map(len, copied)) < 150
        (difference,) = before.differences(after)
        assert difference[0] in {"topic-7", "new"}
