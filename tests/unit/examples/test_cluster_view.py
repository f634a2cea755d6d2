"""What `make cluster` shows of a cluster, and of what changes in it."""

from __future__ import annotations

import io
from dataclasses import replace

from examples.cluster.traffic import Meter
from examples.cluster.view import BrokerState, PartitionState, Snapshot, changes, frame
from fastlog.cli.redraw import Redraw

BROKERS = tuple(
    BrokerState(f"kafka-broker0{node}", node, f"127.0.0.1:900{node}", 100 + node, 0.0, True)
    for node in (1, 2, 3)
)
SHOT = Snapshot(
    up_for=30.0,
    service="one fastlog-keeper",
    brokers=BROKERS,
    controller=1,
    partitions=(PartitionState("demo-0", 1, 0, (1, 2, 3), (1, 2, 3)),),
    in_rate=500.4,
    out_rate=499.6,
    acked=15000,
    read=14990,
    failed=0,
    silent_for=0.0,
    gap=None,
)
DEAD = replace(BROKERS[0], pid=None, dead_for=2.0)


def test_a_frame() -> None:
    lines = frame(SHOT, keys=True)
    assert lines[0] == "3 brokers on one fastlog-keeper, up 30 s"
    assert lines[3].split() == ["kafka-broker01", "1", "127.0.0.1:9001", "101", "controller", "1"]
    assert lines[4].split() == ["kafka-broker02", "2", "127.0.0.1:9002", "102", "up", "0"]
    assert "demo-0          1      0  1,2,3    1,2,3" in lines
    assert "records/s in 500, out 500; acknowledged 15000, read 14990" in lines
    assert "no gap in the acknowledgements so far" in lines
    assert lines[-2].startswith("kill one from another terminal: kill -9 101 ")
    assert lines[-1] == "r starts dead brokers again, q ends all"


def test_a_frame_while_a_broker_is_dead() -> None:
    lines = frame(replace(SHOT, brokers=(DEAD, *BROKERS[1:]), silent_for=1.26, failed=3), keys=False)
    assert "dead for 2 s" in lines[3]
    assert "NO ACKNOWLEDGEMENTS for 1.3 s" in lines
    assert any(line.endswith(", given up 3") for line in lines)
    assert "kill -9 102 " in lines[-2]
    back = replace(BROKERS[0], joined=False)
    lines = frame(replace(SHOT, brokers=(back, *BROKERS[1:]), gap=(6.04, 12.0)), keys=False)
    assert "starting" in lines[3]
    assert "last gap without acknowledgements: 6.0 s, 12 s ago" in lines


def test_each_change_is_a_line() -> None:
    assert list(changes(SHOT, SHOT)) == []
    assert list(changes(None, SHOT))[-2:] == [
        "kafka-broker01 is controller",
        "demo-0: leader 1, epoch 0, in sync 1,2,3 of 1,2,3",
    ]
    dead = replace(SHOT, brokers=(DEAD, *BROKERS[1:]))
    assert list(changes(SHOT, dead)) == ["kafka-broker01 is dead"]
    # That it is dead for longer is no change.
    assert list(changes(dead, replace(dead, brokers=(replace(DEAD, dead_for=3.0), *BROKERS[1:])))) == []
    moved = replace(
        dead,
        brokers=(replace(DEAD, joined=False), *BROKERS[1:]),
        controller=2,
        partitions=(PartitionState("demo-0", 2, 1, (2, 3), (1, 2, 3)),),
        gap=(6.0, 0.1),
    )
    assert list(changes(dead, moved)) == [
        "kafka-broker01 has left the cluster",
        "kafka-broker02 is controller",
        "demo-0: leader 2, epoch 1, in sync 2,3 of 1,2,3",
        "acknowledgements again, after 6.0 s without",
    ]
    # The same gap, seen later.
    assert list(changes(moved, replace(moved, up_for=30.5, gap=(6.0, 0.6)))) == []
    assert list(changes(moved, replace(moved, controller=-1))) == ["there is no controller"]
    back = replace(moved, brokers=(replace(BROKERS[0], pid=201), *BROKERS[1:]))
    assert list(changes(moved, back)) == [
        "kafka-broker01 runs at 127.0.0.1:9001, pid 201",
        "kafka-broker01 has joined the cluster",
    ]


def test_a_meter_counts_and_notes_pauses() -> None:
    meter = Meter(10.0)
    meter.add(11.0, 5)
    assert meter.last_gap is None
    meter.add(11.4, 5)
    assert meter.last_gap is None
    assert meter.rate(11.4, over=2.0) == 5.0
    assert meter.silent_for(12.4) == 1.0
    meter.add(12.9)
    assert meter.last_gap == (1.5, 12.9)
    assert meter.rate(13.2, over=2.0) == 3.0
    assert meter.count == 11


def test_a_block_is_drawn_over_the_one_before() -> None:
    stream = io.StringIO()
    block = Redraw(stream)
    block.show(["a", "b"])
    block.show(["x" * 1000])
    block.leave()
    block.show(["c"])
    first, second, third = stream.getvalue().split("\x1b[J")[1:]
    assert first == "a\nb\n\x1b[2F"
    assert 1 < len(second) < 1000
    assert second.endswith("x\n")
    assert third == "c\n"
