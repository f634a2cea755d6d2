"""Runs `fastlog` in forks of a process that has imported it: a start takes milliseconds, not half a second.

A run is still a process of its own, with its own arguments, environment, directory, streams and exit status,
and it ends as Python ends. What a fork does not show is the import: tests of that start a process.

As a program it is the server: it reads requests from the socket whose descriptor is its argument.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

_LARGEST_REQUEST = 128 * 1024


class ForkServer:
    """The server and this process' end of its socket."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=Path(__file__).parents[2],
            )

    def run(
        self, args: tuple[str, ...], stdin: bytes, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """As `subprocess.run` with captured output. Raises TimeoutExpired, after killing it."""
        (in_r, in_w), (out_r, out_w), (err_r, err_w), (told_r, told_w) = (os.pipe() for _ in range(4))
        request = json.dumps({"args": args, "environment": dict(environment), "directory": str(Path.cwd())})
        with self._lock:
            socket.send_fds(self._socket, [request.encode()], [in_r, out_w, err_w, told_w])
        for descriptor in (in_r, out_w, err_w, told_w):
            os.close(descriptor)
        streams = {out_r: b"", err_r: b""}

        def read(descriptor: int) -> None:
            with open(descriptor, "rb") as file:
                streams[descriptor] = file.read()

        def write() -> None:
            try:
                with open(in_w, "wb") as file:
                    file.write(stdin)
            except BrokenPipeError:
                pass  # it has ended without reading all of it, as it may

        threads = [threading.Thread(target=read, args=(descriptor,)) for descriptor in (out_r, err_r)]
        threads.append(threading.Thread(target=write))
        for thread in threads:
            thread.start()
        with open(told_r, "rb") as told:
            pid = told.readline()
            assert pid, "the fork server has ended"
            late = threading.Event()

            def kill() -> None:
                late.set()
                os.kill(int(pid), signal.SIGKILL)

            timer = threading.Timer(timeout, kill)
            timer.start()
            status = os.waitstatus_to_exitcode(int(told.readline()))
            timer.cancel()
        for thread in threads:
            thread.join()
        if late.is_set():
            raise subprocess.TimeoutExpired(list(args), timeout, streams[out_r], streams[err_r])
        return subprocess.CompletedProcess(list(args), status, streams[out_r], streams[err_r])

    def close(self) -> None:
        """Ends the server."""
        self._socket.close()
        self._server.wait(timeout=30)


def _serve(requests: socket.socket) -> bool:
    """Returns True in the process that is to run the program, False when there are no more requests."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, _LARGEST_REQUEST, 4)
        if not message:
            return False
        if not os.fork():
            requests.close()
            return _watch(json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(request: dict[str, object], stdin: int, stdout: int, stderr: int, told: int) -> bool:
    """Forks once more: the first process tells pid and status of the second."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid:
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
        os.write(told, b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(told, b"%d\n" % status)
        os._exit(0)
    for number, descriptor in enumerate((stdin, stdout, stderr)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.close(told)
    environment, arguments = request["environment"], request["args"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(str(request["directory"]))
    sys.argv[1:] = arguments
    return True


if __name__ == "__main__":
    import fastlog
    from fastlog.cli.tool.main import main, run

    # All of them, since most are imported by the function that is called.
    for module in pkgutil.walk_packages(fastlog.__path__, "fastlog."):
        importlib.import_module(module.name)
    # What Typer itself imports when it is first called.
    with contextlib.redirect_stdout(io.StringIO()):
        run(["doctor", "-h"])
    gc.freeze()
    if _serve(socket.socket(fileno=int(sys.argv[1]))):
        main()
