"""Nodes that hold what no broker writes: the controller names them, and goes on with all the rest.

Each is there before a controller takes over, and comes while one is at work.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from fastlog.coordination.controller.channel_queue import ControlRequest
from fastlog.coordination.controller.channels import ControlResponse
from fastlog.coordination.controller.data import LiveBroker
from fastlog.coordination.controller.socket_link import VERSIONS
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import paths
from fastlog.coordination.znodes.controller_json import decode_broker, decode_state
from fastlog.wire import encode_request
from fastlog.wire.messages.partition_admin import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from tests.unit.coordination.controller.cluster import Cluster, FakeBroker, FakeLink
from tests.unit.coordination.controller.tree_world import until

_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"
_LAST: Final = 2**31 - 1
_BROKER: Final = {
    "version": 5,
    "host": "h",
    "port": 1,
    "jmx_port": -1,
    "timestamp": "0",
    "endpoints": ["PLAINTEXT://h:1"],
    "listener_security_protocol_map": {"PLAINTEXT": "PLAINTEXT"},
    "features": {},
}
_TOPIC: Final = {
    "version": 3,
    "topic_id": _ID,
    "partitions": {"0": [1, 2]},
    "adding_replicas": {},
    "removing_replicas": {},
}
_STATE: Final = {"version": 1, "leader": 1, "leader_epoch": 3, "controller_epoch": 1, "isr": [1, 2]}


def _changed(base: Mapping[str, Any], *changes: Mapping[str, Any]) -> Iterator[bytes]:
    return (json.dumps({**base, **change}).encode() for change in changes)


_JUNK: Final = (
    None,
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b"{",
    b"[" * 100_000,
    b"1" * 5000,
    b"x" * 1_000_000,
)
_ROWS: Final[Sequence[Any]] = [
    [],
    None,
    {},
    [None],
    [{"topic": 5}],
    [{"topic": "good", "partition": 0, "replicas": []}],
    [{"topic": "good", "partition": 0, "replicas": [1, 1]}],
    [{"topic": "good", "partition": -1, "replicas": [1]}],
    [{"topic": "good", "partition": 2**40, "replicas": [1]}],
    [{"topic": "\ud800", "partition": 0, "replicas": [1]}],
    [{"topic": "missing", "partition": number, "replicas": [1]} for number in range(500)],
]
_OF_PARTITIONS: Final = (*_JUNK, *_changed({}, *({"partitions": rows} for rows in _ROWS)))
_NODES: Final[Mapping[str, Sequence[tuple[str, bytes | None]]]] = {
    "brokers": [
        *[(paths.broker_id(7), data) for data in _JUNK],
        *[
            (paths.broker_id(7), data)
            for data in _changed(
                _BROKER,
                *({"endpoints": texts} for texts in (None, [None], ["x"], ["PLAINTEXT://\ud800:1"])),
                *(
                    {"endpoints": [f"PLAINTEXT://h:{port}"]}
                    for port in (65536, 99_999_999_999, -1, "\u0663", "")
                ),
                {"endpoints": ["PLAINTEXT://" + "h" * 40_000 + ":1"]},
                *({"listener_security_protocol_map": odd} for odd in (["x"], "x", 5, {"PLAINTEXT": None})),
                *({"rack": rack} for rack in ("\ud800", "r" * 40_000, ["x"])),
            )
        ],
        *[
            (f"{paths.BROKER_IDS}/{name}", json.dumps(_BROKER).encode())
            for name in ("x", "-1", "2147483648", "99999999999", "\u0663", "007")
        ],
    ],
    "topics": [
        *[(paths.topic("bad"), data) for data in _JUNK],
        *[
            (paths.topic("bad"), data)
            for data in _changed(
                _TOPIC,
                *(
                    {"partitions": odd}
                    for odd in ({}, [[1]], {"1": [1]}, {"-1": [1]}, {"x": [1]}, {"0": "x"}, {"0": [True]})
                ),
                *({"partitions": {"0": ids}} for ids in ([], [-1], [1, 1, 2], [_LAST], [_LAST + 1], [1.5])),
                *({"topic_id": odd} for odd in (None, "", 5, "x" * 1000)),
                *({"adding_replicas": odd} for odd in ("x", {"0": [9]}, {"5": [9]}, {"0": [1, 2]})),
                *({"removing_replicas": odd} for odd in ({"0": [7]}, {"0": [1, 2]})),
            )
        ],
        *[
            (f"{paths.TOPICS}/{name}", json.dumps(_TOPIC).encode())
            for name in ("a b", "x" * 300, "\u00fc", "__cluster_metadata")
        ],
    ],
    "states": [
        *[(paths.state("stated", 0), data) for data in _JUNK],
        *[
            (paths.state("stated", 0), data)
            for data in _changed(
                _STATE,
                *({"leader": leader} for leader in (99, -1, -5, _LAST + 1, None)),
                *({"leader_epoch": epoch} for epoch in (_LAST, _LAST - 1, -1)),
                *({"controller_epoch": epoch} for epoch in (_LAST, -1, None)),
                *({"isr": isr} for isr in ([], None, [99], [1, 1], [-1])),
                *({"leader_recovery_state": state} for state in (1, "x")),
            )
        ],
    ],
    "reassignments": [(paths.REASSIGNMENTS, data) for data in _OF_PARTITIONS],
    "elections": [(paths.PREFERRED_ELECTIONS, data) for data in _OF_PARTITIONS],
    "in-sync sets": [
        *[(f"{paths.ISR_CHANGES}/isr_change_0", data) for data in _OF_PARTITIONS],
        (f"{paths.ISR_CHANGES}/odd/child", b"x"),
    ],
    "directories": [
        *[(f"{paths.LOG_DIR_EVENTS}/log_dir_event_0", data) for data in _JUNK],
        *[
            (f"{paths.LOG_DIR_EVENTS}/log_dir_event_0", data)
            for data in _changed({"event": 1}, *({"broker": odd} for odd in (99, -1, None, "x", _LAST + 1)))
        ],
        (f"{paths.LOG_DIR_EVENTS}/odd/child", b"x"),
    ],
    "deletions": [(paths.deletion(name), b"x") for name in ("missing", "a b", "x" * 300)],
    "settings": [
        *[(paths.topic_config("stated"), data) for data in _JUNK],
        *[
            (paths.topic_config("stated"), data)
            for data in _changed(
                {},
                {"config": None},
                {"config": []},
                {"config": {"unclean.leader.election.enable": None}},
            )
        ],
    ],
    "features": [(paths.FEATURE, data) for data in _JUNK],
}


class _EncodingLink(FakeLink):
    """What is sent must be something that can be."""

    async def ask(self, request: ControlRequest) -> ControlResponse:
        encode_request(request, VERSIONS[request.API], 1, "controller")
        return await super().ask(request)


class _Encoding(Cluster):
    def _link(self, broker: LiveBroker, address: object, lost: Any) -> FakeLink:
        # A broker that is one by its node alone is told like all others.
        made = self.brokers.setdefault(broker.id, FakeBroker(broker.id))
        self.links[broker.id] = link = _EncodingLink(made, lost)
        return link

    async def put(self, path: str, data: bytes | None) -> None:
        """Has a node hold this."""
        await self.admin.ensure(path.rpartition("/")[0])
        if self.has(path):
            await self.admin.set(path, data)
        else:
            await self.admin.create(path, data)

    async def check_works(self, name: str) -> None:
        """A new topic is led, and its replicas and all others are told."""
        await self.topic(name, (1, 2))
        await until(lambda: (name, 0) in self.brokers[2].replicas and (name, 0) in self.brokers[3].metadata)
        assert self.led(name) == (1, (1, 2))


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Nothing fails in a way that nobody has thought of, and nothing is dropped."""
    found: list[str] = []
    yield found
    for record in caplog.get_records("call"):
        assert record.exc_info is None, record.exc_info
        assert "not told" not in record.getMessage()


@pytest.mark.parametrize("kind", _NODES)
async def test_while_a_controller_is_at_work(tmp_path: Path, errors: list[str], kind: str) -> None:
    async with _Encoding(tmp_path) as cluster:
        await cluster.broker(1, 2, 3)
        await cluster.topic("good", (1, 2), (2, 3))
        await cluster.topic("stated", (2, 1))
        controller = await cluster.active(1)
        for number, (path, data) in enumerate(_NODES[kind]):
            await cluster.put(path, data)
            await cluster.check_works(f"after-{number}")
        assert controller.epoch == 1


@pytest.mark.parametrize("kind", _NODES)
async def test_before_a_controller_takes_over(tmp_path: Path, errors: list[str], kind: str) -> None:
    async with _Encoding(tmp_path) as cluster:
        await cluster.broker(1, 2, 3)
        await cluster.topic("good", (1, 2), (2, 3))
        await cluster.topic("stated", (2, 1))
        for number, (path, data) in enumerate(_NODES[kind]):
            await cluster.put(path, data)
            controller = await cluster.active(1)
            assert controller.epoch == number + 1
            await cluster.check_works(f"after-{number}")
            await controller.close()


async def test_all_that_is_wrong_is_named_with_its_node(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {
        paths.broker_id(7): b'{"endpoints":["PLAINTEXT://h:70000"]}',
        paths.topic("bad"): b"{",
        paths.state("stated", 0): b"[]",
        f"{paths.ISR_CHANGES}/isr_change_0": b"{",
        f"{paths.LOG_DIR_EVENTS}/log_dir_event_0": b"{",
        paths.REASSIGNMENTS: b"{",
        paths.PREFERRED_ELECTIONS: b"{",
    }
    async with _Encoding(tmp_path) as cluster:
        await cluster.broker(1, 2, 3)
        await cluster.active(1)
        await cluster.topic("stated", (2, 1))
        await until(lambda: cluster.state("stated"))
        for path, data in wrong.items():
            await cluster.put(path, data)
        # Another controller reads all states.
        await cluster.stop(1)
        await cluster.broker(1)
        await cluster.active(2)
        await cluster.check_works("after")
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    for path in wrong:
        assert any(path in line for line in lines), path


async def test_a_broker_that_is_assigned_twice_can_be_moved_and_deleted(
    tmp_path: Path, errors: list[str]
) -> None:
    async with _Encoding(tmp_path) as cluster:
        await cluster.broker(1, 2, 3)
        controller = await cluster.active(1)
        for name, target in (("kept", None), ("moved", [1])):
            await cluster.topic(name, (1, 1, 2))
            await until(lambda name=name: cluster.led(name) == (1, (1, 2)))  # type: ignore[misc]
            if target is not None:
                row = ReassignableTopic(name, [ReassignablePartition(0, target)])
                request = AlterPartitionReassignmentsRequest(topics=[row])
                answer = await controller.alter_reassignments(request)
                assert not answer.responses[0].partitions[0].error_code
            await cluster.admin.create(paths.deletion(name))
            await until(lambda name=name: not cluster.has(paths.topic(name)))  # type: ignore[misc]


async def test_of_two_topics_with_one_id_the_first_is_one(tmp_path: Path, errors: list[str]) -> None:
    async with _Encoding(tmp_path) as cluster:
        await cluster.broker(1, 2, 3)
        controller = await cluster.active(1)
        topic_id = await cluster.topic("first", (1, 2))
        await until(lambda: cluster.state("first"))
        await cluster.topic("second", (1, 2), topic_id=topic_id)
        await cluster.check_works("after")
        assert cluster.state("second") is None
        context = controller.context
        assert context is not None
        assert context.topic_named(topic_id) == "first"


async def test_a_tool_that_asks_for_much_in_vain_does_not_fill_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with _Encoding(tmp_path) as cluster:
        await cluster.broker(1, 2, 3)
        await cluster.active(1)
        await cluster.topic("away", *[(9,)] * 500)
        await cluster.check_works("first")
        rows = [{"topic": "missing", "partition": number, "replicas": [1]} for number in range(500)]
        await cluster.put(paths.REASSIGNMENTS, json.dumps({"version": 1, "partitions": rows}).encode())
        await until(lambda: not cluster.has(paths.REASSIGNMENTS))
        # Those that nobody can lead are tried again whenever a broker starts.
        await cluster.broker(4)
        await cluster.check_works("second")
    lines = [record.getMessage() for record in caplog.records]
    assert "480 more partitions are not moved" in lines
    assert "480 more partitions get no leader (offline)" in lines
    assert len(lines) < 100


@pytest.mark.parametrize("port", [65536, 99_999_999_999, "\u0663"])
def test_a_port_that_nobody_can_connect_to_is_none(port: object) -> None:
    data = json.dumps({**_BROKER, "endpoints": [f"PLAINTEXT://h:{port}"]}).encode()
    with pytest.raises(MetadataDamaged, match="is no endpoint"):
        decode_broker(paths.broker_id(7), data, 1)


def test_the_last_leader_epoch_can_have_no_successor() -> None:
    of_epoch = [json.dumps({**_STATE, "leader_epoch": epoch}).encode() for epoch in (_LAST - 1, _LAST)]
    assert decode_state("s", of_epoch[0], 0, 1).leader_epoch == _LAST - 1
    with pytest.raises(MetadataDamaged, match="no leader epoch after"):
        decode_state("s", of_epoch[1], 0, 1)
