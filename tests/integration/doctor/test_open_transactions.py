"""Transactions that nobody ends."""

from __future__ import annotations

import json
from pathlib import Path

from fastlog.native import Log, LogConfig, build_batch
from fastlog.storage.checkpoints import read_offsets, write_offsets
from tests.integration.doctor.asked import LOG, examined, fastlog, flip, last_segment


def hanging(directory: Path) -> None:
    """Two transactions in `orders`, of which nobody has ended the second."""
    points = directory / "recovery-point-offset-checkpoint"
    log = Log.open(str(directory / "orders-0"), LogConfig(), recovery_point=30, clean_shutdown=True)
    for producer in (4711, 4712):
        records = build_batch(
            [(None, b"in a transaction", [], 1)] * 2,
            base_offset=log.log_end_offset,
            producer_id=producer,
            producer_epoch=3,
            base_sequence=0,
            transactional=True,
            leader_epoch=log.latest_epoch,
        )
        log.append_as_follower(records, leader_epoch=log.latest_epoch)
        if producer == 4711:
            log.abort_open_transactions(leader_epoch=log.latest_epoch)
    log.close()
    write_offsets(points, {**read_offsets(points), ("orders", 0): log.log_end_offset})


def test_transactions_that_nobody_ends_are_named_and_ended_on_request(directory: Path) -> None:
    hanging(directory)
    (found,) = examined(directory, 1)["findings"]
    assert "producer 4712 from offset 33" in found["problem"]
    assert "--end-transactions" in found["advice"]

    planned = fastlog("doctor", directory, "--end-transactions", "-o", "json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout) == {
        "executed": False,
        "transactions": [
            {
                "topic": "orders",
                "partition": 0,
                "producer_id": 4712,
                "first_offset": 33,
                "transactional_id": None,
                "fate": "hanging",
                "result": "would be aborted",
            }
        ],
    }
    assert "dry run" in fastlog("doctor", directory, "--end-transactions").stderr
    assert examined(directory, 1)["partitions"][0]["end_offset"] == 35

    done = fastlog("doctor", directory, "--end-transactions", "--execute", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["transactions"][0]["result"] == "aborted"
    answer = examined(directory, 0)
    assert answer["findings"] == []
    assert answer["partitions"][0]["end_offset"] == 36
    assert answer["directories"][0]["clean_shutdown"] is True
    log = Log.open(str(directory / "orders-0"), LogConfig(), recovery_point=36, clean_shutdown=True)
    assert log.last_stable_offset(36) == 36
    assert log.aborted_transactions(0, 36) == [(4711, 30), (4712, 33)]
    assert fastlog("doctor", directory, "--execute").returncode == 2


def test_transactions_in_a_damaged_partition_are_left_alone(directory: Path) -> None:
    hanging(directory)
    flip(directory / "orders-0" / f"{LOG}.log", 200)
    before = (last_segment(directory / "orders-0")).read_bytes()
    done = fastlog("doctor", directory, "--end-transactions", "--execute", "-o", "json")
    assert json.loads(done.stdout)["transactions"][0]["result"] == "damaged"
    assert last_segment(directory / "orders-0").read_bytes() == before
