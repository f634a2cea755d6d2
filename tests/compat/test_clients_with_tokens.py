"""Clients that are no Java's, with a delegation token: franz-go knows of them, librdkafka does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from fastlog.wire.acl_types import Operation, PatternType
from tests.compat.client_programs import ROOT
from tests.compat.foreign_library import Library
from tests.harness.dataset import read_file, write_file
from tests.integration.token_broker import TokenBroker, create, password
from tests.peers.go_programs import go_program

# The first test that runs may have to fetch and to build.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenBroker]:
    running = TokenBroker(tmp_path_factory.mktemp("tokens"))
    running.start()
    running.allow("alice", Operation.ALL, "t", kind=PatternType.PREFIXED)
    yield running
    running.close()


@pytest.fixture
def token(tokens: TokenBroker) -> Any:
    with tokens.login("alice") as alice:
        return create(alice)


def test_franz_go(tokens: TokenBroker, token: Any, tmp_path: Path) -> None:
    program = go_program(ROOT / "tests/compat/clients/go")
    environment = {**os.environ, "FASTLOG_TEST_TOKEN": f"{token.token_id} {password(token)}"}
    library = Library("franz-go", [str(program), "franz-go"], environment)
    bootstrap = f"127.0.0.1:{tokens.sasl_port}"
    items = library.dataset()
    write_file(tmp_path / "sent", items)
    library.run("produce", tmp_path / "sent", bootstrap, "t", "lz4")
    library.run("consume", tmp_path / "found", bootstrap, "t", "-", str(len(items)))
    assert list(read_file(tmp_path / "found")) == items


def test_librdkafka_takes_it_for_a_user(tokens: TokenBroker, token: Any) -> None:
    """It does not send the extension: there is no user of that name, as Kafka says, too."""
    told: list[str] = []
    admin = AdminClient(
        {
            "bootstrap.servers": f"127.0.0.1:{tokens.sasl_port}",
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.username": token.token_id,
            "sasl.password": password(token),
            "error_cb": lambda error: told.append(str(error)),
        }
    )
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=3)
    admin.poll(0)
    assert any("invalid credentials with SASL mechanism SCRAM-SHA-256" in line for line in told), told
