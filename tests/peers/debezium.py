"""Debezium's PostgreSQL connector in a Connect worker, from Maven Central, and a PostgreSQL for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness.net import free_port
from tests.peers.apache_kafka import KAFKA_4
from tests.peers.debian import library_path, unpacked
from tests.peers.kafka_apps import LOGGER
from tests.peers.maven import class_path

DEBEZIUM: Final = "3.6.1.Final"
_USER: Final = "nobody"
"""PostgreSQL does not run as root."""


def debezium_class_path() -> str:
    """A Connect worker with the connector and the JSON converter."""
    worker = [f"org.apache.kafka:connect-{part}:{KAFKA_4}" for part in ("runtime", "json")]
    connector = f"io.debezium:debezium-connector-postgres:{DEBEZIUM}"
    return class_path(f"debezium-{DEBEZIUM}", [*worker, connector, LOGGER])


class Postgres:
    """A PostgreSQL server with an empty database "postgres" and logical decoding."""

    def __init__(self) -> None:
        self.port = free_port()
        installed = shutil.which("initdb")
        self._environment = dict(os.environ)
        if installed is not None:
            self._programs = Path(installed).resolve().parent
        else:
            root = unpacked("postgresql", ("postgresql-15", "postgresql-client-15", "libpq5", "libllvm14"))
            (self._programs,) = root.glob("usr/lib/postgresql/*/bin")
            self._environment |= library_path(root)
        # Below no directory that only root may enter.
        self._directory = Path(tempfile.mkdtemp(prefix="fastlog-postgres-", dir="/tmp"))
        self._data = self._directory / "data"
        self._user = _USER if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._directory, self._user)

    def __enter__(self) -> Self:
        self._run("initdb", "--auth=trust", "--username=postgres", "--no-sync", f"--pgdata={self._data}")
        options = f"-p {self.port} -h 127.0.0.1 -k {self._directory} -c wal_level=logical -c fsync=off"
        log = self._directory / "log"
        self._run(
            "pg_ctl", "start", "--wait", f"--pgdata={self._data}", f"--log={log}", f"--options={options}"
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run("pg_ctl", "stop", "--mode=immediate", f"--pgdata={self._data}")
        shutil.rmtree(self._directory)

    def execute(self, statement: str) -> None:
        """One statement of SQL."""
        place = ("--host=127.0.0.1", f"--port={self.port}", "--username=postgres")
        self._run("psql", *place, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--command={statement}")

    def _run(self, program: str, *options: str) -> None:
        done = subprocess.run(
            [self._programs / program, *options],
            env=self._environment,
            cwd=self._directory,
            user=self._user,
            stdin=subprocess.DEVNULL,
            # The server that pg_ctl starts keeps what it inherits: no pipe may be among it.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.returncode}"
