"""Transactions beside Apache Kafka's, in one run: `python -m benches.macro.transactions`.

All brokers run all the time and are loaded one at a time, in alternating turns. Two clients: raw requests
(`transaction_flow`), which cost little, and librdkafka. Transactions of the first protocol, and of the second
one (KIP-890) where there is one, beside plain writes with acks=all. CPU time is that of the broker's process:
on a shared machine it is steadier than the time on the wall. In the end many transactional ids are made, and
brokers started again (`transaction_scale`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import psutil

from benches.macro.pipelines import Pipelines
from benches.macro.transaction_clients import run_librdkafka
from benches.macro.transaction_flow import TOPIC, Load, Producer, Run, drive
from benches.macro.transaction_scale import ScaleFigures, measure_scale, scale_rows
from benches.table import print_table
from fastlog.errors import ErrorCode
from fastlog.wire import Request, decode_response, encode_request
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from fastlog.wire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest
from tests.harness.broker_process import BrokerProcess
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import KAFKA_3, ApacheKafka

KAFKA_4: Final = "4.4.0"
PARTITIONS: Final = 10
MANY: Final = 20
LOADS: Final = tuple(
    Load(f"{what}, {count} producer{'s' if count > 1 else ''}", partitions, count, offsets)
    for what, partitions, offsets in (
        ("1 partition", 1, False),
        ("10 partitions", PARTITIONS, False),
        ("1 partition and offsets", 1, True),
    )
    for count in (1, MANY)
)
_FULL: Final = 0.9
"""Above this share of a core the client counts as the limit."""

Broker = BrokerProcess | ApacheKafka


@dataclass(slots=True)
class Figures:
    """What one broker showed of one load: a figure for each turn."""

    per_second: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    """The broker's, for each transaction or write."""
    client: list[float] = field(default_factory=list)
    """Cores."""
    again: list[float] = field(default_factory=list)
    """Requests for each transaction that had to come again."""

    def add(self, run: Run) -> None:
        """Takes in one turn."""
        count = len(run.latencies)
        if not count:
            # A broker that is starved: a figure all the same.
            run.latencies, count = [run.seconds], 1
        ordered = sorted(run.latencies)
        self.per_second.append(count / run.seconds)
        self.p50_ms.append(1000 * ordered[count // 2])
        self.p99_ms.append(1000 * ordered[int(count * 0.99)])
        self.cpu_us.append(1e6 * run.broker_cpu / count)
        self.client.append(run.client_cpu / run.seconds)
        self.again.append(run.again / count)


@dataclass(frozen=True, slots=True)
class Contestant:
    """A broker and the protocol of its clients."""

    broker: str
    protocol: int


Found = dict[str, dict[Contestant, Figures]]
"""By the name of the load."""


def main() -> None:
    """Runs all turns and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each load in each turn")
    parser.add_argument(
        "--warm-up", type=float, default=8.0, help="seconds of mixed load before the first turn"
    )
    parser.add_argument("--kafka", nargs="*", default=[KAFKA_3, KAFKA_4], help="releases of Apache Kafka")
    parser.add_argument("--only", default="", help="only loads whose name has this text")
    parser.add_argument("--protocols", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--ids", type=int, default=10_000, help="transactional ids; 0: not measured")
    parser.add_argument("--no-librdkafka", action="store_true")
    given = parser.parse_args()
    loads = [load for load in LOADS if given.only in load.name]
    with tempfile.TemporaryDirectory(prefix="fastlog-bench-") as scratch:
        beside = _Beside(given, loads)
        beside.run(Path(scratch))
        beside.report()
        if given.ids:
            found: dict[str, ScaleFigures] = {}
            for name in ("fastlog", *given.kafka):
                print(f"{given.ids} ids: {name}", file=sys.stderr)
                found[name] = measure_scale(_broker(name, Path(scratch) / f"ids-{name}"), given.ids)
            print()
            print_table((f"{given.ids:,} transactional ids", *found), scale_rows(found))


class _Beside:
    """All brokers, which run all the time."""

    def __init__(self, given: argparse.Namespace, loads: Sequence[Load]) -> None:
        self._given = given
        self._names = ["fastlog", *given.kafka]
        self._loads = loads
        self._plain = [
            Load(f"plain write, {load.name}", load.partitions, load.producers, transactional=False)
            for load in loads
            if not load.offsets
        ]
        self._found: Found = defaultdict(lambda: defaultdict(Figures))
        self._brokers: dict[str, Broker] = {}
        self._contestants = [
            Contestant(name, protocol)
            for protocol in given.protocols
            for name in self._names
            if protocol == 1 or _has_second(name)
        ]

    def run(self, scratch: Path) -> None:
        """All turns."""
        given = self._given
        with ExitStack() as stack:
            for name in self._names:
                self._brokers[name] = stack.enter_context(_broker(name, scratch / name))
            for name, broker in self._brokers.items():
                print(f"warm-up: {name}", file=sys.stderr)
                prepare(broker, second=name == "fastlog" and 2 in given.protocols)
                one = Contestant(name, 2 if _has_second(name) else 1)
                # What is not compiled while it runs is warm at once.
                _warm_up(broker, one, 1.0 if name == "fastlog" else given.warm_up)
            for turn in range(given.turns):
                print(f"turn {turn + 1}", file=sys.stderr)
                self._turn(turn)

    def _turn(self, turn: int) -> None:
        seconds = self._given.seconds
        first = _in_turn([Contestant(name, 1) for name in self._names], turn)
        for load in self._loads:
            for one in _in_turn(self._contestants, turn):
                _measure(self._brokers[one.broker], one, load, seconds, self._found[load.name][one])
        for load in self._plain:
            for one in first:
                _measure(self._brokers[one.broker], one, load, seconds, self._found[load.name][one])
        for load in self._of_librdkafka():
            for one in first:
                figures = self._found[f"librdkafka: {load.name}"][one]
                _measure_librdkafka(self._brokers[one.broker], load, seconds, figures)

    def _of_librdkafka(self) -> list[Load]:
        if self._given.no_librdkafka:
            return []
        return [load for load in self._loads if load.partitions == 1 and not load.offsets]

    def report(self) -> None:
        """Prints the tables."""
        first = [Contestant(name, 1) for name in self._names]
        for protocol in self._given.protocols:
            contestants = [one for one in self._contestants if one.protocol == protocol]
            loads = [*self._loads, *(self._plain if protocol == 1 else ())]
            _report(f"protocol {protocol}, raw requests", contestants, loads, self._found)
        of_librdkafka = [replace(load, name=f"librdkafka: {load.name}") for load in self._of_librdkafka()]
        if of_librdkafka:
            _report("protocol 1, librdkafka", first, of_librdkafka, self._found)
        _report_client(self._found)


def _broker(name: str, directory: Path) -> Broker:
    return BrokerProcess(directory) if name == "fastlog" else ApacheKafka(directory, version=name)


def _has_second(name: str) -> bool:
    return not name.startswith("3.")


def _in_turn(contestants: Sequence[Contestant], turn: int) -> list[Contestant]:
    """Another order in each turn."""
    ordered = list(contestants)
    return ordered if turn % 2 == 0 else ordered[::-1]


def ask(lines: Pipelines, request: Request, version: int) -> Any:
    """The answer to one request."""
    frame = bytes(encode_request(request, version, 1, "bench"))
    _, (answer,) = lines.spread([frame])
    return decode_response(request.API, version, answer)[1]


def prepare(broker: Broker, *, second: bool) -> None:
    """The topics are there, and if that is asked for the second protocol is the cluster's."""
    lines = Pipelines(broker.port, 1)
    topic = CreatableTopic(TOPIC, PARTITIONS, 1)
    assert not ask(lines, CreateTopicsRequest(topics=[topic], timeout_ms=30_000), 5).topics[0].error_code
    if second:
        update = FeatureUpdateKey(feature="transaction.version", max_version_level=2)
        answer = ask(lines, UpdateFeaturesRequest(feature_updates=[update]), 1)
        assert answer.error_code in (0, ErrorCode.INVALID_UPDATE_VERSION), answer
    for key_type in (0, 1):
        find = FindCoordinatorRequest(key_type=key_type, coordinator_keys=["one"])
        wait_until(
            lambda find=find: not ask(lines, find, 4).coordinators[0].error_code,  # type: ignore[misc]
            "coordinators are known",
            seconds=60,
        )
    lines.close()


def _warm_up(broker: Broker, one: Contestant, seconds: float) -> None:
    """Until a JVM has compiled what there is to compile."""
    mixed = [Load("warm-up", PARTITIONS, MANY, offsets=True), Load("warm-up", 1, MANY)]
    for load in (*mixed, Load("warm-up", PARTITIONS, MANY, transactional=False)):
        for protocol in {1, one.protocol}:
            _driven(broker, Contestant(one.broker, protocol), load, seconds / 5)


def _driven(broker: Broker, one: Contestant, load: Load, seconds: float) -> Run:
    names = [f"{one.protocol}-{load.name}-{number}" for number in range(load.producers)]
    producers = [Producer(broker.port, load, name, one.protocol) for name in names]
    process = psutil.Process(broker.process.pid)
    run = drive(producers, seconds, seconds / 4, lambda: sum(process.cpu_times()[:2]))
    for producer in producers:
        producer.socket.close()
    return run


def _measure(broker: Broker, one: Contestant, load: Load, seconds: float, into: Figures) -> None:
    into.add(_driven(broker, one, load, seconds))


def _measure_librdkafka(broker: Broker, load: Load, seconds: float, into: Figures) -> None:
    process = psutil.Process(broker.process.pid)
    into.add(run_librdkafka(broker.bootstrap, load, seconds, lambda: sum(process.cpu_times()[:2])))


# -- reports --------------------


def _report(title: str, contestants: Sequence[Contestant], loads: Sequence[Load], found: Found) -> None:
    rows: list[tuple[str, ...]] = []
    for load in loads:
        what = "transactions/s" if load.transactional else "writes/s"
        rows += _rows(load.name, what, [found[load.name][one] for one in contestants])
    heads = [one.broker if one.broker == "fastlog" else f"Kafka {one.broker}" for one in contestants]
    print()
    print_table((title, *heads, *(f"times {head}'s" for head in heads[1:])), rows)


def _rows(name: str, what: str, figures: Sequence[Figures]) -> list[tuple[str, ...]]:
    """Rows of a table; the first is fastlog's. Ratios are of medians, above 1 where fastlog is better."""
    rows = []
    for label, values, more_is_better in (
        (what, [one.per_second for one in figures], True),
        ("p50 ms", [one.p50_ms for one in figures], False),
        ("p99 ms", [one.p99_ms for one in figures], False),
        ("broker's CPU us each", [one.cpu_us for one in figures], False),
    ):
        mid = [statistics.median(one) for one in values]
        ratios = [mid[0] / other if more_is_better else other / mid[0] for other in mid[1:]]
        rows.append((f"{name}: {label}", *map(_spread, values), *(f"{ratio:.2f}" for ratio in ratios)))
    return rows


def _spread(values: Sequence[float]) -> str:
    """Median and range."""
    mid = statistics.median(values)
    digits = 0 if mid >= 100 else 1 if mid >= 10 else 2
    return f"{mid:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _report_client(found: Found) -> None:
    print("\nThe client's share of a core, and requests that came again for each transaction (medians):")
    for name, by_contestant in found.items():
        texts = []
        for one, figures in by_contestant.items():
            share = statistics.median(figures.client)
            limit = " (the client was the limit)" if share > _FULL else ""
            texts.append(
                f"{one.broker} v{one.protocol} {share:.2f}, {statistics.median(figures.again):.1f}{limit}"
            )
        print(f"- {name}: {'; '.join(texts)}")


if __name__ == "__main__":
    main()
