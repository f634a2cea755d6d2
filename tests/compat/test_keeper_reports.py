"""What users have reported of watches and sessions, with their clients: kazoo, and ZooKeeper's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.harness.cutting_proxy import CuttingProxy
from tests.harness.keeper_process import KeeperProcess
from tests.peers.apache_kafka import QUICK
from tests.peers.maven import compiled, java
from tests.peers.python_clients import python_with
from tests.peers.zookeeper import ZooKeeperServer, libraries

pytestmark = pytest.mark.timeout(240)

_ROOT: Final = Path(__file__).parents[2]
_CLIENTS: Final = Path(__file__).parent / "clients"
_KAZOO: Final = ("kazoo==2.11.0", "pyjks==20.0.0", "pyOpenSSL==26.4.0", "objgraph==3.7.0")
Server = KeeperProcess | ZooKeeperServer


def lines_of(
    command: Sequence[str],
    server: Server,
    *more: str,
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """What a client program says, that is given what it asks for."""

    def wipe() -> None:
        assert isinstance(server, KeeperProcess)
        server.kill()
        shutil.rmtree(server.directory / "data")
        server.start()

    with CuttingProxy(server.port) as proxy:
        doing: dict[str, Callable[[], None]] = {
            "cut": proxy.cut,
            "refuse": lambda: proxy.refuse(True),
            "admit": lambda: proxy.refuse(False),
            "wipe": wipe,
        }
        said: list[str] = []
        with subprocess.Popen(
            [*command, proxy.address, server.address, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env=environment,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for line in map(str.strip, process.stdout):
                what = line.removeprefix("do ")
                if what == line:
                    said.append(line)
                    continue
                doing[what]()
                process.stdin.write("\n")
                process.stdin.flush()
        assert process.returncode == 0, said
        return said


def test_kazoos_watches_and_sessions_live_through_what_they_should(tmp_path: Path) -> None:
    """kazoo #151, #42 and pull 305."""
    with KeeperProcess(tmp_path) as keeper:
        command = [sys.executable, "-m", "tests.compat.clients.kazoo_watches"]
        assert lines_of(command, keeper, environment=python_with(*_KAZOO)) == ["done"]


def watch_reports() -> list[str]:
    """The command line of the program for ZooKeeper's own client."""
    classes = compiled(_CLIENTS / "WatchReports.java", libraries())
    return [java(17), "-Xmx128m", *QUICK, "-cp", classes, "WatchReports"]


@pytest.mark.java
def test_zookeepers_client_is_told_the_same_as_by_a_real_server(tmp_path: Path) -> None:
    """rust-zookeeper #97, ClickHouse #98499, #98079, #121333; up to the close."""
    command = watch_reports()
    with ZooKeeperServer(tmp_path / "zookeeper") as server:
        real = lines_of(command, server)
    with KeeperProcess(tmp_path / "keeper") as keeper:
        assert lines_of(command, keeper) == real
    for said in (
        "recursive NodeDataChanged /a/b",
        "recursive NodeDeleted /a/c",
        "children NodeChildrenChanged /a",
        "missing NodeCreated /new",
        "the same session: true",
        "its node is there: true",
        "remove Persistent: done",
        "closed: Closed",
    ):
        assert said in real


@pytest.mark.whole
@pytest.mark.java
def test_zookeepers_client_is_told_when_the_keeper_has_lost_its_data(tmp_path: Path) -> None:
    """kazoo #42, with the client of Java: what watched is told as well."""
    with KeeperProcess(tmp_path) as keeper:
        said = lines_of(watch_reports(), keeper, "wipe")
    end = said.index("== told of the end")
    assert said[end + 1 : -1] == ["children None null", "data None null", "missing None null"]
