"""An immutable mapping whose changed copies share with it all but what has changed: a hash trie.

A copy costs one small node on each level of the trie, 32 slots or up to 32 entries, and there are few levels:
three for 30,000 entries. Two versions are compared at the same cost, as what they share is not looked at.

Inner nodes are lists, chosen by five bits of the key's hash on each level; leaves are dicts. Neither changes
once it is part of a map. Entries stand in no order that means anything.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from typing import Any, Final, Generic, TypeAlias, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

Node: TypeAlias = "dict[Any, Any] | list[Node]"
"""Keys and values are those of the map; mypy knows no recursive type with parameters."""

_BITS: Final = 5
_SLOTS: Final = 1 << _BITS
_MASK: Final = _SLOTS - 1
_LEAF_ENTRIES: Final = 32
# A branch that holds no more than this becomes a leaf again: not at once when one entry comes and goes.
_FEW_ENTRIES: Final = _LEAF_ENTRIES // 2
# Beyond the bits of a hash there is nothing to tell keys apart by.
_DEEPEST: Final = 60
_EMPTY: Final[dict[Any, Any]] = {}


class PersistentMap(Mapping[K, V], Generic[K, V]):
    """`updated` and `without` give other maps; this one stays as it is. No value is None."""

    __slots__ = ("_root", "_size")

    def __init__(self, entries: Mapping[K, V] | None = None) -> None:
        self._root: Node = _merged(_EMPTY, dict(entries), 0) if entries else _EMPTY
        self._size = len(entries) if entries else 0

    def updated(self, changed: Mapping[K, V]) -> PersistentMap[K, V]:
        """The same with these entries, added or replaced."""
        if not changed:
            return self
        size = self._size + sum(key not in self for key in changed)
        return _of(_merged(self._root, dict(changed), 0), size)

    def without(self, keys: Iterable[K]) -> PersistentMap[K, V]:
        """The same without these keys; those that are not there are ignored."""
        gone = {key: None for key in keys if key in self}
        if not gone:
            return self
        return _of(_reduced(self._root, gone, 0), self._size - len(gone))

    def differences(self, after: PersistentMap[K, V]) -> Iterator[tuple[K, V | None, V | None]]:
        """(key, value here, value in `after`) where the two are not the same object; None: not there."""
        pairs = [(self._root, after._root)] if self._root is not after._root else []
        while pairs:
            old, new = pairs.pop()
            if type(old) is list and type(new) is list:
                pairs += [pair for pair in zip(old, new, strict=True) if pair[0] is not pair[1]]
                continue
            # A leaf that was split, or a branch that became one, has few entries.
            former, latter = _entries_of(old), _entries_of(new)
            for key, value in former.items():
                if latter.get(key) is not value:
                    yield key, value, latter.get(key)
            for key in latter.keys() - former.keys():
                yield key, None, latter[key]

    def __getitem__(self, key: K) -> V:
        value: V = self._leaf(key)[key]
        return value

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | D) -> V | D: ...
    def get(self, key: K, /, default: V | D | None = None) -> V | D | None:
        """The value of a key, or the default."""
        # As in `_leaf`, without a call: this is what requests do for each partition.
        node, bits = self._root, hash(key)
        while type(node) is list:
            node = node[bits & _MASK]
            bits >>= _BITS
        value: V | D | None = node.get(key, default)  # type: ignore[union-attr]
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._leaf(key)

    def __iter__(self) -> Iterator[K]:
        return (key for leaf in _leaves(self._root) for key in leaf)

    def __len__(self) -> int:
        return self._size

    def values(self) -> ValuesView[V]:
        """The values, without a look-up of each key."""
        return _Values(self)

    def items(self) -> ItemsView[K, V]:
        """The entries, without a look-up of each key."""
        return _Items(self)

    def _leaf(self, key: object) -> dict[Any, Any]:
        node, bits = self._root, hash(key)
        while type(node) is list:
            node = node[bits & _MASK]
            bits >>= _BITS
        return node  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"PersistentMap({dict(self.items())!r})"


class _Values(ValuesView[V]):
    _mapping: PersistentMap[Any, V]

    def __iter__(self) -> Iterator[V]:
        return (value for leaf in _leaves(self._mapping._root) for value in leaf.values())


class _Items(ItemsView[K, V]):
    _mapping: PersistentMap[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return _entries(self._mapping._root)


def _of(root: Node, size: int) -> PersistentMap[Any, Any]:
    made: PersistentMap[Any, Any] = PersistentMap()
    made._root, made._size = root, size
    return made


def _merged(node: Node, changed: dict[Any, Any], shift: int) -> Node:
    if type(node) is dict:
        entries = node | changed
        if len(entries) <= _LEAF_ENTRIES or shift > _DEEPEST:
            return entries
        node, changed = [_EMPTY] * _SLOTS, entries
    branch = node.copy()
    for slot, part in _by_slot(changed, shift).items():
        branch[slot] = _merged(branch[slot], part, shift + _BITS)
    return branch


def _reduced(node: Node, gone: dict[Any, Any], shift: int) -> Node:
    if type(node) is dict:
        return {key: value for key, value in node.items() if key not in gone}
    branch: list[Node] = node.copy()  # type: ignore[assignment]
    for slot, part in _by_slot(gone, shift).items():
        branch[slot] = _reduced(branch[slot], part, shift + _BITS)
    if sum(map(len, branch)) > _FEW_ENTRIES:
        return branch
    # Branches have 32 slots each: there are none.
    return dict(_entries(branch))


def _by_slot(entries: dict[Any, Any], shift: int) -> dict[int, dict[Any, Any]]:
    parts: dict[int, dict[Any, Any]] = {}
    for key, value in entries.items():
        parts.setdefault((hash(key) >> shift) & _MASK, {})[key] = value
    return parts


def _leaves(node: Node) -> Iterator[dict[Any, Any]]:
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if type(found) is list:
            waiting.extend(found)
        else:
            yield found  # type: ignore[misc]


def _entries_of(node: Node) -> dict[Any, Any]:
    return node if type(node) is dict else dict(_entries(node))


def _entries(node: Node) -> Iterator[tuple[Any, Any]]:
    return (entry for leaf in _leaves(node) for entry in leaf.items())
