"""Compaction of a small batch that unpacks to a large one, in a process that has no memory for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import resource, sys
from fastlog.native import build_batch
from fastlog.native._core import CompactionAborted, Log, LogConfig

now = 1_700_000_000_000
log = Log.open(sys.argv[1], LogConfig(compact=True, delete=False))
value = bytes(900_000)
log.append(build_batch([(b"k%d" % i, None if i == 0 else value, [], now) for i in range(100)], codec="gzip"))
log.append(build_batch([(b"k5", b"x", [], now)], codec="none"))
log.roll()
del value
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + (int(sys.argv[2]) << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
try:
    log.compact(0, log.log_end_offset, now, memory_bytes=10 << 20)
    said = "done"
except (MemoryError, CompactionAborted):
    said = "lacking"
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(said, log.failure, log.compact(0, log.log_end_offset, now, memory_bytes=10 << 20).records_kept)
"""


@pytest.mark.parametrize("room_mib", [8, 60, 140, 230, 320, 1000])
def test_a_lack_of_memory_is_neither_the_end_nor_damage(tmp_path: Path, room_mib: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tmp_path / "t-0"), str(room_mib)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    said, *rest = run.stdout.split()
    assert rest == ["None", "100"], run.stdout
    assert said == ("done" if room_mib == 1000 else said)
