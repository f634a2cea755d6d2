"""`fastlog produce` and `fastlog consume` as processes against a broker: input, output, exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

from tests.harness.cli import fastlog, fastlog_command
from tests.harness.net import free_port
from tests.integration.conftest import BrokerFactory
from tests.integration.running import RunningBroker


def start(broker: RunningBroker, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        fastlog_command(*args, "-b", broker.bootstrap),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Who runs the tests in the background may have them ignore it, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def pipe_of(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def test_lines_go_in_and_come_out_with_a_summary_on_stderr(broker: RunningBroker) -> None:
    lines = b"".join(b"line %d\n" % number for number in range(5000))
    done = fastlog("produce", "t", stdin=lines, bootstrap=broker.bootstrap)
    assert done.stdout == b""
    assert done.stderr.startswith(b"fastlog: 5000 records to t in ")
    done = fastlog("consume", "t", "-e", bootstrap=broker.bootstrap)
    assert done.stdout == lines
    assert done.stderr == b""


def test_the_summary_and_the_records_as_json(broker: RunningBroker) -> None:
    args = ("-k", "k", "-H", "h=1", "-o", "json", "-D", r"\0")
    done = fastlog("produce", "t", *args, stdin=b"\xff\0two\n\0", bootstrap=broker.bootstrap)
    summary = json.loads(done.stdout)
    assert summary.pop("seconds") >= 0
    assert summary == {
        "topic": "t",
        "records": 2,
        "failed": 0,
        "value_bytes": 5,
        "partitions": [{"partition": 0, "records": 2, "first_offset": 0, "last_offset": 1}],
    }
    rows = fastlog("consume", "t", "-e", "-o", "json", bootstrap=broker.bootstrap).stdout.splitlines()
    first, second = map(json.loads, rows)
    assert (first["offset"], first["key"], first["value"]) == (0, "k", {"base64": "/w=="})
    assert (second["value"], second["headers"]) == ("two\n", [["h", "1"]])


def test_whole_files_are_records(broker: RunningBroker, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\n2\n")
    (tmp_path / "b").write_bytes(b"")
    args = ("--file", str(tmp_path / "a"), "--file", str(tmp_path / "b"))
    fastlog("produce", "t", *args, bootstrap=broker.bootstrap)
    got = fastlog("consume", "t", "-e", "-D", "|", bootstrap=broker.bootstrap).stdout
    assert got == b"1\n2\n||"
    done = fastlog("produce", "t", "--file", str(tmp_path / "c"), bootstrap=broker.bootstrap, code=1)
    assert b"No such file" in done.stderr


def test_records_that_cannot_be_written_are_named_and_the_rest_is_written(
    start_broker: BrokerFactory,
) -> None:
    broker = start_broker(**{"message.max.bytes": "1000"})
    lines = b"small\n" + b"x" * 5000 + b"\nsmall too\n"
    done = fastlog("produce", "t", stdin=lines, bootstrap=broker.bootstrap, code=1)
    assert b"fastlog: line 2: partition t-0: the batch has " in done.stderr
    assert b"(MESSAGE_TOO_LARGE)" in done.stderr
    assert b"2 records to t" in done.stderr
    assert b", 1 failed" in done.stderr
    assert fastlog("consume", "t", "-e", bootstrap=broker.bootstrap).stdout == b"small\nsmall too\n"
    done = fastlog("produce", "t", "-p", "4", stdin=b"x\ny\n", bootstrap=broker.bootstrap, code=1)
    assert done.stderr.startswith(b"fastlog: line 1: topic 't' has no partition 4, it has 1\n")


def test_a_follower_prints_what_comes_survives_a_restart_and_ends_on_interrupt(
    broker: RunningBroker,
) -> None:
    fastlog("produce", "t", stdin=b"old\n", bootstrap=broker.bootstrap)
    with start(broker, "consume", "t", "-O", "-1") as process:
        out = pipe_of(process.stdout)
        assert out.readline() == b"old\n"
        fastlog("produce", "t", stdin=b"new\n", bootstrap=broker.bootstrap)
        assert out.readline() == b"new\n"
        broker.stop()
        broker.start()
        fastlog("produce", "t", stdin=b"after the restart\n", bootstrap=broker.bootstrap)
        assert out.readline() == b"after the restart\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert pipe_of(process.stderr).read() == b""


def test_an_interrupt_ends_a_producer_that_waits_for_input(broker: RunningBroker) -> None:
    with start(broker, "produce", "t") as process:
        stdin = pipe_of(process.stdin)
        stdin.write(b"first\n")
        stdin.flush()
        got = fastlog("consume", "t", "-c", "1", bootstrap=broker.bootstrap) if _written(broker) else None
        assert got is not None
        assert got.stdout == b"first\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert b"1 record to t" in pipe_of(process.stderr).read()


def _written(broker: RunningBroker) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done = fastlog("consume", "t", "-e", bootstrap=broker.bootstrap, code=None)
        if done.stdout:
            return True
    return False


def test_a_reader_that_leaves_ends_the_consumer_quietly(broker: RunningBroker) -> None:
    fastlog("produce", "t", stdin=b"x\n" * 100, bootstrap=broker.bootstrap)
    with start(broker, "consume", "t") as process:
        assert pipe_of(process.stdout).readline() == b"x\n"
        pipe_of(process.stdout).close()
        assert process.wait(20) == 0
        assert pipe_of(process.stderr).read() == b""


def test_several_topics_partitions_and_a_count(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"num.partitions": "3"})
    for topic in ("a", "b"):
        for partition in "012":
            value = f"{topic}{partition}\n".encode()
            fastlog("produce", topic, "-p", partition, stdin=value * 2, bootstrap=broker.bootstrap)
    got = fastlog("consume", "a", "b", "-p", "1", "-p", "2", "-e", bootstrap=broker.bootstrap).stdout
    assert sorted(got.split()) == [b"a1", b"a1", b"a2", b"a2", b"b1", b"b1", b"b2", b"b2"]
    assert len(fastlog("consume", "a", "-c", "3", bootstrap=broker.bootstrap).stdout.split()) == 3
    assert fastlog("consume", "a", "-c", "0", bootstrap=broker.bootstrap).stdout == b""
    done = fastlog("consume", "a", "-p", "7", "-e", bootstrap=broker.bootstrap, code=1)
    assert done.stderr == b"fastlog: topic 'a' has no partition 7, it has 3\n"


def test_errors_are_one_line_with_an_exit_status() -> None:
    port = free_port()
    done = fastlog("consume", "t", "-b", f"127.0.0.1:{port}", code=3)
    assert done.stderr.decode() == (
        f"fastlog: no bootstrap server can be used. 127.0.0.1:{port}: cannot connect: "
        "connection refused (no broker listens there)\n"
    )
    done = fastlog("consume", "t", "-o", "json", "-b", f"127.0.0.1:{port}", code=3)
    assert json.loads(done.stderr)["error"]["code"] == "NETWORK_EXCEPTION"


def test_options_of_every_verb_count_here_too_and_errors_are_json(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"auto.create.topics.enable": "false"})
    at = ("-o", "json", "--timeout", "3", "--client-id", "me")
    done = fastlog("produce", "absent", *at, stdin=b"x\n", bootstrap=broker.bootstrap, code=1)
    assert json.loads(done.stdout)["failed"] == 1
    error = json.loads(done.stderr)["error"]
    assert (error["code"], error["item"]) == ("UNKNOWN_TOPIC_OR_PARTITION", "line 1")
    fastlog("topic", "create", "t", bootstrap=broker.bootstrap)
    fastlog("produce", "t", stdin=b"x\n", bootstrap=broker.bootstrap)
    done = fastlog("consume", "t", "-e", "-O", "2", *at, bootstrap=broker.bootstrap, code=1)
    assert json.loads(done.stderr)["error"]["code"] == "OFFSET_OUT_OF_RANGE"
    assert fastlog("consume", "t", "-e", "-O", "1", bootstrap=broker.bootstrap).stdout == b""
    # Without an acknowledgement there is no offset.
    done = fastlog("produce", "t", "--acks", "0", "-o", "json", stdin=b"x\n", bootstrap=broker.bootstrap)
    assert json.loads(done.stdout)["partitions"][0]["first_offset"] is None


def test_a_topic_that_does_not_exist_is_told_by_consume_and_not_made(broker: RunningBroker) -> None:
    for _ in range(2):
        done = fastlog("consume", "absent", "-e", bootstrap=broker.bootstrap, code=1)
        assert b"topic 'absent'" in done.stderr
        assert b"UNKNOWN_TOPIC_OR_PARTITION" in done.stderr
    assert "absent-0" not in os.listdir(broker.directory)
