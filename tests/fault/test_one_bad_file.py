"""One file at a time is something else than it should be: it costs its partition, the others are served."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from tests.fault.test_damaged_start import refused
from tests.fault.test_disk_errors import read, send
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.harness.odd_files import FORMS, Form, break_it
from tests.harness.waiting import wait_until
from tests.integration.requests import metadata

BASE = "00000000000000000000"
# Each in a topic of its own.
OF_A_PARTITION = {
    "log": f"{BASE}.log",
    "index": f"{BASE}.index",
    "timeindex": f"{BASE}.timeindex",
    "epochs": "leader-epoch-checkpoint",
    "compaction": "compaction-checkpoint",
    "snapshot": "00000000000000000001.snapshot",
    "transactions": f"{BASE}.txnindex",
    "checksums": "txnindex-checkpoint",
    "swap": f"{BASE}.log.swap",
    "cleaned": f"{BASE}.log.cleaned",
    "deleted": f"{BASE}.log.deleted",
    "epochs-tmp": "leader-epoch-checkpoint.tmp",
    "identity-tmp": "partition.metadata.tmp",
    "identity": "partition.metadata",
    "all": "",
}
OF_THE_DIRECTORY = (
    "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint",
    "cleaner-offset-checkpoint",
    ".kafka_cleanshutdown",
    ".fastlog-reserve-0",
    "something.tmp",
    "recovery-point-offset-checkpoint.tmp",
    "keeper/recovery-point-offset-checkpoint",
    "keeper/snapshot.tmp",
    "meta.properties.tmp",
)
SETTINGS = {"num.partitions": "1", "log.flush.offset.checkpoint.interval.ms": "200"}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a stopped broker with a record in each topic; `t` and `u` are never touched."""
    broker = BrokerProcess(tmp_path_factory.mktemp("sound"), settings=SETTINGS)
    with broker, Link(broker.port) as link:
        for topic in ("t", "u", *OF_A_PARTITION):
            link.call(metadata(topic), 9)
            assert send(link, topic, b"kept")[0] == 0
    return broker.data_dir


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("whose", ["partition", "directory"])
def test_a_file_costs_its_partition(sound: Path, tmp_path: Path, whose: str, form: Form) -> None:
    broker = BrokerProcess(tmp_path, settings=SETTINGS)
    shutil.copytree(sound, broker.data_dir)
    if whose == "directory":
        for name in OF_THE_DIRECTORY:
            break_it(broker.data_dir / name, form)
    else:
        for topic, name in OF_A_PARTITION.items():
            break_it(broker.data_dir / f"{topic}-0" / name, form)
    with broker, Link(broker.port) as link:
        for topic in ("t", "u"):
            assert b"kept" in read(link, topic)[1], topic
            assert send(link, topic, b"more")[0] == 0, topic
        for topic in OF_A_PARTITION:
            code, records = read(link, topic)
            if code:
                assert whose == "partition"
                assert code == ErrorCode.KAFKA_STORAGE_ERROR, topic
                assert f"{topic}-0 " in broker.log_text, topic
                assert send(link, topic, b"more")[0] == ErrorCode.KAFKA_STORAGE_ERROR, topic
            else:
                # What can be made anew does not even cost that.
                assert b"kept" in records, topic
                assert not (topic in ("log", "all") and whose == "partition"), topic
        answer: Any = link.call(metadata("new"), 9)
        assert answer.topics[0].error_code == 0
        assert "Traceback" not in broker.log_text
        assert f"log directory {broker.data_dir} is offline" not in broker.log_text
        assert broker.process.poll() is None


def test_a_checkpoint_that_cannot_be_replaced_is_tried_again(sound: Path, tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path, settings=SETTINGS)
    shutil.copytree(sound, broker.data_dir)
    path = broker.data_dir / "recovery-point-offset-checkpoint"
    with broker, Link(broker.port) as link:
        path.unlink(missing_ok=True)
        path.mkdir()
        wait_until(lambda: "writing checkpoints is not possible" in broker.log_text, "no warning", seconds=20)
        assert send(link, "t", b"more")[0] == 0
        path.rmdir()
        wait_until(path.is_file, "no checkpoint", seconds=20)
        wait_until(lambda: "writing checkpoints works again" in broker.log_text, "not told", seconds=20)
        assert broker.log_text.count("writing checkpoints is not possible") == 1
    assert broker.process.returncode == 0


def test_files_that_may_not_be_read(sound: Path, tmp_path: Path) -> None:
    """As a user whom rights bind: what root reads anyway, without that right."""
    bound = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    broker = BrokerProcess(
        tmp_path, settings=SETTINGS, command=[*bound, sys.executable, "-m", "fastlog.cli.broker.main"]
    )
    shutil.copytree(sound, broker.data_dir)
    names = (f"log-0/{BASE}.log", "all-0", "recovery-point-offset-checkpoint", ".fastlog-reserve-0")
    for name in names:
        (broker.data_dir / name).chmod(0)
    with broker, Link(broker.port) as link:
        for topic in ("t", "u", "index"):
            assert b"kept" in read(link, topic)[1], topic
        for topic in ("log", "all"):
            assert read(link, topic)[0] == ErrorCode.KAFKA_STORAGE_ERROR, topic
            assert f"{topic}-0 " in broker.log_text
    (broker.data_dir / "all-0").chmod(0o750)


def test_a_file_that_goes_while_the_broker_runs(tmp_path: Path) -> None:
    """A roll that cannot make its files: the partition is offline and named, the other one goes on."""
    with BrokerProcess(tmp_path, settings=SETTINGS | {"log.segment.bytes": "2000"}) as broker:
        with Link(broker.port) as link:
            for topic in ("t", "u"):
                link.call(metadata(topic), 9)
                assert send(link, topic, b"." * 1000)[0] == 0
            (broker.data_dir / "t-0" / "00000000000000000001.index").mkdir()
            assert send(link, "t", b"." * 1500)[0] == ErrorCode.KAFKA_STORAGE_ERROR
            wait_until(lambda: "t-0 is offline" in broker.log_text, "it is not named", seconds=20)
            assert send(link, "t", b"x")[0] == ErrorCode.KAFKA_STORAGE_ERROR
            assert send(link, "u", b"." * 1500)[0] == 0
        assert f"log directory {broker.data_dir} is offline" not in broker.log_text


def test_a_partition_behind_a_link_is_served_and_removed(sound: Path, tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path, settings=SETTINGS | {"log.segment.delete.delay.ms": "0"})
    shutil.copytree(sound, broker.data_dir)
    elsewhere = tmp_path / "elsewhere" / "t-0"
    elsewhere.parent.mkdir()
    (broker.data_dir / "t-0").rename(elsewhere)
    (broker.data_dir / "t-0").symlink_to(elsewhere)
    with broker, Link(broker.port) as link:
        assert b"kept" in read(link, "t")[1]
        assert send(link, "t", b"more") == (0, 1)
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "fastlog.cli.tool.main",
                "topic",
                "delete",
                "t",
                "--yes",
                "-b",
                broker.bootstrap,
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(lambda: not elsewhere.exists(), lambda: broker.log_text[-1000:], seconds=30)
        wait_until(lambda: not list(broker.data_dir.glob("t-0*")), "the link is still there", seconds=30)
        assert b"kept" in read(link, "u")[1]


def test_links_that_lead_nowhere_as_log_directories(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(tmp_path / "back")
    (tmp_path / "back").symlink_to(circle)
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    for path in (circle, tmp_path / "gone", circle / "below"):
        said = refused(path)
        assert str(path) in said
        assert "symbolic link" in said


def test_a_lock_that_is_deleted_lets_nobody_in(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, settings=SETTINGS) as broker, Link(broker.port) as link:
        link.call(metadata("t"), 9)
        assert send(link, "t", b"kept") == (0, 0)
        for name in broker.data_dir.glob(".*lock*"):
            name.unlink()
        said = refused(broker.data_dir)
        assert f"{broker.data_dir} is in use by process {broker.process.pid}" in said
        # Nor by another way to the same directory.
        (tmp_path / "other-way").symlink_to(broker.data_dir)
        assert "is in use" in refused(tmp_path / "other-way")
        assert send(link, "t", b"more") == (0, 1)
    assert broker.process.returncode == 0


def test_new_files_are_for_the_broker_alone(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, settings=SETTINGS | {"log.segment.bytes": "2000"}) as broker:
        with Link(broker.port) as link:
            link.call(metadata("t"), 9)
            for _ in range(4):
                assert send(link, "t", b"." * 1500)[0] == 0
        time.sleep(0.5)
    for path in (broker.data_dir, *broker.data_dir.rglob("*")):
        expected = 0o700 if path.is_dir() else 0o600
        assert path.stat().st_mode & 0o777 & ~expected == 0, (path, oct(path.stat().st_mode))


def test_a_broker_whose_directory_was_replaced_writes_nothing_into_the_other(tmp_path: Path) -> None:
    first = BrokerProcess(tmp_path, settings=SETTINGS)
    with first, Link(first.port) as link:
        link.call(metadata("t"), 9)
        assert send(link, "t", b"first") == (0, 0)
        first.data_dir.rename(tmp_path / "moved")
        second = BrokerProcess(tmp_path, settings=SETTINGS)
        with second, Link(second.port) as other:
            other.call(metadata("u"), 9)
            assert send(other, "u", b"second") == (0, 0)
            assert first.process.wait(30) == 1
            assert "moved away or replaced" in first.log_text
            assert send(other, "u", b"more") == (0, 1)
        with second, Link(second.port) as other:
            assert b"second" in read(other, "u")[1]
            assert not list(second.data_dir.glob("t-*"))
