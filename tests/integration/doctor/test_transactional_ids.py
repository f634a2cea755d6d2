"""What the doctor reads out of `__transaction_state`, and says of transactions that are open in logs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fastlog.coordination.embedded import KEEPER_DIRECTORY
from fastlog.coordination.transactions.records import encode_key, encode_value
from fastlog.coordination.transactions.state import TransactionEntry, TransactionState
from fastlog.native import Log, LogConfig, build_batch
from fastlog.storage.checkpoints import read_offsets, write_offsets
from tests.integration.doctor.asked import dumped, examined, fastlog
from tests.integration.running import RunningBroker
from tests.integration.transaction_situations import SETTINGS, Situations, make_situations

STATES = {
    "idle": "Empty",
    "open": "Ongoing",
    "committed": "CompleteCommit",
    "aborted": "CompleteAbort",
    "late": "CompleteAbort",
    "other": "Ongoing",
}
TXN = "__transaction_state"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Situations]:
    """What a broker leaves that was stopped with transactions in all states."""
    running = RunningBroker(
        tmp_path_factory.mktemp("ids"), {**SETTINGS, "transaction.state.log.num.partitions": "3"}
    )
    running.start()
    made = make_situations(running.port)
    directory = Path(running.broker.config.log_dirs[0])
    assert running.stop()
    running.close()
    return directory, made


@pytest.fixture
def data(stopped: tuple[Path, Situations], tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped[0], tmp_path / "data"))


def listed(directory: Path, status: int) -> dict[str, Any]:
    done = fastlog("doctor", directory, "--transactions", "-o", "json")
    assert done.returncode == status, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def write_record(directory: Path, partition: int, key: bytes, value: bytes) -> None:
    """Appends to a partition of `__transaction_state`, as a broker that is stopped cleanly would have."""
    points = directory / "recovery-point-offset-checkpoint"
    offsets = read_offsets(points)
    path = directory / f"{TXN}-{partition}"
    log = Log.open(str(path), LogConfig(), recovery_point=offsets[TXN, partition], clean_shutdown=True)
    batch = build_batch(
        [(key, value, [], 1)], base_offset=log.log_end_offset, leader_epoch=max(log.latest_epoch, 0)
    )
    log.append_as_follower(batch, leader_epoch=max(log.latest_epoch, 0))
    log.flush()
    end = log.log_end_offset
    log.close()
    write_offsets(points, {**offsets, (TXN, partition): end})


def home_of(directory: Path, name: str) -> int:
    (row,) = (row for row in listed(directory, 1)["transactional_ids"] if row["transactional_id"] == name)
    return int(row["partition"])


def test_ids_are_listed_with_their_states(data: Path, stopped: tuple[Path, Situations]) -> None:
    made = stopped[1]
    answer = listed(data, 1)
    rows = {row["transactional_id"]: row for row in answer["transactional_ids"]}
    assert {name: row["state"] for name, row in rows.items()} == STATES
    for name, row in rows.items():
        assert (row["producer_id"], row["producer_epoch"]) == made.identities[name]
        assert row["timeout_ms"] == 900_000
    assert rows["open"]["partitions"] == [{"topic": "a", "partition": 0}, {"topic": "b", "partition": 1}]
    assert (rows["idle"]["partitions"], rows["idle"]["start_time_ms"]) == ([], None)
    assert examined(data, 1)["transactional_ids"] is None
    shown = fastlog("doctor", data, "-t").stdout.splitlines()
    assert shown[0].split()[:2] == ["TRANSACTIONAL", "ID"]
    assert shown[1].split() == ["aborted", *shown[1].split()[1:2], "CompleteAbort", *shown[1].split()[3:]]


def test_open_transactions_hang_or_are_left_to_their_coordinators(
    data: Path, stopped: tuple[Path, Situations]
) -> None:
    made = stopped[1]
    answer = examined(data, 1)
    fates = {
        (row["topic"], row["partition"], made.named(row["producer_id"])): (
            row["transactional_id"],
            row["fate"],
        )
        for row in answer["open_transactions"]
    }
    assert fates == {
        ("a", 0, "<open>"): ("open", "coordinated"),
        ("a", 1, "<late>"): ("late", "hanging"),
        ("b", 0, "<nobody>"): (None, "hanging"),
        ("b", 1, "<other>"): ("other", "hanging"),
    }
    severities = {
        Path(finding["path"]).name: finding["severity"]
        for finding in answer["findings"]
        if "transactions that" in finding["problem"]
    }
    assert severities == {"a-0": "note", "a-1": "warning", "b-0": "warning", "b-1": "warning"}


def test_only_what_hangs_is_ended(data: Path) -> None:
    done = fastlog("doctor", data, "--end-transactions", "--execute", "-o", "json")
    assert done.returncode == 0, done.stderr
    results = {
        (row["topic"], row["partition"]): row["result"] for row in json.loads(done.stdout)["transactions"]
    }
    assert results == {
        ("a", 0): "left to its coordinator",
        ("a", 1): "aborted",
        ("b", 0): "aborted",
        ("b", 1): "aborted",
    }
    (left,) = examined(data, 0)["open_transactions"]
    assert (left["topic"], left["partition"], left["fate"]) == ("a", 0, "coordinated")
    shown = fastlog("doctor", data, "--end-transactions").stdout
    assert "left to its coordinator" in shown


def test_in_one_log_only_what_hangs_is_ended(data: Path, stopped: tuple[Path, Situations]) -> None:
    """`open` and one that nobody knows, in the same partition."""
    points = data / "recovery-point-offset-checkpoint"
    offsets = read_offsets(points)
    log = Log.open(str(data / "a-0"), LogConfig(), recovery_point=offsets["a", 0], clean_shutdown=True)
    records = build_batch(
        [(None, b"v", [], 1)],
        base_offset=log.log_end_offset,
        producer_id=99_999,
        producer_epoch=0,
        base_sequence=0,
        transactional=True,
        leader_epoch=log.latest_epoch,
    )
    log.append_as_follower(records, leader_epoch=log.latest_epoch)
    log.flush()
    write_offsets(points, {**offsets, ("a", 0): log.log_end_offset})
    log.close()
    done = fastlog("doctor", data, "--end-transactions", "--execute", "-o", "json")
    rows = [
        row for row in json.loads(done.stdout)["transactions"] if row["topic"] == "a" and not row["partition"]
    ]
    assert {row["producer_id"]: row["result"] for row in rows} == {
        99_999: "aborted",
        stopped[1].identities["open"][0]: "left to its coordinator",
    }
    (left,) = examined(data, 0)["open_transactions"]
    assert left["producer_id"] == stopped[1].identities["open"][0]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b"\0\x09" + bytes(60), "the unknown version 9"),
        (b"\0\0\0\0", "the value of a transaction"),
        (encode_value(TransactionEntry(7, 1))[:10] + bytes(6) + b"\x63" + bytes(24), "the unknown state 99"),
    ],
)
def test_a_record_that_cannot_be_read_is_damage(data: Path, value: bytes, problem: str) -> None:
    at = home_of(data, "open")
    write_record(data, at, encode_key("open"), value)
    answer = examined(data, 6)
    (found,) = (finding for finding in answer["findings"] if finding["severity"] == "damage")
    assert problem in found["problem"]
    assert Path(found["path"]).parent.name == f"{TXN}-{at}"
    # Whether a coordinator would have known it is not known any more.
    assert {row["fate"] for row in answer["open_transactions"] if row["transactional_id"] is None} == {
        "unknown"
    }
    done = fastlog("doctor", data, "--end-transactions", "--execute", "-o", "json")
    assert "aborted" not in {row["result"] for row in json.loads(done.stdout)["transactions"]}


def test_a_key_that_cannot_be_read_is_damage_and_a_later_one_is_not(data: Path) -> None:
    write_record(data, 0, b"\0\x07later", b"")
    answer = examined(data, 1)
    assert any("keys of a later version" in finding["problem"] for finding in answer["findings"])
    write_record(data, 0, b"\0\0\x00\x09cut", b"")
    assert any("the key of a transaction" in finding["problem"] for finding in examined(data, 6)["findings"])


def test_ids_that_are_where_nobody_asks_for_them(data: Path) -> None:
    home = home_of(data, "idle")
    wrong = (home + 1) % 3
    write_record(data, wrong, encode_key("idle"), encode_value(TransactionEntry(77, 1, 1000)))
    problems = [finding["problem"] for finding in examined(data, 1)["findings"]]
    assert f"transactional id 'idle' belongs to partition {home} of 3" in problems
    assert any("'idle' is in partitions " in problem for problem in problems)


def test_ids_that_share_a_producer(data: Path, stopped: tuple[Path, Situations]) -> None:
    producer_id, epoch = stopped[1].identities["idle"]
    at = home_of(data, "open")
    entry = TransactionEntry(producer_id, epoch, 1000, TransactionState.EMPTY)
    write_record(data, at, encode_key("open"), encode_value(entry))
    problems = [finding["problem"] for finding in examined(data, 1)["findings"]]
    assert f"producer {producer_id} has several transactional ids: idle, open" in problems


def test_a_partition_of_ids_that_is_elsewhere_leaves_the_fate_open(data: Path) -> None:
    shutil.rmtree(data / f"{TXN}-{home_of(data, 'other')}")
    answer = examined(data, 6)
    fates = {(row["topic"], row["partition"]): row["fate"] for row in answer["open_transactions"]}
    assert fates["b", 0] == "unknown"
    assert fates["b", 1] == "unknown"


def test_where_other_brokers_may_be_nothing_is_ended(data: Path) -> None:
    """Without a keeper in it, it may be the directory of a member of a cluster."""
    shutil.rmtree(data / KEEPER_DIRECTORY)
    fates = {(row["topic"], row["partition"]): row["fate"] for row in examined(data, 6)["open_transactions"]}
    assert fates == {
        ("a", 0): "coordinated",
        **dict.fromkeys([("a", 1), ("b", 0), ("b", 1)], "unknown"),
    }
    done = fastlog("doctor", data, "--end-transactions", "--execute", "-o", "json")
    assert {row["result"] for row in json.loads(done.stdout)["transactions"]} == {
        "left to its coordinator",
        "left: its coordinator is not known here",
    }


def test_records_are_dumped(data: Path) -> None:
    at = home_of(data, "open")
    rows = [
        row for row in dumped(data / f"{TXN}-{at}", "--decode", "transactions") if row["kind"] == "record"
    ]
    states = [row["state"] for row in rows if row["transactional_id"] == "open"]
    assert states == ["Empty", "Empty", "Ongoing"]
    assert rows[-1].keys() >= {"producer_id", "epoch", "timeout_ms", "partitions", "start_ms"}
    assert fastlog("log", "dump", data / f"{TXN}-{at}", "--decode", "nothing").returncode == 2
