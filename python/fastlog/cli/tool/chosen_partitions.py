"""Partitions as arguments name them, `TOPIC` or `TOPIC:0,1,4-6`, and what the cluster knows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastlog.base.wording import counted
from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.values import parse_topics
from fastlog.client import BrokerError, ClientError, ClusterMetadata, PartitionInfo
from fastlog.errors import ErrorCode

__all__ = ["ChosenPartitions", "choose_partitions", "parse_choice"]


@dataclass(slots=True)
class ChosenPartitions:
    """Those that exist, in order of their names, and errors by the name of what does not."""

    found: list[PartitionInfo] = field(default_factory=list)
    errors: dict[str, ClientError] = field(default_factory=dict)


def parse_choice(texts: Sequence[str], *, every: bool) -> dict[str, tuple[int, ...]] | None:
    """Partitions by topic, none for all of a topic's; None with `--all`. Raises UsageProblem."""
    if every and texts:
        raise UsageProblem("--all and topics: choose one")
    if not every and not texts:
        raise UsageProblem("of what? name topics, or give --all")
    return None if every else parse_topics(texts, "topic")


def choose_partitions(
    metadata: ClusterMetadata, choice: Mapping[str, tuple[int, ...]] | None
) -> ChosenPartitions:
    """What there is of the choice; None stands for all partitions of all topics, internal ones too."""
    result = ChosenPartitions()
    wanted = dict.fromkeys(metadata.topics, ()) if choice is None else choice
    for topic, partitions in sorted(wanted.items()):
        info = metadata.topics.get(topic)
        code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if info is None else info.error
        if info is None or code is not ErrorCode.NONE:
            result.errors[f"topic {topic}"] = BrokerError(code)
            continue
        existing = {item.index: item for item in info.partitions}
        for index in partitions or existing:
            if index in existing:
                result.found.append(existing[index])
            else:
                text = f"the topic has {counted(len(existing), 'partition')}"
                result.errors[f"partition {topic}-{index}"] = BrokerError(
                    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, text
                )
    return result
