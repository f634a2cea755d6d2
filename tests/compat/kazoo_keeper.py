"""Gives kazoo's own test suite a keeper in place of the ZooKeeper ensemble that it starts otherwise.

A pytest plugin for the process that runs that suite: `python -m pytest -p tests.compat.kazoo_keeper`.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import kazoo.testing.harness

from tests.harness.keeper_process import KeeperProcess


class Server:
    """The only member, with what kazoo's tests ask of one."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="fastlog-kazoo-"))
        self._process = KeeperProcess(self._directory)

    @property
    def address(self) -> str:
        return self._process.address

    @property
    def client_port(self) -> int:
        return self._process.port

    @property
    def running(self) -> bool:
        return self._process.running

    def run(self) -> None:
        if not self._process.running:
            self._process.start()

    def stop(self) -> None:
        if self._process.running:
            self._process.stop()

    def destroy(self) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


class Cluster:
    """An ensemble of one."""

    def __init__(self) -> None:
        self._servers = [Server()]

    def __iter__(self) -> Iterator[Server]:
        return iter(self._servers)

    def __getitem__(self, index: int) -> Server:
        return self._servers[index]

    def start(self) -> None:
        for server in self._servers:
            server.run()

    def stop(self) -> None:
        for server in self._servers:
            server.stop()

    def terminate(self) -> None:
        for server in self._servers:
            server.destroy()


_CLUSTER = Cluster()
atexit.register(_CLUSTER.terminate)
kazoo.testing.harness.get_global_cluster = lambda: _CLUSTER
