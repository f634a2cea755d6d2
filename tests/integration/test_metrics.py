"""What /metrics says of a running broker, against what was done to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fastlog.coordination.groups.committed_offsets import CommittedOffset
from fastlog.errors import ErrorCode
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from tests.harness.batches import batch
from tests.harness.scrape import Scrape, get, scrape
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import fetch, metadata, produce
from tests.integration.running import RawClient, RunningBroker

GROUP = 'a "strange" \\ group'


def http_port(broker: RunningBroker) -> int:
    """Where its metrics are."""
    endpoint = broker.broker.http_endpoint
    assert endpoint is not None
    return endpoint[1]


@pytest.fixture
def broker(start_broker: BrokerFactory) -> RunningBroker:
    """One with metrics on a free port."""
    return start_broker(**{"fastlog.http.port": "0", "offsets.topic.num.partitions": "2"})


def until(condition: Callable[[], bool]) -> None:
    """Waits for something that comes soon."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def create(client: RawClient, name: str, partitions: int) -> None:
    topic = CreatableTopic(name=name, num_partitions=partitions, replication_factor=1)
    (created,) = client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=10_000), 7).topics
    assert created.error_code == 0


def commit(client: RawClient, topic: str, offsets: dict[int, int]) -> None:
    """Commits from outside of the group."""
    client.ask(FindCoordinatorRequest(key=GROUP, key_type=0), 3)
    partitions = [
        OffsetCommitRequestPartition(partition_index=number, committed_offset=offset)
        for number, offset in offsets.items()
    ]
    request = OffsetCommitRequest(
        group_id=GROUP, topics=[OffsetCommitRequestTopic(name=topic, partitions=partitions)]
    )
    while True:
        (answer,) = client.ask(request, 8).topics
        codes = {partition.error_code for partition in answer.partitions}
        if ErrorCode.COORDINATOR_LOAD_IN_PROGRESS not in codes:
            break
    assert codes == {0}


def test_requests_and_bytes_are_counted(broker: RunningBroker, client: RawClient) -> None:
    create(client, "t", 1)
    port = http_port(broker)
    before = scrape(port)
    # Prometheus sees an increase only of what is there before.
    for limit in ("max.connections", "max.connections.per.ip"):
        assert before.get("fastlog_connections_refused_total", reason=limit) == 0
    records = batch(b"x" * 1000)
    for _ in range(3):
        client.ask(produce("t", records), 9)
    client.ask(fetch("t", 0), 11)
    client.ask(fetch("t", 99), 11)
    client.ask(produce("t", batch(b"y", crc_change=1)), 9)
    after = scrape(port)

    def grown(name: str, **labels: object) -> float:
        return after.sum(name, **labels) - before.sum(name, **labels)

    assert grown("fastlog_requests_total", api="Produce") == 4
    assert grown("fastlog_requests_total", api="Fetch") == 2
    for name in ("fastlog_request_duration_seconds", "fastlog_request_busy_seconds"):
        assert grown(f"{name}_count", api="Produce") == 4
        assert grown(f"{name}_bucket", api="Produce", le="+Inf") == 4
        assert grown(f"{name}_sum", api="Produce") > 0
    assert grown("fastlog_request_errors_total", api="Fetch", error="OFFSET_OUT_OF_RANGE") == 1
    assert grown("fastlog_request_errors_total", api="Produce", error="CORRUPT_MESSAGE") == 1
    assert grown("fastlog_produced_bytes_total") == 3 * len(records) + len(batch(b"y"))
    assert grown("fastlog_fetched_bytes_total") == 3 * len(records)
    assert grown("fastlog_received_bytes_total") > 3 * 1000
    assert grown("fastlog_sent_bytes_total") > 3 * 1000
    assert (after.get("fastlog_connections"), grown("fastlog_connections_accepted_total")) == (1, 0)
    assert after.get("fastlog_topic_size_bytes", topic="t") == 3 * len(records)
    assert after.get("fastlog_log_size_bytes", topic="t", partition=0) == 3 * len(records)
    assert after.get("fastlog_log_segments", topic="t", partition=0) == 1
    assert after.get("fastlog_log_end_offset", topic="t", partition=0) == 3
    assert after.get("fastlog_ready") == 1
    assert after.get("fastlog_scrapes_total") - before.get("fastlog_scrapes_total") == 1
    until(lambda: scrape(port).sum("fastlog_event_loop_lag_seconds_count") > 0)


def test_a_wait_is_told_apart_from_work(broker: RunningBroker, client: RawClient) -> None:
    create(client, "t", 1)
    client.ask(fetch("t", 0, max_wait_ms=700), 11)
    found = scrape(http_port(broker))
    parked = found.get("fastlog_request_stage_seconds_total", api="Fetch", stage="parked")
    busy = found.get("fastlog_request_stage_seconds_total", api="Fetch", stage="busy")
    assert parked >= 0.69
    assert found.get("fastlog_request_duration_seconds_sum", api="Fetch") >= 0.69
    assert busy == pytest.approx(found.get("fastlog_request_busy_seconds_sum", api="Fetch"))
    assert busy < parked


def test_flushes_are_timed(start_broker: BrokerFactory) -> None:
    broker = start_broker(**{"fastlog.http.port": "0", "fastlog.durability": "fsync"})
    with broker.connect() as client:
        create(client, "t", 1)
        before = scrape(http_port(broker)).get("fastlog_flush_seconds_count")
        client.ask(produce("t", batch(b"x")), 9)
        found = scrape(http_port(broker))
    assert found.get("fastlog_flush_seconds_count") == before + 1
    assert found.get("fastlog_log_unflushed_bytes", topic="t", partition=0) == 0


def test_offsets_and_lag_are_those_of_kafka_exporter(broker: RunningBroker, client: RawClient) -> None:
    create(client, "t", 3)
    create(client, "other", 1)
    create(client, "gone", 1)
    for partition, count in ((0, 5), (1, 2), (2, 4)):
        for _ in range(count):
            client.ask(produce("t", batch(b"x"), partition=partition), 9)
    commit(client, "t", {0: 3, 1: 2})
    commit(client, "gone", {0: 7})
    client.ask(DeleteTopicsRequest(topics=[DeleteTopicState(name="gone")], timeout_ms=10_000), 6)
    entry = broker.broker.services.groups.table.get(GROUP)
    assert entry is not None
    # A topic that is made anew with fewer partitions leaves such offsets behind for a while.
    strays = {(name, number): CommittedOffset(7, -1, "", 0) for name, number in (("t", 3), ("never", 0))}
    entry.offsets.end(entry.offsets.begin(strays), written=True)
    found = scrape(http_port(broker))

    assert found.get("kafka_brokers") == 1
    assert found.get("kafka_broker_info", id=1, address=broker.bootstrap) == 1
    assert found.series("kafka_topic_partitions") == {
        (("topic", "__consumer_offsets"),): 2,
        (("topic", "other"),): 1,
        (("topic", "t"),): 3,
    }
    expected = {
        "current_offset": (5, 2, 4),
        "oldest_offset": (0, 0, 0),
        "leader": (1, 1, 1),
        "replicas": (1, 1, 1),
        "in_sync_replica": (1, 1, 1),
        "leader_is_preferred": (1, 1, 1),
        "under_replicated_partition": (0, 0, 0),
    }
    for name, values in expected.items():
        shown = [found.get(f"kafka_topic_partition_{name}", topic="t", partition=at) for at in range(3)]
        assert tuple(shown) == values, name

    def of_group(name: str) -> dict[str, float]:
        series = found.series(f"kafka_consumergroup_{name}")
        assert all(dict(labels)["consumergroup"] == GROUP for labels in series)
        assert all(dict(labels)["topic"] == "t" for labels in series)
        return {dict(labels).get("partition", ""): value for labels, value in series.items()}

    # Partition 2 has no commit: -1, in the sum of offsets too, but not in that of lags.
    assert of_group("current_offset") == {"0": 3, "1": 2, "2": -1}
    assert of_group("lag") == {"0": 2, "1": 0, "2": -1}
    assert of_group("current_offset_sum") == {"": 4}
    assert of_group("lag_sum") == {"": 2}
    assert found.get("kafka_consumergroup_members", consumergroup=GROUP) == 0
    assert found.get("fastlog_groups", state="Empty") == 1
    assert found.get("fastlog_group_offsets") == 2 + len(strays)
    assert found.get("fastlog_group_partitions", state="loading") == 0


@pytest.mark.parametrize(
    ("settings", "there", "gone"),
    [
        (
            {"fastlog.metrics.kafka.exporter.names": "false"},
            ["fastlog_log_size_bytes", "fastlog_topic_size_bytes"],
            ["kafka_"],
        ),
        (
            {"fastlog.metrics.per.partition": "false"},
            ["kafka_consumergroup_lag_sum", "kafka_topic_partitions", "fastlog_topic_size_bytes"],
            ["kafka_topic_partition_", "fastlog_log_size_bytes", "kafka_consumergroup_current_offset{"],
        ),
    ],
)
def test_series_can_be_left_out(
    start_broker: BrokerFactory, settings: dict[str, str], there: list[str], gone: list[str]
) -> None:
    broker = start_broker(**{"fastlog.http.port": "0", "offsets.topic.num.partitions": "1"}, **settings)
    with broker.connect() as client:
        create(client, "t", 2)
        commit(client, "t", {0: 0})
    _, text = get(http_port(broker), "/metrics")
    for name in there:
        assert f"\n{name}{{" in text, name
    for name in gone:
        assert f"\n{name}" not in text, name


def test_a_partition_that_is_offline_has_no_offset(start_broker: BrokerFactory, tmp_path: Path) -> None:
    broker = start_broker(
        **{"fastlog.http.port": "0", "log.dirs": f"{tmp_path}/a,{tmp_path}/b", "num.partitions": "1"}
    )
    with broker.connect() as client:
        client.ask(metadata("one"), 12)
        client.ask(metadata("two"), 12)
        directory = broker.broker.services.logs.directory_of("one", 0)
        assert directory is not None

        async def fail() -> None:
            broker.broker.services.logs.dir_failed(directory.path, "test")

        broker.run(fail())
        found = scrape(http_port(broker))
    assert found.get("fastlog_partitions", state="offline") == 1
    assert found.get("fastlog_log_dir_online", log_dir=directory.path) == 0
    assert sum(found.series("fastlog_log_dir_online").values()) == 1
    assert not found.has("kafka_topic_partition_current_offset", topic="one", partition=0)
    assert found.has("kafka_topic_partition_current_offset", topic="two", partition=0)
    assert found.get("kafka_topic_partitions", topic="one") == 1


def test_every_series_has_a_type_and_a_help(broker: RunningBroker, client: RawClient) -> None:
    create(client, "t", 1)
    _, text = get(http_port(broker), "/metrics")
    found = Scrape(text)
    assert "untyped" not in found.types.values()
    assert "unknown" not in found.types.values()
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")]
    assert len(names) == len(set(names))
    for name in (
        "process_resident_memory_bytes",
        "process_open_fds",
        "python_gc_collections_total",
        "python_info",
    ):
        assert found.series(name), name


def test_there_are_pages_for_people(broker: RunningBroker) -> None:
    port = http_port(broker)
    status, page = get(port, "/")
    assert (status, "/metrics" in page) == (200, True)
    assert get(port, "/nothing")[0] == 404
    status, text = get(port, "/metrics", accept="application/openmetrics-text")
    assert (status, text.endswith("# EOF\n")) == (200, True)


def test_scrapes_while_topics_come_and_go(broker: RunningBroker, client: RawClient) -> None:
    over = threading.Event()

    def churn() -> None:
        with broker.connect() as other:
            for number in range(8):
                create(other, f"t{number}", 2)
                commit(other, f"t{number}", {0: 1})
                gone = [DeleteTopicState(name=f"t{number}")]
                other.ask(DeleteTopicsRequest(topics=gone, timeout_ms=10_000), 6)
        over.set()

    thread = threading.Thread(target=churn)
    thread.start()
    scrapes = 0
    while not over.is_set():
        found = scrape(http_port(broker))
        assert found.get("fastlog_scrape_errors_total") == 0
        assert "fastlog_scrape_longest_slice_seconds" in found.text
        assert "python_info" in found.text
        scrapes += 1
    thread.join()
    assert scrapes > 0


def test_what_compaction_did_is_shown(broker: RunningBroker) -> None:
    stats = broker.broker.services.logs.cleaner.stats
    stats.runs, stats.interrupted, stats.bytes_read, stats.bytes_kept = 3, 1, 1000, 400
    stats.records_read, stats.records_kept, stats.throttled_seconds = 70, 30, 0.5
    stats.last_duration_seconds, stats.last_run_ms, stats.max_dirty_ratio = 1.5, 1_700_000_000_500, 0.25
    stats.running, stats.peak_map_bytes = 2, 4096
    stats.uncleanable["t", 0] = "damage"
    found = scrape(http_port(broker))
    expected = {
        "runs_total": 3,
        "interrupted_total": 1,
        "read_bytes_total": 1000,
        "kept_bytes_total": 400,
        "read_records_total": 70,
        "kept_records_total": 30,
        "throttled_seconds_total": 0.5,
        "last_duration_seconds": 1.5,
        "last_run_timestamp_seconds": 1_700_000_000.5,
        "max_dirty_ratio": 0.25,
        "running": 2,
        "peak_map_bytes": 4096,
        "uncleanable_logs": 1,
    }
    assert {name: found.get(f"fastlog_cleaner_{name}") for name in expected} == expected
