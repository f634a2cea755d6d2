"""Version negotiation: down to what both speak."""

from __future__ import annotations

import struct

import pytest

from fastlog.net.errors import BadResponse, ConnectionFailed, VersionMismatch
from fastlog.net.opening import open_connection
from fastlog.net.versions import BrokerVersions, negotiate
from fastlog.wire import ApiKey
from fastlog.wire.headers import RequestHeader
from tests.unit.net.fake_broker import Answer, FakeBroker, Hangup

RANGES = {int(ApiKey.METADATA): (4, 9), int(ApiKey.PRODUCE): (3, 11)}


@pytest.mark.parametrize(("highest", "asked"), [(4, 4), (3, 3), (2, 2), (0, 0)])
async def test_negotiation_comes_down_to_what_the_broker_speaks(highest: int, asked: int) -> None:
    async with FakeBroker(versions={**RANGES, ApiKey.API_VERSIONS: (0, highest)}) as broker:
        connection = await open_connection("127.0.0.1", broker.port)
        versions = await negotiate(connection, "1.2.3", 20)
        assert versions.ranges[ApiKey.METADATA] == (4, 9)
        assert versions.pick(ApiKey.METADATA) == 9
        header, _ = broker.requests[0]
        assert header.api_version == asked
        assert len(broker.requests) == 1
        await connection.close()


async def test_a_broker_that_hangs_up_on_the_first_request_gets_a_hint() -> None:
    async with FakeBroker() as broker:

        async def hang_up(*_: object) -> Answer:
            raise Hangup

        broker._answer = hang_up  # type: ignore[method-assign]
        connection = await open_connection("127.0.0.1", broker.port)
        with pytest.raises(ConnectionFailed, match=r"ApiVersions at .* is TLS what it expects"):
            await negotiate(connection, "1", 20)
        await connection.close()


@pytest.mark.parametrize("body", [bytes(4), bytes([0, 0, 5, 0, 0, 0, 0])])
async def test_an_answer_that_ends_too_early_is_told_as_that(body: bytes) -> None:
    async with FakeBroker() as broker:

        async def cut(header: RequestHeader, *_: object) -> Answer:
            return struct.pack(">ii", 4 + len(body), header.correlation_id) + body

        broker._answer = cut  # type: ignore[method-assign]
        connection = await open_connection("127.0.0.1", broker.port)
        with pytest.raises(BadResponse, match="cannot be read"):
            await negotiate(connection, "1", 20)
        await connection.close()


def test_the_highest_common_version_is_picked_and_a_gap_names_both_ranges() -> None:
    versions = BrokerVersions("a:1", RANGES)
    assert versions.pick(ApiKey.METADATA, highest=5) == 5
    assert versions.supports(ApiKey.METADATA, 9)
    assert not versions.supports(ApiKey.METADATA, 10)
    with pytest.raises(VersionMismatch, match="the broker speaks 4 to 9, this client 10 to 12"):
        versions.pick(ApiKey.METADATA, 10)
    with pytest.raises(VersionMismatch, match="does not offer Heartbeat at all"):
        versions.pick(ApiKey.HEARTBEAT)
