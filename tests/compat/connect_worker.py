"""Kafka Connect workers in distributed mode, and their REST interface."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.harness.app_process import AppProcess, java_command
from tests.harness.net import free_port
from tests.harness.waiting import wait_until
from tests.peers.kafka_apps import connect_class_path
from tests.peers.maven import java

_MAIN = "org.apache.kafka.connect.cli.ConnectDistributed"


class Worker:
    """One worker of the cluster "connect"; it starts in the constructor and is killed by `kill`.

    `replicas` is how many its topics have, `libraries` a class path in place of the FileStream connectors'.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        bootstrap: str,
        version: str,
        *,
        settings: Mapping[str, str] | None = None,
        replicas: int = 1,
        libraries: str | None = None,
    ) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        lines = {
            "bootstrap.servers": bootstrap,
            "group.id": "connect",
            "config.storage.topic": "connect-configs",
            "offset.storage.topic": "connect-offsets",
            "status.storage.topic": "connect-status",
            **{
                f"{topic}.storage.replication.factor": str(replicas)
                for topic in ("config", "offset", "status")
            },
            "offset.storage.partitions": "3",
            "status.storage.partitions": "2",
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
            "listeners": self.url,
            "plugin.discovery": "service_load",
            "offset.flush.interval.ms": "500",
            "session.timeout.ms": "6000",
            "heartbeat.interval.ms": "1000",
            "scheduled.rebalance.max.delay.ms": "2000",
            "exactly.once.source.support": "disabled",
            **(settings or {}),
        }
        file = directory / f"{name}.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        command = java_command(java(), libraries or connect_class_path(version), _MAIN, str(file))
        self.app = AppProcess(command, directory / f"{name}.log")

    def kill(self) -> None:
        """kill -9; nothing when it has ended."""
        self.app.kill()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer of one request, or None while the worker cannot be reached or is rebalancing."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310  the address is ours
            self.url + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                text = answer.read()
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            with error:
                # 404: not known to this worker yet; 409: a rebalance goes on; 5xx: the leader is not reached.
                assert error.code in (404, 409, 500, 503), f"{path}: {error.code} {error.read()!r}"
            return None
        except OSError:
            assert self.app.process.poll() is None, f"the worker ended:\n{self.app.text[-4000:]}"
            return None

    def insist(self, method: str, path: str, body: object = None, *, seconds: float = 120) -> Any:
        """Asks until there is an answer."""
        return wait_until(
            lambda: self.ask(method, path, body),
            lambda: f"{method} {path}:\n{self.app.text[-4000:]}",
            seconds=seconds,
            pause=0.3,
        )

    def running(self, *connectors: str) -> set[str]:
        """Waits until these connectors and their tasks run; returns the workers that they run on."""
        seen: list[object] = []

        def look() -> set[str] | None:
            states = [self.ask("GET", f"/connectors/{name}/status") for name in connectors]
            seen[:] = states
            if not all(states) or not all(state["tasks"] for state in states):
                return None
            parts = [part for state in states for part in (state["connector"], *state["tasks"])]
            return (
                {part["worker_id"] for part in parts}
                if all(part["state"] == "RUNNING" for part in parts)
                else None
            )

        return wait_until(look, lambda: f"{seen}\n{self.app.text[-4000:]}", seconds=120, pause=0.3)
