"""Each number is shown by its own name: a value of its own for every attribute that metrics are read from."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from fastlog.base.clock import ManualClock
from fastlog.base.histogram import Histogram
from fastlog.base.tasks import Supervisor
from fastlog.coordination.groups.classic.state import GroupState
from fastlog.coordination.transactions.state import TransactionEntry, TransactionState
from fastlog.errors import ErrorCode
from fastlog.replication.fetch_context import FetcherStats
from fastlog.server.network.session import ListenerIdentity, Session
from fastlog.server.observability.disk_space import Room
from fastlog.server.observability.exposition import Family, Format, Renderer
from fastlog.server.observability.group_families import group_families
from fastlog.server.observability.health import Health
from fastlog.server.observability.kafka_families import kafka_families
from fastlog.server.observability.loop_lag import LoopLag
from fastlog.server.observability.metric_sources import Sources
from fastlog.server.observability.metrics import BrokerMetrics
from fastlog.server.observability.quota_families import listener_families, quota_families
from fastlog.server.observability.replication_families import replication_families
from fastlog.server.observability.request_families import memory_families, request_families
from fastlog.server.observability.runtime_families import runtime_families
from fastlog.server.observability.storage_families import (
    cleaner_families,
    housekeeping_families,
    partition_families,
    storage_families,
)
from fastlog.server.observability.transaction_families import transaction_families
from fastlog.server.quotas.client_quotas import ClientQuotas
from fastlog.server.quotas.connection_quotas import ConnectionLimits, ConnectionQuotas
from fastlog.server.quotas.limits import Kind
from fastlog.server.quotas.rates import QuotaWindows
from fastlog.storage.cleaner_stats import CleanerStats
from fastlog.storage.housekeeping import HousekeepingStats
from fastlog.storage.opening_progress import OpeningProgress
from fastlog.storage.scrubber import ScrubStats
from fastlog.wire import ApiKey

TABLES = ("authentications", "closed", "connections_of", "refused")
"""Counters that are kept by something."""


def shown(families: list[Family]) -> dict[str, float]:
    """Every line but those of buckets: name with labels -> value."""
    lines = "".join(line for family in families for line in family.lines(Format.TEXT)).splitlines()
    rows = [line.rsplit(" ", 1) for line in lines if not line.startswith("#") and "_bucket{" not in line]
    return {name: float(value) for name, value in rows}


def test_replication() -> None:
    stats = FetcherStats(1, 2, 3, 4, 5, {("t", 0): "FENCED_LEADER_EPOCH"})
    fetchers: Any = SimpleNamespace(stats=stats, followed=7, max_lag=lambda: 8)
    throttle: Any = SimpleNamespace(bytes=9, held=10)
    assert "fastlog_leader_throttled_bytes_total" not in shown(replication_families(fetchers, None))
    assert shown(replication_families(fetchers, throttle)) == {
        "fastlog_leader_throttled_bytes_total": 9,
        "fastlog_leader_throttled_reads_total": 10,
        "fastlog_followed_partitions": 7,
        "fastlog_follower_failed_partitions": 1,
        "fastlog_follower_max_lag_records": 8,
        "fastlog_follower_fetches_total": 1,
        "fastlog_follower_bytes_total": 2,
        "fastlog_follower_damaged_batches_total": 3,
        "fastlog_follower_truncations_total": 4,
        "fastlog_follower_connection_failures_total": 5,
    }


def test_requests() -> None:
    metrics = BrokerMetrics()
    numbers = itertools.count(1)
    scalars = [
        name
        for name in BrokerMetrics.__slots__
        if name not in {*TABLES, "errors", "requests", "software", "times"}
    ]
    for name in scalars:
        setattr(metrics, name, next(numbers))
    metrics.requests[ApiKey.FETCH] = 100
    metrics.errors[ApiKey.FETCH, ErrorCode.OFFSET_OUT_OF_RANGE] = 101
    metrics.closed["idle"] = 102
    client = Session(ListenerIdentity("PLAINTEXT"), software_name="librdkafka", software_version="2.12.0")
    metrics.software.introduced(client)
    metrics.refused["max.connections"] = 103
    metrics.answered(ApiKey.FETCH, 0.25)
    metrics.answered_late(ApiKey.FETCH, 7.0, 4.0, 1.0)
    assert shown(request_families(metrics)) == {
        'fastlog_requests_total{api="Fetch"}': 100,
        'fastlog_request_errors_total{api="Fetch",error="OFFSET_OUT_OF_RANGE"}': 101,
        'fastlog_request_duration_seconds_count{api="Fetch"}': 2,
        'fastlog_request_duration_seconds_sum{api="Fetch"}': 7.25,
        'fastlog_request_busy_seconds_count{api="Fetch"}': 2,
        'fastlog_request_busy_seconds_sum{api="Fetch"}': 2.25,
        'fastlog_request_stage_seconds_total{api="Fetch",stage="busy"}': 2.25,
        'fastlog_request_stage_seconds_total{api="Fetch",stage="parked"}': 4,
        'fastlog_request_stage_seconds_total{api="Fetch",stage="sending"}': 1,
        "fastlog_received_bytes_total": metrics.bytes_in,
        "fastlog_sent_bytes_total": metrics.bytes_out,
        "fastlog_produced_bytes_total": metrics.produce_bytes,
        "fastlog_fetched_bytes_total": metrics.fetch_bytes,
        "fastlog_connections": metrics.connections_open,
        'fastlog_connections_by_software{listener="PLAINTEXT",name="librdkafka",version="2.12.0"}': 1,
        "fastlog_connections_accepted_total": metrics.connections_accepted,
        'fastlog_connections_refused_total{reason="max.connections"}': 103,
        'fastlog_connections_refused_total{reason="max.connections.per.ip"}': 0,
        'fastlog_connections_refused_total{reason="connection_creation_rate"}': 0,
        'fastlog_connections_closed_total{reason="idle"}': 102,
        "fastlog_reads_paused_total": metrics.reads_paused,
    }


def test_listeners_and_quotas() -> None:
    metrics = BrokerMetrics()
    metrics.connections_of.update({"CLIENTS": 3, "LOCAL": 1})
    metrics.authentications["CLIENTS", "success"] = 5
    metrics.authentications["CLIENTS", "failure"] = 2
    metrics.connections_muted = 4
    assert shown(listener_families(metrics)) == {
        'fastlog_connections_by_listener{listener="CLIENTS"}': 3,
        'fastlog_connections_by_listener{listener="LOCAL"}': 1,
        'fastlog_authentications_total{listener="CLIENTS",outcome="success"}': 5,
        'fastlog_authentications_total{listener="CLIENTS",outcome="renewal"}': 0,
        'fastlog_authentications_total{listener="CLIENTS",outcome="failure"}': 2,
    }
    clients = ClientQuotas(lambda: 1.0, QuotaWindows(), QuotaWindows())
    clients.put((("client-id", None),), {"producer_byte_rate": 1.0, "controller_mutation_rate": 1.0})
    clients.record(Kind.PRODUCE, "u", "a", 1)
    clients.record(Kind.PRODUCE, "u", "b", 1)
    clients.bucket("u", "a")
    clients.count(Kind.FETCH, 1500)
    clients.count(Kind.FETCH, 250)
    connections = ConnectionQuotas(lambda: 1.0, QuotaWindows(), ConnectionLimits(), {})
    connections.put((("ip", None),), {"connection_creation_rate": 1.0})
    connections.address_delay_ms("10.0.0.1")
    connections.held["CLIENTS"] = 1
    connections.throttled_ms["CLIENTS"] = 2500
    quotas: Any = SimpleNamespace(clients=clients, connections=connections)
    rows = shown(quota_families(quotas, metrics))
    for name, other in (("requests", 2), ("seconds", 1.75)):
        start = f"fastlog_throttle{'d_requests' if name == 'requests' else '_seconds'}_total"
        for kind in ("produce", "fetch", "request", "controller-mutation"):
            assert rows.pop(f'{start}{{quota="{kind}"}}') == (other if kind == "fetch" else 0)
    assert rows == {
        "fastlog_throttled_connections": 4,
        'fastlog_quota_entities{quota="produce"}': 2,
        'fastlog_quota_entities{quota="fetch"}': 0,
        'fastlog_quota_entities{quota="request"}': 0,
        'fastlog_quota_entities{quota="controller-mutation"}': 1,
        'fastlog_quota_entities{quota="ip"}': 1,
        "fastlog_quota_entities_displaced_total": 0,
        'fastlog_connections_held{listener="CLIENTS"}': 1,
        'fastlog_connection_throttle_seconds_total{listener="CLIENTS"}': 2.5,
    }


def test_memory() -> None:
    flushes = Histogram()
    flushes.observe(0.5)
    services: Any = SimpleNamespace(
        response_memory=SimpleNamespace(used=1, limit=2, waiting=3),
        purgatory=range(4),
        fetch_sessions=range(5),
        io=SimpleNamespace(pending=6, flush_seconds=flushes),
    )
    memory: Any = SimpleNamespace(used=15, unfinished=8, limit=9, waiting=10)
    assert shown(memory_families(services, memory)) == {
        "fastlog_response_memory_bytes": 1,
        "fastlog_response_memory_limit_bytes": 2,
        "fastlog_response_memory_waiting": 3,
        "fastlog_parked_requests": 4,
        "fastlog_fetch_sessions": 5,
        "fastlog_io_jobs": 6,
        "fastlog_flush_seconds_count": 1,
        "fastlog_flush_seconds_sum": 0.5,
        'fastlog_request_memory_bytes{state="whole"}': 7,
        'fastlog_request_memory_bytes{state="partial"}': 8,
        "fastlog_request_memory_limit_bytes": 9,
        "fastlog_request_memory_waiting": 10,
    }
    assert not any("request_memory" in name for name in shown(memory_families(services, None)))


async def test_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    health, renderer = Health(clock.monotonic), Renderer()
    progress = OpeningProgress()
    directory = progress.of(Path("/d"))
    directory.total, directory.done = 7, 3
    logs: Any = SimpleNamespace(
        directories=[SimpleNamespace(path=Path("/d"), online=True)], progress=progress
    )
    health.watch(logs)
    clock.advance(1500)
    lag = LoopLag(clock.monotonic)
    lag.histogram.observe(0.5)
    renderer.scrapes, renderer.errors, renderer.longest_slice = 11, 12, 13.5
    tasks = Supervisor(clock.monotonic)
    tasks.guard("retention").failed(ValueError())
    tasks.guard("flush")
    rows = shown(runtime_families(Sources(health, lag, renderer, tasks), "1.2.3"))
    (build,) = [name for name in rows if name.startswith("fastlog_build_info")]
    assert 'version="1.2.3",python="3.' in build
    del rows[build]
    assert rows == {
        "fastlog_ready": 0,
        'fastlog_phase{phase="starting"}': 1,
        'fastlog_phase{phase="serving"}': 0,
        'fastlog_phase{phase="stopping"}': 0,
        "fastlog_startup_seconds": 1.5,
        'fastlog_startup_partitions{log_dir="/d",state="total"}': 7,
        'fastlog_startup_partitions{log_dir="/d",state="opened"}': 3,
        "fastlog_event_loop_lag_seconds_count": 1,
        "fastlog_event_loop_lag_seconds_sum": 0.5,
        'fastlog_background_failures_total{loop="flush"}': 0,
        'fastlog_background_failures_total{loop="retention"}': 1,
        'fastlog_background_failing{loop="flush"}': 0,
        'fastlog_background_failing{loop="retention"}': 1,
        "fastlog_log_lines_lost_total": 0,
        "fastlog_scrapes_total": 11,
        "fastlog_scrape_errors_total": 12,
        "fastlog_scrape_longest_slice_seconds": 13.5,
    }


def replica(topic: str, number: int, **what: Any) -> Any:
    """Three copies are wanted, `in_sync` of them are in sync; two must be."""
    return SimpleNamespace(
        key=(topic, number),
        is_leader=what.get("leads", True),
        in_sync=range(what.get("in_sync", 3)),
        followers=range(2),
        least_in_sync=2,
        leader_error=lambda: what.get("error", 0),
        high_watermark=what.get("high", 0),
        log=SimpleNamespace(
            log_start_offset=what.get("start", 0),
            log_end_offset=1_000_000,
            open_transaction_since=lambda now_ms: now_ms - what["open_ms"] if "open_ms" in what else None,
        ),
    )


def opened(path: str, topic: str, number: int, base: int) -> Any:
    log = SimpleNamespace(
        size_bytes=base, unflushed_bytes=base + 1, segment_count=base + 2, log_end_offset=base + 3
    )
    directory = SimpleNamespace(path=Path(path))
    return SimpleNamespace(topic=topic, partition=number, directory=directory, log=log)


class Table(list[Any]):
    """Open partitions; one is closed."""

    closed = range(9)


def test_storage() -> None:
    replicas = [
        replica("t", 0, open_ms=1_200_001),
        replica("t", 1, in_sync=2, open_ms=1_200_000),
        replica("t", 2, in_sync=1),
        replica("t", 3, in_sync=1, leads=False, open_ms=9_000_000),
        replica("t", 4),
    ]
    table = Table([opened("/a", "t", 0, 100), opened("/a", "u", 0, 200), opened("/b", "t", 1, 400)])
    logs = SimpleNamespace(
        table=table,
        directories=[
            SimpleNamespace(path=Path("/a"), online=True),
            SimpleNamespace(path=Path("/b"), online=False),
        ],
        housekeeping=SimpleNamespace(stats=HousekeepingStats()),
        failures=SimpleNamespace(damaged=0),
        scrubber=SimpleNamespace(stats=ScrubStats(0.0), age_seconds=0.0),
        cleaner=SimpleNamespace(stats=CleanerStats()),
    )
    services: Any = SimpleNamespace(
        logs=logs,
        replicas=replicas,
        in_sync_sets=SimpleNamespace(shrinks=1, expansions=2, failures=3),
        clock=SimpleNamespace(now_ms=lambda: 10_000_000),
        config=SimpleNamespace(transaction_max_timeout_ms=900_000),
    )
    disks: Any = SimpleNamespace(rooms={Path("/a"): Room(7, 8)})
    rows = shown(storage_families(services, disks))
    assert {name: value for name, value in rows.items() if "cleaner" not in name and value} == {
        'fastlog_partitions{state="online"}': 3,
        'fastlog_partitions{state="offline"}': 9,
        "fastlog_under_replicated_partitions": 2,
        "fastlog_under_min_isr_partitions": 1,
        "fastlog_at_min_isr_partitions": 1,
        "fastlog_led_partitions": 4,
        "fastlog_late_transaction_partitions": 1,
        "fastlog_log_oldest_transaction_seconds": 1200.001,
        'fastlog_isr_changes_total{change="shrunk"}': 1,
        'fastlog_isr_changes_total{change="expanded"}': 2,
        'fastlog_isr_changes_total{change="refused"}': 3,
        'fastlog_topic_size_bytes{topic="t"}': 500,
        'fastlog_topic_size_bytes{topic="u"}': 200,
        'fastlog_log_dir_online{log_dir="/a"}': 1,
        'fastlog_log_dir_partitions{log_dir="/a"}': 2,
        'fastlog_log_dir_partitions{log_dir="/b"}': 1,
        'fastlog_log_dir_size_bytes{log_dir="/a"}': 300,
        'fastlog_log_dir_size_bytes{log_dir="/b"}': 400,
        'fastlog_log_dir_unflushed_bytes{log_dir="/a"}': 302,
        'fastlog_log_dir_unflushed_bytes{log_dir="/b"}': 401,
        'fastlog_log_dir_free_bytes{log_dir="/a"}': 7,
        'fastlog_log_dir_capacity_bytes{log_dir="/a"}': 8,
    }
    partitions = shown(partition_families(services))
    assert {name: value for name, value in partitions.items() if 'topic="u"' in name} == {
        'fastlog_log_size_bytes{topic="u",partition="0"}': 200,
        'fastlog_log_unflushed_bytes{topic="u",partition="0"}': 201,
        'fastlog_log_segments{topic="u",partition="0"}': 202,
        'fastlog_log_end_offset{topic="u",partition="0"}': 203,
    }


def test_background() -> None:
    stats = HousekeepingStats(
        retired_segments=1, removals=2, expired_producers=3, checkpoints=4, failed_checkpoints=5
    )
    assert shown(housekeeping_families(stats)) == {
        "fastlog_retention_removed_segments_total": 1,
        "fastlog_deleted_entries_total": 2,
        "fastlog_expired_producers_total": 3,
        'fastlog_checkpoints_total{result="written"}': 4,
        'fastlog_checkpoints_total{result="failed"}': 5,
    }
    assert len(shown(cleaner_families(CleanerStats()))) == 13


def test_transactions() -> None:
    def one(state: TransactionState, started_ms: int = 0, timeout_ms: int = 0) -> Any:
        entry = TransactionEntry(1, state=state, start_ms=started_ms, timeout_ms=timeout_ms)
        return None, SimpleNamespace(entry=entry)

    def decided(at_ms: int, partitions: int) -> Any:
        entry = TransactionEntry(1, last_update_ms=at_ms)
        return SimpleNamespace(left=range(partitions), transaction=SimpleNamespace(entry=entry))

    class Markers(list[Any]):
        owed = 7

    class Ids(list[Any]):
        partitions = MappingProxyType(
            {number: SimpleNamespace(is_loading=number < 3, has_failed=number == 4) for number in range(5)}
        )

    ongoing = TransactionState.ONGOING
    ids = Ids(
        [one(ongoing, 91_000, 100), one(ongoing, 95_000, 100_000), one(TransactionState.PREPARE_ABORT, 5)]
    )
    service = SimpleNamespace(
        table=ids,
        markers=Markers([decided(60_000, 3), decided(99_000, 8)]),
        expiry=SimpleNamespace(timed_out=12),
    )
    refusals = {ErrorCode.TRANSACTION_ABORTABLE: 13, ErrorCode.NETWORK_EXCEPTION: 14}
    parts: Any = SimpleNamespace(service=service, refusals=refusals)
    rows = shown(transaction_families(parts, 100_000))
    assert {name: value for name, value in rows.items() if value} == {
        'fastlog_transactional_ids{state="Ongoing"}': 2,
        'fastlog_transactional_ids{state="PrepareAbort"}': 1,
        "fastlog_transaction_oldest_open_seconds": 9,
        "fastlog_transaction_overdue_seconds": 8.9,
        "fastlog_transactions_without_markers": 7,
        "fastlog_transaction_markers_owed": 11,
        "fastlog_transaction_oldest_without_markers_seconds": 40,
        "fastlog_transactions_timed_out_total": 12,
        'fastlog_transaction_refusals_total{error="NETWORK_EXCEPTION"}': 14,
        'fastlog_transaction_refusals_total{error="TRANSACTION_ABORTABLE"}': 13,
        'fastlog_transaction_partitions{state="loading"}': 3,
        'fastlog_transaction_partitions{state="failed"}': 1,
    }
    assert not any(shown(transaction_families(None, 100_000)).values())


def test_groups() -> None:
    def entry(state: GroupState, members: int, offsets: int) -> Any:
        group = SimpleNamespace(state=state, members=range(members))
        return SimpleNamespace(group=group, offsets=SimpleNamespace(committed=range(offsets)))

    class Groups(list[Any]):
        loading = range(5)
        failed = range(6)

    stable, empty = GroupState.STABLE, GroupState.EMPTY
    table: Any = Groups([entry(stable, 2, 30), entry(empty, 0, 4), entry(stable, 1, 0)])
    rows = shown(group_families(table))
    assert {name: value for name, value in rows.items() if value} == {
        'fastlog_groups{state="Stable"}': 2,
        'fastlog_groups{state="Empty"}': 1,
        "fastlog_group_members": 3,
        "fastlog_group_offsets": 34,
        'fastlog_group_partitions{state="loading"}': 5,
        'fastlog_group_partitions{state="failed"}': 6,
    }
    assert {f'fastlog_groups{{state="{state.value}"}}' for state in GroupState} <= set(rows)


def test_the_names_of_kafka_exporter_in_a_cluster() -> None:
    """Three partitions: well; led by another replica than the first, one out of sync; without a leader."""
    states = [(1, (1, 2), (1, 2)), (1, (2, 1), (1,)), (-1, (2, 3), ())]
    partitions = [SimpleNamespace(leader=leader, replicas=all_, isr=isr) for leader, all_, isr in states]
    replicas = {
        ("t", 0): replica("t", 0, high=10, start=4),
        ("t", 1): replica("t", 1, high=20, start=5, error=ErrorCode.KAFKA_STORAGE_ERROR),
    }
    committed = {("t", 0): SimpleNamespace(offset=7), ("t", 1): SimpleNamespace(offset=1)}
    group = SimpleNamespace(group_id="g", members=range(2))
    brokers = [
        SimpleNamespace(id=1, endpoints={"A": ("::1", 9), "B": ("b", 8)}),
        SimpleNamespace(id=2, endpoints={"A": ("host", 7)}),
    ]
    services: Any = SimpleNamespace(
        cluster=SimpleNamespace(
            topics={"t": SimpleNamespace(name="t", partitions=partitions)},
            broker_ids=lambda: {1, 2},
            brokers=lambda: brokers,
        ),
        replicas=SimpleNamespace(get=lambda topic, number: replicas.get((topic, number))),
        groups=SimpleNamespace(
            table=[SimpleNamespace(group=group, offsets=SimpleNamespace(committed=committed))]
        ),
    )
    rows = shown(kafka_families(services, per_partition=True))
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for row, value in rows.items():
        name, _, labels = row.partition("{")
        if 'partition="' in labels:
            found[name.removeprefix("kafka_")][labels.split('partition="')[1][0]] = value
        else:
            found[row.removeprefix("kafka_")] = {"": value}
    assert found == {
        "brokers": {"": 2},
        'broker_info{id="1",address="[::1]:9"}': {"": 1},
        'broker_info{id="2",address="host:7"}': {"": 1},
        'topic_partitions{topic="t"}': {"": 3},
        "topic_partition_leader": {"0": 1, "1": 1},
        "topic_partition_current_offset": {"0": 10},
        "topic_partition_oldest_offset": {"0": 4},
        "topic_partition_replicas": {"0": 2, "1": 2, "2": 2},
        "topic_partition_in_sync_replica": {"0": 2, "1": 1, "2": 0},
        "topic_partition_leader_is_preferred": {"0": 1, "1": 0, "2": 0},
        "topic_partition_under_replicated_partition": {"0": 0, "1": 1, "2": 1},
        'consumergroup_members{consumergroup="g"}': {"": 2},
        "consumergroup_current_offset": {"0": 7, "1": 1, "2": -1},
        "consumergroup_lag": {"0": 3},
        'consumergroup_current_offset_sum{consumergroup="g",topic="t"}': {"": 7},
        'consumergroup_lag_sum{consumergroup="g",topic="t"}': {"": 3},
    }
