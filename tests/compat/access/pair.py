"""A real Apache Kafka in ZooKeeper mode and a fastlog, with the same users, rules and topics."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from fastlog.errors import ErrorCode
from fastlog.server.access.asking import LOGGER
from fastlog.wire import decode_response, encode_request
from fastlog.wire.messages.acls import AclCreation, CreateAclsRequest
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from fastlog.wire.messages.transactions import AddPartitionsToTxnRequest, AddPartitionsToTxnTopic
from tests.compat.access.answers import verdict
from tests.compat.access.asked import OPEN_TRANSACTION, Asked
from tests.compat.access.users import RESOURCES, User
from tests.harness.keeper_process import KeeperProcess
from tests.harness.link import Link
from tests.harness.net import free_port, wait_for_port
from tests.harness.plain_link import PlainLink
from tests.harness.waiting import wait_until
from tests.integration.running import RunningBroker
from tests.peers.apache_kafka import KAFKA_LOG, KafkaOnZooKeeper

__all__ = ["Pair", "Side", "pair", "settings"]

AUTHORIZER: Final = "kafka.security.authorizer.AclAuthorizer"
_MODULE: Final = "org.apache.kafka.common.security.plain.PlainLoginModule"


def settings(names: Sequence[str], port: int, plain: int) -> dict[str, str]:
    """Of a broker with these users, whose password is x; ANONYMOUS, over PLAINTEXT, is the operator."""
    known = " ".join(f'user_{name}="x"' for name in names)
    return {
        "listeners": f"PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{port}",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{_MODULE} required {known};",
        "authorizer.class.name": AUTHORIZER,
        "super.users": "User:ANONYMOUS;User:root",
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": "2",
        "transaction.state.log.num.partitions": "2",
        "group.min.session.timeout.ms": "1",
    }


@dataclass
class Side:
    """One broker: a connection for each user."""

    port: int
    plain: int
    ids: dict[str, bytes] = field(default_factory=dict)
    _links: dict[str, PlainLink] = field(default_factory=dict)

    def verdict(self, user: str, asked: Asked) -> list[str]:
        """What the broker says to a request; "closed" and "silent" are answers, too."""
        request = asked.make(self.ids)
        link = self._links.get(user)
        if link is None:
            link = self._links[user] = PlainLink(self.port, user, "x", timeout=20)
        try:
            link.socket.sendall(encode_request(request, asked.version, 7, "matrix"))
            _, answer = decode_response(request.API, asked.version, link.receive_frame())
        except ConnectionError:
            self._links.pop(user).socket.close()
            return ["closed"]
        except TimeoutError:
            self._links.pop(user).socket.close()
            return ["silent"]
        return verdict(answer, {topic_id: name for name, topic_id in self.ids.items()})

    def close(self) -> None:
        """Closes all connections."""
        for link in self._links.values():
            link.socket.close()
        self._links.clear()

    def prepare(self, rules: Sequence[AclCreation]) -> None:
        """Makes topics, groups and transactional ids, and adds rules."""
        with Link(self.plain, timeout=60) as link:
            for name in RESOURCES:
                # Kafka's broker may not know itself yet.
                wait_until(lambda name=name: _made(link, name), f"{name} is not made", seconds=60)
            for kind, name in ((0, "res-a"), (1, "res-a")):
                _until_served(link, FindCoordinatorRequest(key=name, key_type=kind), 2)
            for name in RESOURCES:
                _until_served(link, InitProducerIdRequest(name, 1000), 3)
                self._commit(link, name)
            wait_until(lambda: _opened(link), "no transaction is open", seconds=60)
            for start in range(0, len(rules), 200):
                some = list(rules[start : start + 200])
                added: Any = link.call(CreateAclsRequest(some), 3)
                assert {row.error_code for row in added.results} == {0}, added
            found: Any = link.call(
                MetadataRequest([MetadataRequestTopic(name=name) for name in RESOURCES]), 12
            )
            self.ids = {topic.name: bytes(topic.topic_id) for topic in found.topics}

    @staticmethod
    def _commit(link: Link, group: str) -> None:
        topics = [OffsetCommitRequestTopic(name, [OffsetCommitRequestPartition(0, 1)]) for name in RESOURCES]

        def committed() -> bool:
            answer: Any = link.call(OffsetCommitRequest(group, topics=topics), 8)
            return {row.error_code for topic in answer.topics for row in topic.partitions} == {0}

        wait_until(committed, "the group's coordinator does not serve", seconds=60)


def _made(link: Link, name: str) -> bool:
    answer: Any = link.call(CreateTopicsRequest([CreatableTopic(name, 1, 1)], 30_000), 5)
    return answer.topics[0].error_code in (0, ErrorCode.TOPIC_ALREADY_EXISTS)


def _opened(link: Link) -> bool:
    """Has a transaction of all topics that stays open."""
    who: Any = link.call(InitProducerIdRequest(OPEN_TRANSACTION, 600_000), 3)
    topics = [AddPartitionsToTxnTopic(name, [0]) for name in RESOURCES]
    request = AddPartitionsToTxnRequest(
        v3_and_below_transactional_id=OPEN_TRANSACTION,
        v3_and_below_producer_id=who.producer_id,
        v3_and_below_producer_epoch=who.producer_epoch,
        v3_and_below_topics=topics,
    )
    added: Any = link.call(request, 3)
    rows = [row for topic in added.results_by_topic_v3_and_below for row in topic.results_by_partition]
    return {row.partition_error_code for row in rows} == {0}


def _until_served(link: Link, request: Any, version: int) -> None:
    def is_served() -> bool:
        answer: Any = link.call(request, version)
        return answer.error_code == 0

    wait_until(is_served, f"{type(request).__name__} is not served", seconds=60)


class _Lines(logging.Handler):
    """Keeps what the authorizer of fastlog says."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        self.lines.append(record.getMessage())


@dataclass
class Pair:
    """Both brokers."""

    kafka: Side
    fastlog: Side
    broker: RunningBroker
    _log_of_kafka: Path
    _log: _Lines

    def denied(self) -> tuple[set[str], set[str]]:
        """What the logs of both say by now of who was denied what."""
        text = self._log_of_kafka.read_text(errors="replace")
        kafka = set(re.findall(r"Principal = \S+ is Denied .* resourceRefCount = \d+", text))
        return kafka, {line for line in self._log.lines if "is Denied" in line}


@contextmanager
def pair(directory: Path, users: Sequence[User], more: Mapping[str, str] | None = None) -> Iterator[Pair]:
    """Both, prepared, with `more` settings. Kafka has its metadata in a keeper of its own."""
    names = [*(user.name for user in users), "root"]
    rules = [rule for user in users for rule in user.rules]
    sides = [Side(free_port(), free_port()) for _ in range(2)]
    kafka_side, fastlog_side = sides
    with KeeperProcess(directory / "keeper") as keeper:
        kafka = KafkaOnZooKeeper(
            directory / "kafka",
            keeper.address,
            settings={**settings(names, kafka_side.port, kafka_side.plain), **(more or {})},
        )
        kafka.port = kafka_side.plain
        fastlog = RunningBroker(
            directory / "fastlog", {**settings(names, fastlog_side.port, fastlog_side.plain), **(more or {})}
        )
        fastlog.settings["node.id"] = "1"
        log = _Lines()
        logger = logging.getLogger(LOGGER)
        logger.addHandler(log)
        logger.setLevel(logging.INFO)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(KAFKA_LOG, "info")
                kafka.launch()
            fastlog.start()
            fastlog_side.prepare(rules)
            wait_for_port("127.0.0.1", kafka.port, process=kafka.process, timeout=150)
            kafka_side.prepare(rules)
            yield Pair(kafka_side, fastlog_side, fastlog, kafka.directory / "server.log", log)
        finally:
            logger.removeHandler(log)
            logger.setLevel(logging.NOTSET)
            for side in sides:
                side.close()
            kafka.kill()
            fastlog.close()
