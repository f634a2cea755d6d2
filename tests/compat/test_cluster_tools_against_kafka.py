"""Kafka's tools on three brokers of Kafka and on three of fastlog: they say the same, line by line.

Evened out are addresses, ids, moments, texts of errors, and the order of what has none: rows, settings,
members of in-sync sets, keys in JSON. Eligible leader replicas are shown by brokers in KRaft mode and by
fastlog's, which have none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from fastlog.wire.messages.topics import CreateTopicsRequest
from tests.cluster.cluster import Cluster
from tests.cluster.control import give_control
from tests.cluster.kinds import Kind
from tests.compat.cluster_answers import Stage
from tests.compat.cluster_of_replicas import produce
from tests.compat.cluster_of_topics import by_hand
from tests.compat.tool_session import ToolSession
from tests.harness.batches import batch
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import CONFIG_COMMAND, KAFKA_3, TOPIC_COMMAND, JavaTools

pytestmark = [
    *(pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)),
    pytest.mark.whole,
]
_ELECTION: Final = "org.apache.kafka.tools.LeaderElectionCommand"
_REASSIGNMENT: Final = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
_SHELL: Final = "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka"

Said = dict[str, tuple[int, list[str], list[str]]]
"""By what was done: exit status, lines of stdout and of stderr."""

_BATCHES: Final = 16
_BATCH_BYTES: Final = 1 << 19

_NOISE: Final = re.compile(r"\s*(at |\.\.\. \d+ more|SLF4J|log4j:)|\s*$|.*(zookeeper\.|ZooKeeper -|WATCHER)")
_EVENED: Final = (
    (re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\]"), "[TIME]"),
    (re.compile(r"(TopicId: |\"topic_id\":\")[\w-]{22}"), r"\1ID"),
    (re.compile(r"(\"timestamp\":\")\d+"), r"\1MOMENT"),
    (re.compile(r"(Error while executing [\w-]+ command ?:) .*"), r"\1 TEXT"),
    (re.compile(r"(org\.apache\.kafka\.(?:\w+\.)+\w+Exception):? .*"), r"\1"),
    (re.compile(r"(\[zk: )\S+( \d*\(CONNECTED\))"), r"\1ZK\2"),
    (re.compile(r"(Connecting to )\S+"), r"\1ZK"),
    (re.compile(r"(\"controller_epoch\":)\d+"), r"\g<1>0"),
    (re.compile(r"\s*Elr: .*"), ""),
    (re.compile(r" {2,}|\t"), "  "),
)


class _Tools:
    """Tools on one cluster; `said` is what they have said so far."""

    def __init__(self, stage: Stage, session: ToolSession, directory: Path) -> None:
        self.stage, self.said = stage, Said()
        self._session, self._directory = session, directory

    def run(self, what: str, tool: str, *words: str) -> str:
        """Runs a tool, and keeps what it says as that of `what`."""
        cluster = self.stage.cluster
        result = self._session.run(tool, "--bootstrap-server", cluster.bootstrap, *words)
        assert what not in self.said, what
        self.said[what] = result.status, self._lines(result.out), self._lines(result.err)
        return result.out

    def shell(self, what: str, *commands: str) -> None:
        """ZooKeeper's shell."""
        done = JavaTools(KAFKA_3).run(
            *(_SHELL, "-server", self.stage.cluster.connect),
            stdin="".join(f"{command}\n" for command in (*commands, "quit")).encode(),
            heap="64m",
        )
        self.said[what] = done.returncode, self._lines(done.stdout.decode()), []

    def file(self, name: str, document: object) -> str:
        """The path of a file with this in it."""
        path = self._directory / name
        path.write_text(json.dumps(document))
        return str(path)

    def topics(self, when: str) -> None:
        """kafka-topics, and what it shows of partitions that lack something."""
        for words in (
            "--describe",
            "--describe --topic t",
            "--describe --under-replicated-partitions",
            "--describe --unavailable-partitions",
            "--describe --under-min-isr-partitions",
            "--describe --at-min-isr-partitions",
        ):
            self.run(f"{when}: {words}", TOPIC_COMMAND, *words.split())

    def elections(self, when: str, *files: str) -> None:
        """kafka-leader-election."""
        for kind in ("preferred", "unclean"):
            for words in (
                "--all-topic-partitions",
                "--topic t --partition 0",
                "--topic t --partition 9",
                "--topic never --partition 0",
                *(f"--path-to-json-file {path}" for path in files),
            ):
                name = words.replace(str(self._directory), "")
                self.run(f"{when}: {kind} {name}", _ELECTION, "--election-type", kind, *words.split())
                self.stage.settle()

    def _lines(self, text: str) -> list[str]:
        members = self.stage.cluster.members.items()
        text = text.replace(str(self._directory), "DIRECTORY")
        for number, member in members:
            text = text.replace(member.address, f"BROKER {number}").replace(
                str(member.port), f"PORT {number}"
            )
        for pattern, replacement in _EVENED:
            text = pattern.sub(replacement, text)
        return sorted(_ordered(line) for line in text.splitlines() if not _NOISE.match(line))


def _ordered(line: str) -> str:
    """With what has no order in one: keys of JSON, members of in-sync sets, settings."""
    if line.startswith("{"):
        return json.dumps(json.loads(line), sort_keys=True)
    found = re.match(r"(.*(?:Isr: |Configs: ))(\S+)(.*)", line)
    return line if found is None else f"{found[1]}{sorted(found[2].split(','))}{found[3]}"


def plan(**rows: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Where partitions are to be, as the tools read it."""
    return {
        "version": 1,
        "partitions": [
            {"topic": topic, "partition": number, "replicas": [*replicas]}
            for topic, partitions in rows.items()
            for number, replicas in enumerate(partitions)
        ],
    }


def _day(tools: _Tools) -> None:
    """What an operator does, with all brokers and with one gone."""
    stage = tools.stage
    tools.topics("whole")
    chosen = tools.file("elect.json", {"partitions": [{"topic": "t", "partition": n} for n in (0, 1)]})
    tools.elections("whole", chosen)
    tools.shell("whole", "ls /", "ls /brokers/ids", "ls /admin", "get /controller", "get /brokers/topics/t")
    to_move = tools.file("topics.json", {"version": 1, "topics": [{"topic": "m"}]})
    asked = ("--topics-to-move-json-file", to_move, "--broker-list", "2", "--generate")
    # One broker leaves nothing to chance.
    tools.run("a plan", _REASSIGNMENT, *asked)
    tools.run("a plan for nobody", _REASSIGNMENT, *asked[:-2], "9", "--generate")
    target = tools.file("target.json", plan(m=[[2, 3], [3], [1]]))
    tools.run(
        "moves", _REASSIGNMENT, "--reassignment-json-file", target, "--execute", "--throttle", "90000000"
    )
    stage.settle(lambda state: state.partitions["m", 0].replicas == (2, 3))
    stage.settle(
        lambda state: [part.replicas for _, part in sorted(state.of("m").items())] == [(2, 3), (3,), (1,)]
    )
    tools.run("moves are looked at", _REASSIGNMENT, "--reassignment-json-file", target, "--verify")
    tools.run("nothing moves", _REASSIGNMENT, "--list")
    tools.run(
        "limits are gone", CONFIG_COMMAND, "--entity-type", "topics", "--entity-name", "m", "--describe"
    )
    for name, rows in {
        "unknown": plan(never=[[1]]),
        "to nobody": plan(m=[[]]),
        "to one twice": plan(m=[[1, 1]]),
        "to an unknown broker": plan(m=[[9]]),
    }.items():
        path = tools.file(f"{name}.json", rows)
        tools.run(f"a move: {name}", _REASSIGNMENT, "--reassignment-json-file", path, "--execute")
        if "broker" in name:
            # The tools would wait for it.
            continue
        tools.run(f"a look: {name}", _REASSIGNMENT, "--reassignment-json-file", path, "--verify")
        tools.run(f"an end: {name}", _REASSIGNMENT, "--reassignment-json-file", path, "--cancel")
    _slow_move(tools)
    stage.stop(3)
    tools.topics("one gone")
    to_gone = tools.file("gone.json", plan(t=[[1, 3]]))
    for name, words in {
        "begins": ("--execute", "--throttle", "1000000"),
        "is looked at": ("--verify", "--preserve-throttles"),
        # Without that the tool would wait for the broker that is gone, to take its limits away.
        "is cancelled": ("--cancel", "--preserve-throttles"),
    }.items():
        tools.run(f"a move to one gone {name}", _REASSIGNMENT, "--reassignment-json-file", to_gone, *words)
    tools.shell("one gone", "get /brokers/topics/t", "get /brokers/topics/t/partitions/2/state")
    tools.elections("one gone", chosen)
    stage.start(3)
    stage.settle(lambda state: all(part.whole for part in state.of("t").values()))
    tools.elections("back", chosen)
    tools.topics("back")


def _slow_move(tools: _Tools) -> None:
    """A move that takes much longer than all that is asked about it: a byte a second, of eight megabytes."""
    stage = tools.stage
    for _ in range(_BATCHES):
        answer = stage.call(2, produce("m", 0, batch(bytes(_BATCH_BYTES))), 9)
        assert answer.responses[0].partition_responses[0].error_code == 0
    stage.settle()
    slow, other = tools.file("slow.json", plan(m=[[1]])), tools.file("other.json", plan(m=[[3, 1]]))
    for name, words in {
        "begins": (slow, "--execute", "--throttle", "1"),
        "begins again": (slow, "--execute"),
        "gets another target": (other, "--execute", "--additional", "--throttle", "1"),
        "is looked at": (other, "--verify", "--preserve-throttles"),
        "was another one": (slow, "--verify", "--preserve-throttles"),
        "is cancelled": (other, "--cancel"),
        "is cancelled again": (other, "--cancel"),
    }.items():
        path, *rest = words
        tools.run(f"a move {name}", _REASSIGNMENT, "--reassignment-json-file", path, *rest)
        # All brokers hear of it a moment later, and a tool asks any of them.
        stage.settle()
        tools.run(f"it {name}", _REASSIGNMENT, "--list")
        tools.run(f"the topic when it {name}", TOPIC_COMMAND, "--describe", "--topic", "m")
    # The order of what was there is that of the last target.
    stage.settle(lambda state: {2, 3} == {*state.partitions["m", 0].replicas})


def _said(kind: Kind, session: ToolSession, directory: Path) -> Said:
    settings = {"min.insync.replicas": "3"}
    with Cluster(directory / kind, (kind,) * 3, settings=settings) as cluster, Stage(cluster) as stage:
        give_control(cluster, 1)
        made = [by_hand("t", [1, 2, 3], [2, 3, 1], [3, 1, 2]), by_hand("m", [1], [2], [3])]
        stage.call(1, CreateTopicsRequest(made, 20_000), 7)
        stage.settle(lambda state: len(state.partitions) == 6)
        tools = _Tools(stage, session, directory)
        wait_until(
            lambda: all(part.whole for part in cluster.look().partitions.values()), "not whole", seconds=30
        )
        _day(tools)
        return tools.said


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Said, Said]]:
    """Of Kafka's brokers, then of fastlog's."""
    directory = tmp_path_factory.mktemp("tools")
    with ToolSession(KAFKA_3) as session:
        yield _said("kafka", session, directory), _said("fastlog", session, directory)


def test_tools_say_the_same(both: tuple[Said, Said]) -> None:
    kafka, fastlog = both
    assert kafka.keys() == fastlog.keys()
    found = [
        f"{what}\n  Kafka:   {kafka[what]}\n  fastlog: {fastlog[what]}"
        for what in kafka
        if kafka[what] != fastlog[what]
    ]
    assert not found, "\n".join(found)
    # They have done something.
    assert any(
        "Reassignment of partition m-0 is completed" in line for line in kafka["moves are looked at"][1]
    )
    assert any("is still in progress" in line for line in kafka["a move is looked at"][1])
