"""What a change of one topic costs while there are many: `python -m benches.macro.topics`.

Topics of one partition are made one after another; then, beside each number of topics, a few more are made,
configured, grown and deleted, one request for each. Time of the client and CPU of the broker, per change.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psutil

from benches.table import print_table
from fastlog.wire import Request
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from tests.harness.broker_process import BrokerProcess
from tests.harness.keeper_process import KeeperProcess
from tests.integration.running import RawClient

_FIRST: Final = 600
_AT_ONCE: Final = 200
_TOPIC: Final = 2
"""Type of a resource with configs."""


def main() -> None:
    """Runs a broker with each store and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topics", type=int, nargs="+", default=[600, 2_000, 10_000])
    parser.add_argument("--changes", type=int, default=50, help="of each kind, beside each number of topics")
    parser.add_argument("--stores", nargs="+", default=["own", "keeper"], choices=["own", "keeper"])
    given = parser.parse_args()
    for store in given.stores:
        with ExitStack() as stack:
            scratch = Path(
                stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="fastlog-bench-", ignore_cleanup_errors=True)
                )
            )
            settings = {}
            if store == "keeper":
                settings["zookeeper.connect"] = stack.enter_context(KeeperProcess(scratch / "k")).address
            broker = stack.enter_context(BrokerProcess(scratch / "b", settings=settings))
            client = stack.enter_context(RawClient(broker.port, timeout=600))
            _measure(store, client, psutil.Process(broker.process.pid), given.topics, given.changes)


def _measure(
    store: str, client: RawClient, broker: psutil.Process, sizes: Sequence[int], changes: int
) -> None:
    began, used = time.monotonic(), _cpu(broker)
    for number in range(_FIRST):
        _ask(client, _creation([f"first-{number}"]), 7)
    print(
        f"store: {store}; {_FIRST} topics one after another: {time.monotonic() - began:.1f} s,"
        f" {_cpu(broker) - used:.1f} s of CPU\n"
    )
    made = _FIRST
    rows: list[list[str]] = [[f"{what}, ms (CPU)"] for what in ("create", "configure", "grow", "delete")]
    for size in sizes:
        while made < size:
            count = min(_AT_ONCE, size - made)
            _ask(client, _creation([f"topic-{made + number}" for number in range(count)]), 7)
            made += count
        names = [f"{size}-{number}" for number in range(changes)]
        for row, request in zip(rows, (_creation, _configuration, _growth, _deletion), strict=True):
            row.append(_each(client, broker, names, request))
    print_table((f"store: {store}", *(f"{size} topics" for size in sizes)), rows)
    print(flush=True)


def _each(
    client: RawClient, broker: psutil.Process, names: Sequence[str], request: Callable[[list[str]], Request]
) -> str:
    versions = {19: 7, 44: 1, 37: 3, 20: 6}
    began, used = time.monotonic(), _cpu(broker)
    for name in names:
        asked = request([name])
        _ask(client, asked, versions[asked.API])
    seconds, cpu = time.monotonic() - began, _cpu(broker) - used
    return f"{1000 * seconds / len(names):.1f} ({1000 * cpu / len(names):.1f})"


def _ask(client: RawClient, request: Request, version: int) -> None:
    answer = client.ask(request, version)
    rows = next(getattr(answer, name) for name in ("topics", "results", "responses") if hasattr(answer, name))
    failed = [row for row in rows if row.error_code]
    assert not failed, failed[:3]


def _creation(names: list[str]) -> Request:
    topics = [CreatableTopic(name=name, num_partitions=1, replication_factor=1) for name in names]
    return CreateTopicsRequest(topics=topics, timeout_ms=600_000)


def _configuration(names: list[str]) -> Request:
    change = AlterableConfig(name="retention.ms", value="1000000")
    return IncrementalAlterConfigsRequest(
        resources=[
            AlterConfigsResource(resource_type=_TOPIC, resource_name=name, configs=[change]) for name in names
        ]
    )


def _growth(names: list[str]) -> Request:
    return CreatePartitionsRequest(
        topics=[CreatePartitionsTopic(name=name, count=3) for name in names], timeout_ms=600_000
    )


def _deletion(names: list[str]) -> Request:
    return DeleteTopicsRequest(topics=[DeleteTopicState(name=name) for name in names], timeout_ms=600_000)


def _cpu(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


if __name__ == "__main__":
    main()
