"""A kill, or an error of the disk, at every step of a compaction: the log opens again and has lost nothing.

strace makes the n-th call of each kind deadly for a process that compacts one log, for every n until it gets
through. What is left is opened as after a crash and compared with what was written.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastlog
from fastlog.native import Log, LogConfig, build_batch, read_batches
from tests.fault.compact_once import CONFIG
from tests.peers import PeerMissingError

# One call at a time: strace counts each kind for itself.
CALLS = ("rename", "fdatasync", "fsync", "unlink", "pwritev")
FAULTS = {"kill": "signal=SIGKILL", "error": "error=EIO", "full": "error=ENOSPC"}
MOST_STEPS = 300
# Enough for two groups of two segments each.
BATCHES = 32
PROGRAM = Path(__file__).with_name("compact_once.py")
NOW = 1_700_000_000_000

Record = tuple[int, bytes | None, bytes | None]


class Written:
    """A log of small segments, pairs of which become one, and what is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        log = Log.open(str(path), LogConfig(**{**CONFIG, "segment_bytes": CONFIG["segment_bytes"] // 2}))  # type: ignore[arg-type]
        chooser = random.Random(5)
        self.records: list[Record] = []
        for number in range(BATCHES):
            key = b"key-%d" % chooser.randrange(12)
            value = None if chooser.random() < 0.1 else b"%d" % number * 30
            codec = chooser.choice(["none", "lz4", "zstd"])
            log.append(build_batch([(key, value, [], NOW), (b"all", value, [], NOW)], codec=codec))
            self.records += [(2 * number, key, value), (2 * number + 1, b"all", value)]
        self.end = log.log_end_offset
        self.segments = log.segment_count
        self.active = log.segments()[-1][0]
        log.close()
        assert self.segments == 5

    def survivors(self, clean_below: int) -> list[Record]:
        """What must be there when everything below an offset is compacted."""
        last = {key: offset for offset, key, _ in self.records if offset < clean_below}
        return [record for record in self.records if record[0] >= clean_below or last[record[1]] == record[0]]


def read(log: Log) -> list[Record]:
    """All records of a log, segment by segment: the last offsets of a batch may be gone."""
    return [
        (record[0], record[2], record[3])
        for base, size, _ in log.segments()
        if size
        for record in read_batches(log.read(base, size))
    ]


def check(path: Path, written: Written) -> int:
    """Opens what is left; returns how many records that is."""
    log = Log.open(str(path), LogConfig(**CONFIG))  # type: ignore[arg-type]
    assert log.log_end_offset == written.end
    found = read(log)
    assert set(found) <= set(written.records)
    assert [record[0] for record in found] == sorted({record[0] for record in found})
    # Whatever was done: the last record of each key below the active segment, and all of that, are there.
    assert set(written.survivors(written.active)) <= set(found)
    assert log.failure is None
    # And a compaction finishes what the other one began.
    report = log.compact(-1, written.end, NOW)
    assert report.cleaned_to == written.active
    assert read(log) == written.survivors(written.active)
    log.purge_deleted(2**62)
    log.close()
    again = Log.open(str(path), LogConfig(**CONFIG), clean_shutdown=True)  # type: ignore[arg-type]
    assert read(again) == written.survivors(written.active)
    again.close()
    names = {entry.suffix for entry in path.iterdir()}
    assert names & {".cleaned", ".swap", ".deleted"} == set()
    return len(found)


def run(path: Path, written: Written, call: str, step: int, fault: str) -> tuple[int, bool]:
    """Compacts in a process whose `step`-th `call` goes wrong: its exit code, whether there was such a call.

    What opening the log does counts too: a start may be killed as well.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise PeerMissingError("strace is not installed: this test makes system calls fail with it")
    report = path.with_suffix(".strace")
    done = subprocess.run(
        [
            *(strace, "-f", "-qq", "-o", str(report), "-e", f"trace={call}"),
            *("-e", f"inject={call}:{FAULTS[fault]}:when={step}"),
            # Without site-packages it starts in a fraction of the time.
            *(sys.executable, "-S", str(PROGRAM), str(path), str(written.end)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(Path(fastlog.__file__).parents[1])},
    )
    words = report.read_text()
    if "ptrace" in done.stderr and not words:
        raise PeerMissingError(f"strace cannot trace here: {done.stderr}")
    return done.returncode, "INJECTED" in words or "killed by SIGKILL" in words


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(tmp_path_factory.mktemp("compaction") / "t-0")


@pytest.mark.parametrize(
    ("call", "fault"),
    [*((call, fault) for call in CALLS for fault in ("kill", "error")), ("pwritev", "full")],
)
@pytest.mark.timeout(300)
def test_every_step(tmp_path: Path, written: Written, call: str, fault: str) -> None:
    left: set[int] = set()
    for step in range(1, MOST_STEPS):
        path = tmp_path / str(step) / "t-0"
        shutil.copytree(written.path, path)
        code, hit = run(path, written, call, step, fault)
        if not hit:
            assert code == 0
            break
        if fault == "kill":
            assert code != 0
        if fault == "full":
            assert code == 0
        left.add(check(path, written))
    else:
        pytest.fail("the compaction never got through")
    print(f"{call} {fault}: {step - 1} steps")
    if call in ("rename", "fdatasync", "pwritev"):
        assert step > 3
    # Some died before anything had changed, some when the work was done.
    if call == "rename":
        assert len(written.records) in left
        assert len(written.survivors(written.active)) in left
