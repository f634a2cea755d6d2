"""Moves between log directories: they are refused, each with its reason."""

from __future__ import annotations

from pathlib import Path

from fastlog.errors import ErrorCode
from fastlog.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)
from tests.integration.requests import make_topic
from tests.integration.running import RunningBroker


def test_replicas_stay_where_they_are(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    broker = RunningBroker(paths[0], {"log.dirs": ",".join(map(str, paths))})
    try:
        broker.start()
        with broker.connect() as client:
            make_topic(client, "t")
            entry = broker.broker.services.logs.table.get("t", 0)
            assert entry is not None
            here = str(entry.directory.path)
            (there,) = (str(path) for path in paths if str(path) != here)
            for path, partition, code in (
                (here, 0, ErrorCode.NONE),
                (f"{here}/", 0, ErrorCode.NONE),
                (there, 0, ErrorCode.UNSUPPORTED_VERSION),
                (there, 7, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
                (str(tmp_path), 0, ErrorCode.LOG_DIR_NOT_FOUND),
                ("", 0, ErrorCode.LOG_DIR_NOT_FOUND),
            ):
                dirs = [AlterReplicaLogDir(path, [AlterReplicaLogDirTopic("t", [partition])])]
                for version in range(3):
                    answer = client.ask(AlterReplicaLogDirsRequest(dirs), version)
                    ((topic,), (row,)) = (answer.results, answer.results[0].partitions)
                    assert (topic.topic_name, row.partition_index, row.error_code) == ("t", partition, code)
            # Once each, with what was said last.
            dirs = [
                AlterReplicaLogDir(path, [AlterReplicaLogDirTopic("t", [0, 0]), AlterReplicaLogDirTopic("u")])
                for path in (there, here)
            ]
            ((topic,),) = (client.ask(AlterReplicaLogDirsRequest(dirs), 2).results,)
            assert [(row.partition_index, row.error_code) for row in topic.partitions] == [(0, 0)]
    finally:
        broker.close()
