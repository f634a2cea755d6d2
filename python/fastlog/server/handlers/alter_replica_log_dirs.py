"""AlterReplicaLogDirs (34): moves replicas between log directories: not done here. Versions 0 to 2.

| what is asked for                                | answer                |
|--------------------------------------------------|-----------------------|
| a directory that is none of this broker's        | LOG_DIR_NOT_FOUND     |
| one that is offline, or a partition that is      | KAFKA_STORAGE_ERROR   |
| a partition that there is not                    | UNKNOWN_TOPIC_OR_...  |
| one of which this broker has no replica          | REPLICA_NOT_AVAILABLE |
| one that is in that directory already            | none: nothing to do   |
| a move                                           | UNSUPPORTED_VERSION   |

All but the last are Kafka's (`ReplicaManager.alterReplicaLogDirs`). In the answer each partition comes once,
with what became of the directory that was named for it last, and only topics of which there was a partition.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fastlog.errors import ErrorCode
from fastlog.server.memory.answer_memory import ROW_BYTES
from fastlog.server.requests.registry import handles
from fastlog.server.requests.replica_lookup import missing_error
from fastlog.wire import ApiKey
from fastlog.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDirPartitionResult,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopicResult,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import BrokerServices, RequestContext
    from fastlog.storage.log_dir import LogDirectory
    from fastlog.wire import Steps


@handles(ApiKey.ALTER_REPLICA_LOG_DIRS)
def handle(ctx: RequestContext, request: AlterReplicaLogDirsRequest) -> Steps[AlterReplicaLogDirsResponse]:
    """Says of each partition why it stays where it is."""
    known = {os.path.abspath(directory.path): directory for directory in ctx.broker.logs.directories}
    found: dict[str, dict[int, ErrorCode]] = {}
    for wanted in request.dirs:
        # As in Kafka a relative path is none of a broker's.
        directory = known.get(os.path.normpath(wanted.path)) if Path(wanted.path).is_absolute() else None
        yield
        for topic in wanted.topics:
            for partition in topic.partitions:
                error = _error(ctx.broker, directory, topic.name, partition)
                found.setdefault(topic.name, {})[partition] = error
                yield
            yield
    response = AlterReplicaLogDirsResponse()
    for name, errors in found.items():
        result = AlterReplicaLogDirTopicResult(name)
        response.results.append(result)
        for partition, error in errors.items():
            result.partitions.append(AlterReplicaLogDirPartitionResult(partition, int(error)))
            ctx.pace.grow(ROW_BYTES)
            yield
    return response


def _error(broker: BrokerServices, directory: LogDirectory | None, topic: str, partition: int) -> ErrorCode:
    if directory is None:
        return ErrorCode.LOG_DIR_NOT_FOUND
    if not directory.online or broker.logs.offline_reason(topic, partition) is not None:
        return ErrorCode.KAFKA_STORAGE_ERROR
    entry = broker.logs.table.get(topic, partition)
    if entry is None:
        error = missing_error(broker, topic, partition)
        is_elsewhere = error is ErrorCode.NOT_LEADER_OR_FOLLOWER
        return ErrorCode.REPLICA_NOT_AVAILABLE if is_elsewhere else error
    return ErrorCode.NONE if entry.directory is directory else ErrorCode.UNSUPPORTED_VERSION
