"""Many transactional ids: what a broker takes to know them again after a restart, and their memory."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from benches.macro.pipelines import Pipelines
from fastlog.errors import ErrorCode
from fastlog.wire import Request, decode_response, encode_request
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.list_transactions import ListTransactionsRequest
from tests.harness.broker_process import BrokerProcess
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import ApacheKafka

_CONNECTIONS = 32
_LOADING = frozenset({ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, ErrorCode.COORDINATOR_NOT_AVAILABLE})


@dataclass(slots=True)
class ScaleFigures:
    """What one broker showed."""

    made_per_second: float = 0.0
    load_from_start: float = 0.0
    load_from_port: float = 0.0
    load_cpu: float = 0.0
    bytes_per_id: float = 0.0
    """Resident memory; of a JVM its heap, after a full collection."""


def measure_scale(broker: BrokerProcess | ApacheKafka, count: int) -> ScaleFigures:
    """Starts a broker with an empty directory, makes the ids, and starts it again."""
    figures = ScaleFigures()
    broker.start()
    lines = Pipelines(broker.port, _CONNECTIONS)
    find = FindCoordinatorRequest(key_type=1, coordinator_keys=["one"])
    wait_until(
        lambda: not _ask(lines, find, 4).coordinators[0].error_code, "there is a coordinator", seconds=60
    )
    lines.close()
    broker.stop()
    broker.start()
    _settle(broker)
    before = _memory(broker)
    lines = Pipelines(broker.port, _CONNECTIONS)
    began, names = time.perf_counter(), [f"transactional-id-{number}" for number in range(count)]
    while names:
        frames = [_frame(InitProducerIdRequest(name, 60_000), 4) for name in names]
        _, answers = lines.spread(frames)
        codes = [decode_response(InitProducerIdRequest.API, 4, one)[1].error_code for one in answers]
        names = [name for name, code in zip(names, codes, strict=True) if code]
    figures.made_per_second = count / (time.perf_counter() - began)
    lines.close()
    broker.stop()
    began = time.perf_counter()
    broker.start()
    port = time.perf_counter()
    lines = Pipelines(broker.port, 1)
    while True:
        answer = _ask(lines, ListTransactionsRequest(), 0)
        if not answer.error_code and len(answer.transaction_states) == count:
            break
        assert answer.error_code in _LOADING or not answer.error_code, answer
        time.sleep(0.005)
    ended = time.perf_counter()
    figures.load_cpu = _cpu(broker)
    figures.load_from_start, figures.load_from_port = ended - began, ended - port
    lines.close()
    _settle(broker)
    figures.bytes_per_id = (_memory(broker) - before) / count
    broker.stop()
    return figures


def scale_rows(found: Mapping[str, ScaleFigures]) -> list[tuple[str, ...]]:
    """Rows of a table with a column for each broker."""
    return [
        (what, *(f"{getattr(one, name):.{digits}f}" for one in found.values()))
        for what, name, digits in (
            ("made, ids/s", "made_per_second", 0),
            ("load, s from the process's start", "load_from_start", 2),
            ("load, s from the port's opening", "load_from_port", 2),
            ("CPU s until loaded", "load_cpu", 2),
            ("bytes per id (resident; of a JVM: heap)", "bytes_per_id", 0),
        )
    ]


def _frame(request: Request, version: int) -> bytes:
    return bytes(encode_request(request, version, 1, "bench"))


def _ask(lines: Pipelines, request: Request, version: int) -> Any:
    _, (answer,) = lines.spread([_frame(request, version)])
    return decode_response(request.API, version, answer)[1]


def _cpu(broker: BrokerProcess | ApacheKafka) -> float:
    return float(sum(psutil.Process(broker.process.pid).cpu_times()[:2]))


def _settle(broker: BrokerProcess | ApacheKafka) -> None:
    """Waits until the process has nothing to do."""
    for _ in range(30):
        before = _cpu(broker)
        time.sleep(1)
        if _cpu(broker) - before < 0.1:
            return


def _memory(broker: BrokerProcess | ApacheKafka) -> float:
    """Bytes."""
    pid = broker.process.pid
    if isinstance(broker, BrokerProcess):
        return float(psutil.Process(pid).memory_info().rss)
    subprocess.run(["jcmd", str(pid), "GC.run"], check=True, capture_output=True)
    words = subprocess.run(
        ["jcmd", str(pid), "GC.heap_info"], check=True, capture_output=True, text=True
    ).stdout
    match = re.search(r"used (\d+)K", words)
    assert match is not None, words
    return 1024.0 * int(match[1])
