"""Starts that must be refused, said clearly, and harm nothing; with real processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastlog.native import read_batches
from tests.harness.batches import batch
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.harness.net import free_port
from tests.integration.requests import fetch, metadata, produce


def refused(data_dir: Path, *extra: str) -> str:
    """Starts a broker that must not start; returns what it says."""
    result = subprocess.run(
        [
            *(sys.executable, "-m", "fastlog.cli.broker.main"),
            *("--listen", f"127.0.0.1:{free_port()}", "--data-dir", str(data_dir), *extra),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode not in (0, None)
    assert "Traceback" not in result.stdout + result.stderr
    return " ".join((result.stdout + result.stderr).split())


@pytest.fixture
def stopped(tmp_path: Path) -> BrokerProcess:
    """A stopped broker with one record in topic `t`."""
    broker = BrokerProcess(tmp_path, settings={"num.partitions": "1"})
    with broker, Link(broker.port) as link:
        link.call(metadata("t"), 9)
        answer: Any = link.call(produce("t", batch(b"kept")), 8)
        assert answer.responses[0].partition_responses[0].error_code == 0
    return broker


def test_another_brokers_id_renames_nothing(stopped: BrokerProcess) -> None:
    """Neither in meta.properties, nor as a setting in place of a lost meta.properties."""
    path = stopped.data_dir / "meta.properties"
    text = path.read_text()
    path.write_text(text.replace("broker.id=1", "broker.id=5"))
    before = content(stopped.data_dir)
    said = refused(stopped.data_dir)
    assert "this is broker 5" in said
    assert "belong to broker 1." in said
    assert content(stopped.data_dir) == before
    path.unlink()
    assert "belong to broker 1." in refused(stopped.data_dir, "--set", "broker.id=5")
    assert (stopped.data_dir / "t-0").is_dir()
    path.write_text(text)
    with stopped:
        assert values(stopped) == [b"kept"]


def content(directory: Path) -> dict[str, bytes]:
    """Of all files but those of the keeper, which notes each start, and builds indexes again."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != ".lock" and "keeper" not in path.parts
    }


def values(broker: BrokerProcess) -> list[bytes | None]:
    with Link(broker.port) as link:
        answer: Any = link.call(fetch("t", 0), 11)
        return [value for _, _, _, value, _ in read_batches(answer.responses[0].partitions[0].records)]


def test_two_brokers_on_one_directory(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, settings={"num.partitions": "1"}) as broker:
        with Link(broker.port) as link:
            link.call(metadata("t"), 9)
            link.call(produce("t", batch(b"kept")), 8)
        said = refused(broker.data_dir)
        assert f"is in use by process {broker.process.pid}" in said
        assert values(broker) == [b"kept"]
    assert (broker.data_dir / ".kafka_cleanshutdown").exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "zero", "missing"])
def test_damaged_metadata_refuses_the_start_and_touches_nothing(stopped: BrokerProcess, damage: str) -> None:
    path = stopped.data_dir / "keeper/journal/00000000000000000000.log"
    good = path.read_bytes()
    bad: dict[str, bytes] = {}
    if damage == "missing":
        path.unlink()
    else:
        bad = {
            # Still a change that makes sense, but not the one that was written.
            "flip": good.replace(b'"partitions":{"0":[1]}', b'"partitions":{"0":[2]}'),
            "cut": good[: len(good) // 2],
            "zero": b"\0" * len(good),
        }
        assert bad[damage] != good
        path.write_bytes(bad[damage])
    before = content(stopped.data_dir)
    said = refused(stopped.data_dir)
    assert "keeper" in said
    assert "--allow-data-loss" in said
    assert content(stopped.data_dir) == before
    assert damage == "missing" or path.read_bytes() == bad[damage]
    path.write_bytes(good)
    with stopped:
        assert values(stopped) == [b"kept"]


def test_topics_are_found_again_when_asked_for(stopped: BrokerProcess) -> None:
    shutil.rmtree(stopped.data_dir / "keeper")
    assert "keeper is missing" in refused(stopped.data_dir)
    stopped.start("--allow-data-loss")
    assert values(stopped) == [b"kept"]
    stopped.stop()


def test_the_directory_of_another_broker_is_refused(stopped: BrokerProcess) -> None:
    said = refused(stopped.data_dir, "--set", "broker.id=77")
    assert "this one is configured as 77" in said


def test_damage_inside_a_log_takes_that_partition_offline_only(stopped: BrokerProcess) -> None:
    """A flipped bit in a batch that others follow is no torn end: it is not cut off without being asked."""
    with stopped, Link(stopped.port) as link:
        link.call(metadata("other"), 9)
        for number in range(3):
            link.call(produce("t", batch(b"more-%d" % number)), 8)
        link.call(produce("other", batch(b"fine")), 8)
    log = stopped.data_dir / "t-0/00000000000000000000.log"
    good = bytearray(log.read_bytes())
    bad = bytearray(good)
    bad[good.index(b"more-0")] ^= 1
    log.write_bytes(bad)
    (stopped.data_dir / ".kafka_cleanshutdown").unlink()
    (stopped.data_dir / "recovery-point-offset-checkpoint").unlink()
    with stopped, Link(stopped.port) as link:
        answer: Any = link.call(fetch("t", 0), 11)
        assert answer.responses[0].partitions[0].error_code == 56
        answer = link.call(fetch("other", 0), 11)
        assert answer.responses[0].partitions[0].error_code == 0
        answer = link.call(produce("t", batch(b"no")), 8)
        assert answer.responses[0].partition_responses[0].error_code == 56
    assert "t-0 stays offline" in stopped.log_text
    assert log.read_bytes() == bad
    log.write_bytes(good)
    with stopped:
        assert values(stopped) == [b"kept", b"more-0", b"more-1", b"more-2"]
