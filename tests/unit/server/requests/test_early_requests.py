"""What clients ask before the cluster is known waits, and is answered in its order then."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fastlog.server.requests.early_requests import EarlyRequests
from fastlog.wire import ApiKey


class FakeExchange:
    """What is looked at of an exchange."""

    def __init__(self, key: ApiKey) -> None:
        self.api_key = int(key)
        self.is_lost = False


@pytest.mark.parametrize("key", [ApiKey.METADATA, ApiKey.PRODUCE, ApiKey.FETCH, ApiKey.FIND_COORDINATOR])
def test_clients_wait_until_the_cluster_is_known(key: ApiKey) -> None:
    early, begun = EarlyRequests(), []
    exchanges: list[Any] = [FakeExchange(key) for _ in range(3)]
    assert [early.hold(cast("Any", number), exchange) for number, exchange in enumerate(exchanges)] == [
        True
    ] * 3
    exchanges[1].is_lost = True
    early.release(lambda frame, exchange: begun.append((frame, exchange)))
    assert begun == [(0, exchanges[0]), (2, exchanges[2])]
    assert not early.hold(cast("Any", 3), exchanges[0])
    early.release(lambda frame, exchange: begun.append((frame, exchange)))
    assert len(begun) == 2


@pytest.mark.parametrize(
    "key",
    [
        ApiKey.API_VERSIONS,
        ApiKey.SASL_HANDSHAKE,
        ApiKey.SASL_AUTHENTICATE,
        ApiKey.UPDATE_METADATA,
        ApiKey.LEADER_AND_ISR,
        ApiKey.ALTER_PARTITION,
    ],
)
def test_brokers_and_versions_do_not(key: ApiKey) -> None:
    assert not EarlyRequests().hold(cast("Any", None), cast("Any", FakeExchange(key)))
