"""When old objects are searched for cycles: not by themselves, not beside long requests, but now and then."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from fastlog.server.memory import old_objects
from fastlog.server.memory.old_objects import OldObjects


@pytest.fixture
def full_collections() -> Iterator[list[str]]:
    """One entry for each that is done."""
    seen: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            seen.append(phase)

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


def test_python_does_as_before_when_the_last_broker_has_ended() -> None:
    usual = gc.get_threshold()
    brokers = [OldObjects(lambda: 0), OldObjects(lambda: 0)]
    for broker in brokers:
        broker.begin()
        assert gc.get_threshold()[:2] == usual[:2]
        assert gc.get_threshold()[2] > 10**6
    brokers[0].end()
    brokers[0].end()
    assert gc.get_threshold() != usual
    brokers[1].end()
    assert gc.get_threshold() == usual


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every check finds as much as is collected at once, and what was set aside is given back."""
    monkeypatch.setattr(old_objects, "_MANY", 0)
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("many")
async def test_collections_wait_for_long_requests_but_not_for_ever(full_collections: list[str]) -> None:
    turns = 0
    objects = OldObjects(lambda: turns)
    await objects.check()
    assert len(full_collections) == 1
    for _ in range(59):
        turns += 1
        await objects.check()
    assert len(full_collections) == 1
    turns += 1
    await objects.check()
    assert len(full_collections) == 2
    await objects.check()
    assert len(full_collections) == 3


async def test_little_to_look_at_waits(
    full_collections: list[str], monkeypatch: pytest.MonkeyPatch, many: None
) -> None:
    monkeypatch.setattr(old_objects, "_MANY", 1_000_000)
    objects = OldObjects(lambda: 0)
    for _ in range(9):
        await objects.check()
    assert not full_collections
    await objects.check()
    assert len(full_collections) == 1


class Node:
    """One that may be part of a cycle."""

    def __init__(self) -> None:
        self.other: Node | None = None


@pytest.mark.usefixtures("many")
async def test_what_is_in_use_is_looked_at_once_and_cycles_among_it_go_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(old_objects, "_SET_ASIDE_FREELY", 1000)
    monkeypatch.setattr(OldObjects, "_in_use", gc.get_freeze_count())
    objects = OldObjects(lambda: 0)
    gc.unfreeze()
    await objects.check()
    kept = [Node() for _ in range(500)]
    for node in kept:
        node.other = node
    gone = [weakref.ref(node) for node in kept]
    await objects.check()
    assert not gc.get_objects(generation=2), "what a collection has gone over is not gone over again"
    kept.clear()
    node = None
    await objects.check()
    assert all(ref() is not None for ref in gone)
    monkeypatch.setattr(OldObjects, "_in_use", 0)
    await objects.check()
    assert all(ref() is None for ref in gone)


@pytest.mark.usefixtures("many")
async def test_what_was_set_aside_is_counted_only_when_it_may_be_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[int] = []
    count = gc.get_freeze_count

    def counting() -> int:
        counted.append(count())
        return counted[-1]

    objects = OldObjects(lambda: 0)
    await objects.check()
    monkeypatch.setattr(OldObjects, "_in_use", count())
    monkeypatch.setattr(OldObjects, "_set_aside", count())
    monkeypatch.setattr(old_objects, "_SET_ASIDE_FREELY", 50_000)
    monkeypatch.setattr(gc, "get_freeze_count", counting)
    for _ in range(5):
        await objects.check()
    assert not counted
    kept = [[number] for number in range(2 * count() + 100_000)]
    await objects.check()
    await objects.check()
    # Once to be sure, and once after all of them were looked at.
    assert len(counted) == 2
    assert OldObjects._in_use > len(kept)
