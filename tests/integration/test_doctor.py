"""`fastlog doctor` and `fastlog log dump` on directories that a real broker has left, sound and damaged."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness import cli
from tests.harness.batches import batch
from tests.harness.cli import fastlog_command
from tests.integration.requests import make_topic, produce
from tests.integration.running import RunningBroker

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


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a broker left that was stopped: `orders` with three segments, fifteen batches of two records."""
    broker = RunningBroker(tmp_path_factory.mktemp("doctor"), SETTINGS)
    broker.start()
    with broker.connect() as client:
        make_topic(client, "orders")
        for index in range(15):
            value = bytes([65 + index]) * 1500
            client.ask(produce("orders", batch(value, None)), 9)
    directories = broker.broker.config.log_dirs
    assert broker.stop()
    broker.close()
    return Path(directories[0])


@pytest.fixture
def directory(left_behind: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(left_behind, tmp_path / "data"))


def test_a_sound_directory_is_clean_and_not_changed(directory: Path) -> None:
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    answer = examined(directory, 0)
    assert answer["findings"] == []
    (orders,) = [row for row in answer["partitions"] if row["topic"] == "orders"]
    assert (orders["records"], orders["batches"], orders["end_offset"]) == (30, 15, 30)
    assert orders["segments"] > 1
    assert orders["sound"] is True
    assert answer["directories"][0]["clean_shutdown"] is True
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


def last_segment(partition: Path) -> Path:
    return max(partition.glob("*.log"))


def zero_tail(partition: Path) -> None:
    with last_segment(partition).open("ab") as file:
        file.write(bytes(100))


def shorten_last(partition: Path) -> None:
    log = last_segment(partition)
    log.write_bytes(log.read_bytes()[:-10])


def shift_index(partition: Path) -> None:
    index = partition / f"{LOG}.index"
    offset, position = struct.unpack(">iI", index.read_bytes()[:8])
    index.write_bytes(struct.pack(">iI", offset, position + 1) + index.read_bytes()[8:])


def late_time(partition: Path) -> None:
    index = partition / f"{LOG}.timeindex"
    timestamp, offset = struct.unpack(">qi", index.read_bytes()[:12])
    index.write_bytes(struct.pack(">qi", timestamp + 10**9, offset) + index.read_bytes()[12:])


def add(name: str, content: bytes = b"x") -> Callable[[Path], None]:
    def act(partition: Path) -> None:
        (partition / name).write_bytes(content)

    return act


def remove_first(partition: Path) -> None:
    segments = sorted(partition.glob("*.log"))
    segments[1].unlink()


DAMAGES: list[tuple[Callable[[Path], None], int, str, str]] = [
    (lambda p: flip(p / f"{LOG}.log", 200), 6, "checksum", "backup"),
    (lambda p: flip(last_segment(p), last_segment(p).stat().st_size - 5), 1, "torn write", "cuts the log"),
    # High bytes of an offset, which no checksum covers: of a batch with others behind it, of the last one.
    (lambda p: flip(last_segment(p), 3), 6, "a sound batch follows", "backup"),
    (
        lambda p: flip(last_segment(p), last_segment(p).stat().st_size - BATCH + 3),
        6,
        "a sound batch is",
        "backup",
    ),
    (zero_tail, 1, "zeros", "cuts the log"),
    (shorten_last, 1, "torn write", "cuts the log"),
    (remove_first, 1, "missing before this segment", "restore it"),
    (shift_index, 1, "points into a batch", "remove the file"),
    (late_time, 1, "reaches", "remove the file"),
    (add(f"{LOG}.index", b"abc"), 1, "multiple of 8", "remove the file"),
    (add(f"{LOG}.txnindex", b"abc"), 1, "multiple of 34", "remove the file"),
    (add("00000000000000000005.snapshot", b"\0\1abcdefgh"), 1, "checksum", "remove the file"),
    (add("leader-epoch-checkpoint", b"0\n1\n0 99\n"), 1, "begins at offset 99", "built again"),
    (add("leader-epoch-checkpoint", b"nonsense"), 1, "version and count", "built again"),
    (add("00000000000000000007.log.swap"), 1, "not yet moved", "Do not remove"),
    (add("00000000000000000007.log.cleaned"), 0, "interrupted compaction", "removes them"),
    (add("00000000000000000000.log.deleted"), 0, "wait for", "removes them"),
    (add("00000000000000000000.log.100.corrupt"), 1, "--allow-data-loss", "rescue"),
]


@pytest.mark.parametrize(("damage", "status", "problem", "advice"), DAMAGES)
def test_damage_of_a_partition_is_named(
    directory: Path, damage: Callable[[Path], None], status: int, problem: str, advice: str
) -> None:
    # Without it nothing is known to have been on the disk: as after a crash.
    (directory / "recovery-point-offset-checkpoint").unlink()
    damage(directory / "orders-0")
    found = [row for row in examined(directory, status)["findings"] if problem in row["problem"]]
    assert len(found) == 1
    assert advice in found[0]["advice"]
    assert found[0]["severity"] == {0: "note", 1: "warning", 6: "damage"}[status]


def test_sound_batches_around_damage_are_counted(directory: Path) -> None:
    path = directory / "orders-0" / f"{LOG}.log"
    flip(path, 200)
    flip(path, 2 * BATCH + 200)
    answer = examined(directory, 6)
    assert [row["severity"] for row in answer["findings"]] == ["damage", "damage"]
    assert answer["partitions"][0]["records"] == 26
    assert answer["partitions"][0]["sound"] is False


def replace_in(name: str, old: str, new: str) -> Callable[[Path], None]:
    def act(directory: Path) -> None:
        path = directory / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return act


def lose_partition(directory: Path) -> None:
    shutil.rmtree(directory / "orders-0")


def lose_segments(directory: Path) -> None:
    for log in (directory / "orders-0").glob("*.log"):
        log.write_bytes(b"")


DIRECTORY_DAMAGES: list[tuple[Callable[[Path], None], int, str]] = [
    (lambda d: (d / "fastlog.metadata").unlink(), 6, "has kept topics here"),
    (lambda d: flip(d / "fastlog.metadata", 120), 6, "checksum"),
    (replace_in("meta.properties", "cluster.id=", "cluster.id=other"), 6, "names cluster other"),
    (replace_in("meta.properties", "cluster.id=", "cluster.name="), 6, "cluster.id is missing"),
    (replace_in("recovery-point-offset-checkpoint", "orders 0 30", "orders 0 35"), 1, "checksum"),
    (lose_partition, 6, "directory is gone"),
    (lose_segments, 6, "its end is lost"),
    (lambda d: (d / ".kafka_cleanshutdown").unlink(), 0, "did not end cleanly"),
    (lambda d: (d / "gone-0.0123456789abcdef0123456789abcdef-stray").mkdir(), 1, "never served"),
    (lambda d: (d / "gone-0.0123456789abcdef0123456789abcdef-delete").mkdir(), 0, "deleted partition"),
    (lambda d: shutil.copytree(d / "orders-0", d / "payments-0"), 0, "does not know this topic"),
]


@pytest.mark.parametrize(("damage", "status", "problem"), DIRECTORY_DAMAGES)
def test_damage_of_a_directory_is_named(
    directory: Path, damage: Callable[[Path], Any], status: int, problem: str
) -> None:
    damage(directory)
    found = [row for row in examined(directory, status)["findings"] if problem in row["problem"]]
    assert found
    assert all(row["advice"] for row in found)


def test_a_running_broker_is_left_alone(tmp_path: Path) -> None:
    broker = RunningBroker(tmp_path, SETTINGS)
    broker.start()
    directory = broker.broker.config.log_dirs[0]
    done = cli.fastlog("doctor", str(directory), code=1)
    broker.close()
    assert done.stderr.startswith(b"fastlog: %s is in use by process" % bytes(directory))


def test_the_text_says_what_to_do(directory: Path) -> None:
    zero_tail(directory / "orders-0")
    done = fastlog("doctor", directory, "--partitions")
    assert done.returncode == 1
    assert "warning: " in done.stdout
    assert "    Nothing needs to be done" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("1 finding needs a look")
    assert "orders" in done.stdout
    assert fastlog("doctor", directory / "nowhere").returncode == 2


def test_what_is_no_data_directory_is_not_called_sound(directory: Path, tmp_path: Path) -> None:
    done = fastlog("doctor", directory / "orders-0")
    assert done.returncode == 2
    assert f"give the one around it, {directory}" in done.stderr
    (tmp_path / "empty").mkdir()
    assert "is no data directory" in fastlog("doctor", tmp_path / "empty").stderr
    assert "holds no segments" in fastlog("log", "dump", directory).stderr
    # A new disk beside one with data is what its broker will find, too.
    done = fastlog("doctor", directory, tmp_path / "empty", directory)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("nothing to worry about") == 1


def test_a_reader_that_leaves_is_no_error(directory: Path) -> None:
    command = fastlog_command("log", "dump", str(directory / "orders-0"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0


def test_json_may_be_asked_for_before_the_verb(directory: Path) -> None:
    done = fastlog("-o", "json", "doctor", directory)
    assert json.loads(done.stdout)["findings"] == []
    for verb in (["doctor"], ["log", "dump"]):
        done = fastlog("-o", "json", *verb, directory / "nowhere")
        assert json.loads(done.stderr)["error"]["code"] == "USAGE"


def test_dump_shows_batches_and_records(directory: Path) -> None:
    rows = dumped(directory / "orders-0", "--records", "--from", 4, "--to", 5)
    assert [row["kind"] for row in rows] == ["batch", "record", "record"]
    assert (rows[0]["base_offset"], rows[0]["count"], rows[0]["codec"]) == (4, 2, "none")
    assert [(row["offset"], row["value"]) for row in rows[1:]] == [(4, "C" * 1500), (5, None)]
    assert len([row for row in dumped(directory / "orders-0") if row["kind"] == "batch"]) == 15


@pytest.mark.parametrize("late", [0, 1_000_000])
def test_dump_shows_markers_of_transactions(tmp_path: Path, late: int) -> None:
    """Also with the delete horizon of a compaction, from which the record's time is many bytes away."""
    markers = [
        batch(
            b"\0\0\0\0\0\0", key=struct.pack(">hh", 0, kind), attributes=48, base_offset=kind, time_delta=late
        )
        for kind in (0, 1)
    ]
    (tmp_path / f"{LOG}.log").write_bytes(b"".join(markers))
    rows = [row for row in dumped(tmp_path, "--records") if row["kind"] == "record"]
    assert [(row["offset"], row["marker"]) for row in rows] == [(0, "abort"), (1, "commit")]


def test_dump_shows_the_small_files(directory: Path) -> None:
    partition = directory / "orders-0"
    entries = dumped(partition / f"{LOG}.index")
    assert entries
    assert set(entries[0]) == {"file", "kind", "offset", "position"}
    assert dumped(partition / f"{LOG}.timeindex")[0]["timestamp"] > 0
    assert dumped(partition / "leader-epoch-checkpoint")[0]["start_offset"] == 0
    points = dumped(directory / "recovery-point-offset-checkpoint")
    assert ("orders", 0, 30) in [(row["topic"], row["partition"], row["offset"]) for row in points]


def test_dump_says_where_a_segment_is_damaged(directory: Path) -> None:
    path = directory / "orders-0" / f"{LOG}.log"
    flip(path, 200)
    (problem,) = dumped(path, status=6)
    assert (problem["kind"], problem["position"]) == ("problem", 0)
    assert "checksum" in problem["reason"]
    assert problem["next_batch"]["base_offset"] == 2
    assert fastlog("log", "dump", path.with_suffix(".nothing")).returncode == 2
    assert fastlog("log", "dump", directory / "meta.properties").returncode == 2
