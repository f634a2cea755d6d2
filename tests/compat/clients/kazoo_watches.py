"""kazoo over connections that break: `kazoo_watches PROXY SERVER`. "do ..." asks for something."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable
from typing import Any

from kazoo.client import KazooClient, KazooState

_SECONDS = 60


def ask(what: str) -> None:
    print(f"do {what}", flush=True)
    if not sys.stdin.readline():
        raise SystemExit("nobody answers")


def until(told: queue.Queue[Any], wanted: Callable[[Any], bool]) -> None:
    """Takes what was told up to what is wanted. Raises queue.Empty."""
    while not wanted(told.get(timeout=_SECONDS)):
        continue


def main(proxy: str, server: str) -> None:
    mine, other = KazooClient(proxy, timeout=10), KazooClient(server, timeout=10)
    states: queue.Queue[str] = queue.Queue()
    data: queue.Queue[bytes | None] = queue.Queue()
    children: queue.Queue[list[str]] = queue.Queue()
    mine.add_listener(states.put)
    mine.start(_SECONDS)
    other.start(_SECONDS)
    other.create("/a", b"first")
    # Data and children of one path, in this order: kazoo pull 305.
    mine.DataWatch("/a", lambda value, stat: data.put(value))
    mine.ChildrenWatch("/a", children.put)
    until(data, lambda value: value == b"first")
    until(children, lambda names: names == [])
    session = mine.client_id
    mine.create("/mine", ephemeral=True)
    for number in range(3):
        ask("cut")
        until(states, lambda state: state == KazooState.SUSPENDED)
        until(states, lambda state: state == KazooState.CONNECTED)
        other.set("/a", b"%d" % number)
        other.create(f"/a/{number}")
        until(data, lambda value, number=number: value == b"%d" % number)
        until(children, lambda names, number=number: len(names) == number + 1)
    ask("refuse")
    until(states, lambda state: state == KazooState.SUSPENDED)
    other.set("/a", b"while it was away")
    other.delete("/a/0")
    ask("admit")
    until(data, lambda value: value == b"while it was away")
    until(children, lambda names: len(names) == 2)
    assert mine.client_id == session
    assert other.exists("/mine")
    # A hundred changes that the next server has never heard of.
    for _ in range(100):
        mine.set("/a", b"ahead")
    other.stop()
    ask("wipe")
    until(states, lambda state: state == KazooState.LOST)
    until(states, lambda state: state == KazooState.CONNECTED)
    until(data, lambda value: value is None)
    assert mine.client_id != session
    assert not mine.exists("/mine")
    mine.create("/a", b"anew")
    until(data, lambda value: value == b"anew")
    mine.stop()
    print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
