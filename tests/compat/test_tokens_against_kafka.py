"""Delegation tokens beside Apache Kafka 3.9.1 in ZooKeeper mode: its tool, its answers, a mixed cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fastlog.coordination.znodes import token_nodes
from fastlog.wire.acl_types import Operation, Resource
from fastlog.wire.messages.metadata import MetadataRequest
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.compat.token_play import MECHANISM, SCRAM_MODULE, USERS, Place, played
from tests.compat.tool_session import ToolResult, ToolSession
from tests.harness.keeper_process import KeeperProcess
from tests.harness.link import Link
from tests.harness.tree import tree_at
from tests.harness.waiting import wait_until
from tests.integration.running import RunningBroker
from tests.integration.test_sasl import alter_users
from tests.integration.token_broker import create, describe, expire, ids, password, renew
from tests.peers.apache_kafka import (
    CONSUMER_PERFORMANCE,
    DELEGATION_TOKENS,
    KAFKA_3,
    PRODUCER_PERFORMANCE,
    KafkaOnZooKeeper,
)

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(300)]

NO_ONE = "VGhpcyBpcyBubyB0b2tlbg=="


@dataclass
class Both:
    """Each in a cluster of its own."""

    kafka: Place
    fastlog: Place
    broker: RunningBroker
    connect: str
    """Of Kafka's cluster."""

    def __iter__(self) -> Iterator[Place]:
        yield self.kafka
        yield self.fastlog


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    directory = tmp_path_factory.mktemp("tokens")
    theirs, ours = Place.new(), Place.new()
    with KeeperProcess(directory / "keeper", tick_ms=500) as keeper:
        connect = f"{keeper.address}/tokens"
        kafka = KafkaOnZooKeeper(
            directory / "kafka", connect, broker_id=2, settings=theirs.settings(), heap="256m"
        )
        kafka.port = theirs.plain
        fastlog = RunningBroker(directory / "fastlog", {**ours.settings(), "node.id": "1"})
        try:
            kafka.start()
            fastlog.start()
            made = Both(theirs, ours, fastlog, connect)
            for place in made:
                alter_users(Operator(place.plain), dict.fromkeys(USERS, "x"))  # type: ignore[arg-type]
                place.allow("alice", Operation.CREATE_TOKENS, Resource.USER, "User:carol")
                place.allow("bob", Operation.DESCRIBE_TOKENS, Resource.USER, "User:carol")
                place.allow("alice", Operation.ALL, Resource.TOPIC, "t")
                place.allow("alice", Operation.ALL, Resource.GROUP, "g")
                place.allow("alice", Operation.CREATE, Resource.CLUSTER, "kafka-cluster")
            yield made
        finally:
            fastlog.close()
            kafka.kill()


@dataclass
class Operator:
    """What `alter_users` has to know of a broker."""

    port: int

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"


@pytest.fixture
def clean(both: Both) -> Iterator[Both]:
    """Without tokens."""
    yield both
    for place in both:
        place.remove_all()


# -- the tool --------------------

# User, arguments. The secret of a token stands for what the first --create has printed.
SCRIPT = """
alice --create --max-life-time-period -1 --renewer-principal User:bob
alice --describe
alice --describe --owner-principal User:alice
alice --describe --owner-principal User:nobody
bob --describe
bob --describe --owner-principal User:alice --owner-principal User:carol
carol --describe
root --describe
alice --renew --hmac SECRET --renew-time-period -1
bob --renew --hmac SECRET --renew-time-period 3600000
carol --renew --hmac SECRET --renew-time-period -1
root --expire --hmac SECRET --expiry-time-period -1
alice --expire --hmac SECRET --expiry-time-period 7200000
alice --renew --hmac NOTHING --renew-time-period -1
alice --expire --hmac NOTHING --expiry-time-period -1
alice --create --max-life-time-period 3600000 --renewer-principal Group:bob
alice --create --max-life-time-period 3600000 --owner-principal User:bob
alice --create --max-life-time-period 3600000 --owner-principal User:carol --renewer-principal User:bob
bob --describe --owner-principal User:carol
alice --describe --owner-principal User:carol
alice --create --max-life-time-period 0 --renewer-principal User:bob --renewer-principal User:carol
- --create --max-life-time-period -1
- --describe
- --renew --hmac SECRET --renew-time-period -1
- --expire --hmac SECRET --expiry-time-period -1
TOKEN --describe
TOKEN --create --max-life-time-period -1
bob --expire --hmac SECRET --expiry-time-period -1
bob --expire --hmac SECRET --expiry-time-period -1
TOKEN --describe
"""


def test_kafka_delegation_tokens_says_the_same(clean: Both, tmp_path: Path) -> None:
    """Users log in by SCRAM, and in the end with the token itself."""
    with ToolSession(KAFKA_3) as tools:
        secret, token = ["", ""], ["", ""]
        for line in SCRIPT.strip().splitlines():
            user, *words = line.split()
            said = []
            for number, place in enumerate(clean):
                is_token = user == "TOKEN"
                name, word = (token[number], secret[number]) if is_token else (user, "x")
                file = client_file(tmp_path, number, name, word, is_token=is_token)
                given = [{"SECRET": secret[number], "NOTHING": NO_ONE}.get(part, part) for part in words]
                port = place.plain if user == "-" else place.port
                result = tools.run(
                    DELEGATION_TOKENS,
                    "--bootstrap-server",
                    f"127.0.0.1:{port}",
                    "--command-config",
                    file,
                    *given,
                )
                if not secret[number]:
                    found = re.search(r"^([\w-]{22}) +([\w+/]{86}==) ", result.out, re.MULTILINE)
                    assert found is not None, result
                    token[number], secret[number] = found[1], found[2]
                said.append(comparable(result))
            assert said[1] == said[0], line


def client_file(directory: Path, number: int, user: str, word: str, *, is_token: bool = False) -> str:
    """A file of settings of Java's clients; `-` is nobody."""
    path = directory / f"{number}-{'token' if is_token else user}.properties"
    extra = ' tokenauth="true"' if is_token else ""
    lines = ["default.api.timeout.ms=30000"]
    if user != "-":
        lines += [
            "security.protocol=SASL_PLAINTEXT",
            f"sasl.mechanism={MECHANISM}",
            f'sasl.jaas.config={SCRAM_MODULE} required username="{user}" password="{word}"{extra};',
        ]
    path.write_text("\n".join(lines))
    return str(path)


def comparable(result: ToolResult) -> tuple[int, list[str], list[str]]:
    """Status and lines, without ids, secrets and times; in which order tokens are told is no promise."""
    told = []
    for text in (result.out, result.err):
        text = re.sub(r"[\w+/]{86}==", "SECRET", text)
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d", "TIME", text)
        text = re.sub(r"(?m)^[\w-]{22} ", "ID ", text)
        text = re.sub(r"tokenId : [\w-]{22}", "tokenId : ID", text)
        lines = [line.rstrip() for line in text.splitlines()]
        told.append([line for line in lines if not line.startswith(("SLF4J", "log4j", "\tat "))])
    return result.status, sorted(told[0]), told[1][:1]


def test_javas_clients_log_in_with_a_token(clean: Both, tmp_path: Path) -> None:
    """Producer and consumer, by the tools that measure them."""
    place = clean.fastlog
    with place.login("alice") as alice:
        token = create(alice)
        made: Any = alice.call(CreateTopicsRequest([CreatableTopic("t", 1, 1)], 10_000), 5)
        assert made.topics[0].error_code == 0
    file = client_file(tmp_path, 1, token.token_id, password(token), is_token=True)
    with ToolSession(KAFKA_3) as tools:
        sent = tools.run(
            PRODUCER_PERFORMANCE,
            *("--topic", "t", "--num-records", "500", "--record-size", "100", "--throughput", "-1"),
            *("--producer.config", file, "--producer-props"),
            *(f"bootstrap.servers=127.0.0.1:{place.port}", "max.block.ms=20000"),
        )
        assert sent.status == 0, sent
        assert "500 records sent" in sent.out
        read = tools.run(
            CONSUMER_PERFORMANCE,
            *("--bootstrap-server", f"127.0.0.1:{place.port}", "--topic", "t", "--messages", "500"),
            *("--group", "g", "--consumer.config", file, "--timeout", "60000", "--hide-header"),
        )
        assert read.status == 0, read
        assert ", 500," in read.out
        with place.login("alice") as alice:
            assert expire(alice, token).error_code == 0
        refused = tools.run(
            DELEGATION_TOKENS,
            *("--bootstrap-server", f"127.0.0.1:{place.port}", "--command-config", file, "--describe"),
        )
        assert refused.status == 1
        assert "invalid credentials with SASL mechanism" in refused.err


# -- answers --------------------


@pytest.mark.whole
def test_the_answers_are_the_same(clean: Both) -> None:
    kafka, fastlog = (list(played(place)) for place in clean)
    for theirs, ours in zip(kafka, fastlog, strict=True):
        assert ours == theirs


# -- one cluster --------------------


def test_tokens_are_shared(clean: Both, tmp_path: Path) -> None:
    """Made, renewed and removed at either broker; the nodes are the same."""
    ours, theirs = Place.new(), clean.kafka
    member = RunningBroker(
        tmp_path, {**ours.settings(), "broker.id": "1", "zookeeper.connect": clean.connect}
    )
    member.start()
    try:
        nodes = []
        for here, there in ((theirs, ours), (ours, theirs)):
            with here.login("alice") as near, there.login("alice") as far:
                token = create(near, ["bob", "c d:e"], owner="carol")
                with here.login("carol") as owner, there.login("carol") as owner_far:
                    arrives(owner_far, token.token_id)
                    node = json.loads(tree_at(clean.connect)[token_nodes.path_of(token.token_id)].data or b"")
                    assert node["tokenId"] == token.token_id
                    nodes.append({name: value for name, value in node.items() if "Timestamp" not in name})
                    for place in (here, there):
                        for mechanism in (MECHANISM, "SCRAM-SHA-512"):
                            with place.with_token(token, mechanism) as link:
                                link.call(MetadataRequest([]), 9)
                    end = renew(owner_far, token, 5_000_000).expiry_timestamp_ms
                    ends(owner, token.token_id, end)
                    end = expire(owner, token, 9_000_000).expiry_timestamp_ms
                    ends(owner_far, token.token_id, end)
                    assert expire(owner_far, token).error_code == 0
                    wait_until(lambda: ids(describe(owner)) == set(), "it stays", seconds=20)
                assert token_nodes.path_of(token.token_id) not in tree_at(clean.connect)
                assert ids(describe(near)) == ids(describe(far)) == set()
        for node in nodes:
            del node["tokenId"]
        assert nodes[0] == nodes[1]
        with theirs.login("alice") as alice:
            kept = create(alice)
        member.stop()
        member.start()
        with ours.with_token(kept):
            pass
    finally:
        member.close()


def arrives(link: Link, token_id: str) -> None:
    """Waits until a broker has heard of a token."""
    wait_until(lambda: token_id in ids(describe(link)), "it does not arrive", seconds=20)


def ends(link: Link, token_id: str, expiry_ms: int) -> None:
    """Waits until a broker has heard when a token ends."""

    def told() -> bool:
        return any(
            token.token_id == token_id and token.expiry_timestamp == expiry_ms
            for token in describe(link).tokens
        )

    wait_until(told, "it does not know when it ends", seconds=20)
