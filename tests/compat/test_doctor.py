"""`fastlog doctor` and `fastlog log dump` on files of a real Apache Kafka, beside its own DumpLogSegments."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.compat.client_programs import CODECS, JAVA_3
from tests.harness.dataset import records, write_file
from tests.integration.doctor.asked import dumped, examined
from tests.peers.apache_kafka import KAFKA_3, ApacheKafka, dump_log_class

COUNT = 2000
_KNOWN = re.compile(r"(\w+): (\S+)")
_NAMES = {
    "baseOffset": "base_offset",
    "lastOffset": "last_offset",
    "count": "count",
    "baseSequence": "base_sequence",
    "producerId": "producer_id",
    "producerEpoch": "producer_epoch",
    "partitionLeaderEpoch": "leader_epoch",
    "isTransactional": "transactional",
    "isControl": "control",
    "position": "position",
    "CreateTime": "max_timestamp",
    "size": "size",
    "compresscodec": "codec",
    "crc": "crc",
}


def batches_of_kafka(text: str) -> list[dict[str, Any]]:
    found = []
    for line in text.splitlines():
        if line.startswith("baseOffset:"):
            fields = {_NAMES[name]: value for name, value in _KNOWN.findall(line) if name in _NAMES}
            found.append({name: value.lower() for name, value in fields.items()})
    return found


@pytest.mark.timeout(240)
def test_a_directory_of_kafka_3_9(tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    write_file(sent, records(COUNT))
    # The records are of years ago: after half a minute Kafka would delete them.
    settings = {"log.segment.bytes": "200000", "num.partitions": "1", "log.retention.ms": "-1"}
    with ApacheKafka(tmp_path / "kafka", settings=settings) as kafka:
        for codec in CODECS:
            target = {"bootstrap": kafka.bootstrap, "topic": f"t-{codec}", "codec": codec, "count": COUNT}
            JAVA_3.run("produce", sent, timeout=120, **target)
    answer = examined(kafka.data_dir, 0)
    assert [row for row in answer["findings"] if row["severity"] != "note"] == []
    by_topic = {row["topic"]: row for row in answer["partitions"]}
    assert {by_topic[f"t-{codec}"]["records"] for codec in CODECS} == {COUNT}
    assert by_topic["t-none"]["segments"] > 1
    for codec in CODECS:
        directory = kafka.data_dir / f"t-{codec}-0"
        logs = sorted(directory.glob("*.log"))
        done = kafka.tools.run(dump_log_class(KAFKA_3), "--files", ",".join(map(str, logs)))
        ours = [row for row in dumped(directory) if row["kind"] == "batch"]
        theirs = batches_of_kafka(done.stdout.decode())
        assert theirs
        assert [{name: str(row[name]).lower() for name in _NAMES.values()} for row in ours] == theirs
    values = [row for row in dumped(kafka.data_dir / "t-zstd-0", "--records") if row["kind"] == "record"]
    assert len(values) == COUNT
    assert json.dumps(values[0])
