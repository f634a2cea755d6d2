"""Quotas that are in the tree are described, by Kafka's filters; a user's passwords are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.coordination.znodes import node_json
from fastlog.coordination.zookeeper.requests import Create
from fastlog.errors import ErrorCode
from fastlog.wire.messages.describe_client_quotas import (
    ComponentData,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
)
from tests.integration.running import RunningBroker

QUOTAS = {
    "/config/users/a%20b": {"producer_byte_rate": "1000.0", "SCRAM-SHA-256": "salt=x"},
    "/config/users/a%20b/clients": None,
    "/config/users/a%20b/clients/c": {"consumer_byte_rate": "5"},
    "/config/users/<default>": {"request_percentage": "12.5", "unknown": "1"},
    "/config/users/only-scram": {"SCRAM-SHA-256": "salt=x"},
    "/config/users/damaged": {"producer_byte_rate": "x"},
    "/config/clients/<default>": {"producer_byte_rate": "7"},
    "/config/ips/10.0.0.1": {"connection_creation_rate": "3"},
}
USER_DEFAULT = "user=None request_percentage=12.5"
USER = "user=a b producer_byte_rate=1000.0"
BOTH = "user=a b client-id=c consumer_byte_rate=5.0"
CLIENT = "client-id=None producer_byte_rate=7.0"
IP = "ip=10.0.0.1 connection_creation_rate=3.0"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A broker whose tree has these quotas."""
    directory: Path = tmp_path_factory.mktemp("quotas")
    running = RunningBroker(directory)
    running.start()
    try:
        parts = [
            Create(path, None if configs is None else node_json.encode_config(configs))
            for path, configs in QUOTAS.items()
        ]
        running.run(running.broker.services.member._tree.write(parts))
        yield running
    finally:
        running.close()


def ask(
    running: RunningBroker, *parts: tuple[str, int, str | None], strict: bool = False, version: int = 1
) -> DescribeClientQuotasResponse:
    """One request."""
    components = [ComponentData(entity_type=kind, match_type=how, match=name) for kind, how, name in parts]
    with running.connect() as client:
        answer = client.ask(DescribeClientQuotasRequest(components=components, strict=strict), version)
    assert isinstance(answer, DescribeClientQuotasResponse)
    return answer


def described(answer: DescribeClientQuotasResponse) -> set[str]:
    """The entries in words."""
    assert answer.error_code == 0
    return {
        " ".join(
            [f"{part.entity_type}={part.entity_name}" for part in entry.entity]
            + [f"{value.key}={value.value}" for value in entry.values]
        )
        for entry in answer.entries or ()
    }


@pytest.mark.parametrize(
    ("parts", "strict", "expected"),
    [
        ((), False, {USER_DEFAULT, USER, BOTH, CLIENT, IP}),
        ((), True, set()),
        ((("user", 0, "a b"),), False, {USER, BOTH}),
        ((("user", 0, "a b"),), True, {USER}),
        ((("user", 1, None),), False, {USER_DEFAULT}),
        ((("user", 2, None),), False, {USER_DEFAULT, USER, BOTH}),
        ((("client-id", 2, None),), False, {CLIENT, BOTH}),
        ((("client-id", 2, None),), True, {CLIENT}),
        ((("user", 0, "a b"), ("client-id", 0, "c")), True, {BOTH}),
        ((("user", 0, "nobody"),), False, set()),
        ((("ip", 2, None),), False, {IP}),
    ],
)
@pytest.mark.parametrize("version", [0, 1])
def test_filters(
    running: RunningBroker,
    parts: tuple[tuple[str, int, str | None], ...],
    strict: bool,
    expected: set[str],
    version: int,
) -> None:
    assert described(ask(running, *parts, strict=strict, version=version)) == expected


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ((("user", 2, None), ("user", 2, None)), ErrorCode.INVALID_REQUEST),
        ((("", 2, None),), ErrorCode.INVALID_REQUEST),
        ((("user", 3, None),), ErrorCode.INVALID_REQUEST),
        ((("user", 0, None),), ErrorCode.INVALID_REQUEST),
        ((("user", 2, None), ("ip", 2, None)), ErrorCode.INVALID_REQUEST),
        ((("team", 2, None),), ErrorCode.UNSUPPORTED_VERSION),
    ],
)
def test_what_is_no_filter(
    running: RunningBroker, parts: tuple[tuple[str, int, str | None], ...], code: ErrorCode
) -> None:
    assert ask(running, *parts).error_code == code
