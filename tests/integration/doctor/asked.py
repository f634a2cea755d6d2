"""Asking the two commands, and the bytes that they are asked about."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.harness import cli

LOG = "00000000000000000000"
# Bytes of a batch in the directory.
BATCH = 1579
SETTINGS = {"log.index.interval.bytes": "100", "log.segment.bytes": "8000", "num.partitions": "1"}


def fastlog(*arguments: object) -> subprocess.CompletedProcess[str]:
    done = cli.fastlog(*map(str, arguments), code=None)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def examined(directory: Path, status: int) -> dict[str, Any]:
    """What the doctor says of one directory, as JSON."""
    done = fastlog("doctor", directory, "-o", "json")
    assert done.returncode == status, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def dumped(*arguments: object, status: int = 0) -> list[dict[str, Any]]:
    done = fastlog("log", "dump", *arguments, "-o", "json")
    assert done.returncode == status, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


def last_segment(partition: Path) -> Path:
    return max(partition.glob("*.log"))
