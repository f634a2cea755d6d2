"""The connection that brokers will have to each other (`fastlog.net`), to a broker that runs."""

from __future__ import annotations

import asyncio
import gc
import struct
from pathlib import Path

import pytest

from fastlog.native import build_batch, read_batches
from fastlog.net.errors import ConnectionFailed
from fastlog.net.link import open_link
from fastlog.net.opening import open_connection
from fastlog.server.memory.old_objects import OldObjects
from fastlog.server.network.connection import Connection as ServedConnection
from fastlog.wire import ApiKey, decode_body, encode_request
from fastlog.wire.messages.fetch import FetchResponse
from fastlog.wire.messages.metadata import MetadataRequest, MetadataResponse
from fastlog.wire.messages.produce import ProduceResponse
from tests.harness.broker_process import BrokerProcess
from tests.integration.requests import fetch, metadata, produce
from tests.integration.running import RunningBroker


async def test_fixed_versions_need_no_question_before_and_answers_can_stay_bytes(
    broker: RunningBroker,
) -> None:
    connection = await open_connection("127.0.0.1", broker.port, client_id="broker-1", max_in_flight=1)
    (topic,) = (await connection.call(metadata("t"), 12, timeout=10)).topics  # type: ignore[attr-defined]
    batch = build_batch([(b"k", b"v%d" % n, [], n) for n in range(100)])
    calls = [connection.call(produce("t", batch), 11, timeout=10) for _ in range(5)]
    for number, answer in enumerate(await asyncio.gather(*calls)):
        assert isinstance(answer, ProduceResponse)
        assert answer.responses[0].partition_responses[0].base_offset == 100 * number
    body = await connection.call_raw(fetch(topic.topic_id, 0), 17, timeout=10)
    records = decode_body(FetchResponse, 17, body).responses[0].partitions[0].records
    assert isinstance(records, memoryview)
    assert records.obj is body.obj  # nothing was copied
    assert len(read_batches(records)) == 500
    await connection.close()


async def test_an_answer_larger_than_allowed_ends_the_connection(broker: RunningBroker) -> None:
    connection = await open_connection("127.0.0.1", broker.port, max_frame_bytes=1000)
    await connection.call(metadata("t"), 12, timeout=10)
    batch = build_batch([(None, bytes(5000), [], 0)])
    await connection.call(produce("t", batch), 9, timeout=10)
    with pytest.raises(ConnectionFailed, match="more than the 1000 allowed"):
        await connection.call(fetch("t", 0), 12, timeout=10)
    assert not connection.is_open
    await connection.close()


async def test_a_link_finds_the_versions_first(broker: RunningBroker) -> None:
    link = await open_link("127.0.0.1", broker.port, client_id=None, timeout=10)
    assert link.versions.pick(ApiKey.FETCH) == 17
    answer = await link.call(MetadataRequest(topics=[]), MetadataResponse, timeout=10)
    assert [node.port for node in answer.brokers] == [broker.port]
    await link.connection.close()


async def test_a_killed_broker_fails_all_that_waits(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as process:
        connection = await open_connection("127.0.0.1", process.port)
        await connection.call(metadata("t"), 12, timeout=10)
        waits = [
            asyncio.ensure_future(connection.call(fetch("t", 0, max_wait_ms=60_000), 12, timeout=60))
            for _ in range(3)
        ]
        await asyncio.sleep(0)
        process.kill()
        failed = await asyncio.gather(*waits, return_exceptions=True)
        assert [type(error) for error in failed] == [ConnectionFailed] * 3
        await connection.close()


async def test_nothing_of_a_connection_is_kept_when_it_is_closed(
    broker: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have begun a frame of many megabytes, and cycles among old objects are rarely searched for."""
    connection = await open_connection("127.0.0.1", broker.port)
    await connection.call(metadata("t"), 12, timeout=10)
    await connection.call(produce("t", build_batch([(None, bytes(100_000), [], 0)])), 9, timeout=10)
    monkeypatch.setattr(OldObjects, "_collect", lambda: None)
    gc.collect()
    gc.disable()
    try:
        before = _served()
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(encode_request(fetch("t", 0), 12, 1, "c"))
        await reader.readexactly(100_000)
        assert len(_served() - before) == 1
        # The beginning of another request.
        writer.write(struct.pack(">i", 50_000_000) + bytes(100_000))
        await writer.drain()
        writer.close()
        async with asyncio.timeout(20):
            while len(_served() - before):  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0)
    finally:
        gc.enable()
    await connection.close()


def _served() -> set[int]:
    return {id(found) for found in gc.get_objects() if type(found) is ServedConnection}
