"""The clients in C, built once and kept in the cache of peers."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.peers.cache import PeerMissingError, fetching, run_fetch
from tests.peers.librdkafka import VERSION, sources

__all__ = ["Requests", "Throughput", "records", "requests"]


@dataclass(frozen=True, slots=True)
class Throughput:
    """What `records` says."""

    seconds: float
    cpu: float
    """Seconds of the client's CPU: near `seconds` times its cores, it was the limit."""
    records: int


@dataclass(frozen=True, slots=True)
class Requests:
    """What `requests` says; latencies in ms."""

    answers: int
    seconds: float
    p50: float
    p99: float
    p999: float
    longest: float
    cpu: float


def records(*words: str, cores: set[int] | None = None) -> Throughput:
    """Runs records.c with these words; on these cores, if given. Raises `AssertionError` when it fails."""
    seconds, cpu, count = _run([_built("records", with_library=True), *words], cores)
    return Throughput(float(seconds), float(cpu), int(count))


def requests(
    port: int,
    frames: Path,
    *,
    connections: int,
    seconds: float,
    warm_up: float = 1,
    rate: float = 0,
    cores: set[int] | None = None,
) -> Requests:
    """Runs requests.c; `frames` is a file of whole frames. Raises `AssertionError` when it fails."""
    words = (port, connections, seconds, warm_up, rate, frames)
    told = _run([_built("requests"), *map(str, words)], cores)
    p50, p99, p999, longest = (float(each) / 1000 for each in told[2:6])
    return Requests(int(told[0]), float(told[1]), p50, p99, p999, longest, float(told[6]))


def _run(command: list[str | Path], cores: set[int] | None) -> list[str]:
    def stay() -> None:
        if cores:
            os.sched_setaffinity(0, cores)

    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=stay, timeout=900, check=False)
    assert done.returncode == 0, f"{command[0]} {command[1]}: {done.stderr[-2000:]}"
    return done.stdout.split()


def _built(name: str, *, with_library: bool = False) -> Path:
    """The executable of one source file here. Raises `PeerMissingError` without gcc, make and npm."""
    source = Path(__file__).with_name(f"{name}.c")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    if shutil.which("gcc") is None:
        raise PeerMissingError(f"{name}.c: gcc is not installed")
    with fetching(f"load-{name}-{digest}") as entry:
        program = entry / name
        if not program.exists():
            command = ["gcc", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-o", "new", str(source)]
            if with_library:
                library = _library()
                command += [f"-I{library}", str(library / "librdkafka.a"), "-lm", "-ldl", "-lpthread", "-lrt"]
            run_fetch(command, what=f"{name}.c", cwd=entry)
            os.replace(entry / "new", program)
        return program


def _library() -> Path:
    """The folder of librdkafka.a and rdkafka.h, optimized as in packages."""
    with fetching(f"librdkafka-{VERSION}-library") as entry:
        if not (entry / "librdkafka.a").exists():
            root = sources(
                entry, f"librdkafka {VERSION}", left_out=("ssl", "gssapi", "zlib", "zstd", "curl", "lz4-ext")
            )
            run_fetch(["make", "-C", "src", "-j2", "librdkafka.a"], what=f"librdkafka {VERSION}", cwd=root)
            shutil.copy(root / "src" / "rdkafka.h", entry)
            os.replace(root / "src" / "librdkafka.a", entry / "librdkafka.a")
            shutil.rmtree(entry / "package")
        return entry
