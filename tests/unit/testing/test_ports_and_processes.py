"""Ports that stay a broker's, and processes that obey and end."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.testing import child as children
from fastlog.testing.child import Child, ChildDied
from fastlog.testing.ports import ReservedPort
from tests.harness.waiting import wait_until


@pytest.fixture(autouse=True)
def none_is_left() -> Iterator[None]:
    yield
    children.close()


def test_a_reserved_port_refuses_until_somebody_listens_there() -> None:
    port = ReservedPort()
    try:
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port.number))
            with port.listening(), socket.create_connection(("127.0.0.1", port.number)):
                pass
        # Nobody gets it who asks for any.
        others = [ReservedPort() for _ in range(200)]
        assert port.number not in {other.number for other in others}
        for other in others:
            other.close()
    finally:
        port.close()


def test_processes_are_forks_of_one_that_has_imported_all() -> None:
    first, second = Child(), Child()
    try:
        assert first.pid != second.pid
        assert parent_of(first.pid) == parent_of(second.pid) != os.getpid()
        assert first.is_alive
        assert first.end() == -9
        assert not first.is_alive
        assert second.is_alive
    finally:
        first.close()
        second.close()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_process_that_dies_is_told_of() -> None:
    child = Child()
    with pytest.raises(ChildDied, match="exit code 1"):
        # An order without what it takes.
        child.ask("broker")
    assert not child.is_alive


def test_the_end_of_the_socket_is_the_end_of_the_process() -> None:
    child = Child()
    child._answers.close()
    child._socket.close()
    assert child._has_ended(20)
    child.close()


def test_another_process_takes_the_place_of_one_that_was_killed() -> None:
    child = Child()
    os.kill(parent_of(child.pid), 9)
    assert child._has_ended(20), "it goes on although the process that it is a fork of is gone"
    child.close()
    other = Child()
    assert other.is_alive
    assert other.end() == -9


def test_processes_may_be_made_in_any_thread() -> None:
    """The kernel takes the end of a thread for the end of the parent of what it has started."""
    found: list[Child] = []
    thread = threading.Thread(target=lambda: found.append(Child()))
    thread.start()
    thread.join(20)
    assert not found[0]._has_ended(1.0)
    assert found[0].end() == -9


def test_a_fork_is_in_the_directory_of_who_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children.begin()
    monkeypatch.chdir(tmp_path)
    child = Child()
    try:
        wait_until(
            lambda: Path(f"/proc/{child.pid}/cwd").resolve() == tmp_path, "it is elsewhere", seconds=20
        )
    finally:
        child.close()
