"""Files in the format of kafka-reassign-partitions."""

from __future__ import annotations

import json

import pytest

from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.reassign.plan_file import parse_plan, plan_document
from fastlog.client import TopicPartition

PLAN = {TopicPartition("a", 1): (3, 1), TopicPartition("a", 0): (1, 2), TopicPartition("b", 0): (2,)}


def test_what_is_written_is_read() -> None:
    document = plan_document(PLAN)
    assert document["version"] == 1
    assert document["partitions"][0] == {"topic": "a", "partition": 0, "replicas": [1, 2]}
    assert parse_plan(json.dumps(document), "f") == PLAN


def test_kafka_s_own_file() -> None:
    text = (
        '{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[2,1],"log_dirs":["any","any"]}]}'
    )
    assert parse_plan(text, "f") == {TopicPartition("t", 0): (2, 1)}


def item(**changes: object) -> str:
    row = {"topic": "t", "partition": 0, "replicas": [1]} | changes
    return json.dumps({"version": 1, "partitions": [row]})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing", "f: is no JSON: "),
        ("[" * 100_000, "f: is no JSON: "),
        ("[]", 'f: expected {"version": 1, "partitions": [...]}'),
        ('{"partitions": []}', "f: holds no partitions"),
        ('{"version": 2, "partitions": []}', "f: version 2 is not known, only 1 is"),
        ('{"partitions": [7]}', "f, item 0: expected topic, partition and replicas"),
        (item(topic=""), "f, item 0: expected topic, partition and replicas"),
        (item(partition=True), "f, item 0: True is no partition"),
        (item(partition=-1), "f, item 0: -1 is no partition"),
        (item(partition=2**31), "f, item 0: 2147483648 is no partition"),
        (item(replicas=[]), "f, item 0: replicas []: expected ids of brokers"),
        (item(replicas=["1"]), "f, item 0: replicas ['1']: expected ids of brokers"),
        (item(replicas=[1, 1]), "f, item 0: replicas [1, 1] name a broker twice"),
        (item(log_dirs=["/data"]), "f, item 0: log_dirs ['/data']: only \"any\" is supported"),
        (json.dumps(plan_document(PLAN)).replace('"b"', '"a"'), "f, item 2: partition a-0 comes twice"),
    ],
)
def test_files_that_are_none(text: str, words: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        parse_plan(text, "f")
    assert str(caught.value).startswith(words)
