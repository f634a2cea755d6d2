"""How each client program is started: one `ClientProgram` per library and release."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, JavaTools
from tests.peers.maven import compiled
from tests.peers.python_clients import python_with

ROOT = Path(__file__).resolve().parents[2]
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
KAFKA_PYTHON_2 = "kafka-python==2.3.3"


@dataclass(frozen=True, slots=True)
class ClientProgram:
    """A client library in one release; `command` makes the command line and the environment of its process.

    `every_null` tells whether it can send null header values, and records with neither key nor value.
    """

    name: str
    command: Callable[[str, Path, str, str, str, int], tuple[list[str], Mapping[str, str]]]
    every_null: bool = True

    def run(
        self, action: str, file: Path, *, bootstrap: str, topic: str, codec: str, count: int, timeout: float
    ) -> None:
        """Runs it to its end; raises `AssertionError` with what it said when it fails."""
        command, environment = self.command(action, file, bootstrap, topic, codec, count)
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
        )
        words = (done.stdout + done.stderr)[-4000:]
        assert done.returncode == 0, f"{self.name} {action} {topic} ({codec}) failed:\n{words}"


def _python(
    module: str, environment: Callable[[], Mapping[str, str]], every_null: bool = True
) -> ClientProgram:
    def command(
        action: str, file: Path, bootstrap: str, topic: str, codec: str, count: int
    ) -> tuple[list[str], Mapping[str, str]]:
        options = ["--bootstrap", bootstrap, "--topic", topic, "--codec", codec, "--count", str(count)]
        program = [sys.executable, "-m", f"tests.compat.clients.{module}", action, str(file)]
        return [*program, *options], environment()

    return ClientProgram(module, command, every_null)


def _java(version: str) -> ClientProgram:
    def command(
        action: str, file: Path, bootstrap: str, topic: str, codec: str, count: int
    ) -> tuple[list[str], Mapping[str, str]]:
        tools = JavaTools(version)
        classes = compiled(ROOT / "tests/compat/clients/RoundTrip.java", tools.class_path)
        arguments = [action, str(file), bootstrap, topic, codec, str(count)]
        return tools.command("RoundTrip", *arguments, class_path=classes), os.environ

    return ClientProgram(f"java {version}", command)


CONFLUENT = _python("confluent", lambda: os.environ)
KAFKA_PYTHON_3_CLIENT = _python("kafka_python", lambda: os.environ, every_null=False)
KAFKA_PYTHON_2_CLIENT = _python("kafka_python", lambda: python_with(KAFKA_PYTHON_2), every_null=False)
AIOKAFKA = _python("aiokafka_client", lambda: os.environ, every_null=False)
FASTLOG = _python("fastlog_library", lambda: os.environ)
FASTLOG_COLUMNS = _python("fastlog_library", lambda: os.environ | {"FASTLOG_COLUMNS": "1"})
"""`AsyncProducer`, and `AsyncConsumer.poll_columns`."""
JAVA_3 = _java(KAFKA_3)
JAVA_4 = _java(KAFKA_4)
