"""Plans of reassignments in the format of kafka-reassign-partitions.

    {"version": 1, "partitions": [{"topic": "t", "partition": 0, "replicas": [1, 2]}]}

Replicas are node ids, the preferred leader first. `log_dirs` of Kafka's own files may be there as long as
they are all "any": moves between the directories of a broker are another thing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.input_file import read_input
from fastlog.cli.tool.reassign.planning import Placement
from fastlog.client.metadata import TopicPartition

__all__ = ["parse_plan", "plan_document", "read_plan"]


def plan_document(plan: Mapping[TopicPartition, Sequence[int]]) -> dict[str, Any]:
    """The plan as such a file has it."""
    rows = [
        {"topic": name.topic, "partition": name.partition, "replicas": list(nodes)}
        for name, nodes in sorted(plan.items())
    ]
    return {"version": 1, "partitions": rows}


def read_plan(path: str) -> Placement:
    """The plan in a file; `-` is stdin. Raises UsageProblem, and OSError."""
    name, text = read_input(path)
    return parse_plan(text, name)


def parse_plan(text: str, path: str) -> Placement:
    """What is in the file. Raises UsageProblem with the item that cannot be used."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"{path}: is no JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("partitions"), list):
        raise UsageProblem(f'{path}: expected {{"version": 1, "partitions": [...]}}')
    if document.get("version", 1) != 1:
        raise UsageProblem(f"{path}: version {document['version']!r} is not known, only 1 is")
    plan: Placement = {}
    for index, row in enumerate(document["partitions"]):
        where = f"{path}, item {index}"
        name, nodes = _row(row, where)
        if name in plan:
            raise UsageProblem(f"{where}: partition {name} comes twice")
        plan[name] = nodes
    if not plan:
        raise UsageProblem(f"{path}: holds no partitions")
    return plan


def _row(row: Any, where: str) -> tuple[TopicPartition, tuple[int, ...]]:
    if not isinstance(row, dict) or not isinstance(row.get("topic"), str) or not row["topic"]:
        raise UsageProblem(f"{where}: expected topic, partition and replicas")
    partition, nodes = row.get("partition"), row.get("replicas")
    if not isinstance(partition, int) or not _is_id(partition):
        raise UsageProblem(f"{where}: {partition!r} is no partition")
    if not isinstance(nodes, list) or not nodes or not all(map(_is_id, nodes)):
        raise UsageProblem(f"{where}: replicas {nodes!r}: expected ids of brokers")
    if len(set(nodes)) < len(nodes):
        raise UsageProblem(f"{where}: replicas {nodes!r} name a broker twice")
    directories = row.get("log_dirs") or []
    if not isinstance(directories, list) or any(item != "any" for item in directories):
        raise UsageProblem(f'{where}: log_dirs {directories!r}: only "any" is supported')
    return TopicPartition(row["topic"], partition), tuple(nodes)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
