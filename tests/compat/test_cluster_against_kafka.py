"""Three brokers of Apache Kafka 3.9 on ZooKeeper and three of fastlog get the same requests.

Two thousand raw requests in all versions, of operators, clients and brokers, to each broker; the answers are
compared field by field. docs/cluster.md says in what they differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.compat.cluster_acts import ACTS, play
from tests.compat.cluster_answers import Answers, differences

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(400)]

Both = tuple[Answers, Answers]

KNOWN: Final[dict[str, str]] = {
    # Kafka's KRaft mode has it, its ZooKeeper mode does not.
    r"DescribeTopicPartitions": "",
    # Duplicates and contradictions are refused, as by KRaft; ids of topics are told.
    r"DeleteTopics 6": "INVALID_REQUEST|topic_id|name|OR_PARTITION, fastlog NONE",
    # An assignment names brokers that live, each once, to partitions, each once.
    r"(partition twice|by hand|negative broker|unknown broker|nobody|on it), CreateTopics": r"topics\[0\]\.",
    # A topic that stands twice is told once.
    r": one twice, CreateTopics": r"\.topics ",
    # Where Kafka's broker fails.
    r"(election -?\d|unknown broker), (ElectLeaders|ControlledShutdown)": "UNKNOWN_SERVER_ERROR",
    # A replica of a partition that nobody leads: Kafka's broker does not take in the epoch.
    r"lost-0.*(ListOffsets|OffsetFor|Fetch|Produce)": "UNKNOWN_LEADER_EPOCH|(epoch|mark|offset) Kafka -1",
    # No client looks at it.
    r"strict-0, Produce": "log_start_offset Kafka 0, fastlog -1",
}
"""Differences that docs/cluster.md names: the request's, and what of its answer (regular expressions)."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """All answers of a cluster of Kafka's, then of one of fastlog's."""
    directory = tmp_path_factory.mktemp("beside")
    yield play("kafka", directory), play("fastlog", directory)


@pytest.mark.parametrize("act", ACTS, ids=lambda act: str(act.__name__))
def test_same_answers(act: Callable[..., None], both: Both) -> None:
    kafka, fastlog = ({name: row for name, row in side.items() if row[0] == act.__name__} for side in both)
    assert len(kafka) > 100
    found = [
        line
        for line in differences(
            {name: row[1] for name, row in kafka.items()}, {name: row[1] for name, row in fastlog.items()}
        )
        if not any(_covers(line, *known) for known in KNOWN.items())
    ]
    assert not found, "\n".join(found)


def test_known_differences_are_there(both: Both) -> None:
    """What is no difference any more is to go from the list, and from docs/cluster.md."""
    kafka, fastlog = ({name: row[1] for name, row in side.items()} for side in both)
    lines = differences(kafka, fastlog)
    assert [known for known in KNOWN.items() if not any(_covers(line, *known) for line in lines)] == []


def _covers(line: str, request: str, answer: str) -> bool:
    """`line` is "what is asked, API version at broker: field Kafka ..., fastlog ..."."""
    name, _, difference = re.split(r"( at \d: )", line, maxsplit=1) if " at " in line else (line, "", "")
    return bool(re.search(request, name) and re.search(answer, difference))
