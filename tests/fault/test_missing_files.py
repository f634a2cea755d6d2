"""One file of a data directory at a time is missing or damaged, with a real broker.

It serves everything, or says clearly what is wrong and serves nothing of what it is not sure of.

The files of a log are treated likewise, and much faster, in rust/fastlog-core/tests/log/damage.rs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fastlog.native import read_batches
from tests.harness.batches import batch
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.harness.odd_files import NO_REGULAR_FILES, break_it
from tests.harness.waiting import wait_until
from tests.integration.requests import fetch, metadata, produce

STORAGE_ERROR = 56
VALUES = [b"value %d" % number for number in range(12)]
SETTINGS = {"num.partitions": "1", "fastlog.durability": "fsync", "log.segment.bytes": "300"}
SEGMENT = "t-0/*.log"
"""The second one."""


def removed(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


WAYS = (
    removed,
    emptied,
    zeroed,
    flipped,
    *(partial(break_it, form=form) for form in NO_REGULAR_FILES),
)
FILES = (
    "meta.properties",
    "keeper/journal/00000000000000000000.log",
    "keeper/recovery-point-offset-checkpoint",
    "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint",
    "t-0/partition.metadata",
    "t-0/leader-epoch-checkpoint",
    SEGMENT,
)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path, bool], BrokerProcess]]:
    """Gives brokers, not started, on copies of what one left that was stopped, or killed."""
    broker = BrokerProcess(tmp_path_factory.mktemp("left"), settings=SETTINGS)
    with broker, Link(broker.port) as link:
        link.call(metadata("t"), 9)
        for value in VALUES:
            answer: Any = link.call(produce("t", batch(value)), 8)
            assert answer.responses[0].partition_responses[0].error_code == 0

    def copy(directory: Path, clean: bool) -> BrokerProcess:
        made = BrokerProcess(directory, settings=SETTINGS)
        shutil.copytree(broker.data_dir, made.data_dir)
        if not clean:
            (made.data_dir / ".kafka_cleanshutdown").unlink()
        return made

    yield copy


def served(broker: BrokerProcess) -> list[bytes | None] | int:
    """What a consumer gets from the start, or the error code."""
    found: list[bytes | None] = []
    with Link(broker.port) as link:
        while len(found) < len(VALUES):
            answer: Any = link.call(fetch("t", len(found)), 11)
            row = answer.responses[0].partitions[0]
            if row.error_code:
                return int(row.error_code)
            found += [value for offset, _, _, value, _ in read_batches(row.records) if offset >= len(found)]
    return found


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_lost_without_a_word(
    left: Callable[[Path, bool], BrokerProcess], tmp_path: Path, name: str, way: Callable[[Path], None]
) -> None:
    # Every other case after a kill; what the checkpoints prove is the same.
    clean = (FILES.index(name) + WAYS.index(way)) % 2 == 0
    broker = left(tmp_path, clean)
    way(sorted(broker.data_dir.glob(name))[:2][-1])
    try:
        broker.start()
    except AssertionError:
        assert broker.process.wait(10) not in (0, None)
        assert "Traceback" not in broker.log_text
        assert Path(name).name in broker.log_text
        return
    try:
        found = served(broker)
    finally:
        broker.kill()
    if found != VALUES:
        assert found == STORAGE_ERROR
        assert str(broker.data_dir / Path(name).parts[0]) in broker.log_text


def test_a_partition_that_is_refused_stays_so_and_can_be_given_up(
    left: Callable[[Path, bool], BrokerProcess], tmp_path: Path
) -> None:
    broker = left(tmp_path, True)
    last = max((broker.data_dir / "t-0").glob("*.log"))
    last.write_bytes(b"")
    for _ in range(2):
        # A stop in between must not forget how far the log had reached.
        with broker:
            assert served(broker) == STORAGE_ERROR
    broker.start("--allow-data-loss")
    with Link(broker.port) as link:
        answer: Any = link.call(produce("t", batch(b"more")), 8)
        assert answer.responses[0].partition_responses[0].base_offset == len(VALUES)
    broker.kill()
    with broker, Link(broker.port) as link:
        answer = link.call(fetch("t", len(VALUES)), 11)
        assert [row[3] for row in read_batches(answer.responses[0].partitions[0].records)] == [b"more"]


def test_a_byte_that_changes_is_not_served(
    left: Callable[[Path, bool], BrokerProcess], tmp_path: Path
) -> None:
    broker = left(tmp_path, True)
    with broker:
        assert served(broker) == VALUES
        segment = sorted(broker.data_dir.glob(SEGMENT))[1]
        flipped(segment)
        assert served(broker) == STORAGE_ERROR
        wait_until(lambda: str(segment) in broker.log_text, lambda: broker.log_text, seconds=20)
