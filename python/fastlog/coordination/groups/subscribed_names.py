"""The names of topics in what a member of a group of consumers says (`ConsumerProtocolSubscription`).

Member metadata is opaque but for its head: int16 version, int32 count, then as many names (int16 length +
UTF-8). It is read once, when the member joins, and never beyond the bounds here: a request of 16 MiB may
claim millions of names, and to read them is one piece of work.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Final

from fastlog.errors import FastlogError

if TYPE_CHECKING:
    from fastlog.coordination.groups.results import Protocols

MAX_TOPIC_NAMES: Final = 10_000
"""Of one subscription: a change of it is one step, in which each name is looked up and sorted."""
_MAX_OF_MEMBER: Final = 2 * MAX_TOPIC_NAMES
"""Of all protocols of a member together; clients that move to another assignor name two."""

SMALL_METADATA: Final = 512
"""What is known of metadata of so many bytes is remembered: members of many groups say the same."""
_SMALL_NAME: Final = 64
_SMALL_COUNT: Final = 4

_HEAD: Final = Struct(">hi")
_LENGTH: Final = Struct(">h")


class BadNames(FastlogError):
    """Bytes that are not an array of names, or one of too many."""


def read_names(data: bytes, at: int) -> tuple[list[str], int]:
    """(the names of the array whose count is at `at`, where it ends). Raises BadNames."""
    try:
        count = int.from_bytes(data[at : at + 4], "big", signed=True)
        at += 4
        if not 0 <= count <= MAX_TOPIC_NAMES or at > len(data):
            raise BadNames(f"{count} names of topics: there may be {MAX_TOPIC_NAMES}")
        names = []
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(data, at)
            end = at + 2 + length
            if length < 0 or end > len(data):
                raise BadNames("the name of a topic is null, or longer than what there is")
            names.append(data[at + 2 : end].decode())
            at = end
    except (StructError, UnicodeDecodeError) as error:
        raise BadNames(f"the name of a topic cannot be read: {error}") from None
    return names, at


def named_topics(protocols: Protocols) -> Mapping[str, frozenset[str]]:
    """The topics that a member subscribes to, by protocol.

    Protocols whose metadata makes no sense, or has too many names, are left out: of them nothing is known.
    """
    return _small_topics(protocols) if is_small(protocols) else _topics(protocols)


def is_small(protocols: Protocols) -> bool:
    """Whether what is known of them is remembered: those of nearly all members are."""
    if len(protocols) > _SMALL_COUNT:
        return False
    for name, metadata in protocols:
        if len(metadata) > SMALL_METADATA or len(name) > _SMALL_NAME:
            return False
    return True


def _topics(protocols: Protocols) -> Mapping[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    left = _MAX_OF_MEMBER
    for name, metadata in protocols:
        # The first of a name counts.
        if name in found:
            continue
        claimed, names = _names(metadata, left)
        if names is not None:
            found[name] = names
            left -= claimed
    return found


_small_topics: Final = lru_cache(maxsize=1024)(_topics)


def _names(metadata: bytes, most: int) -> tuple[int, frozenset[str] | None]:
    """(how many names there are, the names; None where they make no sense or are more than `most`)."""
    claimed = claimed_names(metadata)
    if claimed is None or claimed > most:
        return 0, None
    try:
        return claimed, frozenset(read_names(metadata, _LENGTH.size)[0])
    except BadNames:
        return 0, None


def claimed_names(metadata: bytes) -> int | None:
    """How many names there are to be at the head of metadata, None when they will not be read."""
    if len(metadata) < _HEAD.size:
        return None
    _, count = _HEAD.unpack_from(metadata)
    fits = 0 <= count <= min(MAX_TOPIC_NAMES, (len(metadata) - _HEAD.size) // _LENGTH.size)
    return int(count) if fits else None
