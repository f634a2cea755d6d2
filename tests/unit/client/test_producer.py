"""Producer: every record once, in order, whatever happens on the way; and memory with a limit."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable

import pytest

from fastlog.client import BrokerError, ClientError, Cluster, RequestTimedOut, Unreachable, VersionMismatch
from fastlog.client.producer import AsyncProducer, ProducerConfig
from fastlog.errors import ConfigError, ErrorCode
from fastlog.wire import API_VERSIONS, ApiKey, Request
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from fastlog.wire.messages.metadata import MetadataRequest
from fastlog.wire.messages.produce import (
    BatchIndexAndErrorMessage,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from tests.harness.net import free_port
from tests.unit.client.fake_log import FakeLogBroker
from tests.unit.net.fake_broker import Answer, Hangup

HASTY = ProducerConfig(batch_size=400, linger_ms=0, retry_backoff_ms=1, retry_backoff_max_ms=5)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def refuse(request: ProduceRequest, code: ErrorCode, **how: object) -> ProduceResponse:
    rows = [
        PartitionProduceResponse(index=row.index, error_code=code, **how)  # type: ignore[arg-type]
        for row in request.topic_data[0].partition_data
    ]
    return ProduceResponse(responses=[TopicProduceResponse("t", rows)])


async def test_results_name_partition_offset_and_time() -> None:
    async with FakeLogBroker(3) as broker, Cluster(broker.address) as cluster:
        async with AsyncProducer(cluster=cluster) as producer:
            futures = [await producer.enqueue("t", b"%d" % i, key=b"key", timestamp_ms=i) for i in range(5)]
            one = await producer.enqueue("t", None, partition=2, timestamp_ms=77)
            keyed = [await future for future in futures]
            assert (await one).partition == 2
            assert (await one).timestamp == 77
        assert len({result.partition for result in keyed}) == 1
        log = broker.logs[keyed[0].partition]
        offsets = [result.offset for result in keyed]
        assert [log.values()[offset] for offset in offsets] == [b"%d" % i for i in range(5)]
        assert broker.logs[2].values()[(await one).offset] is None


async def test_batches_fill_up_and_linger() -> None:
    async with FakeLogBroker() as broker, Cluster(broker.address) as cluster:
        config = ProducerConfig(batch_size=1000, linger_ms=60_000)
        async with AsyncProducer.of(config, cluster) as producer:
            full = [await producer.enqueue("t", b"x" * 400) for _ in range(3)]
            # The first two filled a batch; the third lingers until somebody flushes.
            assert (await full[1]).offset == 1
            assert not full[2].done()
            await producer.flush()
            assert full[2].result().offset == 2
        assert len(broker.asked(ApiKey.PRODUCE)) == 2


@pytest.mark.parametrize("seed", range(6))
async def test_no_record_is_lost_doubled_or_overtaken_whatever_fails_on_the_way(seed: int) -> None:
    rng = random.Random(seed)
    trouble = [60]

    def before(request: Request) -> Answer:
        if isinstance(request, ProduceRequest) and trouble[0] > 0 and rng.random() < 0.5:
            trouble[0] -= 1
            kind = rng.randrange(4)
            if kind == 0:  # lost before it was written
                raise Hangup
            if kind == 1:  # written, and the answer lost
                broker.produce(request)
                raise Hangup
            if kind == 2:  # written, and the answer does not know
                broker.produce(request)
                return refuse(request, ErrorCode.REQUEST_TIMED_OUT)
            return refuse(request, ErrorCode.NOT_LEADER_OR_FOLLOWER)
        return None

    sent: dict[int, list[bytes]] = {0: [], 1: []}
    async with FakeLogBroker(2, before=before) as broker, Cluster(broker.address) as cluster:
        async with AsyncProducer.of(HASTY, cluster) as producer:
            futures = []
            for number in range(600):
                value = b"record %d" % number
                partition = rng.randrange(2)
                sent[partition].append(value)
                futures.append((value, await producer.enqueue("t", value, partition=partition)))
                if number % 7 == 0:
                    await asyncio.sleep(0)
        assert trouble[0] < 55, "the script never struck"
        for partition, values in sent.items():
            assert broker.logs[partition].values() == values
        for value, future in futures:
            where = future.result()
            assert broker.logs[where.partition].values()[where.offset] == value


async def test_a_gap_in_the_sequence_is_closed_by_a_new_identity() -> None:
    """A record that fails for good must not take the ones behind it along."""
    bad = [True]

    def before(request: Request) -> Answer:
        if isinstance(request, ProduceRequest) and bad:
            bad.pop()
            return refuse(request, ErrorCode.INVALID_TIMESTAMP)
        return None

    async with FakeLogBroker(before=before) as broker, Cluster(broker.address) as cluster:
        async with AsyncProducer.of(ProducerConfig(batch_size=1), cluster) as producer:
            futures = [await producer.enqueue("t", b"%d" % number) for number in range(9)]
            await producer.flush()
        with pytest.raises(BrokerError, match=r"Produce at .*: partition t-0: .*\(INVALID_TIMESTAMP\)"):
            await futures[0]
        assert broker.logs[0].values() == [b"%d" % number for number in range(1, 9)]
        assert [future.result().offset for future in futures[1:]] == list(range(8))
        assert len(broker.asked(ApiKey.INIT_PRODUCER_ID)) == 2


async def test_a_broker_that_forgot_the_producer_is_met_with_a_new_identity() -> None:
    def before(request: Request) -> Answer:
        if isinstance(request, ProduceRequest) and len(broker.asked(ApiKey.PRODUCE)) == 3:
            return refuse(request, ErrorCode.UNKNOWN_PRODUCER_ID)
        return None

    async with FakeLogBroker(before=before) as broker, Cluster(broker.address) as cluster:
        async with AsyncProducer.of(ProducerConfig(batch_size=1), cluster) as producer:
            for number in range(9):
                await (await producer.enqueue("t", b"%d" % number))
        assert broker.logs[0].values() == [b"%d" % number for number in range(9)]
        assert len(broker.asked(ApiKey.INIT_PRODUCER_ID)) == 2


async def test_too_large_a_batch_is_split_and_only_a_too_large_record_fails() -> None:
    def before(request: Request) -> Answer:
        if isinstance(request, ProduceRequest):
            data = request.topic_data[0].partition_data[0].records
            if len(data or b"") > 700:
                return refuse(request, ErrorCode.MESSAGE_TOO_LARGE)
        return None

    async with FakeLogBroker(before=before) as broker, Cluster(broker.address) as cluster:
        async with AsyncProducer.of(ProducerConfig(linger_ms=60_000), cluster) as producer:
            small = [await producer.enqueue("t", b"%03d" % number * 30) for number in range(20)]
            large = await producer.enqueue("t", b"x" * 1000)
            await producer.flush()
        with pytest.raises(BrokerError, match="MESSAGE_TOO_LARGE"):
            await large
        assert [future.result().offset for future in small] == list(range(20))
        assert broker.logs[0].values() == [b"%03d" % number * 30 for number in range(20)]


async def test_a_bad_record_is_named_and_its_neighbours_are_told() -> None:
    def before(request: Request) -> Answer:
        if isinstance(request, ProduceRequest):
            bad = [BatchIndexAndErrorMessage(1, "no key")]
            return refuse(request, ErrorCode.INVALID_RECORD, record_errors=bad, error_message="bad record")
        return None

    async with FakeLogBroker(before=before) as broker, Cluster(broker.address) as cluster:
        async with AsyncProducer.of(ProducerConfig(linger_ms=60_000), cluster) as producer:
            futures = [await producer.enqueue("t", b"v") for _ in range(2)]
            await producer.flush()
        with pytest.raises(BrokerError, match=r"t-0: no key \(INVALID_RECORD\)"):
            await futures[1]
        with pytest.raises(BrokerError, match="refused together with a bad record of the same batch: bad re"):
            await futures[0]


async def test_the_delivery_timeout_ends_the_tries_and_tells_the_last_error() -> None:
    def before(request: Request) -> Answer:
        if isinstance(request, ProduceRequest):
            return refuse(request, ErrorCode.NOT_ENOUGH_REPLICAS)
        return None

    async with FakeLogBroker(before=before) as broker, Cluster(broker.address) as cluster:
        async with AsyncProducer.of(ProducerConfig(delivery_timeout_ms=300), cluster) as producer:
            future = await producer.enqueue("t", b"v")
            with pytest.raises(RequestTimedOut, match=r"within 300 ms \(\d+ tries; the last: .*NOT_ENOUGH_R"):
                await future
        assert len(broker.asked(ApiKey.PRODUCE)) > 1


async def test_memory_has_a_limit_and_send_waits() -> None:
    gate = asyncio.Event()

    async def before(request: Request) -> Answer:
        if isinstance(request, ProduceRequest):
            await gate.wait()
            return broker.produce(request)
        return None

    async with FakeLogBroker() as broker:
        broker.script = lambda header, request: _first(before(request), broker, header, request)
        async with Cluster(broker.address) as cluster:
            async with AsyncProducer.of(
                ProducerConfig(buffer_memory=5000, linger_ms=60_000), cluster
            ) as producer:
                sent = 0

                async def send_all() -> None:
                    nonlocal sent
                    for _ in range(100):
                        await producer.enqueue("t", b"x" * 479)
                        sent += 1

                work = asyncio.ensure_future(send_all())
                await until(lambda: broker.asked(ApiKey.PRODUCE))
                assert sent == 10
                gate.set()
                await work
            assert len(broker.logs[0].values()) == 100


async def _first(answer: object, broker: FakeLogBroker, header: object, request: Request) -> Answer:
    found = await answer  # type: ignore[misc]
    return found if found is not None else broker._serve_request(header, request)  # type: ignore[arg-type]


@pytest.mark.parametrize("acks", [0, 1])
async def test_without_idempotence_no_identity_is_asked_for(acks: int) -> None:
    async with FakeLogBroker() as broker, Cluster(broker.address) as cluster:
        async with AsyncProducer.of(ProducerConfig(acks=acks), cluster) as producer:  # type: ignore[arg-type]
            futures = [await producer.enqueue("t", b"%d" % number) for number in range(20)]
            results = [await future for future in futures]
        await until(lambda: broker.logs[0].end == 20)
        assert [result.offset for result in results] == ([-1] * 20 if acks == 0 else list(range(20)))
        assert broker.asked(ApiKey.INIT_PRODUCER_ID) == []
        data = broker.logs[0].batches[0][1]
        assert struct.unpack_from(">qhi", data, 43) == (-1, -1, -1)


async def test_a_broker_without_producer_ids_is_told_with_the_way_out() -> None:
    async with FakeLogBroker() as broker:
        broker.versions = {key: row for key, row in API_VERSIONS.items() if key != ApiKey.INIT_PRODUCER_ID}
        async with Cluster(broker.address) as cluster, AsyncProducer(cluster=cluster) as producer:
            future = await producer.enqueue("t", b"v")
            with pytest.raises(VersionMismatch, match="turn idempotence off"):
                await future
            with pytest.raises(VersionMismatch):
                await producer.enqueue("t", b"v")


async def test_a_refused_identity_fails_the_records() -> None:
    def before(request: Request) -> Answer:
        if isinstance(request, InitProducerIdRequest):
            return InitProducerIdResponse(error_code=ErrorCode.CLUSTER_AUTHORIZATION_FAILED)
        return None

    async with (
        FakeLogBroker(before=before) as broker,
        Cluster(broker.address) as cluster,
        AsyncProducer(cluster=cluster) as producer,
    ):
        with pytest.raises(BrokerError, match=r"InitProducerId at .*CLUSTER_AUTHORIZATION_FAILED"):
            await (await producer.enqueue("t", b"v"))


async def test_a_useless_advertised_address_fails_the_records_at_once() -> None:
    async with FakeLogBroker() as broker:
        broker.advertised = ("127.0.0.1", free_port())
        async with Cluster(broker.address) as cluster, AsyncProducer(cluster=cluster) as producer:
            with pytest.raises(Unreachable, match=r"advertised\.listeners"):
                await (await producer.enqueue("t", b"v"))


async def test_topics_partitions_and_sizes_are_checked_before_anything_is_sent() -> None:
    def before(request: Request) -> Answer:
        if isinstance(request, MetadataRequest) and request.topics and request.topics[0].name != "t":
            found = broker.describe()
            found.topics[0].name, found.topics[0].error_code = request.topics[0].name, 17
            return found
        return None

    async with FakeLogBroker(before=before) as broker, Cluster(broker.address) as cluster:
        async with AsyncProducer.of(ProducerConfig(max_request_size=1000), cluster) as producer:
            with pytest.raises(ClientError, match="topic 't' has no partition 1, it has 1"):
                await producer.enqueue("t", b"v", partition=1)
            with pytest.raises(ClientError, match="does not fit into max_request_size=1000"):
                await producer.enqueue("t", b"v" * 1000)
            with pytest.raises(BrokerError, match="INVALID_TOPIC_EXCEPTION"):
                await producer.enqueue("bad topic", b"v")
        with pytest.raises(RuntimeError, match="closed"):
            await producer.enqueue("t", b"v")


async def test_leaving_by_an_exception_drops_what_is_not_written() -> None:
    async with FakeLogBroker() as broker, Cluster(broker.address) as cluster:
        producer = AsyncProducer.of(ProducerConfig(linger_ms=60_000), cluster)
        with pytest.raises(ZeroDivisionError):
            async with producer:
                future = await producer.enqueue("t", b"v")
                raise ZeroDivisionError
        with pytest.raises(ClientError, match="closed before the record was acknowledged"):
            await future
        assert broker.asked(ApiKey.PRODUCE) == []


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"acks": 2}, "acks"),
        ({"acks": 1, "enable_idempotence": True}, "enable.idempotence"),
        ({"compression_type": "lzma"}, "compression.type"),
        ({"batch_size": 0}, "batch.size"),
        ({"max_in_flight_requests_per_connection": 6}, "max.in.flight.requests.per.connection"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ProducerConfig(**settings)  # type: ignore[arg-type]
    assert caught.value.key == key
