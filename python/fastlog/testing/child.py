"""Processes under test, and the one that they are forks of.

A broker imports for a fifth of a second. So one process (`fastlog.testing.daemon`) imports all of it once for
a run of the tests, and every broker is a fork of that: there in the time that its own start takes.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

__all__ = ["Child", "ChildDied", "begin", "close", "tail"]

_PROGRAM: Final = "import sys; sys.path.append({!r}); from fastlog.testing.daemon import main; main({})"
_ROOT: Final = str(Path(__file__).parents[2])
"""Where this package is: pytest may have it from a path that no other process knows."""
_NOT_INHERITED: Final = ("KAFKA_", "FASTLOG_", "NOTIFY_SOCKET", "WATCHDOG_", "PYTEST_")
"""Beginnings of environment variables: a broker reads settings from some, and others are for pytest."""
_LARGEST: Final = 1 << 16
_FORK_SECONDS: Final = 60.0


class ChildDied(RuntimeError):
    """The process ended. The text has what it said last."""


class _Mother:
    """The process that all others are forks of. It ends when this one does."""

    def __init__(self) -> None:
        self.owner: Final = os.getpid()
        self._lock = threading.Lock()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - read when the process has died
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_FORK_SECONDS)
        with theirs:
            self._process = _from_lasting_thread(lambda: self._start(theirs))

    def _start(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - this interpreter, and a program of ours
            [sys.executable, "-P", "-c", _PROGRAM.format(_ROOT, theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            pass_fds=[theirs.fileno()],
            env=_environment(),
        )

    @property
    def is_usable(self) -> bool:
        """Whether it lives, and is this process' child."""
        return self.owner == os.getpid() and self._process.poll() is None

    def fork(self, control: socket.socket) -> int:
        """Makes a process that has the other end of `control`; its number. Raises ChildDied."""
        order = {"do": "fork", "environment": _environment(), "directory": str(Path.cwd())}
        return int(self._ask(order, [control.fileno()])["pid"])

    def reap(self, pid: int) -> int:
        """The exit code of a process that has ended; that of SIGKILL when nobody knows it any more."""
        try:
            return int(self._ask({"do": "reap", "pid": pid}, [])["code"])
        except (ChildDied, OSError):
            return -signal.SIGKILL

    def _ask(self, order: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        with self._lock:
            try:
                socket.send_fds(self._socket, [json.dumps(order).encode()], descriptors)
                answer = self._socket.recv(_LARGEST)
            except (BrokenPipeError, ConnectionResetError):
                answer = b""
        if not answer:
            self._said.seek(0)
            said = self._said.read()[-4000:].decode(errors="replace")
            raise ChildDied(f"the process that brokers are forks of ended: {said}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """Ends it. Its forks end with their own sockets, or with it."""
        self._socket.close()
        if self.owner == os.getpid():
            self._process.kill()
            self._process.wait()
        self._said.close()


class Child:
    """One process, which ends when this object is closed, and no later than this process."""

    def __init__(self) -> None:
        self.owner: Final = os.getpid()
        self._lock = threading.Lock()
        self._count = 0
        self._code: int | None = None
        self._mother = _mother()
        self._socket, theirs = socket.socketpair()
        try:
            with theirs:
                self.pid: Final = self._mother.fork(theirs)
            self._process = os.pidfd_open(self.pid)
        except BaseException:
            self._socket.close()
            raise
        self._answers = self._socket.makefile("rb")

    @property
    def is_alive(self) -> bool:
        """Whether the process runs (or is stopped), and was made by this one."""
        return self.owner == os.getpid() and self._process >= 0 and not self._has_ended(0)

    def send(self, do: str, **details: object) -> int:
        """Gives an order without waiting; its number. Raises ChildDied."""
        self._count += 1
        line = json.dumps({"id": self._count, "do": do, **details}) + "\n"
        try:
            self._socket.sendall(line.encode())
        except OSError as error:
            raise self._died() from error
        return self._count

    def wait(self, number: int, timeout: float) -> dict[str, Any]:
        """The answer to an order. Raises ChildDied, or TimeoutError."""
        self._socket.settimeout(timeout)
        try:
            while line := self._answers.readline():
                answer: dict[str, Any] = json.loads(line)
                if answer["id"] == number:
                    return answer
        except TimeoutError:
            raise TimeoutError(f"a process under test does not answer within {timeout:g} s") from None
        except OSError as error:
            raise self._died() from error
        raise self._died()

    def ask(self, do: str, timeout: float = 30.0, **details: object) -> dict[str, Any]:
        """Gives an order and waits for the answer. Raises ChildDied, or TimeoutError."""
        with self._lock:
            return self.wait(self.send(do, **details), timeout)

    def deliver(self, number: signal.Signals) -> None:
        """Sends a signal; nothing when the process is gone."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, number)

    def end(self, number: signal.Signals = signal.SIGKILL, timeout: float = 60.0) -> int:
        """Ends the process with a signal; its exit code. Raises TimeoutError when it takes longer."""
        self.deliver(number)
        if not self._has_ended(timeout):
            raise TimeoutError(f"a process under test does not end within {timeout:g} s")
        self.close()
        return -signal.SIGKILL if self._code is None else self._code

    def close(self) -> None:
        """Lets go of the process, which ends if it has not yet. May be called more than once."""
        if self._process < 0 or self.owner != os.getpid():
            return
        self.deliver(signal.SIGKILL)
        self._has_ended(60)
        self._code = self._mother.reap(self.pid)
        os.close(self._process)
        self._process = -1
        self._answers.close()
        self._socket.close()

    def _has_ended(self, timeout: float) -> bool:
        poll = select.poll()
        poll.register(self._process, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def _died(self) -> ChildDied:
        if not self._has_ended(10):
            return ChildDied("the process hangs while it ends")
        self.close()
        return ChildDied(f"the process ended (exit code {self._code})")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}


Start = Callable[[], subprocess.Popen[bytes]]
Started = subprocess.Popen[bytes] | BaseException


def _from_lasting_thread(start: Start) -> subprocess.Popen[bytes]:
    """Starts a process in a thread that ends no earlier than this process.

    The kernel takes the end of the thread that started a process for the end of its parent.
    """
    if threading.current_thread() is threading.main_thread():
        return start()
    asked: queue.SimpleQueue[Started] = queue.SimpleQueue()

    def run() -> None:
        try:
            asked.put(start())
        except BaseException as error:  # noqa: BLE001 - raised where it was asked for
            asked.put(error)
        threading.Event().wait()

    threading.Thread(target=run, name="fastlog starter of brokers", daemon=True).start()
    started = asked.get()
    if isinstance(started, BaseException):
        raise started
    return started


_lock = threading.Lock()
_the_mother: _Mother | None = None


def _mother() -> _Mother:
    global _the_mother
    with _lock:
        if _the_mother is None or not _the_mother.is_usable:
            if _the_mother is not None:
                _the_mother.close()
            _the_mother = _Mother()
        return _the_mother


def begin() -> None:
    """Has the imports begin: whoever needs a process later does not wait for them."""
    _mother()


def close() -> None:
    """Ends the process that others are forks of, and so all of them."""
    global _the_mother
    with _lock:
        mother, _the_mother = _the_mother, None
    if mother is not None:
        mother.close()


atexit.register(close)


def tail(log: Path, characters: int | None = 4000) -> str:
    """The end of a log file, or all of it; nothing when there is none."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return ""
    return text if characters is None else text[-characters:]
