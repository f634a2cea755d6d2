"""`kafka-transactions` and `fastlog transaction` say the same of Apache Kafka's transactions and of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.compat.tool_session import ToolSession
from tests.harness.broker_process import BrokerProcess
from tests.harness.cli import fastlog
from tests.harness.waiting import wait_until
from tests.integration.transaction_situations import SETTINGS, Situations, make_situations
from tests.peers.apache_kafka import FEATURE_COMMAND, KAFKA_3, KAFKA_4, TRANSACTIONS_COMMAND, ApacheKafka

pytestmark = [pytest.mark.java, pytest.mark.timeout(240)]

READS: Final = (
    "list",
    "list --duration-filter 3600000",
    "describe --transactional-id idle",
    "describe --transactional-id open",
    "describe --transactional-id committed",
    "describe --transactional-id aborted",
    "describe --transactional-id late",
    "describe --transactional-id other",
    "describe --transactional-id nothere",
    "describe-producers --topic a --partition 0",
    "describe-producers --topic a --partition 1",
    "describe-producers --topic b --partition 0 --broker-id 1",
    "find-hanging --topic a",
    "find-hanging --topic a --partition 0",
    "find-hanging --topic b",
    "find-hanging --broker-id 1",
    "find-hanging --broker-id 1 --topic b --max-transaction-timeout 180",
    "find-hanging --broker-id 1 --max-transaction-timeout 0",
    "find-hanging",
    "find-hanging --partition 1",
)
PATTERNS: Final = (
    "list --transactional-id-pattern .*e.*",
    "list --transactional-id-pattern nobody",
    "list --transactional-id-pattern [",
)
ABORTS: Final = (
    "abort --topic a --partition 1",
    "abort --topic a --partition 1 --start-offset 99",
    "abort --topic a --partition 1 --producer-id {late}",
    "abort --topic a --partition 1 --producer-id {late} --producer-epoch 0",
    "abort --topic a --partition 1 --producer-id {late} --producer-epoch 0 --coordinator-epoch 0",
    "abort --topic a --partition 1 --producer-id {late} --producer-epoch 1 --coordinator-epoch -1",
    "describe-producers --topic a --partition 1",
    "abort --topic b --partition 0 --start-offset 0",
    "describe-producers --topic b --partition 0",
    "find-hanging --broker-id 1",
)
TERMINATIONS: Final = (
    "forceTerminateTransaction --transactionalId open",
    "forceTerminateTransaction --transactionalId committed",
    "forceTerminateTransaction --transactionalId new",
)
TERMINATED: Final = (
    *("describe --transactional-id open", "describe --transactional-id committed"),
    *("describe --transactional-id new", "describe-producers --topic a --partition 0", "list"),
)
COMMANDS: Final = (
    "list",
    "list --state Ongoing",
    "list --state complete-abort --state Empty",
    "list --state Sleepy",
    "list --producer-id {late} --producer-id {nobody}",
    "list --longer-than 1h",
    "list --longer-than 1ms --state Ongoing",
    "describe idle open committed aborted late other",
    "describe nothere idle",
    "describe --producers a",
    "describe --producers b:0 --broker 1",
    "describe --producers b:7 nothere",
    "describe --producers nothere",
    "describe",
    "find-hanging a",
    "find-hanging b:1 --max-timeout 2h",
    "find-hanging --all",
    "find-hanging --broker 1 --max-timeout 0s",
    "find-hanging a:5 nothere",
    "find-hanging",
    "abort b:1 --start-offset 7 -y",
    "abort a:0 --start-offset 0 -y",
    "abort b:1 --producer-id {other} --producer-epoch 0 --coordinator-epoch 0 -y",
    "abort b:1 --producer-id {other} --producer-epoch 1",
    "abort b:1 --start-offset 0",
    "abort b:1 --start-offset 0 -y",
    "abort b:1 --start-offset 0 -y",
    "describe --producers b",
    "find-hanging --all",
)
_TIMES: Final = {"LastTimestamp", "CurrentTransactionStartTimeMs", "TransactionDurationMs"}
_OWN: Final = {"message", "start_time_ms", "duration_ms", "last_timestamp_ms"}


@dataclass
class Pair:
    """The two brokers, what was made in them, and the tools of Kafka's release."""

    tools: ToolSession
    sides: tuple[tuple[str, Situations], tuple[str, Situations]]
    """Bootstrap servers and situations, Kafka's first."""

    def compare_tools(self, lines: Sequence[str]) -> None:
        """Runs Kafka's tool against both; shows all differences at once."""
        self._compare(lines, self._tool)

    def compare_commands(self, lines: Sequence[str]) -> None:
        """The same with `fastlog transaction`."""
        self._compare(lines, _command)

    def _compare(self, lines: Sequence[str], run: Any) -> None:
        different = []
        for line in lines:
            kafka, ours = (run(line, *side) for side in self.sides)
            if kafka != ours:
                different.append(f"{line}\n  Kafka:   {kafka}\n  fastlog: {ours}")
        assert not different, "\n".join(different)

    def _tool(self, line: str, bootstrap: str, made: Situations) -> Any:
        done = self.tools.run(TRANSACTIONS_COMMAND, "--bootstrap-server", bootstrap, *_words(line, made))
        assert "usage: kafka-transactions" not in done.out + done.err, line
        return done.status, _table(done.out, made), _even(done.err)


def _words(line: str, made: Situations) -> list[str]:
    ids = {name: identity[0] for name, identity in made.identities.items()}
    return line.format(**ids).split()


def _even(text: str) -> list[str]:
    """Lines of an error, without numbers of producers and traces."""
    lines = [re.sub(r"(producerId|producer id)[= ]\d+", r"\1=ID", line) for line in text.splitlines()]
    return [line for line in lines if not line.startswith(("\tat ", "SLF4J", "log4j:"))]


def _table(text: str, made: Situations) -> list[dict[str, str | int]] | list[str]:
    """Rows by their columns, in any order; producers by their names, times left out."""
    lines = [[cell.strip() for cell in line.split("\t")] for line in text.splitlines()]
    if not lines or len(lines[0]) < 3:
        return text.splitlines()
    rows = []
    for cells in lines[1:]:
        row: dict[str, str | int] = dict(zip(lines[0], cells, strict=True))
        if str(row.get("ProducerId", "")).isdecimal():
            row["ProducerId"] = made.named(int(row["ProducerId"]))
        for name in _TIMES & row.keys():
            row[name] = "TIME" if str(row[name]).isdecimal() else row[name]
        if "Duration(min)" in row:
            row["Duration(min)"] = "HOUR" if 60 <= int(row["Duration(min)"]) < 90 else row["Duration(min)"]
        if "TopicPartitions" in row:
            row["TopicPartitions"] = ",".join(sorted(str(row["TopicPartitions"]).split(",")))
        rows.append(row)
    return sorted(rows, key=str)


def _command(line: str, bootstrap: str, made: Situations) -> Any:
    done = fastlog("transaction", *_words(line, made), "-o", "json", bootstrap=bootstrap, code=None)
    document = json.loads(done.stdout) if done.stdout.strip() else None
    errors = [json.loads(text)["error"] for text in done.stderr.splitlines() if text.startswith(b"{")]
    return done.returncode, _comparable(document, made), [(one["code"], one.get("item")) for one in errors]


def _state_of(name: str, bootstrap: str) -> str:
    done = fastlog("transaction", "describe", name, "-o", "json", bootstrap=bootstrap)
    return str(json.loads(done.stdout)[0]["state"])


def _comparable(value: Any, made: Situations) -> Any:
    if isinstance(value, dict):
        return {
            name: made.named(item) if name == "producer_id" else _comparable(item, made)
            for name, item in value.items()
            if name not in _OWN
        }
    if isinstance(value, list):
        return [_comparable(item, made) for item in value]
    return value


@pytest.fixture(scope="module", params=[KAFKA_3, KAFKA_4])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    version: str = request.param
    directory: Path = tmp_path_factory.mktemp(f"transactions-{version}")
    kafka = ApacheKafka(directory / "kafka", version=version, settings=SETTINGS, heap="384m", quick=True)
    with (
        ToolSession(version) as tools,
        BrokerProcess(directory / "fastlog", settings=SETTINGS) as ours,
        ThreadPoolExecutor() as threads,
    ):
        try:
            mine = threads.submit(make_situations, ours.port)
            kafka.start()
            theirs = make_situations(kafka.port)
            yield Pair(tools, ((kafka.bootstrap, theirs), (ours.bootstrap, mine.result())))
        finally:
            kafka.kill()


def test_the_same_commands(pair: Pair) -> None:
    """`fastlog transaction`; what hangs in b-1 is aborted here."""
    pair.compare_commands(COMMANDS)
    if pair.tools.version == KAFKA_4:
        pair.compare_commands(["list --pattern .*e.*", "list --pattern nobody", "list --pattern ["])


def test_kafka_transactions(pair: Pair) -> None:
    """All subcommands; what hangs in a-1 and b-0 is aborted here."""
    pair.compare_tools(READS)
    if pair.tools.version == KAFKA_4:
        pair.compare_tools(PATTERNS)
    pair.compare_tools(ABORTS)
    if pair.tools.version == KAFKA_4:
        pair.compare_tools(TERMINATIONS)
        for bootstrap, made in pair.sides:
            wait_until(
                lambda bootstrap=bootstrap: (  # type: ignore[misc]
                    _state_of("open", bootstrap) in ("CompleteAbort", "Empty")
                ),
                lambda bootstrap=bootstrap: f"it is {_state_of('open', bootstrap)}",  # type: ignore[misc]
                seconds=30,
            )
            # An id that comes into being has a producer without a name here.
            (row,) = _command("describe new", bootstrap, Situations(0))[1]
            made.identities["new"] = row["producer_id"], row["producer_epoch"]
        pair.compare_tools(TERMINATED)


def test_kafka_features_of_transactions(pair: Pair) -> None:
    """What is said of `transaction.version` when it is raised, lowered, and asked for what cannot be."""
    if pair.tools.version != KAFKA_4:
        pytest.skip("Kafka 3.9 has no such feature that is stable")
    name = "transaction.version"
    outcomes = []
    for bootstrap, _ in pair.sides:
        # Whatever it is by itself.
        pair.tools.run(FEATURE_COMMAND, "--bootstrap-server", bootstrap, "disable", "--feature", name)
        told: list[Any] = []
        for line in (
            f"upgrade --feature {name}=1",
            "describe",
            f"upgrade --feature {name}=2",
            "describe",
            f"upgrade --feature {name}=3",
            f"upgrade --feature {name}=1",
            f"downgrade --feature {name}=1",
            "describe",
            f"disable --feature {name}",
            "describe",
            f"upgrade --feature {name}=2",
            "upgrade --feature nothere=1",
            "describe",
        ):
            done = pair.tools.run(FEATURE_COMMAND, "--bootstrap-server", bootstrap, *line.split())
            lines = [
                # A reason is told in each broker's own words.
                re.sub(r"(Epoch:) \d+|(Could not \w+ \S+ to \d+\.).*", r"\1\2", text)
                for text in (done.out + done.err).splitlines()
                if name in text or not text.startswith("Feature:")
            ]
            told.append((line, done.status, lines))
        outcomes.append(told)
    theirs, ours = outcomes
    different = [
        f"Kafka:   {one}\nfastlog: {other}" for one, other in zip(theirs, ours, strict=True) if one != other
    ]
    assert not different, "\n".join(different)
